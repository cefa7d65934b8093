"""Answers that were given before, in an SQLite file: a proof that was judged, a question that a model answered.

Keeps what it is given, and is given only what would come out the same again: never a timeout by the clock or a crash.
The file is a convenience: where it is locked, damaged or not writable, the cache warns once and is empty from then on.
"""

import contextlib
import json
import sqlite3
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from speciate import storage


def key(*parts: Any) -> bytes:
    """The name of an answer: everything that it depends on, JSON values in a fixed order."""
    return bytes.fromhex(storage.digest_json(parts).removeprefix("sha256:"))


class Remembered:
    """Open for the life of whoever asks, of use to one thread at a time; several processes may have the file open."""

    def __init__(self, path: Path, what: str = "answers") -> None:
        self._path = path
        self._what = what
        self._database: sqlite3.Connection | None = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(path, timeout=5.0, isolation_level=None, check_same_thread=False)
            self._database.execute("PRAGMA journal_mode=WAL")
            self._database.execute("PRAGMA synchronous=NORMAL")
            self._database.execute(
                "CREATE TABLE IF NOT EXISTS answers (key BLOB PRIMARY KEY, answer TEXT NOT NULL) WITHOUT ROWID"
            )
        except (sqlite3.Error, OSError) as error:
            self._give_up(error)

    def find(self, key: bytes) -> dict[str, Any] | None:
        """What was kept under this name, None where nothing was."""
        if self._database is None:
            return None
        try:
            row = self._database.execute("SELECT answer FROM answers WHERE key = ?", (key,)).fetchone()
            return json.loads(row[0]) if row else None
        except (sqlite3.Error, ValueError) as error:
            self._give_up(error)
            return None

    def keep(self, key: bytes, answer: Mapping[str, Any]) -> None:
        """Remember an answer; one that is there already stays as it is."""
        self.keep_all([(key, answer)])

    def keep_all(self, answers: Sequence[tuple[bytes, Mapping[str, Any]]]) -> None:
        """Remember many answers at once, all or none of them."""
        if self._database is None:
            return
        try:
            with self._database:
                self._database.execute("BEGIN")
                self._database.executemany(
                    "INSERT OR IGNORE INTO answers VALUES (?, ?)",
                    [(key, json.dumps(answer)) for key, answer in answers],
                )
        except sqlite3.Error as error:
            self._give_up(error)

    def close(self) -> None:
        """Let go of the file; from then on nothing is found and nothing is kept."""
        if self._database is not None:
            with contextlib.suppress(sqlite3.Error):
                self._database.close()
            self._database = None

    def _give_up(self, error: Exception) -> None:
        self.close()
        warnings.warn(
            f"{self._what} are not cached: {str(self._path)!r}: {error}. Remove the file to make a new cache.",
            stacklevel=3,
        )
