"""A small random base, rows for it, and a way to train on them that can be stopped and resumed."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from speciate.models.adapter import save
from speciate.models.attaching import attach
from speciate.models.base import BaseSource, Compute, load_model, load_tokenizer, locate
from speciate.models.shape import LoraShape
from speciate.niches import skills
from speciate.niches.base import Item
from speciate.storage import digest_file
from speciate.train import sft
from speciate.train.divergence import KlGuard
from speciate.train.encoding import Encoded, encode
from speciate.train.sft import Measured, Sft, Step, Trained
from speciate.train.token_losses import PLAIN, TokenLoss

SETTINGS = Sft(
    epochs=2,
    batch_size=4,
    gradient_accumulation=1,
    optimizer="adamw",
    learning_rate=1e-2,
    warmup=0.1,
    schedule="cosine",
    weight_decay=0.01,
    max_grad_norm=1.0,
    checkpoint_every=3,
    seed=0,
)
STEPS = 12
FLOAT32 = Compute("cpu", "float32", "float32")


@dataclass
class Bench:
    """A base, rows for it, and a way to train on them."""

    source: BaseSource
    tokenizer: Any
    items: list[Item]
    rows: list[Encoded]
    dev: list[Encoded] = field(default_factory=list[Encoded])

    def adapter(self, dropout: float = 0.0, seed: int = 0) -> Any:
        """A fresh adapter on a base loaded afresh."""
        return attach(
            load_model(self.source, FLOAT32), LoraShape(4, 8, dropout, "all-linear", False), self.source, seed
        )

    def train(
        self,
        out: Path,
        *,
        stop_at: int | None = None,
        dropout: float = 0.0,
        compute: Compute = FLOAT32,
        model: Any = None,
        on_step: Callable[[Step], None] = lambda _: None,
        kl: KlGuard | None = None,
        measured: Measured | None = None,
        loss: TokenLoss = PLAIN,
        **changes: Any,
    ) -> "Grown":
        """Train, from `out` on where it was stopped; `stop_at` presses Ctrl-C after that step."""
        settings = replace(SETTINGS, **changes)
        model = model or self.adapter(dropout, settings.seed)

        def told(step: Step) -> None:
            on_step(step)
            if step.step == stop_at:
                raise KeyboardInterrupt

        checkpoints = out / "checkpoints"
        names = [f"{item.family} {number}" for number, item in enumerate(self.items)]
        given = (self.rows, self.dev, settings, compute, checkpoints, told, kl, measured, loss, names)
        trained = sft.train(model, self.tokenizer, *given)
        shutil.rmtree(out / "adapter", ignore_errors=True)
        save(model, self.source, out / "adapter")
        return Grown(model.eval(), trained, out / "adapter")

    def stopped(self, out: Path, step: int, **changes: Any) -> None:
        """Train until that step, no further."""
        with pytest.raises(KeyboardInterrupt):
            self.train(out, stop_at=step, **changes)


@dataclass
class Grown:
    """What training gave."""

    model: Any
    trained: Trained
    adapter: Path

    @property
    def digest(self) -> str:
        return digest_file(self.adapter / "adapter_model.safetensors")


def bench_on(folder: Path) -> Bench:
    """Rows of three skills for the base in a folder."""
    source = locate("a-base", folder)
    tokenizer = load_tokenizer(source)
    items = [item for name in ("sums", "sorting", "parity") for item in skills.sample(name, 8, "rows")]
    rows = [encode(tokenizer, item.prompt, item.reference) for item in items]
    dev = [encode(tokenizer, item.prompt, item.reference) for item in skills.sample("sums", 4, "dev")]
    return Bench(source, tokenizer, items, rows, dev)
