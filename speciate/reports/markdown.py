"""A comparison as Markdown, for a model card or a pull request.

Text of records is made safe for Markdown's readers: it starts no link, no image, no HTML, no table cell, no list, no
mention and no reference to an issue.
"""

import re
from collections.abc import Iterable, Sequence

from speciate.records import Arm, Comparison, Estimate, FamilyScore, Forgetting
from speciate.reports import words
from speciate.reports.families import by_role, counted, ends, shared
from speciate.reports.plain import line
from speciate.reports.shares import Shares, provenance, recipe
from speciate.reports.views import SIGNS, items

MOST_ARMS = 50
MOST_FAMILIES = 300
"""Of all arms together."""
MOST_CONTRASTS = 100

_SPECIAL = re.compile(
    r"[\\`*\[\]|~]|(?<!\w)_|_(?!\w)"  # marks of Markdown, but not the underscore in a name
    r"|[<>&$]"  # HTML and formulas
    r"|[@#]|(?<=\w):(?=//)|(?<=[wW]{3})\.|(?<=\b[gG][hH])-(?=\d)"  # mentions, references and bare links
)
_BEGINS = re.compile(r"^(\d*)(?=[-+.)=])")
"""Where a line would be an entry of a list, or underline the one above it."""


def render_markdown(comparison: Comparison) -> str:
    """The whole comparison, whose longest parts are folded."""
    arms = comparison.arms[:MOST_ARMS]
    parts = [
        _verdict(comparison, arms),
        _arms(arms),
        _contrasts(comparison),
        _families(arms),
        _flips(comparison, arms),
        _keys("Where the recipes differ", recipe(comparison, len(arms)), arms),
        _keys("Provenance", provenance(arms), arms),
        _doubts(comparison, arms),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def escaped(text: object, most: int = 80) -> str:
    """One line of text, of which nothing is Markdown."""
    return _BEGINS.sub(r"\1\\", _SPECIAL.sub(_harmless, line(text, most)))


def _harmless(found: re.Match[str]) -> str:
    sign = found[0]
    if sign in "<>&$":
        return f"&#{ord(sign)};"
    # A zero-width space keeps readers from finding `@name`, `#1` and `https://`, which no escape does.
    return f"{sign}&#8203;" if sign in "@#:.-" else f"\\{sign}"


def _verdict(comparison: Comparison, arms: Sequence[Arm]) -> str:
    title = f"{len(comparison.arms)} arms compared" if len(arms) > 1 else "".join(escaped(arm.label) for arm in arms)
    first, *rest = [escaped(sentence, 600) for sentence in comparison.verdict[:60]] or ["No verdict."]
    lines = [f"## {title}", "", f"**{first}**"]
    lines += ["", *(f"- {sentence}" for sentence in rest)] if rest else []
    counts = items(comparison.items)
    return "\n".join([*lines, "", f"Items: {escaped(counts, 400)}."]) if counts else "\n".join(lines)


def _arms(arms: Sequence[Arm]) -> str:
    if words.all_alone(arms):
        return _scores(arms)
    head = ["arm", "verdict", "gain", "held out", "general points lost", "nats/token", "right→wrong, wrong→right"]
    several = len(arms) > 1
    rows = [
        [
            f"**{escaped(arm.label, 60)}**",
            f"{SIGNS[arm.verdict or '']} {words.outcome(arm)}",
            _change(arm.gain),
            _change(arm.transfer),
            _change(arm.forgetting),
            f"{nats.delta:+.4f} ({words.nats_bounds(nats.ci95)})"
            if arm.forgetting and (nats := arm.forgetting.nats)
            else "–",
            "; ".join(
                f"{name} {of.right_to_wrong:,}, {of.wrong_to_right:,} of {of.n:,}"
                for name, of in (("niche", arm.gain), ("general", arm.forgetting))
                if of
            ),
            *([words.place(arm)] if several else []),
        ]
        for arm in arms
    ]
    note = "Points, in brackets 95% intervals."
    if several:
        note += " Front: no other arm gains more and forgets less."
    return f"{_table([*head, *(['front'] if several else [])], rows)}\n\n{note}"


def _scores(arms: Sequence[Arm]) -> str:
    rows = [
        [
            f"**{escaped(arm.label, 60)}**",
            words.ROLES[score.role],
            f"{score.value:.1%}",
            words.percent(score.ci95),
            f"{score.n:,}",
        ]
        for arm in arms
        for score in arm.scores
    ]
    return _table(["base", "items of", "mean score", "95% interval", "items"], rows)


def _contrasts(comparison: Comparison) -> str:
    rows = [
        [
            f"{escaped(found.second, 60)} − {escaped(found.first, 60)}",
            words.ROLES[found.role],
            _change(found.estimate),
            _p(found.p_holm),
        ]
        for found in comparison.contrasts[:MOST_CONTRASTS]
    ]
    more = len(comparison.contrasts) - len(rows)
    note = f"\n\n{more:,} more differences are left out." if more else ""
    head = ["difference", "items", "points (95% interval)", "p (McNemar, Holm)"]
    return f"### Arm against arm\n\n{_table(head, rows)}{note}" if rows else ""


def _families(arms: Sequence[Arm]) -> str:
    rows: list[list[str]] = []
    left_out = 0
    alone = words.all_alone(arms)
    for arm in arms:
        given = shared(arm, max(6, MOST_FAMILIES // len(arms)))
        left_out += counted(arm) - sum(given.values())
        for role, some in by_role(arm).items():
            first, last, _ = ends(some, given[role])
            rows += [
                [
                    *([escaped(arm.label, 40)] if len(arms) > 1 else []),
                    f"{words.HELD_OUT if score.held_out else ''}{escaped(score.family)}",
                    words.ROLES[role],
                    f"{score.n:,}",
                    f"{words.whole_points(score.base)} ({_whole(score.base_ci95)})",
                    *([] if alone else _adapted(arm, score)),
                ]
                for score in (*first, *last)
            ]
    spreads = [f"- {escaped(arm.label)}: spread {words.spreads(arm)}" for arm in arms if arm.spread]
    scores = ["score, %"] if alone else ["base, %", "adapter, %", "change, points"]
    head = [*(["arm"] if len(arms) > 1 else []), "family", "role", "items", *scores]
    table = _table(head, rows) + (f"\n\n{left_out:,} families between the ends are left out." if left_out else "")
    folded = _folded(f"Families ({sum(map(counted, arms)):,})", table) if rows else ""
    spread = "\n".join([words.SPREAD, "", *spreads]) if spreads else ""
    return "\n\n".join(part for part in (spread, folded) if part)


def _adapted(arm: Arm, score: FamilyScore) -> list[str]:
    if arm.alone:
        return ["–", "–"]
    return [
        f"{words.whole_points(score.adapter)} ({_whole(score.adapter_ci95)})",
        f"{words.points(score.delta)} ({words.bounds(score.delta_ci95)})",
    ]


def _flips(comparison: Comparison, arms: Sequence[Arm]) -> str:
    total = max(comparison.flips_total, len(comparison.flips))
    counts = [
        f"- {escaped(arm.label)}, {name}: right→wrong {of.right_to_wrong:,}, wrong→right {of.wrong_to_right:,}{tested}"
        for arm in arms
        for name, of in (("niche", arm.gain), ("held out", arm.transfer), ("general", arm.forgetting))
        if of
        for tested in [f", McNemar p {_p(of.p_mcnemar)}" if of.p_mcnemar is not None else ""]
    ]
    return "\n".join([f"### {words.count(total, 'answer', 'answers')} changed", "", *counts]).rstrip() if counts else ""


def _keys(title: str, rows: Sequence[Shares], arms: Sequence[Arm]) -> str:
    if not rows:
        return ""
    told = [
        [
            escaped(row.key),
            "<br>".join(
                escaped(value, 200) + (f" ({_labels(arms, numbers)})" if numbers else "")
                for value, numbers in row.values
            ),
        ]
        for row in rows
    ]
    table = _table(["key", "value (arms)"], told)
    return _folded(title, table)


def _doubts(comparison: Comparison, arms: Sequence[Arm]) -> str:
    left_out = items(comparison.left_out)
    lines = [f"- left out, since not all arms answered them: {escaped(left_out, 400)}"] if left_out else []
    for arm in arms:
        lines += [f"- {escaped(arm.label)}: {escaped(words.improper(trouble), 200)}" for trouble in arm.troubles[:20]]
        if arm.contamination:
            lines.append(f"- {escaped(arm.label)}: contamination {words.contaminated(arm.contamination)}")
        if arm.intact:
            lines.append(f"- {escaped(arm.label)}: base {': '.join(words.intactness(arm.intact))}")
    return "\n".join(["### What may cast doubt", "", *lines]) if lines else ""


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows))


def _folded(title: str, content: str) -> str:
    return f"<details>\n<summary>{title}</summary>\n\n{content}\n\n</details>"


def _labels(arms: Sequence[Arm], numbers: Iterable[int]) -> str:
    return ", ".join(escaped(arms[number].label, 40) for number in numbers)


def _change(of: Estimate | Forgetting | None) -> str:
    return f"{words.points(of.delta)} ({words.bounds(of.ci95)})" if of else "–"


def _whole(interval: tuple[float, float]) -> str:
    return " to ".join(map(words.whole_points, interval))


def _p(p: float | None) -> str:
    return words.p_value(p).replace("<", "&lt;").replace(">", "&gt;")
