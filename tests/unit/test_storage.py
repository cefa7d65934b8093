"""JSON from outside: what cannot be read, or could never be written again, is named by its file and line."""

import contextlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speciate.errors import Damaged, InputError, StorageError
from speciate.storage import parsed, read_json, read_jsonl

DAMAGE = [
    (b"", "damaged"),
    (b"{", "damaged"),
    (b'{"a": 1', "damaged"),
    (b"\xff\xfe", "damaged"),
    (b'"\xed\xa0\x80"', "damaged"),
    (b'{"a": "\\ud800"}', "half a character of UTF-16"),
    (b'{"\\udfff": 1}', "half a character of UTF-16"),
    (b'{"a": ' + b"9" * 5_000 + b"}", "a whole number of more than 4,300 digits"),
    (b"[" * 100_000, "nested too deeply"),
]


@pytest.mark.parametrize(("content", "said"), DAMAGE, ids=[repr(content[:12]) for content, _ in DAMAGE])
def test_a_damaged_file_is_named(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "some.json"
    path.write_bytes(content)
    with pytest.raises(Damaged, match=rf"some\.json' is damaged: .*{said}|some\.json' is {said}") as caught:
        read_json(path)
    assert caught.value.exit_code == 2
    assert isinstance(caught.value, InputError)
    assert isinstance(caught.value, StorageError)


@pytest.mark.parametrize(("content", "said"), DAMAGE[1:], ids=[repr(content[:12]) for content, _ in DAMAGE[1:]])
def test_a_damaged_line_is_named(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"a": 1}\n{"a": "\\ud83d\\ude00 \xf0\x9f\x98\x80"}\n' + content + b"\n{}\n")
    with pytest.raises(Damaged, match=r"rows\.jsonl', line 3, is damaged: ") as caught:
        read_jsonl(path)
    assert said in str(caught.value)


def test_what_is_no_file_is_said(tmp_path: Path) -> None:
    for read in (read_json, read_jsonl):
        with pytest.raises(Damaged, match="cannot be read: Is a directory"):
            read(tmp_path)
    with pytest.raises(FileNotFoundError):
        read_json(tmp_path / "none.json")
    with pytest.raises(Damaged, match=r"none\.jsonl' cannot be read: No such file"):
        read_jsonl(tmp_path / "none.jsonl")


def test_whole_characters_and_long_numbers_are_read() -> None:
    assert parsed('"\\ud83d\\ude00"') == "\U0001f600"
    assert parsed("9" * 4_300) == int("9" * 4_300)
    assert parsed("1e999") == float("inf")


@given(st.binary(max_size=60) | st.text(st.sampled_from('{}[]":,\\ud80019eE+-.ntfa '), max_size=40).map(str.encode))
@settings(max_examples=300, deadline=None)
def test_whatever_a_file_holds_it_is_a_value_or_damaged(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.jsonl"
    path.write_bytes(content)
    for read in (read_json, read_jsonl):
        with contextlib.suppress(Damaged):
            assert repr(read(path)).encode()
