"""What was sent or fetched, as lines of text."""

from collections import Counter

from speciate.records.exchange import Exchange, Moved
from speciate.reports.plain import plain

SHOWN = 50
"""Entries of which nothing is to be said beyond that they moved."""


def exchange_text(exchange: Exchange) -> str:
    """A line for each entry, what is worth knowing below it, and how many there were of each kind."""
    plenty = len(exchange.entries) > SHOWN
    lines = [line for one in exchange.entries if not plenty or one.notes or one.problem for line in _lines(one)]
    counts = Counter(one.what for one in exchange.entries)
    size = sum(one.bytes for one in exchange.entries)
    told = ", ".join(f"{count:,} {what}" for what, count in sorted(counts.items())) or "nothing is there"
    where = "to" if exchange.doing == "push" else "from"
    return "\n".join([*lines, f"{told} ({size / 1e6:,.1f} MB) {where} {plain(exchange.place)}"])


def _lines(one: Moved) -> list[str]:
    digest = plain(one.digest.removeprefix("sha256:")[:16])
    name = f"{plain(one.species)}@{one.version} ({digest})" if one.species else digest
    said = f"refused: {plain(one.problem)}" if one.problem else one.what
    signed = f", {plain(one.signed)}" if one.signed and not one.problem else ""
    return [f"{name}  {said}{signed}", *(f"    {plain(note)}" for note in one.notes)]
