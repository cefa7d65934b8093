"""KL to the base: against torch's own, in both directions, and the order of the rows that are held."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.distributions import Categorical, kl_divergence

from speciate.train.divergence import Direction, KlGuard, divergence
from speciate.train.encoding import Encoded


@pytest.mark.parametrize("direction", ["forward", "reverse"])
def test_it_is_the_mean_of_torchs_own(direction: Direction) -> None:
    generator = torch.Generator().manual_seed(0)
    base, adapter = (3 * torch.randn(7, 11, generator=generator) for _ in range(2))
    first, second = (Categorical(logits=logits) for logits in (base, adapter))
    expected = kl_divergence(first, second) if direction == "forward" else kl_divergence(second, first)
    assert divergence(base, adapter, direction) == pytest.approx(float(expected.mean()), rel=1e-5)


@pytest.mark.parametrize("direction", ["forward", "reverse"])
def test_of_equals_it_is_nothing_and_pulls_nowhere(direction: Direction) -> None:
    logits = torch.randn(5, 9, generator=torch.Generator().manual_seed(1))
    moving = logits.clone().requires_grad_()
    apart = divergence(logits, moving, direction)
    apart.backward()
    assert float(apart.detach()) == pytest.approx(0.0, abs=1e-6)
    assert moving.grad is not None
    assert float(moving.grad.abs().max()) < 1e-6


def test_large_logits_give_a_number() -> None:
    base, adapter = torch.tensor([[1e4, -1e4, 0.0]]), torch.tensor([[-1e4, 1e4, 0.0]])
    assert torch.isfinite(divergence(base, adapter, "forward"))


@given(st.integers(1, 20), st.integers(1, 9), st.integers(1, 40))
def test_every_step_has_its_rows_and_none_comes_twice_as_often(rows: int, batch: int, steps: int) -> None:
    guard = KlGuard([Encoded([n] * (n + 2), [n] * (n + 2)) for n in range(rows)], batch, 1.0, "forward", seed=3)
    order = guard.order(steps)
    assert order == guard.order(steps)
    held = [guard.batch(order, step) for step in range(steps)]
    assert all(len(one) == batch for one in held)
    counts = [order.count(row) for row in range(rows)]
    assert max(counts) - min(counts) <= 1
