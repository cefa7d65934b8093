"""The folder of one run: what it began with, what each phase left behind, and whether it may be gone on with.

start.json          the resolved recipe, the base's digest, library versions
recipe.yaml         the resolved recipe, to be run again
data/ evals/        rows, items, every answer with its verdict
checkpoints/        where --resume goes on
adapter/            the trained adapter
seconds.json        time of each phase
run.json            the record, written last
"""

import contextlib
import time
from collections.abc import Generator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from filelock import FileLock, Timeout

from speciate import __version__, runs
from speciate.differing import differing_keys
from speciate.errors import Damaged, InputError, NotFound, ResumeMismatch, StorageError
from speciate.models.base import BaseSource
from speciate.recipe import LoadedRecipe, resolve, write_resolved
from speciate.storage import read_json, writable_folder, write_json

START = "start.json"
RECIPE = "recipe.yaml"
BEFORE_START = (".lock", RECIPE, f".{RECIPE}.", f".{START}.")
"""How the names begin of what a run leaves that was killed before it had begun."""
SCHEMA = "run-start/1"
WITHOUT_EFFECT = "hardware.activation_checkpointing"
"""A key that changes how much memory a run takes, and nothing that comes out: a run that needs less goes on with it."""


def new_folder(species: str, out: Path | None) -> Path:
    """A folder for a new run: `out`, which must be empty or missing, else one in the home named by species and time.

    Raises InputError, HomeNotWritable.
    """
    if out is not None:
        if out.exists() and not (out.is_dir() and all(path.name.startswith(BEFORE_START) for path in out.iterdir())):
            kind = "holds files already" if out.is_dir() else "is a file"
            hint = " (a run that stopped: add --resume to go on with it)" if (out / START).exists() else ""
            raise InputError(f"--out {str(out)!r} {kind}{hint}; name a folder that is empty or missing")
        return writable_folder(out).absolute()
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    parent = writable_folder(runs.folder())
    for count in range(1, 1000):
        folder = parent / (f"{species}-{stamp}" if count == 1 else f"{species}-{stamp}-{count}")
        try:
            folder.mkdir()
        except FileExistsError:
            continue
        return folder
    raise InputError(f"{str(parent)!r} holds a thousand runs of this second; use --out")


def folder_to_resume(species: str, out: Path | None) -> Path:
    """`out`, else the newest run of the species that has not ended, else the newest. Raises NotFound."""
    if out is not None:
        if not (out / START).is_file():
            raise NotFound(f"--resume: {str(out)!r} holds no run (it has no {START})")
        return out.absolute()
    found = [path.parent for path in runs.folder().glob(f"*/{START}") if _species(path) == species]
    if not found:
        raise NotFound(
            f"--resume: there is no run of {species!r} in {str(runs.folder())!r}; leave --resume out to begin one"
        )
    return max(found, key=lambda path: (not (path / runs.RECORD).exists(), (path / START).stat().st_mtime_ns))


def _species(start: Path) -> str | None:
    """The species of a run; None where its start is damaged, for that is no reason to stop another run."""
    try:
        return read_json(start)["species"]
    except (StorageError, LookupError, TypeError):
        return None


@contextlib.contextmanager
def owned(folder: Path) -> Generator[None]:
    """Hold the folder's lock, so that two processes never write one run. Raises InputError."""
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise InputError(f"another process is running {str(folder)!r}; wait for it, or stop it first") from None
    try:
        yield
    finally:
        lock.release()


def is_held(folder: Path) -> bool:
    """Whether a process works in the folder now."""
    if not (folder / ".lock").is_file():
        return False
    try:
        with FileLock(folder / ".lock", timeout=0):
            return False
    except Timeout:
        return True
    except OSError:
        # Of a folder that cannot be written to, nobody here is the owner.
        return False


class RunFolder:
    """One run on disk. A phase whose result is there is not done again."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def begin(self, loaded: LoadedRecipe, base: BaseSource, versions: dict[str, str]) -> None:
        """Write what the run begins with."""
        start = {
            "speciate": __version__,
            "schema": SCHEMA,
            "species": loaded.recipe.species,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "recipe": resolve(loaded.recipe),
            "base": {"name": base.name, "revision": base.revision, "digest": base.digest},
            "versions": versions,
        }
        write_resolved(loaded.recipe, self.path / RECIPE)
        write_json(self.path / START, start)

    def check_same(self, loaded: LoadedRecipe, base: BaseSource, versions: dict[str, str]) -> None:
        """Raises ResumeMismatch, naming every key of recipe, base or versions that is not what the run began with, and
        Damaged where that cannot be read.
        """
        start = runs.read_start(self.path / START)
        differing = [
            line
            for line in differing_keys(start["recipe"], resolve(loaded.recipe))
            if not line.startswith(f"{WITHOUT_EFFECT}:")
        ]
        if start["base"]["digest"] != base.digest:
            differing.append(f"base digest: {start['base']['digest']} -> {base.digest}")
        differing += [
            f"version of {name}: {start['versions'].get(name)} -> {versions.get(name)}"
            for name in ("torch", "transformers", "peft", "trl")
            if start["versions"].get(name) != versions.get(name)
        ]
        if differing:
            listed = "\n".join(f"  {line}" for line in differing)
            raise ResumeMismatch(
                f"the run in {str(self.path)!r} cannot be resumed, for it began with something else:\n{listed}\n"
                "Take the same again, or begin a new run without --resume."
            )

    @contextlib.contextmanager
    def timed(self, phase: str) -> Generator[None]:
        """Add the block's time to the phase's seconds."""
        started = time.perf_counter()
        yield
        seconds = self.seconds()
        seconds[phase] = round(seconds.get(phase, 0.0) + time.perf_counter() - started, 2)
        write_json(self.path / "seconds.json", seconds)

    def seconds(self) -> dict[str, float]:
        """Seconds of each phase so far, over all processes that worked on the run."""
        path = self.path / "seconds.json"
        found: Any = read_json(path) if path.exists() else {}
        known: dict[str, Any] = cast("dict[str, Any]", found) if isinstance(found, dict) else {"": None}
        if not all(isinstance(one, int | float) for one in known.values()):
            raise Damaged(f"{str(path)!r} is damaged: it gives no seconds for each phase. Remove it to go on.")
        return known
