"""Training rows in the base's own words.

What a base says in its own words moves it less than what others say. It answers through the same memory as in an
evaluation, so a run that was stopped goes on where it was, and a second one does not pay again.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from random import Random

from speciate.data.build import Rows, apart
from speciate.evals.runner import Answered, Settings, ask, verdicts
from speciate.evals.sources import Part
from speciate.models.population import BASE, Population
from speciate.niches.base import Item, Verifier
from speciate.pipeline.measuring import memory_of
from speciate.progress import Progress
from speciate.recipe import Recipe
from speciate.recipe.fields import MAX_ITEMS
from speciate.recipe.guard import Distill, OnPolicy
from speciate.recipe.suite import SamplingOf
from speciate.records import DataManifest, Role
from speciate.records.documents import OwnAnswers
from speciate.storage import digest_json

JUDGED_AT_ONCE = 256
"""Answers that are given to the verifier together."""


@dataclass(frozen=True)
class Own:
    """How the base comes to answer training rows itself."""

    recipe: Recipe
    population: Population
    identity: str
    """What the base's answers follow from."""
    settings: Settings
    verifier: Verifier
    progress: Progress

    @property
    def wanted(self) -> bool:
        """Whether the recipe asks for the base's own words at all."""
        guard = self.recipe.guard
        return guard.replay_from == "self" or guard.on_policy is not None or guard.distill is not None

    def rows(self, made: Rows, measured: Sequence[Item]) -> Rows:
        """The rows as the recipe's guard wants them, in the base's words where it says so, and what was done in the
        manifest. Rows that now give an evaluation item away, `measured` ones too, are left out.
        """
        guard = self.recipe.guard
        replay = self.replay(made.replay) if guard.replay_from == "self" else made.replay
        answered, asked = self.answered(made.train, guard.on_policy, "on-policy", "hearing the base on the niche", bare)
        train, shown = self.answered(
            answered, guard.distill, "distill", "hearing the base say answers in its own words", showing, made.train
        )
        own = OwnAnswers(
            replay=len(replay) if guard.replay_from == "self" else 0,
            replay_left_out=len(made.replay) - len(replay),
            asked=asked,
            replaced=sum(new is not old for new, old in zip(answered, made.train, strict=True)),
            shown=shown,
            reworded=sum(new.reference != old.reference for new, old in zip(train, answered, strict=True)),
        )
        evaluated = [*made.dev, *made.test, *made.transfer, *measured]
        before = len(train) + len(replay)
        train, replay = apart(train, evaluated), apart(replay, evaluated)
        return replace(made, train=train, replay=replay, manifest=told(made.manifest, train, replay, before, own))

    def replay(self, items: Sequence[Item]) -> list[Item]:
        """The items with the base's answers, right or wrong; those that it did not end, or left empty, are left out."""
        sampling = self.sampling(self.recipe.guard.replay_temperature, 1)
        answers = self.answers(items, sampling, "general", "hearing the base on general skills")
        return [replace(found.item, reference=found.text) for found in answers if ended(found)]

    def answered(
        self,
        items: Sequence[Item],
        how: OnPolicy | Distill | None,
        name: str,
        doing: str,
        prompt: Callable[[Item], str],
        given: Sequence[Item] | None = None,
    ) -> tuple[list[Item], int]:
        """The items, with the first right answer of the base where it has one among those it was asked for; and how
        many it was asked for. With `given` only items that are still as given are asked for.
        """
        if how is None:
            return list(items), 0
        count = round(len(items) * how.fraction)
        chosen = sorted(Random(f"{self.recipe.seed}/{name}").sample(range(len(items)), count))
        chosen = [place for place in chosen if given is None or items[place] is given[place]]
        asked = {items[place].digest: items[place] for place in chosen}
        put = [replace(item, prompt=prompt(item)) for item in (items[place] for place in chosen)]
        answers = self.answers(put, self.sampling(how.temperature, how.samples), "niche", doing)
        tries = list({(one.item.digest, one.text): one for one in answers if ended(one)}.values())
        right: dict[str, str] = {}
        with self.progress.phase("judging the base's answers", len(tries)) as phase:
            for start in range(0, len(tries), JUDGED_AT_ONCE):
                batch = [replace(one, item=asked[one.item.digest]) for one in tries[start : start + JUDGED_AT_ONCE]]
                for found, verdict in zip(batch, verdicts(batch, self.verifier), strict=True):
                    if verdict.score == 1.0:
                        right.setdefault(found.item.digest, found.text)
                phase.advance(len(batch))
        own = {place: right.get(items[place].digest) for place in chosen}
        kept = [
            item if (text := own.get(place)) is None else replace(item, reference=text)
            for place, item in enumerate(items)
        ]
        return kept, len(chosen)

    def sampling(self, temperature: float, samples: int) -> SamplingOf:
        """How the base's answers are drawn."""
        return SamplingOf(
            max_new_tokens=self.recipe.evals.max_new_tokens,
            temperature=temperature,
            samples=samples,
            seed=self.recipe.seed % MAX_ITEMS,
        )

    def answers(self, items: Sequence[Item], sampling: SamplingOf, role: Role, doing: str) -> list[Answered]:
        """What the base says to each item, no longer than a training row may be."""
        part = Part(role, items, None, sampling)
        context = min(self.settings.context or 2**62, self.recipe.train[0].max_length)
        settings = replace(self.settings, context=context)
        doing_it = self.progress.phase(doing, len(items) * sampling.samples)
        with doing_it as phase, memory_of({BASE: self.identity}) as memory:
            return ask(self.population, [BASE], part, memory, settings, phase.advance)[BASE]


def bare(item: Item) -> str:
    """The task alone."""
    return item.prompt


def showing(item: Item) -> str:
    """The task with its answer, to be said again."""
    return f"{item.prompt}\n\nAn answer that is right:\n{item.reference}\n\nAnswer in your own words."


def ended(found: Answered) -> bool:
    """Whether an answer is one that a row can teach: it has words, and the base ended it."""
    return found.end == "stop" and bool(found.text.strip())


def told(
    manifest: DataManifest, train: Sequence[Item], replay: Sequence[Item], before: int, own: OwnAnswers
) -> DataManifest:
    """The manifest of the rows as they are now."""
    rows = [*train, *replay]
    return manifest.model_copy(
        update={
            "rows": len(rows),
            "replay_rows": len(replay),
            "families": dict(sorted(Counter(item.family for item in rows).items())),
            "digest": digest_json([[item.prompt, item.reference] for item in rows]),
            "given_away_removed": manifest.given_away_removed + before - len(rows),
            "own_answers": own,
        }
    )


def notes_on(manifest: DataManifest) -> list[str]:
    """What a person should know of the rows in the base's own words."""
    own = manifest.own_answers
    notes: list[str] = []
    if own and own.asked and own.replaced:
        notes.append(f"guard.on_policy: {own.replaced:,} of {own.asked:,} rows have a right answer of the base's own")
    elif own and own.asked:
        notes.append(
            f"guard.on_policy: the base got none of {own.asked:,} tasks right, so every row keeps its given answer; "
            "more guard.on_policy.samples may find some"
        )
    if own and own.shown:
        more = "" if own.reworded else "; a base that follows what stands in its prompt may have some"
        notes.append(f"guard.distill: {own.reworded:,} of {own.shown:,} answers are said in the base's own words{more}")
    if own and own.replay_left_out:
        total = own.replay + own.replay_left_out
        notes.append(
            f"guard.replay_from: {own.replay_left_out:,} of {total:,} answers of the base were empty or did not end "
            "within evals.max_new_tokens and train.max_length; their rows are left out"
        )
    return notes
