"""What a proof must look like before Lean sees it: a cheap first refusal, in Python.

Stops texts that would only cost time or crash the parser, and the words that Lean keeps for what no proof may do, with
the class of each, wherever they stand as words. Never the only guard: `checker.lean` decides again on the parsed text.
Pure.
"""

import re
import unicodedata
from dataclasses import dataclass

from speciate.niches.lean.verdict import LeanJob

MAX_BYTES = 65_536
MAX_NESTING = 200
MAX_DIGITS = 20

_CLASSES = {
    "option": "set_option",
    "sorry": "admit sorry sorryAx stop",
    "native": "bv_check bv_decide native_decide",
    "metaprogramming": """by_elab declare_syntax_cat elab elab_rules eval_suggest_tactic macro macro_rules run_cmd
        run_elab run_meta run_tac simproc syntax""",
    "declaration": "coinductive_fixpoint decreasing_by inductive_fixpoint partial_fixpoint termination_by where",
    "unsafe": "unsafe",
    "effect": "dbg_sleep dbg_trace dbg_trace_if_shared include_str show_term sleep trace",
    "command": """abbrev attribute axiom class def deriving end example export import inductive infix infixl infixr
        initialize instance mutual namespace noncomputable notation opaque postfix prefix prelude private protected
        section structure theorem universe variable""",
}
FORBIDDEN = {word: name for name, words in _CLASSES.items() for word in words.split()}
"""Keywords of Lean, none of which can be the name of anything, with the class of cheat that each is for."""

_HIDDEN = frozenset(("Cc", "Cf", "Cs", "Zl", "Zp"))
_OPENING = frozenset("([{⟨⟪⟦‹")
_CLOSING = frozenset(")]}⟩⟫⟧›")
_TOKEN = re.compile(
    r"""(?P<line>--[^\n]*) | (?P<block>/-) | (?P<raw>r(?P<hashes>\#*)".*?"(?P=hashes)) | (?P<string>"(?:\\.|[^"\\])*")
    | (?P<character>'(?:\\[^']+|[^\\'])') | (?P<quoted>«[^»\n]*») | (?P<number>[0-9][0-9A-Za-z_]*)
    | (?P<directive>\#[a-z]\w*) | (?P<dotted>\.[^\W\d][\w.'!?]*) | (?P<word>[^\W\d][\w.'!?]*)
    | (?P<run>(?P<mark>[^\s\w])(?P=mark)*)""",
    re.VERBOSE | re.DOTALL,
)
_BLOCK = re.compile(r"/-|-/")


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a proof is not shown to Lean."""

    reason: str
    """One of the reasons of `verdict.REASONS`."""
    detail: str


def refusal(job: LeanJob) -> Refusal | None:
    """Why this job is not shown to Lean, None where Lean may judge it."""
    for name, text in (("statement", job.statement), ("statement", job.name), ("context", job.context)):
        if not _is_text(text):
            return Refusal(name, f"the {name} holds bytes that are no text")
    return next((found for proof in (job.proof, *job.others) if (found := _refused(proof))), None)


def _refused(proof: str) -> Refusal | None:
    if len(proof) > MAX_BYTES or (_is_text(proof) and len(proof.encode()) > MAX_BYTES):
        return Refusal("size", f"the proof has more than {MAX_BYTES} bytes")
    for character in proof:
        if unicodedata.category(character) in _HIDDEN and character not in "\n\t\r":
            return Refusal("characters", f"the proof holds the invisible character U+{ord(character):04X}")
    return _refused_token(proof)


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text


def _refused_token(proof: str) -> Refusal | None:
    depth = position = 0
    while match := _TOKEN.search(proof, position):
        position = match.end()
        text = match.group()
        if match["block"]:
            position = end_of_comment(proof, position)
        elif match["number"]:
            if sum(digit.isalnum() for digit in text) > MAX_DIGITS:
                return Refusal("literal", f"the number {text[:30]} has more than {MAX_DIGITS} digits")
        elif match["word"]:
            if name := FORBIDDEN.get(text):
                return Refusal(name, text)
            if text.endswith("?") and "." not in text:
                return Refusal("search", text)
        elif match["directive"]:
            if not proof.startswith("[", position):
                return Refusal("command", text)
        elif match["run"]:
            depth += len(text) * ((text[0] in _OPENING) - (text[0] in _CLOSING))
            if max(depth, len(text)) > MAX_NESTING:
                return Refusal("nesting", f"the proof nests deeper than {MAX_NESTING}")
    return None


def end_of_comment(text: str, position: int) -> int:
    """Where the block comment ends whose inside begins at `position`; they nest, and may have no end."""
    depth = 1
    while depth and (match := _BLOCK.search(text, position)):
        depth += 1 if match.group() == "/-" else -1
        position = match.end()
    return len(text) if depth else position
