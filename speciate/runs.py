"""Finding a finished run: by its folder, by its name, or by its species, of which the newest is meant."""

import difflib
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from speciate import storage
from speciate.errors import NotFound, StorageError
from speciate.records import EvalRecord, RunRecord

Found = TypeVar("Found", RunRecord, EvalRecord)

RECORD = "run.json"
"""Written last, so a folder that has it holds a finished run."""
EVAL = "eval.json"
"""The same of an evaluation."""


def folder() -> Path:
    """Where runs lie unless --out says otherwise."""
    return storage.home() / "runs"


def find_run(name: str) -> RunRecord:
    """The record of the run that `name` means. Raises NotFound, or StorageError where its record is damaged."""
    for place in (Path(name), folder() / name):
        if (place / RECORD).is_file():
            return _here(read_run(place / RECORD), place)
    if (folder() / name).is_dir():
        raise NotFound(f"the run {name!r} has not ended (it has no {RECORD}); `speciate train RECIPE --resume` ends it")
    known: list[str] = []
    damaged: list[str] = []
    for path in sorted(folder().glob(f"*/{RECORD}"), key=lambda path: path.stat().st_mtime_ns, reverse=True):
        try:
            run = read_run(path)
        except StorageError as error:
            damaged.append(str(error))
            continue
        if run.species == name:
            return _here(run, path.parent)
        known += [run.species, run.run]
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else f"; runs are looked up as folders, and in {str(folder())!r}"
    raise NotFound("\n".join([f"there is no finished run or species {name!r}{hint}", *damaged]))


def _here(run: RunRecord, place: Path) -> RunRecord:
    """The record with the folder that it lies in, which may have been moved since it was written."""
    return run.model_copy(update={"run_dir": str(place.absolute())})


def find_eval(name: str) -> EvalRecord | None:
    """The record of the evaluation in this folder or of this name; None where there is none."""
    for place in (Path(name), storage.home() / "evals" / name):
        if (place / EVAL).is_file():
            return read_eval(place / EVAL).model_copy(update={"eval_dir": str(place.absolute())})
    return None


def read_run(path: Path) -> RunRecord:
    """The record in a file. Raises StorageError where it is damaged or of another version of speciate."""
    return _read(RunRecord, path)


def read_eval(path: Path) -> EvalRecord:
    """The record in a file. Raises StorageError where it is damaged or of another version of speciate."""
    return _read(EvalRecord, path)


def _read(kind: type[Found], path: Path) -> Found:
    try:
        return kind.model_validate(storage.read_json(path))
    except ValidationError as error:
        first = error.errors()[0]
        at = ".".join(str(part) for part in first["loc"])
        message = f"{str(path)!r} is damaged, or of another version of speciate: {at}: {first['msg']}"
        raise StorageError(message) from error
