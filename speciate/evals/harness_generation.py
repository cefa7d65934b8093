"""Settings of generation as lm_eval's tasks give them: what this project's decoding knows of them, and transformers'
own generation for what it does not.

Knows nothing of tasks and scores, nor of what is remembered.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from speciate.models.decoding import Ask, Sampling, Spoken, padded
from speciate.models.population import Population
from speciate.models.sampler import stop_words

if TYPE_CHECKING:
    import torch

NEUTRAL: Mapping[str, object] = {
    "num_beams": 1,
    "num_return_sequences": 1,
    "repetition_penalty": 1,
    "encoder_repetition_penalty": 1,
    "no_repeat_ngram_size": 0,
    "encoder_no_repeat_ngram_size": 0,
    "min_length": 0,
    "min_new_tokens": 0,
    "typical_p": 1,
    "min_p": 0,
    "top_h": None,
    "epsilon_cutoff": 0,
    "eta_cutoff": 0,
    "guidance_scale": 1,
    "penalty_alpha": 0,
    "bad_words_ids": None,
    "sequence_bias": None,
    "suppress_tokens": None,
    "begin_suppress_tokens": None,
    "forced_bos_token_id": None,
    "forced_eos_token_id": None,
    "exponential_decay_length_penalty": None,
    "watermarking_config": None,
}
"""Settings that change what is said, and the value beside None with which they do not. A model's own count too: some
chat models come with a penalty for repetition, which lm_eval lets work on its greedy answers.
"""
DRAWN = {"do_sample", "temperature", "top_p", "top_k"}
TOP_K = 50
"""What transformers takes where nobody says otherwise."""


def sampling_of(wanted: Mapping[str, Any], settings: Any, most: int, stop: Sequence[str]) -> Sampling | None:
    """How an answer is drawn, from what the task wants and the model's own settings; None where decoding here does not
    know how.
    """

    def of(name: str) -> Any:
        return wanted.get(name, getattr(settings, name, None))

    if set(wanted) - DRAWN - set(NEUTRAL):
        return None
    if any(of(name) is not None and of(name) != neutral for name, neutral in NEUTRAL.items()):
        return None
    temperature = float(wanted.get("temperature") or 0)
    if not wanted.get("do_sample") or temperature <= 0:
        return Sampling(most, stop=tuple(stop))
    top_p, top_k = of("top_p"), of("top_k")
    return Sampling(
        most, temperature, 1.0 if top_p is None else float(top_p), TOP_K if top_k is None else int(top_k), tuple(stop)
    )


class Watch:
    """Sees the logits before transformers does, and notes the rows where they are no numbers."""

    def __init__(self, rows: int) -> None:
        self.unsound = [False] * rows

    def __call__(self, ids: "torch.Tensor", scores: "torch.Tensor") -> "torch.Tensor":  # noqa: ARG002
        """The logits, and zeros where they are none: such rows end in whatever way."""
        wrong = ~scores.max(dim=-1).values.isfinite()
        beams = max(1, len(wrong) // len(self.unsound))
        for row, one in enumerate(wrong.tolist()):
            self.unsound[row // beams] |= one
        return scores.where(~wrong[:, None], 0)


def generate_by_transformers(
    model: Any,
    population: Population,
    asks: Sequence[Ask],
    wanted: Mapping[str, Any],
    most: int,
    stop: Sequence[str],
    stops: Sequence[int],
    batch_size: int,
    on_answers: Callable[[Sequence[tuple[int, Spoken]]], None],
) -> None:
    """An answer to each ask by `model._model_generate`, which is lm_eval's; each batch is one member's, and with a size
    of one an answer follows from its own seed.
    """
    import torch

    stopped = stop_words(population.tokenizer, stop)
    members = [ask.member for ask in asks]
    order = [
        [row for row in batch if members[row] == member]
        for batch in population.batches(members, [len(ask.ids) for ask in asks], batch_size)
        for member in dict.fromkeys(members[row] for row in batch)
    ]
    for rows in order:
        ids, mask, _ = padded(population, [asks[row].ids for row in rows])
        watch = Watch(len(rows))
        with torch.random.fork_rng(), population.speaking([members[row] for row in rows]):
            torch.manual_seed(asks[rows[0]].seed % 2**63)
            said = model._model_generate(
                context=ids,
                attention_mask=mask,
                stop=list(stop),
                max_length=ids.shape[1] + most,
                logits_processor=[watch],
                **wanted,
            )[:, ids.shape[1] :].tolist()
        answers: list[tuple[int, Spoken]] = []
        for row, tokens, unsound in zip(rows, said, watch.unsound, strict=True):
            ended = next((place for place, token in enumerate(tokens) if token in stops), None)
            own = tokens if ended is None else tokens[: ended + 1]
            stopping = ended is not None or (stopped is not None and stopped(own))
            answers.append((row, Spoken([], "nan") if unsound else Spoken(own, "stop" if stopping else "unfinished")))
        on_answers(answers)
