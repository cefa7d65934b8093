"""Several training processes: the losses of one, the same bytes however they are stopped, and errors that say why."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from speciate.errors import TrainingDiverged, WorkerFailed
from speciate.models.adapter import trainable, weights_digest
from speciate.models.attaching import attach
from speciate.models.base import Compute, load_model, load_tokenizer, locate
from speciate.models.shape import LoraShape
from speciate.niches import skills
from speciate.recipe.hardware import Hardware
from speciate.storage import read_json
from speciate.train import sft
from speciate.train.checkpoints import newest
from speciate.train.divergence import KlGuard
from speciate.train.encoding import encode
from speciate.train.job import JOB, Job, read_job
from speciate.train.launch import LOG, train_in_processes
from speciate.train.sft import Sft, Step

SETTINGS = Sft(
    epochs=1.5,
    batch_size=3,
    gradient_accumulation=1,
    optimizer="adamw",
    learning_rate=1e-2,
    warmup=0.1,
    schedule="cosine",
    weight_decay=0.01,
    max_grad_norm=1.0,
    checkpoint_every=1,
    seed=0,
    processes=2,
)
FLOAT32 = Compute("cpu", "float32", "float32")
SHAPE = LoraShape(4, 8, 0.0, "all-linear", False)


@pytest.fixture(scope="module")
def job(random_llama: Path) -> Job:
    """26 rows, 1.5 times: 13 batches, so that the last step has one batch for two processes."""
    source = locate("a-base", random_llama)
    tokenizer = load_tokenizer(source)
    items = [item for name in ("sums", "sorting") for item in skills.sample(name, 13, "rows")]
    rows = [encode(tokenizer, item.prompt, item.reference) for item in items]
    model = attach(load_model(source, FLOAT32), SHAPE, source, SETTINGS.seed)
    return Job(
        source,
        FLOAT32,
        "none",
        SHAPE,
        SETTINGS,
        Hardware(processes=2),
        weights_digest(model),
        rows,
        rows[:4],
        niche=[],
        general=[],
    )


def fresh(job: Job) -> Any:
    return attach(load_model(job.source, job.compute), job.shape, job.source, job.settings.seed)


def trained(job: Job, out: Path) -> tuple[Any, list[Step]]:
    """Train in processes, from `out` on where that was stopped."""
    model, steps = fresh(job), list[Step]()
    train_in_processes(model, job, out / "workers", out / "checkpoints", steps.append)
    return model, steps


@pytest.fixture(scope="module")
def whole(job: Job, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, list[Step], Path]:
    out = tmp_path_factory.mktemp("whole")
    return (*trained(job, out), out)


def test_two_processes_make_the_steps_of_one_with_twice_the_batches(
    job: Job, whole: tuple[Any, list[Step], Path], tmp_path: Path
) -> None:
    import torch

    alone = replace(job.settings, processes=1, gradient_accumulation=2)
    steps: list[Step] = []
    model = fresh(job)
    one = sft.train(
        model, load_tokenizer(job.source), job.rows, job.dev, alone, FLOAT32, tmp_path / "checkpoints", steps.append
    )
    assert one.steps == alone.steps(len(job.rows)) == job.settings.steps(len(job.rows)) == 7
    assert [step.loss for step in whole[1]] == pytest.approx([step.loss for step in steps], rel=1e-5)
    assert [step.learning_rate for step in whole[1]] == [step.learning_rate for step in steps]
    for name, tensor in trainable(model).items():
        assert torch.allclose(tensor, trainable(whole[0])[name], atol=1e-4), name


def test_the_adapter_is_the_one_in_the_file(whole: tuple[Any, list[Step], Path]) -> None:
    import torch
    from safetensors.torch import load_file

    found = newest(whole[2] / "checkpoints")
    assert found is not None
    stored = load_file(found / "adapter_model.safetensors")
    held = trainable(whole[0])
    assert len(stored) == len(held)
    for name, tensor in stored.items():
        assert torch.equal(tensor, held[name.replace(".weight", ".default.weight")]), name
    assert (found / "rng_state_1.pth").exists(), "each process keeps its own dice"


def processes_of(folder: Path) -> dict[str, int]:
    """The processes that train in a folder, by their rank; `launcher` starts them."""
    found: dict[str, int] = {}
    for place in Path("/proc").glob("[0-9]*"):
        try:
            words = (place / "cmdline").read_bytes().split(b"\0")
            parts = [part.partition(b"=") for part in (place / "environ").read_bytes().split(b"\0")]
            told = {name: value for name, _, value in parts}
        except OSError:
            continue
        if str(folder / "workers").encode() in words and b"speciate.train.worker" in words:
            found[told[b"RANK"].decode() if b"RANK" in told else "launcher"] = int(place.name)
    return found


MAIN = """
import sys
from pathlib import Path
from speciate.models.attaching import attach
from speciate.models.base import load_model
from speciate.train.job import read_job
from speciate.train.launch import train_in_processes
job, out = read_job(Path(sys.argv[1])), Path(sys.argv[2])
model = attach(load_model(job.source, job.compute), job.shape, job.source, job.settings.seed)
train_in_processes(model, job, out / "workers", out / "checkpoints", lambda step: print("step", step.step, flush=True))
"""


def started(job: Job, out: Path, until: int) -> "subprocess.Popen[str]":
    """A process that starts the others, of which steps up to `until` were told."""
    job.write(out / "job")
    process = subprocess.Popen(
        [sys.executable, "-c", MAIN, str(out / "job"), str(out)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    for line in process.stdout:
        if line == f"step {until}\n":
            break
    return process


def said_in_the_end(process: "subprocess.Popen[str]", out: Path) -> str:
    """What it says on stderr; fails where a training process outlives it."""
    _, said = process.communicate(timeout=120)
    gone = time.monotonic() + 30
    while processes_of(out) and time.monotonic() < gone:
        time.sleep(0.1)
    assert not processes_of(out), "a process outlived its starter"
    return said


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_stopped_in_every_way_it_leaves_no_process_and_ends_with_the_same_bytes(
    job: Job, whole: tuple[Any, list[Step], Path], tmp_path: Path
) -> None:
    def pressed(step: Step) -> None:
        if step.step == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_in_processes(fresh(job), job, tmp_path / "workers", tmp_path / "checkpoints", pressed)
    assert not processes_of(tmp_path)
    starter = started(job, tmp_path, 4)
    assert set(processes_of(tmp_path)) == {"launcher", "0", "1"}
    starter.kill()
    said_in_the_end(starter, tmp_path)
    starter = started(job, tmp_path, 5)
    os.kill(processes_of(tmp_path)["1"], signal.SIGKILL)
    said = said_in_the_end(starter, tmp_path)
    assert "training process 1 was killed by SIGKILL, as the system does where memory runs out" in said
    model, steps = trained(job, tmp_path)
    assert 4 < steps[0].step < 7
    assert weights_digest(model) == weights_digest(whole[0])


def test_the_guard_holds_the_rows_that_it_holds_in_one_process(job: Job, tmp_path: Path) -> None:
    kl = KlGuard(job.rows[8:20], 2, 1.0, "forward", 0)
    held = replace(job, rows=job.rows[:12], kl=kl, settings=replace(job.settings, epochs=2, checkpoint_every=100))
    _, steps = trained(held, tmp_path / "two")
    alone, told = replace(held.settings, processes=1, gradient_accumulation=2), list[Step]()
    checkpoints = tmp_path / "one" / "checkpoints"
    sft.train(fresh(job), load_tokenizer(job.source), held.rows, job.dev, alone, FLOAT32, checkpoints, told.append, kl)
    assert len(steps) == 4
    assert [step.loss for step in steps] == pytest.approx([step.loss for step in told], rel=1e-5)


def test_what_stops_a_worker_is_raised_here(job: Job, tmp_path: Path) -> None:
    wild = replace(job, settings=replace(job.settings, learning_rate=1e30))
    with pytest.raises(TrainingDiverged, match=r"lower train\.learning_rate"):
        trained(wild, tmp_path / "wild")
    assert "Traceback" in (tmp_path / "wild" / "workers" / LOG).read_text()


def test_a_job_is_read_as_it_was_written(job: Job, tmp_path: Path) -> None:
    job.write(tmp_path)
    assert read_job(tmp_path) == job
    assert not read_json(tmp_path / JOB)["rows"], "rows are in a file of their own"


def test_a_starter_that_cannot_start_says_its_last_words(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "false")
    with pytest.raises(WorkerFailed, match=r"ended with status 1\. Their last words"):
        train_in_processes(fresh(job), job, tmp_path / "workers", tmp_path / "checkpoints", lambda _: None)
