"""Finding a finished run: by its folder, by its name, or by its species, of which the newest is meant."""

import difflib
from pathlib import Path
from typing import Any, TypeVar

from speciate import storage
from speciate.errors import Damaged, NotFound
from speciate.records import EvalRecord, RunRecord, RunStart

Found = TypeVar("Found", RunRecord, EvalRecord)

RECORD = "run.json"
"""Written last, so a folder that has it holds a finished run."""
START = "start.json"
"""Written first, by both."""
EVAL = "eval.json"
"""The same of an evaluation."""


def folder() -> Path:
    """Where runs lie unless --out says otherwise."""
    return storage.home() / "runs"


def evals_folder() -> Path:
    """Where evaluations lie unless --out says otherwise."""
    return storage.home() / "evals"


def find_run(name: str) -> RunRecord:
    """The record of the run that `name` means. Raises NotFound, or Damaged where its record is."""
    for place in (Path(name), folder() / name):
        if (place / RECORD).is_file():
            return _here(read_run(place / RECORD), place)
    for place, again in ((Path(name), ""), (folder() / name, "train RECIPE"), (evals_folder() / name, "eval MODEL...")):
        if (place / START).is_file() or (again and place.is_dir()):
            kind = again or ("train RECIPE" if (place / "recipe.yaml").is_file() else "eval MODEL...")
            raise NotFound(f"{name!r} has not ended; `speciate {kind} --resume`, as it was begun, ends it")
    known: list[str] = [path.parent.name for path in evals_folder().glob(f"*/{EVAL}")]
    damaged: list[str] = []
    for path in sorted(folder().glob(f"*/{RECORD}"), key=lambda path: path.stat().st_mtime_ns, reverse=True):
        try:
            run = read_run(path)
        except Damaged as error:
            damaged.append(str(error))
            continue
        if run.species == name:
            return _here(run, path.parent)
        known += [run.species, run.run]
    near = difflib.get_close_matches(name, known, n=1)
    looked = f"in {str(folder())!r} and {str(evals_folder())!r}"
    hint = f"; did you mean {near[0]!r}?" if near else f"; they are looked up as folders, and {looked}"
    raise NotFound("\n".join([f"there is no finished run or species {name!r}{hint}", *damaged]))


def _here(run: RunRecord, place: Path) -> RunRecord:
    """The record with the folder that it lies in, which may have been moved since it was written."""
    return run.model_copy(update={"run_dir": str(place.absolute())})


def find_eval(name: str) -> EvalRecord | None:
    """The record of the evaluation in this folder or of this name; None where there is none."""
    for place in (Path(name), evals_folder() / name):
        if (place / EVAL).is_file():
            return read_eval(place / EVAL).model_copy(update={"eval_dir": str(place.absolute())})
    return None


def read_run(path: Path) -> RunRecord:
    """The record in a file. Raises Damaged where it is damaged or of another version of speciate."""
    return _ended(RunRecord, path)


def read_eval(path: Path) -> EvalRecord:
    """The record in a file. Raises Damaged where it is damaged or of another version of speciate."""
    return _ended(EvalRecord, path)


def read_start(path: Path) -> dict[str, Any]:
    """What a training run began with. Raises Damaged where that is missing, damaged or of another version."""
    try:
        return RunStart.read(path).document()
    except Damaged as error:
        raise Damaged(
            f"{error}. A run whose beginning is not known can be neither resumed nor compared: train again, in another "
            "folder."
        ) from error


def _ended(kind: type[Found], path: Path) -> Found:
    try:
        return kind.read(path)
    except Damaged as error:
        raise Damaged(f"{error}. Remove this file, and --resume writes it again from the answers beside it.") from error
