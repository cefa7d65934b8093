"""What a LoRA begins from, against the equations of the papers."""

from typing import Any

import pytest

from speciate.models import beginnings


def random(*shape: int, seed: int = 0) -> Any:
    import torch

    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def product(halves: Any) -> Any:
    down, up = halves
    return up @ down


@pytest.mark.parametrize("shape", [(12, 8), (8, 12), (9, 9)], ids=str)
def test_pissa_and_milora_are_the_largest_and_smallest_directions(shape: tuple[int, int]) -> None:
    import torch

    weight = random(*shape)
    values = torch.linalg.svdvals(weight)
    assert torch.linalg.svdvals(weight - product(beginnings.pissa(weight, 3)))[0].isclose(values[3])
    kept = weight - product(beginnings.milora(weight, 3))
    assert torch.linalg.svdvals(kept)[:-3].allclose(values[:-3])
    assert torch.linalg.svdvals(kept)[-3:].abs().max() < 1e-9
    assert product(beginnings.pissa(weight, min(shape))).allclose(weight)


def test_olora_has_orthogonal_columns_and_is_a_part_of_the_weight() -> None:
    import torch

    weight = random(12, 8)
    down, up = beginnings.olora(weight, 3)
    assert (up.T @ up).allclose(torch.eye(3, dtype=torch.float64))
    assert product(beginnings.olora(weight, 8)).allclose(weight)
    assert (up.T @ (weight - up @ down)).abs().max() < 1e-9


@pytest.mark.parametrize("smallest", [True, False])
def test_corda_is_a_part_of_the_weight_by_what_it_does_to_the_inputs(smallest: bool) -> None:
    import torch

    weight, inputs = random(6, 8), random(40, 8, seed=1) * torch.linspace(0.01, 3, 8, dtype=torch.float64)
    covariance = inputs.T @ inputs
    damped = covariance + torch.eye(8, dtype=torch.float64) * covariance.diagonal().mean() * beginnings.DAMPING
    part = product(beginnings.corda(weight, covariance, 2, smallest=smallest))
    whole = torch.linalg.svdvals(weight @ damped)
    assert torch.linalg.svdvals(part @ damped)[:2].allclose(whole[-2:] if smallest else whole[:2])
    assert product(beginnings.corda(weight, covariance, 6, smallest=smallest)).allclose(weight)


def test_lora_null_changes_nothing_where_the_inputs_are() -> None:
    inputs = random(40, 5, seed=1) @ random(5, 12, seed=2)
    down, up = beginnings.lora_null(random(9, 12), inputs.T @ inputs, 4)
    assert (inputs @ down.T).abs().max() < 1e-6 < (up @ down).abs().max()
    moved = random(9, 4, seed=3)
    assert (inputs @ (moved @ down).T).abs().max() < 1e-6, "whatever B becomes"


def test_eva_begins_where_the_inputs_vary_most_and_adds_nothing() -> None:
    import torch

    inputs = random(40, 8, seed=1)
    down, up = beginnings.eva(random(9, 8), inputs.T @ inputs, 3)
    right = torch.linalg.svd(inputs)[2][:3]
    assert (down @ right.T).abs().allclose(torch.eye(3, dtype=torch.float64), atol=1e-9)
    assert not up.any()


def test_lora_ga_begins_along_the_gradient_whatever_the_scale() -> None:
    import torch

    gradient = random(9, 8)
    down, up = beginnings.lora_ga(gradient, 3, 2.0)
    left, _, right = torch.linalg.svd(gradient)
    size = 9**0.25 / 16**0.5
    assert (down / 2**0.5).allclose(right[:3] * size)
    assert (up / 2**0.5).allclose(left[:, 3:6] * size)


def test_contrast_reads_what_the_niche_has_and_general_rows_lack() -> None:
    import torch

    turn = torch.linalg.qr(random(8, 8))[0]
    niche = turn @ torch.diag(torch.tensor([4.0, 3, 2, 1, 1, 1, 1, 1]).double()) @ turn.T
    general = turn @ torch.diag(torch.tensor([9.0, 1e-3, 1e-3, 1, 1, 1, 1, 1]).double()) @ turn.T
    down = beginnings.contrast(niche, general, 2)
    assert (down @ down.T).allclose(torch.eye(2, dtype=torch.float64))
    assert (down @ turn[:, 1:3]).norm().isclose(torch.tensor(2.0, dtype=torch.float64).sqrt(), atol=1e-6)


def test_contrast_is_blind_to_how_large_the_inputs_are() -> None:
    first, second = (random(8, 12, seed=seed) for seed in (0, 1))
    niche, general = first @ first.T, second @ second.T
    one, other = beginnings.contrast(niche, general, 3), beginnings.contrast(1e6 * niche, 1e-6 * general, 3)
    assert (one.T @ one).allclose(other.T @ other)


def test_contrast_bears_general_rows_that_fill_few_directions() -> None:
    import torch

    niche, few = random(8, 8), random(8, 2)
    down = beginnings.contrast(niche @ niche.T, few @ few.T, 4)
    assert torch.isfinite(down).all()
    assert (down @ few).abs().max() < 0.2 * few.abs().max()
