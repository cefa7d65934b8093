"""Several real Lean processes that share the work, through good, bad and hostile proofs and an impatient listener."""

import threading
import time
from unittest.mock import Mock

import pytest

from speciate import hardware
from speciate.niches.lean.engine import Lean
from speciate.niches.lean.pool import ENOUGH_JOBS, LeanPool, processes
from speciate.niches.lean.verdict import LeanJob, by

pytestmark = pytest.mark.lean

ENDLESS = LeanJob("", "theorem t : ∀ a b c : Fin 40, a + b + c = c + b + a", "by decide", max_heartbeats=1_000_000)


def jobs(salt: str, count: int) -> list[LeanJob]:
    """Proofs of which every third is wrong and every seventh has a preamble of its own."""
    made: list[LeanJob] = []
    for number in range(count):
        preamble = "" if number % 7 else f"def f{number} : Nat := {number}"
        statement = f"theorem t : {number} ≤ {number if preamble == '' else f'f{number}'}"
        wrong = number % 3 == 0
        made.append(
            LeanJob(preamble, statement, by(f"{'exact rfl.symm.lt' if wrong else 'decide'} -- {salt} {number}"))
        )
    return made


def test_many_processes_say_what_one_says_in_the_same_order(lean: Lean) -> None:
    asked = jobs("pool", 2 * ENOUGH_JOBS)
    spoof = '#eval show IO Unit from do (← IO.FS.Handle.mk "/dev/stdout" .write).putStrLn "{}"'
    asked.insert(31, LeanJob(spoof, "theorem t : 1 = 2", "rfl"))
    with LeanPool(2) as pool:
        found = list(pool.check(asked))
        assert all(engine.is_running for engine in pool.engines)
    alone = list(lean.check(jobs("alone", 2 * ENOUGH_JOBS)))
    assert found.pop(31).verdict == "crashed"
    assert [verdict.reason for verdict in found] == [verdict.reason for verdict in alone]
    assert {verdict.verdict for verdict in found} == {"accepted", "rejected"}


@pytest.mark.usefixtures("lean_home")
def test_little_work_starts_one_process() -> None:
    with LeanPool(3) as pool:
        assert [verdict.proved for verdict in pool.check(jobs("little", 4))] == [False, True, True, False]
        assert [engine.is_running for engine in pool.engines] == [True, False, False]


@pytest.mark.usefixtures("lean_home")
@pytest.mark.parametrize(("leave", "wait_s"), [("the answers", 0), ("the pool", 1)])
def test_an_endless_proof_does_not_hold_up_who_leaves(leave: str, wait_s: float) -> None:
    with LeanPool(2) as pool:
        answers = pool.check([*jobs(f"{leave} {wait_s}", ENOUGH_JOBS), *[ENDLESS] * 20])
        assert next(answers).verdict == "rejected"
        time.sleep(wait_s)
        started = time.monotonic()
        if leave == "the answers":
            answers.close()
        else:
            pool.close()
    assert time.monotonic() - started < 30
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("lean")]


@pytest.mark.usefixtures("lean_home")
def test_a_pool_can_be_used_again_after_a_break() -> None:
    with LeanPool(2) as pool:
        next(pool.check([*jobs("before", ENOUGH_JOBS), *[ENDLESS] * 20]))
        pool.close()
        assert [verdict.proved for verdict in pool.check(jobs("after", 3))] == [False, True, True]


def test_a_machine_has_room_for_some_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    assert 1 <= processes() <= 4
    monkeypatch.setattr(hardware, "cores", Mock(return_value=64))
    for memory, wanted in ((8_192_000_000, 3), (6_144_000_000, 2), (409_600_000, 1), (2**42, 4), (None, 4)):
        monkeypatch.setattr(hardware, "memory", Mock(return_value=memory))
        assert processes() == wanted
    monkeypatch.setattr(hardware, "cores", Mock(return_value=1))
    assert processes() == 1


def test_the_notes_of_all_are_told_once() -> None:
    pool = LeanPool(2)
    for engine in pool.engines:
        engine.judge.notes.append("the native Lean does not run the checker")
    assert pool.notes == ["the native Lean does not run the checker"]
