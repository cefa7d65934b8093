"""A comparison as one HTML page that needs nothing else: no network, no font, no other file.

What stands in a record was written by others, models among them. Jinja escapes all of it; drawings, style and script
are our own, and the page's Content-Security-Policy lets no other script or style run, nor anything be fetched. A page
stays below `LIMIT` bytes whatever it is made of: it shows fewer flips, then fewer families, and says so.
"""

import base64
import hashlib
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from speciate.records import Arm, Comparison
from speciate.reports import choices, flips, planes, plots, shares, views, words
from speciate.reports.families import counted
from speciate.reports.plain import line
from speciate.reports.sheet import symbols
from speciate.reports.terms import terms

if TYPE_CHECKING:
    from jinja2 import Environment

LIMIT = 3_000_000
"""Bytes of a page."""
FLIPS = 1_500_000
"""Bytes of its flips, at most."""
MOST_ARMS = 24
_MOST_FAMILIES = (1800, 600, 200, 50)
"""Families of all arms together that are drawn one by one: fewer where the page would be too large."""
_MOST_CONTRASTS = (200, 24)
"""In the table and in the drawing."""


def render_page(comparison: Comparison) -> str:
    """The whole page."""
    page = ""
    for most in _MOST_FAMILIES:
        filled = _values(comparison, most)
        rest = _render(filled | _flips(comparison, 0))
        room = LIMIT - len(rest.encode())
        # The filter's lists are not in `rest`; they hold a line for each family.
        page = _render(filled | _flips(comparison, min(FLIPS, room - 60_000)))
        if len(page.encode()) <= LIMIT:
            break
    return page


