"""Lean as a judge of proofs: jobs in, verdicts out, in order, whatever a proof does to the process.

Decides what a failure means for the job, and remembers verdicts. What a right proof is, is decided in `checker.lean`,
which all engines run; nothing here looks into a proof.
"""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Protocol, Self, runtime_checkable

from speciate import storage
from speciate.niches.lean import gate
from speciate.niches.lean.package import Progress
from speciate.niches.lean.process import LocalJudge
from speciate.niches.lean.verdict import LONGEST_MESSAGE, LeanJob, LeanVerdict, Outcome, explained, judged, renamed
from speciate.niches.lean.worker import WorkerDied, WorkerTooSlow
from speciate.remembered import Remembered, key

MAX_HEARTBEATS = 4_000
MAX_RSS_BYTES = 3_000_000_000
_TRIES = 2
_TRIES_WHERE_KILLED = 6


class Judge(Protocol):
    """Runs `checker.lean` somewhere: in a process here, in a project's REPL, on a server."""

    @property
    def engine(self) -> str: ...
    @property
    def version(self) -> str:
        """Version of Lean; empty before the first answer."""
        ...

    @property
    def identity(self) -> str:
        """Names all that a verdict depends on, beside the job."""
        ...

    @property
    def notes(self) -> list[str]:
        """What its user should know."""
        ...

    @property
    def is_running(self) -> bool:
        """Whether it was started, and lives."""
        ...

    def start(self) -> None:
        """Begin to get ready, and return at once."""
        ...

    def wait_ready(self) -> None: ...

    def ask(self, request: Mapping[str, Any], timeout_s: float) -> Mapping[str, Any]:
        """The checker's answer. Raises WorkerDied or WorkerTooSlow, and can be asked again."""
        ...

    def close(self) -> None: ...


@runtime_checkable
class BatchJudge(Judge, Protocol):
    """A judge for which one request with many proofs costs less than many with one."""

    @property
    def together(self) -> int:
        """How many are best asked at once."""
        ...

    def ask_all(self, requests: Sequence[Mapping[str, Any]], timeout_s: float) -> Sequence[Mapping[str, Any]]:
        """The checker's answers. Raises WorkerDied or WorkerTooSlow for them all; `timeout_s` is for each."""
        ...


