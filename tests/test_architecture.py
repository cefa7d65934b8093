"""The layers of the package, read from its imports, lazy ones too; and what no file of the repository may hold."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "speciate"
LAYERS: tuple[frozenset[str], ...] = (
    frozenset({"differing", "errors", "hardware", "storage", "remembered", "progress", "untrusted"}),
    frozenset({"recipe", "records"}),
    frozenset({"niches", "models"}),
    frozenset({"data", "train", "evals"}),
    frozenset({"registry", "runs"}),
    frozenset({"pipeline"}),
    frozenset({"reports", "doctor"}),
    frozenset({"cli", "browse", "endings"}),
)
"""A module imports from lower layers and from its own part; a part is a folder or a file of the package."""
WITHIN_A_LAYER = {
    ("differing", "storage"),
    ("storage", "errors"),
    ("remembered", "storage"),
    ("untrusted", "errors"),
    ("untrusted", "storage"),
    ("cli", "endings"),
    ("cli", "browse"),
}
ONLY_IN = {
    "torch": {"models", "train", "evals"},
    "trl": {"train"},
    "subprocess": {"niches", "pipeline", "doctor", "train"},
}
NEVER = {"pickle", "shelve", "marshal", "dill", "joblib"}
HEAVY = {"torch", "transformers", "trl", "peft", "datasets", "accelerate", "bitsandbytes", "scipy", "rich"}
ABOUT = {
    "reports/terminal.py": "rich",
    "reports/comparison.py": "rich",
    "reports/evaluation.py": "rich",
    "reports/registry.py": "rich",
    "evals/stats.py": "scipy",
    "evals/intervals.py": "scipy",
    "train/muon.py": "torch",
}
"""Files that are about a heavy library, and so load it at once; whoever imports them does so in a function."""
EMPTY_NAMES = re.compile(r"util|helper|manager|common|misc", re.IGNORECASE)
FORBIDDEN_TEXT = re.compile(
    r"pypi\.org|pythonhosted|npmjs|npmmirror|crates\.io|(?<![\w.])/(?:work|root|tmp)/|/home/(?!ada/)\w+/|/Users/\w+/"
)


class Import(NamedTuple):
    file: Path
    line: int
    module: str
    lazy: bool

    def __str__(self) -> str:
        return f"{self.file.relative_to(ROOT)}:{self.line} imports {self.module}"


def source_files() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def part_of(file: Path) -> str:
    """The folder or file of the package that a source file belongs to; empty for the package's own `__init__`."""
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py").removesuffix("__init__")


def imports(file: Path) -> Iterator[Import]:
    """Every import of a file; `from speciate import x` counts as one of `speciate.x`."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    at_load = {id(node) for node in _at_load(tree)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            package = node.module == "speciate"
            names = [f"speciate.{alias.name}" for alias in node.names] if package else [node.module]
        else:
            continue
        for name in names:
            yield Import(file, node.lineno, name, id(node) not in at_load)


def _at_load(tree: ast.AST) -> Iterator[ast.AST]:
    """What runs when the module is loaded: no function bodies, nothing under `if TYPE_CHECKING`."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        yield node
        yield from _at_load(node)


def every_import() -> list[Import]:
    return [found for file in source_files() for found in imports(file)]


def layer_of(part: str) -> int:
    return next(number for number, parts in enumerate(LAYERS) if part in parts)


def tracked_texts() -> list[tuple[Path, str]]:
    """Every text file that git tracks or would, with its text."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    texts: list[tuple[Path, str]] = []
    for name in filter(None, listed.split("\0")):
        path = ROOT / name
        if path.is_file() and b"\0" not in (content := path.read_bytes())[:8192]:
            texts.append((path, content.decode("utf-8", errors="replace")))
    return texts


def test_every_part_has_a_layer():
    parts = {part_of(file) for file in source_files()} - {""}
    assert parts <= set().union(*LAYERS), "give the new part a layer here and in the README"
    assert sum(map(len, LAYERS)) == len(set().union(*LAYERS))


def test_imports_go_down():
    wrong: list[str] = []
    for found in every_import():
        part = part_of(found.file)
        if not found.module.startswith("speciate.") or not part:
            continue
        other = found.module.split(".")[1]
        if other in ("__version__", part) or (part, other) in WITHIN_A_LAYER:
            continue
        if layer_of(other) >= layer_of(part):
            wrong.append(f"{found}: layer {layer_of(part)} cannot see layer {layer_of(other)}")
    assert not wrong, "\n".join(wrong)


def test_libraries_stay_where_they_belong():
    wrong = [
        str(found)
        for found in every_import()
        for library in [found.module.partition(".")[0]]
        if library in NEVER or part_of(found.file) not in ONLY_IN.get(library, {part_of(found.file)})
    ]
    assert not wrong, "\n".join(wrong)


def test_heavy_libraries_load_only_when_used():
    wrong: list[str] = []
    for found in every_import():
        library = found.module.partition(".")[0]
        file = str(found.file.relative_to(PACKAGE))
        if library in HEAVY and not found.lazy and ABOUT.get(file) != library:
            wrong.append(str(found))
    assert not wrong, "\n".join(wrong)


def test_imports_are_absolute():
    for file in source_files():
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            assert not (isinstance(node, ast.ImportFrom) and node.level), f"{file}:{node.lineno}"


def test_names_say_what_a_thing_is():
    wrong = [str(path.relative_to(ROOT)) for path in source_files() if EMPTY_NAMES.search(path.stem)]
    for file in source_files():
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef) and re.search(r"Manager|Helper|Util", node.name):
                wrong.append(f"{file.relative_to(ROOT)}:{node.lineno}: class {node.name}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(("folder", "most"), [("speciate", 400), ("tests", 500)])
def test_files_stay_readable(folder: str, most: int):
    long = {
        str(path.relative_to(ROOT)): lines
        for path in (ROOT / folder).rglob("*.py")
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > most
    }
    assert not long


def test_every_module_says_what_it_is():
    wrong = [str(file) for file in source_files() if not ast.get_docstring(ast.parse(file.read_text(encoding="utf-8")))]
    assert not wrong, "\n".join(wrong)


def test_only_the_command_line_prints_and_nobody_starts_a_shell():
    wrong: list[str] = []
    for file in source_files():
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            if ast.unparse(node.func) == "print" and part_of(file) != "cli":
                wrong.append(f"{file.relative_to(ROOT)}:{node.lineno}: print")
            if any(word.arg == "shell" for word in node.keywords):
                wrong.append(f"{file.relative_to(ROOT)}:{node.lineno}: shell=")
    assert not wrong, "\n".join(wrong)


def test_no_file_names_a_package_host_or_a_folder_of_one_machine():
    wrong = [
        f"{path.relative_to(ROOT)}:{text.count(chr(10), 0, found.start()) + 1}: {found[0]}"
        for path, text in tracked_texts()
        if path != Path(__file__)
        for found in FORBIDDEN_TEXT.finditer(text)
    ]
    assert not wrong, "\n".join(wrong)


def test_the_reading_of_imports_sees_lazy_and_typing_ones(tmp_path: Path):
    file = tmp_path / "module.py"
    file.write_text(
        "import json\n"
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    import torch\n"
        "class A:\n    import rich\n    def f(self):\n        from speciate import storage\n"
    )
    assert [(found.line, found.module, found.lazy) for found in imports(file)] == [
        (1, "json", False),
        (2, "typing", False),
        (4, "torch", True),
        (6, "rich", False),
        (8, "speciate.storage", True),
    ]
