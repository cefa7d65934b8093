"""A Lean on this machine, native or embedded: which one, started when needed, started again when it ends.

Knows nothing of verdicts: a request goes in, the judge's answer comes out, or one of the worker's two failures.
"""

import atexit
import time
from collections.abc import Mapping
from typing import Any

from speciate import storage
from speciate.errors import VerifierError
from speciate.niches.lean import native, package, setup
from speciate.niches.lean.worker import JudgeClosed, Worker, WorkerDied, WorkerTooSlow

_START_TIMEOUT_S = 300.0
_START_ATTEMPTS = 3
_TIRED = 0.75
_KNOWN = (("theorem t (x y : Nat) : x + y = y + x", True), ("theorem t (x y : Nat) : x + y = y", False))
_KNOWN_TIMEOUT_S = 60.0


class LocalJudge:
    """The checker in a process of its own. `engine` is `native` or `embedded`; `notes` says why, where a native Lean
    was passed over. Not for several threads at once.
    """

    def __init__(self, max_rss_bytes: int, progress: package.Progress | None = None) -> None:
        self.engine = ""
        self.version = ""
        self.notes: list[str] = []
        self._identity = ""
        self._max_rss = max_rss_bytes
        self._progress = progress
        self._lean: native.NativeLean | setup.EmbeddedLean | None = None
        self._worker: Worker | None = None
        self._known_good: Worker | None = None
        """The process that came up and judged what is known."""
        self._closings = 0

    @property
    def identity(self) -> str:
        """Names the build of Lean and of the checker. Raises LeanUnavailable where there is none."""
        if self._lean is None:
            self.start()
        return self._identity

    @property
    def is_running(self) -> bool:
        """Whether there is a process."""
        return self._worker is not None and self._worker.alive

    @property
    def pid(self) -> int | None:
        """The process, where there is one."""
        worker = self._worker
        return worker.pid if worker is not None and worker.alive else None

    def resident_bytes(self) -> int:
        """Memory that the process holds now; 0 where there is none."""
        return self._worker.resident_bytes() if self._worker is not None else 0

    def start(self) -> None:
        """Start the process and return at once.

        Raises LeanUnavailable where there is no Lean and none can be set up.
        """
        if self._worker is not None:
            if self._worker.alive:
                return
            self._worker.close()
        if self._lean is None:
            self._choose(native.chosen_native() or setup.ensure_embedded(self._progress))
        assert self._lean is not None
        wrapped = isinstance(self._lean, native.NativeLean)
        self._worker = Worker(self._lean.command(), self._lean.environment(), self._max_rss, wrapped)
        atexit.register(self.close)

    def wait_ready(self) -> None:
        """Wait until proofs can be checked. Raises VerifierError where Lean does not come up."""
        self._ready()

    def ask(self, request: Mapping[str, Any], timeout_s: float) -> Mapping[str, Any]:
        """The judge's answer. Raises WorkerDied or WorkerTooSlow, and the next request finds a new process; JudgeClosed
        where another thread closes it meanwhile.
        """
        closings = self._closings
        worker = self._ready()
        try:
            answer = worker.ask(request, timeout_s)
        except (WorkerDied, WorkerTooSlow):
            self._check_open(closings)
            self._worker = None
            self.start()
            raise
        except BaseException:
            worker.close()
            raise
        if worker.resident_bytes() > _TIRED * self._max_rss:
            worker.close()
            self._worker = None
            self.start()
        return answer

    def close(self) -> None:
        """Kill the process; a later request would start another."""
        self._closings += 1
        atexit.unregister(self.close)
        if self._worker is not None:
            self._worker.close()
            self._worker = None

    def _choose(self, lean: native.NativeLean | setup.EmbeddedLean) -> None:
        self._lean = lean
        self.engine = "native" if isinstance(lean, native.NativeLean) else "embedded"
        build = package.INTEGRITY if isinstance(lean, setup.EmbeddedLean) else native.stamp(lean)
        self.version = package.LEAN_VERSION if isinstance(lean, setup.EmbeddedLean) else ""
        self._identity = f"{build} {storage.digest_file(setup.CHECKER)}"

    def _check_open(self, closings: int) -> None:
        if self._closings != closings:
            raise JudgeClosed

    def _ready(self) -> Worker:
        closings = self._closings
        failures: list[str] = []
        until = time.monotonic() + _START_TIMEOUT_S
        while len(failures) < _START_ATTEMPTS:
            self.start()
            worker = self._worker
            assert worker is not None
            if worker is self._known_good:
                return worker
            try:
                worker.wait_ready(_START_TIMEOUT_S)
                self._check_known(worker)
            except WorkerDied as error:
                self._check_open(closings)
                self._worker = None
                if error.killed and time.monotonic() < until:
                    continue
                failures.append(str(error))
            except WorkerTooSlow:
                self._check_open(closings)
                self._worker = None
                failures.append(f"it was not ready after {_START_TIMEOUT_S:.0f} s")
            else:
                self.version = worker.version
                self._known_good = worker
                return worker
            if self.engine == "native" and not native.is_forced():
                self.notes.append(f"the native Lean does not run the checker, the embedded one does: {failures.pop()}")
                self._choose(setup.ensure_embedded(self._progress))
        raise VerifierError(f"Lean did not start, {_START_ATTEMPTS} times in a row: {failures[-1]}")

    def _check_known(self, worker: Worker) -> None:
        """Let a fresh process judge what is known. Raises WorkerDied where it is wrong."""
        for statement, is_right in _KNOWN:
            request = {"statement": statement, "name": ["t"], "proofs": ["Nat.add_comm x y"], "heartbeats": 200_000}
            answer = worker.ask(request, _KNOWN_TIMEOUT_S)
            if answer.get("proved") is not is_right:
                worker.close()
                raise WorkerDied("output", f"it misjudges {statement!r}: {str(answer)[:200]}")
