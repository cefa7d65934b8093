"""A child process in a session of its own, with a private folder and pipes, that is killed with all that it started.

Knows nothing of what is said over the pipes.
"""

import contextlib
import os
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence


class Child:
    """A running child; its input never blocks. What it says on its error output is kept for `last_words`."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self._owner = os.getpid()
        self._scratch = tempfile.TemporaryDirectory(prefix="speciate-", ignore_cleanup_errors=True)
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close()
        self._process = subprocess.Popen(
            command,
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=dict(environment),
            cwd=self._scratch.name,
            start_new_session=True,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self.input, self.output = self._process.stdin, self._process.stdout
        os.set_blocking(self.input.fileno(), False)

    @property
    def pid(self) -> int:
        """The process, or the wrapper that contains it; it leads its own session."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process.poll() is None

    def status(self, wait_s: float) -> int | None:
        """How it ended; None where it has not after that time."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(wait_s)
        return self._process.returncode

    def last_words(self, most_bytes: int) -> str:
        """The end of what it said on its error output."""
        self._errors.seek(max(0, self._errors.seek(0, os.SEEK_END) - most_bytes))
        return self._errors.read().decode(errors="replace")

    def close(self) -> None:
        """Kill the process and all that it started; may be called again, and in a copy of this process does nothing."""
        if self._owner != os.getpid():
            return
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()
        for stream in (self.input, self.output, self._errors):
            with contextlib.suppress(OSError):
                stream.close()
        self._scratch.cleanup()
