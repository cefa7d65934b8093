"""The main job from the command line: real Lean, real training on the shipped base, and all that may stop it.

One run goes through undisturbed; a second with the same recipe is interrupted in every phase, killed in training, and
resumed each time. Both must end with the same bytes.
"""

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from small_runs import PROGRAM, ROOT, arguments, home_with_lean, run, run_until, weights

from speciate.evals.rows import read_rows
from speciate.niches.skills import SKILLS


@pytest.fixture(scope="module")
def environment(lean_home: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A home of its own that shares nothing but the embedded Lean."""
    return home_with_lean(lean_home, tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def whole(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The record of the undisturbed run."""
    out = tmp_path_factory.mktemp("whole") / "run"
    done = run(arguments("--json", "--out", str(out)), environment)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.lean
def test_the_record_has_all_that_the_contract_names(whole: dict[str, Any]) -> None:
    assert whole["schema"] == "run/1"
    assert whole["verdict"] == "passed"
    assert whole["gain"].keys() >= {"metric", "base", "adapter", "delta", "ci95", "n"}
    assert whole["gain"]["n"] == 16
    assert whole["forgetting"].keys() >= {"delta", "ci95_upper", "n", "nats"}
    assert whole["forgetting"]["nats"]["tokens"] > 1000
    assert whole["intact"]["logits_identical"] is True
    assert whole["intact"]["base_digest_before"] == whole["intact"]["base_digest_after"]
    assert whole["tokens_per_second"] > 0
    assert whole["peak_memory_bytes"] > 10**8
    assert {"data", "train", "intact", "total"} <= whole["seconds"].keys()
    assert whole["data"]["overlap_with_eval"] == 0
    assert {row["family"]: row["held_out"] for row in whole["families"]}["implications"] is True
    assert whole["versions"]["lean"].startswith("4.")


@pytest.mark.lean
def test_the_run_folder_holds_every_answer(whole: dict[str, Any]) -> None:
    folder = Path(whole["run_dir"])
    for model in ("base", "adapter"):
        rows = read_rows(folder / "evals", model)
        assert len(rows) == 16 + 4 + len(SKILLS) * 5
        assert {role for role, _, _ in rows.keys} == {"niche", "transfer", "general"}
        assert all(rows.column("prompt"))
    assert {drift["role"] for drift in whole["drift"]} == {"niche", "transfer", "general"}
    assert whole["contamination"]["items"] == len(rows)
    assert (whole["contamination"]["exact"], whole["contamination"]["ngram"]) == (0, 0)
    card = json.loads((Path(whole["adapter"]) / "card.json").read_text())
    assert card["gain"] == whole["gain"]
    assert card["base"]["name"] == "data/base/tiny"
    assert str(ROOT) not in (Path(whole["adapter"]) / "adapter_config.json").read_text()


@pytest.mark.lean
def test_the_resolved_recipe_runs_again(whole: dict[str, Any], environment: dict[str, str]) -> None:
    recipe = Path(whole["run_dir"]) / "recipe.yaml"
    done = run([*PROGRAM, "recipe", "check", str(recipe), "--json"], environment)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["recipes"][0]["digest"] == whole["recipe_digest"]


@pytest.mark.lean
def test_report_and_registry_show_it(whole: dict[str, Any], environment: dict[str, str]) -> None:
    shown = run([*PROGRAM, "report", whole["run_dir"]], environment)
    assert shown.returncode == 0, shown.stderr
    assert "PASSED" in shown.stdout.upper()
    listed = json.loads(run([*PROGRAM, "registry", "list", "--json"], environment).stdout)
    assert [entry["digest"] for entry in listed["entries"]] == [whole["adapter_digest"]]
    entry = run([*PROGRAM, "registry", "show", "lean-prover"], environment)
    assert entry.returncode == 0, entry.stderr
    assert whole["adapter_digest"][7:19] in entry.stdout


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[tuple[Path, Callable[[], object]]]:
    """A file system of one megabyte, and the function that makes it large. Only root may mount one."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("mounting a small file system needs root")
    place = tmp_path / "disk"
    place.mkdir()

    def mount(options: str) -> object:
        return subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)], check=True)

    mount("size=1m")
    yield place, lambda: mount("remount,size=100m")
    subprocess.run(["umount", str(place)], check=True)


@pytest.mark.lean
def test_stopped_in_every_way_it_ends_the_same(
    whole: dict[str, Any], environment: dict[str, str], small_disk: tuple[Path, Callable[[], object]]
) -> None:
    disk, enlarge = small_disk
    out = disk / "run"
    entries = Path(environment["SPECIATE_HOME"]) / "registry" / "entries"
    before = sorted(path.name for path in entries.iterdir())
    more = ["--json", "--out", str(out)]
    phases = ["making data", "evaluating the base", "training ...", "evaluating the adapter", "proving that the base"]
    for index, phase in enumerate(phases):
        resumed = ["--resume"] if index else []
        status, said = run_until(arguments(*more, *resumed), environment, phase, signal.SIGINT)
        assert status == 130, said
        assert "--resume" in said.strip().splitlines()[-1], said
        assert "Traceback" not in said
        if phase == "evaluating the base":
            full = run(arguments(*more, "--resume"), environment)
            assert full.returncode == 1, full.stderr
            assert "the disk is full" in full.stderr
            assert "--resume" in full.stderr
            assert json.loads(full.stdout)["error"]["kind"] == "StorageError"
            enlarge()
        if phase == "training ...":
            status, said = run_until(arguments(*more, "--resume"), environment, "loss", signal.SIGKILL)
            assert status == -signal.SIGKILL, said
            kept = list((out / "checkpoints").glob("checkpoint-*")) if (out / "checkpoints").exists() else []
            assert len(kept) <= 3
    assert sorted(path.name for path in entries.iterdir()) == before
    done = run(arguments(*more, "--resume"), environment)
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert weights(record) == weights(whole)
    assert record["adapter_digest"] == whole["adapter_digest"]
    again = run(arguments(*more, "--resume"), environment)
    assert json.loads(again.stdout) == record, "a finished run is shown, not run again"


@pytest.mark.lean
def test_resuming_something_else_is_refused_by_name(whole: dict[str, Any], environment: dict[str, str]) -> None:
    out = ["--out", whole["run_dir"]]
    done = run(arguments("--resume", *out, train__learning_rate="1e-3", train__lora__r="4"), environment)
    assert done.returncode == 2
    assert "train.learning_rate: 0.005 -> 0.001" in done.stderr
    assert "train.lora.r:" in done.stderr
    fresh = run(arguments(*out), environment)
    assert fresh.returncode == 2
    assert "holds files already" in fresh.stderr


def test_bad_input_starts_nothing(tmp_path: Path) -> None:
    home = tmp_path / "home"
    environment = os.environ | {"SPECIATE_HOME": str(home), "HF_HUB_OFFLINE": "1"}
    empty = tmp_path / "empty"
    empty.mkdir()
    cases = {
        "no/such-base": "model hub cannot be reached",
        str(empty): "has no config.json",
        "./nothing": "there is no such folder",
    }
    for base, message in cases.items():
        done = run([*PROGRAM, "train", "recipes/lean.yaml", "--set", f"base.model={base}"], environment)
        assert (done.returncode, message in done.stderr) == (2, True), done.stderr
    family = run([*PROGRAM, "train", "recipes/lean.yaml", "--set", "niche.held_out=[implication]"], environment)
    assert family.returncode == 2
    assert "did you mean 'implications'" in family.stderr
    weight = run([*PROGRAM, "train", "recipes/lean.yaml", "--set", "data.weights={implications: 2}"], environment)
    assert weight.returncode == 2
    assert "data.weights.implications: is a family that is not trained on" in weight.stderr
    assert not home.exists(), "nothing may be written for a recipe that cannot run"


def test_an_unwritable_home_is_named(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    environment = os.environ | {"SPECIATE_HOME": str(blocked / "home"), "HF_HUB_OFFLINE": "1"}
    done = run([*PROGRAM, "train", "recipes/lean.yaml"], environment)
    assert done.returncode == 2
    assert "SPECIATE_HOME" in done.stderr


def test_a_dry_run_loads_nothing_and_writes_nothing(tmp_path: Path) -> None:
    environment = os.environ | {"SPECIATE_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "1"}
    done = run([*PROGRAM, "train", "recipes/lean.yaml", "--dry-run", "--json", "--set", "train.lora.r=8"], environment)
    assert done.returncode == 0, done.stderr
    plan = json.loads(done.stdout)
    assert plan["schema"] == "plan/1"
    assert plan["recipe"]["train"]["lora"]["r"] == 8
    assert plan["sample"].count("⟦") == 1
    assert plan["sample"].endswith("<|end|>⟧")
    assert plan["steps"] > 0
    assert plan["estimated_seconds"]["total"] > 0
    assert not (tmp_path / "home").exists()
