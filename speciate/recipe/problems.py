"""What to say of each thing that is wrong in a recipe: the fault, the value, and the name that was probably meant."""

import difflib
from collections.abc import Collection, Iterable
from typing import Any, get_args

from pydantic import BaseModel
from pydantic_core import ErrorDetails

KeyPath = tuple[str, ...]

_SAID = {
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
    "string_type": "must be text",
    "string_pattern_mismatch": "must be lower-case letters, digits and hyphens, at most 64, a letter or digit first",
    "too_short": "must have at least one item",
    "string_too_short": "must not be empty",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "union_tag_not_found": "must have the key 'source'",
    "dict_type": "must be a section of 'key: value' lines",
    "model_type": "must be a section of 'key: value' lines",
}


def shown(value: Any, width: int = 60) -> str:
    """A value as YAML says it, cut where it is long."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    text = repr(value)
    return text if len(text) <= width else f"{text[: width - 3]}..."


def suggestion(word: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` where one of `known` is near, else nothing."""
    near = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def unknown_names(kind: str, given: Iterable[str], known: Collection[str]) -> dict[str, str]:
    """What to say of each given name that is not one of `known`."""
    return {
        name: f"unknown {kind} {name!r}" + (suggestion(name, known) or f"; known: {', '.join(sorted(known))}")
        for name in given
        if name not in known
    }


def key_path(location: tuple[int | str, ...], values: Any) -> KeyPath:
    """The keys of a pydantic location, without the names that it puts in for the branches of a union."""
    path: KeyPath = ()
    here = values
    for index, part in enumerate(location):
        if isinstance(here, dict) and (part in here or index == len(location) - 1):
            here: Any = here.get(part)
        elif isinstance(here, list) and isinstance(part, int):
            here = here[part]
        else:
            continue
        path = (*path, str(part))
    return path


def message(details: ErrorDetails, path: KeyPath, schema: type[BaseModel]) -> str:
    """One pydantic error at `path`, in the words of a recipe."""
    value, fault, context = details["input"], details["type"], details.get("ctx", {})
    if fault == "missing":
        return "required key is missing"
    if fault == "extra_forbidden":
        return "unknown key" + _key_meant(path, schema)
    if fault == "value_error":
        return str(context["error"])
    if fault in ("literal_error", "union_tag_invalid"):
        value = context.get("tag", value)
        allowed = str(context.get("expected_tags", context.get("expected")))
        near = suggestion(value, allowed.replace("'", "").replace(" or ", ", ").split(", ")) if _is_text(value) else ""
        return f"must be {allowed}, not {shown(value)}{near}"
    said = _SAID.get(fault) or details["msg"].replace("Input should", "must").replace("String should", "must")
    quoted = fault in ("int_type", "float_type", "bool_type") and _is_text(value) and _would_fit(value, fault)
    return f"{said}, not {shown(value)}" + ("; remove the quotes" if quoted else "")


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _would_fit(text: str, fault: str) -> bool:
    """Whether the text without its quotes is what the key takes."""
    if fault == "bool_type":
        return text.lower() in ("true", "false")
    try:
        return bool([int(text) if fault == "int_type" else float(text)])
    except ValueError:
        return False


def _key_meant(path: KeyPath, schema: type[BaseModel]) -> str:
    """A sibling that is spelt alike, else the same key in another section, else the siblings."""
    everywhere = _all_keys(schema)
    path = (*(part for part in path[:-1] if not part.isdigit()), path[-1])
    dotted = tuple(path[-1].split("."))
    if dotted in everywhere and len(dotted) > 1:
        return f"; in a file, sections are nested: {': {'.join(dotted)}: ...{'}' * (len(dotted) - 1)}"
    siblings = [key[-1] for key in everywhere if key[:-1] == path[:-1]]
    if path[-1] in siblings:
        return f"; it belongs to another kind of {path[-2]}"
    if near := suggestion(path[-1], siblings):
        return near
    if elsewhere := [".".join(key) for key in everywhere if key[-1] == path[-1]]:
        return f"; did you mean {elsewhere[0]!r}, in another section?"
    return f"; known here: {', '.join(siblings)}"


def _all_keys(schema: type[BaseModel], above: KeyPath = ()) -> list[KeyPath]:
    keys: list[KeyPath] = []
    for name, info in schema.model_fields.items():
        keys.append((*above, name))
        for section in _sections(info.annotation):
            keys += _all_keys(section, (*above, name))
    return list(dict.fromkeys(keys))


def _sections(annotation: Any) -> list[type[BaseModel]]:
    """The sections that a key may hold, of a list or a union too."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [section for part in get_args(annotation) for section in _sections(part)]
