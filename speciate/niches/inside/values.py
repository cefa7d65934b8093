"""Python values as JSON, and back: what passes between processes that do not trust each other.

Only plain values come back: numbers, text, bytes and containers of them, of exactly these types. An object of any other
class becomes `Opaque`, which equals nothing but itself, so a class whose objects are equal to everything gains nothing.
Runs inside the sandbox and outside. Knows nothing of what the values mean.
"""

import math
from typing import Any

_TAG = "$"
_DEPTH = 200


class Opaque:
    """Stands for an object that does not pass."""

    def __init__(self, shown: str) -> None:
        self.shown = shown

    def __repr__(self) -> str:
        return self.shown


class NotPlain(ValueError):
    """The text is no value that `as_json` writes, or nests too deep."""


def as_json(value: Any, depth: int = 0) -> Any:
    """A JSON value that stands for `value`; numpy's scalars become Python's, generators become what they yield."""
    if depth > _DEPTH:
        raise NotPlain("nests too deep")
    if value is None or isinstance(value, bool | str):
        return str.__str__(value) if isinstance(value, str) else value
    if isinstance(value, int):
        return int(value) if abs(value) < 1 << 53 else {_TAG: "int", "v": hex(value)}
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else {_TAG: "float", "v": repr(float(value))}
    if isinstance(value, list):
        return [as_json(part, depth + 1) for part in value]
    if isinstance(value, dict):
        pairs = [(key, as_json(part, depth + 1)) for key, part in value.items()]
        if all(type(key) is str for key, _ in pairs) and _TAG not in value:
            return dict(pairs)
        return {_TAG: "dict", "v": [[as_json(key, depth + 1), part] for key, part in pairs]}
    if isinstance(value, tuple):
        return {_TAG: "tuple", "v": [as_json(part, depth + 1) for part in value]}
    if isinstance(value, set | frozenset):
        kind = "set" if isinstance(value, set) else "frozenset"
        return {_TAG: kind, "v": sorted((as_json(part, depth + 1) for part in value), key=repr)}
    if isinstance(value, complex):
        return {_TAG: "complex", "v": repr(complex(value))}
    if isinstance(value, bytes | bytearray):
        return {_TAG: type(value).__name__, "v": value.hex()}
    if isinstance(value, range):
        return {_TAG: "range", "v": [value.start, value.stop, value.step]}
    if type(value).__module__ == "numpy" and hasattr(value, "tolist"):
        return as_json(value.tolist(), depth + 1)
    if hasattr(type(value), "__next__"):
        return {_TAG: "iterator", "v": [as_json(part, depth + 1) for part in value]}
    return {_TAG: "opaque", "v": f"<{type(value).__name__[:80]}>"}


def from_json(found: Any) -> Any:
    """The value that a JSON value stands for. Raises NotPlain where it stands for none."""
    try:
        return _plain(found, 0)
    except (TypeError, KeyError, ValueError, AttributeError, OverflowError) as error:
        raise NotPlain(f"no plain value: {error}") from error


def _plain(found: Any, depth: int) -> Any:
    if depth > 2 * _DEPTH:
        raise NotPlain("nests too deep")
    if isinstance(found, list):
        return [_plain(part, depth + 1) for part in found]
    if not isinstance(found, dict):
        return found
    if _TAG not in found:
        return {key: _plain(part, depth + 1) for key, part in found.items()}
    kind, inner = found[_TAG], found["v"]
    if kind == "dict":
        return {_plain(key, depth + 1): _plain(part, depth + 1) for key, part in inner}
    if kind in ("tuple", "set", "frozenset", "iterator"):
        parts = [_plain(part, depth + 1) for part in inner]
        return {"tuple": tuple, "set": set, "frozenset": frozenset, "iterator": iter}[kind](parts)
    match kind:
        case "int":
            return int(inner, 16)
        case "float":
            return {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}[inner]
        case "complex":
            return complex(inner)
        case "bytes":
            return bytes.fromhex(inner)
        case "bytearray":
            return bytearray.fromhex(inner)
        case "range":
            return range(*inner)
        case "opaque":
            return Opaque(str(inner))
        case _:
            raise NotPlain(f"no kind of value: {str(kind)[:40]}")
