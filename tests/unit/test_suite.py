"""Suites: the shipped ones hold together, a wrong one says all that is wrong, and items are the same for every run."""

from collections import Counter
from pathlib import Path

import pytest

from speciate.errors import InputError, RecipeError, StorageError
from speciate.evals.sources import questions
from speciate.niches import skills
from speciate.recipe import LoadedSuite, load_suite

ROOT = Path(__file__).parents[2]
SHIPPED = sorted((ROOT / "evals" / "suites").rglob("*.yaml"))
GOOD = """suite: mine
version: 1
sources:
  - source: skills
    families: [sums, parity]
    items: 4
    chance: {parity: 0.5}
text: texts.jsonl
"""


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    """A suite file with its texts in the folder above it."""
    path = tmp_path / "suites" / "mine.yaml"
    path.parent.mkdir()
    path.write_text(GOOD)
    (tmp_path / "texts.jsonl").write_text('{"text": "Ada."}\n{"text": "Ben.", "source": "x"}\n')
    return path


def loaded(path: Path, text: str) -> LoadedSuite:
    path.write_text(text)
    return load_suite(path)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_suite_is_right(path: Path) -> None:
    assert load_suite(path).recipe.suite == path.stem


def test_the_default_suite_has_its_items_and_texts() -> None:
    found = questions(load_suite(ROOT / "evals" / "suites" / "general-tiny.yaml"))
    [part] = found.parts
    assert set(Counter(item.family for item in part.items).items()) == {(name, 100) for name in skills.SKILLS}
    assert len({item.digest for item in part.items}) == len(part.items), "no item twice"
    assert all(skills.held_out(item) for item in part.items), "no base has trained on them"
    assert found.chance == {"parity": 0.5, "comparison": 0.5, "logic": 0.5}
    assert len(found.texts) >= 30, "documents enough for an interval"


def test_the_digest_names_suite_items_and_texts(suite: Path) -> None:
    first = questions(load_suite(suite))
    assert questions(load_suite(suite)) == first
    others = [
        questions(load_suite(suite), per_family=3),
        questions(load_suite(suite), limit=2),
        questions(loaded(suite, GOOD.replace("version: 1", "version: 2"))),
        questions(loaded(suite, GOOD.replace("items: 4", "items: 4\n    sampling: {max_new_tokens: 9}"))),
        questions(loaded(suite, GOOD.replace("parity", "sorting"))),
    ]
    assert len({first.digest, *(other.digest for other in others)}) == 6
    assert [len(other.parts[0].items) for other in others] == [6, 4, 8, 8, 8]
    assert first.parts[0].items[:3] == others[0].parts[0].items[:3], "fewer items are the first of more"
    (suite.parent.parent / "texts.jsonl").write_text('{"text": "Cam."}\n{"text": "Ben."}\n')
    assert questions(loaded(suite, GOOD)).digest != first.digest
    without = first.without({first.parts[0].items[0].digest})
    assert len(without.parts[0].items) == 7
    assert without.digest != first.digest


def test_texts_are_found_above_the_suite(suite: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert questions(load_suite(suite)).texts == ["Ada.", "Ben."]
    monkeypatch.chdir(suite.parent)
    assert questions(load_suite("mine.yaml")).texts == ["Ada.", "Ben."]
    (suite.parent.parent / "texts.jsonl").unlink()
    with pytest.raises(RecipeError, match=r"mine\.yaml:8: text: there is no 'texts\.jsonl'"):
        questions(load_suite(suite))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ('{"text": "a"}\n{"txt": "b"}\n', r"jsonl:2: "),
        ('{"text": " "}\n', r"jsonl:1: "),
        ("[1]\n", r"jsonl:1: "),
        ("", r"jsonl:1: each line needs"),
    ],
)
def test_texts_without_text_are_named_by_line(suite: Path, rows: str, message: str) -> None:
    (suite.parent.parent / "texts.jsonl").write_text(rows)
    with pytest.raises(InputError, match=message):
        questions(load_suite(suite))


def test_damaged_texts_are_named_by_line(suite: Path) -> None:
    (suite.parent.parent / "texts.jsonl").write_text('{"text": "a"}\n{')
    with pytest.raises(StorageError, match="line 2"):
        questions(load_suite(suite))


