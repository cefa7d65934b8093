"""Lean as a judge of proofs: jobs in, verdicts out, in order, whatever a proof does to the process.

Starts, restarts and stops the worker and decides what a failure means for the job. What a right proof is, is decided in
`checker.lean`; nothing here looks into a proof.
"""

import atexit
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from speciate.errors import VerifierError
from speciate.niches.lean import setup
from speciate.niches.lean.worker import Worker, WorkerDied, WorkerTooSlow

CHECKER = Path(__file__).with_name("checker.lean")
MAX_HEARTBEATS = 20_000
_START_TIMEOUT_S = 300.0
_START_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class LeanJob:
    """One proof to check. Preamble and statement are trusted, the proof is not."""

    preamble: str
    """Definitions that the statement and the proof may use; commands, checked once for many jobs."""
    statement: str
    """`theorem t (x : Nat) : ...`, without `:=`."""
    proof: str
    """A block of tactics, without `by`."""
    name: str = "t"
    max_heartbeats: int | None = None
    """Lean's own measure of work, in its thousands; the default stops a runaway after a few seconds."""


@dataclass(frozen=True, slots=True)
class LeanVerdict:
    """What Lean says of one job."""

    proved: bool
    reason: str
    """`ok`, or why not: `parse`, `forbidden`, `error`, `sorry`, `axiom`, `type`, `kernel`, `timeout`, `crash`, ..."""
    detail: str
    """The first error message."""
    ms: float
    lean: str
    """Version of Lean."""


class Lean:
    """A Lean process, used as a context manager. Not for use from several threads."""

    def __init__(
        self,
        timeout_s: float = 20.0,
        max_rss_bytes: int = 5_000_000_000,
        progress: setup.Progress | None = None,
    ) -> None:
        self.timeout_s = timeout_s
        self.max_rss_bytes = max_rss_bytes
        self.progress = progress
        self.engine = "embedded"
        self.version = ""
        self.notes: list[str] = []
        self._worker: Worker | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(self) -> None:
        """Start the process and return at once; `wait_ready`, or the first check, waits for it.

        Raises LeanUnavailable where there is no Lean and none can be set up.
        """
        if self._worker is None or not self._worker.alive:
            lean = setup.ensure_embedded(self.progress)
            command = [str(lean.node), str(lean.script), "/checker.lean"]
            environment = {"LEAN_PATH": str(lean.library), "LEAN_CHECKER": str(CHECKER)}
            self._worker = Worker(command, environment, self.max_rss_bytes)
            atexit.register(self.close)

    def wait_ready(self) -> None:
        """Wait until proofs can be checked. Raises VerifierError where Lean does not come up."""
        self._ready()

    def _ready(self) -> Worker:
        failures: list[str] = []
        while len(failures) < _START_ATTEMPTS:
            self.start()
            assert self._worker is not None
            try:
                self._worker.wait_ready(_START_TIMEOUT_S)
            except WorkerDied as error:
                failures.append(str(error))
            except WorkerTooSlow:
                failures.append(f"not ready after {_START_TIMEOUT_S:.0f} s")
            else:
                self.version = self._worker.version
                return self._worker
        raise VerifierError(f"Lean did not start {_START_ATTEMPTS} times in a row: {failures[-1]}")

    def check(self, jobs: Iterable[LeanJob]) -> Iterator[LeanVerdict]:
        """One verdict for each job, in order, as they come. A bad, endless or hostile proof is a verdict, no error."""
        return map(self._verdict, jobs)

    def _verdict(self, job: LeanJob) -> LeanVerdict:
        request: dict[str, Any] = {
            "preamble": job.preamble,
            "statement": job.statement,
            "proof": job.proof,
            "name": job.name,
            "heartbeats": job.max_heartbeats or MAX_HEARTBEATS,
        }
        worker = self._ready()
        started = time.monotonic()
        try:
            answer = worker.ask(request, self.timeout_s)
        except WorkerTooSlow:
            return self._failed("timeout", f"no answer after {self.timeout_s:g} s", started)
        except WorkerDied as error:
            return self._failed("crash", str(error), started)
        reason = str(answer["reason"])
        return LeanVerdict(reason == "ok", reason, str(answer["detail"]), float(answer["ms"]), self.version)

    def _failed(self, reason: str, detail: str, started: float) -> LeanVerdict:
        self._worker = None
        return LeanVerdict(False, reason, detail, 1000 * (time.monotonic() - started), self.version)

    def close(self) -> None:
        """Kill the process; the next check would start another."""
        atexit.unregister(self.close)
        if self._worker is not None:
            self._worker.close()
            self._worker = None
