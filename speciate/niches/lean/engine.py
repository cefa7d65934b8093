"""Lean as a judge of proofs: jobs in, verdicts out, in order, whatever a proof does to the process.

Starts, restarts and stops the worker and decides what a failure means for the job. What a right proof is, is decided in
`checker.lean`; nothing here looks into a proof.
"""

import atexit
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from speciate import storage
from speciate.errors import VerifierError
from speciate.niches.lean import gate, native, package, setup
from speciate.niches.lean.cache import StoredVerdict, VerdictCache, key
from speciate.niches.lean.worker import Worker, WorkerDied, WorkerTooSlow

MAX_HEARTBEATS = 4_000
_START_TIMEOUT_S = 300.0
_START_ATTEMPTS = 3
_TIRED = 0.75
_LONGEST_DETAIL = 2000


@dataclass(frozen=True, slots=True)
class LeanJob:
    """One proof to check. Preamble and statement are trusted, the proof is not."""

    preamble: str
    """Definitions that the statement and the proof may use; commands, checked once for jobs in a row."""
    statement: str
    """`theorem t (x : Nat) : ...`, without `:=`."""
    proof: str
    """A block of tactics, without `by`."""
    name: str = "t"
    max_heartbeats: int | None = None
    """As Lean's option `maxHeartbeats`; the default stops a runaway after a few seconds."""


@dataclass(frozen=True, slots=True)
class LeanVerdict:
    """What Lean says of one job."""

    proved: bool
    reason: str
    """`ok`, or why not.

    Of the proof: `size`, `characters`, `nesting`, `literal` (refused unread), `parse`, `forbidden`, `error`, `sorry`,
    `type`, `axiom`, `kernel`. Of the process: `timeout`, `crash`. Of the job itself: `preamble`, `statement`.
    """
    detail: str
    """The first error message, or the forbidden word."""
    ms: float
    """Time that Lean took, when it judged."""
    lean: str
    """Version of Lean; empty where no Lean was needed."""


class Lean:
    """A Lean process that checks proofs, used as a context manager; not for several threads at once.

    `engine` is `native` or `embedded`; `notes` says why, where a native Lean was passed over.
    """

    def __init__(
        self,
        timeout_s: float = 20.0,
        max_rss_bytes: int = 4_500_000_000,
        progress: package.Progress | None = None,
    ) -> None:
        self.timeout_s = timeout_s
        self.max_rss_bytes = max_rss_bytes
        self.progress = progress
        self.engine = ""
        self.version = ""
        self.notes: list[str] = []
        self._lean: native.NativeLean | setup.EmbeddedLean | None = None
        self._worker: Worker | None = None
        self._cache: VerdictCache | None = None
        self._identity = ""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(self) -> None:
        """Start the process and return at once: `wait_ready`, or the first check, waits for it.

        Raises LeanUnavailable where there is no Lean and none can be set up.
        """
        if self._worker is not None:
            if self._worker.alive:
                return
            self._worker.close()
        if self._lean is None:
            self._choose(native.chosen_native() or setup.ensure_embedded(self.progress))
        assert self._lean is not None
        self._worker = Worker(self._lean.command(), self._lean.environment(), self.max_rss_bytes)
        atexit.register(self.close)

    def wait_ready(self) -> None:
        """Wait until proofs can be checked. Raises VerifierError where Lean does not come up."""
        self._ready()

    def check(self, jobs: Iterable[LeanJob]) -> Iterator[LeanVerdict]:
        """One verdict for each job, in order, as they come. A bad, endless or hostile proof is a verdict, no error."""
        return map(self._verdict, jobs)

    def close(self) -> None:
        """Kill the process; a later check would start another."""
        atexit.unregister(self.close)
        if self._worker is not None:
            self._worker.close()
            self._worker = None
        if self._cache is not None:
            self._cache.close()
            self._cache = None

    def _choose(self, lean: native.NativeLean | setup.EmbeddedLean) -> None:
        self._lean = lean
        self.engine = "native" if isinstance(lean, native.NativeLean) else "embedded"
        build = package.INTEGRITY if isinstance(lean, setup.EmbeddedLean) else native.stamp(lean)
        self._identity = f"{build} {storage.digest_file(setup.CHECKER)}"

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
                failures.append(f"it was not ready after {_START_TIMEOUT_S:.0f} s")
            else:
                self.version = self._worker.version
                return self._worker
            self._worker = None
            if self.engine == "native" and not native.is_forced():
                self.notes.append(f"the native Lean does not run the checker, the embedded one does: {failures.pop()}")
                self._choose(setup.ensure_embedded(self.progress))
        raise VerifierError(f"Lean did not start, {_START_ATTEMPTS} times in a row: {failures[-1]}")

    def _verdict(self, job: LeanJob) -> LeanVerdict:
        if refusal := gate.refusal(job.proof):
            return LeanVerdict(False, refusal.reason, refusal.detail, 0.0, "")
        heartbeats = job.max_heartbeats or MAX_HEARTBEATS
        if self._lean is None:
            self.start()
        if self._cache is None:
            self._cache = VerdictCache(storage.home() / "cache" / "lean-verdicts.sqlite")
        name = key(self._identity, job.preamble, job.statement, job.name, job.proof, str(heartbeats))
        if known := self._cache.find(name):
            return LeanVerdict(known.reason == "ok", known.reason, known.detail, known.ms, known.lean)
        verdict = self._judged(job, heartbeats)
        if verdict.reason not in ("timeout", "crash"):
            self._cache.keep(name, StoredVerdict(verdict.reason, verdict.detail, verdict.ms, verdict.lean))
        return verdict

    def _judged(self, job: LeanJob, heartbeats: int) -> LeanVerdict:
        request: dict[str, Any] = {
            "preamble": job.preamble,
            "statement": job.statement,
            "name": job.name,
            "proof": job.proof,
            "heartbeats": heartbeats,
        }
        worker = self._ready()
        started = time.monotonic()
        try:
            answer = worker.ask(request, self.timeout_s)
            reason, detail, ms = str(answer["reason"]), str(answer["detail"])[:_LONGEST_DETAIL], float(answer["ms"])
        except WorkerTooSlow:
            reason, detail, ms = "timeout", f"no answer after {self.timeout_s:g} s", 1000 * self.timeout_s
        except WorkerDied as error:
            reason, detail, ms = "crash", str(error), 1000 * (time.monotonic() - started)
        except BaseException:
            worker.close()
            raise
        if reason in ("timeout", "crash"):
            self._worker = None
        elif worker.resident_bytes() > _TIRED * self.max_rss_bytes:
            worker.close()
            self._worker = None
        return LeanVerdict(reason == "ok", reason, detail, ms, self.version)
