"""reasoning-gym's families of tasks, made and scored in a sandbox: a hundred kinds of question, each with its scorer.

Items are the same in every process and on every machine for one version of reasoning-gym; other seeds give other items.
An item's payload (`family`, `parameters`, `entry`) holds all that its scorer needs, so items can be kept in a file.
Scorers read the model's text with `eval` and sympy, so nothing of this library is loaded here: the module `gym` in the
sandbox makes and scores. Knows nothing of models or of how a suite is sampled.
"""

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from types import TracebackType
from typing import Any, Self

from speciate.errors import InputError
from speciate.niches import contain
from speciate.niches.base import Item, Verdict
from speciate.niches.inside.values import as_json, from_json
from speciate.niches.process import Failure
from speciate.niches.sandbox import Reply, Sandbox
from speciate.recipe.problems import unknown_names
from speciate.storage import digest_json

LEFT_OUT: dict[str, str] = {"composite": "it mixes others, which are here by themselves"}
NO_REFERENCE = frozenset({"boxnet", "rush_hour"})
"""Families with many right answers, of which reasoning-gym tells none: their items have an empty reference."""
LONGEST_ANSWER = 100_000
SCORE_TIMEOUT_S = 10.0
_MAKE_TIMEOUT_S = 120.0
_CHUNK = 500
_PIECE = 25
_PATIENCE = 20
_EXAMPLES = {
    "graph_color": "possible_answer",
    "propositional_logic": "example_answer",
    "rubiks_cube": "example_correct_answer",
}
"""Where the families with many right answers keep one of them."""

_lock = threading.Lock()


def families() -> list[str]:
    """Names of all families but those in `LEFT_OUT`, in alphabetical order."""
    return sorted(_known())


def parameters(family: str) -> dict[str, Any]:
    """The parameters of a family, and what they are where they are not given. Raises InputError."""
    return dict(_checked(family, {}))


def items(family: str, count: int, seed: int | str, parameters: Mapping[str, Any] | None = None) -> list[Item]:
    """`count` different items, the same ones for the same seed, more being the same ones and more.

    Raises InputError where the family or its parameters are wrong, or it has too few items.
    """
    given: dict[str, Any] = as_json(dict(parameters or {}))
    _checked(family, given)
    found: dict[str, Item] = {}
    tried = 0
    while len(found) < count:
        if tried > _PATIENCE * (len(found) + 50):
            raise InputError(f"family {family!r} has only about {len(found)} different items, {count} were asked for")
        # No entry may be counted on: two can be the same, and some families fail to make some.
        wanted = range(tried, tried + count - len(found))
        for entry in _entries(family, given, seed, wanted):
            if entry is not None and _is_usable(family, entry):
                made = _item(family, given, entry)
                found.setdefault(made.digest, made)
        tried = wanted.stop
    return list(found.values())


def gold_problems(names: Sequence[str], count: int, seed: int | str, verifier: "ReasoningVerifier") -> list[str]:
    """What is wrong with the families' own answers: each, of `count` items of each family, that does not score 1.0.

    Families in `NO_REFERENCE` are passed over.
    """
    tasks = [task for name in names if name not in NO_REFERENCE for task in items(name, count, seed)]
    verdicts = verifier.verify(tasks, [task.reference for task in tasks])
    return [
        f"{task.family}: {task.reference[:60]!r} scores {verdict.score:g}, {verdict.reason}: {verdict.detail}"
        for task, verdict in zip(tasks, verdicts, strict=True)
        if verdict.reason != "ok"
    ]


def stop() -> None:
    """End the process that makes items, which else is kept for the next ones."""
    with _lock:
        _maker().close()


class ReasoningVerifier:
    """Scores answers, spaces at the ends aside, by reasoning-gym's own scorer, each in a process of its own.

    A score below 1 is kept. A scorer that fails on an answer, or gives no number in [0, 1], makes it a `crash`.
    """

    def __init__(self, timeout_s: float = SCORE_TIMEOUT_S, by: contain.Containment | None = None) -> None:
        self.sandbox = Sandbox("gym", packages=True, by=by)
        self._timeout_s = timeout_s

    def __enter__(self) -> Self:
        self.sandbox.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.sandbox.close()

    def verify(self, items: Sequence[Item], answers: Sequence[str]) -> Iterator[Verdict]:
        """One verdict for each pair, in order."""
        requests = [
            {"do": "score", **item.payload, "answer": answer.strip()[: LONGEST_ANSWER + 1]}
            for item, answer in zip(items, answers, strict=True)
        ]
        for item, request, reply in zip(items, requests, self.sandbox.ask(requests, self._timeout_s), strict=True):
            if len(request["answer"]) > LONGEST_ANSWER:
                yield Verdict(0.0, "wrong", f"longer than {LONGEST_ANSWER} characters", reply.ms)
            else:
                yield _verdict(item, reply)


