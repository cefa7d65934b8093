"""What the registry's commands say where something is not there, is damaged, or cannot be done."""

import io
from pathlib import Path

import pytest
from entries import flipped, registered
from example_registry import registered as grown

from speciate.cli import run


@pytest.fixture
def three(home: Path, tmp_path: Path) -> Path:
    """A registry of three entries of two species, on the base `tiny`."""
    for value, species in ((1.0, "ant"), (2.0, "ant"), (3.0, "honey-bee")):
        registered(tmp_path, value, species)
    return home


def said(capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 0) -> str:
    """What a command prints, in one line."""
    assert run(["registry", *arguments]) == status
    told = capsys.readouterr()
    assert "Traceback" not in told.err
    return " ".join((told.out + told.err).split())


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["search", "wombat"], ""),
        (["search", "huney-bee"], " Did you mean honey-bee for huney-bee?"),
        (["list", "--species", "antt"], " Did you mean ant for species?"),
        (["list", "--base", "tyny"], " Did you mean tiny for base?"),
        (["list", "--niche", "unknwn"], " Did you mean unknown for niche?"),
        (["list", "--verdict", "passed"], ""),
    ],
)
@pytest.mark.usefixtures("three")
def test_a_filter_that_finds_nothing_says_of_how_many(
    capsys: pytest.CaptureFixture[str], arguments: list[str], hint: str
) -> None:
    assert said(capsys, *arguments) == f"No entry is like that; 3 are registered.{hint}"


@pytest.mark.usefixtures("home")
def test_an_empty_registry_says_how_to_fill_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, "search", "wombat") == "No species yet. `speciate train RECIPE` grows one."


@pytest.mark.parametrize("below", ["", "/deep/home"])
@pytest.mark.parametrize(
    "command",
    [
        "registry list", "registry search x", "registry show x", "registry tree", "registry verify", "registry rebuild",
        "registry rm x --yes", "registry key list", "runs list", "report x", "compare x", "registry push --all there",
        "eval ant --dry-run", "registry alias x@best",
    ],
)  # fmt: skip
def test_a_home_that_is_a_file_is_told_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str, below: str
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SPECIATE_HOME", f"{tmp_path}/file{below}")
    assert run(command.split()) == 2
    told = capsys.readouterr()
    wanted = f"the home is to be '{tmp_path}/file{below}', but '{tmp_path}/file' is a file. Set SPECIATE_HOME to"
    assert wanted in told.err
    assert "Traceback" not in told.err
    assert not told.out


def test_the_doctor_sees_to_a_home_that_is_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SPECIATE_HOME", str(tmp_path / "file"))
    assert run(["doctor"]) == 0
    assert f"cannot write to '{tmp_path}/file'" in capsys.readouterr().out


@pytest.mark.parametrize("rebuilt", [False, True])
@pytest.mark.parametrize("name", ["honey-bee", "honey-bee@1", "folder", "digits", "digest", "path"])
def test_a_damaged_entry_is_told_with_a_remedy_and_can_be_removed(
    three: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, rebuilt: bool
) -> None:
    path, card = registered(tmp_path, 4.0, "honey-bee")
    assert said(capsys, "rm", "honey-bee@1", "--yes") == "honey-bee@1 is removed"
    (path / "card.json").write_text("{")
    if rebuilt:
        said(capsys, "rebuild")
    remedy = f"`speciate registry rm {path.name}` takes it out; then pull it, import it or train it again"
    for chosen in ([], [path.name], ["honey-bee@2"], [str(path)]):
        assert remedy in said(capsys, "verify", *chosen, status=1)
    if rebuilt:
        assert remedy in said(capsys, "list")
    else:
        assert remedy in said(capsys, "show", "honey-bee", status=2)
    called = {"folder": path.name, "digits": path.name[:6], "digest": card.digest, "path": str(path)}.get(name, name)
    if name == "honey-bee@1":
        called = "honey-bee@2"
    assert said(capsys, "rm", called, "--yes") == f"the damaged entry {path.name} is removed"
    assert not path.exists()
    assert not list((three / "registry" / "aliases" / "honey-bee").glob("*"))
    assert "all is as it was written" in said(capsys, "verify")


def test_what_is_not_there_is_not_removed(three: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("wasp", "ffff0000", "../entries", "/"):
        assert f"no entry '{name}'" in said(capsys, "rm", name, "--yes", status=2)
    assert "'ant' has no version '7'" in said(capsys, "rm", "ant@7", "--yes", status=2)
    assert len(list((three / "registry" / "entries").glob("[!.]*"))) == 3


@pytest.mark.usefixtures("three")
def test_one_flipped_byte_is_one_fault(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = ("adapter_model.safetensors", "adapter_config.json", "README.md", "manifest.json", "card.json")
    for number, name in enumerate(files):
        path, _ = registered(tmp_path, 5.0 + number, "wasp")
        flipped(path / name, 8 * 30)
        assert " 1 fault " in said(capsys, "verify", status=1), name
        said(capsys, "rm", path.name, "--yes")


@pytest.mark.usefixtures("three")
def test_where_nobody_can_answer_yes_is_asked_for(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert "give --yes to remove it" in said(capsys, "rm", "ant", status=2)
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    said(capsys, "rm", "ant", status=130)
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    assert "ant@2 is removed" in said(capsys, "rm", "ant")


@pytest.mark.usefixtures("home")
def test_a_species_whose_run_is_elsewhere_is_not_unknown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    grown(tmp_path / "grown", 1.0, "lean-prover", run="lean-prover-20261125-000000")
    registered(tmp_path, 2.0, "mine")
    for command in (["report", "NAME"], ["compare", "NAME"], ["compare", "NAME", "NAME"]):
        for name, why in (
            ("lean-prover", "its run 'lean-prover-20261125-000000' is not on this machine"),
            ("mine", "no run here grew it"),
        ):
            assert run([name if word == "NAME" else word for word in command]) == 2
            told = capsys.readouterr().err
            assert f"'{name}' is registered, as {name}@1, but {why}" in told
            assert f"`speciate registry show {name}@1` shows its card" in told
        assert run([command[0], "min"]) == 2
        assert "there is no finished run or species 'min'" in capsys.readouterr().err
