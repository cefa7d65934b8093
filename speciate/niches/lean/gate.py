"""What a proof must look like before Lean sees it: a cheap first refusal, in Python.

Stops texts that would only cost time or crash the parser, and forbidden words where they stand as words. Never the only
guard: `checker.lean` decides again on the parsed text. Pure.
"""

import re
import unicodedata
from dataclasses import dataclass

MAX_BYTES = 8192
MAX_NESTING = 200
MAX_DIGITS = 20

_WORDS = """
admit bv_check bv_decide by_elab dbg_sleep dbg_trace dbg_trace_if_shared decreasing_by elab eval_suggest_tactic
include_str macro macro_rules native_decide partial_fixpoint run_cmd run_elab run_meta run_tac set_option show_term
sleep sorry sorryAx stop syntax termination_by trace unsafe where
"""
FORBIDDEN = frozenset(_WORDS.split())

_HIDDEN = frozenset(("Cc", "Cf", "Cs", "Zl", "Zp"))
_OPENING = frozenset("([{⟨⟪⟦‹")
_CLOSING = frozenset(")]}⟩⟫⟧›")
_TOKEN = re.compile(
    r"""(?P<line>--[^\n]*) | (?P<block>/-) | (?P<raw>r(?P<hashes>\#*)".*?"(?P=hashes)) | (?P<string>"(?:\\.|[^"\\])*")
    | (?P<character>'(?:\\[^']+|[^\\'])') | (?P<quoted>«[^»\n]*») | (?P<number>[0-9][0-9A-Za-z_]*)
    | (?P<word>[^\W\d][\w.'!?]*) | (?P<run>(?P<mark>[^\s\w])(?P=mark)*)""",
    re.VERBOSE | re.DOTALL,
)
_BLOCK = re.compile(r"/-|-/")


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a proof is not shown to Lean."""

    reason: str
    """`size`, `characters`, `nesting`, `literal` or `forbidden`."""
    detail: str


def refusal(proof: str) -> Refusal | None:
    """Why this proof is refused, None where Lean may judge it."""
    for character in proof:
        if unicodedata.category(character) in _HIDDEN and character not in "\n\t\r":
            return Refusal("characters", f"the proof holds the invisible character U+{ord(character):04X}")
    if (size := len(proof.encode())) > MAX_BYTES:
        return Refusal("size", f"the proof has {size} bytes; at most {MAX_BYTES} are read")
    return _refused_token(proof)


def _refused_token(proof: str) -> Refusal | None:
    depth = position = 0
    while match := _TOKEN.search(proof, position):
        position = match.end()
        text = match.group()
        if match["block"]:
            position = _end_of_comment(proof, position)
        elif match["number"]:
            if sum(digit.isalnum() for digit in text) > MAX_DIGITS:
                return Refusal("literal", f"the number {text[:30]} has more than {MAX_DIGITS} digits")
        elif match["word"]:
            if text in FORBIDDEN or (text.endswith("?") and "." not in text):
                return Refusal("forbidden", text)
        elif match["run"]:
            depth += len(text) * ((text[0] in _OPENING) - (text[0] in _CLOSING))
            if max(depth, len(text)) > MAX_NESTING:
                return Refusal("nesting", f"the proof nests deeper than {MAX_NESTING}")
    return None


def _end_of_comment(proof: str, position: int) -> int:
    depth = 1
    while depth and (match := _BLOCK.search(proof, position)):
        depth += 1 if match.group() == "/-" else -1
        position = match.end()
    return len(proof) if depth else position
