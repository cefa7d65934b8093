"""Answers that are formulas, read without running them.

reasoning-gym's scorers call `eval` and sympy's `parse_expr` (which calls `eval`) on what a model wrote: text that can
run any code, and so change the score that it is given. Here the text is checked first: literals and arithmetic for
`eval`; numbers, operators, free names and the listed functions for `parse_expr`. What is refused raises ValueError,
which a scorer takes for a wrong answer. Runs inside the sandbox. Knows nothing of tasks.
"""

import ast
import builtins
import keyword
import re
import sys
from collections.abc import Callable, Mapping
from fractions import Fraction
from functools import cache
from typing import Any

_LITERALS = (ast.Expression, ast.Constant, ast.List, ast.Tuple, ast.Set, ast.Dict, ast.UnaryOp, ast.BinOp, ast.Load)
_HARMLESS = (*_LITERALS, ast.operator, ast.unaryop)
_FORMULA = re.compile(r"[A-Za-z0-9_\s+\-*/^().,!]*")
_NAME = re.compile(r"[A-Za-z_]\w*")
_ATTRIBUTE = re.compile(r"\.\s*[A-Za-z_]|__")
FUNCTIONS = frozenset(
    _NAME.findall(
        "pi E I sqrt cbrt exp log ln sin cos tan cot sec csc asin acos atan acot asec acsc atan2 sinh cosh tanh coth "
        "asinh acosh atanh acoth Abs sign factorial Rational Integer Float erf erfi Ei Si Ci li"
    )
)
"""Names of sympy that an answer may use. `integrate`, `Integral` and `expand` are none of them: they would answer
"integrate this" with the question."""


class _Watch:
    """Whether code may be made from text now: only while text that was checked is read."""

    open = 0


def watch() -> None:
    """From now on, refuse any code that is made from text elsewhere than here. Cannot be undone."""

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "compile":
            file = arguments[1]
        elif event == "exec":
            file = arguments[0].co_filename
        else:
            return
        if not _Watch.open and str(file).startswith("<") and not _is_importing():
            raise RuntimeError("text would be run as code")

    sys.addaudithook(hook)


def _is_importing() -> bool:
    """Whether a module is being loaded: sympy loads some late, and they run text of their own."""
    frame = sys._getframe(2)  # pyright: ignore[reportPrivateUsage]
    while frame is not None:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            return True
        frame = frame.f_back
    return False


def value_of(text: object, *_: object) -> Any:
    """What `eval` gives for literals and arithmetic. Raises ValueError, SyntaxError for anything else."""
    tree = _tree(str(text))
    code = compile(tree, "<checked>", "eval")
    return _opened(lambda: eval(code, {"__builtins__": {}}, {}))  # noqa: S307 - literals and arithmetic alone


def number_of(text: str) -> Fraction:
    """Exact value of `+ - * /` on whole numbers. Raises ValueError for anything else, or where it divides by zero."""
    try:
        return _number(_tree(text).body)
    except (ZeroDivisionError, SyntaxError) as error:
        raise ValueError(str(error)) from error


def checked(parse: Callable[..., Any]) -> Callable[..., Any]:
    """sympy's `parse_expr`, behind the check."""

    def parse_checked(text: str, local_dict: Mapping[str, Any] | None = None, *rest: Any, **more: Any) -> Any:
        check(text, local_dict or {})
        return _opened(lambda: parse(text, local_dict, *rest, **more))

    return parse_checked


def check(text: str, local: Mapping[str, Any]) -> None:
    """Raise ValueError where a formula has a name, or a sign, that it must not have."""
    if not _FORMULA.fullmatch(text) or _ATTRIBUTE.search(text):
        raise ValueError("not a formula")
    for name in _NAME.findall(text):
        if name not in local and name not in FUNCTIONS and name in _taken():
            raise ValueError(f"{name} is not for answers")


@cache
def _taken() -> frozenset[str]:
    import sympy

    return frozenset([*dir(sympy), *dir(builtins), *keyword.kwlist, *keyword.softkwlist])


def _tree(text: str) -> ast.Expression:
    tree = _opened(lambda: ast.parse(text.strip(), "<checked>", "eval"))
    for node in ast.walk(tree):
        if not isinstance(node, _HARMLESS):
            raise ValueError(f"{type(node).__name__} is not for answers")
    return tree


def _number(node: ast.expr) -> Fraction:
    if isinstance(node, ast.Constant) and type(node.value) is int:
        return Fraction(node.value)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_number(node.operand)
    if isinstance(node, ast.BinOp):
        left, right = _number(node.left), _number(node.right)
        match node.op:
            case ast.Add():
                return left + right
            case ast.Sub():
                return left - right
            case ast.Mult():
                return left * right
            case ast.Div():
                return left / right
            case _:
                pass
    raise ValueError("not for answers")


def _opened(make: Callable[[], Any]) -> Any:
    _Watch.open += 1
    try:
        return make()
    finally:
        _Watch.open -= 1
