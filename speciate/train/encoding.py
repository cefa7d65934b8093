"""From questions and answers to token ids and labels, and the order in which they are trained on.

Only the answer counts in the loss, and the token that ends it. No row is ever cut.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from speciate.errors import EmptyLossMask, PreflightError, StopTokenUntrained

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

IGNORED = -100
BATCHES_SORTED_TOGETHER = 16


@dataclass(frozen=True, slots=True)
class Encoded:
    """One training row."""

    input_ids: list[int]
    labels: list[int]
    """`input_ids` where a token counts in the loss, else -100."""


FILLING = Encoded([0, 0], [IGNORED, IGNORED])
"""A row that trains nothing."""


def encode(tokenizer: "PreTrainedTokenizerBase", question: str, answer: str) -> Encoded:
    """A question and its answer by the base's chat template; the answer begins where the template's prompt ends.

    Raises EmptyLossMask where the template renders the question differently once it is answered.
    """
    asked = [{"role": "user", "content": question}]
    prompt = str(tokenizer.apply_chat_template(asked, add_generation_prompt=True, tokenize=False))
    whole = str(tokenizer.apply_chat_template([*asked, {"role": "assistant", "content": answer}], tokenize=False))
    if not whole.startswith(prompt):
        raise EmptyLossMask(
            "the base's chat template renders a question differently once it is answered, so the answer cannot be "
            f"found in it.\nquestion: {prompt!r}\nanswered: {whole!r}"
        )
    before = list(tokenizer(prompt, add_special_tokens=False)["input_ids"])
    after = list(tokenizer(whole[len(prompt) :], add_special_tokens=False)["input_ids"])
    return Encoded(before + after, [IGNORED] * len(before) + after)


def whole(ids: Sequence[int]) -> Encoded:
    """A text all of whose tokens count but the first, which nothing precedes."""
    return Encoded(list(ids), list(ids))


def check_rows(rows: Sequence[Encoded], stops: Sequence[int], max_length: int) -> None:
    """Refuse rows that would train nothing, or the wrong thing.

    Raises EmptyLossMask, StopTokenUntrained, or PreflightError where a row is longer than `max_length` tokens.
    """
    if not rows:
        raise EmptyLossMask("there are no training rows: data.train_items and guard.replay leave none")
    empty = [index for index, row in enumerate(rows) if all(label == IGNORED for label in row.labels)]
    if empty:
        raise EmptyLossMask(f"{len(empty)} of {len(rows)} rows have no token in the loss, the first is row {empty[0]}")
    endless = [index for index, row in enumerate(rows) if not set(row.labels) & set(stops)]
    if endless:
        raise StopTokenUntrained(
            f"{len(endless)} of {len(rows)} rows have none of the stop tokens {list(stops)} in the loss, the first is "
            f"row {endless[0]}: the species would never learn to stop. The base's chat template must end an answer "
            "with its end token"
        )
    longest = max(len(row.input_ids) for row in rows)
    if longest > max_length:
        count = sum(len(row.input_ids) > max_length for row in rows)
        raise PreflightError(
            f"{count} of {len(rows)} rows are longer than train.max_length={max_length} tokens (the longest has "
            f"{longest}); rows are never cut: set train.max_length={longest}, or take simpler items"
        )


def training_order(lengths: Sequence[int], batch_size: int, epochs: float, seed: int) -> list[int]:
    """Row indexes for all epochs in one list: shuffled anew each epoch, then sorted by length within a window.

    The list depends on nothing but the arguments, so that a resumed run meets the same rows.
    """
    rng = Random(f"{seed}/order")
    wanted = max(1, round(len(lengths) * epochs))
    order: list[int] = []
    while len(order) < wanted:
        order += rng.sample(range(len(lengths)), len(lengths))
    order = order[:wanted]
    window = batch_size * BATCHES_SORTED_TOGETHER
    batches: list[list[int]] = []
    for start in range(0, len(order), window):
        near = sorted(order[start : start + window], key=lambda index: lengths[index])
        found = [near[place : place + batch_size] for place in range(0, len(near), batch_size)]
        # A short batch may only be the very last one, or the batches after it would shift.
        full = [batch for batch in found if len(batch) == batch_size]
        rng.shuffle(full)
        batches += full + [batch for batch in found if len(batch) < batch_size]
    return [index for batch in batches for index in batch]
