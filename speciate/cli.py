"""The command line: each command reads its arguments, calls one function and prints what it returns.

Nothing heavy is imported before a command runs, so help and completion come at once. How a command ends, well or
badly, is in `endings`.
"""

import difflib
import io
import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from speciate import __version__, hardware
from speciate.endings import Terminated, answer, document, failed, stdout_for_answers

if TYPE_CHECKING:
    from speciate.progress import Progress

EXIT_OF_VERDICT = {"passed": 0, "failed": 3, "undecided": 4}
COMPLETION = "_SPECIATE_COMPLETE"


class Group(click.Group):
    """A group of commands that says which one was probably meant."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            known = self.list_commands(ctx)
            near = difflib.get_close_matches(args[0], known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
            raise click.UsageError(f"there is no command {args[0]!r}; {hint}", ctx)
        return super().resolve_command(ctx, args)


recipe_argument = click.argument("recipe", type=click.Path())
as_json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout.")
set_option = click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override one key: --set train.lora.r=8. Repeatable."
)
resume_option = click.option("--resume", is_flag=True, help="Go on from the last checkpoint.")
out_option = click.option("--out", type=click.Path(path_type=Path), help="Folder to write to.")


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="speciate %(version)s")
def cli() -> None:
    """Grow specialist models without harming the generalist.

    \b
    speciate train recipes/lean.yaml            grow a species, prove what it gained and cost
    speciate train recipes/lean.yaml --dry-run  say what would run, for how long
    speciate report lean-prover                 show its newest run again
    speciate registry list                      all species on this machine

    Runs and adapters are kept in $SPECIATE_HOME, else in ~/.speciate. Exit status: 0 done, 1 unexpected failure,
    2 bad input, 3 a gate failed, 4 undecided, 5 a component is missing, 130 interrupted.
    """


@cli.command()
@recipe_argument
@set_option
@click.option("--seed", type=click.IntRange(min=0), help="Short for --set seed=N.")
@out_option
@resume_option
@click.option("--dry-run", is_flag=True, help="Load no weights; say what would run, and what it would take.")
@as_json_option
def train(
    recipe: str,
    overrides: tuple[str, ...],
    seed: int | None,
    out: Path | None,
    resume: bool,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Grow the species of RECIPE.

    Makes the data, trains the adapter, proves that the base is intact, measures gain and forgetting, decides the
    verdict and registers the adapter.
    """
    from speciate.pipeline.names import known_names
    from speciate.recipe import load_recipe

    loaded = load_recipe(recipe, (*overrides, *(() if seed is None else (f"seed={seed}",))), known_names(recipe))
    from speciate import pipeline

    if dry_run:
        from speciate.reports.plan import render_plan

        with stdout_for_answers():
            plan = pipeline.plan(loaded)
        answer(plan.document(), render_plan(plan), as_json)
        return 0
    with stdout_for_answers():
        record = pipeline.train(loaded, out, resume, _progress())
    from speciate.reports import terminal

    answer(record.document(), terminal.text(terminal.render_run(record)), as_json)
    return EXIT_OF_VERDICT[record.verdict]


@cli.command()
@click.argument("run")
@as_json_option
def report(run: str, as_json: bool) -> int:
    """Show a finished run again.

    RUN is its folder, its name, or a species, of which the newest run is meant.
    """
    from speciate.reports import terminal
    from speciate.runs import find_run

    record = find_run(run)
    answer(record.document(), terminal.text(terminal.render_run(record)), as_json)
    return 0


@cli.group(cls=Group)
def recipe() -> None:
    """Check recipes, and describe them to an editor."""


@recipe.command()
@click.argument("files", nargs=-1, required=True, type=click.Path())
@as_json_option
def check(files: tuple[str, ...], as_json: bool) -> int:
    """Report every problem of recipe FILES."""
    from speciate.errors import InputError, RecipeError
    from speciate.pipeline.names import known_names
    from speciate.pipeline.niche import niche_of
    from speciate.recipe import LoadedRecipe, load_either, recipe_digest

    problems: list[str] = []
    fine: list[dict[str, Any]] = []
    for file in files:
        try:
            loaded = load_either(file, known=known_names(file))
            if isinstance(loaded, LoadedRecipe):
                kind, name = "species", loaded.recipe.species
                niche_of(loaded)
            else:
                kind, name = "base", loaded.recipe.base
            fine.append({"file": file, "kind": kind, "name": name, "digest": recipe_digest(loaded.recipe)})
        except RecipeError as error:
            problems += error.problems
        except InputError as error:
            problems.append(str(error))
    if problems:
        raise RecipeError(problems)
    text = "\n".join(f"{found['file']}: right ({found['kind']} {found['name']})" for found in fine)
    answer(document("recipe-check/1", recipes=fine), text, as_json)
    return 0


