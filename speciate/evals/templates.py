"""What a suite's templates may do: put the columns of a row into a text, and no more.

Jinja is a language in which a line of text runs for days or fills the memory. A template is read first, and what a
prompt does not need is refused: variables, macros, inclusions, products and powers, `range`, loops in loops in loops,
filters and methods that make text out of a number. What is left grows with the template and with the row alone, and
where one could be multiplied by the other (`replace`, `join`, the rounds of loops, the text as a whole) it is counted.
What is not stopped: a template of the longest kind that says a column of a megabyte five thousand times.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast

from jinja2 import StrictUndefined, Template, TemplateError, nodes, pass_context
from jinja2.exceptions import SecurityError
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

LONGEST = 1_000_000
"""Characters that a template may make of one row."""
MOST_ROUNDS = 10_000
"""Rounds of all loops together, for one row."""
DEEPEST_LOOP = 2
FILTERS = {
    "abs", "capitalize", "count", "default", "d", "dictsort", "first", "float", "int", "items", "join", "last",
    "length", "list", "lower", "map", "max", "min", "reject", "rejectattr", "replace", "reverse", "select",
    "selectattr", "sort", "string", "title", "tojson", "trim", "truncate", "unique", "upper", "wordcount",
}  # fmt: skip
METHODS = {
    "capitalize", "casefold", "count", "cycle", "endswith", "find", "get", "index", "isdigit", "items", "join",
    "keys", "lower", "lstrip", "removeprefix", "removesuffix", "replace", "rsplit", "rstrip", "split", "splitlines",
    "startswith", "strip", "title", "upper", "values",
}  # fmt: skip
WORDS = (
    nodes.Template, nodes.Output, nodes.TemplateData, nodes.Const, nodes.Name, nodes.For, nodes.If, nodes.CondExpr,
    nodes.Getattr, nodes.Getitem, nodes.Slice, nodes.Filter, nodes.Test, nodes.Call, nodes.Keyword, nodes.Compare,
    nodes.Operand, nodes.And, nodes.Or, nodes.Not, nodes.Concat, nodes.Add, nodes.Sub, nodes.Div, nodes.Neg, nodes.Pos,
    nodes.List, nodes.Tuple, nodes.Dict, nodes.Pair,
)  # fmt: skip
"""Kinds of nodes that a template may have."""


class Refused(ValueError):
    """A template that says what no prompt needs."""


class Templates(ImmutableSandboxedEnvironment):
    """Makes templates, and keeps count of what they make."""

    def __init__(self) -> None:
        super().__init__(undefined=StrictUndefined, keep_trailing_newline=True)
        self.globals.clear()
        kept = {name: self.filters[name] for name in FILTERS}
        self.filters: dict[str, Any] = kept | {"join": joined, "replace": replaced, "tojson": as_json, "rounds": rounds}
        self.rounds_left = MOST_ROUNDS

    def made(self, text: str) -> Template:
        """The template of a text. Raises Refused."""
        try:
            tree = self.parse(text)
            check(tree)
            for loop in list(tree.find_all(nodes.For)):
                loop.iter = nodes.Filter(loop.iter, "rounds", [], [], None, None, lineno=loop.lineno)
            tree.set_environment(self)
            return self.from_string(tree)
        except Refused:
            raise
        except TemplateError as error:
            raise Refused(error.message or "it is no template") from error
        except (SyntaxError, RecursionError, MemoryError) as error:
            raise Refused("it is nested too deeply") from error
        except (ValueError, OverflowError) as error:
            raise Refused(str(error)) from error

    def text(self, template: Template, row: Mapping[str, Any]) -> str:
        """What a template makes of a row. Raises what Jinja raises, and ValueError for text that is none in UTF-8."""
        self.rounds_left = MOST_ROUNDS
        pieces: list[str] = []
        length = 0
        for piece in template.generate(row):
            length = within(length + len(piece))
            pieces.append(piece)
        made = "".join(pieces)
        made.encode()
        return made

    def call(self, context: Context, called: Any, *args: Any, **kwargs: Any) -> Any:
        """A method of text or of a list; the two whose result can be much longer than what they are given are ours."""
        owner, name = getattr(called, "__self__", None), getattr(called, "__name__", "")
        if isinstance(owner, str) and name in ("replace", "join"):
            return (replaced if name == "replace" else joined_by)(owner, *args, **kwargs)
        return super().call(context, called, *args, **kwargs)


def check(tree: nodes.Template) -> None:
    """Raises Refused for the first thing that a template may not have."""
    for node, loops in walked(tree, 0):
        problem = wrong(node, loops)
        if problem:
            raise Refused(f"{problem} (line {node.lineno})")


def walked(node: nodes.Node, loops: int) -> Iterator[tuple[nodes.Node, int]]:
    """All nodes below one, each with the number of loops that it is in, itself counted."""
    for child in node.iter_child_nodes():
        inside = loops + isinstance(child, nodes.For)
        yield child, inside
        yield from walked(child, inside)


def wrong(node: nodes.Node, loops: int) -> str:
    """What is wrong with one node; nothing where it may be there."""
    match node:
        case nodes.For() if loops > DEEPEST_LOOP:
            return f"a loop in more than {DEEPEST_LOOP - 1} other loop"
        case nodes.For() if node.recursive:
            return "a recursive loop"
        case nodes.Filter() if node.node is None or node.name not in FILTERS:
            return f"there is no filter {node.name!r} for templates of a suite; there are {', '.join(sorted(FILTERS))}"
        case nodes.Call():
            method = node.node.attr if isinstance(node.node, nodes.Getattr) else getattr(node.node, "name", "a value")
            if isinstance(node.node, nodes.Getattr) and method in METHODS:
                return ""
            return f"{method!r} may not be called by templates of a suite; {', '.join(sorted(METHODS))} of a column may"
        case _ if not isinstance(node, WORDS):
            kind = type(node).__name__.lower()
            return f"{kind!r} is not for templates of a suite, which put columns into a text: make a column of it"
        case _:
            return ""


def within(length: int) -> int:
    """The length. Raises SecurityError where no prompt is as long."""
    if length > LONGEST:
        raise SecurityError(f"it makes more than {LONGEST:,} characters")
    return length


@pass_context
def rounds(context: Context, values: Iterable[Any]) -> Iterator[Any]:
    """What a loop goes through, counted."""
    environment = cast(Templates, context.environment)
    for value in values:
        environment.rounds_left -= 1
        if environment.rounds_left < 0:
            raise SecurityError(f"its loops go round more than {MOST_ROUNDS:,} times")
        yield value


def replaced(text: Any, old: str, new: str, count: int | None = None) -> str:
    """Jinja's filter and Python's method `replace`, bounded."""
    text = str(text)
    most = text.count(old) if count is None or count < 0 else min(count, text.count(old))
    within(len(text) + most * max(0, len(new) - len(old)))
    return text.replace(old, new, most)


def joined(values: Iterable[Any], d: str = "", attribute: Any = None) -> str:
    """Jinja's filter `join`, bounded; without `attribute`, for which there is `map`."""
    if attribute is not None:
        raise SecurityError("join takes no attribute here; use map(attribute=...) before it")
    return joined_by(d, map(str, values))


def joined_by(between: str, values: Iterable[str]) -> str:
    """Python's method `join`, bounded."""
    parts = list(values)
    within(sum(map(len, parts)) + len(between) * len(parts))
    return between.join(parts)


def as_json(value: Any) -> str:
    """A value as JSON, on one line."""
    return json.dumps(value, ensure_ascii=False)
