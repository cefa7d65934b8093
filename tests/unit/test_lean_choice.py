"""Which Lean is taken, and what the engine makes of a worker that dies, hangs or never comes up. No Lean runs."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from speciate.errors import LeanUnavailable, VerifierError
from speciate.niches.lean import native, process, setup
from speciate.niches.lean.engine import Lean
from speciate.niches.lean.process import LocalJudge
from speciate.niches.lean.verdict import LeanJob
from speciate.niches.lean.worker import WorkerDied, WorkerTooSlow

JOB = LeanJob("", "theorem t : 1 = 1", "rfl")


class Stage:
    """What the workers of a test do, and what they were asked."""

    def __init__(self) -> None:
        self.broken: set[str] = set()
        self.credulous: set[str] = set()
        self.known = 0
        self.says: dict[str, Any] = {}
        self.started: list[str] = []
        self.asked: list[str] = []


class ActingWorker:
    """Stands in for a process: `broken` names the commands that never come up, `says` what a proof brings about."""

    stage = Stage()

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], max_rss_bytes: int, has_children: bool
    ) -> None:
        assert has_children is not Path(command[0]).name.startswith("node")
        assert environment
        assert max_rss_bytes
        self.name = Path(command[0]).name
        self.alive = True
        self.version = ""
        self.stage.started.append(self.name)

    def wait_ready(self, timeout_s: float) -> None:
        assert timeout_s > 0
        if self.name in self.stage.broken:
            self.close()
            raise WorkerDied("process", "it ended: unknown option")
        self.version = f"of {self.name}"

    def ask(self, request: Mapping[str, Any], timeout_s: float) -> dict[str, Any]:
        assert timeout_s > 0
        proof = request["proofs"][0]
        if proof == "Nat.add_comm x y":
            self.stage.known += 1
            right = request["statement"].endswith("y + x") or self.name in self.stage.credulous
            return {
                "proved": right,
                "reason": "" if right else "error",
                "detail": "no",
                "axioms": [],
                "place": 0,
                "ms": 1.0,
            }
        self.stage.asked.append(proof)
        said = self.stage.says.get(proof, "")
        if isinstance(said, list):
            said = said.pop(0) if said else ""
        if isinstance(said, Exception):
            self.close()
            raise said
        return {
            "proved": said == "",
            "reason": said,
            "detail": "no" if said else "",
            "axioms": [],
            "place": 0,
            "ms": 1.0,
        }

    def resident_bytes(self) -> int:
        return 0

    def close(self) -> None:
        self.alive = False


@pytest.fixture
def stage(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    """Acting workers; no `lean` on PATH, an embedded one that is set up."""
    assert not home.exists()
    monkeypatch.delenv(native.CHOICE, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    monkeypatch.setattr(process, "Worker", ActingWorker)
    embedded = setup.EmbeddedLean(Path("node"), tmp_path, tmp_path)
    monkeypatch.setattr(setup, "ensure_embedded", Mock(return_value=embedded))
    monkeypatch.setattr(ActingWorker, "stage", Stage())
    return ActingWorker.stage


def install(folder: Path) -> Path:
    """A `lean` that does nothing."""
    folder.mkdir(parents=True)
    path = folder / "lean"
    path.write_text("#!/bin/sh\nexit 1\n")
    path.chmod(0o755)
    return path


def test_known_proofs_are_judged_once_by_each_process(stage: Stage) -> None:
    with Lean(remembers=False) as lean:
        assert [found.proved for found in lean.check([JOB] * 5)] == [True] * 5
        assert stage.known == 2
        stage.says["a"] = [WorkerDied("process", "it ended")]
        assert next(lean.check([dataclasses.replace(JOB, proof="a")])).proved
    assert stage.known == 4


def test_without_a_native_lean_the_embedded_one_is_taken(stage: Stage) -> None:
    with Lean() as lean:
        assert next(lean.check([JOB])).proved
    assert (lean.engine, lean.version, lean.notes, stage.started) == ("embedded", "of node", [], ["node"])


@pytest.mark.parametrize("folder", ["bin", "user/.elan/bin"])
def test_a_native_lean_goes_first(stage: Stage, tmp_path: Path, folder: str) -> None:
    path = install(tmp_path / folder)
    assert native.find_native() == path
    with Lean() as lean:
        lean.wait_ready()
    assert (lean.engine, stage.started) == ("native", ["lean"])


def test_a_native_lean_that_cannot_run_the_checker_is_passed_over(stage: Stage, tmp_path: Path) -> None:
    install(tmp_path / "bin")
    stage.broken.add("lean")
    with Lean() as lean:
        assert next(lean.check([JOB])).lean == "of node"
    assert lean.engine == "embedded"
    assert "unknown option" in lean.notes[0]
    assert stage.started == ["lean", "node"]


def test_a_forced_native_lean_is_not_passed_over(stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(native.CHOICE, str(install(tmp_path / "other")))
    stage.broken.add("lean")
    with pytest.raises(VerifierError, match="3 times in a row: it ended: unknown option"), Lean() as lean:
        lean.wait_ready()
    assert stage.started == ["lean"] * 3


def test_the_embedded_one_can_be_forced(stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path / "bin")
    monkeypatch.setenv(native.CHOICE, "embedded")
    with Lean() as lean:
        lean.wait_ready()
    assert stage.started == ["node"]


@pytest.mark.parametrize("choice", ["native", "no/such/lean"])
@pytest.mark.usefixtures("stage")
def test_a_forced_lean_that_is_not_there(choice: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(native.CHOICE, choice)
    with pytest.raises(LeanUnavailable, match=f"{native.CHOICE}={choice}"):
        Lean().start()


def test_behind_elan_is_the_toolchains_own_lean(stage: Stage, tmp_path: Path) -> None:
    assert not stage.started
    real = install(tmp_path / "toolchain" / "bin")
    proxy = install(tmp_path / "bin")
    proxy.write_text(f"#!/bin/sh\necho {tmp_path / 'toolchain'}\n")
    found = native.chosen_native()
    assert found is not None
    assert found.path == real
    assert found.checker.read_text().count("def main") == 1
    assert list(found.environment()) == ["PATH"]


def test_a_lean_that_accepts_what_is_false_is_not_used(stage: Stage, tmp_path: Path) -> None:
    install(tmp_path / "bin")
    stage.credulous.add("lean")
    with Lean() as lean:
        assert next(lean.check([JOB])).engine == "embedded"
    assert "misjudges" in lean.notes[0]
    stage.credulous.add("node")
    with pytest.raises(VerifierError, match="misjudges"), Lean() as lean:
        lean.wait_ready()


def test_a_crash_and_a_timeout_are_verdicts_and_the_next_job_is_judged(stage: Stage) -> None:
    stage.says = {"a": WorkerDied("memory", "it took 9 GB"), "b": WorkerTooSlow(), "c": "error"}
    with Lean(timeout_s=3) as lean:
        found = list(lean.check(LeanJob("", "theorem t : 1 = 1", proof) for proof in "abcd"))
    assert [verdict.verdict for verdict in found] == ["crashed", "timeout", "rejected", "accepted"]
    assert [verdict.reason for verdict in found] == ["memory", "time", "error", ""]
    assert [verdict.proved for verdict in found] == [False, False, False, True]
    assert "9 GB" in found[0].message
    assert "3 s" in found[1].message
    assert stage.asked == ["a", "a", "b", "c", "d"]
    assert stage.started == ["node"] * 4


def test_a_proof_whose_process_dies_is_asked_once_more_and_one_that_was_killed_some_times(stage: Stage) -> None:
    killed = WorkerDied("process", "it ended (status -9)", killed=True)
    stage.says = {"a": [WorkerDied("process", "it ended")], "b": [killed] * 4, "c": [killed] * 9}
    with Lean() as lean:
        found = list(lean.check(LeanJob("", "theorem t : 1 = 1", proof) for proof in "abc"))
    assert [verdict.verdict for verdict in found] == ["accepted", "accepted", "crashed"]
    assert "6 times in a row" in found[2].message


def test_what_was_judged_once_is_not_asked_again_but_a_crash_is(stage: Stage) -> None:
    stage.says = {"a": WorkerDied("process", "it ended"), "b": WorkerTooSlow(), "c": "error"}
    jobs = [LeanJob("", "theorem t : 1 = 1", proof) for proof in "abcd"]
    for _ in range(2):
        with Lean() as lean:
            assert [verdict.reason for verdict in lean.check(jobs)] == ["process", "time", "error", ""]
    assert stage.asked == ["a", "a", "b", "c", "d", "a", "a", "b"]


@pytest.mark.parametrize("answer", ["no such reason", "process"])
def test_an_answer_that_no_judge_gives_is_a_crash(stage: Stage, monkeypatch: pytest.MonkeyPatch, answer: str) -> None:
    assert not stage.started
    given = {"no such reason": {"proved": False, "reason": "xyz", "detail": "", "axioms": [], "ms": 1}, "process": {}}
    monkeypatch.setattr(LocalJudge, "ask", Mock(return_value=given[answer]))
    with Lean() as lean:
        verdict = next(lean.check([JOB]))
    assert (verdict.verdict, verdict.reason) == ("crashed", "output")


def test_another_limit_is_another_judgement(stage: Stage) -> None:
    with Lean() as lean:
        list(lean.check([JOB, dataclasses.replace(JOB, max_heartbeats=7), dataclasses.replace(JOB)]))
    assert stage.asked == ["rfl", "rfl"]


def test_a_proof_that_the_gate_refuses_is_not_shown_to_lean(stage: Stage) -> None:
    with Lean() as lean:
        verdict = next(lean.check([LeanJob("", JOB.statement, "sorry")]))
    assert (verdict.verdict, verdict.reason) == ("rejected", "sorry")
    assert verdict.message == "the proof leaves something unproved: sorry"
    assert not stage.asked


def test_a_dead_process_is_replaced_before_the_next_job(stage: Stage) -> None:
    with Lean() as lean:
        next(lean.check([JOB]))
        judge = lean.judge
        assert isinstance(judge, LocalJudge)
        judge._worker.close()  # type: ignore[union-attr]
        assert next(lean.check([LeanJob("", JOB.statement, "trivial")])).proved
    assert len(stage.started) == 2
