"""Suites: the shipped ones hold together, and a wrong one says all that is wrong."""

from collections import Counter
from pathlib import Path

import pytest
from speciate.evals.general import load_suite, suite_items, suite_texts

from speciate.errors import InputError, StorageError
from speciate.niches import skills

ROOT = Path(__file__).parents[2]
SHIPPED = sorted((ROOT / "evals" / "suites").rglob("*.yaml"))
GOOD = "suite: mine\nskills: [sums, sorting]\ntext: texts.jsonl\n"


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    """A suite file with its texts in the folder above it."""
    path = tmp_path / "suites" / "mine.yaml"
    path.parent.mkdir()
    path.write_text(GOOD)
    (tmp_path / "texts.jsonl").write_text('{"text": "Ada."}\n{"text": "Ben.", "source": "x"}\n')
    return path


def test_there_are_suites() -> None:
    assert SHIPPED


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_suite_loads_with_its_items_and_texts(path: Path) -> None:
    suite = load_suite(path)
    assert suite.suite == path.stem
    items = suite_items(suite, 100)
    assert set(Counter(item.family for item in items).items()) == {(name, 100) for name in suite.skills}
    assert len({item.digest for item in items}) == len(items), "no item twice"
    assert all(skills.held_out(item) for item in items), "no base has trained on them"
    assert items == suite_items(suite, 100), "the same for every run"
    assert items[:10] == suite_items(suite, 10)[:10], "fewer items are the first of more"
    texts = suite_texts(suite, path)
    assert len(texts) >= 30, "documents enough for an interval"
    assert len(set(texts)) == len(texts)


def test_texts_are_found_above_the_suite(suite: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert suite_texts(load_suite(suite), suite) == ["Ada.", "Ben."]
    monkeypatch.chdir(suite.parent)
    assert suite_texts(load_suite(Path("mine.yaml")), Path("mine.yaml")) == ["Ada.", "Ben."]
    (suite.parent.parent / "texts.jsonl").unlink()
    with pytest.raises(InputError, match=r"mine\.yaml: text: no file 'texts\.jsonl' in its folder or in one above it"):
        suite_texts(load_suite(suite), suite)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ('{"text": "a"}\n{"txt": "b"}\n', r"jsonl:2: "),
        ('{"text": " "}\n', r"jsonl:1: "),
        ("", r"jsonl:1: each line needs"),
    ],
)
def test_texts_without_text_are_named_by_line(suite: Path, rows: str, message: str) -> None:
    (suite.parent.parent / "texts.jsonl").write_text(rows)
    with pytest.raises(InputError, match=message):
        suite_texts(load_suite(suite), suite)


def test_damaged_texts_are_named_by_line(suite: Path) -> None:
    (suite.parent.parent / "texts.jsonl").write_text('{"text": "a"}\n{')
    with pytest.raises(StorageError, match="line 2"):
        suite_texts(load_suite(suite), suite)


def test_every_problem_of_a_suite_is_told_at_once(suite: Path) -> None:
    suite.write_text("suit: mine\nskills: []\ntext: 5\n")
    with pytest.raises(InputError) as caught:
        load_suite(suite)
    lines = str(caught.value).splitlines()
    assert [line.split(": ")[1] for line in lines] == ["suite", "skills", "text", "suit"]
    assert all(line.startswith(str(suite)) for line in lines)


def test_unknown_and_repeated_skills_are_named(suite: Path) -> None:
    suite.write_text(GOOD.replace("[sums, sorting]", "[sums, sortin, sums, juggling]"))
    with pytest.raises(InputError) as caught:
        load_suite(suite)
    unknown, far, twice = str(caught.value).splitlines()
    assert unknown.endswith("unknown skill 'sortin'; did you mean 'sorting'?")
    assert "unknown skill 'juggling'; known: comparison, " in far
    assert twice.endswith("skill 'sums' is there twice")


@pytest.mark.parametrize("text", ["suite: [", "just words", "", "- a\n- b\n"])
def test_a_file_that_is_no_suite_is_refused(suite: Path, text: str) -> None:
    suite.write_text(text)
    with pytest.raises(InputError, match=r"mine\.yaml: (cannot be read|file): "):
        load_suite(suite)
    with pytest.raises(InputError, match="cannot be read"):
        load_suite(suite.parent)


def test_too_many_items_are_refused(suite: Path) -> None:
    suite.write_text(GOOD.replace("[sums, sorting]", "[parity]"))
    with pytest.raises(InputError, match=r"evals\.general_items=100000: skill 'parity' has only about \d+"):
        suite_items(load_suite(suite), 100_000)
