"""From a niche to rows and items, each in one split only.

An item's split follows from the digest of its canonical form, not from the run that draws it: what is a test item
today can never be a training row of any recipe or seed. Rows enter the training data only when the verifier accepts
their reference; the same holds for evaluation items, so that each of them can be solved.
"""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from speciate.errors import VerifierError
from speciate.niches import skills
from speciate.niches.base import Item, Verifier
from speciate.niches.contamination import overlap
from speciate.niches.splits import EVALUATION, Stream, draw
from speciate.records import DataManifest
from speciate.storage import digest_json

MOST_REFUSED = 0.02
"""Share of references that the verifier may refuse before the generator is called broken."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """How many items of each split, and the families they come from."""

    families: Sequence[str]
    held_out: Sequence[str]
    train: int
    dev: int
    test: int
    transfer: int
    replay: float
    """Fraction of the training rows that are general skills."""
    weights: Mapping[str, float]
    """Weight of a family among the training rows; one that is not named has 1."""
    evaluation_weights: Mapping[str, float]
    """The same among the items that are measured on."""
    general: int = 0
    """Rows of general skills that are read and not trained on."""


@dataclass(frozen=True, slots=True)
class Rows:
    """The data of one run."""

    train: list[Item]
    """Rows of the niche."""
    replay: list[Item]
    """Rows of general skills, none of which is in the held-out tenth that the suites use."""
    dev: list[Item]
    test: list[Item]
    transfer: list[Item]
    manifest: DataManifest
    general: Sequence[Item] = ()
    """Further rows of general skills, which a guard holds or an adapter begins from."""


def shares(total: int, families: Sequence[str], weights: Mapping[str, float] | None = None) -> dict[str, int]:
    """`total` split over the families by weight (largest remainders; of equal ones the first get what is left)."""
    weight = {family: (weights or {}).get(family, 1.0) for family in families}
    exact = {family: total * weight[family] / sum(weight.values()) for family in families}
    counts = {family: int(share) for family, share in exact.items()}
    left = total - sum(counts.values()) if families else 0
    for family in sorted(families, key=lambda family: counts[family] - exact[family])[:left]:
        counts[family] += 1
    return counts


def accepted(items: Sequence[Item], verifier: Verifier, on_items: Callable[[int], None]) -> list[Item]:
    """The items whose reference the verifier accepts. Raises VerifierError where it refuses too many."""
    kept: list[Item] = []
    refused: list[tuple[Item, str]] = []
    for item, verdict in zip(items, verifier.verify(items, [item.reference for item in items]), strict=True):
        if verdict.score == 1.0:
            kept.append(item)
        else:
            refused.append((item, f"{verdict.reason}: {verdict.detail}"))
        on_items(1)
    if len(refused) > max(1, MOST_REFUSED * len(items)):
        item, reason = refused[0]
        raise VerifierError(
            f"the verifier refused {len(refused)} of {len(items)} reference answers, the first of family "
            f"{item.family!r} ({reason}):\n{item.prompt}\n{item.reference}"
        )
    return kept


def build(
    stream: Stream,
    wanted: Wanted,
    seed: int,
    excluded: Collection[str],
    verifier: Verifier,
    on_items: Callable[[int], None],
    measured: Sequence[Item] = (),
) -> Rows:
    """Draw, verify and keep apart. `excluded` are digests that the base has seen; `on_items` is called per item.

    `measured` are further items that no training row may give away.
    """
    counts = shares(wanted.train, wanted.families, wanted.weights)
    train, repeats = draw(stream, f"{seed}/train", counts, "train", excluded)
    dev, _ = draw(stream, EVALUATION, shares(wanted.dev, wanted.families, wanted.evaluation_weights), "dev", excluded)
    test, _ = draw(
        stream, EVALUATION, shares(wanted.test, wanted.families, wanted.evaluation_weights), "test", excluded
    )
    transfer, _ = draw(stream, EVALUATION, shares(wanted.transfer, wanted.held_out), None, excluded)
    drawn = len(train) + len(dev) + len(test) + len(transfer)
    train, dev, test, transfer = (accepted(items, verifier, on_items) for items in (train, dev, test, transfer))
    replay = replay_rows(round(len(train) * wanted.replay / (1 - wanted.replay)), seed)
    general = skill_rows(wanted.general, f"{seed}/general")
    judged = {item.digest for item in (*dev, *test, *transfer)}
    both = sum(item.digest in judged for item in train) + sum(map(skills.held_out, [*replay, *general]))
    if both:
        raise VerifierError(f"{both} training rows are evaluation items: the split is broken")
    evaluated = [*dev, *test, *transfer, *measured]
    before = len(train) + len(replay)
    train, replay, general = (apart(read, evaluated) for read in (train, replay, general))
    rows = [*train, *replay]
    manifest = DataManifest(
        rows=len(rows),
        replay_rows=len(replay),
        families=dict(sorted(Counter(item.family for item in rows).items())),
        digest=digest_json([[item.prompt, item.reference] for item in rows]),
        eval_digest=digest_json([item.digest for item in (*dev, *test, *transfer)]),
        rejected_references=drawn - len(train) - len(dev) - len(test) - len(transfer),
        duplicates_removed=repeats,
        overlap_with_eval=both,
        given_away_removed=before - len(rows),
    )
    return Rows(train, replay, dev, test, transfer, manifest, general)


def apart(rows: list[Item], judged: Sequence[Item]) -> list[Item]:
    """The rows without those that give an evaluation item away.

    Rows are left out, not items: the items are the same for every recipe and seed.
    """
    kept = rows
    while giving := overlap(judged, [(item.prompt, item.reference) for item in kept]).rows:
        kept = [item for number, item in enumerate(kept) if number not in giving]
    return kept


def replay_rows(count: int, seed: int) -> list[Item]:
    """Rows of general skills to train on."""
    return skill_rows(count, f"{seed}/replay")


def skill_rows(count: int, seed: str) -> list[Item]:
    """General skills in equal parts, from the nine tenths that no suite uses."""
    names = list(skills.SKILLS)
    streams = {name: skills.stream(name, seed, held=False) for name in names}
    return [next(streams[names[index % len(names)]]) for index in range(count)]
