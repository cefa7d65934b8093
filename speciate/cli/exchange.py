"""`speciate registry push`, `pull`, `sign` and `key`: entries to and from elsewhere, and who stands for them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from speciate.cli import names
from speciate.cli.options import Group, as_json_option, progress_shown
from speciate.cli.registry import registry
from speciate.endings import answer, document, stdout_for_answers

SIZES = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
private_option = click.option("--private", is_flag=True, help="hf:// only: make the repository private.")
revision_option = click.option("--revision", metavar="BRANCH", help="hf:// only: a branch, tag or commit.")


class Bytes(click.ParamType[Any]):
    """A number of bytes, as `800M` or `20G`."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        text = str(value).upper().removesuffix("B")
        number, unit = (text[:-1], text[-1]) if text[-1:] in SIZES and text[-1:] else (text, "")
        if not number.isdecimal() or len(number) > 15:
            self.fail(f"{value!r} is no size; write it as 800M or 20G", param, ctx)
        return int(number) * SIZES[unit]


@registry.command()
@click.argument("chosen", metavar="[NAME]...", nargs=-1, shell_complete=names.one_of(names.species))
@click.argument("to")
@click.option("--all", "everything", is_flag=True, help="All entries.")
@click.option("--sign", "to_sign", is_flag=True, help="Sign what is not signed, before it is sent.")
@click.option("--key", metavar="NAME", help="The key to sign with.")
@click.option("--aliases", type=click.Choice(["free", "overwrite"]), default="free", show_default=True,
              help="Send words such as `best` where they are free there, or in any case.")  # fmt: skip
@click.option("--no-verify-remote", is_flag=True, help="Do not read back what was sent; what is there is not read.")
@private_option
@revision_option
@as_json_option
def push(
    chosen: tuple[str, ...], to: str, everything: bool, to_sign: bool, key: str | None, aliases: str,
    no_verify_remote: bool, private: bool, revision: str | None, as_json: bool,
) -> int:  # fmt: skip
    """Send entries and the aliases that mean them to a folder, a URL of fsspec (s3://...) or the Hub (hf://owner/repo).

    NAME is as for `show`. What is there already is not sent again, so a push that was broken off goes on. Every file is
    read back. Exit status 1 where an entry was refused.
    """
    if everything == bool(chosen):
        raise click.UsageError("give the NAMEs of entries, or --all")
    hub_only(to, private=private, revision=revision)
    from speciate.registry import signing, store

    entries, unreadable = _all_entries() if everything else ([store.find(name) for name in chosen], [])
    for path, _ in entries if to_sign or key else []:
        if signing.signed(path) == signing.NOT_SIGNED:
            signing.sign(path, key or "")
    if on_hub(to):
        from speciate.registry import hub

        if len(entries) != 1:
            raise click.UsageError("one repository of the Hub is for one entry; give one NAME")
        with stdout_for_answers(), progress_shown().phase(f"sending to {to}"):
            moved = [hub.push(*entries[0], to, private=private, revision=revision)]
        return _told("push", to, moved, as_json)
    from speciate.registry.push import Sending
    from speciate.registry.push import push as send
    from speciate.registry.remotes import remote

    with stdout_for_answers():
        place = remote(to)
        moved = send(entries, place, Sending(not no_verify_remote, aliases == "overwrite"), progress_shown())
    return _told("push", place.shown, [*moved, *unreadable], as_json)


@registry.command()
@click.argument("chosen", metavar="[NAME]...", nargs=-1)
@click.argument("place", metavar="FROM")
@click.option("--all", "everything", is_flag=True, help="All entries.")
@click.option("--require-signature", is_flag=True, help="Only what is signed.")
@click.option("--trusted-only", is_flag=True, help="Only what is signed by a key of yours or one that you trust.")
@click.option(
    "--max-bytes", type=Bytes(), metavar="SIZE", help="The largest weights that are taken: 800M; else 16 GiB."
)
@click.option("--aliases", type=click.Choice(["free", "overwrite", "none"]), default="free", show_default=True,
              help="Take words such as `best` where they are free here, in any case, or not at all.")  # fmt: skip
@revision_option
@as_json_option
def pull(
    chosen: tuple[str, ...], place: str, everything: bool, require_signature: bool, trusted_only: bool,
    max_bytes: int | None, aliases: Any, revision: str | None, as_json: bool,
) -> int:  # fmt: skip
    """Fetch entries from a folder, a URL of fsspec (s3://...) or the Hub (hf://owner/repo, without a NAME).

    NAME is a species (its latest version), species@2, species@best, a digest or its beginning. What is fetched is
    checked before it is registered, and a fetch that was broken off goes on. Exit status 1 where an entry was refused.
    """
    hub_only(place, revision=revision)
    if on_hub(place) and (chosen or everything):
        raise click.UsageError("a repository of the Hub holds one entry; leave NAME out")
    if not on_hub(place) and everything == bool(chosen):
        raise click.UsageError("give the NAMEs of entries, or --all")
    from speciate.registry.received import WEIGHTS_BYTES, Policy

    policy = Policy(require_signature, trusted_only, WEIGHTS_BYTES if max_bytes is None else max_bytes, aliases)
    if on_hub(place):
        from speciate.registry import hub

        with stdout_for_answers():
            moved = [hub.pull(place, policy, progress_shown(), revision)]
        return _told("pull", place, moved, as_json)
    from speciate.registry.pull import pull as fetch
    from speciate.registry.remotes import remote

    with stdout_for_answers():
        there = remote(place)
        moved = fetch(chosen, there, policy, progress_shown())
    return _told("pull", there.shown, moved, as_json)


