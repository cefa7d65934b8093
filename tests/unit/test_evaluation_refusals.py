"""Models that `speciate eval` refuses before it loads a base: missing, cut, not finite; and adapters it keeps apart."""

import json
from pathlib import Path
from typing import Any

import pytest
from adapters import changed, saved
from example_records import run_record
from populations import TINY

from speciate.cli import run
from speciate.models.adapter import WEIGHTS, locate_adapter
from speciate.models.base import digest_folder
from speciate.storage import write_json

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
SUITE = """suite: small
version: 1
sampling: {max_new_tokens: 4}
sources:
  - {source: skills, families: [sums, parity], items: 10}
"""


@pytest.fixture
def adapters(tmp_path: Path, home: Path) -> dict[str, Path]:
    """A good adapter and three that are damaged, in folders named so."""
    del home
    found = {name: saved(tmp_path / name, seed=seed) for seed, name in enumerate(("good", "cut", "nan", "bare"))}
    (found["cut"] / WEIGHTS).write_bytes((found["cut"] / WEIGHTS).read_bytes()[:-100])
    changed(found["nan"], lambda its: {key: it * float("nan") if "lora_B" in key else it for key, it in its.items()})
    (found["bare"] / "adapter_config.json").unlink()
    return found | {"gone": tmp_path / "gone"}


def told(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> list[str]:
    """The problems of a command that ends with status 2."""
    assert run([*map(str, arguments), "--json"]) == 2
    return json.loads(capsys.readouterr().out)["error"]["problems"]


WRONG = {
    "cut": "is not a safetensors file",
    "nan": "holds numbers that are none (NaN or infinite)",
    "bare": "there is no adapter_config.json",
    "gone": "there is no adapter or base at '",
}


def test_all_damaged_adapters_and_an_unknown_suite_are_told_at_once(
    adapters: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    problems = told(capsys, "eval", *adapters.values(), "--suite", "nowhere", "--dry-run")
    assert len(problems) == 5
    for name, words in {**WRONG, "nowhere": "there is no suite 'nowhere'"}.items():
        assert sum(name in one and words in one for one in problems) == 1, name


@pytest.mark.parametrize("name", WRONG)
def test_nothing_is_loaded_for_an_adapter_that_is_damaged(
    adapters: dict[str, Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr("transformers.AutoModelForCausalLM.from_pretrained", pytest.fail)
    [problem] = told(capsys, "eval", adapters["good"], adapters[name], "--suite", "general-tiny")
    assert WRONG[name] in problem


def test_a_missing_place_says_which_is_near(adapters: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    [problem] = told(capsys, "eval", f"{adapters['good']}e")
    assert problem.endswith(f"Did you mean '{adapters['good']}'?")


def test_adapters_that_differ_in_their_seed_are_each_an_arm(
    tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "small.yaml").write_text(SUITE)
    base = {"name": "data/base/tiny", "revision": None, "digest": digest_folder(TINY)}
    for seed, name in enumerate(("mine-1", "mine-2")):
        folder = home / "runs" / name
        digest = locate_adapter(saved(folder / "adapter", seed=seed)).digest
        recipe: dict[str, Any] = {"species": "mine", "seed": seed}
        start = {"speciate": "0", "schema": "run-start/1", "species": "mine", "created": "", "versions": {}}
        write_json(folder / "start.json", start | {"recipe": recipe, "base": base})
        record = {"run": name, "run_dir": str(folder), "seed": seed, "species": "mine", "adapter_digest": digest}
        write_json(folder / "run.json", run_record().document() | record)
    asked = ["eval", "mine-1", "mine-2", "--suite", str(tmp_path / "small.yaml"), "--out", str(tmp_path / "out")]
    assert run(asked) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert run(["report", str(tmp_path / "out")]) == 0
    again = " ".join(capsys.readouterr().out.split())
    for text in (shown, again):
        assert "2 seeds" not in text
        assert "mine-1-mine shows no clear" in text
        assert "mine-2-mine shows no clear" in text
    assert run(["compare", str(tmp_path / "out")]) == 0
    assert "mine (2 seeds)" in capsys.readouterr().out
