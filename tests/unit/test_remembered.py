"""The cache of verdicts: kept, found by a second process, and never in the way."""

import sqlite3
from pathlib import Path

import pytest

from speciate.remembered import Remembered, key

PROVED = {"answer": {"proved": True, "reason": "", "ms": 12.5}, "lean": "4.28.0"}
NAME = key("lean", "preamble", "statement", "proof")


def test_what_is_kept_is_found_by_another(tmp_path: Path) -> None:
    path = tmp_path / "cache" / "verdicts.sqlite"
    one, other = Remembered(path), Remembered(path)
    one.keep(NAME, PROVED)
    assert other.find(NAME) == PROVED
    other.keep(NAME, {"answer": {"proved": False, "reason": "error"}, "lean": "4.28.0"})
    assert one.find(NAME) == PROVED
    assert one.find(key("lean")) is None
    one.close()
    other.close()
    assert one.find(NAME) is None


def test_parts_of_a_key_do_not_run_together() -> None:
    assert key("ab", "c") != key("a", "bc")
    assert key("a", "") != key("a")


@pytest.mark.parametrize("content", [b"this is no database", b"SQLite format 3\0" + b"\xff" * 4096])
def test_a_damaged_file_only_warns(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "verdicts.sqlite"
    path.write_bytes(content)
    with pytest.warns(UserWarning, match="verdicts are not cached"):
        cache = Remembered(path, "verdicts")
    cache.keep(NAME, PROVED)
    assert cache.find(NAME) is None


def test_a_place_that_cannot_be_written_only_warns(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.warns(UserWarning, match="verdicts are not cached"):
        assert Remembered(tmp_path / "file" / "verdicts.sqlite", "verdicts").find(NAME) is None


def test_a_locked_file_only_warns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "verdicts.sqlite"
    Remembered(path).close()
    connect = sqlite3.connect

    def impatient(path: Path, isolation_level: None, **_: float) -> sqlite3.Connection:
        return connect(path, timeout=0.1, isolation_level=isolation_level)

    monkeypatch.setattr("speciate.remembered.sqlite3.connect", impatient)
    holder = connect(path, isolation_level=None)
    cache = Remembered(path, "verdicts")
    holder.execute("BEGIN EXCLUSIVE")
    with pytest.warns(UserWarning, match="locked"):
        cache.keep(NAME, PROVED)
    assert cache.find(NAME) is None
    holder.close()
