"""Places that entries are sent to and fetched from: a folder, or whatever fsspec reaches by a URL.

A place has files under relative names, which the callers have checked; it knows nothing of entries. What fails because
of the network is tried again a few times. Nothing that is read is trusted: a read never gives more than was asked for.
"""

import contextlib
import errno
import os
import re
import tempfile
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Protocol, TypeVar, cast
from urllib.parse import urlsplit

from speciate.errors import InputError, MissingComponent, StorageError
from speciate.storage import expanded, sync_folder, unreadable

CHUNK = 8 * 2**20
WAITS_S = (0.5, 2.0, 5.0)
"""Before the second, third and last attempt."""
LEFTOVER_S = 3600.0
"""A half-written file that is older is nobody's."""
LASTING = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENAMETOOLONG}
GOES_ON = "the same command goes on from there"
Result = TypeVar("Result")


class Remote(Protocol):
    """A place with files."""

    shown: str
    """How it is written in messages: without passwords."""

    def size(self, name: str) -> int | None:
        """The bytes of a file; None where there is none."""
        ...

    def names(self, folder: str) -> list[str]:
        """The names of what lies in a folder; none where it is missing."""
        ...

    def read(self, name: str, start: int = 0) -> Iterator[bytes]:
        """The bytes of a file from a place on, piece by piece. FileNotFoundError where there is none."""
        ...

    def send(self, file: Path, name: str, advance: Callable[[int], None]) -> None:
        """Put a local file there, in place of what is there; `advance` is told of bytes that went."""
        ...


def remote(url: str) -> Remote:
    """The place that a folder's path or a URL names. Raises InputError, and MissingComponent where fsspec needs a
    package for it.
    """
    if "://" not in url:
        return FolderRemote(expanded(url))
    if url.startswith(("file://", "local://")):
        path = urlsplit(url)
        if path.netloc not in ("", "localhost"):
            raise InputError(f"{url!r} names the host {path.netloc!r}; a folder is written file:///path")
        return FolderRemote(Path(path.path))
    return UrlRemote(url)


def content(place: Remote, name: str, most: int) -> bytes | None:
    """All of a small file; None where there is none. Raises InputError where it has more bytes than it may."""
    found = bytearray()
    try:
        for piece in place.read(name):
            found += piece
            if len(found) > most:
                raise InputError(f"{name} has more than {most:,} bytes")
    except FileNotFoundError:
        return None
    return bytes(found)


def without_password(url: str) -> str:
    """A URL as it may be shown."""
    return re.sub(r"://[^/@\s]*@", "://", url).split("?")[0]


