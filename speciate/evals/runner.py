"""A population, many items, one row for each answer: ask, verify, record.

All members answer in the same passes over the base; what one of them said before is recalled. An answer that is none, a
model that does not stop, logits that are no numbers and a verifier that fails are rows with a reason.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from speciate.errors import SpeciateError
from speciate.evals.memory import Memory, read_of, spoken_of
from speciate.evals.sources import Part
from speciate.models.decoding import Ask, Sampling, Spoken, generate, row_seed
from speciate.models.population import Population
from speciate.models.sampler import continuation_ids, prompt_ids, stop_tokens, stop_words, written
from speciate.models.scoring import Choice, Likelihood, likelihoods
from speciate.niches.base import Item, Verdict, Verifier
from speciate.records import EvalRow
from speciate.storage import digest, digest_json

IMPROPER = ("empty", "unfinished", "nan", "too-long", "crash", "timeout")
"""Reasons of rows without a proper answer."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How the items are asked."""

    batch_size: int
    """Rows that go through the base at a time."""
    context: int | None
    """Longest sequence of the base, in tokens."""


@dataclass(frozen=True, slots=True)
class Answered:
    """What a member said to an item, and the tokens of the question."""

    item: Item
    sample: int
    prompt: tuple[int, ...]
    text: str
    spoken: tuple[int, ...]
    """The tokens of the answer, the one that ended it included."""
    end: str


def evaluate(
    population: Population,
    members: Sequence[str],
    part: Part,
    memory: Memory,
    settings: Settings,
    on_items: Callable[[int], None] = lambda _: None,
) -> dict[str, list[EvalRow]]:
    """The rows of each member, in the order of the items and, within an item, of its samples.

    An answer counts for half of an item's progress, its verdict for the other half.
    """
    if part.judge is None:
        chosen = choose(population, members, part, memory, settings, lambda count: on_items(2 * count))
        return {member: chosen[member] for member in members}
    answers = ask(population, members, part, memory, settings, on_items)
    rows: dict[str, list[EvalRow]] = {}
    with part.judge() as verifier:
        for member in members:
            rows[member] = judged(answers[member], verifier, part, settings.context, on_items)
    return rows


def ask(
    population: Population,
    members: Sequence[str],
    part: Part,
    memory: Memory,
    settings: Settings,
    on_items: Callable[[int], None],
) -> dict[str, list[Answered]]:
    """What each member says to each item, as often as the suite asks."""
    tokenizer = population.tokenizer
    stops = stop_tokens(population.model, tokenizer)
    given = part.sampling
    sampling = Sampling(given.max_new_tokens, temperature=given.temperature, top_p=given.top_p, stop=given.stop)
    prompts = [tuple(prompt_ids(tokenizer, item.prompt)) for item in part.items]
    asks = [
        Ask(member, prompt, row_seed(given.seed, sample, int(digest(item.digest.encode())[-15:], 16)))
        for member in members
        for item, prompt in zip(part.items, prompts, strict=True)
        for sample in range(given.samples)
    ]
    spoken = iter(
        said(population, asks, sampling, stops, memory, settings, on_items, stop_words(tokenizer, given.stop))
    )
    return {
        member: [
            Answered(
                item, sample, prompt, written(tokenizer, one.tokens, stops, given.stop), tuple(one.tokens), one.end
            )
            for item, prompt in zip(part.items, prompts, strict=True)
            for sample in range(given.samples)
            for one in [next(spoken)]
        ]
        for member in members
    }


def said(
    population: Population,
    asks: Sequence[Ask],
    sampling: Sampling,
    stops: Sequence[int],
    memory: Memory,
    settings: Settings,
    on_items: Callable[[int], None] = lambda _: None,
    stopped: Callable[[Sequence[int]], bool] | None = None,
) -> list[Spoken]:
    """An answer to each ask, in order: recalled, or generated and kept as soon as its batch is done."""
    names = [memory.asked(one, sampling, stops) for one in asks]
    found = [spoken_of(kept) if (kept := memory.find(name)) else None for name in names]
    on_items(sum(spoken is not None for spoken in found))
    missing = [place for place, spoken in enumerate(found) if spoken is None]

    def keep(answers: Sequence[tuple[int, Spoken]]) -> None:
        kept = [(row, one) for row, one in answers if one.end != "nan"]
        tokens = sum(len(asks[missing[row]].ids) + len(one.tokens) for row, one in answers)
        memory.keep([(names[missing[row]], {"tokens": one.tokens, "end": one.end}) for row, one in kept], tokens)
        on_items(len(answers))

    given = [asks[place] for place in missing]
    answers = generate(
        population,
        given,
        sampling,
        stops,
        batch_size=settings.batch_size,
        context=settings.context,
        stopped=stopped,
        on_answers=keep,
    )
    for place, answer in zip(missing, answers, strict=True):
        found[place] = answer
    return [spoken for spoken in found if spoken is not None]


def judged(
    answers: Sequence[Answered], verifier: Verifier, part: Part, context: int | None, on_items: Callable[[int], None]
) -> list[EvalRow]:
    """A row for each answer, with the verifier's word on it."""
    rows: list[EvalRow] = []
    for found, verdict in zip(answers, verdicts(answers, verifier), strict=True):
        score, reason, detail = verdict.score, verdict.reason, verdict.detail
        if not _is_score(score):
            score, reason, detail = 0.0, "crash", f"the verifier gave the score {score!r}"
        if found.end in ("nan", "too-long"):
            score, reason = 0.0, found.end
            detail = too_long(len(found.prompt), context) if reason == "too-long" else ""
        elif found.end == "unfinished":
            reason, detail = "unfinished", " ".join(filter(None, (reason, detail)))
        elif not found.text.strip() and score < 1:
            reason = "empty"
        if 0 < score < 1 and not part.partial:
            score, detail = 0.0, f"right in part: {score:.3g} {detail}".strip()
        rows.append(row_of(found, part, float(score), reason, detail, verdict.ms))
        on_items(1)
    return rows


