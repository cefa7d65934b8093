"""An ordinary Lean file as theorems to check, one after another, each with what comes before it as its context.

A command begins at the left margin, as it does in files that people keep. A theorem that is not accepted is left out of
the context of those that follow, so that nothing rests on it. Pure; `checked` is given the judge.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from speciate.errors import InputError
from speciate.niches.lean.gate import end_of_comment
from speciate.niches.lean.requests import Request
from speciate.niches.lean.verdict import LeanJob, LeanVerdict

LIBRARY = ("Init", "Std", "Prelude")
_WORDS = """abbrev|attribute|axiom|builtin_initialize|class|declare_syntax_cat|def|deriving|elab|elab_rules|end|example|
export|grind_pattern|inductive|infix|infixl|infixr|initialize|instance|lemma|local|macro|macro_rules|mutual|namespace|
noncomputable|notation|opaque|open|partial|postfix|prefix|private|protected|public|run_cmd|scoped|section|set_option|
simproc|structure|syntax|theorem|unif_hint|universe|unsafe|variable""".replace("\n", "")
_COMMAND = re.compile(rf"^(?:(?:{_WORDS})\b|@\[|#|/--|/-!)", re.MULTILINE)
_IMPORT = re.compile(r"^(?:public\s+|meta\s+)*import\s+(?:all\s+)?(\S+)[^\n]*$|^(?:module|prelude)\s*$", re.MULTILINE)
_THEOREM = re.compile(
    r"(?P<doc>/--.*?-/\s*)?(?P<attributes>(?:@\[[^\]]*\]\s*)*)(?:(?:private|protected)\s+)*(?:theorem|lemma)\s+"
    r"(?P<name>[^\s({\[:]+)",
    re.DOTALL,
)
_TOKEN = re.compile(
    r'--[^\n]*|/-|"(?:\\.|[^"\\])*"|(?P<open>[(\[{⟨⦃])|(?P<close>[)\]}⟩⦄])|(?P<sign>:=)|(?P<cases>\n\s*\|)', re.DOTALL
)


@dataclass(frozen=True, slots=True)
class Command:
    """A piece of a file that is believed."""

    text: str


@dataclass(frozen=True, slots=True)
class Stated:
    """A piece of a file that is checked."""

    name: str
    statement: str
    """From `theorem` to before the proof."""
    proof: str
    text: str
    """The whole command."""


def pieces(text: str) -> list[Command | Stated]:
    """The commands of a file in order, without its imports. Raises InputError where those are not of the library."""
    if strange := [name for name in _IMPORT.findall(text) if name and name.split(".")[0] not in LIBRARY]:
        raise InputError(
            f"the file imports {', '.join(strange)}, which the embedded Lean does not have: choose a project that has "
            "it, SPECIATE_LEAN=interact:PROJECT"
        )
    body = _IMPORT.sub("", text)
    found: list[Command | Stated] = []
    for piece in _commands(body):
        match = _THEOREM.match(piece)
        if match is None:
            found.append(Command(piece))
        else:
            proof = _proof(piece, match.end())
            head = re.sub(r"^(?:private|protected)\s+|^lemma\b", "", piece[match.end("attributes") : proof].strip())
            statement = head if head.startswith("theorem") else f"theorem {head.removeprefix('lemma').strip()}"
            # `lemma` is a word of Mathlib's, not of Lean's own.
            text = re.sub(r"\blemma\b", "theorem", piece[: match.end()]) + piece[match.end() :]
            found.append(Stated(match["name"], statement, piece[proof:].strip().removeprefix(":=").strip(), text))
    if not theorems(found):
        raise InputError("the file holds no theorem")
    return found


def theorems(found: list[Command | Stated]) -> int:
    """How many of the pieces are checked."""
    return sum(isinstance(piece, Stated) for piece in found)


def _commands(text: str) -> Iterator[str]:
    """The text cut where a command begins at the margin, outside of comments; a doc comment stays with what follows."""
    hidden = list(_comments(text))
    starts = [match.start() for match in _COMMAND.finditer(text) if not any(a < match.start() < b for a, b in hidden)]
    attached = {b for a, b in hidden if text.startswith("/--", a)}
    cuts = [0]
    for start in starts:
        before = text[:start].rstrip()
        follows = len(before) in attached or (before.endswith("]") and before.rpartition("\n")[2].startswith("@["))
        if not follows and start:
            cuts.append(start)
    for begin, end in zip(cuts, [*cuts[1:], len(text)], strict=True):
        if piece := text[begin:end].strip():
            yield piece


def _comments(text: str) -> Iterator[tuple[int, int]]:
    position = 0
    while (match := _TOKEN.search(text, position)) is not None:
        position = match.end()
        if match.group() == "/-":
            position = end_of_comment(text, position)
            yield match.start(), position


def _proof(piece: str, start: int) -> int:
    """Where the statement ends: at the `:=` before the proof, or where a proof by cases begins, which is none here."""
    depth, position = 0, start
    while (match := _TOKEN.search(piece, position)) is not None:
        position = match.end()
        if match.group() == "/-":
            position = end_of_comment(piece, position)
        elif match["open"] or match["close"]:
            depth += 1 if match["open"] else -1
        elif depth == 0 and (match["sign"] or match["cases"]):
            return match.start()
    return len(piece)


def checked(
    found: list[Command | Stated], limits: Callable[[LeanJob], LeanJob], judge: Callable[[LeanJob], LeanVerdict]
) -> Iterator[tuple[Request, LeanVerdict]]:
    """Each theorem with its verdict, in order."""
    context: list[str] = []
    for piece in found:
        if isinstance(piece, Command):
            context.append(piece.text)
            continue
        job = limits(LeanJob("\n\n".join(context), piece.statement, piece.proof, piece.name, auto_implicit=True))
        verdict = judge(job)
        yield Request(piece.name, job), verdict
        if verdict.proved:
            context.append(piece.text)
