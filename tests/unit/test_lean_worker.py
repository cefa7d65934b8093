"""One process under watch, with small Python programs in Lean's place: what it may say, how long, and how it dies."""

import os
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from speciate.niches.lean.worker import Worker, WorkerDied, WorkerTooSlow

READY = 'import json, sys, time, os; print("noise"); print(json.dumps({"ready": "9.9"}), flush=True)\n'
ANSWER = 'request = json.loads(sys.stdin.readline()); answer = {"nonce": request["nonce"], "reason": "ok"}\n'

Start = Callable[..., Worker]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a worker that runs Python source."""
    workers: list[Worker] = []

    def run(source: str, max_rss_bytes: int = 2_000_000_000) -> Worker:
        workers.append(Worker([sys.executable, "-I", "-S", "-c", source], {}, max_rss_bytes))
        return workers[-1]

    yield run
    for worker in workers:
        worker.close()


def gone(group: int) -> bool:
    """Whether nothing of a process group is left, soon."""
    for _ in range(100):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


def test_an_answer_with_the_nonce_is_taken(start: Start) -> None:
    worker = start(
        READY + "while True:\n " + ANSWER.replace("; answer", "\n answer") + " print(json.dumps(answer), flush=True)"
    )
    worker.wait_ready(20)
    assert worker.version == "9.9"
    assert [worker.ask({"proof": "∀" * 9000}, 20)["reason"] for _ in range(3)] == ["ok"] * 3


@pytest.mark.parametrize(
    "said",
    [
        'print(json.dumps({"reason": "ok"}), flush=True)',
        'print(json.dumps({"nonce": "0" * 32, "reason": "ok"}), flush=True)',
        'print("ok", flush=True)',
        'print("[]", flush=True)',
        'print(json.dumps({"reason": "ok"}), flush=True); print(json.dumps(answer), flush=True)',
        'sys.stdout.write(json.dumps(answer) + "\\n" + json.dumps(answer) + "\\n"); sys.stdout.flush()',
        'sys.stdout.buffer.write(b"\\xff\\xfe\\n"); sys.stdout.flush()',
        'sys.stdout.write("x" * 20_000_000); sys.stdout.flush()',
        "sys.exit(0)",
        "os.kill(os.getpid(), 11)",
        "os.close(1); time.sleep(0.1); sys.exit(3)",
    ],
)
def test_whatever_else_it_says_ends_it(start: Start, said: str) -> None:
    worker = start(READY + ANSWER + said + "\ntime.sleep(60)")
    worker.wait_ready(20)
    with pytest.raises(WorkerDied):
        worker.ask({}, 20)
    assert gone(worker.pid)


def test_a_line_before_the_question_is_no_answer(start: Start) -> None:
    worker = start(
        READY + 'print("early", flush=True)\n' + ANSWER + "print(json.dumps(answer), flush=True); time.sleep(60)"
    )
    worker.wait_ready(20)
    with pytest.raises(WorkerDied):
        worker.ask({}, 20)


@pytest.mark.parametrize("hang", ["time.sleep(60)", "while True: pass"])
def test_no_answer_in_time_ends_it(start: Start, hang: str) -> None:
    worker = start(READY + ANSWER + hang)
    worker.wait_ready(20)
    started = time.monotonic()
    with pytest.raises(WorkerTooSlow):
        worker.ask({}, 0.2)
    assert time.monotonic() - started < 10
    assert gone(worker.pid)


def test_what_it_started_dies_with_it(start: Start) -> None:
    worker = start(READY + "os.fork()\n" + ANSWER + "time.sleep(60)")
    worker.wait_ready(20)
    worker.close()
    assert gone(worker.pid)


def test_a_worker_that_reads_nothing_does_not_hold_us(start: Start) -> None:
    worker = start(READY + "time.sleep(60)")
    worker.wait_ready(20)
    with pytest.raises(WorkerTooSlow):
        worker.ask({"proof": "x" * 1_000_000}, 0.2)


def test_too_much_memory_ends_it(start: Start) -> None:
    worker = start(READY + ANSWER + "held = bytearray(400_000_000); time.sleep(60)", max_rss_bytes=200_000_000)
    worker.wait_ready(20)
    with pytest.raises(WorkerDied, match="memory") as died:
        worker.ask({}, 60)
    assert (died.value.reason, died.value.killed) == ("memory", False)


@pytest.mark.parametrize(
    ("end", "reason", "killed"),
    [
        ("os.kill(os.getpid(), 9)", "process", True),
        ("os.kill(os.getpid(), 15)", "process", False),
        ("sys.exit(1)", "process", False),
        ("sys.exit('INTERNAL PANIC: out of memory')", "memory", False),
        ("print('x', flush=True); time.sleep(60)", "output", False),
    ],
)
def test_how_it_died_is_told(start: Start, end: str, reason: str, killed: bool) -> None:
    worker = start(READY + ANSWER + end)
    worker.wait_ready(20)
    with pytest.raises(WorkerDied) as died:
        worker.ask({}, 20)
    assert (died.value.reason, died.value.killed) == (reason, killed)


def test_one_that_is_never_ready(start: Start) -> None:
    with pytest.raises(WorkerTooSlow):
        start("import time\nwhile True: print('noise', flush=True)").wait_ready(0.2)
    with pytest.raises(WorkerDied, match="no such thing"):
        start("import sys; sys.exit('no such thing')").wait_ready(20)


def test_it_knows_nothing_of_the_host(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "s3cret")
    worker = start(
        READY + ANSWER + 'answer["detail"] = [os.environ.get("SECRET"), os.listdir("."), os.getsid(0) == os.getpid()]\n'
        "print(json.dumps(answer), flush=True); time.sleep(60)"
    )
    worker.wait_ready(20)
    assert worker.ask({}, 20)["detail"] == [None, [], True]
