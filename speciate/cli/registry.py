"""`speciate registry`: what species there are, where they come from, and whether they are whole."""

import contextlib
import sys
from typing import Any

import click

from speciate.cli import names
from speciate.cli.options import Group, as_json_option, progress_shown
from speciate.endings import answer, document, stdout_for_answers

REFERENCE = "a species (its latest version), species@2, species@best, a digest or its beginning, or a folder"
limit_option = click.option(
    "--limit", type=click.IntRange(0, 10**9), default=100, show_default=True, help="At most so many; 0 for all."
)


@click.group(cls=Group)
def registry() -> None:
    """The species on this machine: find them, see where they come from, check that they are whole."""


@registry.command("list")
@click.option("--species", help="Of this species.")
@click.option("--niche", help="Of this niche.")
@click.option("--base", help="Grown on this base: its name, the end of its name, or its digest.")
@click.option("--verdict", type=click.Choice(["passed", "failed", "undecided", "unknown"]), help="With this verdict.")
@click.option("--min-gain", type=float, metavar="POINTS", help="That gained at least so much.")
@click.option("--max-forgetting", type=float, metavar="POINTS", help="95% sure to have lost less.")
@click.option("--since", metavar="DATE", help="Made on this day or later: 2026-11-25.")
@click.option("--until", metavar="DATE", help="Made on this day or earlier.")
@click.option("--text", default="", help="With these words, as `search` finds them.")
@click.option(
    "--sort", type=click.Choice(["species", "created", "gain", "forgetting"]), default="species", show_default=True,
    help="The newest and the largest gain come first, the least forgetting too.",
)  # fmt: skip
@click.option("--reverse", is_flag=True, help="The other way round.")
@limit_option
@click.option("--offset", type=click.IntRange(0, 10**9), default=0, help="Leave out so many at the beginning.")
@as_json_option
def list_(
    species: str | None, niche: str | None, base: str | None, verdict: str | None, min_gain: float | None,
    max_forgetting: float | None, since: str | None, until: str | None, text: str, sort: Any, reverse: bool,
    limit: int, offset: int, as_json: bool,
) -> int:  # fmt: skip
    """List adapters, by species and version."""
    from speciate.registry import index, query

    wanted = query.Wanted(
        species or "", niche or "", base or "", verdict or "", _share(min_gain), _share(max_forgetting),
        _date(since), _date(until), text,
    )  # fmt: skip
    with index.opened(reading()) as database:
        entries, total = query.listed(database, wanted, sort, backwards=reverse, limit=limit, offset=offset)
        problems = query.problems(database)
        known = query.registered(database), query.nearest(database, wanted)
    return _shown(entries, total, problems, known, as_json)


@registry.command()
@click.argument("words", nargs=-1, required=True)
@limit_option
@as_json_option
def search(words: tuple[str, ...], limit: int, as_json: bool) -> int:
    """Find the adapters that have all WORDS in their species, niche, base, description, families, run or licence.

    The best match comes first; a word may be a beginning.
    """
    from speciate.registry import index, query

    with index.opened(reading()) as database:
        entries, total = query.found_words(database, " ".join(words), limit)
        problems = query.problems(database)
        known = query.registered(database), query.nearest(database, query.Wanted(text=" ".join(words)))
    return _shown(entries, total, problems, known, as_json)


@registry.command()
@click.argument("name", shell_complete=names.one_of(names.species))
@as_json_option
def show(name: str, as_json: bool) -> int:
    """Show one adapter.

    NAME is a species (its latest version), species@2, species@best, a digest or its beginning, or a folder.
    """
    from speciate.registry import index, query, signing, store

    path, card = store.find(name)
    if as_json:
        answer(card.document(), "", as_json)
        return 0
    with index.opened() as database:
        known = query.of_digests(database, [card.digest]).get(card.digest)
    from speciate.reports import terminal
    from speciate.reports.registry import render_entry

    shown = render_entry(card, path, known.aliases if known else (), str(signing.signed(path)))
    text = terminal.text(shown)
    answer(card.document(), text, as_json)
    return 0


@registry.command()
@click.argument("name", required=False, shell_complete=names.one_of(names.species))
@click.option(
    "--limit",
    type=click.IntRange(0, 10**9),
    default=1000,
    show_default=True,
    help="At most so many entries; 0 for all.",
)
@as_json_option
def tree(name: str | None, limit: int, as_json: bool) -> int:
    """Show who descends from whom, what each gained and lost, and what changed in the recipe.

    With NAME, its ancestors and what descends from it; without, all.
    """
    from speciate.registry import index, lineage, query

    with index.opened(reading()) as database:
        found = lineage.phylogeny(database, query.digest_of(database, name) if name else None, limit)
    from speciate.reports import terminal
    from speciate.reports.registry import render_tree

    answer(found.document() if as_json else {}, "" if as_json else terminal.text(render_tree(found)), as_json)
    return 0


