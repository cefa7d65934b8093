"""Questions as a base is asked them, and answers as text. Knows nothing of right and wrong."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from speciate.models.base import CausalLM


def stop_tokens(model: "CausalLM | None", tokenizer: "PreTrainedTokenizerBase") -> list[int]:
    """Ids that end an answer: the tokenizer's end token and, of a model, those of its generation settings."""
    settings: Any = getattr(model, "generation_config", None)
    configured = settings.eos_token_id if settings else None
    ends: list[Any] = [*(configured if isinstance(configured, list) else [configured]), tokenizer.eos_token_id]
    return sorted({int(end) for end in ends if end is not None})


def prompt_ids(tokenizer: "PreTrainedTokenizerBase", prompt: str) -> list[int]:
    """Token ids of a user's message, up to where the answer begins; of plain text where there is no chat template."""
    if tokenizer.chat_template is None:
        return list(tokenizer(prompt)["input_ids"])
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": prompt}], add_generation_prompt=True, tokenize=False
    )
    return list(tokenizer(str(text), add_special_tokens=False)["input_ids"])


def continuation_ids(tokenizer: "PreTrainedTokenizerBase", text: str) -> tuple[int, ...]:
    """Token ids of text that goes on after a prompt."""
    return tuple(tokenizer(text, add_special_tokens=False)["input_ids"])


def document_ids(tokenizer: "PreTrainedTokenizerBase", text: str) -> tuple[int, ...]:
    """Token ids of a text that stands alone, its end included."""
    end: Any = tokenizer.eos_token_id
    return (*tokenizer(text, add_special_tokens=False)["input_ids"], end)


def written(
    tokenizer: "PreTrainedTokenizerBase", tokens: Sequence[int], stops: Sequence[int], cut: Sequence[str]
) -> str:
    """The text of an answer: without the tokens that ended it, up to the first of the stop words."""
    text = str(tokenizer.decode([token for token in tokens if token not in stops], skip_special_tokens=True))
    places = [place for word in cut if (place := text.find(word)) >= 0]
    return text[: min(places)] if places else text


def stop_words(tokenizer: "PreTrainedTokenizerBase", words: Sequence[str]) -> Callable[[Sequence[int]], bool] | None:
    """Whether tokens hold a stop word; None where there is none to look for."""
    if not words:
        return None

    def stopped(tokens: Sequence[int]) -> bool:
        text = str(tokenizer.decode(list(tokens), skip_special_tokens=True))
        return any(word in text for word in words)

    return stopped