@recipe.command()
@click.option("--out", type=click.Path(path_type=Path), help="Write it to this file instead of stdout.")
def schema(out: Path | None) -> int:
    """Print the JSON Schema of recipes, for editors."""
    from speciate import storage
    from speciate.recipe import json_schema

    if out:
        storage.write_text(out, json.dumps(json_schema(), indent=2) + "\n")
    else:
        answer(json_schema(), "", as_json=True)
    return 0


@cli.group(cls=Group)
def registry() -> None:
    """The species on this machine."""


@registry.command("list")
@as_json_option
def list_(as_json: bool) -> int:
    """List every adapter, by species and version."""
    from speciate.registry import store
    from speciate.reports import terminal

    cards, problems = store.entries()
    found = document("registry/1", entries=[card.document() for card in cards], problems=problems)
    answer(found, terminal.text(terminal.render_entries(cards, problems)), as_json)
    return 0


@registry.command()
@click.argument("name")
@as_json_option
def show(name: str, as_json: bool) -> int:
    """Show one adapter.

    NAME is a species, of which the latest version is meant, species@2, a digest or its beginning, or a folder.
    """
    from speciate.registry import store
    from speciate.reports import terminal

    path, card = store.find(name)
    answer(card.document(), terminal.text(terminal.render_entry(card, path)), as_json)
    return 0


@cli.group(cls=Group)
def base() -> None:
    """Small base models, made from nothing."""


@base.command("train")
@recipe_argument
@set_option
@out_option
@resume_option
@as_json_option
def train_base(recipe: str, overrides: tuple[str, ...], out: Path | None, resume: bool, as_json: bool) -> int:
    """Train the base of RECIPE from nothing."""
    from speciate.pipeline.names import known_names
    from speciate.recipe import load_base_recipe

    loaded = load_base_recipe(recipe, overrides, known_names(recipe))
    from speciate.pipeline.base import train_base as train_it

    started = time.monotonic()
    with stdout_for_answers():
        folder = train_it(loaded, out, resume, _progress())
    seconds = round(time.monotonic() - started, 1)
    made = document("base/1", base=loaded.recipe.base, folder=str(folder), seconds=seconds)
    answer(made, f"base {loaded.recipe.base} is in {folder}, made in {seconds:.0f} s", as_json)
    return 0


@cli.group(cls=Group)
def lean() -> None:
    """The Lean that judges proofs."""


@lean.command("check")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--timeout", type=click.FloatRange(min=0.1), default=30.0, show_default=True, help="Seconds for a proof.")
@click.option(
    "--max-heartbeats", type=click.IntRange(min=1), default=200_000, show_default=True, help="As Lean's own option."
)
@click.option("--without", multiple=True, metavar="TACTIC", help="Refuse proofs that use this tactic. Repeatable.")
@click.option("--processes", type=click.IntRange(min=1), help="Lean processes; as many as fit by default.")
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON for each proof, as they come.")
def check_proofs(
    file: Path, timeout: float, max_heartbeats: int, without: tuple[str, ...], processes: int | None, as_json: bool
) -> int:
    """Check the proofs of FILE, and trust none of them.

    \b
    A line of FILE is an object of JSON:
        {"id": "swap", "statement": "(p q : Prop) (h : p ∧ q) : q ∧ p", "proof": "⟨h.2, h.1⟩"}
    which means `theorem swap (p q : Prop) (h : p ∧ q) : q ∧ p := ⟨h.2, h.1⟩`. It may have a "context" of trusted
    definitions, and "axioms" of that context to rest on. The answers come in the same order.

    Exit status 0 when every proof was answered, whatever the answers are.
    """
    from dataclasses import replace

    from speciate.niches.lean import requests
    from speciate.niches.lean.engine import Lean
    from speciate.niches.lean.pool import LeanPool
    from speciate.progress import counted_bytes
    from speciate.reports import proofs

    found = requests.read(file, lambda job: replace(job, max_heartbeats=max_heartbeats, without=without))
    if found.ignored:
        click.echo(f"ignored keys: {', '.join(found.ignored)}", err=True)
    asked, tally, progress, stdout = found.requests, proofs.Tally(), _progress(), sys.stdout
    with stdout_for_answers(), counted_bytes(progress, "fetching Lean") as arrived:
        pool = LeanPool(processes, engine=lambda: Lean(timeout, progress=arrived))
        with pool, progress.phase("checking proofs", len(asked)) as phase:
            for request, verdict in zip(asked, pool.check(request.job for request in asked), strict=True):
                line = requests.line(request, verdict) if as_json else proofs.row(str(request.id), verdict)
                click.echo(line, file=stdout)
                tally.add(verdict)
                phase.advance(1)
                phase.note(tally.rate())
    if not as_json:
        answer({}, tally.summary(), as_json=False)
    return 0


