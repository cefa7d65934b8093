"""`speciate lean`: Lean as a judge of proofs, by itself."""

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from speciate.cli.options import Group, as_json_option, progress_shown
from speciate.endings import answer, document, stdout_for_answers

if TYPE_CHECKING:
    from speciate.niches.lean.verdict import LeanJob


@click.group(cls=Group)
def lean() -> None:
    """Check proofs by Lean, without trusting them."""


@lean.command("check")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--timeout", type=click.FloatRange(min=0.1), metavar="S", default=30.0, show_default=True, help="Seconds for each."
)
@click.option(
    "--max-heartbeats",
    type=click.IntRange(min=1),
    default=200_000,
    show_default=True,
    metavar="N",
    help="Work that Lean may do for each, as its own option maxHeartbeats counts it.",
)
@click.option("--without", multiple=True, metavar="TACTIC", help="Refuse proofs that use this tactic. Repeatable.")
@click.option("--processes", type=click.IntRange(min=1), metavar="N", help="Lean processes; as many as fit by default.")
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

    Or FILE is an ordinary Lean file (.lean): its theorems are checked one after another, each with what comes before it
    as its context, the theorems that were not accepted left out.

    Exit status 0 when every proof was answered, whatever the answers are.
    """
    from dataclasses import replace

    from speciate.niches.lean import requests, source
    from speciate.niches.lean.choice import chosen_lean
    from speciate.niches.lean.pool import LeanPool
    from speciate.progress import counted_bytes
    from speciate.reports import proofs

    def limited(job: "LeanJob") -> "LeanJob":
        return replace(job, max_heartbeats=max_heartbeats, without=without)

    is_source = file.suffix == ".lean"
    pieces = source.pieces(requests.text_of(file)) if is_source else []
    asked = [] if is_source else requests.read(file, limited)
    tally, progress, stdout = proofs.Tally(), progress_shown(), sys.stdout
    with stdout_for_answers(), counted_bytes(progress, "fetching Lean") as arrived:
        pool = LeanPool(processes, engine=lambda: chosen_lean(timeout, arrived))
        with pool, progress.phase("checking proofs", len(asked) or source.theorems(pieces)) as phase:
            if is_source:
                answers = source.checked(pieces, limited, lambda job: next(pool.check([job])))
            else:
                answers = zip(asked, pool.check(request.job for request in asked), strict=True)
            for request, verdict in answers:
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
@click.option(
    "--timeout", type=click.FloatRange(min=0.1), metavar="S", default=60.0, show_default=True, help="Seconds for each."
)
@click.option("--processes", type=click.IntRange(min=1), metavar="N", help="Lean processes; as many as fit by default.")
@as_json_option
def hammer(file: Path, timeout: float, processes: int | None, as_json: bool) -> int:
    """Say which theorems of FILE need no model.

    Those are the ones that Lean's own automation proves. Tries the obvious one-line proofs on each: rfl, decide, omega,
    simp, simp_all, grind, and induction on each variable and then grind, with what the context defines named as lemmas.
    FILE holds lines as for `speciate lean check`; the proofs in them, if any, are not looked at.
    """
    from speciate.niches.lean import requests
    from speciate.niches.lean.choice import chosen_lean
    from speciate.niches.lean.hammer import strike
    from speciate.niches.lean.pool import LeanPool
    from speciate.progress import counted_bytes
    from speciate.reports.proofs import hammered

    asked, progress = requests.read(file, lambda job: job, proofless=True), progress_shown()
    with stdout_for_answers(), counted_bytes(progress, "fetching Lean") as arrived:
        pool = LeanPool(processes, engine=lambda: chosen_lean(timeout, arrived))
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
    """Set up the embedded Lean now, not at first use.

    It is Lean as WebAssembly, which needs no Lean on this machine, and takes 0.8 GB of disk in the home. One that is
    whole is left as it is.
    """
    from speciate.niches.lean.setup import ensure_embedded
    from speciate.progress import counted_bytes

    started = time.monotonic()
    with stdout_for_answers(), counted_bytes(progress_shown(), "fetching Lean") as arrived:
        embedded = ensure_embedded(arrived)
    seconds = round(time.monotonic() - started, 1)
    found = document("lean-setup/1", node=str(embedded.node), library=str(embedded.library), seconds=seconds)
    answer(found, f"the embedded Lean is in {embedded.library.parent}", as_json)
    return 0
