"""One Lean process that checks proofs: started, spoken to line by line, watched and killed.

A worker trusts nothing that the process prints: an answer is one line of JSON that carries the nonce of its request, and
any other line after the first ends the worker. Knows nothing of retries, caches or which Lean it is.
"""

import contextlib
import json
import os
import secrets
import select
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_LONGEST_LINE = 1 << 20


class WorkerDied(Exception):
    """The process ended, or said something that it must not say; it is gone."""


class WorkerTooSlow(Exception):
    """No answer in time; the process is gone."""


class Worker:
    """A running checker. `close` (or any failure) kills its whole session."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], max_rss_bytes: int) -> None:
        self._scratch = tempfile.TemporaryDirectory(prefix="speciate-lean-")
        self._errors = tempfile.TemporaryFile()
        self._max_rss = max_rss_bytes
        self._pending = b""
        self.version = ""
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=dict(environment),
            cwd=self._scratch.name,
            start_new_session=True,
        )

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process.poll() is None

    def wait_ready(self, timeout_s: float) -> None:
        """Wait until the checker has loaded its library. Raises WorkerDied or WorkerTooSlow."""
        deadline = time.monotonic() + timeout_s
        while not self.version:
            with contextlib.suppress(ValueError, TypeError, KeyError):
                self.version = str(json.loads(self._line(deadline))["ready"])

    def ask(self, request: Mapping[str, Any], timeout_s: float) -> dict[str, Any]:
        """The answer to one request. Raises WorkerDied or WorkerTooSlow, and is of no more use then."""
        nonce = secrets.token_hex(16)
        line = json.dumps({**request, "nonce": nonce}, ensure_ascii=False).encode() + b"\n"
        deadline = time.monotonic() + timeout_s
        if self._pending:
            self._die(f"said something unasked: {self._pending[:80]!r}")
        self._send(line, deadline)
        said = self._line(deadline)
        try:
            answer = json.loads(said)
        except ValueError:
            answer = None
        if not isinstance(answer, dict) or answer.get("nonce") != nonce or self._pending:
            self._die(f"said something that is no answer: {said[:80]!r}")
        return answer

    def resident_bytes(self) -> int:
        """Memory that the process holds now; 0 where the system does not tell."""
        try:
            fields = Path(f"/proc/{self._process.pid}/statm").read_text().split()
            return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")
        except (OSError, IndexError, ValueError):
            return 0

    def close(self) -> None:
        """Kill the process and all that it started; may be called again."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if self._process.returncode is None:
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        self._scratch.cleanup()

    def _send(self, line: bytes, deadline: float) -> None:
        """Write without ever blocking for longer than the deadline: a stuck reader must not hold us."""
        assert self._process.stdin is not None
        pipe = self._process.stdin.fileno()
        os.set_blocking(pipe, False)
        while line:
            self._watch(deadline)
            _, writable, _ = select.select([], [pipe], [], 0.25)
            if writable:
                try:
                    line = line[os.write(pipe, line) :]
                except BlockingIOError:
                    continue
                except OSError:
                    self._die("closed its input")

    def _line(self, deadline: float) -> bytes:
        assert self._process.stdout is not None
        pipe = self._process.stdout.fileno()
        while b"\n" not in self._pending:
            readable, _, _ = select.select([pipe], [], [], 0.25)
            if readable:
                piece = os.read(pipe, 65536)
                if not piece:
                    self._die("ended")
                self._pending += piece
                if len(self._pending) > _LONGEST_LINE:
                    self._die("talks without end")
            else:
                self._watch(deadline)
        line, _, self._pending = self._pending.partition(b"\n")
        return line

    def _watch(self, deadline: float) -> None:
        if time.monotonic() > deadline:
            self.close()
            raise WorkerTooSlow
        if (resident := self.resident_bytes()) > self._max_rss:
            self._die(f"took {resident / 1e9:.1f} GB of memory, more than {self._max_rss / 1e9:.1f} GB")

    def _die(self, what: str) -> None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(0.2)
        status = self._process.returncode
        self._errors.seek(max(0, self._errors.seek(0, os.SEEK_END) - 400))
        words = " ".join(self._errors.read().decode(errors="replace").split())
        self.close()
        raise WorkerDied(f"the Lean process {what} (status {status}){': ' + words if words else ''}")
