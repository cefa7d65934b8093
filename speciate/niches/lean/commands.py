"""The checker as Lean commands, for a Lean that runs on other terms: a project's REPL, a server.

The proof travels as a string inside a command of ours, so it is data there as it is in our own process: what judges it
is `checker.lean`, and the REPL's own opinion of a proof is never asked for. An answer is a line that this command
prints with the nonce of its request; anything else is no answer.
"""

import json
import secrets
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from speciate import storage
from speciate.niches.lean.setup import CHECKER
from speciate.niches.lean.worker import WorkerDied

REMOTE = Path(__file__).with_name("remote.lean")
_HEADER_END = "open Lean Elab\n"
_OF_A_MODULE = "public meta section\n"


def header(imports: Sequence[str]) -> str:
    """The imports of a command file."""
    return "".join(f"import {name}\n" for name in dict.fromkeys(("Lean", *imports)))


def checker() -> str:
    """The checker's text, without what only a module of its own may have."""
    text = CHECKER.read_text(encoding="utf-8")
    body = text[text.index(_HEADER_END) :].replace(_OF_A_MODULE, "")
    return f"{body}\n{REMOTE.read_text(encoding='utf-8')}"


def identity(imports: Sequence[str]) -> str:
    """Names the checker and what its proofs may use."""
    return f"{storage.digest(checker().encode())} {','.join(imports)}"


def quoted(text: str) -> str:
    """A string of Lean."""
    plain = (
        text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t")
    )
    return f'"{plain}"'


def asking(requests: Iterable[Mapping[str, Any]]) -> tuple[str, list[str]]:
    """The command that asks for judgements, and the nonces of their answers."""
    nonces: list[str] = []
    lines: list[str] = []
    for request in requests:
        nonces.append(secrets.token_hex(16))
        lines.append(quoted(json.dumps({**request, "nonce": nonces[-1]}, ensure_ascii=False)))
    return f"#eval Judge.reply [{', '.join(lines)}]", nonces


def answers(messages: Iterable[Mapping[str, Any]], nonces: Sequence[str]) -> list[dict[str, Any]]:
    """The answers among a command's messages, in the order of the nonces. Raises WorkerDied where one is missing."""
    found: dict[str, dict[str, Any]] = {}
    errors: list[str] = []
    for message in messages:
        if message.get("severity") == "error":
            errors.append(str(message.get("data", "")))
        for line in str(message.get("data", "")).splitlines():
            answer = _object(line)
            if (nonce := str(answer.get("nonce"))) in nonces and nonce not in found:
                found[nonce] = answer
    if missing := [nonce for nonce in nonces if nonce not in found]:
        why = f": {errors[0][:300]}" if errors else ""
        raise WorkerDied("output", f"{len(missing)} of {len(nonces)} answers are missing{why}")
    return [found[nonce] for nonce in nonces]


def version_in(messages: Iterable[Mapping[str, Any]]) -> str:
    """What `#eval Judge.ready` says of Lean. Raises WorkerDied where it says nothing."""
    shown = [str(message.get("data", "")).strip() for message in messages]
    for text in shown:
        if "ready" in (found := _object(text)):
            return str(found["ready"])
    raise WorkerDied("output", f"the checker is not accepted: {' '.join(shown)[:400] or 'no message came'}")


def _object(text: str) -> dict[str, Any]:
    """The JSON object that a text is; empty where it is none."""
    try:
        found: Any = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return cast(dict[str, Any], found) if isinstance(found, dict) else {}
