"""The command line: each command reads its arguments, calls one function and prints what it returns.

Nothing heavy is imported before a command runs, so help and completion come at once. How a command ends, well or
badly, is in `endings`.
"""

import io
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

import click

from speciate import __version__, hardware
from speciate.cli import adapters as adapters  # adds its commands to the registry's
from speciate.cli import browse as browse  # adds its command to the registry's
from speciate.cli import exchange as exchange  # adds its commands to the registry's
from speciate.cli import names
from speciate.cli.data import data
from speciate.cli.evals import compare, evaluate, report
from speciate.cli.lean import lean
from speciate.cli.options import Group, as_json_option, progress_shown
from speciate.cli.recipes import recipe
from speciate.cli.registry import registry
from speciate.cli.runs import runs
from speciate.cli.suites import suite
from speciate.endings import Terminated, answer, document, failed, stdout_for_answers

EXIT_OF_VERDICT = {"passed": 0, "failed": 3, "undecided": 4}
COMPLETION = "_SPECIATE_COMPLETE"


recipe_argument = click.argument("recipe", type=click.Path(), shell_complete=names.one_of(names.recipes))
set_option = click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override one key: --set train.lora.r=8. Repeatable."
)
resume_option = click.option("--resume", is_flag=True, help="Go on from the last checkpoint of what was stopped.")


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="speciate %(version)s")
def cli() -> None:
    """Grow specialist models without harming the generalist.

    \b
    speciate train recipes/lean.yaml            grow a species, prove what it gained and cost
    speciate train recipes/lean.yaml --dry-run  say what would run, for how long
    speciate report lean-prover --html run.html show its newest run again, as a page
    speciate eval lean-prover --suite map       what it can do beside its niche, against its base
    speciate compare RUN RUN --html ab.html     two runs on the same items, with intervals
    speciate suite list                         what models can be measured on
    speciate runs list                          all runs and evaluations on this machine
    speciate registry list                      all species on this machine

    Runs and adapters are kept in $SPECIATE_HOME, else in ~/.speciate. Exit status: 0 done, 1 unexpected failure,
    2 bad input, 3 a gate failed, 4 undecided, 5 a component is missing, 130 interrupted.
    """


@cli.command()
@recipe_argument
@set_option
@click.option("--seed", type=click.IntRange(min=0), metavar="N", help="Short for --set seed=N.")
@click.option(
    "--out", type=click.Path(path_type=Path), help="Folder of the run, empty or missing; else a new one in the home."
)
@resume_option
@click.option("--dry-run", is_flag=True, help="Say what would run and what it would take; load no weights.")
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

    RECIPE is a YAML file, such as recipes/lean.yaml. Makes the data, trains the adapter, proves that the base is
    intact, measures gain and forgetting, decides the verdict and registers the adapter. Exit status 0 where the species
    passed, 3 where a gate failed, 4 where one is undecided.
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
        record = pipeline.train(loaded, out, resume, progress_shown())
    from speciate.reports import terminal

    answer(record.document(), terminal.text(terminal.render_run(record)), as_json)
    return EXIT_OF_VERDICT[record.verdict]


@cli.group(cls=Group)
def base() -> None:
    """Train small base models, from nothing."""


@base.command("train")
@recipe_argument
@set_option
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the base, instead of the recipe's `output`.")
@resume_option
@as_json_option
def train_base(recipe: str, overrides: tuple[str, ...], out: Path | None, resume: bool, as_json: bool) -> int:
    """Train the base of RECIPE from nothing.

    RECIPE is a YAML file, such as recipes/base-tiny.yaml, which takes 1.5 hours on 2 cores.
    """
    from speciate.pipeline.names import known_names
    from speciate.recipe import load_base_recipe

    loaded = load_base_recipe(recipe, overrides, known_names(recipe))
    from speciate.pipeline.base import train_base as train_it

    started = time.monotonic()
    with stdout_for_answers():
        folder = train_it(loaded, out, resume, progress_shown())
    seconds = round(time.monotonic() - started, 1)
    made = document("base/1", base=loaded.recipe.base, folder=str(folder), seconds=seconds)
    answer(made, f"base {loaded.recipe.base} is in {folder}, made in {seconds:.0f} s", as_json)
    return 0


for command in (recipe, evaluate, compare, report, suite, runs, registry, lean, data):
    cli.add_command(command)


@cli.command()
@as_json_option
def doctor(as_json: bool) -> int:
    """Say what this machine has and lacks.

    Device, memory, libraries, engines of Lean and the home; and what to do where something is missing.
    """
    from speciate.doctor import examine, rendered

    findings = examine()
    answer(document("doctor/1", **findings), rendered(findings), as_json)
    return 0


@cli.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> int:
    """Print a completion script for a shell.

    It completes commands, options, recipes, suites, species and runs. Put one of these into the shell's own settings:

    \b
    source <(speciate completion bash)      in ~/.bashrc
    source <(speciate completion zsh)       in ~/.zshrc
    speciate completion fish | source       in ~/.config/fish/config.fish
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
        _check_text(arguments)
        # Not cli.main(): it takes any broken pipe, a verifier's too, for a reader that left, and ends quietly.
        with cli.make_context("speciate", list(arguments)) as context:
            return cli.invoke(context) or 0
    except click.exceptions.Exit as exit:
        return exit.exit_code
    except BaseException as error:
        return failed(error, list(arguments))


def _check_text(arguments: Sequence[str]) -> None:
    """Raises a usage error for bytes that no record and no database could hold as text."""
    for argument in arguments:
        try:
            argument.encode()
        except UnicodeEncodeError:
            raise click.UsageError(f"the argument {argument!r} is no text in UTF-8") from None


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
