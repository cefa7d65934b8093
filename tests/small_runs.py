"""The main job from the command line, small enough for a test: the same phases, real Lean, the shipped base."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from speciate.niches.lean.setup import ensure_embedded

ROOT = Path(__file__).parents[1]
SMALL = {
    "niche.families": "[conjunctions, linear]",
    "niche.held_out": "[implications]",
    "data.weights": "null",
    "data.train_items": "64",
    "data.dev_items": "6",
    "data.test_items": "16",
    "data.held_out_items": "4",
    "train.epochs": "6",
    "train.batch_size": "16",
    "train.checkpoint_every": "4",
    "train.learning_rate": "5e-3",
    "train.lora.r": "16",
    "train.lora.alpha": "32",
    "train.lora.init_rows": "16",
    "train.lora.init_texts": "4",
    "guard.replay": "0.2",
    "evals.general_items": "5",
    "gates.min_gain": "-1",
    "gates.max_forgetting": "0.9",
}
PROGRAM = [sys.executable, "-c", "from speciate.cli import main; main()"]


def arguments(*more: str, **changes: str) -> list[str]:
    """`train` with the small settings."""
    settings = SMALL | {key.replace("__", "."): value for key, value in changes.items()}
    pairs = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    return [*PROGRAM, "train", "recipes/lean.yaml", *pairs, *more]


def run(command: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=400, stdin=subprocess.DEVNULL
    )


def run_until(command: list[str], environment: dict[str, str], text: str, number: int) -> tuple[int, str]:
    """Send signal `number` once `text` stands on stderr; the exit status and all of stderr."""
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        seen = ""
        for line in process.stderr:
            seen += line
            if text in line:
                process.send_signal(number)
                break
        seen += process.stderr.read()
        return process.wait(timeout=120), seen


def home_with_lean(lean_home: Path, home: Path) -> dict[str, str]:
    """The environment of a home that shares nothing with another but the embedded Lean."""
    (home / "cache").mkdir()
    ensure_embedded()
    for part in (lean_home / "cache").iterdir():
        if part.is_dir():
            (home / "cache" / part.name).symlink_to(part)
    return os.environ | {"SPECIATE_HOME": str(home), "HF_HUB_OFFLINE": "1"}


def weights(record: dict[str, Any]) -> bytes:
    return (Path(record["run_dir"]) / "adapter" / "adapter_model.safetensors").read_bytes()