def _values(comparison: Comparison, most_families: int) -> dict[str, Any]:
    """All that the template needs but the flips."""
    from markupsafe import Markup

    arms = comparison.arms[:MOST_ARMS]
    several = len(arms) > 1
    labels = [line(arm.label, 60) for arm in arms]
    numbers = {arm.label: number for number, arm in enumerate(arms)}
    each = max(6, most_families // max(1, len(arms)))
    contrasts = comparison.contrasts
    troubles, doubts = views.doubts(arms)
    style, script = (_template(name) for name in ("page.css", "page.js"))
    return {
        "policy": f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; "
        "img-src data:; base-uri 'none'; form-action 'none'",
        "style": Markup(style),
        "script": Markup(script),
        "symbols": Markup(symbols()),
        "title": f"{len(comparison.arms)} arms compared" if several else labels[0] if labels else "Nothing compared",
        "subject": _subject(comparison, arms),
        "version": line(comparison.speciate, 40),
        "labels": labels,
        "alone": words.all_alone(arms),
        "verdict": views.sentences(comparison.verdict),
        "arms": [views.arm_view(arm, number, several) for number, arm in enumerate(arms)],
        "arms_left_out": len(comparison.arms) - len(arms),
        "overview": views.overview(arms),
        "plane": Markup(planes.plane(arms)),
        "gains": Markup(plots.gains(arms)),
        "losses": Markup(plots.losses(arms)),
        "spread_meaning": words.SPREAD,
        "spreads": Markup(plots.spreads(arms)),
        "families": [_families(arm, number, each) for number, arm in enumerate(arms) if counted(arm)],
        "contrasts": views.contrasts_table(comparison, numbers, _MOST_CONTRASTS[0]),
        "contrast_plot": Markup(plots.contrasts(contrasts, arms) if len(contrasts) <= _MOST_CONTRASTS[1] else ""),
        "curves": _curves(arms),
        "choices": choices.table(arms),
        "choice_plots": [(Markup(drawing), caption) for drawing, caption in choices.drawings(arms)],
        "recipe": shares.recipe(comparison, len(arms)),
        "recipe_left_out": max(0, len(comparison.recipe) - 40),
        "provenance": shares.provenance(arms),
        "costs": views.costs(arms),
        "left_out": views.items(comparison.left_out),
        "doubts": doubts,
        "troubles": troubles,
        "terms": terms(arms),
    }


def _families(arm: Arm, number: int, most: int) -> dict[str, Any]:
    """Many families are drawn as a profile first; few speak for themselves."""
    from markupsafe import Markup

    count = counted(arm)
    many = count > plots.FEW
    return {
        "number": number,
        "many": many,
        "count": words.count(count, "family", "families"),
        "alone": arm.alone,
        "changes": Markup(planes.changes(arm, number) if many and not arm.alone else ""),
        "profile": Markup(planes.profile(arm, number) if count >= 8 else ""),
        "drawn": [(Markup(drawing), heading) for drawing, heading in plots.families(arm, number, most)],
        "table": views.families_table(arm, most),
    }


def _curves(arms: Sequence[Arm]) -> list[tuple[str, str]]:
    from markupsafe import Markup

    drawn = [
        (planes.curves(arms, "dev-loss", "loss, nats/token", lambda point: point.dev_loss), "Loss on the dev items"),
        (
            planes.curves(arms, "training-loss", "loss, nats/token", lambda point: point.loss),
            "Loss on the training rows",
        ),
    ]
    return [(Markup(drawing), caption) for drawing, caption in drawn if drawing]


def _flips(comparison: Comparison, room: int) -> dict[str, Any]:
    """As many flips as have room, spread over arms, directions and families, and in that order."""
    from markupsafe import Markup

    numbers = {arm.label: number for number, arm in enumerate(comparison.arms[:MOST_ARMS])}
    arms: dict[str, int] = {}
    families: dict[str, int] = {}
    cards: list[str] = []
    lost = 0
    template = _environment().get_template("flip.html")
    for flip in flips.fair(comparison.flips) if room > 0 else []:
        texts = flips.texts(flip)
        number = numbers.get(flip.arm)
        card = template.render(
            flip=texts,
            number=number,
            role=words.ROLES[flip.role],
            arm=arms.setdefault(texts.arm, len(arms)),
            family=families.setdefault(texts.family, len(families)),
        )
        room -= len(card.encode())
        if room < 0:
            break
        cards.append(card)
        lost += flip.lost
    total = max(comparison.flips_total, len(comparison.flips))
    seeds = " Of each arm's first seed." if any(len(arm.seeds) > 1 for arm in comparison.arms) else ""
    has = "all of them" if len(cards) == total else f"{len(cards):,} of them, spread over arms, families and directions"
    return {
        "flips_total": total,
        "flip_words": f"{words.count(total, 'answer', 'answers')} changed between right and wrong. This page has "
        f"{has}: {lost:,} right → wrong, {len(cards) - lost:,} wrong → right.{seeds}",
        "shown_words": f"Shown: {len(cards):,} of {total:,}.",
        "cards_shown": len(cards),
        "cards": Markup("\n".join(cards)),
        "flip_arms": list(arms.values()),
        "flip_labels": list(arms),
        "flip_families": sorted(((number, name) for name, number in families.items()), key=lambda pair: pair[1]),
    }


def _subject(comparison: Comparison, arms: Sequence[Arm]) -> str:
    bases = dict.fromkeys(
        f"{line(arm.base.get('name', 'unknown'))} ({words.short(arm.base.get('digest', 'no digest'))})" for arm in arms
    )
    how = "by itself, without an adapter:" if words.all_alone(arms) else "grown on"
    grown = f"{how} {', '.join(list(bases)[:3])}{' …' if len(bases) > 3 else ''}"
    return f"{grown} · items: {views.items(comparison.items) or 'none'}"


def _render(values: dict[str, Any]) -> str:
    return _environment().get_template("page.html").render(values).lstrip()


@cache
def _environment() -> "Environment":
    from jinja2 import DictLoader, Environment, StrictUndefined

    return Environment(
        loader=DictLoader({name: _template(name) for name in ("page.html", "flip.html")}),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@cache
def _template(name: str) -> str:
    return (files("speciate") / "reports" / "templates" / name).read_text(encoding="utf-8")


def _hash(source: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()
