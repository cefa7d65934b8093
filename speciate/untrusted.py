"""Reading where others may have put anything: pipes that nobody writes to, links to elsewhere, files without end."""

import errno
import os
import stat
from pathlib import Path

from speciate.errors import Damaged, StorageError
from speciate.storage import unreadable

MOST_BYTES = 16 * 2**20
"""Of a card or a configuration."""


def is_folder(path: Path) -> bool:
    """Whether it is a folder or a link to one; not where that cannot be seen."""
    try:
        return path.is_dir()
    except OSError:
        return False


def read_plain(path: Path, most: int) -> bytes:
    """All of a small file, where others may have put anything: no link is followed, no pipe waited for, and nothing
    read that is larger than `most` bytes. Raises Damaged, and FileNotFoundError where it is missing.
    """
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0))
    except OSError as error:
        if error.errno == errno.ENOENT:
            raise
        if error.errno == errno.ELOOP:
            raise Damaged(f"{str(path)!r} is a link, and links are not followed here") from error
        raise unreadable(path, error) from error
    try:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            raise Damaged(f"{str(path)!r} is no plain file")
        if found.st_size > most:
            raise Damaged(f"{str(path)!r} is too large: it has {found.st_size:,} bytes, at most {most:,} are read")
        with os.fdopen(handle, "rb", closefd=False) as file:
            return file.read(most)
    except StorageError:
        raise
    except OSError as error:
        raise unreadable(path, error) from error
    finally:
        os.close(handle)
