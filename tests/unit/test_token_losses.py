"""The losses of single tokens, against their equations written out, and at the ends of what probabilities can be."""

import math
from typing import Any

import pytest

from speciate.train.encoding import IGNORED, Encoded
from speciate.train.token_losses import among_others, entropy, nll, selected, unsure

WORDS = 7


def logits(tokens: int = 5, seed: int = 0) -> Any:
    import torch

    return torch.randn(tokens, WORDS, generator=torch.Generator().manual_seed(seed)) * 3


def targets(tokens: int = 5) -> Any:
    import torch

    return torch.arange(tokens) % WORDS


def test_entropy_weighs_each_token_by_the_normalised_entropy_of_its_likeliest_words():
    given, right = logits(), targets()
    found = entropy(given, right, 3)
    for token in range(5):
        likely = sorted(math.exp(value) for value in given[token].tolist())[-3:]
        shares = [one / sum(likely) for one in likely]
        weight = -sum(one * math.log(one) for one in shares) / math.log(3)
        probability = math.exp(given[token][right[token]]) / sum(map(math.exp, given[token].tolist()))
        assert float(found[token]) == pytest.approx(-weight * math.log(probability), rel=1e-5)


def test_the_entropy_weighs_without_a_gradient_of_its_own():
    import torch

    given, right = logits().requires_grad_(), targets()
    [found] = torch.autograd.grad(entropy(given, right, 3).sum(), given)
    [plain] = torch.autograd.grad((nll(given, right) * unsure(given, 3).detach()).sum(), given)
    assert torch.equal(found, plain)


def test_a_model_that_is_sure_or_knows_nothing_is_at_the_ends_of_the_weight():
    import torch

    assert unsure(torch.zeros(1, WORDS), 20).tolist() == pytest.approx([1.0])
    sure = torch.full((1, WORDS), -math.inf)
    sure[0, 2] = 0.0
    assert unsure(sure, 20).tolist() == [0.0]


def test_the_odds_of_the_other_words_are_compared_without_the_right_one():
    given, base, right = logits(seed=1), logits(seed=2), targets()
    found = among_others(given, base, right)
    for token in range(5):
        others = [word for word in range(WORDS) if word != right[token]]
        said, held = ([math.exp(one[token][word]) for word in others] for one in (given, base))
        said, held = ([one / sum(values) for one in values] for values in (said, held))
        expected = sum(q * math.log(q / p) for q, p in zip(held, said, strict=True))
        assert float(found[token]) == pytest.approx(expected, rel=1e-5)


def test_the_right_word_is_free():
    import torch

    base, right = logits(seed=2), targets()
    given = base.clone()
    given[torch.arange(5), right] += 9.0
    given.requires_grad_()
    found = among_others(given, base, right)
    assert found.tolist() == pytest.approx([0.0] * 5, abs=1e-6)
    [gradient] = torch.autograd.grad(found.sum(), given)
    assert gradient.abs().max() < 1e-6


@pytest.mark.parametrize("words", [1, 2])
def test_impossible_and_certain_words_give_numbers_and_gradients(words: int):
    import torch

    given = torch.full((2, WORDS), -math.inf)
    given[0, :words] = 0.0  # the right word is certain, or one of two
    given[1, 3] = 0.0  # the right word, 1, is impossible
    right = torch.tensor([0, 1])
    for base in (given.clone(), torch.zeros_like(given)):
        loud = given.clone().requires_grad_()
        found = entropy(loud, right, 20) + among_others(loud, base, right).clamp(max=1e3)
        assert not found.isnan().any()
        [gradient] = torch.autograd.grad(found.sum(), loud)
        assert gradient.isfinite().all()


def test_no_tokens_give_zero_with_a_gradient():
    import torch

    given = torch.empty(0, WORDS, requires_grad=True)
    right = torch.empty(0, dtype=torch.long)
    total = entropy(given, right, 20).sum() + among_others(given, given, right).sum() + nll(given, right).sum()
    total.backward()
    assert float(total.detach()) == 0.0


def test_tokens_that_the_base_finds_unlikely_do_not_count_but_the_end_does():
    row = Encoded([5, 6, 7, 8, 1], [IGNORED, 6, 7, IGNORED, 1])
    [found] = selected([row], [[2.5, 2.6, 99.0]], 2.5, always=[1])
    assert found == Encoded(row.input_ids, [IGNORED, 6, IGNORED, IGNORED, 1])
