"""The items that all subjects of a comparison answered, or in words why their scores cannot be compared."""

from collections import Counter
from collections.abc import Sequence

from speciate.errors import Incomparable
from speciate.pipeline.subjects import Subject
from speciate.records import ROLES, Role
from speciate.storage import digest_json

Common = dict[Role, set[str]]
MOST_NAMED = 6
"""Families that a message names."""


def shared_items(found: Sequence[Subject], common: bool) -> tuple[Common, dict[str, int]]:
    """The items of each role that all answered, and how many were left out for it.

    Raises Incomparable, naming what differs with its digests, unless the common ones are asked for.
    """
    items: Common = {}
    left_out: dict[str, int] = {}
    problems: list[str] = []
    if len({subject.provenance.get("suite", "") for subject in found}) > 1:
        problems += [f"  {subject.name}: {suite_of(subject)}" for subject in found]
    for role in ROLES:
        for subject in found:
            alone = set(subject.base_scores[role].scores) ^ set(subject.scores[role].scores)
            if alone and not common:
                raise Incomparable(
                    f"{subject.name}: {len(alone)} {role} items were answered by its base or by itself alone; its rows "
                    "are not whole. Measure it again, or add --common for the items that both answered."
                )
        answered = [set(subject.base_scores[role].scores) & set(subject.scores[role].scores) for subject in found]
        shared = set.intersection(*answered)
        if more := len(set.union(*answered) - shared):
            left_out[role] = more
            problems += [
                f"  {subject.name}: "
                + (f"{len(its):,} {role} items with digest {digest_json(sorted(its))}" if its else f"no {role} items")
                for subject, its in zip(found, answered, strict=True)
            ]
        items[role] = shared
    if problems and not common:
        raise Incomparable(
            "\n".join(
                [
                    "these were measured on different suites or items, so their scores cannot be compared:",
                    *problems,
                    "What differs:",
                    *(line for other in found[1:] for line in differences(found[0], other)),
                    "Measure them on one suite (`speciate eval A B --suite SUITE`), or add --common for the items that "
                    "all answered.",
                ]
            )
        )
    if not any(items.values()):
        raise Incomparable(
            "\n".join(["there is no item that all of them answered:", *problems, "Measure them on one suite."])
        )
    return items, left_out


def suite_of(subject: Subject) -> str:
    """The suite with its name, its items and its digest, as far as the record knows them."""
    counts = [f"{len(part.scores):,} {role}" for role, part in subject.base_scores.items() if part.scores]
    items = f" ({', '.join(counts)} items)" if counts else ""
    return f"suite {subject.suite or 'of unknown name'}{items} {subject.provenance.get('suite') or 'unknown digest'}"


def differences(first: Subject, other: Subject) -> list[str]:
    """What of two subjects' suites differs: name, families, items, answers to each, texts; nothing for the same."""
    items = of_items(first, other)
    if not items and first.provenance.get("suite", "") == other.provenance.get("suite", ""):
        return []
    found = list(items)
    if first.suite != other.suite and first.suite and other.suite:
        found.insert(0, f"the suite is {first.suite} for {first.name}, {other.suite} for {other.name}")
    samples = [most_samples(subject) for subject in (first, other)]
    if samples[0] != samples[1]:
        found.append(f"answers to each item: {samples[0]} of {first.name}, {samples[1]} of {other.name}")
    if {loss.text for loss in first.base_texts} != {loss.text for loss in other.base_texts}:
        counts = f"{len(first.base_texts):,} of {first.name}, {len(other.base_texts):,} of {other.name}"
        found.append(f"the texts for the loss: {counts}")
    if not items:
        found.append(
            f"{first.name} and {other.name} answered the same items: it is the version, the sampling (lengths, "
            "temperature), the texts or the judging of the suite that differs"
        )
    return [f"  {line}" for line in found]


def of_items(first: Subject, other: Subject) -> list[str]:
    """In which families the items of two subjects differ."""
    lines: list[str] = []
    for role in ROLES:
        parts = [subject.base_scores[role] for subject in (first, other)]
        counts = [Counter(part.families.values()) for part in parts]
        both = Counter(family for item, family in parts[0].families.items() if item in parts[1].families)
        for here, there, subject in ((counts[0], counts[1], first), (counts[1], counts[0], other)):
            if only := sorted(set(here) - set(there)):
                lines.append(f"{role} families of {subject.name} alone: {named(only)}")
        unlike = [
            f"{family} ({counts[0][family]:,} and {counts[1][family]:,} items, {both[family]:,} of them the same)"
            for family in sorted(set(counts[0]) & set(counts[1]))
            if not counts[0][family] == counts[1][family] == both[family]
        ]
        if unlike:
            lines.append(f"{role} families with other items, of {first.name} and {other.name}: {named(unlike)}")
    return lines


def named(names: Sequence[str]) -> str:
    """The first of the names, and how many more there are."""
    more = f" and {len(names) - MOST_NAMED:,} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more


def most_samples(subject: Subject) -> int:
    """How often an item was answered."""
    return max((sample for _, _, sample in subject.base_rows.keys), default=0) + 1
