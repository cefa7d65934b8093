"""`speciate data`: rows made from what others wrote."""

from dataclasses import asdict
from pathlib import Path

import click

from speciate.cli.options import Group, as_json_option, progress_shown
from speciate.endings import answer, document, stdout_for_answers


@click.group(cls=Group)
def data() -> None:
    """Make rows for training from what others wrote."""


@data.command()
@click.argument("repository")
@click.option("--commit", metavar="ID", help="Which commit; needed for an address.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("traced.jsonl"),
    show_default=True,
    help="File to write the rows to, as JSON lines.",
)
@as_json_option
def trace(repository: str, commit: str | None, out: Path, as_json: bool) -> int:
    """Take theorems, proofs and tactics from a Lean REPOSITORY.

    REPOSITORY is a folder under git, or an address. lean-dojo builds it with your Lean toolchain, so it must be one
    that you trust. A row is a theorem with its proof, or a tactic with the goals before and after it.
    """
    from speciate import storage
    from speciate.niches.lean.trace import rows
    from speciate.niches.lean.trace import trace as traced

    with stdout_for_answers(), progress_shown().phase("tracing, which builds the repository"):
        found = [asdict(row) for row in rows(traced(repository, commit))]
    storage.write_jsonl(out, found)
    proofs = sum(row["kind"] == "proof" for row in found)
    content = document("trace/1", repository=repository, commit=commit, proofs=proofs, tactics=len(found) - proofs)
    answer(content | {"file": str(out)}, f"{proofs:,} proofs and {len(found) - proofs:,} tactics are in {out}", as_json)
    return 0
