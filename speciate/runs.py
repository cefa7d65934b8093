"""Finding a finished run: by its folder, by its name, or by its species, of which the newest is meant."""

import difflib
from pathlib import Path

from pydantic import ValidationError

from speciate import storage
from speciate.errors import NotFound, StorageError
from speciate.records import RunRecord

RECORD = "run.json"
"""Written last, so a folder that has it holds a finished run."""


def folder() -> Path:
    """Where runs lie unless --out says otherwise."""
    return storage.home() / "runs"


def find_run(name: str) -> RunRecord:
    """The record of the run that `name` means. Raises NotFound, or StorageError where its record is damaged."""
    for place in (Path(name), folder() / name):
        if (place / RECORD).is_file():
            return read_run(place / RECORD)
        if place.is_dir() and place != folder():
            raise NotFound(
                f"{str(place)!r} holds no finished run: it has no {RECORD}. A run that stopped early goes on "
                "with `speciate train RECIPE --resume`."
            )
    newest_first = sorted(folder().glob(f"*/{RECORD}"), key=lambda path: path.stat().st_mtime_ns, reverse=True)
    runs = [read_run(path) for path in newest_first]
    for run in runs:
        if run.species == name:
            return run
    known = [*dict.fromkeys(run.species for run in runs), *(run.run for run in runs)]
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else f". Runs are looked up as folders, and in {str(folder())!r}."
    raise NotFound(f"there is no run or species {name!r}{hint}")


def read_run(path: Path) -> RunRecord:
    """The record in a file. Raises StorageError where it is damaged or of another version of speciate."""
    try:
        return RunRecord.model_validate(storage.read_json(path))
    except ValidationError as error:
        first = error.errors()[0]
        at = ".".join(str(part) for part in first["loc"])
        raise StorageError(
            f"{str(path)!r} is damaged, or of another version of speciate: {at}: {first['msg']}"
        ) from error
