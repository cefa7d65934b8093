"""Rows with columns as items: JSON lines, and data sets of the Hugging Face Hub or a folder in their format.

What a suite says of a row is Jinja in a sandbox; code that comes with a data set is never run. Knows nothing of models.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any, cast

from jinja2 import Template, TemplateError

from speciate.errors import Damaged, InputError
from speciate.evals.templates import Refused, Templates
from speciate.niches.base import Item
from speciate.niches.matching import last_number
from speciate.recipe.suite import DatasetSource, JsonlSource
from speciate.storage import digest_json, read_jsonl

TableSource = JsonlSource | DatasetSource

LONGEST_NUMBER = 9
"""Digits of the number of a choice."""


def table_items(source: TableSource, rows: Sequence[Mapping[str, Any]], most: int | None) -> list[Item]:
    """An item of each row, `most` of each family where that is given, the same for every run.

    Raises InputError naming the row that does not have what the suite asks for.
    """
    order = list(range(len(rows)))
    if source.shuffle is not None:
        Random(source.shuffle).shuffle(order)
    made = Maker(source)
    found: dict[str, Item] = {}
    counts: dict[str, int] = {}
    for number in order:
        family = made.text("family", number, rows[number]) if source.family else source.name
        if most is not None and counts.get(family, 0) >= most:
            continue
        item = made.item(family, number, rows[number])
        if item.digest not in found:
            found[item.digest] = item
            counts[family] = counts.get(family, 0) + 1
    if not found:
        raise InputError(f"source {source.name!r}: {source.path!r} has no row")
    return list(found.values())


def jsonl_rows(source: JsonlSource, path: Path) -> list[dict[str, Any]]:
    """The rows of a file. Raises InputError for a line that is damaged or no mapping."""
    try:
        rows: list[Any] = list(read_jsonl(path))
    except Damaged as error:
        raise InputError(f"source {source.name!r}: {error}") from error
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict):
            raise InputError(f"source {source.name!r}: {path}:{number} is not a mapping of columns")
    return rows


def dataset_rows(source: DatasetSource, folder: Path | None) -> Sequence[Mapping[str, Any]]:
    """The rows of a data set, from `folder` where that is given, else from the hub. Raises InputError."""
    from datasets import load_dataset
    from datasets.exceptions import DatasetsError

    name = str(folder) if folder else source.path
    try:
        found = load_dataset(name, source.config, split=source.split, revision=source.revision)
    except (DatasetsError, OSError, ValueError, ImportError) as error:
        why: BaseException = error
        while why.__cause__:
            why = why.__cause__
        where = "" if folder else " (a data set of the hub; a folder can be given instead, or the suite's `datasets`)"
        said = (str(why).strip() or repr(why)).splitlines()[0]
        raise InputError(f"source {source.name!r}: cannot read {source.path!r}{where}: {said}") from error
    return cast("Sequence[Mapping[str, Any]]", found)


class Maker:
    """Makes items as a source says."""

    def __init__(self, source: TableSource) -> None:
        self.source = source
        self.environment = Templates()
        asked = {"prompt": source.prompt, "answer": source.answer, "family": source.family, "cluster": source.cluster}
        if isinstance(source.choices, tuple):
            asked |= {f"choices.{number}": template for number, template in enumerate(source.choices)}
        self.templates: dict[str, Template] = {}
        for key, template in asked.items():
            try:
                self.templates[key] = self.environment.made(template or "")
            except Refused as error:
                raise InputError(f"source {source.name!r}: {key}: {template!r:.200}: {error}") from error

    def text(self, key: str, number: int, row: Mapping[str, Any]) -> str:
        """What a template makes of a row."""
        try:
            return self.environment.text(self.templates[key], row)
        except (TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
            known = ", ".join(map(str, row))
            raise self.wrong(number, f"{key}: {error} (its columns are {known})") from error

    def wrong(self, number: int, problem: str) -> InputError:
        """What to say of a row."""
        return InputError(f"source {self.source.name!r}: {self.source.path!r}, row {number + 1}: {problem:.500}")

    def item(self, family: str, number: int, row: Mapping[str, Any]) -> Item:
        """The item of one row."""
        source = self.source
        prompt, answer = (self.text(key, number, row) for key in ("prompt", "answer"))
        if not prompt.strip():
            raise self.wrong(number, "the prompt is empty")
        choices = self.choices(number, row)
        payload: dict[str, Any] = {}
        if choices:
            answer = choices[self.right(number, row, answer, choices)]
        elif source.metric == "python":
            payload = {key: row[key] for key in ("prompt", "test", "entry_point", "test_list") if key in row}
            if "test_list" not in payload and not {"prompt", "test", "entry_point"} <= payload.keys():
                known = ", ".join(map(str, row))
                needed = "the metric python needs the columns prompt, test and entry_point, or test_list"
                raise self.wrong(number, f"{needed} (its columns are {known})")
        elif source.metric == "numeric":
            if last_number(answer) is None:
                raise self.wrong(number, f"the answer {answer!r:.80} has no number")
            payload = {"tolerance": source.tolerance}
        elif source.metric == "pattern":
            payload = {"pattern": source.pattern}
        cluster = self.text("cluster", number, row) if source.cluster else ""
        try:
            digest = digest_json([family, prompt, answer, list(choices), payload])
        except (ValueError, TypeError) as error:
            raise self.wrong(number, f"its tests hold what JSON cannot say: {error}") from error
        return Item(family, prompt, answer, digest, payload, choices, cluster)

    def choices(self, number: int, row: Mapping[str, Any]) -> tuple[str, ...]:
        """The answers to choose from; none where the model writes its own."""
        wanted = self.source.choices
        if wanted is None:
            return ()
        if isinstance(wanted, tuple):
            found = [self.text(f"choices.{place}", number, row) for place in range(len(wanted))]
        else:
            found = self.column(wanted, number, row)
        if len(found) < 2 or len(set(found)) < len(found) or not all(found):
            raise self.wrong(number, f"needs different choices, not {found!r:.200}")
        return tuple(found)

    def column(self, name: str, number: int, row: Mapping[str, Any]) -> list[str]:
        """A column that holds a list; a dot goes into a mapping."""
        found: Any = row
        for part in name.split("."):
            if not isinstance(found, Mapping) or part not in found:
                known = ", ".join(map(str, row))
                raise self.wrong(number, f"there is no column {name!r} (its columns are {known})")
            found = cast("Mapping[str, Any]", found)[part]
        if not isinstance(found, list | tuple):
            raise self.wrong(number, f"{name!r} is no list")
        return [str(value) for value in cast("Sequence[Any]", found)]

    def right(self, number: int, row: Mapping[str, Any], answer: str, choices: Sequence[str]) -> int:
        """Which of the choices the answer means: by its label, its text or its number."""
        labels = self.source.labels
        if labels is not None:
            named = list(labels) if isinstance(labels, tuple) else self.column(labels, number, row)
            if answer in named and named.index(answer) < len(choices):
                return named.index(answer)
        else:
            meant = {choices.index(answer)} if answer in choices else set[int]()
            digits = answer.strip()
            if digits.isdecimal() and len(digits) <= LONGEST_NUMBER and int(digits) < len(choices):
                meant.add(int(digits))
            if len(meant) == 1:
                return meant.pop()
            if meant:
                both = f"the answer {answer!r} is the number of one choice and the text of another"
                raise self.wrong(number, f"{both}: say which with labels")
        raise self.wrong(
            number,
            f"the answer {answer!r:.80} is none of the choices; it must be a label, a choice's text, or its number "
            "from 0",
        )


def texts_of(path: Path) -> Iterator[str]:
    """The texts of a JSONL file, field `text`. Raises InputError for a line that has none."""
    rows: list[Any] = list(read_jsonl(path))
    texts = [row.get("text") if isinstance(row, dict) else None for row in rows]
    wrong = [number for number, text in enumerate(texts, 1) if not isinstance(text, str) or not text.strip()]
    if wrong or not texts:
        raise InputError(f"{path}:{wrong[0] if wrong else 1}: each line needs a field 'text' that is not empty")
    yield from cast("list[str]", texts)
