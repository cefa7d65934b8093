"""Programs judged by the tests of their task, each in a sandbox of its own.

The formats are HumanEval's (`prompt`, `test`, `entry_point`) and MBPP's (`test_list`, `test_setup_code`). What a
program can and cannot do to its verdict is told in `speciate.niches.inside.program`. A program sees the standard
library alone. Nothing of an answer is parsed or run in this process. Knows nothing of models or of where tasks come
from.
"""

import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

from speciate.hardware import cores
from speciate.niches import contain
from speciate.niches.base import Item, Verdict
from speciate.niches.sandbox import Reply, Sandbox

TIMEOUT_S = 10.0
ADDRESS_SPACE = 1_000_000_000
LONGEST_ANSWER = 100_000
STOPS = ("\nclass", "\ndef", "\n#", "\nif", "\nprint", "\n```")
"""Where a completion of a function is over: a line that begins so is none of its body."""
_REASONS = ("ok", "wrong", "error", "timeout", "memory", "crash")


def code_in(answer: str) -> str:
    """What stands in the first code block of an answer, else all of it; a block that does not end goes to the end."""
    lines = answer.split("\n")
    fences = [index for index, line in enumerate(lines) if line.lstrip().startswith("```")]
    if not fences:
        return answer
    before, after = "\n".join(lines[: fences[0]]), lines[fences[0] + 1 :]
    if len(fences) == 1 and (not "".join(after).strip() or before.lstrip("\n")[:1].isspace()):
        # A completion that closes a block which the prompt opened.
        return before
    return "\n".join(after[: fences[1] - fences[0] - 1] if len(fences) > 1 else after)


def program(prompt: str, entry_point: str, answer: str) -> str:
    """The program that an answer makes of a prompt that ends in a function's head: with it where it has none itself."""
    code = code_in(answer)
    head = re.compile(rf"^[ \t]*(?:async[ \t]+)?def[ \t]+{re.escape(entry_point)}\b", re.MULTILINE)
    if head.search(code):
        found = head.search(prompt)
        # What stands before the head: imports, helpers.
        return f"{prompt[: found.start()] if found else ''}\n{code}"
    if code.strip() and not code.lstrip("\n")[0].isspace():
        # A body that lost its margin.
        return f"{prompt.rstrip()}\n" + "\n".join(f"    {line}" for line in code.split("\n"))
    cut = min((place for stop in STOPS if (place := code.find(stop)) >= 0), default=len(code))
    return prompt + code[:cut]


class PythonVerifier:
    """Right where the program passes all tests of its item's payload.

    The payload has `prompt`, `test` and `entry_point`; or `test_list` and, where there is one, `test_setup_code`.

    Reasons: `wrong` (an assertion of the tests), `error` (an exception), `timeout`, `memory`, `crash`.
    """

    def __init__(
        self, timeout_s: float = TIMEOUT_S, parallel: int | None = None, by: contain.Containment | None = None
    ) -> None:
        self._timeout_s = timeout_s
        self._parallel = parallel or cores()
        self._by: contain.Containment | None = by
        self._open: set[Sandbox] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for sandbox in list(self._open):
            sandbox.close_for_good()

    def verify(self, items: Sequence[Item], answers: Sequence[str]) -> Iterator[Verdict]:
        """One verdict for each pair, in order."""
        if len(items) != len(answers):
            raise ValueError(f"{len(items)} items and {len(answers)} answers")
        threads = ThreadPoolExecutor(self._parallel, thread_name_prefix="speciate-code")
        try:
            yield from threads.map(self._judge, items, answers)
        finally:
            threads.shutdown(wait=False, cancel_futures=True)
            self.__exit__(None, None, None)
            threads.shutdown()

    def _judge(self, item: Item, answer: str) -> Verdict:
        if len(answer) > LONGEST_ANSWER:
            return Verdict(0.0, "wrong", f"longer than {LONGEST_ANSWER} characters")
        request = _request(item.payload, answer)
        sandbox = Sandbox("program", parallel=1, address_space=ADDRESS_SPACE, by=self._by)
        self._open.add(sandbox)
        try:
            return _verdict(sandbox.one(request, self._timeout_s))
        finally:
            sandbox.close()
            self._open.discard(sandbox)


def _request(payload: dict[str, Any], answer: str) -> dict[str, Any]:
    if "test_list" in payload:
        setup, tests = str(payload.get("test_setup_code") or ""), [str(test) for test in payload["test_list"]]
        return {"source": code_in(answer), "setup": setup, "tests": tests, "entry_point": ""}
    prompt, entry_point = str(payload["prompt"]), str(payload["entry_point"])
    source = program(prompt, entry_point, answer)
    return {"source": source, "setup": prompt, "tests": [str(payload["test"])], "entry_point": entry_point}


def _verdict(reply: Reply) -> Verdict:
    if reply.failure:
        return Verdict(0.0, reply.failure, reply.detail, reply.ms)
    found = reply.value
    reason = found["reason"] if isinstance(found, dict) and found.get("reason") in _REASONS else "crash"
    return Verdict(float(reason == "ok"), reason, str(found.get("detail", "")), reply.ms)
