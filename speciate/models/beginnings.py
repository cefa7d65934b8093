"""Where the A and B of a LoRA begin, from a weight W (outputs, inputs) and what was seen of it.

Each function gives A and B for a scale of one. Where their product is a part of W, the published methods take that
part out of W; here it is held against the adapter instead (`models/folding.py`), and W stays as it is. U·S·Vᵀ is the
singular value decomposition, the largest value first.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    Halves = tuple[torch.Tensor, torch.Tensor]

DAMPING = 0.01
"""Of a covariance, as a fraction of its mean diagonal, doubled until it can be inverted; CorDA's own value."""
INVERSE_ERROR = 0.05
FLOOR = 1e-4
"""What contrast takes for the least that general inputs have in a direction, as a fraction of their mean. With less, a
direction seems free that few of the rows looked at happen to touch.
"""
GAMMA = 16.0
"""LoRA-GA's; its authors' value."""


def pissa(weight: "torch.Tensor", r: int) -> "Halves":
    """B·A = U_r·S_r·V_rᵀ, the r largest directions (Meng et al. 2024, arXiv 2404.02948)."""
    left, values, right = _svd(weight)
    return _halves(left[:, :r], values[:r], right[:r])


def milora(weight: "torch.Tensor", r: int) -> "Halves":
    """B·A = U_m·S_m·V_mᵀ, the r smallest directions (Wang et al. 2024, arXiv 2406.09044)."""
    left, values, right = _svd(weight)
    return _halves(left[:, -r:], values[-r:], right[-r:])


def olora(weight: "torch.Tensor", r: int) -> "Halves":
    """W = Q·R; B is the first r columns of Q, A the first r rows of R (Büyükakyüz 2024, arXiv 2406.01775)."""
    import torch

    turned, upper = torch.linalg.qr(weight)
    return upper[:r], turned[:, :r]


def corda(weight: "torch.Tensor", covariance: "torch.Tensor", r: int, *, smallest: bool) -> "Halves":
    """W·C = U·S·Vᵀ with C the covariance of the inputs, and B·A = U_r·S_r·(V_rᵀ·C⁻¹): of the smallest directions to
    preserve what C was seen on (KPM), of the largest to learn it (IPM) (Yang et al. 2024, arXiv 2406.05223).
    """
    damped, inverse = _inverted(covariance)
    left, values, right = _svd(weight @ damped)
    part = slice(-r, None) if smallest else slice(0, r)
    return _halves(left[:, part], values[part], right[part] @ inverse)


def lora_null(weight: "torch.Tensor", covariance: "torch.Tensor", r: int) -> "Halves":
    """N is the r directions in which the inputs vary least; W·N·Nᵀ = U·S·Vᵀ, B = U·√S and A = √S·Vᵀ (Tang et al. 2025,
    arXiv 2503.02659).
    """
    import torch

    least = torch.linalg.eigh(covariance)[1][:, :r]
    left, values, right = _svd(weight @ least)
    return _halves(left[:, :r], values[:r], right[:r] @ least.T)


def eva(weight: "torch.Tensor", covariance: "torch.Tensor", r: int) -> "Halves":
    """A is the r directions in which the inputs vary most, B is zero (Paischer et al. 2024, arXiv 2410.07170, with
    equal ranks: rho = 1).
    """
    import torch

    most = torch.linalg.eigh(covariance)[1].flip(1)[:, :r]
    return most.T, weight.new_zeros(weight.shape[0], r)


def contrast(niche: "torch.Tensor", general: "torch.Tensor", r: int) -> "torch.Tensor":
    """A with orthonormal rows over the r directions v of the inputs with the largest vᵀ·N·v / vᵀ·(G + δI)·v, N and G
    being the covariances of the niche's and of general inputs over their traces. SC-LoRA (Luo et al. 2025, 2505.23724)
    takes those of a difference of the two instead of a ratio, and lets A learn.
    """
    import torch

    size = general.shape[0]
    least = FLOOR / size * torch.eye(size, dtype=general.dtype, device=general.device)
    lower = torch.linalg.cholesky(general / general.trace() + least)
    half = torch.linalg.solve_triangular(lower, niche / niche.trace(), upper=False)
    white = torch.linalg.solve_triangular(lower, half.T, upper=False)
    most = torch.linalg.eigh((white + white.T) / 2)[1].flip(1)[:, :r]
    directions = torch.linalg.solve_triangular(lower.T, most, upper=True)
    return torch.linalg.qr(directions)[0].T


def lora_ga(gradient: "torch.Tensor", r: int, scale: float) -> "Halves":
    """G = U·S·Vᵀ is the gradient of W; A = k·V_{1..r}ᵀ and B = k·U_{r+1..2r} with k = d^¼/√γ, d the outputs, whatever
    the scale of the adapter (Wang et al. 2024, arXiv 2407.05000).
    """
    left, _, right = _svd(gradient)
    size = scale**0.5 * gradient.shape[0] ** 0.25 / GAMMA**0.5
    return right[:r] * size, left[:, r : 2 * r] * size


def largest(weight: "torch.Tensor", count: int) -> "Halves":
    """The largest singular directions of W on the side of its inputs (rows) and of its outputs (columns)."""
    left, _, right = _svd(weight)
    return right[:count], left[:, :count]


def _svd(weight: "torch.Tensor") -> "tuple[torch.Tensor, torch.Tensor, torch.Tensor]":
    import torch

    return torch.linalg.svd(weight, full_matrices=False)


def _halves(left: "torch.Tensor", values: "torch.Tensor", right: "torch.Tensor") -> "Halves":
    root = values.sqrt()
    return root[:, None] * right, left * root


def _inverted(covariance: "torch.Tensor") -> "Halves":
    """A covariance, damped until it can be inverted, and its inverse."""
    import torch

    same = torch.eye(len(covariance), dtype=covariance.dtype, device=covariance.device)
    size, damping = covariance.diagonal().mean().clamp(min=1e-12), DAMPING
    while True:
        damped = covariance + same * size * damping
        inverse = torch.linalg.inv(damped)
        if torch.dist(damped @ inverse, same) < INVERSE_ERROR:
            return damped, inverse
        damping *= 2