@registry.command()
@click.argument("chosen", metavar="NAME...", nargs=-1, required=True, shell_complete=names.one_of(names.species))
@click.option("--key", metavar="KEY", default="", help="The key, where there are several.")
@click.option("--replace", is_flag=True, help="Put it in the place of somebody else's signature.")
@as_json_option
def sign(chosen: tuple[str, ...], key: str, replace: bool, as_json: bool) -> int:
    """Sign the entries NAME, so that others can see who stands for them and that nothing was changed."""
    from speciate.registry import signing, store

    made: list[dict[str, str]] = []
    for name in chosen:
        path, card = store.find(name)
        signed = signing.sign(path, key, replace=replace)
        made.append({"species": card.species, "version": str(card.version), "digest": card.digest, "key": signed.key})
    lines = [f"{one['species']}@{one['version']} is signed with {one['key']}" for one in made]
    answer(document("registry-sign/1", entries=made), "\n".join(lines), as_json)
    return 0


@registry.group("key", cls=Group)
def key_group() -> None:
    """Keys that sign entries, and keys of others whose signatures are trusted."""


@key_group.command("new")
@click.argument("name", default="default")
@as_json_option
def new_key(name: str, as_json: bool) -> int:
    """Make a key pair; NAME is `default` where it is left out. Give the .pub file to those who shall trust it."""
    from speciate.registry import keys

    made = keys.make(name)
    private = made.file.with_suffix(".pem")
    text = f"{made.name}: {made.fingerprint}\nprivate: {private}\npublic, to be given away: {made.file}"
    answer(document("registry-key/1", **_key(made)), text, as_json)
    return 0


@key_group.command("list")
@as_json_option
def list_keys(as_json: bool) -> int:
    """List your own keys and those that you trust."""
    from speciate.registry import keys

    known = keys.every()
    problems = [problem for _, problem in keys.damaged()]
    lines = [f"{one.name:<20} {'own' if one.own else 'trusted':<8} {one.fingerprint}" for one in known]
    text = "\n".join([*lines, *problems]) or "no key yet; `speciate registry key new` makes one"
    answer(document("registry-keys/1", keys=[_key(one) for one in known], problems=problems), text, as_json)
    return 0


@key_group.command("trust")
@click.argument("name")
@click.argument("file", type=click.Path(path_type=Path))
@as_json_option
def trust_key(name: str, file: Path, as_json: bool) -> int:
    """Trust what the public key in FILE signs, and call its owner NAME.

    Compare the fingerprint with what its owner tells you by another way.
    """
    from speciate.registry import keys

    known = keys.trust(name, file)
    answer(document("registry-key/1", **_key(known)), f"{known.fingerprint} is trusted as {known.name}", as_json)
    return 0


@key_group.command("forget")
@click.argument("name")
@as_json_option
def forget_key(name: str, as_json: bool) -> int:
    """Trust the key NAME no longer."""
    from speciate.registry import keys

    keys.forget(name)
    answer(document("registry-key-forget/1", name=name), f"{name} is trusted no longer", as_json)
    return 0


def on_hub(place: str) -> bool:
    """Whether it is a repository of the Hub."""
    return place.startswith("hf://")


def hub_only(place: str, *, private: bool = False, revision: str | None = None) -> None:
    """Raises a usage error for an option that means nothing where `place` is not on the Hub."""
    if not on_hub(place) and (private or revision):
        raise click.UsageError(f"{'--private' if private else '--revision'} is for hf://owner/repo only")


def _all_entries() -> tuple[list[tuple[Path, Any]], list[Any]]:
    """All entries with their cards, and what to say of those whose cards cannot be read."""
    from speciate.errors import StorageError
    from speciate.records.exchange import Moved
    from speciate.registry import places
    from speciate.registry.entry import read_card
    from speciate.storage import shown

    entries: list[tuple[Path, Any]] = []
    unreadable: list[Any] = []
    for path in places.entries():
        try:
            entries.append((path, read_card(path)))
        except StorageError as error:
            unreadable.append(Moved(digest=shown(Path(path.name)), what="refused", problem=str(error)))
    return entries, unreadable


def _key(known: Any) -> dict[str, Any]:
    return {"name": known.name, "fingerprint": known.fingerprint, "own": known.own, "file": str(known.file)}


def _told(doing: Any, place: str, moved: Sequence[Any], as_json: bool) -> int:
    from speciate.records.exchange import Exchange
    from speciate.reports.exchange import exchange_text

    exchange = Exchange(doing=doing, place=place, entries=list(moved))
    answer(exchange.document(), exchange_text(exchange), as_json)
    return 1 if any(one.problem for one in moved) else 0
