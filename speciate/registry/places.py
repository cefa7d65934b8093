"""Where the registry lies, and its lock: one writer at a time, over all processes of this machine.

registry/
    entries/<name>/                 an adapter each, see entry.py
    aliases/<species>/<alias>       the digest of an entry: numbers are versions, words are what people call it
    versions/<species>              the highest version that was ever given, where an entry was removed
    index.sqlite                    made from the two, and remade at will
"""

import contextlib
import shutil
from collections.abc import Generator
from pathlib import Path

from speciate.errors import StorageError
from speciate.storage import disk_errors, home, unreadable, writable_folder

LOCK_WAIT_S = 300.0
READ_WAIT_S = 30.0
POLL_S = 0.005
"""The lock is held for about as long as this, many times in a row where many processes write."""


def root() -> Path:
    """The registry's folder; it need not exist."""
    return home() / "registry"


def entries_folder() -> Path:
    """The folder of entries."""
    return root() / "entries"


def aliases_folder() -> Path:
    """The folder of aliases."""
    return root() / "aliases"


def versions_folder() -> Path:
    """The folder of what is known of versions that are gone."""
    return root() / "versions"


def entries() -> list[Path]:
    """All that lies in the folder of entries, and is not half-written. Raises StorageError where it cannot be read."""
    folder = entries_folder()
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise unreadable(folder, error) from error


def index_file() -> Path:
    """The index."""
    return root() / "index.sqlite"


@contextlib.contextmanager
def locked() -> Generator[None]:
    """Hold the registry for writing. Raises StorageError where another process does not let go of it."""
    from filelock import FileLock, Timeout

    folder = writable_folder(root())
    lock = FileLock(folder / ".lock", timeout=LOCK_WAIT_S, poll_interval=POLL_S)
    with disk_errors(folder / ".lock"):
        try:
            lock.acquire()
        except Timeout as error:
            raise StorageError(
                f"another process has held {str(folder / '.lock')!r} for {LOCK_WAIT_S:.0f} s; end it, or try again"
            ) from error
    try:
        for made in (entries_folder(), aliases_folder()):
            writable_folder(made)
            _remove_leftovers(made)
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def undisturbed() -> Generator[None]:
    """Keep writers out of the registry for a moment of reading, where that is possible: in a home that nobody can write
    to there is nobody to keep out.
    """
    from filelock import FileLock

    lock = FileLock(root() / ".lock", timeout=READ_WAIT_S, poll_interval=POLL_S)
    with contextlib.suppress(OSError):
        if root().is_dir():
            lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _remove_leftovers(folder: Path) -> None:
    """What a killed process left half-written: under the lock nobody else is writing."""
    for path in folder.glob(".*"):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
