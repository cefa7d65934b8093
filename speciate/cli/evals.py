"""`speciate eval`, `compare` and `report`: what models can do, side by side, on a screen, as a page, as a card."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from speciate.cli import names
from speciate.cli.options import as_json_option, progress_shown
from speciate.endings import answer, stdout_for_answers

if TYPE_CHECKING:
    from speciate.pipeline.evaluation import Wanted
    from speciate.records import Comparison

RUNS = names.one_of(names.species, names.runs, names.evaluations)
html_option = click.option(
    "--html",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write it as a page too, to be read without a network.",
)
markdown_option = click.option(
    "--markdown",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write it as Markdown too, for a pull request or a model card.",
)


@click.command("eval")
@click.argument(
    "models",
    nargs=-1,
    required=True,
    metavar="ADAPTER_OR_BASE...",
    shell_complete=names.one_of(names.species, names.runs),
)
@click.option(
    "--suite",
    default="general-tiny",
    show_default=True,
    metavar="NAME|FILE",
    shell_complete=names.one_of(names.suites),
    help="What to ask: a suite that `speciate suite list` shows, or a YAML file.",
)
@click.option(
    "--base", metavar="FOLDER|NAME", help="The base of the adapters, where it does not lie where they say that it does."
)
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Ask at most N items of each family or task.")
@click.option(
    "--batch-size",
    type=click.IntRange(1, 65_536),
    default=64,
    show_default=True,
    metavar="N",
    help="Answers that are computed at a time; fewer need less memory.",
)
@click.option(
    "--dtype",
    type=click.Choice(["auto", "float32", "bfloat16", "float16"]),
    default="auto",
    help="Number format of the base's weights; auto keeps its own on a GPU, float32 on a CPU.",
)
@click.option(
    "--quantization", type=click.Choice(["none", "nf4"]), default="none", help="nf4 holds the base in 4 bits."
)
@click.option(
    "--train-rows",
    type=click.Path(path_type=Path, exists=True),
    help="JSONL that the adapters were trained on: items that it gives away are left out.",
)
@click.option(
    "--out", type=click.Path(path_type=Path), help="Folder to write to, empty or missing; else a new one in the home."
)
@click.option("--resume", is_flag=True, help="Go on with the evaluation of the same models and suite that was stopped.")
@click.option(
    "--dry-run", is_flag=True, help="Say what would be asked of which models; load no weights, write nothing."
)
@html_option
@markdown_option
@as_json_option
def evaluate(
    models: tuple[str, ...],
    suite: str,
    base: str | None,
    limit: int | None,
    batch_size: int,
    dtype: str,
    quantization: str,
    train_rows: Path | None,
    out: Path | None,
    resume: bool,
    dry_run: bool,
    html: Path | None,
    markdown: Path | None,
    as_json: bool,
) -> int:
    """Measure adapters and their base on a suite.

    A model is an adapter (species, species@2, digest, run, or a PEFT folder) or a base (folder or hub name). The base
    is loaded once and answers beside its adapters; what a model answered before is not asked again.

    --dry-run tells all that is wrong with the models and the suite at once, with exit status 2. What they name on the
    hub is fetched, as it would be without.
    """
    from speciate.pipeline.evaluation import Wanted

    wanted = Wanted(models, suite, base, limit, batch_size, dtype, quantization, out, resume, train_rows)
    if dry_run:
        return _planned(wanted, as_json)
    from speciate.pipeline.comparison import compare
    from speciate.pipeline.evaluation import evaluate

    with stdout_for_answers():
        record = evaluate(wanted, progress_shown())
        comparison = compare([record.eval_dir], each=True)
        written = _written(comparison, html, markdown)
    from speciate.reports.comparison import render_comparison
    from speciate.reports.evaluation import render_evaluation
    from speciate.reports.terminal import text

    shown = "" if as_json else text(render_evaluation(record, render_comparison(comparison), written))
    answer(record.document(), shown, as_json)
    return 0


def _planned(wanted: "Wanted", as_json: bool) -> int:
    """Say what an evaluation would do."""
    from speciate.pipeline.evaluation_plan import plan_evaluation
    from speciate.reports.evaluation_plan import render_evaluation_plan
    from speciate.reports.terminal import text

    with stdout_for_answers():
        plan = plan_evaluation(wanted, progress_shown())
    answer(plan.document(), text(render_evaluation_plan(plan)), as_json)
    return 0


@click.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN...", shell_complete=RUNS)
@click.option("--common", is_flag=True, help="Compare on the items that all answered, where they are not the same.")
@click.option("--each", is_flag=True, help="Keep apart what differs in its seed alone.")
@html_option
@markdown_option
@as_json_option
def compare(
    runs: tuple[str, ...], common: bool, each: bool, html: Path | None, markdown: Path | None, as_json: bool
) -> int:
    """Compare training runs and evaluations.

    Answers are paired on the same items, and every difference has its 95% interval. RUN is the folder or the name of a
    run or an evaluation (`speciate runs list`), or a species, of which the newest run is meant. Runs that differ in
    their seed alone, and adapters of an evaluation that do, are taken together, as one arm.
    """
    from speciate.pipeline.comparison import compare

    with stdout_for_answers():
        comparison = compare(runs, common=common, each=each)
        written = _written(comparison, html, markdown)
    if as_json:
        answer(comparison.document(), "", as_json)
        return 0
    from speciate.reports.comparison import render_comparison
    from speciate.reports.terminal import text

    answer({}, "\n".join([text(render_comparison(comparison)), *written]), as_json)
    return 0


@click.command()
@click.argument("run", shell_complete=RUNS)
@html_option
@markdown_option
@click.option(
    "--card",
    type=click.Path(path_type=Path),
    help="Write the adapter's model card, with the Hub's metadata, to a file or into a folder.",
)
@as_json_option
def report(run: str, html: Path | None, markdown: Path | None, card: Path | None, as_json: bool) -> int:
    """Show a finished run or evaluation again.

    RUN is its folder or its name (`speciate runs list`), or a species, of which the newest run is meant.
    """
    from speciate import runs
    from speciate.reports import terminal

    if (evaluation := runs.find_eval(run)) is not None:
        from speciate.pipeline.comparison import compare
        from speciate.reports.comparison import render_comparison
        from speciate.reports.evaluation import render_evaluation

        if card:
            raise click.UsageError("--card is for training runs: an evaluation has no adapter of its own")
        comparison = compare([evaluation.eval_dir], each=True)
        written = _written(comparison, html, markdown)
        shown = terminal.text(render_evaluation(evaluation, render_comparison(comparison), written))
        answer(evaluation.document(), shown, as_json)
        return 0
    from speciate.pipeline.finished import finished_run

    record = finished_run(run)
    written = []
    if html or markdown:
        from speciate.pipeline.comparison import compare

        with stdout_for_answers():
            written = _written(compare([record.run_dir]), html, markdown)
    if card:
        from speciate import storage
        from speciate.registry import store
        from speciate.registry.entry import README
        from speciate.registry.readme import readme

        place = card / README if card.is_dir() else card
        storage.write_text(place, readme(store.find(record.adapter)[1]))
        written = [*written, f"model card: {place}"]
    answer(record.document(), "\n".join([terminal.text(terminal.render_run(record)), *written]), as_json)
    return 0


def _written(comparison: "Comparison", html: Path | None, markdown: Path | None) -> list[str]:
    """Write the comparison to files, and say where they are."""
    from speciate import storage

    said: list[str] = []
    if html:
        from speciate.reports.page import render_page

        storage.write_text(html, render_page(comparison))
        said.append(f"page: {html}")
    if markdown:
        from speciate.reports.markdown import render_markdown

        storage.write_text(markdown, render_markdown(comparison))
        said.append(f"Markdown: {markdown}")
    return said