@registry.command()
@click.argument("names_", metavar="[NAME]...", nargs=-1, shell_complete=names.one_of(names.species))
@click.option("--signed", is_flag=True, help="What no trusted key has signed is a fault, too.")
@as_json_option
def verify(names_: tuple[str, ...], signed: bool, as_json: bool) -> int:
    """Read every byte again, and say what is not as it was written: a flipped bit, a missing file, another card.

    Says by whom entries are signed; a wrong signature is a fault, too.

    With NAMEs only these entries, else all, the aliases and the index. Exit status 1 where something is wrong.
    """
    from speciate.registry import places, store
    from speciate.registry.verify import verify as read_again

    chosen = [store.locate(name) for name in names_] or None
    count = len(chosen) if chosen else sum(1 for _ in places.entries_folder().glob("[!.]*"))
    with stdout_for_answers(), progress_shown().phase("reading entries", count) as phase:
        found = read_again(chosen, phase.advance, must_be_signed=signed)
    from speciate.reports import terminal
    from speciate.reports.registry import render_verification

    answer(found.document(), terminal.text(render_verification(found)), as_json)
    return 1 if found.faults else 0


@registry.command()
@as_json_option
def rebuild(as_json: bool) -> int:
    """Make the index anew from the entries, and the version aliases that are missing. Nothing else is changed."""
    from speciate.registry import index, places

    count = sum(1 for _ in places.entries_folder().glob("[!.]*"))
    with stdout_for_answers(), progress_shown().phase("reading cards", count) as phase:
        number = index.rebuild(phase.advance)
    content = document("registry-rebuild/1", entries=number, damaged=count - number)
    damaged = f"; {count - number:,} cannot be read, see `speciate registry verify`" if count > number else ""
    answer(content, f"{number:,} entries are in the index{damaged}", as_json)
    return 0


@registry.command()
@click.argument("alias", metavar="SPECIES@ALIAS")
@click.argument("name", required=False, shell_complete=names.one_of(names.species))
@click.option("--remove", is_flag=True, help="Take the alias away.")
@as_json_option
def alias(alias: str, name: str | None, remove: bool, as_json: bool) -> int:
    """Let SPECIES@ALIAS, such as lean-prover@best, mean the adapter NAME; without NAME, say what it means."""
    from speciate.registry import store

    species, _, word = alias.partition("@")
    if remove:
        store.unpoint(species, word)
        answer(document("registry-alias/1", alias=alias, digest=None), f"{alias} is gone", as_json)
        return 0
    card = store.find(name or alias)[1]
    if name:
        store.point(species, word, card.digest)
    content = document("registry-alias/1", alias=alias, digest=card.digest, species=card.species, version=card.version)
    answer(content, f"{alias} means {card.species}@{card.version}, {card.digest}", as_json)
    return 0


@registry.command()
@click.argument("name", shell_complete=names.one_of(names.species))
@click.option("--yes", is_flag=True, help="Do not ask.")
@as_json_option
def rm(name: str, yes: bool, as_json: bool) -> int:
    """Remove the adapter NAME and its aliases from the registry. What descends from it stays.

    NAME is as for `show`. A damaged entry is found by its digest or its folder's name too.
    """
    from speciate.errors import StorageError
    from speciate.registry import store
    from speciate.registry.entry import read_card

    path = store.locate(name)
    called, content = f"the damaged entry {path.name}", {"species": None, "version": None, "digest": None}
    with contextlib.suppress(StorageError):
        card = read_card(path)
        called = f"{card.species}@{card.version}"
        content = {"species": card.species, "version": card.version, "digest": card.digest}
    if not yes:
        _confirmed(f"Remove {called} ({path})?")
    store.remove(path)
    answer(document("registry-rm/1", **content, entry=path.name), f"{called} is removed", as_json)
    return 0


def _confirmed(question: str) -> None:
    """Go on where the answer is yes. Raises a usage error where nobody can answer, Abort where it is no."""
    try:
        agreed = click.confirm(question, err=True)
    except click.Abort:
        if sys.stdin is None or sys.stdin.closed or not sys.stdin.isatty():
            raise click.UsageError("nobody is there to answer: give --yes to remove it without being asked") from None
        raise
    if not agreed:
        raise click.Abort


def _shown(
    entries: list[dict[str, Any]], total: int, problems: list[str], known: tuple[int, dict[str, str]], as_json: bool
) -> int:
    if as_json:
        answer(document("registry/2", entries=entries, total=total, problems=problems), "", as_json)
        return 0
    from speciate.records import Listed
    from speciate.reports import terminal
    from speciate.reports.registry import render_list

    shown = render_list([Listed.model_validate(entry) for entry in entries], total, problems, *known)
    answer({}, terminal.text(shown), as_json)
    return 0


def reading() -> Any:
    """Says that an index is being made, where it takes a while."""
    told = False

    def advance(number: int) -> None:
        nonlocal told
        if not told:
            told = True
            click.echo(f"reading the registry's cards into its index, after the first {number:,} ...", err=True)

    return advance


def _share(points: float | None) -> float | None:
    return None if points is None else points / 100


def _date(text: str | None) -> str:
    """A day, or a time of day, as ISO 8601 writes it. Raises a usage error for anything else."""
    from datetime import datetime

    if not text:
        return ""
    try:
        datetime.fromisoformat(text)
    except ValueError:
        raise click.UsageError(f"{text!r} is no date; write it as 2026-11-25") from None
    return text
