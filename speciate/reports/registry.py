"""The registry in a terminal: a list, one entry, a phylogeny, and what is wrong with it."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from rich import box
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.text import Text
from rich.tree import Tree

from speciate.records import AdapterCard, Branch, Card, Kin, Listed, Outcome, Phylogeny, UnmeasuredCard, Verification
from speciate.reports import words
from speciate.reports.terminal import (
    COLOURS,
    Row,
    badge,
    evidence,
    facts,
    families,
    headlined,
    next_steps,
    plain,
    table,
)

SHOWN_CHANGES = 3
"""Of a recipe, on one edge."""


def render_list(
    entries: Sequence[Listed],
    total: int,
    problems: Iterable[str] = (),
    registered: int = 0,
    nearest: Mapping[str, str] | None = None,
) -> RenderableType:
    """Entries as a table, and those that cannot be read. Where there is none, of how many `registered` ones, and what
    was probably meant.
    """
    damaged = [Text(f"damaged: {plain(problem)}", style="red", overflow="fold") for problem in problems]
    if not entries:
        return Group(Text(_none(total, registered, nearest or {})), *damaged)
    listed = table("species", verdict="", gain="right", lost="right", digest="", made="")
    for entry in entries:
        gain, lost = entry.gain, entry.forgetting
        listed.add_row(
            named(entry),
            _verdict(entry.verdict),
            Text(f"{words.points(gain.delta)} ({words.bounds(gain.ci95)})" if gain else "-"),
            Text(f"<{words.points(lost.ci95_upper, sign=False)}" if lost else "-"),
            Text(words.short(plain(entry.digest))),
            Text(plain(entry.created)[:10]),
        )
    legend = "gain: points on the niche (95% interval); lost: general points, 95% sure"
    if total > len(entries):
        legend = f"{len(entries):,} of {total:,} shown, --limit 0 shows all; {legend}"
    return Group(listed, Text(legend, style="dim"), *damaged)


def _none(total: int, registered: int, nearest: Mapping[str, str]) -> str:
    if total:
        return f"{words.count(total, 'entry is', 'entries are')} like that, and --offset leaves out as many."
    if not registered:
        return "No species yet. `speciate train RECIPE` grows one."
    meant = "; ".join(f"{plain(name)} for {plain(what)}" for what, name in nearest.items())
    hint = f" Did you mean {meant}?" if meant else ""
    return f"No entry is like that; {words.count(registered, 'is', 'are')} registered.{hint}"


def named(entry: Listed) -> Text:
    """`species@version`, and the words that mean it."""
    called = "".join(f" @{plain(alias)}" for alias in entry.aliases)
    return Text.assemble(
        (plain(entry.species), "bold"), (f"@{entry.version}", "dim"), (called, "cyan"), overflow="fold"
    )


def render_entry(card: Card, path: Path, aliases: Sequence[str] = (), signed: str = "") -> RenderableType:
    """One entry: what it can do, what it cost, what it descends from, who signed it and where it lies."""
    parents = ", ".join(f"{descent(edge.kind)} {words.short(plain(edge.digest))}" for edge in card.parents)
    base = f"{plain(card.base.get('name', 'unknown'))} ({words.short(plain(card.base.get('digest')))})"
    rows: list[Row] = [
        ("Niche", Text(plain(card.niche))),
        ("Base", Text(base, overflow="fold")),
        ("Descent", Text(parents or "nothing recorded", overflow="fold")),
        *([("Known as", Text(", ".join(f"{card.species}@{plain(alias)}" for alias in aliases)))] if aliases else []),
        *(_of_run(card) if isinstance(card, AdapterCard) else _of_elsewhere(card)),
        ("Made", Text(f"{plain(card.created)} with speciate {plain(card.speciate)}")),
        ("Licence", Text(plain(card.licence))),
        ("Digest", Text(plain(card.digest), overflow="fold")),
        *([("Signature", Text(plain(signed), overflow="fold"))] if signed else []),
        ("Files", Text(plain(path), overflow="fold")),
    ]
    use = f'PeftModel.from_pretrained(base, "{plain(path)}")'
    name = f"{card.species}@{card.version}"
    if isinstance(card, UnmeasuredCard):
        title = Text.assemble(badge(None, "not measured"), "  ", (plain(name), "bold"))
        head = Panel(Group(title, Text(plain(card.description), style="dim")), box=box.ROUNDED)
        return Group(head, facts(rows), next_steps([], f"speciate eval {plain(name)}"))
    return Group(
        headlined(name, card.description, card.verdict),
        evidence(card, card.drift),
        families(card.families, card.general),
        facts(rows),
        next_steps(card.gates, use),
    )


def descent(kind: str) -> str:
    """`trained from`, `merged from`: how an entry came from a parent."""
    return f"{kind.removesuffix('-from')} from"


def _of_run(card: AdapterCard) -> list[Row]:
    cost = " · ".join(plain(words.quantity(name, value)) for name, value in card.cost.items())
    run = f"{plain(card.run)} · seed {card.seed} · recipe {words.short(plain(card.recipe_digest))}"
    return [("Run", Text(run, overflow="fold")), *([("Cost", Text(cost))] if cost else [])]


def _of_elsewhere(card: UnmeasuredCard) -> list[Row]:
    shape = " · ".join(f"{plain(name)} {plain(value)}" for name, value in card.shape.items())
    claims = "; ".join(f"{plain(name)}: {', '.join(map(plain, texts))}" for name, texts in card.claims.items())
    return [
        ("Origin", Text(plain(card.origin), overflow="fold")),
        ("Shape", Text(shape or "unknown", overflow="fold")),
        *([("Claimed", Text(f"{claims} (by its makers; not checked)", overflow="fold"))] if claims else []),
    ]


def render_tree(phylogeny: Phylogeny) -> RenderableType:
    """Each root with what descends from it; what has several parents hangs under the first, with the others' names."""
    if not any(one.what == "entry" for one in phylogeny.kin):
        return Text("No species yet. `speciate train RECIPE` grows one.")
    parents: dict[str, list[Branch]] = {}
    for branch in phylogeny.branches:
        parents.setdefault(branch.child, []).append(branch)
    names = {one.digest: one.name for one in phylogeny.kin}
    nodes: dict[str, Tree] = {}
    roots: list[Tree] = []
    for one in phylogeny.kin:
        edges = parents.get(one.digest, [])
        hung = next((edge for edge in edges if edge.parent in nodes), None)
        if hung is None:
            roots.append(Tree(_kin(one), guide_style="dim"))
            nodes[one.digest] = roots[-1]
        else:
            others = [names.get(edge.parent, edge.parent) for edge in edges if edge is not hung]
            nodes[one.digest] = nodes[hung.parent].add(_branch(hung, one, others))
    more = f"{phylogeny.left_out:,} older entries are left out, --limit 0 shows all; " if phylogeny.left_out else ""
    legend = "points gained on the niche, points lost on the general suite (95% sure to be less)"
    return Group(*roots, Text(more + legend, style="dim"))


