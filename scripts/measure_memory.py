"""Memory of a training, estimated and measured: the shipped base, and a Qwen3 of random weights with 72M parameters.

    uv run python scripts/measure_memory.py [--out evals/results/memory/cpu.json]

Each case trains three steps of equal rows in a process of its own, whose highest resident size is what is measured.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from speciate.models.base import BaseSource, Compute, find_compute, load_model, load_tokenizer
from speciate.models.shape import LoraShape
from speciate.recipe.hardware import Hardware
from speciate.storage import write_json, write_text
from speciate.train.divergence import KlGuard
from speciate.train.encoding import Encoded
from speciate.train.footprint import Footprint, Work, footprint, gib
from speciate.train.sft import Sft, Step, train
from speciate.train.token_losses import TokenLoss

ROOT = Path(__file__).parent.parent
SHAPE = LoraShape(32, 64, 0.0, "all-linear", False)
SETTINGS = Sft(
    epochs=1, batch_size=8, gradient_accumulation=1, optimizer="adamw", learning_rate=1e-4, warmup=0.0,
    schedule="constant", weight_decay=0.0, max_grad_norm=1.0, checkpoint_every=1000, seed=0,
)  # fmt: skip
LENGTH, STEPS = 256, 3
CASES: dict[str, dict[str, Any]] = {
    "plain": {},
    "activation_checkpointing": {"settings": {"activation_checkpointing": True}},
    "sdpa": {"attention": "sdpa"},
    "float32": {"training": "float32"},
    "muon": {"settings": {"optimizer": "muon"}},
    "nf4": {"quantization": "nf4"},
    "nf4, activation_checkpointing": {"quantization": "nf4", "settings": {"activation_checkpointing": True}},
    "bfloat16 weights": {"weights": "bfloat16"},
    "kl of 4 rows": {"held": 4},
    "mask-target": {"loss": "mask-target"},
}


def make_base(folder: Path) -> Path:
    """A Qwen3 of random weights, 72M parameters, with the tokenizer of the shipped base."""
    import torch

    from speciate.models.tiny import make_model

    model: Any = make_model(
        vocabulary=32_000, hidden=640, layers=10, heads=10, kv_heads=5, intermediate=2048, context=1024, seed=0
    )
    model.to(torch.bfloat16).save_pretrained(folder)
    load_tokenizer(source_of(ROOT / "data/base/tiny")).save_pretrained(folder)
    return folder


def source_of(folder: Path) -> BaseSource:
    """A base whose bytes do not matter."""
    return BaseSource(folder.name, None, folder, "")


def work_of(base: Path, case: dict[str, Any]) -> Work:
    """One case."""
    from speciate.models.skeleton import sizes

    found = find_compute()
    compute = Compute(found.device, case.get("weights", found.weights), case.get("training", found.training))
    attention = case.get("attention", "auto")
    settings = replace(SETTINGS, **case.get("settings", {}))
    hardware = Hardware(attention=attention, activation_checkpointing=settings.activation_checkpointing)
    quantization = case.get("quantization", "none")
    compute = replace(compute, attention=attention)
    held, whole = case.get("held", 0), case.get("loss") == "mask-target"
    found_sizes = sizes(source_of(base), SHAPE)
    return Work(found_sizes, settings, compute, hardware, quantization, SHAPE.r, LENGTH, held, whole)


def measured(base: Path, name: str) -> int:
    """Train in this process; its highest resident size in bytes."""
    from speciate.models.attaching import attach

    source, work = source_of(base), work_of(base, CASES[name])
    model = attach(load_model(source, work.compute, work.quantization), SHAPE, source, 0)
    rows = [Encoded(list(range(5, 5 + LENGTH)), list(range(5, 5 + LENGTH)))] * (STEPS * SETTINGS.batch_size)
    kl = KlGuard(rows[:8], work.held, 1.0, "forward", 0) if work.held else None
    loss = TokenLoss(kind=CASES[name].get("loss", "nll"))
    with tempfile.TemporaryDirectory() as out:
        given = (rows, [], work.settings, work.compute, Path(out), list[Step]().append)
        train(model, load_tokenizer(source), *given, kl=kl, loss=loss)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def page(document: dict[str, Any]) -> str:
    """The README beside the figures."""
    rows = [
        f"| {case['base']} | {case['case']} | {gib(case['estimate'])} | {gib(case['measured'] or 0)} "
        f"| {case['estimate_over_measured']} |"
        for case in document["cases"]
    ]
    return "\n".join(
        [
            "# Memory of a training: estimated and measured\n",
            f"`uv run python scripts/measure_memory.py` trains {STEPS} steps of {document['rows']} (LoRA, r {SHAPE.r},",
            "all linear layers) in a process for each case, and sets its highest resident size against the arithmetic",
            f"of `speciate/train/footprint.py`. The device was a {document['device'].upper()}; no GPU was measured.",
            "The parts of each estimate are in `cpu.json`.\n",
            "| base | case | estimated | measured | ratio |",
            "|---|---|---|---|---|",
            *rows,
            "",
        ]
    )


def main() -> None:
    """Measure all cases, and say how estimate and measurement compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "evals/results/memory/cpu.json")
    parser.add_argument("--case", choices=CASES, action="append", help="only this case; the file is not written")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        print(json.dumps(measured(Path(asked.child[0]), asked.child[1])))
        return
    found: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        bases = {"data/base/tiny": ROOT / "data/base/tiny", "qwen3-random-72m": make_base(Path(folder))}
        for label, base in bases.items():
            for name in asked.case or CASES:
                case = CASES[name]
                work = work_of(base, case)
                estimate: Footprint | None = footprint(work)
                assert estimate is not None
                done = subprocess.run(
                    [sys.executable, __file__, "--child", str(base), name], capture_output=True, text=True, check=False
                )
                peak = int(done.stdout.splitlines()[-1]) if done.returncode == 0 else None
                ratio = round(estimate.total / peak, 2) if peak else None
                found.append(
                    {"base": label, "parameters": work.base.parameters, "trainable": work.base.trainable, "case": name,
                     "precision": [work.compute.weights, work.compute.training], "estimate": estimate.total,
                     "parts": asdict(estimate), "measured": peak, "estimate_over_measured": ratio,
                     "failed": None if peak else done.stderr.strip().splitlines()[-1]}
                )  # fmt: skip
                print(f"{label:18} {name:30} {gib(estimate.total):>9} estimated, {gib(peak or 0):>9} measured, {ratio}")
                print("   ", estimate.words(), flush=True)
    rows = f"{SETTINGS.batch_size} rows of {LENGTH} tokens"
    document = {"schema": "memory/1", "device": find_compute().device, "rows": rows, "cases": found}
    if not asked.case:
        write_json(asked.out, document)
        write_text(asked.out.with_name("README.md"), page(document))


if __name__ == "__main__":
    main()
