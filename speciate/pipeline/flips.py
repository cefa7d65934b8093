"""Items that changed with an adapter, to be read: right to wrong first, spread over the families.

An item is right where its score is 1. Of several answers all are right then; one that is not makes it wrong.
"""

from collections.abc import Collection, Mapping, Sequence

from speciate.evals.rows import Rows
from speciate.pipeline.subjects import Subject
from speciate.records import ROLES, Flip, Role

Change = tuple[Role, str, bool]
"""Role and digest of an item, and whether it was lost."""
MOST_FLIPS = 2000
"""Flips of one arm that are kept, in all its directions and families."""


def flips_of(
    labels: Sequence[str], groups: Sequence[Sequence[Subject]], items: Mapping[Role, Collection[str]]
) -> tuple[list[Flip], int]:
    """The flips of each arm's first adapter, and how many there are in all."""
    found: list[Flip] = []
    total = 0
    for label, group in zip(labels, groups, strict=True):
        subject = group[0]
        if not subject.adapter:
            continue
        changed: list[Change] = [
            (role, item, lost) for role in ROLES for item, lost in changes(subject, role, items[role])
        ]
        total += len(changed)
        found += shown(label, subject, chosen(subject, changed))
    return found, total


def changes(subject: Subject, role: Role, items: Collection[str]) -> list[tuple[str, bool]]:
    """Items of one role that changed between right and wrong, and whether they were lost."""
    before, after = subject.base_scores[role].scores, subject.scores[role].scores
    return [
        (item, before[item] >= 1.0)
        for item in before
        if item in items and (before[item] >= 1.0) != (after[item] >= 1.0)
    ]


def chosen(subject: Subject, changed: Sequence[Change]) -> list[Change]:
    """At most `MOST_FLIPS`, in turn from each family and direction."""
    groups: dict[tuple[bool, str], list[Change]] = {}
    for role, item, lost in changed:
        groups.setdefault((not lost, subject.base_scores[role].families[item]), []).append((role, item, lost))
    kept: list[Change] = []
    depth = 0
    ordered = [groups[key] for key in sorted(groups)]
    while len(kept) < MOST_FLIPS and any(len(group) > depth for group in ordered):
        kept += [group[depth] for group in ordered if len(group) > depth]
        depth += 1
    return sorted(kept[:MOST_FLIPS], key=lambda flip: not flip[2])


def shown(label: str, subject: Subject, flips: Sequence[Change]) -> list[Flip]:
    """Flips with their prompts and answers; of several answers to an item, the first that is not right."""
    before, after = texts(subject.base_rows, flips), texts(subject.rows, flips)
    found: list[Flip] = []
    for role, item, lost in flips:
        old, new = before[role, item], after[role, item]
        found.append(
            Flip(
                arm=label,
                item=item,
                family=new["family"],
                role=role,
                lost=lost,
                prompt=new["prompt"],
                base_output=old["output"],
                adapter_output=new["output"],
                reason=(new if lost else old)["reason"],
                detail=(new if lost else old)["detail"],
            )
        )
    return found


def texts(rows: Rows, flips: Sequence[Change]) -> dict[tuple[str, str], dict[str, str]]:
    """Family, prompt, output, reason and detail of the answer that makes an item wrong, or of the first where all are
    right; by role and digest.
    """
    wanted = {(role, item) for role, item, _ in flips}
    places: dict[tuple[str, str], int] = {}
    for place, (role, item, _) in enumerate(rows.keys):
        if (role, item) in wanted:
            first = places.setdefault((role, item), place)
            if rows.scores[first] >= 1.0 > rows.scores[place]:
                places[role, item] = place
    taken = rows.taken(list(places.values()))
    names: tuple[str, ...] = ("family", "prompt", "output", "reason", "detail")
    columns = [taken.column(name) for name in names]
    found: list[dict[str, str]] = [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
    return dict(zip(places, found, strict=True))