def _branch(edge: Branch, child: Kin, others: Sequence[str]) -> Text:
    """How a child came from its parent, and what its recipe has differently."""
    label = Text.assemble((f"{edge.kind.replace('-', ' ')} ", "dim"), _kin(child))
    if others:
        label.append(f"; and from {', '.join(map(plain, others))}", style="dim")
    if edge.recipe:
        more = f" and {len(edge.recipe) - SHOWN_CHANGES} more" if len(edge.recipe) > SHOWN_CHANGES else ""
        label.append(f"\n{plain('; '.join(edge.recipe[:SHOWN_CHANGES]))}{more}", style="yellow")
    return label


def _kin(one: Kin) -> Text:
    if one.what == "base":
        return Text.assemble((plain(one.name), "bold blue"), (f"  base {words.short(plain(one.digest))}", "dim"))
    if one.entry is None:
        return Text.assemble((plain(one.name), "bold"), ("  not in this registry", "dim"))
    gain, lost = one.entry.gain, one.entry.forgetting
    figures = "not measured"
    if gain and lost:
        upper = words.points(lost.ci95_upper, sign=False)
        figures = f"{words.points(gain.delta)} gained, {words.moved(lost.delta)} (<{upper})"
    return Text.assemble(named(one.entry), "  ", _verdict(one.entry.verdict), f"  {figures}")


def render_verification(found: Verification) -> RenderableType:
    """Whether all is as it was written."""
    whole = f"{found.entries:,} entries read again: "
    signers = Counter(found.signed.values())
    signed = [Text(f"{count:,} {plain(who)}", style="dim") for who, count in sorted(signers.items())]
    if not found.faults:
        return Group(Text.assemble(whole, ("all is as it was written", "bold green")), *signed)
    rows = [Text(f"{plain(fault.where)}: {plain(fault.what)}", overflow="fold") for fault in found.faults]
    remedies = dict.fromkeys(plain(fault.remedy) for fault in found.faults if fault.remedy)
    count = words.count(len(found.faults), "fault", "faults")
    advice = [Text(remedy, overflow="fold") for remedy in remedies]
    return Group(Text.assemble(whole, (count, "bold red")), *rows, *advice, *signed)


def _verdict(verdict: Outcome | str) -> Text:
    return Text(plain(verdict), style=COLOURS.get(verdict, "dim"))  # pyright: ignore[reportArgumentType, reportCallIssue]
