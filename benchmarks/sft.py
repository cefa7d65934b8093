"""Training speed of speciate's supervised stage against bare TRL, and what each guard costs: by turns in one process.

    uv run python benchmarks/sft.py --out evals/results/sft

All train the same rows (theorems with their proofs) once, in batches of 16, with the same LoRA, optimizer, precision
and attention, from the shipped base loaded afresh. TRL's SFTTrainer gets the rows as prompt and completion; once in the
order that it draws, and once in batches of like length, which it can group. The tokens per second of a guard are those
of the rows that are trained on, so that what it reads beside them is its cost. Run it with nothing else running.
"""

import argparse
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from statistics import median
from typing import Any, cast

os.environ.update(HF_HUB_OFFLINE="1", OMP_WAIT_POLICY="PASSIVE", TQDM_DISABLE="1")
os.environ["HF_DATASETS_DISABLE_PROGRESS_BARS"] = "1"

from speciate.data.build import shares, skill_rows
from speciate.models.attaching import attach
from speciate.models.base import Compute, load_model, load_tokenizer, locate
from speciate.models.shape import LoraShape
from speciate.niches.base import Item
from speciate.niches.lean import niche as lean
from speciate.niches.lean.families import FAMILIES
from speciate.niches.splits import draw
from speciate.train.divergence import KlGuard
from speciate.train.encoding import Encoded, encode
from speciate.train.sft import Sft, Step, train
from speciate.train.token_losses import PLAIN, TokenLoss

ROOT = Path(__file__).parents[1]
BASE = "data/base/tiny"
COMPUTE = Compute("cpu", "float32", "bfloat16")
SHAPE = LoraShape(32, 64, 0.0, "all-linear", False)
ROWS, ROUNDS, HELD = 1600, 3, 8
SETTINGS = Sft(
    epochs=1, batch_size=16, gradient_accumulation=1, optimizer="adamw", learning_rate=1e-3, warmup=0.05,
    schedule="cosine", weight_decay=0.0, max_grad_norm=1.0, checkpoint_every=10_000, seed=0,
)  # fmt: skip
Run = Callable[[Sequence[Item]], float]
"""Seconds of training on rows."""


def silent(_step: Step) -> None:
    """Tells nobody of a step."""


def ours(kl: KlGuard | None = None, loss: TokenLoss = PLAIN) -> Run:
    """speciate's stage with a guard."""

    def run(items: Sequence[Item]) -> float:
        source = locate(BASE, ROOT / BASE)
        tokenizer = load_tokenizer(source)
        model = attach(load_model(source, COMPUTE), SHAPE, source, 0)
        rows = [encode(tokenizer, item.prompt, item.reference) for item in items]
        with tempfile.TemporaryDirectory() as folder:
            given = (rows, [], SETTINGS, COMPUTE, Path(folder), silent, kl, None, loss)
            return train(model, tokenizer, *given).seconds

    return run


def bare(sampling: str) -> Run:
    """TRL's trainer as its documentation shows it."""

    def run(items: Sequence[Item]) -> float:
        from datasets import Dataset
        from peft import LoraConfig
        from trl.trainer.sft_config import SFTConfig
        from trl.trainer.sft_trainer import SFTTrainer

        source = locate(BASE, ROOT / BASE)
        tokenizer = load_tokenizer(source)
        told = [
            {
                "prompt": [{"role": "user", "content": item.prompt}],
                "completion": [{"role": "assistant", "content": item.reference}],
            }
            for item in items
        ]
        with tempfile.TemporaryDirectory() as folder:
            arguments = SFTConfig(
                output_dir=folder,
                num_train_epochs=1,
                per_device_train_batch_size=SETTINGS.batch_size,
                learning_rate=SETTINGS.learning_rate,
                warmup_steps=SETTINGS.warmup,
                lr_scheduler_type=SETTINGS.schedule,
                max_grad_norm=SETTINGS.max_grad_norm,
                optim="adamw_torch_fused",
                use_cpu=True,
                bf16=True,
                gradient_checkpointing=False,
                train_sampling_strategy=sampling,
                dataloader_pin_memory=False,
                max_length=None,
                save_strategy="no",
                report_to="none",
                disable_tqdm=True,
            )
            trainer = SFTTrainer(
                model=cast(Any, load_model(source, COMPUTE)),
                args=arguments,
                train_dataset=Dataset.from_list(told),
                processing_class=tokenizer,
                peft_config=LoraConfig(r=SHAPE.r, lora_alpha=int(SHAPE.alpha), target_modules="all-linear"),
            )
            started = time.perf_counter()
            trainer.train()
            return time.perf_counter() - started

    return run


def theorems(count: int) -> list[Item]:
    """Theorems of all families with their proofs."""
    names = list(FAMILIES)
    drawn, _ = draw(lean.stream, "benchmark", shares(count, names), "train", ())
    return drawn


def held(tokenizer: Any, whole: bool) -> KlGuard:
    """Rows of general skills to hold, all of their words or the answers alone."""
    rows = [encode(tokenizer, item.prompt, item.reference) for item in skill_rows(512, "benchmark")]
    kept = [Encoded(row.input_ids, list(row.input_ids)) if whole else row for row in rows]
    return KlGuard(kept, HELD, 1.0, "forward", 0)


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    options = parser.parse_args()
    items = theorems(ROWS)
    tokenizer = load_tokenizer(locate(BASE, ROOT / BASE))
    tokens = sum(len(encode(tokenizer, item.prompt, item.reference).input_ids) for item in items)
    runs: dict[str, Run] = {
        "speciate": ours(),
        "TRL": bare("random"),
        "TRL, like lengths": bare("group_by_length"),
        f"speciate, kl on answers of {HELD} rows": ours(held(tokenizer, whole=False)),
        f"speciate, kl on {HELD} whole rows": ours(held(tokenizer, whole=True)),
        "speciate, loss dft": ours(loss=TokenLoss("dft")),
        "speciate, loss entropy": ours(loss=TokenLoss("entropy")),
        "speciate, loss selective": ours(loss=TokenLoss("selective")),
        "speciate, loss mask-target": ours(loss=TokenLoss("mask-target")),
    }
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    ours()(items[:160])
    for round_ in range(options.rounds):
        for name, run in runs.items():
            seconds[name].append(run(items))
            print(f"round {round_ + 1}: {name}: {tokens / seconds[name][-1]:,.0f} tokens/s", flush=True)
    record = {
        "rows": len(items),
        "tokens": tokens,
        "steps": SETTINGS.steps(len(items)),
        "tokens_per_second": {
            name: {"median": tokens / median(took), "least": tokens / max(took), "most": tokens / min(took)}
            for name, took in seconds.items()
        },
        "ratio_to_trl": {
            name: {
                other: median(theirs / mine for mine, theirs in zip(seconds[name], seconds[other], strict=True))
                for other in ("TRL", "TRL, like lengths")
            }
            for name in runs
        },
        "machine": {"cores": os.cpu_count(), "platform": platform.platform(), "python": platform.python_version()},
        "versions": {name: metadata.version(name) for name in ("speciate", "torch", "transformers", "peft", "trl")},
    }
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "cpu-2-cores.json").write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