@lean.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--timeout", type=click.FloatRange(min=0.1), default=60.0, show_default=True, help="Seconds a theorem.")
@click.option("--processes", type=click.IntRange(min=1), help="Lean processes; as many as fit by default.")
@as_json_option
def hammer(file: Path, timeout: float, processes: int | None, as_json: bool) -> int:
    """Say which theorems of FILE need no model.

    Tries the obvious one-line proofs on each: rfl, decide, omega, simp, simp_all, grind, and induction on each variable
    and then grind, with what the context defines named as lemmas. FILE is as for `speciate lean check`; the proofs in
    it, if any, are not looked at.
    """
    from speciate.niches.lean import requests
    from speciate.niches.lean.engine import Lean
    from speciate.niches.lean.hammer import strike
    from speciate.niches.lean.pool import LeanPool
    from speciate.progress import counted_bytes
    from speciate.reports.proofs import hammered

    found = requests.read(file, lambda job: job, proofless=True)
    asked, progress = found.requests, _progress()
    with stdout_for_answers(), counted_bytes(progress, "fetching Lean") as arrived:
        pool = LeanPool(processes, engine=lambda: Lean(timeout, progress=arrived))
        with pool, progress.phase("striking theorems", len(asked)) as phase:
            struck = []
            for one in strike([request.job for request in asked], pool.check):
                struck.append(one)
                phase.advance(1)
    content, text = hammered([request.id for request in asked], struck)
    answer(document("lean-hammer/1", **content), text, as_json)
    return 0


@lean.command()
@as_json_option
def setup(as_json: bool) -> int:
    """Set up the embedded Lean now.

    Otherwise that is done at first use. One that is whole is left as it is.
    """
    from speciate.niches.lean.setup import ensure_embedded
    from speciate.progress import counted_bytes

    started = time.monotonic()
    with stdout_for_answers(), counted_bytes(_progress(), "fetching Lean") as arrived:
        embedded = ensure_embedded(arrived)
    seconds = round(time.monotonic() - started, 1)
    found = document("lean-setup/1", node=str(embedded.node), library=str(embedded.library), seconds=seconds)
    answer(found, f"the embedded Lean is in {embedded.library.parent}", as_json)
    return 0


@cli.command()
@as_json_option
def doctor(as_json: bool) -> int:
    """Say what this machine has and lacks."""
    from speciate.doctor import examine, rendered

    findings = examine()
    answer(document("doctor/1", **findings), rendered(findings), as_json)
    return 0


@cli.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> int:
    """Print a completion script for a shell.

    The shell sources it: source <(speciate completion bash)
    """
    from click.shell_completion import get_completion_class

    complete = get_completion_class(shell)
    assert complete is not None
    answer({}, complete(cli, {}, "speciate", COMPLETION).source(), as_json=False)
    return 0


def main() -> None:
    """The program `speciate`."""
    _prepare_process()
    try:
        status = run(sys.argv[1:])
    except KeyboardInterrupt as error:
        # A second Ctrl-C, while the first was being told of.
        status = failed(error, [])
    sys.exit(status)


def run(arguments: Sequence[str]) -> int:
    """Run one command to its end and give its exit status."""
    if instruction := os.environ.get(COMPLETION):
        from click.shell_completion import shell_complete

        return shell_complete(cli, {}, "speciate", COMPLETION, instruction)
    try:
        # Not cli.main(): it takes any broken pipe, a verifier's too, for a reader that left, and ends quietly.
        with cli.make_context("speciate", list(arguments)) as context:
            return cli.invoke(context) or 0
    except click.exceptions.Exit as exit:
        return exit.exit_code
    except BaseException as error:
        return failed(error, list(arguments))


def _prepare_process() -> None:
    """Set what must stand before a library loads: no telemetry, threads that wait without burning a small machine."""
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = os.environ["DO_NOT_TRACK"] = "1"
    if hardware.cores() <= 4:
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    signal.signal(signal.SIGTERM, _terminate)


def _terminate(_number: int, _frame: FrameType | None) -> None:
    raise Terminated


def _progress() -> "Progress":
    from speciate.progress import progress_on

    return progress_on(sys.stderr)
