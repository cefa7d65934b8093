"""`speciate suite`: which suites there are, what one asks, and whether it is right."""

import click

from speciate.cli import names
from speciate.cli.options import Group, as_json_option
from speciate.endings import answer, document, stdout_for_answers


@click.group(cls=Group)
def suite() -> None:
    """List, show and check the suites that models are measured on."""


@suite.command("list")
@as_json_option
def list_(as_json: bool) -> int:
    """List the suites that --suite knows by name.

    They are the YAML files in the folder evals/suites of the working directory, or of the nearest folder above it.
    """
    from speciate.pipeline import suites
    from speciate.pipeline.names import SUITES
    from speciate.reports.suites import render_suites
    from speciate.reports.terminal import text

    entries, problems = suites.known()
    found = document("suites/1", suites=[entry.model_dump(mode="json") for entry in entries], problems=problems)
    answer(found, text(render_suites(entries, problems, SUITES)), as_json)
    return 0


@suite.command()
@click.argument("name", shell_complete=names.one_of(names.suites))
@as_json_option
def show(name: str, as_json: bool) -> int:
    """Show what a suite asks: items of each role and family.

    NAME is a suite of evals/suites, or a YAML file. No model is loaded and nothing is fetched: what a data set of the
    hub or a task of lm-evaluation-harness holds is not counted. `speciate eval MODEL --suite NAME --dry-run` counts
    all of it.
    """
    from speciate.pipeline.evaluation import find_suite
    from speciate.pipeline.suites import outline
    from speciate.reports.suites import render_suite
    from speciate.reports.terminal import text

    with stdout_for_answers():
        found = outline(find_suite(name))
    answer(found.document(), text(render_suite(found)), as_json)
    return 0


@suite.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...", shell_complete=names.one_of(names.suites))
@as_json_option
def check(files: tuple[str, ...], as_json: bool) -> int:
    """Report every problem of suites, each with its line.

    FILE is a YAML file, or the name of a suite in evals/suites. Reads the files that a suite names, every row of its
    tables too, and fetches nothing: data sets of the hub are not looked at. Exit status 2 where anything is wrong.
    """
    from speciate.errors import InputError, RecipeError
    from speciate.pipeline.evaluation import find_suite
    from speciate.pipeline.suites import problems_of

    problems: list[str] = []
    fine: list[dict[str, str | int]] = []
    for file in files:
        try:
            with stdout_for_answers():
                loaded = find_suite(file)
                wrong = problems_of(loaded)
        except RecipeError as error:
            problems += error.problems
        except InputError as error:
            problems.append(str(error))
        else:
            problems += wrong
            suite = loaded.recipe
            fine.append({"file": str(loaded.path), "suite": suite.suite, "version": suite.version})
    if problems:
        raise RecipeError(problems)
    text = "\n".join(f"{found['file']}: right (suite {found['suite']} version {found['version']})" for found in fine)
    answer(document("suite-check/1", suites=fine), text, as_json)
    return 0