def test_every_problem_of_a_suite_is_told_at_once(suite: Path) -> None:
    suite.write_text(
        "suit: mine\nversion: 0\nsources:\n  - source: skils\n  - source: skills\n    familes: [a]\n    items: 0\n"
        "  - {name: x}\n  - {source: jsonl, path: x, name: y, prompt: p, answer: a, metric: choice}\n"
        "  - {source: jsonl, path: x, name: y, prompt: p, answer: a, pattern: x}\n"
        "  - {source: jsonl, path: x, name: y, prompt: p, answer: a, choices: c}\n"
        "sampling: {samples: 3}\n"
    )
    with pytest.raises(RecipeError) as caught:
        load_suite(suite)
    said = [line.removeprefix(f"{suite}:") for line in caught.value.problems]
    assert said == [
        "1: suit: unknown key; did you mean 'suite'?",
        "1: suite: required key is missing",
        "2: version: must be greater than or equal to 1, not 0",
        "4: sources.0: must be 'skills', 'lean', 'reasoning-gym', 'jsonl', 'dataset', 'harness', not 'skils'; did you "
        "mean 'skills'?",
        "6: sources.1.familes: unknown key; did you mean 'families'?",
        "7: sources.1.items: must be greater than or equal to 1, not 0",
        "8: sources.2: must have the key 'source', not {'name': 'x'}",
        "9: sources.3.metric: is 'choice', which needs choices",
        "10: sources.4.pattern: belongs to the metric pattern, which needs it",
        "11: sources.5.metric: is 'exact', but there are choices: use choice or choice_norm",
        "12: sampling.samples: is 3, but at temperature 0 all answers to an item are the same: set temperature",
    ]


def test_unknown_and_repeated_families_are_named(suite: Path) -> None:
    text = GOOD.replace("[sums, parity]", "[sums, sortin, sums, juggling]") + "  - {source: lean, families: [list]}\n"
    text = text.replace("text: texts.jsonl\n  - ", "  - ")
    with pytest.raises(RecipeError) as caught:
        questions(loaded(suite, text))
    unknown, far, twice, lean = caught.value.problems
    assert unknown.endswith("unknown skill 'sortin'; did you mean 'sorting'?")
    assert "unknown skill 'juggling'; known: comparison, " in far
    assert twice.endswith("'sums' is there twice")
    assert lean.endswith("unknown family 'list'; did you mean 'lists'?")


@pytest.mark.parametrize("text", ["suite: [", "just words", "", "- a\n- b\n"])
def test_a_file_that_is_no_suite_is_refused(suite: Path, text: str) -> None:
    suite.write_text(text)
    with pytest.raises(InputError, match=r"mine\.yaml"):
        load_suite(suite)
    with pytest.raises(InputError, match=r"cannot be read|is a folder|directory"):
        load_suite(suite.parent)


def test_too_many_items_are_refused(suite: Path) -> None:
    with pytest.raises(InputError, match=r"100000 items: skill 'parity' has only about \d+"):
        questions(loaded(suite, GOOD.replace("sums, ", "")), per_family=100_000)


def test_two_sources_with_one_family_are_refused(suite: Path) -> None:
    twice = GOOD.replace("text: texts.jsonl\n", "") + "  - {source: skills, families: [sums], items: 2}\n"
    with pytest.raises(InputError, match="two sources of the suite have a family 'sums': give one of them a prefix"):
        questions(loaded(suite, twice))
    apart = twice.replace("items: 2", "items: 2, prefix: more-")
    assert {item.family for part in questions(loaded(suite, apart)).parts for item in part.items} == {
        "sums", "parity", "more-sums",
    }  # fmt: skip


def test_theorems_are_of_the_split_that_no_recipe_trains_on(suite: Path) -> None:
    text = "suite: mine\nversion: 1\nsources: [{source: lean, role: niche, families: [lists, linear], items: 6}]\n"
    [part] = questions(loaded(suite, text)).parts
    assert part.role == "niche"
    assert Counter(item.family for item in part.items) == {"lists": 6, "linear": 6}
    assert all(int(item.digest[-8:], 16) % 10 >= 8 for item in part.items)


def test_the_chance_of_a_family_that_is_not_there_is_told_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "mini.yaml"
    path.write_text("suite: mini\nversion: 1\nsources:\n  - {source: skills, items: 2, chance: {parityy: 0.5}}\n")
    with pytest.raises(RecipeError, match=r"mini\.yaml:4: .*unknown family 'parityy'; did you mean 'parity'"):
        questions(load_suite(path))


def test_the_same_fault_in_two_sources_is_told_of_both(suite: Path) -> None:
    twice = GOOD.replace("text: texts.jsonl\n", "") + "  - source: skills\n    families: [sums]\n    itemz: 3\n"
    with pytest.raises(RecipeError) as caught:
        loaded(suite, twice.replace("    items: 4\n", "    itemz: 4\n"))
    assert [problem.split(": ")[1] for problem in caught.value.problems] == ["sources.0.itemz", "sources.1.itemz"]
    with pytest.raises(RecipeError) as caught:
        loaded(suite, "suite: mine\nversion: 1\nsources:\n- {source: jsonl}\n- {source: jsonl}\n")
    told = [problem.split(": ")[1] for problem in caught.value.problems]
    assert {"sources.0.path", "sources.1.path"} <= set(told), told
