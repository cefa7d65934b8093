"""One entry, and two of them, as the values that their pages fill in. All of it is text: the templates escape it."""

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any, NamedTuple

from speciate.browse.answers import Relative
from speciate.browse.found import Whole
from speciate.browse.words import address, base_address
from speciate.differing import leaves
from speciate.recipe import as_yaml
from speciate.records import AdapterCard, Card, Estimate, FamilyScore, Forgetting, RecipeDifference
from speciate.reports import words
from speciate.storage import canonical_json, indented_json

SIGNS = {"passed": "✓", "failed": "✕", "undecided": "?", "unknown": "–"}
"""Of verdicts: a shape beside the word and the colour."""
MOST_ROWS = 500
"""Of one table; what a card holds has no limit."""
MOST_LETTERS = 100_000
"""Of a recipe's text."""

Row = tuple[str, str]


class Figure(NamedTuple):
    """A number that matters, with its interval, drawn from its ends as shares of 1."""

    name: str
    value: str
    interval: str
    lines: Sequence[str]
    low: float
    middle: float
    high: float


class Link(NamedTuple):
    """A relative; without an address where there is no page of it."""

    name: str
    how: str
    address: str


def entry_view(whole: Whole) -> dict[str, Any]:
    """All that the page of an entry shows, but its phylogeny."""
    card = whole.card
    measured = card if isinstance(card, AdapterCard) else None
    return {
        "name": f"{card.species}@{card.version}",
        "address": address(card.digest),
        "card": card,
        "sign": SIGNS[card.verdict],
        "aliases": whole.short.aliases,
        "figures": _figures(measured) if measured else [],
        "gates": [(gate.gate, gate.outcome, gate.explanation) for gate in measured.gates] if measured else [],
        "families": _families(measured) if measured else [],
        "families_left_out": max(0, len(measured.families) + len(measured.general) - MOST_ROWS) if measured else 0,
        "evidence": _evidence(measured) if measured else [],
        "facts_rows": _facts(whole),
        "parents": [link(one) for one in whole.parents[:MOST_ROWS]],
        "children": [link(one) for one in whole.children],
        "children_total": whole.children_total,
        "recipe": _recipe_text(card),
        "versions": sorted(card.versions.items())[:MOST_ROWS],
    }


def link(one: Relative) -> Link:
    """A relative as a link."""
    kind = one.kind.replace("-", " ")
    if one.what == "entry":
        return Link(one.name, kind, address(one.digest))
    if one.what == "base":
        return Link(one.name, f"{kind}, a base", base_address(one.digest))
    return Link(one.name, f"{kind}, not in this registry", "")


def recipe_differences(one: Card, other: Card) -> list[RecipeDifference]:
    """The keys on which two recipes differ; none where one of them has no recipe."""
    if not (isinstance(one, AdapterCard) and isinstance(other, AdapterCard)):
        return []
    before, after = dict(leaves(one.recipe)), dict(leaves(other.recipe))
    return [
        RecipeDifference(key=key, values=[_shown(before, key), _shown(after, key)])
        for key in dict.fromkeys([*before, *after])
        if key not in before or key not in after or before[key] != after[key]
    ]


def pair_view(one: Whole, other: Whole) -> dict[str, Any]:
    """Two cards side by side."""
    views = [entry_view(one), entry_view(other)]
    kept = [dict(_compared(whole)) for whole in (one, other)]
    return {
        "views": views,
        "rows": [(name, [its.get(name, "–") for its in kept]) for name in dict.fromkeys([*kept[0], *kept[1]])],
        "families": _families_beside(views),
        "recipe": recipe_differences(one.card, other.card)[:MOST_ROWS],
        "same_suite": _same_suite(one.card, other.card),
    }


def _figures(card: AdapterCard) -> list[Figure]:
    found = [_gain("Gain", card.gain)]
    if card.transfer:
        found.append(_gain("Held out of training", card.transfer))
    return [*found, _loss(card.forgetting)]


def _gain(name: str, of: Estimate) -> Figure:
    value = words.typeset(f"{words.points(of.delta)} points")
    interval = words.typeset(f"95% interval {words.bounds(of.ci95)}")
    return Figure(name, value, interval, [words.changed(of)], of.ci95[0], of.delta, of.ci95[1])


def _loss(of: Forgetting) -> Figure:
    interval = f"95% interval of the loss {words.bounds(of.ci95)}; 95% sure to have lost less than "
    interval += words.points(of.ci95_upper, sign=False)
    lines = [words.changed(of), *([f"text: {words.text_loss(of.nats)}"] if of.nats else [])]
    value, shown = words.moved(of.delta), [words.typeset(line) for line in lines]
    return Figure("Forgetting", value, words.typeset(interval), shown, of.ci95[0], of.delta, of.ci95[1])


