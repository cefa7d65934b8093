"""Muon for the many small matrices of an adapter: what `torch.optim.Muon` computes, all of one shape at once.

An adapter of a small base has dozens of matrices whose every product takes less time than its call, so that stacks are
quicker (benchmarks/muon.py). Knows nothing of adapters.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_ITERATIONS = 5
_EPS = 1e-7


class StackedMuon(torch.optim.Optimizer):
    """Momentum, then a step of equal size in every direction of each matrix (Jordan et al. 2024, Newton-Schulz of
    degree five; step size and decay as in Liu et al. 2025). Raises ValueError where a parameter is no matrix.
    """

    def __init__(
        self, params: Iterable[torch.nn.Parameter], lr: float, weight_decay: float, momentum: float = 0.95
    ) -> None:
        super().__init__(list(params), {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})
        if any(matrix.ndim != 2 for group in self.param_groups for matrix in group["params"]):
            raise ValueError("Muon is for matrices")

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step; what `closure` returns, where there is one."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            stacks: dict[tuple[int, int], list[torch.nn.Parameter]] = defaultdict(list)
            for matrix in group["params"]:
                if matrix.grad is not None:
                    stacks[matrix.shape].append(matrix)
            for matrices in stacks.values():
                self._step(matrices, group["lr"], group["weight_decay"], group["momentum"])
        return loss

    def _step(self, matrices: list[torch.nn.Parameter], lr: float, weight_decay: float, momentum: float) -> None:
        updates: list[torch.Tensor] = []
        for matrix in matrices:
            assert matrix.grad is not None
            if not self.state[matrix]:
                self.state[matrix]["momentum_buffer"] = torch.zeros_like(matrix)
            buffer = self.state[matrix]["momentum_buffer"].lerp_(matrix.grad, 1 - momentum)
            updates.append(matrix.grad.lerp(buffer, momentum))
        size = lr * 0.2 * max(matrices[0].shape) ** 0.5
        for matrix, update in zip(matrices, orthogonal(torch.stack(updates)), strict=True):
            matrix.mul_(1 - lr * weight_decay).add_(update, alpha=-size)


def orthogonal(stack: torch.Tensor) -> torch.Tensor:
    """Each matrix of a stack (n, rows, columns) with its singular values brought near one; bfloat16, as in PyTorch."""
    a, b, c = _COEFFICIENTS
    tall = stack.shape[1] > stack.shape[2]
    found = (stack.mT if tall else stack).bfloat16()
    found = found / found.norm(dim=(1, 2), keepdim=True).clamp(min=_EPS)
    for _ in range(_ITERATIONS):
        gram = found @ found.mT
        found = torch.baddbmm(found, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), found, beta=a)
    return found.mT if tall else found
