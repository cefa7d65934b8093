"""The text of a recipe as plain values with the place of every key, and the `--set` overrides laid over them.

The text is composed into YAML nodes, never into objects: each key keeps its line, every duplicate is seen, and no tag,
anchor or constructor is acted on. Knows nothing of the schema.
"""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

from speciate.errors import InputError, RecipeError
from speciate.recipe.problems import KeyPath, shown

Kind = Literal["recipe", "suite"]
EXAMPLES: dict[Kind, str] = {"recipe": "species: my-species", "suite": "suite: my-suite"}
"""A line that each kind of file has."""
FOLDERS: dict[Kind, str] = {"recipe": "recipes", "suite": "evals/suites"}
"""Where such files lie."""
MAX_BYTES = 100_000
"""A recipe is a page of text; the limit bounds the time that a hostile file takes to read."""


class Place(NamedTuple):
    """Where a key or a problem stands; sorts as a person reads: the file by its lines, then the overrides."""

    override: int
    """0 for the file, else the number of the `--set`."""
    line: int
    name: str

    def __str__(self) -> str:
        return self.name if self.override else f"{self.name}:{self.line}"


class Problem(NamedTuple):
    """One thing that is wrong."""

    place: Place
    path: KeyPath
    message: str

    def __str__(self) -> str:
        key = ".".join(part if part.isprintable() else repr(part) for part in self.path)
        return f"{self.place}: {key}{': ' if key else ''}{self.message}"


@dataclass
class Source:
    """Plain values, where each of them stands, and what is wrong with the text itself."""

    name: str
    """The file, as the user wrote it."""
    kind: Kind = "recipe"
    """What the file is to be."""
    values: dict[str, Any] = field(default_factory=dict[str, Any])
    places: dict[KeyPath, Place] = field(default_factory=dict[KeyPath, Place])
    problems: list[Problem] = field(default_factory=list[Problem])

    def problem(self, path: KeyPath, message: str) -> Problem:
        """A problem at `path`, or where the nearest section above it stands."""
        known = path
        while known and known not in self.places:
            known = known[:-1]
        return Problem(self.places.get(known, Place(0, 1, self.name)), path, message)


def read_source(path: Path | str, overrides: Iterable[str] = (), kind: Kind = "recipe") -> Source:
    """The values of a recipe file, or of one of another kind, with the overrides laid over them.

    Raises InputError where the file cannot be read, RecipeError where it is not a mapping in YAML; a smaller fault is
    left in `problems`, to be reported together with those that the schema finds.
    """
    source = Source(str(path), kind)
    start = Place(0, 1, source.name)
    node = _compose(_text(Path(path), source.name, kind), start)
    if not isinstance(node, MappingNode):
        found = "is empty" if node is None else "is not a mapping"
        raise _unreadable(start, f"the {kind} {found}; it has lines such as {EXAMPLES[kind]!r}")
    values = _value(node, (), source, start)
    if not isinstance(values, dict):
        raise RecipeError([str(problem) for problem in source.problems])
    source.values = values
    for number, override in enumerate(overrides, 1):
        _override(override, Place(number, 1, f"--set {override}"), source)
    return source


def _text(path: Path, name: str, kind: Kind) -> str:
    if path.is_dir():
        inside = ", ".join(sorted(str(file) for file in path.glob("*.yaml"))[:5])
        raise InputError(f"{name!r} is a folder, not a {kind}" + (f"; {kind}s in it: {inside}" if inside else ""))
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except FileNotFoundError as error:
        raise InputError(f"there is no {kind} {name!r}{_near_file(path, FOLDERS[kind])}") from error
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read the {kind} {name!r}: {getattr(error, 'strerror', None) or error}") from error
    if len(content) > MAX_BYTES:
        raise InputError(f"{name!r} is larger than {MAX_BYTES:,} bytes, which no {kind} is")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        place = Place(0, content.count(b"\n", 0, error.start) + 1, name)
        raise _unreadable(place, f"not text in UTF-8 (byte 0x{content[error.start]:02x}); is it a {kind}?") from error


def _near_file(path: Path, usual: str) -> str:
    try:
        files = [file for folder in (path.parent, Path(usual)) for file in folder.glob("*.y*ml")]
    except (OSError, ValueError):
        return ""
    names = {key: str(file) for file in files for key in (str(file), file.name, file.stem)}
    near = difflib.get_close_matches(str(path), names, n=1) or difflib.get_close_matches(path.name, names, n=1)
    return f"; did you mean {names[near[0]]!r}?" if near else ""