def _families(card: AdapterCard) -> list[tuple[str, Sequence[Any]]]:
    """Tables of families under their roles."""
    roles = (
        ("Niche", [score for score in card.families if not score.held_out]),
        ("Held out of training", [score for score in card.families if score.held_out]),
        ("General", card.general),
    )
    room = MOST_ROWS
    found: list[tuple[str, Sequence[Any]]] = []
    for name, scores in roles:
        if its := scores[:room]:
            found.append((name, [_family(score) for score in its]))
        room -= len(its)
    return found


def _family(score: FamilyScore) -> dict[str, Any]:
    return {
        "name": score.family,
        "n": f"{score.n:,}",
        "base": words.points(score.base, sign=False),
        "adapter": words.points(score.adapter, sign=False),
        "delta": words.typeset(f"{words.points(score.delta)} ({words.bounds(score.delta_ci95)})"),
        "p": words.p_value(score.p_holm),
        "ends": [_place(share) for share in (score.base, score.adapter, *score.adapter_ci95)],
    }


def _place(share: float) -> str:
    """Where a share lies on a line of 100, as an attribute of SVG."""
    return f"{100 * min(1.0, max(0.0, share)):.1f}"


def _evidence(card: AdapterCard) -> list[Row]:
    """What else is known of the measurement."""
    state, how = words.intactness(card.intact)
    rows = [(f"Base {state}", how)]
    rows += [(f"Drift, {words.ROLES[one.role]}", words.drifted(one)) for one in card.drift]
    if card.hammer:
        rows.append(("Without a model", words.hammered(card.hammer)))
    if card.contamination:
        rows.append(("Given away by training rows", words.contaminated(card.contamination)))
    rows += [("Without a proper answer", words.improper(one)) for one in card.troubles[:MOST_ROWS]]
    return rows


def _facts(whole: Whole) -> list[Row]:
    card = whole.card
    rows = [
        ("Niche", card.niche),
        ("Base", f"{card.base.get('name') or 'unknown'} ({words.short(card.base.get('digest') or 'no digest')})"),
        ("Licence", card.licence),
        ("Made", f"{card.created} with speciate {card.speciate}"),
        ("Digest", card.digest),
        ("Signature", str(whole.signed) + (f": {whole.signed.problem}" if whole.signed.problem else "")),
    ]
    if isinstance(card, AdapterCard):
        rows += [("Run", f"{card.run} · seed {card.seed}"), ("Recipe's digest", card.recipe_digest)]
        rows += [("Data's digest", card.data_digest)]
        if card.suite_digest:
            rows.append(("Suite's digest", card.suite_digest))
        cost = " · ".join(words.quantity(name, value) for name, value in list(card.cost.items())[:20])
        return [*rows, *([("Cost", cost)] if cost else [])]
    shape = " · ".join(f"{name} {value}" for name, value in list(card.shape.items())[:20])
    return [*rows, ("Origin", card.origin), *([("Shape", shape)] if shape else [])]


def _recipe_text(card: Card) -> str:
    if not isinstance(card, AdapterCard):
        return ""
    text = indented_json(card.recipe)
    # To write it as YAML takes seconds for each megabyte.
    text = as_yaml(card.recipe) if len(text) <= MOST_LETTERS else text
    return text if len(text) <= MOST_LETTERS else f"{text[:MOST_LETTERS]}\n… {len(text) - MOST_LETTERS:,} letters more"


def _compared(whole: Whole) -> list[Row]:
    """The rows of one side."""
    card = whole.card
    measured = card if isinstance(card, AdapterCard) else None
    figures = _figures(measured) if measured else []
    evidence = _evidence(measured)[: 1 + len(measured.drift)] if measured else []
    rows = [(figure.name, f"{figure.value}; {figure.interval}") for figure in figures] + evidence
    kept = ("Niche", "Base", "Licence", "Made", "Run", "Cost", "Origin")
    return rows + [row for row in _facts(whole) if row[0] in kept]


def _families_beside(views: Sequence[Mapping[str, Any]]) -> list[tuple[str, Any, Any]]:
    """The families of both, those of one name in one row."""
    sides = [
        {f"{role.lower()}: {family['name']}": family for role, its in view["families"] for family in its}
        for view in views
    ]
    names = dict.fromkeys(name for pair in zip_longest(*sides) for name in pair if name is not None)
    return [(name, sides[0].get(name), sides[1].get(name)) for name in names]


def _same_suite(one: Card, other: Card) -> bool:
    if not (isinstance(one, AdapterCard) and isinstance(other, AdapterCard)):
        return False
    return bool(one.suite_digest) and one.suite_digest == other.suite_digest


def _shown(values: Mapping[str, Any], key: str) -> str:
    return canonical_json(values[key]).decode() if key in values else ""
