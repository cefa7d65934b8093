"""The stacked Muon against PyTorch's own, one matrix at a time."""

import copy

import pytest
import torch

from speciate.train.muon import StackedMuon, orthogonal

SHAPES = [(4, 16), (16, 4), (4, 16), (7, 5), (16, 4), (1, 3), (16, 4)]


def matrices(seed: int) -> list[torch.nn.Parameter]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.nn.Parameter(torch.randn(shape, generator=generator) * 0.02) for shape in SHAPES]


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_it_steps_as_torch_does(weight_decay: float) -> None:
    ours, theirs = matrices(0), matrices(0)
    stacked = StackedMuon(ours, lr=0.01, weight_decay=weight_decay)
    single = torch.optim.Muon(theirs, lr=0.01, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw")
    for step in range(1, 5):
        for mine, other, gradient in zip(ours, theirs, matrices(step), strict=True):
            mine.grad, other.grad = gradient.detach().clone(), gradient.detach().clone()
        ours[2].grad = theirs[2].grad = None if step == 2 else ours[2].grad
        stacked.step()
        single.step()
        for group in (*stacked.param_groups, *single.param_groups):
            group["lr"] *= 0.5
    for mine, other, start in zip(ours, theirs, matrices(0), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-2, atol=1e-4)
        assert (mine - start).abs().max() > 1e-3


def test_what_it_remembers_is_saved_and_loaded() -> None:
    def stepped(optimizer: StackedMuon, parameters: list[torch.nn.Parameter], seed: int) -> None:
        for mine, gradient in zip(parameters, matrices(seed), strict=True):
            mine.grad = gradient.detach()
        optimizer.step()

    ours = matrices(0)
    optimizer = StackedMuon(ours, lr=0.01, weight_decay=0.0)
    stepped(optimizer, ours, 1)
    others = [torch.nn.Parameter(mine.detach().clone()) for mine in ours]
    again = StackedMuon(others, lr=1.0, weight_decay=0.5)
    again.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    stepped(optimizer, ours, 2)
    stepped(again, others, 2)
    assert all(torch.equal(mine, other) for mine, other in zip(ours, others, strict=True))


def test_singular_values_come_near_one() -> None:
    found = torch.linalg.svdvals(orthogonal(torch.randn(3, 8, 20, generator=torch.Generator().manual_seed(0))).float())
    assert found.min() > 0.5
    assert found.max() < 1.4


def test_only_matrices_are_taken() -> None:
    with pytest.raises(ValueError, match="matrices"):
        StackedMuon([torch.nn.Parameter(torch.zeros(3))], lr=1.0, weight_decay=0.0)
