"""Checkpoints that count: a mark with the digests of all files lies beside them, so half a checkpoint is none."""

import shutil
from pathlib import Path

from speciate.errors import StorageError
from speciate.storage import digest_file, read_json, write_json

MARK = "speciate.json"


def mark(checkpoint: Path) -> None:
    """Record the digests of a checkpoint's files: from here on it counts."""
    write_json(
        checkpoint / MARK, {path.name: digest_file(path) for path in sorted(checkpoint.iterdir()) if path.is_file()}
    )


def newest(checkpoints: Path) -> Path | None:
    """The newest checkpoint whose files are all as they were marked; the others are removed."""
    if not checkpoints.is_dir():
        return None
    found = sorted(checkpoints.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]), reverse=True)
    for path in found:
        if whole(path):
            return path
        shutil.rmtree(path)
    return None


def whole(checkpoint: Path) -> bool:
    """True where every file is there and unchanged since it was marked."""
    try:
        marked: dict[str, str] = read_json(checkpoint / MARK)
    except (FileNotFoundError, StorageError):
        return False
    return all(
        (checkpoint / name).is_file() and digest_file(checkpoint / name) == wanted for name, wanted in marked.items()
    )
