"""Suites as a person reads them: a list, and what one of them asks."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from speciate.records.outline import SourceOutline, SuiteEntry, SuiteOutline
from speciate.reports import terminal, words
from speciate.reports.plain import plain

if TYPE_CHECKING:
    from rich.console import RenderableType

SHOWN_LEFT_OUT = 3


def render_suites(entries: Sequence[SuiteEntry], problems: Sequence[str], looked_for: str) -> "RenderableType":
    """Each suite with what it is for and where it is, and what is wrong with those that cannot be read."""
    rows: list[terminal.Row] = []
    for entry in entries:
        rows.append(("Suite", terminal.said((entry.suite, "bold"), f" version {entry.version}")))
        rows += [("", terminal.said(plain(entry.description)))] if entry.description else []
        rows.append(("", terminal.said(plain(" · ".join(entry.sources)))))
        rows.append(("", terminal.said((plain(entry.path), "dim"))))
    rows += [("Wrong", terminal.said((plain(problem), "red"))) for problem in problems]
    none = terminal.said(f"There is no folder {looked_for} here or above; a suite is named by its YAML file too.")
    return terminal.facts(rows) if rows else none


def render_suite(outline: SuiteOutline) -> "RenderableType":
    """What a suite asks: of each source its role, its families and their items."""
    rows: list[terminal.Row] = [
        ("Suite", terminal.said((outline.suite, "bold"), f" version {outline.version}")),
        *([("For", terminal.said(plain(outline.description)))] if outline.description else []),
        ("File", terminal.said(plain(outline.path))),
        ("Answers", terminal.said(drawn(outline.sampling))),
        *((source.role.capitalize(), terminal.said(plain(source_line(source)))) for source in outline.sources),
        *([("Texts", terminal.said(f"{outline.texts:,}, for the loss in nats per token"))] if outline.texts else []),
        ("Items", terminal.said(total(outline))),
    ]
    return terminal.facts(rows)


def source_line(source: SourceOutline) -> str:
    """One source: how many items, of which families, and what else is to be said of it."""
    counts = [count for count in source.families.values() if count is not None]
    said = source.what
    if counts:
        families = words.count(len(counts), "family", "families")
        said += f": {sum(counts):,} items of {families} ({items_of(source.families)})"
    else:
        said += f": at most {source.most:,} items of each" if source.most else ": all items"
    return f"{said}; {source.note}" if source.note else said


def items_of(families: Mapping[str, int | None]) -> str:
    """`40 each: a, b` where all have the same number, else `a 40, b 12`."""
    if len(families) > 1 and len(set(families.values())) == 1:
        return f"{next(iter(families.values())):,} each: {', '.join(families)}"
    return ", ".join(f"{family} {count:,}" for family, count in families.items() if count is not None)


def drawn(sampling: Mapping[str, Any]) -> str:
    """How answers are drawn."""
    said = f"at most {sampling['max_new_tokens']:,} tokens"
    if not sampling["temperature"]:
        return f"{said}, the likeliest token each time"
    said += f", temperature {sampling['temperature']:g}"
    return said + (f", {sampling['samples']} answers to each item" if sampling["samples"] > 1 else "")


def total(outline: SuiteOutline) -> str:
    """All items by their roles."""
    said = by_role(outline.items)
    if outline.uncounted:
        more = f"those of {', '.join(outline.uncounted)}"
        said = f"{said}, and {more}" if said else more
    return plain(said)


def left_out(families: Collection[str]) -> str:
    """How many families are not asked, with some of them: all are in the JSON."""
    some = ", ".join(sorted(families)[:SHOWN_LEFT_OUT])
    more = len(families) - SHOWN_LEFT_OUT
    named = f"{some} and {more:,} more" if more > 0 else some
    return f"{words.count(len(families), 'family does', 'families do')} not fit into the context: {named}"


def by_role(items: Mapping[str, int]) -> str:
    """`400 niche, 1,900 general`."""
    return ", ".join(f"{count:,} {role}" for role, count in items.items())


def in_lines(families: Iterable[tuple[str, str, int]]) -> list[tuple[str, str]]:
    """For families given as role, name and items: a label and a line for each role."""
    roles: dict[str, Counter[str]] = {}
    for role, family, items in families:
        roles.setdefault(role, Counter())[family] += items
    return [
        (role, f"{sum(of.values()):,} items of {words.count(len(of), 'family', 'families')} ({items_of(of)})")
        for role, of in roles.items()
    ]
