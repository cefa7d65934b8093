"""What an adapter was trained on, where that is at hand: questions and answers in the forms that trainers take."""

from pathlib import Path
from typing import Any, cast

from speciate import runs, storage
from speciate.errors import Damaged, InputError
from speciate.pipeline.references import Meant

Texts = tuple[str, str]
"""A question and its answer."""


def training_rows(adapter: Meant, more: Path | None) -> list[Texts] | None:
    """The rows of the adapter's run on this machine and of the file `more`; None where there are none."""
    paths = [more] if more else []
    if adapter.run:
        own = adapter.source.folder.name == "adapter"
        data = (adapter.source.folder.parent if own else runs.folder() / adapter.run) / "data"
        paths += [path for name in ("train", "replay") if (path := data / f"{name}.jsonl").is_file()]
    if not paths:
        return None
    numbered = [(path, number, row) for path in paths for number, row in enumerate(rows_of(path), 1)]
    return [texts for path, number, row in numbered for texts in texts_of(row, path, number)]


def rows_of(path: Path) -> list[Any]:
    """The rows of a file. Raises InputError where it cannot be read."""
    try:
        return list(storage.read_jsonl(path))
    except Damaged as error:
        raise InputError(f"the training rows cannot be read: {error}") from error


def texts_of(row: Any, path: Path, number: int) -> list[Texts]:
    """Questions and answers in a row: prompt and completion, instruction and input, a plain text, or the messages of a
    conversation, each of which is a question by itself, and all of them one.

    Raises InputError for a row that has none of these.
    """
    fields = cast("dict[str, Any]", row) if isinstance(row, dict) else {}
    said = fields.get("messages") or fields.get("conversations") or fields.get("prompt")
    if isinstance(said, list):
        more = fields.get("completion")
        messages = [*cast("list[Any]", said), *(cast("list[Any]", more) if isinstance(more, list) else [])]
        contents = [cast("dict[str, Any]", one) for one in messages if isinstance(one, dict)]
        texts = [str(one.get("content") or one.get("value") or "") for one in contents]
        if not any(texts):
            raise InputError(f"{str(path)!r}, line {number}: its messages have no content")
        return [*((text, "") for text in texts), ("\n".join(texts), "")]
    asked = [str(fields[key]) for key in ("prompt", "instruction", "question", "text") if fields.get(key)]
    if not asked:
        known = ", ".join(map(str, fields)) or f"{row!r:.60}"
        forms = "prompt, instruction, question, text or messages"
        raise InputError(f"{str(path)!r}, line {number}: a training row has {forms}, not {known}")
    answer = next((str(fields[key]) for key in ("reference", "completion", "output", "answer") if fields.get(key)), "")
    given = str(fields.get("input") or "")
    return [(asked[0], answer)] + ([(given, answer), (f"{asked[0]}\n{given}", answer)] if given else [])
