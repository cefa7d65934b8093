"""Training rows in the forms that trainers take: what they say word for word is found in all of them."""

from pathlib import Path
from typing import Any

import pytest

from speciate.errors import InputError
from speciate.niches.base import Item
from speciate.niches.contamination import overlap
from speciate.pipeline.training_rows import rows_of, texts_of

ITEM = Item("f", "What is the capital of Elbonia?", "Mudville", "d")
FORMS: list[dict[str, Any]] = [
    {"prompt": ITEM.prompt, "completion": "x"},
    {"question": ITEM.prompt, "answer": "x"},
    {"text": ITEM.prompt},
    {"instruction": ITEM.prompt, "output": "x"},
    {"instruction": "Answer.", "input": ITEM.prompt, "output": "x"},
    {"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": ITEM.prompt}]},
    {"conversations": [{"from": "human", "value": ITEM.prompt}, {"from": "gpt", "value": "x"}]},
    {"prompt": [{"role": "user", "content": ITEM.prompt}], "completion": [{"role": "assistant", "content": "x"}]},
]


@pytest.mark.parametrize("row", FORMS, ids=lambda row: "-".join(row))
def test_an_item_is_found_in_every_form(row: dict[str, Any]) -> None:
    assert overlap([ITEM], texts_of(row, Path("rows.jsonl"), 1)).exact == {"d"}


@pytest.mark.parametrize("row", [[1], 5, None, {}, {"messages": None}, {"messages": "hi"}, {"messages": [1]}, {"x": 1}])
def test_a_row_without_text_is_named_by_its_line(row: Any) -> None:
    with pytest.raises(InputError, match=r"rows\.jsonl', line 7"):
        texts_of(row, Path("rows.jsonl"), 7)


@pytest.mark.parametrize(
    "content", [b"{", b"\xff\xfe", b'{"text": "\\ud800"}', b'{"text": ' + b"9" * 5_000 + b"}", None]
)
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "rows.jsonl"
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    with pytest.raises(InputError, match=r"rows\.jsonl"):
        rows_of(path)


def test_only_a_line_feed_ends_a_line(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('\ufeff{"text": "a\u2028b"}\n{"text": "c\u0085d"}\n\n', encoding="utf-8")
    assert [row["text"] for row in rows_of(path)] == ["a\u2028b", "c\u0085d"]