def _verdict(item: Item, reply: Reply) -> Verdict:
    score = reply.value
    failure: Failure = "crash" if reply.failure == "error" else reply.failure
    if failure:
        return Verdict(0.0, failure, reply.detail, reply.ms)
    if not isinstance(score, float) or not 0.0 <= score <= 1.0:
        return Verdict(0.0, "crash", f"the scorer gave {str(score)[:80]}", reply.ms)
    if score == 1.0:
        return Verdict(1.0, "ok", "", reply.ms)
    detail = f"expected {' '.join(item.reference.split())[:200]}" if item.reference else ""
    return Verdict(score, "partial" if score else "wrong", detail, reply.ms)


def _is_usable(family: str, entry: dict[str, Any]) -> bool:
    """Whether its answer can be told from none: "no solution" is an empty text, for which some scorers take any text.

    Where sympy could not do an integral, reasoning-gym's answer is the question.
    """
    reference = _reference(family, entry)
    return family in NO_REFERENCE or (bool(reference.strip()) and "Integral(" not in reference)


def _reference(family: str, entry: dict[str, Any]) -> str:
    if family not in _EXAMPLES:
        return "" if entry["answer"] is None else str(entry["answer"])
    example = from_json(entry["metadata"][_EXAMPLES[family]])
    if family == "propositional_logic" and len(example) == 1:
        # A variable alone gets a quarter of the score.
        return ""
    return example if isinstance(example, str) else json.dumps(example)


def _item(family: str, given: dict[str, Any], entry: dict[str, Any]) -> Item:
    question = entry["question"]
    payload = {"family": family, "parameters": given, "entry": entry}
    return Item(family, question, _reference(family, entry), digest_json([family, question]), payload)


def _entries(family: str, given: dict[str, Any], seed: int | str, wanted: range) -> Iterator[dict[str, Any] | None]:
    """The entries of these numbers, None for each that cannot be made."""
    requests: list[dict[str, Any]] = []
    at = wanted.start
    while at < wanted.stop:
        chunk, start = divmod(at, _CHUNK)
        count = min(_PIECE, _CHUNK - start, wanted.stop - at)
        # reasoning-gym adds an item's number to the seed, so seeds that are near each other have items in common.
        derived = int.from_bytes(hashlib.sha256(f"{seed}/{family}/{chunk}".encode()).digest()[:4]) >> 1
        requests.append(
            {"do": "generate", "family": family, "parameters": given, "seed": derived, "start": start, "count": count}
        )
        at += count
    with _lock:
        replies = list(_maker().ask(requests, _MAKE_TIMEOUT_S))
    for reply in replies:
        wrong = reply.value["wrong"] if not reply.failure and "wrong" in reply.value else ""
        if reply.failure or wrong:
            raise InputError(
                f"family {family!r} with parameters {given} makes no items: {wrong or reply.detail or reply.failure}; "
                f"without parameters they are {_known()[family]}"
            )
        yield from reply.value["entries"]


def _checked(family: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The known parameters of a family. Raises InputError where it, or a given one, is unknown."""
    known = _known()
    if family in LEFT_OUT:
        raise InputError(f"family {family!r} is left out: {LEFT_OUT[family]}")
    wrong = unknown_names("family of reasoning-gym", [family], known)
    if not wrong:
        wrong = unknown_names(f"parameter of family {family!r}:", given, known[family])
    if wrong:
        raise InputError("\n".join(wrong.values()))
    return known[family]


@cache
def _known() -> dict[str, dict[str, Any]]:
    with _lock:
        reply = _maker().one({"do": "families"}, _MAKE_TIMEOUT_S)
    if reply.failure:
        raise InputError(f"reasoning-gym does not tell its families: {reply.detail or reply.failure}")
    return {name: from_json(values) for name, values in reply.value.items() if name not in LEFT_OUT}


@cache
def _maker() -> Sandbox:
    return Sandbox("gym", packages=True)
