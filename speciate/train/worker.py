"""One of several processes of a training: `accelerate launch --module speciate.train.worker FOLDER CHECKPOINTS`.

Reads the job in FOLDER, builds the base with the same fresh adapter as every other process, and trains. Its first
process tells steps and the end on stdout, any process what stopped it. A process whose starter is gone ends at once:
its stdin is a pipe that nobody writes to, held open by the starter.
"""

import json
import os
import sys
import threading
import traceback
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from filelock import FileLock

from speciate.errors import PreflightError, SpeciateError
from speciate.models.adapter import weights_digest
from speciate.models.attaching import attach
from speciate.models.base import load_model, load_tokenizer
from speciate.train.job import Job, read_job
from speciate.train.memory import ran_out
from speciate.train.preflight import preflight
from speciate.train.sft import Step, train

if TYPE_CHECKING:
    pass

MARK = "speciate-worker "
"""Begins the lines that are told; all others are what libraries print."""
ORPHANED = 75
"""Exit status of a process whose starter is gone."""
WAIT_S = 120.0
"""How long the processes of a run that was killed may take to end."""


def main(folder: Path, checkpoints: Path) -> int:
    """Train; the exit status."""
    threading.Thread(target=_end_with_the_starter, daemon=True).start()
    rank = int(os.environ.get("RANK", "0"))
    try:
        if rank == 0:
            with FileLock(folder / ".lock", timeout=WAIT_S):
                _train(read_job(folder), checkpoints, rank)
        else:
            _train(read_job(folder), checkpoints, rank)
    except BaseException as error:
        said = "".join(traceback.format_exception(error))
        full = ran_out(error) and not isinstance(error, SpeciateError)
        kind = "MemoryError" if full else type(error).__name__
        tell("error", {"rank": rank, "kind": kind, "message": str(error), "traceback": said})
        return 1
    return 0


def tell(kind: str, content: Any) -> None:
    """One line to the starter, written at once so that lines of other processes do not come between."""
    os.write(sys.stdout.fileno(), f"\n{MARK}{json.dumps([kind, content])}\n".encode())


def _train(job: Job, checkpoints: Path, rank: int) -> None:
    import torch

    if job.compute.device == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    divided = job.hardware.sharding != "none"
    # What is divided is read into the machine's memory, and reaches a GPU in parts.
    place = replace(job.compute, device="cpu") if divided else job.compute
    tokenizer = load_tokenizer(job.source)
    base = load_model(job.source, place, job.quantization)
    model = attach(base, job.shape, job.source, job.settings.seed, niche=job.niche, general=job.general)
    if weights_digest(model) != job.fresh:
        raise PreflightError("this process drew another fresh adapter than the one that started it")
    if not divided:
        preflight(model, job.rows, job.settings, cast(int, tokenizer.pad_token_id), job.compute, job.kl, job.loss)

    def told(step: Step) -> None:
        if rank == 0:
            tell("step", asdict(step))

    trained = train(
        model,
        tokenizer,
        job.rows,
        job.dev,
        job.settings,
        job.compute,
        checkpoints,
        told,
        kl=job.kl,
        loss=job.loss,
        names=job.names,
    )
    if rank == 0:
        tell("done", asdict(trained))


def _end_with_the_starter() -> None:
    # Not sys.stdin: its lock, held by a thread that waits, would stop the interpreter from ending.
    os.read(sys.stdin.fileno(), 1)
    os._exit(ORPHANED)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
