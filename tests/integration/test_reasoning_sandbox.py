"""reasoning-gym in its sandbox: every family's own answers are right, hostile ones are not and touch no other."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from speciate.errors import InputError, VerifierError
from speciate.niches import contain, reasoning
from speciate.niches.base import Item
from speciate.niches.process import Ended, Process
from speciate.niches.reasoning import ReasoningVerifier, families, items
from speciate.niches.sandbox import Sandbox, SandboxClosed
from speciate.storage import canonical_json

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="containment is Linux only")

FAMILIES = 105
BY_HASH = ("isomorphic_strings", "knight_swap", "polynomial_multiplication", "ransom_note", "word_ladder")
"""Families whose items follow the order of a set."""
RUN_AS_CODE = (
    *("string_insertion", "spiral_matrix", "binary_matrix", "n_queens", "simple_integration"),
    *("intermediate_integration", "polynomial_multiplication", "puzzle24", "countdown", "number_sorting"),
)
"""Families whose scorer runs an answer as code."""
SCORER = "__import__('sys').modules['reasoning_gym'].dataset.ProceduralDataset"
HOSTILE = [
    "__import__('os')._exit(0)",
    "__import__('os').write(3, b'{\"value\": 1.0}\\n')",
    "[__import__('os').write(fd, b'{\"value\": 1.0}\\n') for fd in range(64)]",
    "__import__('os').kill(__import__('os').getppid(), 9)",
    "__import__('os').system('true')",
    f"setattr({SCORER}, 'score_answer', lambda *_: 1.0)",
    "exec('import builtins; builtins.float = lambda x: 1.0')",
    "open('/etc/passwd').read()",
    "().__class__.__mro__[1].__subclasses__()",
    "type('E', (), {'__eq__': lambda s, o: True})()",
    "Integral(x, x)",
    "while True: pass",
    "\x00",
    "\ud800",
    "",
]


@pytest.fixture(scope="module")
def verifier() -> Iterator[ReasoningVerifier]:
    with ReasoningVerifier(timeout_s=3) as found:
        yield found
    reasoning.stop()


def some(family: str, count: int = 2) -> list[Item]:
    return items(family, count, "test")


def test_every_family_scores_its_own_answers_right(verifier: ReasoningVerifier) -> None:
    names = families()
    assert len(names) == FAMILIES
    assert names == sorted(set(names))
    assert reasoning.gold_problems(names, 2, "test", verifier) == []


def test_every_item_can_be_kept_in_a_file() -> None:
    tasks = [task for name in families() for task in some(name, 1)]
    assert {task.family for task in tasks if not task.reference} == reasoning.NO_REFERENCE
    assert len({task.digest for task in tasks}) == FAMILIES
    for task in tasks:
        assert json.loads(canonical_json(task.payload)) == task.payload


def test_answers_of_another_item_are_not_right(verifier: ReasoningVerifier) -> None:
    tasks = some("products", 20)
    answers = [tasks[(index + 1) % 20].reference for index in range(20)]
    assert {found.reason for found in verifier.verify(tasks, answers)} <= {"wrong", "partial"}
    (task,) = some("word_sorting", 1)
    (found,) = verifier.verify([task], [task.reference.split(",")[0]])
    assert found.reason == "partial"
    assert 0 < found.score < 1


def test_items_are_the_same_in_every_process() -> None:
    code = (
        "import json, sys; from speciate.niches.reasoning import items; "
        "print(json.dumps([[i.digest, i.reference] for f in sys.argv[1:] for i in items(f, 4, 'test')]))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "4711"}
    words = [sys.executable, "-c", code, *BY_HASH]
    shown = subprocess.run(words, env=environment, capture_output=True, check=True, timeout=60).stdout
    assert json.loads(shown) == [[task.digest, task.reference] for name in BY_HASH for task in some(name, 4)]


def test_more_items_are_the_same_ones_and_more_and_other_seeds_give_others() -> None:
    few, many = items("chain_sum", 5, 1), items("chain_sum", 40, 1)
    assert many[:5] == few
    assert {task.digest for task in many}.isdisjoint(task.digest for task in items("chain_sum", 40, 2))
    across = items("gcd", 505, 1, {"max_value": 100_000})
    assert len({task.digest for task in across}) == 505


def test_parameters_change_items_and_come_with_them(verifier: ReasoningVerifier) -> None:
    (task,) = items("spell_backward", 1, 1, {"min_word_len": 8, "max_word_len": 8})
    assert len(task.reference) == 8
    assert task.payload["parameters"] == {"min_word_len": 8, "max_word_len": 8}
    assert next(verifier.verify([task], [task.reference])).reason == "ok"
    # A file has lists where reasoning-gym has tuples.
    listed, same = (items("basic_arithmetic", 5, 1, {"operators": kind(["+"])}) for kind in (list, tuple))
    assert [task.digest for task in listed] == [task.digest for task in same]
    assert not any(sign in task.prompt.replace(" -", "") for task in listed for sign in "*/")
    assert reasoning.parameters("chain_sum")["min_terms"] == 2


@pytest.mark.parametrize(
    ("family", "given", "told"),
    [
        ("chain_sums", {}, "did you mean 'chain_sum'"),
        ("composite", {}, "left out"),
        ("chain_sum", {"min_term": 3}, "'chain_sum'.*did you mean 'min_terms'"),
        ("chain_sum", {"zzz": 3}, "known: allow_negation, max_digits"),
        ("chain_sum", {"min_terms": 9}, "max_terms must be >= min_terms.*'max_terms': 6"),
        ("chain_sum", {"min_terms": "two"}, "'chain_sum'.*'min_terms': 'two'"),
        ("chain_sum", {"seed": 3}, "unknown parameter"),
        ("tower_of_hanoi", {"max_disks": 3}, "different items"),
    ],
)
def test_a_wrong_family_or_parameter_is_told(family: str, given: dict[str, object], told: str) -> None:
    with pytest.raises(InputError, match=told):
        items(family, 300, 1, given)


def test_no_hostile_answer_is_right_or_touches_another(verifier: ReasoningVerifier) -> None:
    pairs = [
        pair
        for name in RUN_AS_CODE
        for task in some(name, 1)
        for text in HOSTILE
        for pair in ((task, text), (task, None))
    ]
    starts = verifier.sandbox.starts
    verdicts = verifier.verify(
        [task for task, _ in pairs], [task.reference if text is None else text for task, text in pairs]
    )
    for (task, text), found in zip(pairs, verdicts, strict=True):
        assert (found.reason == "ok") is (text is None), (task.family, text, found)
        assert text is None or found.score < 0.1, (task.family, text, found)
    assert verifier.sandbox.starts == starts


def test_formulas_that_are_the_question_are_no_answers(verifier: ReasoningVerifier) -> None:
    (simple,), (medium,), (product,) = (
        some(name, 1) for name in ("simple_integration", "intermediate_integration", "polynomial_multiplication")
    )
    answers: list[str] = []
    for task in (simple, medium):
        found = task.payload["entry"]["metadata"]
        answers.append(f"Integral({found['integrand']}, {found['variable']})")
    answers.append(f"expand({product.payload['entry']['metadata']['polynomial_expr']})")
    assert [each.score for each in verifier.verify([simple, medium, product], answers)] == [0, 0, 0]


def test_answers_that_cost_too_much_cost_only_themselves(verifier: ReasoningVerifier) -> None:
    (task,) = some("countdown", 1)
    texts = ["9**9**9**9", "9**9**9", "(" * 50_000, "1" * 200_000, "1+" * 20_000 + "1", task.reference]
    started = time.monotonic()
    found = list(verifier.verify([task] * len(texts), texts))
    assert time.monotonic() - started < 60
    assert [each.reason for each in found][-1] == "ok"
    assert all(each.score < 0.1 for each in found[:-1]), found
    assert found[3].detail == "longer than 100000 characters"


def test_scores_that_are_none_and_scorers_that_fail_are_crashes(verifier: ReasoningVerifier) -> None:
    (factors,), (box,) = some("prime_factorization", 1), some("boxnet", 1)
    found = list(verifier.verify([factors, box], ["[]", "1"]))
    assert [(each.score, each.reason) for each in found] == [(0.0, "crash")] * 2
    assert "ValueError" in found[0].detail
    broken = Item("chain_sum", "?", "1", "d", {"family": "nothing", "parameters": {}, "entry": {}})
    assert next(verifier.verify([broken], ["1"])).reason == "crash"


def test_whoever_kills_the_worker_changes_no_verdict(verifier: ReasoningVerifier) -> None:
    tasks = some("chain_sum", 60)
    answers = [task.reference if index % 2 else "x" for index, task in enumerate(tasks)]
    scores: list[float] = []
    for found in verifier.verify(tasks, answers):
        scores.append(found.score)
        if len(scores) == 20:
            assert verifier.sandbox.pid is not None
            os.kill(verifier.sandbox.pid, signal.SIGKILL)
    assert scores == [float(index % 2) for index in range(60)]


@pytest.mark.parametrize("by", ["namespaces", "limits"])
def test_weaker_containments_score_too(by: contain.Containment) -> None:
    if by not in contain.available():
        pytest.skip(f"this machine has no {by}")
    (task,) = some("string_insertion", 1)
    with ReasoningVerifier(by=by) as found:
        texts = [task.reference, *HOSTILE[:4]]
        assert [each.score for each in found.verify([task] * 5, texts)] == [1.0, 0.0, 0.0, 0.0, 0.0]
    assert living("speciate.niches.inside") == []


def test_a_sandbox_that_is_left_half_way_is_ended_and_starts_again() -> None:
    request = {"do": "search", "pattern": "(a)", "which": "last", "text": "a"}
    with Sandbox("patterns") as sandbox:
        replies = sandbox.ask([request] * 50, 1)
        assert next(replies).value == "a"
        first = sandbox.pid
        del replies
        assert sandbox.one(request, 1).value == "a"
        assert sandbox.pid != first
        pid = sandbox.pid
    assert pid is not None
    assert not Path(f"/proc/{pid}").exists()
    sandbox.close_for_good()
    with pytest.raises(SandboxClosed):
        sandbox.one(request, 1)


def test_a_sandbox_that_never_comes_up_is_told() -> None:
    with pytest.raises(VerifierError, match="3 times in a row"):
        Sandbox("lock", by="none").one({}, 1)


@pytest.mark.parametrize("says", ["rubbish", "[1]", '{"ready": false}', "{" * 100_000])
def test_rubbish_ends_a_process(says: str) -> None:
    process = Process(
        [sys.executable, "-c", "import sys, time; print(sys.argv[1], flush=True); time.sleep(60)", says], {}
    )
    with pytest.raises(Ended):
        process.wait_ready()
    process.close()
    process.close()
    assert not Path(f"/proc/{process.pid}").exists()


def test_a_program_that_is_not_there_ends_too() -> None:
    process = Process([sys.executable, "-c", "raise SystemExit('no library')"], {})
    with pytest.raises(Ended, match=r"status 1.*no library"):
        process.wait_ready()
    process.close()


def living(word: str) -> list[str]:
    """Processes that this one started, with a word in their command."""
    words = ["ps", "-o", "args=", "--ppid", str(os.getpid())]
    shown = subprocess.run(words, capture_output=True, text=True, check=False).stdout.splitlines()
    return [line for line in shown if word in line and "gym" not in line.partition(word)[2]]
