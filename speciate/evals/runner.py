"""One model, many items, one row each: ask, verify, record."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal

from speciate.models.sampler import answer
from speciate.niches.base import Item, Verifier
from speciate.records import EvalRow

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from speciate.models.base import CausalLM

Split = Literal["niche", "transfer", "general"]


def evaluate(
    model: "CausalLM",
    tokenizer: "PreTrainedTokenizerBase",
    items: Sequence[Item],
    verifier: Verifier,
    *,
    name: Literal["base", "adapter"],
    split: Split,
    max_new_tokens: int,
    batch_size: int,
    on_items: Callable[[int], None] = lambda _: None,
) -> list[EvalRow]:
    """A greedy answer to each item and the verdict on it, in the order of `items`.

    An answer counts for half of an item's progress, its verdict for the other half.
    """
    prompts = [item.prompt for item in items]
    answers = answer(
        model, tokenizer, prompts, max_new_tokens=max_new_tokens, batch_size=batch_size, on_answers=on_items
    )
    rows: list[EvalRow] = []
    verdicts = verifier.verify(items, [found.text for found in answers])
    for item, found, verdict in zip(items, answers, verdicts, strict=True):
        rows.append(
            EvalRow(
                item=item.digest,
                family=item.family,
                model=name,
                split=split,
                prompt=item.prompt,
                output=found.text,
                score=verdict.score,
                reason=verdict.reason,
                detail=verdict.detail,
                tokens=found.tokens,
                ms=round(verdict.ms, 3),
            )
        )
        on_items(1)
    return rows