def _is_score(given: Any) -> bool:
    """Whether a verifier's score is one: it is anybody's code."""
    return isinstance(given, int | float) and 0 <= given <= 1


def verdicts(answers: Sequence[Answered], verifier: Verifier) -> Sequence[Verdict]:
    """The verifier's word on each answer. Where it fails on them together it is asked for one at a time, and where it
    fails on one, that has the reason `crash`. What speciate raises on purpose stops the evaluation.
    """
    items, texts = [found.item for found in answers], [found.text for found in answers]
    given: list[Verdict] = []
    try:
        given.extend(verifier.verify(items, texts))
        if len(given) == len(items):
            return given
    except SpeciateError:
        raise
    except Exception:  # a verifier is anybody's code, and may raise anything
        pass
    for place in range(len(given), len(items)):
        try:
            [verdict] = verifier.verify(items[place : place + 1], texts[place : place + 1])
        except SpeciateError:
            raise
        except Exception as error:
            verdict = Verdict(0.0, "crash", f"{type(error).__name__}: {error}"[:300])
        given.append(verdict)
    return given[: len(items)]


def choose(
    population: Population,
    members: Sequence[str],
    part: Part,
    memory: Memory,
    settings: Settings,
    on_items: Callable[[int], None],
) -> dict[str, list[EvalRow]]:
    """Which choice of each item is the likeliest for each member, and whether it is the right one."""
    tokenizer = population.tokenizer
    prompts = [tuple(prompt_ids(tokenizer, item.prompt)) for item in part.items]
    asks = [
        Choice(member, prompt, tuple(continuation_ids(tokenizer, choice) for choice in item.choices))
        for member in members
        for item, prompt in zip(part.items, prompts, strict=True)
    ]
    names = [
        memory.name(one.member, "choose", list(one.context), [list(tokens) for tokens in one.continuations])
        for one in asks
    ]
    found = [[float(nats) for nats in kept["nats"]] if (kept := memory.find(name)) else None for name in names]
    on_items(sum(nats is not None for nats in found))
    fits = [settings.context is None or _length(one) <= settings.context for one in asks]
    on_items(sum(nats is None and not fit for nats, fit in zip(found, fits, strict=True)))
    missing = [place for place, nats in enumerate(found) if nats is None and fits[place]]

    def keep(answers: Sequence[tuple[int, list[Likelihood]]]) -> None:
        known: list[tuple[bytes, dict[str, list[float]]]] = []
        for row, likelihood in answers:
            nats = [one.nats for one in likelihood]
            found[missing[row]] = nats
            if all(map(math.isfinite, nats)):
                known.append((names[missing[row]], {"nats": nats}))
        memory.keep(known, sum(read_of(asks[missing[row]]) for row, _ in answers))
        on_items(len(answers))

    likelihoods(population, [asks[place] for place in missing], batch_size=settings.batch_size, on_choices=keep)
    rows: dict[str, list[EvalRow]] = {member: [] for member in members}
    for place, one in enumerate(asks):
        item = part.items[place % len(part.items)]
        rows[one.member].append(_chosen(item, one, found[place], part, settings.context))
    return rows


def _chosen(item: Item, asked: Choice, nats: Sequence[float] | None, part: Part, context: int | None) -> EvalRow:
    if nats is None or not all(map(math.isfinite, nats)):
        reason = "too-long" if nats is None else "nan"
        detail = too_long(len(asked.context), context, _length(asked) - len(asked.context)) if nats is None else ""
        return row_of(Answered(item, 0, asked.context, "", (), reason), part, 0.0, reason, detail, 0.0)
    weighed = [
        value / (len(choice.encode()) if part.by == "byte" else 1)
        for value, choice in zip(nats, item.choices, strict=True)
    ]
    best = max(range(len(weighed)), key=lambda number: weighed[number])
    text = item.choices[best]
    right = text == item.reference
    detail = "log-likelihoods " + ", ".join(f"{value:.3f}" for value in nats)
    found = Answered(item, 0, asked.context, text, asked.continuations[best], "stop")
    return row_of(found, part, float(right), "ok" if right else "wrong", detail, 0.0)


def _length(asked: Choice) -> int:
    return len(asked.context) + max(map(len, asked.continuations))


def too_long(prompt: int, context: int | None, choice: int = 0) -> str:
    """What a row says of a prompt that leaves no room, in tokens."""
    choices = f", its longest choice {choice:,}" if choice else ""
    return f"the prompt has {prompt:,} tokens{choices}, and the base reads {context or 0:,}"


def row_of(found: Answered, part: Part, score: float, reason: str, detail: str, ms: float) -> EvalRow:
    """The row of one answer."""
    return EvalRow(
        item=found.item.digest,
        family=found.item.family,
        cluster=found.item.cluster,
        role=part.role,
        sample=found.sample,
        prompt_digest=digest_json(list(found.prompt)),
        prompt=found.item.prompt,
        output=found.text,
        score=score,
        reason=reason,
        detail=detail,
        tokens=len(found.spoken),
        ms=round(ms, 3),
    )
