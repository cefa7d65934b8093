"""Answers and losses from a model: greedy generation in batches, and nats per token on given texts.

Knows nothing of right and wrong.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from speciate.models.base import CausalLM


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model said to one prompt."""

    text: str
    tokens: int
    """Tokens generated, the one that ends the answer included."""


def stop_tokens(model: "CausalLM | None", tokenizer: "PreTrainedTokenizerBase") -> list[int]:
    """Ids that end an answer: the tokenizer's end token and, of a model, those of its generation settings."""
    settings: Any = getattr(model, "generation_config", None)
    configured = settings.eos_token_id if settings else None
    ends: list[Any] = [*(configured if isinstance(configured, list) else [configured]), tokenizer.eos_token_id]
    return sorted({int(end) for end in ends if end is not None})


def prompt_ids(tokenizer: "PreTrainedTokenizerBase", prompt: str) -> list[int]:
    """Token ids of a user's message, up to where the answer begins."""
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": prompt}], add_generation_prompt=True, tokenize=False
    )
    return list(tokenizer(str(text), add_special_tokens=False)["input_ids"])


def answer(
    model: "CausalLM",
    tokenizer: "PreTrainedTokenizerBase",
    prompts: Sequence[str],
    *,
    max_new_tokens: int,
    batch_size: int,
    on_answers: Callable[[int], None] = lambda _: None,
) -> list[Answer]:
    """Greedy answers, in the order of `prompts`; batches hold prompts of like length, padded on the left."""
    import torch
    from transformers import GenerationConfig

    stops = stop_tokens(model, tokenizer)
    config = GenerationConfig(
        do_sample=False, max_new_tokens=max_new_tokens, eos_token_id=stops, pad_token_id=tokenizer.pad_token_id
    )
    encoded = [prompt_ids(tokenizer, prompt) for prompt in prompts]
    order = sorted(range(len(prompts)), key=lambda index: (len(encoded[index]), index))
    answers: list[Answer | None] = [None] * len(prompts)
    for start in range(0, len(order), batch_size):
        batch = order[start : start + batch_size]
        longest = max(len(encoded[index]) for index in batch)
        padded = [[tokenizer.pad_token_id] * (longest - len(encoded[i])) + encoded[i] for i in batch]
        mask = [[0] * (longest - len(encoded[i])) + [1] * len(encoded[i]) for i in batch]
        with torch.inference_mode():
            output = cast(Any, model).generate(
                input_ids=torch.tensor(padded, device=model.device),
                attention_mask=torch.tensor(mask, device=model.device),
                generation_config=config,
            )
        for index, row in zip(batch, output[:, longest:].tolist(), strict=True):
            end = next((place + 1 for place, token in enumerate(row) if token in stops), len(row))
            text = tokenizer.decode([token for token in row[:end] if token not in stops], skip_special_tokens=True)
            answers[index] = Answer(str(text), end)
        on_answers(len(batch))
    return [found for found in answers if found is not None]


def losses(
    model: "CausalLM", tokenizer: "PreTrainedTokenizerBase", texts: Sequence[str], *, batch_size: int
) -> list[tuple[float, int]]:
    """For each text the sum of its loss in nats, and the number of tokens predicted (all but the first)."""
    import torch
    from torch.nn.functional import cross_entropy

    found: list[tuple[float, int]] = []
    encoded = [[*tokenizer(text, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id] for text in texts]
    for start in range(0, len(encoded), batch_size):
        rows = encoded[start : start + batch_size]
        longest = max(map(len, rows))
        ids = torch.tensor([row + [tokenizer.pad_token_id] * (longest - len(row)) for row in rows], device=model.device)
        mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows], device=model.device)
        with torch.inference_mode():
            logits = model(input_ids=ids, attention_mask=mask).logits[:, :-1].float()
        nats = cross_entropy(logits.transpose(1, 2), ids[:, 1:], reduction="none") * mask[:, 1:]
        found += [(float(total), len(row) - 1) for total, row in zip(nats.sum(1), rows, strict=True)]
    return found
