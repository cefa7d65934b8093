"""What a shell completes: recipes, suites, species and runs, by names that are read from folders.

Loads nothing but the standard library, for a person waits with a key pressed, and never fails: what cannot be read is
not offered.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import click
from click.shell_completion import CompletionItem

from speciate import storage
from speciate.untrusted import MOST_BYTES, read_plain

Names = Callable[[], Iterable[str]]
Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def one_of(*kinds: Names, files: bool = True) -> Complete:
    """Completes the names of some kinds and, where none begins so, files."""

    def complete(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
        # Bash forgets the names that stand before the word for files.
        found = [CompletionItem(incomplete, type="file")] if files else []
        names = dict.fromkeys(name for kind in kinds for name in _read(kind))
        # The shell takes an answer apart at its spaces.
        fitting = [name for name in names if name.startswith(incomplete) and len(name.split()) == 1]
        return [*found, *(CompletionItem(name) for name in fitting)]

    return complete


def recipes() -> Iterator[str]:
    """Recipe files here and in `recipes`."""
    for folder in (Path("recipes"), Path()):
        yield from sorted(str(path) for path in folder.glob("*.y*ml"))


def suites() -> list[str]:
    """Suites that are known by name, beside or above the working directory."""
    folders = (folder / "evals" / "suites" for folder in (Path.cwd(), *Path.cwd().parents))
    folder = next((folder for folder in folders if folder.is_dir()), None)
    return sorted(path.stem for path in folder.glob("*.yaml")) if folder else []


def species() -> Iterator[str]:
    """Species of the registry, alone, with each version, and by what else people call one of them."""
    registry = storage.home() / "registry"
    named = {(path.parent.name, path.name) for path in registry.glob("aliases/*/*")}
    for path in registry.glob("entries/*/card.json"):
        try:
            card = json.loads(read_plain(path, MOST_BYTES))
            named.add((str(card["species"]), str(card["version"])))
        except (OSError, ValueError, LookupError, TypeError):
            continue
    for name, alias in sorted(named):
        yield from (name, f"{name}@{alias}")


def runs() -> list[str]:
    """Runs of the home, newest first."""
    return _newest("runs", "run.json")


def evaluations() -> list[str]:
    """Evaluations of the home, newest first."""
    return _newest("evals", "eval.json")


def _newest(parent: str, record: str) -> list[str]:
    records = (storage.home() / parent).glob(f"*/{record}")
    dated = sorted(((path.stat().st_mtime_ns, path.parent.name) for path in records), reverse=True)
    return [name for _, name in dated]


def _read(kind: Names) -> list[str]:
    try:
        return list(kind())
    except Exception:  # a completion that fails would write into the line that a person is typing
        return []
