"""One optimizer step on an adapter of the shipped base: `torch.optim.Muon` against stacks, side by side, as a ratio.

uv run python benchmarks/muon.py
"""

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import torch

from speciate.train.muon import StackedMuon

SHAPES = [(32, 256)] * 24 + [(32, 640)] * 4 + [(256, 32)] * 20 + [(640, 32)] * 8
"""LoRA of rank 32 on all seven matrices of four layers."""


def matrices(seed: int) -> list[torch.nn.Parameter]:
    """One adapter."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.nn.Parameter(torch.randn(shape, generator=generator) * 0.02) for shape in SHAPES]


def milliseconds(step: Callable[[], Any]) -> float:
    """Of one step."""
    started = time.perf_counter()
    step()
    return 1000 * (time.perf_counter() - started)


def main() -> None:
    """Measure and print."""
    ours, theirs = matrices(0), matrices(0)
    stacked = StackedMuon(ours, lr=1e-3, weight_decay=0.01)
    single = torch.optim.Muon(theirs, lr=1e-3, weight_decay=0.01, adjust_lr_fn="match_rms_adamw")
    pairs: list[tuple[float, float]] = []
    for step in range(1, 51):
        for mine, other, gradient in zip(ours, theirs, matrices(step), strict=True):
            mine.grad, other.grad = gradient.detach(), gradient.detach().clone()
        pairs.append((milliseconds(single.step), milliseconds(stacked.step)))
    same = all(torch.equal(mine, other) for mine, other in zip(ours, theirs, strict=True))
    counted = pairs[5:]
    ratios = sorted(one / many for one, many in counted)
    singly, together = (median(pair[place] for pair in counted) for place in (0, 1))
    print(f"one by one {singly:.1f} ms, stacked {together:.1f} ms")
    print(f"ratio {median(ratios):.1f} (middle half {ratios[11]:.1f} to {ratios[33]:.1f}), equal bits: {same}")
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, 45 steps after 5 that do not count")


if __name__ == "__main__":
    main()
