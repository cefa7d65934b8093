"""`speciate eval` and `compare` on the shipped base: real answers, adapters made on the spot, all that may go wrong."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from speciate.cli import run
from speciate.niches import skills
from speciate.storage import write_jsonl

ROOT = Path(__file__).parents[2]
BASE = ROOT / "data" / "base" / "tiny"
SUITE = """suite: small
version: 1
sampling: {max_new_tokens: 40}
sources:
  - source: skills
    families: [sums, sorting, parity]
    items: 6
    chance: {parity: 0.5}
  - source: jsonl
    role: niche
    path: quiz.jsonl
    name: quiz
    prompt: "{{ ask }}"
    answer: "{{ right }}"
    choices: ["{{ right }}", "{{ wrong }}"]
    metric: choice
text: texts.jsonl
"""
Speciate = Callable[..., tuple[int, dict[str, Any], str]]


@pytest.fixture(scope="module")
def adapters(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """PEFT folders: two that speak, one that changes nothing, one of another base, one that rewrites its base."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoConfig, AutoModelForCausalLM

    folder = tmp_path_factory.mktemp("adapters")

    def make(name: str, model: Any, scale: float, **more: Any) -> None:
        torch.manual_seed(len(name))
        settings: dict[str, Any] = {"r": 4, "target_modules": "all-linear", "task_type": "CAUSAL_LM"} | more
        peft: Any = get_peft_model(model, LoraConfig(**settings))
        with torch.no_grad():
            for key, parameter in peft.named_parameters():
                if "lora_B" in key and scale:
                    parameter.normal_(0, scale)
        peft.peft_config["default"].base_model_name_or_path = "data/base/tiny"
        peft.save_pretrained(folder / name, save_embedding_layers=False)

    def base() -> Any:
        return AutoModelForCausalLM.from_pretrained(BASE, dtype=torch.float32)

    make("mild", base(), 0.01)
    make("wild", base(), 2.0)
    make("inert", base(), 0.0)
    make("pissa", base(), 0.0, init_lora_weights="pissa")
    config = AutoConfig.from_pretrained(BASE)
    config.num_hidden_layers += 1
    config.layer_types = [*config.layer_types, config.layer_types[0]]
    make("taller", AutoModelForCausalLM.from_config(config), 0.01)
    config = AutoConfig.from_pretrained(BASE)
    config.hidden_size *= 2
    make("wider", AutoModelForCausalLM.from_config(config), 0.01)
    make("shorter", base(), 0.01, target_modules=["q_proj", "down_proj"], layers_to_transform=[0])
    return folder


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with suites in it, below which the shipped base is found, and an empty home."""
    monkeypatch.setenv("SPECIATE_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data" / "base").mkdir(parents=True)
    (tmp_path / "data" / "base" / "tiny").symlink_to(BASE)
    suites = tmp_path / "evals" / "suites"
    suites.mkdir(parents=True)
    (suites / "small.yaml").write_text(SUITE)
    rows = [{"ask": item.prompt, "right": item.reference, "wrong": item.reference + " 7"} for item in
            skills.sample("sums", 5, "quiz")]  # fmt: skip
    write_jsonl(tmp_path / "quiz.jsonl", rows)
    write_jsonl(tmp_path / "texts.jsonl", [{"text": "Ada went to the barn."}, {"text": "Ben had a kite."}])
    return tmp_path


@pytest.fixture
def speciate(place: Path, capsys: pytest.CaptureFixture[str]) -> Speciate:
    """Runs a command with --json: its exit status, its document, and what it said on stderr."""
    assert place.is_dir()

    def call(*arguments: str | Path) -> tuple[int, dict[str, Any], str]:
        status = run([str(argument) for argument in (*arguments, "--json")])
        out, err = capsys.readouterr()
        return status, json.loads(out), err

    return call


def test_a_base_and_its_adapters_are_measured_together(speciate: Speciate, adapters: Path, place: Path) -> None:
    status, found, said = speciate("eval", adapters / "mild", adapters / "wild", "--suite", "small")
    assert status == 0, said
    assert found["schema"] == "eval/1"
    base, mild, wild = found["models"]
    assert [model["model"] for model in found["models"]] == ["base", "mild", "wild"]
    assert found["items"] == {"niche": 5, "general": 18}
    assert (found["answers"], found["recalled"]) == (69, 0)
    assert found["tokens_per_second"] > 0
    general = {score["role"]: score for score in base["scores"]}["general"]
    assert general["value"] > 0.8
    assert general["ci95"][0] < general["value"] <= general["ci95"][1]
    assert wild["forgetting"]["delta"] > 0.5 > mild["forgetting"]["delta"]
    assert wild["drift"][0]["forward"] > mild["drift"][0]["forward"] > 0
    assert wild["nats"]["delta"] != 0
    assert wild["gain"]["n"] == 5
    assert {family["family"]: family["chance"] for family in mild["general"]} == {
        "parity": 0.5, "sorting": 0.0, "sums": 0.0,
    }  # fmt: skip
    assert {family["family"]: family["chance"] for family in mild["families"]} == {"quiz": 0.5}
    assert [note for note in found["notes"] if "has no card, so nothing proves" in note]
    folder = Path(found["eval_dir"])
    assert sorted(path.name for path in (folder / "evals").glob("*.parquet")) == [
        "base.parquet", "mild.parquet", "wild.parquet",
    ]  # fmt: skip
    _, again, _ = speciate("eval", adapters / "mild", adapters / "wild", "--suite", "small")
    assert again["recalled"] == again["answers"], "what was answered before is not asked again"
    assert again["tokens_per_second"] == 0, "nothing was generated"
    assert [model["scores"] for model in again["models"]] == [model["scores"] for model in found["models"]]
    status, compared, _ = speciate("compare", folder, "--html", place / "page.html", "--markdown", place / "page.md")
    assert status == 0
    assert [arm["label"] for arm in compared["arms"]] == ["mild", "wild"]
    assert {one["role"] for one in compared["contrasts"]} == {"niche", "general"}
    assert compared["flips_total"] >= len(compared["flips"]) > 0
    assert "wild" in (place / "page.html").read_text()
    assert "| wild" in (place / "page.md").read_text()
    assert run(["eval", str(adapters / "mild"), "--suite", "small"]) == 0


@pytest.mark.parametrize(
    ("name", "status", "message"),
    [
        ("inert", 2, "loads but changes nothing"),
        ("pissa", 2, "rewrites its base when it is loaded"),
        ("taller", 2, "was made for another base"),
        ("wider", 2, "does not fit its base"),
    ],
)
def test_an_adapter_that_is_not_of_this_base_has_no_score(
    speciate: Speciate, adapters: Path, place: Path, name: str, status: int, message: str
) -> None:
    found, document, said = speciate("eval", adapters / name, adapters / "mild", "--suite", "small")
    assert found == status, said
    assert document["schema"] == "error/1"
    assert message in document["error"]["message"]
    assert not list((place / "home" / "evals").glob("*/eval.json"))


def test_an_adapter_of_some_layers_is_one(speciate: Speciate, adapters: Path) -> None:
    status, found, said = speciate("eval", adapters / "shorter", "--suite", "small", "--limit", "2")
    assert status == 0, said
    assert found["models"][1]["model"] == "shorter"


def test_names_that_mean_nothing_or_too_much_are_refused(speciate: Speciate, adapters: Path, place: Path) -> None:
    cases = [
        (["eval", "mildd", "--suite", "small"], "no entry 'mildd' in the registry"),
        (["eval", str(place / "nowhere"), "--suite", "small"], "there is no adapter or base at"),
        (["eval", "data/base/tiny", "--suite", "smal"], "there is no suite 'smal'"),
        (["eval", "data/base/tiny", "--suite", "nothing.yaml"], "there is no suite 'nothing.yaml'"),
        (["eval", str(adapters / "mild"), str(adapters / "mild") + "/", "--suite", "small"], "are the same adapter"),
        (["eval", "data/base/tiny", str(BASE.parent / "tiny"), "--suite", "small"], "of one base and its adapters"),
        (["compare", "nothing"], "there is no finished run or species 'nothing'"),
    ]
    for arguments, message in cases:
        status, document, _ = speciate(*arguments)
        assert (status, message in document["error"]["message"]) == (2, True), document
    assert not (place / "home" / "evals").exists(), "nothing is written for what cannot run"


def test_an_adapter_whose_card_names_other_bytes_is_refused(speciate: Speciate, adapters: Path, place: Path) -> None:
    run_folder = place / "run"
    shutil.copytree(adapters / "mild", run_folder / "adapter")
    start = {
        "speciate": "0",
        "schema": "run-start/1",
        "species": "mine",
        "created": "",
        "versions": {},
        "recipe": {"species": "mine", "seed": 3},
        "base": {"name": "data/base/tiny", "revision": None, "digest": "sha256:" + "0" * 64},
    }
    (run_folder / "start.json").write_text(json.dumps(start))
    for reference in (run_folder, run_folder / "adapter"):
        status, document, _ = speciate("eval", reference, "--suite", "small")
        assert status == 2
        assert "was trained on another base" in document["error"]["message"]
        assert "0" * 64 in document["error"]["message"]


def test_items_in_the_training_rows_are_left_out_or_too_many(speciate: Speciate, adapters: Path, place: Path) -> None:
    items = skills.sample("sorting", 6, "general")
    write_jsonl(place / "rows.jsonl", [{"prompt": items[0].prompt.upper(), "completion": "x"}, {"text": "unlike"}])
    given = ("eval", adapters / "mild", "--suite", "small", "--train-rows", place / "rows.jsonl")
    status, found, said = speciate(*given)
    assert status == 0, said
    assert found["items"]["general"] == 17
    assert found["models"][1]["contamination"] == {"rows": 2, "items": 23, "exact": 1, "ngram": 0, "limit": 0.05}
    write_jsonl(place / "rows.jsonl", [{"prompt": item.prompt} for item in items])
    status, document, _ = speciate(*given)
    assert status == 2
    assert "6 of 23 evaluation items are in the training rows" in document["error"]["message"]


def test_different_suites_are_compared_on_what_is_common_or_not_at_all(
    speciate: Speciate, adapters: Path, place: Path
) -> None:
    suite = place / "evals" / "suites" / "small.yaml"
    _, first, _ = speciate("eval", adapters / "mild", "--suite", "small")
    suite.write_text(SUITE.replace("version: 1", "version: 2"))
    _, second, _ = speciate("eval", adapters / "wild", "--suite", "small")
    suite.write_text(SUITE.replace("items: 6", "items: 4"))
    _, third, _ = speciate("eval", "data/base/tiny", "--suite", "small")
    folders = [found["eval_dir"] for found in (first, second, third)]
    status, document, _ = speciate("compare", *folders[:2])
    assert status == 2
    for part in (
        f"{Path(folders[0]).name}/mild: suite small version 1 (5 niche, 18 general items) sha256:",
        f"{Path(folders[1]).name}/wild: suite small version 2 (5 niche, 18 general items) sha256:",
        "answered the same items: it is the version, the sampling",
    ):
        assert part in document["error"]["message"]
    assert {first["suite_digest"], second["suite_digest"]} <= set(
        document["error"]["message"].replace("\n", " ").split()
    )
    status, document, _ = speciate("compare", folders[0], folders[2])
    assert status == 2
    assert "12 general items with digest sha256:" in document["error"]["message"]
    assert "parity (6 and 4 items, 4 of them the same)" in document["error"]["message"]
    status, compared, _ = speciate("compare", folders[0], folders[2], "--common")
    assert status == 0
    assert (compared["items"], compared["left_out"]) == ({"niche": 5, "general": 12}, {"general": 6})
    assert [arm["gain"] is None for arm in compared["arms"]] == [False, True]


def test_folders_of_one_name_have_labels_that_differ(speciate: Speciate, adapters: Path, place: Path) -> None:
    for name in ("mild", "wild"):
        shutil.copytree(adapters / name, place / f"run of {name}" / "adapter")
    given = [place / f"run of {name}" / "adapter" for name in ("mild", "wild")]
    status, both, said = speciate("eval", *given, "--suite", "small", "--limit", "2", "--out", place / "one" / "out")
    assert status == 0, said
    assert [model["model"] for model in both["models"]] == ["base", "run-of-mild-adapter", "run-of-wild-adapter"]
    status, _, _ = speciate("eval", given[0], "--suite", "small", "--limit", "2", "--out", place / "two" / "out")
    assert status == 0
    status, compared, said = speciate("compare", place / "one" / "out", place / "two" / "out")
    assert status == 0, said
    assert [arm["runs"] for arm in compared["arms"]] == [
        ["out/run-of-mild-adapter"], ["out/run-of-wild-adapter"], ["out/adapter"],
    ]  # fmt: skip
    alone = [speciate("eval", "data/base/tiny", "--suite", "small", "--limit", "2", "--out", place / name / "base")[0]
             for name in ("one", "two")]  # fmt: skip
    assert alone == [0, 0]
    status, compared, said = speciate("compare", place / "one" / "base", place / "two" / "base")
    assert status == 0, said
    assert [arm["label"] for arm in compared["arms"]] == [
        "data/base/tiny (one/base/base)", "data/base/tiny (two/base/base)",
    ]  # fmt: skip
    status, document, _ = speciate("compare", place / "one" / "base", place / "two" / ".." / "one" / "base")
    assert status == 2
    assert "is named twice: name each run and each evaluation once" in document["error"]["message"]


def test_a_base_by_itself_has_a_score_and_nothing_of_an_adapter(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = place / "page.html"
    given = ["eval", "data/base/tiny", "--suite", "small", "--limit", "2", "--html", str(page)]
    for times in ("answers in", "answers, all of them recalled, none generated"):
        assert run(given) == 0
        shown = " ".join(capsys.readouterr().out.split())
        assert times in shown
        assert "BASE ALONE data/base/tiny" in shown
        assert "by itself scores" in shown
        assert "in general (95% interval" in shown
        assert "adapter" not in shown
    assert "Gain and forgetting" not in page.read_text()


def test_an_evaluation_that_was_killed_goes_on(adapters: Path, place: Path) -> None:
    suite = SUITE.replace("items: 6", "items: 60")
    (place / "evals" / "suites" / "small.yaml").write_text(suite)
    program = [sys.executable, "-c", "from speciate.cli import main; main()"]
    command = [*program, "eval", str(adapters / "mild"), "--suite", "small", "--batch-size", "8", "--json"]
    environment = os.environ | {"SPECIATE_HOME": str(place / "home"), "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, cwd=place, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:  # fmt: skip # noqa: E501
        assert process.stderr is not None
        cache = place / "home" / "cache" / "answers.sqlite"
        while not (cache.exists() and _kept(cache) > 16):
            assert process.poll() is None, process.stderr.read()
        process.send_signal(signal.SIGKILL)
    [folder] = (place / "home" / "evals").iterdir()
    assert not (folder / "eval.json").exists()
    done = subprocess.run(
        [*command, "--resume"], cwd=place, env=environment, capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["eval_dir"] == str(folder)
    assert 16 < found["recalled"] < found["answers"]
    other = subprocess.run(
        [*command[:-1], "--limit", "2", "--resume", "--out", str(folder)], cwd=place, env=environment,
        capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    assert other.returncode == 2
    assert "began with something else" in other.stderr
    assert "--limit: none then, 2 now" in other.stderr
    again = subprocess.run(
        [*command, "--resume"], cwd=place, env=environment, capture_output=True, text=True, timeout=200
    )
    assert json.loads(again.stdout) == found, "a finished evaluation is shown, not run again"


def _kept(cache: Path) -> int:
    import sqlite3

    try:
        with sqlite3.connect(cache) as database:
            return database.execute("SELECT count(*) FROM answers").fetchone()[0]
    except sqlite3.OperationalError:
        return 0
