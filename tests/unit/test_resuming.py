"""What an evaluation began with and what is asked for now, told apart in words."""

import re
from pathlib import Path
from typing import Any

import pytest

from speciate import runs
from speciate.errors import InputError, NotFound, ResumeMismatch
from speciate.pipeline.resuming import differences, folder_to_resume, new_folder
from speciate.storage import write_json


def start(**changed: Any) -> dict[str, Any]:
    return {
        "speciate": "1",
        "schema": "eval-start/1",
        "suite": {"name": "small", "version": 1, "digest": "sha256:old"},
        "base": {"name": "b", "revision": None, "digest": "sha256:b"},
        "adapters": {"mild": "sha256:m"},
        "precision": ["cpu", "float32", "none"],
        "asked": {"limit": None, "train_rows": None, "given_away": 0, "items": {"general": 18, "niche": 5}},
    } | changed


def suite(digest: str = "sha256:new", **changed: Any) -> dict[str, Any]:
    return {"name": "small", "version": 1, "digest": digest} | changed


def asked(**changed: Any) -> dict[str, Any]:
    return {"limit": None, "train_rows": None, "given_away": 0, "items": {"general": 18, "niche": 5}} | changed


@pytest.mark.parametrize(
    ("now", "said"),
    [
        ({"suite": suite(), "asked": asked(limit=2, items={"general": 6})},
         ["--limit: none then, 2 now", "items: 18 general, 5 niche then, 6 general now"]),
        ({"suite": suite(version=2)}, ["the version of suite small: 1 then, 2 now"]),
        ({"suite": suite(name="map")}, ["the suite: small then, map now"]),
        ({"suite": suite(), "asked": asked(train_rows="rows.jsonl", given_away=1)},
         ["--train-rows: none then, rows.jsonl now", "items left out for training rows: 0 then, 1 now"]),
        ({"suite": suite()}, ["what suite small asks: its sources, items, sampling or texts, under the same version"]),
        ({"adapters": {"mild": "sha256:other", "wild": "sha256:w"}},
         ["the adapters: mild then, mild, wild now", "the weights of mild: sha256:m then, sha256:other now"]),
        ({"adapters": {}}, ["the adapters: mild then, none now"]),
        ({"base": {"name": "c", "revision": "main", "digest": "sha256:c"}},
         ["the base: b sha256:b then, c main sha256:c now"]),
        ({"precision": ["cpu", "bfloat16", "nf4"]},
         ["--dtype: float32 then, bfloat16 now", "--quantization: none then, nf4 now"]),
    ],
)  # fmt: skip
def test_each_difference_is_named(now: dict[str, Any], said: list[str]) -> None:
    found = differences(start(), start(**now))
    assert [line for line in found if not line.startswith("its digest: ")] == said
    assert ("its digest: sha256:old then, sha256:new now" in found) == ("suite" in now)


def test_what_does_not_change_the_answers_is_no_difference() -> None:
    assert differences(start(), start(speciate="2", asked=asked(train_rows="rows.jsonl"))) == []
    before = start()
    del before["asked"]
    assert differences(before, start()) == []
    assert differences(before, start(suite=suite()))


@pytest.mark.parametrize("before", [{}, start(suite=None), start(adapters=[]), start(precision="cpu")])
def test_a_damaged_beginning_is_another_one(before: dict[str, Any]) -> None:
    assert differences(before, start()) == ["its start.json is damaged, or of another version of speciate"]


def test_a_folder_that_began_with_something_else_is_refused_in_words(tmp_path: Path) -> None:
    write_json(tmp_path / "out" / "start.json", start())
    assert folder_to_resume(tmp_path / "out", start()) == tmp_path / "out"
    with pytest.raises(ResumeMismatch, match=r"(?s)out.*--limit: none then, 2 now.*or leave --resume out and name"):
        folder_to_resume(tmp_path / "out", start(suite=suite(), asked=asked(limit=2)))
    with pytest.raises(NotFound, match="there is no folder"):
        folder_to_resume(tmp_path / "nowhere", start())


def test_without_a_folder_the_newest_of_the_same_is_meant(home: Path) -> None:
    folders = [runs.evals_folder() / f"small-{number}" for number in range(3)]
    for folder, limit in zip(folders, (2, None, 3), strict=True):
        named = suite(f"sha256:{limit}") if limit else suite("sha256:old")
        write_json(folder / "start.json", start(suite=named, asked=asked(limit=limit)))
    assert home.exists()
    assert folder_to_resume(None, start()) == folders[1]
    found = re.escape(str(folders[2]))
    with pytest.raises(NotFound, match=rf"(?s)leave --resume out\. The newest that was stopped, '{found}'.*--limit: 3"):
        folder_to_resume(None, start(suite=suite("sha256:9"), asked=asked(limit=9)))


def test_a_folder_with_files_is_not_written_over(tmp_path: Path) -> None:
    write_json(tmp_path / "begun" / "start.json", start())
    with pytest.raises(InputError, match="add --resume to go on"):
        new_folder(tmp_path / "begun", "small")
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="is a file"):
        new_folder(tmp_path / "file", "small")
    assert new_folder(tmp_path / "new", "small").is_dir()
