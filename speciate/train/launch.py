"""Starts the processes of one training, passes on what they tell, and gives the trained adapter back from its file.

They read their job from a folder of the run. Two pipes tie them to this process: when it goes, for whatever reason, its
end of their stdin closes and they end; their stdout ends when the last of them is gone.
"""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from speciate import errors, hardware
from speciate.errors import SpeciateError, WorkerFailed
from speciate.storage import write_text
from speciate.train.accelerated import configuration
from speciate.train.checkpoints import newest
from speciate.train.job import Job
from speciate.train.sft import Step, Trained
from speciate.train.worker import MARK

if TYPE_CHECKING:
    from peft import PeftModel

CONFIGURATION, LOG = "accelerate.yaml", "workers.log"
LAST_WORDS = 12
"""Lines of a worker's output that an error shows."""
PATIENCE_S = 20.0
"""How long processes that were told to end may take."""


def train_in_processes(
    model: "PeftModel", job: Job, folder: Path, checkpoints: Path, on_step: Callable[[Step], None]
) -> Trained:
    """Train `model`'s adapter in the job's processes; goes on from the newest whole checkpoint, as one process does.

    Raises what stopped a worker where that is an error of ours, else WorkerFailed with its last words.
    """
    newest(checkpoints)
    job.write(folder)
    blocks = sorted(cast("list[str] | None", getattr(model.get_base_model(), "_no_split_modules", None)) or [])
    # YAML takes JSON as it is.
    content = configuration(job.hardware, job.compute, job.settings, blocks)
    write_text(folder / CONFIGURATION, json.dumps(content, indent=2) + "\n")
    with elsewhere(model):
        trained = _followed(command(folder, checkpoints), environment(job), folder / LOG, on_step)
    _take(model, checkpoints)
    return trained


def command(folder: Path, checkpoints: Path) -> list[str]:
    """What is started."""
    launcher = [sys.executable, "-m", "accelerate.commands.accelerate_cli", "launch"]
    worker = ["--module", "speciate.train.worker", str(folder), str(checkpoints)]
    return [*launcher, "--config_file", str(folder / CONFIGURATION), *worker]


def environment(job: Job) -> dict[str, str]:
    """That of this process; on a CPU its cores are shared out."""
    threads = max(1, hardware.cores() // job.hardware.processes) if job.compute.device == "cpu" else 1
    return os.environ | {"OMP_NUM_THREADS": str(threads), "TOKENIZERS_PARALLELISM": "false"}


@contextlib.contextmanager
def elsewhere(model: "PeftModel") -> Generator[None]:
    """Leave a GPU to the workers; the model lies in the machine's memory meanwhile."""
    import torch

    device = model.device
    if device.type != "cuda":
        yield
        return
    model.to("cpu")
    torch.cuda.empty_cache()
    try:
        yield
    finally:
        model.to(device)


def _followed(command: list[str], environment: dict[str, str], log: Path, on_step: Callable[[Step], None]) -> Trained:
    """Run to the end; what is no message of ours goes to the log."""
    trained: Trained | None = None
    faults: list[dict[str, Any]] = []
    said: deque[str] = deque(maxlen=200)
    with subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        # Ctrl-C reaches this process alone, which ends the others.
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        try:
            with log.open("a", encoding="utf-8") as kept:
                for line in process.stdout:
                    if not line.startswith(MARK):
                        said.append(line.rstrip())
                        kept.write(line)
                        continue
                    kind, content = json.loads(line.removeprefix(MARK))
                    match kind:
                        case "step":
                            on_step(Step(**content))
                        case "done":
                            trained = Trained(**content)
                        case _:
                            faults.append(content)
                            kept.write(content["traceback"])
            status = process.wait()
        finally:
            _end(process)
    if status == 0 and trained is not None:
        return trained
    raise _fault(faults, list(said), status, log)


def _end(process: "subprocess.Popen[str]") -> None:
    """End the starter and, by closing their stdin, the workers; return when all of them are gone."""
    assert process.stdin is not None
    assert process.stdout is not None
    with contextlib.suppress(OSError):
        process.stdin.close()
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        # It ends with the last process that holds it.
        process.stdout.read()
        process.wait(PATIENCE_S)


def _fault(faults: list[dict[str, Any]], said: list[str], status: int, log: Path) -> Exception:
    """What stopped the workers. One that dies takes the others with it, whose words on lost connections say little."""
    place = f"What the processes said is in {str(log)!r}; --resume goes on from the last checkpoint"
    ours = [fault for fault in faults if issubclass(_class(fault["kind"]), SpeciateError | MemoryError)]
    killed = _killed(said)
    if ours:
        return _class(ours[0]["kind"])(ours[0]["message"])
    if killed:
        rank, number = killed
        name = signal.Signals(number).name
        why = ", as the system does where memory runs out" if number == signal.SIGKILL else ""
        return WorkerFailed(f"training process {rank} was killed by {name}{why}. {place}")
    if faults:
        first = faults[0]
        return WorkerFailed(f"training process {first['rank']} failed: {first['kind']}: {first['message']}\n{place}")
    words = "\n".join(line for line in said if line.strip())
    tail = "\n".join(words.splitlines()[-LAST_WORDS:])
    return WorkerFailed(f"the training processes ended with status {status}. Their last words:\n{tail}\n{place}")


def _class(kind: str) -> type[Exception]:
    """The class of an error by its name: one of ours, or MemoryError for all that say that memory ran out."""
    found = getattr(errors, kind, None)
    if isinstance(found, type) and issubclass(found, SpeciateError):
        return found
    return MemoryError if kind == "MemoryError" else RuntimeError


def _killed(said: list[str]) -> tuple[int, int] | None:
    """Rank and signal of the process that torch's launcher names as the first to fail, where a signal ended it."""
    text = "\n".join(said)
    found = re.search(r"Root Cause.*?rank\s*:\s*(\d+).*?exitcode\s*:\s*-(\d+)", text, re.DOTALL)
    return (int(found[1]), int(found[2])) if found else None


def _take(model: "PeftModel", checkpoints: Path) -> None:
    """Give `model` the adapter that the workers wrote, as any reader of its file would get it."""
    from peft import set_peft_model_state_dict
    from safetensors.torch import load_file

    found = newest(checkpoints)
    if found is None:
        raise WorkerFailed(f"the training processes left no whole checkpoint in {str(checkpoints)!r}")
    result: Any = set_peft_model_state_dict(model, load_file(found / "adapter_model.safetensors"))
    if result.unexpected_keys or any(".default." in key for key in result.missing_keys):
        raise WorkerFailed(f"the adapter in {str(found)!r} is not the one that was to be trained")