def _compose(text: str, start: Place) -> Node | None:
    """The root node of the one document in `text`. Raises RecipeError at the line where reading stopped."""
    line = 1
    try:
        return YAML(typ="safe", pure=True).compose(text)
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        message = error.problem or error.context or "cannot be read"
        if r"'\t'" in message:
            message += "; indent with spaces, not tabs"
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        message = f"character {text[error.position : error.position + 1]!r} is not allowed"
    except RecursionError:
        message = "nested too deeply"
    except (YAMLError, ValueError, LookupError, TypeError, AttributeError, AssertionError) as error:
        # On some malformed text the parser fails with an error that is not its own.
        message = f"cannot be read ({type(error).__name__}: {error})"
    raise _unreadable(start._replace(line=line), f"not YAML: {message}")


def _unreadable(place: Place, message: str) -> RecipeError:
    return RecipeError([str(Problem(place, (), message))])


def _value(node: Node, path: KeyPath, source: Source, place: Place) -> Any:
    """Plain values of a node that stands at `place`; faults go to `source.problems`."""
    source.places[path] = place
    if node.anchor:
        message = f"anchors and aliases (&{node.anchor}) are not used in {source.kind}s; write the value out"
        source.problems.append(Problem(place, path, message))
        return None
    if isinstance(node, MappingNode):
        return _mapping(node, path, source, place)
    if isinstance(node, SequenceNode):
        return [
            _value(item, (*path, str(index)), source, _within(place, item)) for index, item in enumerate(node.value)
        ]
    return _scalar(node, path, source, place)


def _mapping(node: MappingNode, path: KeyPath, source: Source, place: Place) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key_node, value_node in node.value:
        key_place = _within(place, key_node)
        if not isinstance(key_node, ScalarNode):
            source.problems.append(Problem(key_place, path, "a key must be a word, not a list or a mapping"))
            continue
        key = str(key_node.value)
        key_path = (*path, key)
        if key in values:
            first = source.places[key_path]
            source.problems.append(Problem(key_place, key_path, f"given twice, first at {first}"))
        else:
            values[key] = _value(value_node, key_path, source, key_place)
    return values


def _within(place: Place, node: Node) -> Place:
    """The node's own line; all of an override is one place."""
    return place if place.override else place._replace(line=node.start_mark.line + 1)


def _scalar(node: Node, path: KeyPath, source: Source, place: Place) -> Any:
    tag = str(node.tag).removeprefix("tag:yaml.org,2002:")
    if tag in ("str", "timestamp", "value", "merge"):
        return str(node.value)
    try:
        if tag in ("null", "bool", "int", "float"):
            return YAML(typ="safe", pure=True).constructor.construct_object(node)
        message = f"tags ({tag}) are not used in {source.kind}s"
    except (YAMLError, ValueError, LookupError):
        message = f"{shown(node.value)} is not a value"
    source.problems.append(Problem(place, path, message))
    return None


def _override(override: str, place: Place, source: Source) -> None:
    """Lay one KEY=VALUE over the values; what stood below its key, problems too, is gone."""
    key, equals, text = override.partition("=")
    path = tuple(part.strip() for part in key.split("."))
    if not equals or not all(path):
        source.problems.append(Problem(place, (), "must be KEY=VALUE, for example --set train.lora.r=8"))
        return
    section: Any = source.values
    for depth, part in enumerate(path):
        if not _has_room(section, part):
            kind = f"a list of {len(section)}, numbered from 0" if isinstance(section, list) else "not a section"
            message = f"is {shown(section)}, {kind}, so it has no key {part!r}"
            source.problems.append(Problem(place, path[:depth], message))
            return
        if depth < len(path) - 1:
            section = section.setdefault(part, {}) if isinstance(section, dict) else section[int(part)]
            source.places.setdefault(path[: depth + 1], place)
    source.places = {known: at for known, at in source.places.items() if known[: len(path)] != path}
    source.problems = [problem for problem in source.problems if problem.path[: len(path)] != path]
    try:
        node = _compose(text, place)
    except RecipeError as error:
        source.problems.append(Problem(place, path, error.problems[0].removeprefix(f"{place}: ")))
    else:
        source.places[path] = place
        section[_index(section, path[-1])] = None if node is None else _value(node, path, source, place)


def _has_room(section: Any, part: str) -> bool:
    """Whether a value can stand there: at any key of a section, at a number that a list has."""
    return isinstance(section, dict) or (isinstance(section, list) and part.isdecimal() and int(part) < len(section))


def _index(section: Any, part: str) -> str | int:
    return int(part) if isinstance(section, list) else part