class Lean:
    """A judge with a memory, used as a context manager; not for several threads at once, `known` aside."""

    def __init__(
        self,
        timeout_s: float = 20.0,
        max_rss_bytes: int = MAX_RSS_BYTES,
        progress: Progress | None = None,
        judge: Judge | None = None,
        remembers: bool = True,
    ) -> None:
        self.timeout_s = timeout_s
        self.remembers = remembers
        self.judge: Judge = judge or LocalJudge(max_rss_bytes, progress)
        self._cache: Remembered | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def engine(self) -> str:
        """Which engine judges."""
        return self.judge.engine

    @property
    def version(self) -> str:
        """Version of the Lean that judges, once it is ready."""
        return self.judge.version

    @property
    def is_running(self) -> bool:
        """Whether the judge was started, and lives."""
        return self.judge.is_running

    @property
    def notes(self) -> list[str]:
        """Why a native Lean was passed over, where it was."""
        return self.judge.notes

    @property
    def together(self) -> int:
        """How many jobs are best given to `judged_all` at once."""
        return self.judge.together if isinstance(self.judge, BatchJudge) else 1

    def start(self) -> None:
        """Start and return at once: `wait_ready`, or the first check, waits.

        Raises LeanUnavailable where there is no Lean and none can be set up.
        """
        self.judge.start()

    def wait_ready(self) -> None:
        """Wait until proofs can be checked. Raises VerifierError where Lean does not come up."""
        self.judge.wait_ready()

    def check(self, jobs: Iterable[LeanJob]) -> Iterator[LeanVerdict]:
        """One verdict for each job, in order, as they come. A bad, endless or hostile proof is a verdict, no error."""
        return (self.known(job) or self.judged(job) for job in jobs)

    def known(self, job: LeanJob) -> LeanVerdict | None:
        """The verdict that needs no Lean: the text is refused, or was judged before."""
        if refusal := gate.refusal(job):
            message = explained(refusal.reason, refusal.detail)
            return LeanVerdict("rejected", refusal.reason, message, 0.0, (), self.engine, self.version)
        answer = self._memory().find(self._key(job)) if self.remembers else None
        return judged(answer["answer"], answer["engine"], answer["lean"]) if answer else None

    def judged(self, job: LeanJob) -> LeanVerdict:
        """The verdict of Lean, which is asked now."""
        verdict = self._asked(job, job)
        if verdict.reason == "name" and job.renamable:
            verdict = self._asked(renamed(job), job)
        return verdict

    def judged_all(self, jobs: Sequence[LeanJob]) -> list[LeanVerdict]:
        """The verdicts of Lean, which is asked once for all of them where it can be; where that fails, for each."""
        if len(jobs) > 1 and isinstance(self.judge, BatchJudge):
            try:
                answers = self.judge.ask_all([_request(job) for job in jobs], self.timeout_s)
                found = [self._kept(answer, job) for answer, job in zip(answers, jobs, strict=True)]
            except (WorkerDied, WorkerTooSlow, KeyError, TypeError, ValueError):
                pass
            else:
                return [self.judged(job) if one.reason == "name" else one for one, job in zip(found, jobs, strict=True)]
        return [self.judged(job) for job in jobs]

    def _asked(self, job: LeanJob, kept_as: LeanJob) -> LeanVerdict:
        started = time.monotonic()
        tries = 0
        while True:
            tries += 1
            try:
                return self._kept(self.judge.ask(_request(job), self.timeout_s), kept_as)
            except WorkerTooSlow:
                message = f"no answer after {self.timeout_s:g} s"
                return self._failed("timeout", "time", message, 1000 * self.timeout_s)
            except WorkerDied as error:
                if tries < (_TRIES_WHERE_KILLED if error.killed else _TRIES):
                    continue
                message = f"{error}, {tries} times in a row"
                return self._failed("crashed", error.reason, message, 1000 * (time.monotonic() - started))
            except (KeyError, TypeError, ValueError) as error:
                self.judge.close()
                return self._failed("crashed", "output", f"the judge's answer cannot be read: {error}", 0.0)

    def _kept(self, answer: Mapping[str, Any], job: LeanJob) -> LeanVerdict:
        """The verdict that an answer is, remembered. Raises KeyError, TypeError or ValueError where it is none."""
        verdict = judged(answer, self.engine, self.version)
        if verdict.reason != "name" and self.remembers:
            found = {"answer": dict(answer), "engine": self.engine, "lean": self.version}
            self._memory().keep(self._key(job), found)
        return verdict

    def close(self) -> None:
        """Kill the process; a later check would start another."""
        self.judge.close()
        if self._cache is not None:
            self._cache.close()
            self._cache = None

    def _failed(self, outcome: Outcome, reason: str, message: str, ms: float) -> LeanVerdict:
        return LeanVerdict(outcome, reason, message[:LONGEST_MESSAGE], ms, (), self.engine, self.version)

    def _memory(self) -> Remembered:
        if self._cache is None:
            self._cache = Remembered(storage.home() / "cache" / "lean-verdicts.sqlite", "verdicts")
        return self._cache

    def _key(self, job: LeanJob) -> bytes:
        heartbeats = str(job.max_heartbeats or MAX_HEARTBEATS)
        limits = (heartbeats, str(job.auto_implicit), *sorted(job.without), "", *sorted(job.axioms))
        return key(self.judge.identity, job.context, job.statement, job.name, job.proof, *job.others, "", *limits)


def _request(job: LeanJob) -> dict[str, Any]:
    return {
        "context": job.context,
        "statement": job.statement,
        "name": job.name.split("."),
        "proofs": [job.proof, *job.others],
        "heartbeats": job.max_heartbeats or MAX_HEARTBEATS,
        "without": job.without,
        "axioms": job.axioms,
        "implicit": int(job.auto_implicit),
    }