class FolderRemote:
    """A folder. Links that lead out of it are not followed."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self.shown = str(self.root)
        if self.root.exists() and not self.root.is_dir():
            raise InputError(f"{self.shown!r} is not a folder")

    def size(self, name: str) -> int | None:
        path = self._path(name)
        with _readable(path):
            return path.stat().st_size if path.is_file() else None

    def names(self, folder: str) -> list[str]:
        path = self._path(folder)
        with _readable(path):
            return sorted(each.name for each in path.iterdir()) if path.is_dir() else []

    def read(self, name: str, start: int = 0) -> Iterator[bytes]:
        path = self._path(name)
        with _readable(path):
            if not path.is_file():
                raise FileNotFoundError(name)
            with path.open("rb") as file:
                file.seek(start)
                while piece := file.read(CHUNK):
                    yield piece

    def send(self, file: Path, name: str, advance: Callable[[int], None]) -> None:
        """Written aside and renamed, so nobody ever sees a part of a file."""
        path = self._path(name)
        # In the folder of entries or of aliases: there a registry removes leftovers, should this become one.
        waiting = self.root / Path(name).parts[0]
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _remove_leftovers(waiting)
            handle, aside = tempfile.mkstemp(dir=waiting, prefix=".push.")
            try:
                with os.fdopen(handle, "wb") as target, file.open("rb") as source:
                    while piece := source.read(CHUNK):
                        target.write(piece)
                        advance(len(piece))
                    target.flush()
                    os.fsync(target.fileno())
                Path(aside).chmod(0o644)
                Path(aside).replace(path)
            finally:
                Path(aside).unlink(missing_ok=True)
            sync_folder(path.parent)
        except OSError as error:
            raise _failed("write", str(path), error) from error

    def _path(self, name: str) -> Path:
        path = self.root / name
        # Not `Path.resolve`, which raises where links lead in a circle.
        if not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(self.root)):
            raise InputError(f"{str(path)!r} is a link that leads out of {self.shown!r}; it is not followed")
        return path


class UrlRemote:
    """What fsspec reaches: s3://, gs://, sftp://, memory:// and others, each by a package of its own."""

    def __init__(self, url: str) -> None:
        import fsspec

        self.shown = without_password(url)
        scheme = url.split("://")[0].split("::")[0]
        try:
            found, root = fsspec.core.url_to_fs(url)
        except ImportError as error:
            raise MissingComponent(
                f"{self.shown!r} needs a package that is not installed ({error}); `uv pip install "
                f"{PACKAGES.get(scheme, 'it')}` adds it to this environment"
            ) from error
        except ValueError as error:
            raise InputError(f"{self.shown!r} cannot be used: {error}") from error
        self.files: Any = found
        self.root = str(root).rstrip("/")

    def size(self, name: str) -> int | None:
        def ask() -> int | None:
            self.files.invalidate_cache()
            try:
                found = self.files.info(self._path(name))
            except (FileNotFoundError, NotADirectoryError):
                return None
            if found.get("type", "file") != "file":
                return None
            return found.get("size")

        return self._tried("read", name, ask)

    def names(self, folder: str) -> list[str]:
        def ask() -> list[str]:
            self.files.invalidate_cache()
            try:
                found = self.files.ls(self._path(folder), detail=False)
            except (FileNotFoundError, NotADirectoryError):
                return []
            return sorted({str(path).rstrip("/").rsplit("/", 1)[-1] for path in found})

        return self._tried("list", folder, ask)

    def read(self, name: str, start: int = 0) -> Iterator[bytes]:
        """Where reading breaks off, it goes on from there; the attempts count anew with every piece that came."""
        failed = 0
        while True:
            try:
                with self._opened(name, start) as file:
                    while piece := file.read(CHUNK):
                        failed = 0
                        start += len(piece)
                        yield piece
                return
            except FileNotFoundError:
                raise
            except Exception as error:
                failed += 1
                self._wait_or_raise("read", name, error, failed)

    def send(self, file: Path, name: str, advance: Callable[[int], None]) -> None:
        def put() -> None:
            self.files.put_file(str(file), self._path(name))
            self.files.invalidate_cache()

        self._tried("write", name, put)
        advance(file.stat().st_size)

    def _opened(self, name: str, start: int) -> BinaryIO:
        file = cast(BinaryIO, self.files.open(self._path(name), "rb", block_size=CHUNK))
        if start and file.seekable():
            file.seek(start)
        else:
            # A server without ranges: what is there already is read again, and left.
            while start > 0 and (piece := file.read(min(start, CHUNK))):
                start -= len(piece)
        return file

    def _tried(self, doing: str, name: str, action: Callable[[], Result]) -> Result:
        failed = 0
        while True:
            try:
                return action()
            # Every backend has errors of its own; an interruption is no Exception.
            except Exception as error:
                failed += 1
                self._wait_or_raise(doing, name, error, failed)

    def _wait_or_raise(self, doing: str, name: str, error: Exception, failed: int) -> None:
        lasting = (
            isinstance(error, FileNotFoundError | PermissionError | NotImplementedError)
            or getattr(error, "errno", None) in LASTING
        )
        if lasting or failed > len(WAITS_S):
            raise _failed(doing, f"{self.shown.rstrip('/')}/{name}", error, failed) from error
        time.sleep(WAITS_S[failed - 1])

    def _path(self, name: str) -> str:
        return f"{self.root}/{name}"


PACKAGES = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs", "abfs": "adlfs",
            "sftp": "paramiko", "ssh": "paramiko", "smb": "smbprotocol"}  # fmt: skip
"""What fsspec needs for a scheme."""


@contextlib.contextmanager
def _readable(path: Path) -> Generator[None]:
    """Turn an OSError of the block into what is said of a damaged file: it hinders no other. Not of a missing one."""
    try:
        yield
    except (FileNotFoundError, StorageError):
        raise
    except OSError as error:
        raise unreadable(path, error) from error


def _remove_leftovers(folder: Path) -> None:
    for path in folder.glob(".push.*"):
        try:
            if time.time() - path.stat().st_mtime > LEFTOVER_S:
                path.unlink()
        except OSError:
            continue


def _failed(doing: str, where: str, error: Exception, attempts: int = 1) -> StorageError:
    if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
        return StorageError(f"cannot {doing} {where!r}: the disk is full; free some space, {GOES_ON}")
    said = getattr(error, "strerror", None) or str(error) or type(error).__name__
    tried = f" ({attempts} attempts)" if attempts > 1 else ""
    return StorageError(f"cannot {doing} {where!r}: {type(error).__name__}: {said:.300}{tried}; {GOES_ON}")
