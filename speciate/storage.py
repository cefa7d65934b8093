"""Where things lie on disk, and how they get there whole.

Everything that another process may read is written aside, flushed to the disk and renamed, so a reader sees the old
bytes or the new ones, never a part. Knows nothing of what the bytes mean.
"""

import codecs
import contextlib
import errno
import hashlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import Any

from speciate.errors import Damaged, HomeNotWritable, InputError, StorageError

MOST_OF_A_NAME = 255
"""Bytes that a file system takes for one part of a path."""


def named_home() -> Path:
    """`$SPECIATE_HOME`, else `~/.speciate`, whatever is there."""
    path = Path(os.environ.get("SPECIATE_HOME") or "~/.speciate")
    try:
        return path.expanduser().absolute()
    except RuntimeError:
        return path.absolute()


def home() -> Path:
    """The folder of all that is kept; not created here. Raises HomeNotWritable where it can be no folder."""
    path = expanded(os.environ.get("SPECIATE_HOME") or "~/.speciate").absolute()
    for place in (path, *path.parents):
        # Not those of Path, which raise where a folder above may not be looked into.
        if os.path.exists(place) and not os.path.isdir(place):  # noqa: PTH110, PTH112
            raise HomeNotWritable(
                f"the home is to be {str(path)!r}, but {str(place)!r} is a file. Set SPECIATE_HOME to a folder, which "
                "need not exist yet."
            )
    return path


def expanded(path: str | Path) -> Path:
    """A path that a person gave, with the folder of a user in the place of `~`. Raises InputError where it is none."""
    try:
        found = Path(path).expanduser()
    except RuntimeError as error:
        raise InputError(f"{str(path)!r} begins with the name of a user that this machine does not know") from error
    for part in found.parts:
        if len(os.fsencode(part)) > MOST_OF_A_NAME or "\0" in part:
            raise InputError(f"{part[:40]!r}... is no name: it has {len(part):,} characters, or a NUL among them")
    return found


def shown(path: Path) -> str:
    """A path as text of UTF-8, with an escape for each byte of it that is none."""
    return str(path).encode("utf-8", "backslashreplace").decode()


def writable_folder(path: Path) -> Path:
    """Create `path` where it is missing and prove, by writing a file, that it takes files.

    Raises HomeNotWritable.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path) as probe:
            probe.write(b"speciate")
    except OSError as error:
        raise HomeNotWritable(
            f"cannot write to {str(path)!r}: {error.strerror or error}. "
            "Set SPECIATE_HOME to a folder that you may write to, or use --out."
        ) from error
    return path


@contextlib.contextmanager
def disk_errors(path: Path) -> Generator[None]:
    """Turn an OSError of the block into a StorageError that names the place and the way out."""
    try:
        yield
    except StorageError:
        raise
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            advice = "the disk is full: free some space, then run it again (train and eval go on with --resume)"
        else:
            advice = error.strerror or str(error)
        raise StorageError(f"cannot write {str(path)!r}: {advice}") from error


def write_bytes(path: Path, content: bytes) -> None:
    """Replace `path` by `content`, all or nothing. Raises StorageError."""
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        aside = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            aside.chmod(0o644)
            aside.replace(path)
        except BaseException:
            aside.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)


def write_text(path: Path, content: str) -> None:
    """Replace `path` by UTF-8 `content`, all or nothing. Raises StorageError."""
    write_bytes(path, content.encode())


def write_json(path: Path, value: Any) -> None:
    """Replace `path` by indented JSON with sorted keys, all or nothing. Raises StorageError."""
    write_text(path, indented_json(value))


def indented_json(value: Any) -> str:
    """JSON for people: sorted keys, two spaces, a line feed at the end."""
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def read_json(path: Path) -> Any:
    """The JSON value in `path`. Raises Damaged where it cannot be read, FileNotFoundError where it is missing."""
    try:
        return parsed(path.read_bytes().decode("utf-8-sig"))
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from error


def parsed(text: str, *, distinct: bool = False) -> Any:
    """The value of a text in JSON. Raises ValueError for what is none, and for what could never be written again: half
    a character of UTF-16, a number of thousands of digits or, where keys are to be `distinct`, one key twice.
    """
    try:
        value = json.loads(text, object_pairs_hook=_distinct if distinct else None)
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        half = error.object[error.start]
        raise ValueError(f"it holds half a character of UTF-16 ({half!r}), which no text in UTF-8 has") from error
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    except (json.JSONDecodeError, _Twice):
        raise
    except ValueError as error:
        most = sys.get_int_max_str_digits()
        raise ValueError(f"it holds a whole number of more than {most:,} digits") from error
    return value


class _Twice(ValueError): ...


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise _Twice(f"it has the key {name!r} twice")
        found[name] = value
    return found


def unreadable(path: Path, error: Exception, line: int = 0) -> Damaged:
    """What to say of a file, or of a line of it, that cannot be read."""
    place = f"{str(path)!r}, line {line}," if line else f"{str(path)!r}"
    if isinstance(error, OSError):
        return Damaged(f"{place} cannot be read: {error.strerror or error}")
    return Damaged(f"{place} is damaged: {error}")


def write_jsonl(path: Path, rows: list[dict[str, Any]]) -> None:
    """Replace `path` by one JSON object a line, all or nothing. Raises StorageError."""
    write_text(path, "".join(json.dumps(row, ensure_ascii=False, sort_keys=True) + "\n" for row in rows))


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """The rows of `path`. Raises Damaged naming the line that cannot be read."""
    rows: list[dict[str, Any]] = []
    try:
        # Only a line feed ends a line: a string of JSON may hold other ends of lines.
        lines = path.read_bytes().removeprefix(codecs.BOM_UTF8).split(b"\n")
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from error
    while lines and not lines[-1].strip():
        lines.pop()
    for number, line in enumerate(lines, 1):
        try:
            rows.append(parsed(line.decode()))
        except ValueError as error:
            raise unreadable(path, error, number) from error
    return rows


def canonical_json(value: Any) -> bytes:
    """The one byte string of a JSON value: sorted keys, no spaces, UTF-8, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def digest(content: bytes) -> str:
    """SHA-256 of bytes, as `sha256:<hex>`."""
    return "sha256:" + hashlib.sha256(content).hexdigest()


def digest_json(value: Any) -> str:
    """SHA-256 of the canonical JSON of `value`."""
    return digest(canonical_json(value))


def digest_file(path: Path) -> str:
    """SHA-256 of a file's bytes, read in pieces."""
    with path.open("rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries, so that a rename survives a power cut."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def folder_published_whole(target: Path) -> Generator[Path]:
    """Give an empty folder to fill; on success it becomes `target` in one rename, otherwise it is removed.

    A `target` that exists already is left as it is: the caller names folders by their content. Raises StorageError.
    """
    with disk_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
    try:
        with disk_errors(target):
            yield aside
            for path in sorted(aside.rglob("*")):
                if path.is_file():
                    path.chmod(0o644)
                    with path.open("rb") as file:
                        os.fsync(file.fileno())
            for folder in [*(path for path in aside.rglob("*") if path.is_dir()), aside]:
                sync_folder(folder)
            aside.chmod(0o755)
            try:
                aside.rename(target)
            except OSError as error:
                if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                    raise
            sync_folder(target.parent)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
