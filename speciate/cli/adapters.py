"""`speciate registry import | try | export | rescale | merge`: adapters come in, are proved to load, and go out."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from speciate.cli import names
from speciate.cli.options import as_json_option, progress_shown
from speciate.cli.registry import registry
from speciate.endings import answer, document, stdout_for_answers

if TYPE_CHECKING:
    from speciate.records import Card, Parent

KINDS = ["continued", "distilled", "merged", "rescaled", "trained-from"]
base_option = click.option("--base", metavar="FOLDER|NAME", help="The base, where it does not lie where the card says.")
name_argument = click.argument("name", shell_complete=names.one_of(names.species))
names_argument = click.argument(
    "names_", metavar="NAME...", nargs=-1, required=True, shell_complete=names.one_of(names.species)
)
species_option = click.option("--species", default="", help="The species that the new adapter belongs to.")


@registry.command("import")
@click.argument("source", metavar="FOLDER|hf://OWNER/NAME")
@click.option("--species", required=True, metavar="NAME", help="What to call it.")
@click.option("--base", metavar="FOLDER|NAME", help="Its base, where the adapter does not say it, or says it wrongly.")
@click.option("--parent", "parents", multiple=True, metavar="NAME|DIGEST", help="What it was made from. Repeatable.")
@click.option(
    "--kind", "kinds", multiple=True, type=click.Choice(KINDS),
    help="How it was made from the --parent of the same place; continued, where it is left out.",
)  # fmt: skip
@click.option("--licence", default="", help="Its licence, else what its README says.")
@click.option("--description", default="", help="What it is for.")
@click.option("--niche", default="", help="The niche it is meant for.")
@as_json_option
def import_(
    source: str, species: str, base: str | None, parents: tuple[str, ...], kinds: tuple[str, ...], licence: str,
    description: str, niche: str, as_json: bool,
) -> int:  # fmt: skip
    """Register a PEFT adapter that was made elsewhere.

    Its safetensors and its configuration are taken, nothing else, and nothing in them is run. It gets a card with what
    it says of itself, and `unknown` for the rest. Where its base is on this machine it is loaded, and refused if it
    does not fit or changes nothing.
    """
    from speciate.pipeline.importing import Told, import_adapter

    told = Told(species, base, _parents(parents, kinds), licence, description, niche)
    with stdout_for_answers():
        made = import_adapter(source, told, progress_shown())
    content = document(
        "registry-import/1", **_named(made.card, made.entry, new=made.new), base=made.card.base,
        largest_change=made.change, left=made.left, notes=made.notes,
    )  # fmt: skip
    said = [
        _registered(made.card, made.entry, new=made.new),
        *([f"loaded on its base, whose logits it changes by up to {made.change:.3g}"] if made.change else []),
        *([f"left behind: {', '.join(made.left)}"] if made.left else []),
        *(f"note: {note}" for note in made.notes),
    ]
    answer(content, _lines(said), as_json)
    return 0


@registry.command("try")
@names_argument
@base_option
@as_json_option
def try_(names_: tuple[str, ...], base: str | None, as_json: bool) -> int:
    """Load the adapters NAME... on their base, all at once, and see that they fit and do something.

    Refused, with what is wrong, where the base is not the one of the card, a tensor is too many, missing or of another
    shape, an adapter rewrites its base, or the base says the same with it as without.
    """
    from speciate.pipeline.checked_loading import try_adapters

    with stdout_for_answers():
        tried = try_adapters(names_, base, progress_shown())
    adapters = [{"name": name, "largest_change": change} for name, change in tried.changes.items()]
    about = {"name": tried.base.name, "digest": tried.base.digest}
    said = [f"{name} fits {tried.base.name}: it changes logits by up to {tried.changes[name]:.3g}" for name in names_]
    said += [f"note: {note}" for note in tried.notes]
    content = document("registry-try/1", base=about, adapters=adapters, notes=tried.notes)
    answer(content, _lines(said), as_json)
    return 0


@registry.command("export")
@names_argument
@click.option("--to", "target", type=click.Path(path_type=Path), help="The folder to write, empty or missing.")
@click.option(
    "--format", "form", type=click.Choice(["peft", "merged", "gguf", "vllm"]), default="peft", show_default=True,
    help="A PEFT folder; a model of its own; a LoRA for llama.cpp; the line that serves it by vLLM.",
)  # fmt: skip
@base_option
@click.option(
    "--dtype", type=click.Choice(["auto", "float32", "bfloat16", "float16"]), default="auto",
    help="Number format of merged weights; auto keeps the base's.",
)  # fmt: skip
@as_json_option
def export(names_: tuple[str, ...], target: Path | None, form: Any, base: str | None, dtype: str, as_json: bool) -> int:
    """Write the adapter NAME in a form that other programs take.

    With --format vllm several NAMEs give one line, and without --to it serves them from where they lie. Merging needs
    four bytes of memory for each parameter of the base, and says how far the result is from base and adapter.
    """
    from speciate.pipeline.exporting import export as write

    with stdout_for_answers():
        made = write(names_, form, target, base, dtype, progress_shown())
    folder = str(made.folder) if made.folder else None
    content = document(
        "registry-export/1", format=made.form, folder=folder, line=made.line or None, warnings=made.warnings,
        adapters=[{"species": card.species, "version": card.version, "digest": card.digest} for card in made.adapters],
        figures=made.figures,
    )  # fmt: skip
    if made.warnings:
        click.echo(_lines([f"warning: {warning}" for warning in made.warnings]), err=True)
    said = [f"{_called(made.adapters[0])} is in {folder}, as {made.form}"]
    if "largest_difference" in made.figures:
        said.append(
            f"against base and adapter logits differ by up to {made.figures['largest_difference']:.3g} (the largest "
            f"is {made.figures['largest_logit']:.3g}); the likeliest token is the same at "
            f"{made.figures['same_likeliest']:.1%} of places"
        )
    answer(content, made.line or _lines(said), as_json)
    return 0


# So that -1 is a strength and no option.
@registry.command(context_settings={"ignore_unknown_options": True})
@name_argument
@click.argument("strength", type=float)
@species_option
@as_json_option
def rescale(name: str, strength: float, species: str, as_json: bool) -> int:
    """Register the adapter NAME at another STRENGTH: 0.5 changes its base half as much, -1 the other way."""
    from speciate.pipeline.deriving import rescale as derive

    with stdout_for_answers():
        entry, card, new = derive(name, strength, species)
    answer(document("registry-rescale/1", **_named(card, entry, new=new)), _registered(card, entry, new=new), as_json)
    return 0


@registry.command()
@names_argument
@click.option("--weights", metavar="W,W,...", help="A weight for each NAME; 1 for all where it is left out.")
@species_option
@as_json_option
def merge(names_: tuple[str, ...], weights: str | None, species: str, as_json: bool) -> int:
    """Register the weighted sum of the adapters NAME NAME...: exact, and of a rank that is the sum of theirs."""
    from speciate.pipeline.deriving import merge as derive

    with stdout_for_answers():
        entry, card, new = derive(names_, _numbers(weights), species)
    answer(document("registry-merge/1", **_named(card, entry, new=new)), _registered(card, entry, new=new), as_json)
    return 0


def _parents(parents: tuple[str, ...], kinds: tuple[str, ...]) -> "tuple[Parent, ...]":
    """The edges that were asked for. A digest may be of what is not here. Raises a usage error, NotFound."""
    from typing import cast

    from speciate.records import Kinship, Parent
    from speciate.records.cards import DIGEST
    from speciate.registry import store

    if len(kinds) > len(parents):
        raise click.UsageError(f"{len(kinds)} of --kind and {len(parents)} of --parent: each --kind is of one --parent")
    full = [*kinds, *["continued"] * (len(parents) - len(kinds))]
    digests = [one if re.fullmatch(DIGEST, one) else store.find(one)[1].digest for one in parents]
    return tuple(Parent(kind=cast(Kinship, kind), digest=digest) for kind, digest in zip(full, digests, strict=True))


def _numbers(text: str | None) -> list[float]:
    try:
        return [float(part) for part in text.split(",")] if text else []
    except ValueError as error:
        raise click.UsageError(f"--weights {text!r}: numbers with commas between, such as 0.5,0.5") from error


def _named(card: "Card", entry: Path, *, new: bool) -> dict[str, Any]:
    return {
        "species": card.species, "version": card.version, "digest": card.digest, "path": str(entry), "new": new,
    }  # fmt: skip


def _registered(card: "Card", entry: Path, *, new: bool) -> str:
    if new:
        return f"{_called(card)} is registered, in {entry}"
    return f"these very weights are registered already, as {_called(card)}, in {entry}"


def _lines(said: list[str]) -> str:
    """What is told, a line each, with nothing of a stranger's in it that moves the cursor."""
    from speciate.reports.plain import plain

    return "\n".join(map(plain, said))


def _called(card: "Card") -> str:
    return f"{card.species}@{card.version}"
