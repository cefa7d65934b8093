"""`speciate eval --dry-run`: what would be measured, or all that is wrong; nothing is loaded or written."""

import json
from pathlib import Path
from typing import Any

import pytest

from speciate.cli import run
from speciate.niches import skills
from speciate.storage import write_jsonl

SUITE = """suite: small
version: 1
sampling: {max_new_tokens: 8}
sources:
  - {source: skills, families: [sums, parity], items: 3}
  - {source: skills, families: [sorting], items: 2, sampling: {max_new_tokens: 4, temperature: 1, samples: 2}}
  - source: jsonl
    role: niche
    path: quiz.jsonl
    name: quiz
    prompt: "{{ ask }}"
    answer: "{{ right }}"
    choices: ["{{ right }}", "{{ wrong }}"]
    metric: choice
"""


@pytest.fixture
def place(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a suite, and a home that is not there."""
    assert not home.exists()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.yaml").write_text(SUITE)
    rows = [{"ask": item.prompt, "right": item.reference, "wrong": item.reference + " 7"} for item in
            skills.sample("sums", 5, "quiz")]  # fmt: skip
    write_jsonl(tmp_path / "quiz.jsonl", rows)
    return tmp_path


def planned(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, dict[str, Any]]:
    status = run(["eval", *map(str, arguments), "--dry-run", "--json"])
    return status, json.loads(capsys.readouterr().out)


@pytest.fixture
def adapter(random_llama: Path, tmp_path: Path) -> Path:
    """An adapter of the base that changes what it says."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    model: Any = AutoModelForCausalLM.from_pretrained(random_llama, dtype=torch.float32)
    peft: Any = get_peft_model(model, LoraConfig(r=2, target_modules="all-linear", task_type="CAUSAL_LM"))
    with torch.no_grad():
        for key, parameter in peft.named_parameters():
            if "lora_B" in key:
                parameter.normal_(0, 0.5)
    peft.save_pretrained(tmp_path / "loud")
    return tmp_path / "loud"


def test_what_would_be_measured_is_what_is_measured(
    place: Path,
    adapter: Path,
    random_llama: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked = [adapter, "--base", random_llama, "--suite", "small.yaml"]
    before = sorted(place.rglob("*"))
    with monkeypatch.context() as without:
        without.setattr("transformers.AutoModelForCausalLM.from_pretrained", pytest.fail)
        status, plan = planned(capsys, *asked)
    assert (status, plan["schema"]) == (0, "eval-plan/1")
    assert sorted(place.rglob("*")) == before, "nothing is written"
    assert {one["family"]: (one["role"], one["items"], one["samples"]) for one in plan["families"]} == {
        "sums": ("general", 3, 1), "parity": ("general", 3, 1), "sorting": ("general", 2, 2), "quiz": ("niche", 5, 1),
    }  # fmt: skip
    assert (plan["items"], plan["answers"], plan["remembered"]) == ({"niche": 5, "general": 8}, 30, 0)
    assert [model["model"] for model in plan["models"]] == ["base", "loud"]
    assert "has no card, so nothing proves" in plan["notes"][0]

    assert run(["eval", *map(str, asked), "--json"]) == 0
    measured = json.loads(capsys.readouterr().out)
    for key in ("suite_digest", "items", "answers", "device", "base"):
        assert plan[key] == measured[key], key
    _, again = planned(capsys, *asked)
    assert [model["remembered"] for model in again["models"]] == [15, 15], "the names of answers are the runner's"
    assert run(["eval", *map(str, asked), "--dry-run"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "30 of 2 models, 30 of them given before" in shown
    assert "General 8 items of 3 families (sums 3, parity 3, sorting 2)" in shown
    assert shown.endswith("Nothing was started.")


def test_all_that_is_wrong_with_models_and_suite_is_told_at_once(
    place: Path, random_llama: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "small.yaml").write_text(SUITE.replace("sorting", "sortign").replace("quiz.jsonl", "kwiz.jsonl"))
    status, found = planned(capsys, random_llama, "ant", "bee", "--suite", "small.yaml")
    assert (status, found["error"]["kind"]) == (2, "RecipeError")
    told = found["error"]["problems"]
    assert [wanted for wanted in ("'ant'", "'bee'", "'sortign'", "'kwiz.jsonl'") if wanted not in "\n".join(told)] == []
    assert len(told) == 4
    assert not (place / "home" / "evals").exists()


def test_a_suite_that_is_wrong_by_itself_is_told_of_with_its_lines(
    place: Path, random_llama: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "small.yaml").write_text(SUITE.replace("{{ ask }}", "{{ asked }}"))
    status, found = planned(capsys, random_llama, "--suite", "small.yaml")
    assert status == 2
    [problem] = found["error"]["problems"]
    assert problem.startswith("small.yaml:7: sources.2: ")
