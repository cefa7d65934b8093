"""What the shell completes: names that are there, at once, and never an error."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from example_records import run_record

from speciate import runs, storage

HEAVY = ("pydantic", "ruamel", "numpy", "torch", "rich", "safetensors")
CODE = """
import sys
from speciate.cli import run
status = run([])
print(*sys.modules, file=sys.stderr)
sys.exit(status)
"""


def completed(place: Path, line: str) -> list[str]:
    """What bash is told for a line, and that nothing heavy was loaded for it."""
    words = {"_SPECIATE_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))}
    given = {**os.environ, "SPECIATE_HOME": str(place / "home"), **words}
    ended = subprocess.run(
        [sys.executable, "-c", CODE], capture_output=True, text=True, env=given, cwd=place, timeout=60, check=False
    )
    loaded = {name.partition(".")[0] for name in ended.stderr.split()}
    assert "click" in loaded, ended.stderr
    assert not loaded & set(HEAVY)
    return [name for kind, _, name in (line.partition(",") for line in ended.stdout.split()) if kind == "plain"]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with recipes and suites, and a home with species, runs and what is damaged."""
    home = tmp_path / "home"
    monkeypatch.setenv("SPECIATE_HOME", str(home))
    for name in ("recipes/ant.yaml", "recipes/bee.yaml", "evals/suites/map.yaml", "evals/suites/many.yaml"):
        storage.write_text(tmp_path / name, "")
    entries = home / "registry" / "entries"
    for version in (1, 2):
        storage.write_json(entries / f"{version}" / "card.json", {"species": "ant", "version": version})
    storage.write_text(entries / "broken" / "card.json", "{")
    storage.write_text(home / "registry" / "aliases" / "ant" / "best", "")
    storage.write_json(runs.folder() / "ant-20261101" / runs.RECORD, run_record().document())
    storage.write_json(runs.evals_folder() / "map-20261102" / runs.EVAL, {})
    return tmp_path


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("speciate train recipes/", ["recipes/ant.yaml", "recipes/bee.yaml"]),
        ("speciate recipe check recipes/b", ["recipes/bee.yaml"]),
        ("speciate eval --suite ma", ["many", "map"]),
        ("speciate suite show map", ["map"]),
        ("speciate eval an", ["ant", "ant@1", "ant@2", "ant@best", "ant-20261101"]),
        ("speciate compare x m", ["map-20261102"]),
        ("speciate report ant-", ["ant-20261101"]),
        ("speciate registry show ant@", ["ant@1", "ant@2", "ant@best"]),
        ("speciate ru", ["runs"]),
    ],
)
def test_names_that_are_there_are_offered(place: Path, line: str, names: list[str]) -> None:
    assert completed(place, line) == names


def test_suites_are_known_from_a_folder_below(place: Path) -> None:
    (place / "deep" / "er").mkdir(parents=True)
    (place / "deep" / "er" / "home").symlink_to(place / "home")
    assert completed(place / "deep" / "er", "speciate suite show m") == ["many", "map"]


def test_what_cannot_be_read_is_not_offered(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("no folder")
    (tmp_path / "evals").mkdir()
    (tmp_path / "evals" / "suites").write_text("no folder")
    for line in ("speciate eval a", "speciate report a", "speciate eval --suite a", "speciate train a"):
        assert completed(tmp_path, line) == []
