"""A run with every guard, several stages, looks on the way and a choice of strengths, killed wherever it can be."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest
from small_runs import arguments, home_with_lean, run, run_until, weights

GUARDED = {
    "train": "[{epochs: 3, batch_size: 16, checkpoint_every: 4, learning_rate: 5e-3, max_length: 256, optimizer: muon, "
    "lora: {r: 8, alpha: 16}}, {epochs: 1, rows: niche, learning_rate: 2e-3}]",
    "guard__replay": "0.3",
    "guard__replay_from": "self",
    "guard__kl": "{on: self, coefficient: 0.5, rows: 4, texts: 40}",
    "guard__on_policy": "{samples: 1, fraction: 0.2}",
    "guard__distill": "{fraction: 0.1}",
    "stop": "{every: 7, items: 1}",
    "strength": "{tried: [1.0, 0.5], items: 1}",
}
KILLED_AT = [
    "hearing what the base says by itself ...",
    "trying the adapter at step 7 ...",
    "trying the adapter at step 14: done",
    "training, stage 2 of 2 ...",
    "strength 0.5 ...",
]


@pytest.mark.lean
def test_killed_anywhere_it_ends_with_the_same_bytes(lean_home: Path, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    environment = home_with_lean(lean_home, tmp_path / "home")
    whole = run(arguments("--json", "--out", str(tmp_path / "whole"), **GUARDED), environment)
    assert whole.returncode == 0, whole.stderr
    record: dict[str, Any] = json.loads(whole.stdout)
    assert set(record["chosen"]) == {"checkpoint", "strength"}
    for number, place in enumerate(KILLED_AT):
        resumed = ["--resume"] if number else []
        command = arguments("--json", "--out", str(tmp_path / "killed"), *resumed, **GUARDED)
        status, said = run_until(command, environment, place, signal.SIGKILL)
        assert status == -signal.SIGKILL, (place, said)
    done = run(arguments("--json", "--out", str(tmp_path / "killed"), "--resume", **GUARDED), environment)
    assert done.returncode == 0, done.stderr
    again: dict[str, Any] = json.loads(done.stdout)
    assert weights(again) == weights(record)
    assert again["chosen"] == record["chosen"]
    assert again["data"]["digest"] == record["data"]["digest"]
    own = again["data"]["own_answers"]
    assert (own["replay"] > 0, own["asked"] > 0, own["shown"] > 0) == (True, True, True)
    assert again["intact"]["logits_identical"]
