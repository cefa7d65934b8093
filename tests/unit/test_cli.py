"""The command line as a program: exit status, one JSON document, quick help, and an orderly end whatever happens."""

import importlib.metadata
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Protocol

import pytest
from example_records import run_record

from speciate import __version__, endings, storage
from speciate.cli import run
from speciate.runs import RECORD

ROOT = Path(__file__).parents[2]
PROGRAM = (sys.executable, "-c", "from speciate.cli import main; main()")
HEAVY = {
    "torch", "transformers", "trl", "peft", "datasets", "scipy", "numpy", "rich", "pydantic", "ruamel", "accelerate",
}  # fmt: skip
EVERY_HELP = """
import sys
import click
from speciate.cli import cli, run

def commands(command, path):
    yield path
    for name in getattr(command, "commands", {}):
        yield from commands(command.commands[name], [*path, name])

for path in commands(cli, []):
    assert run([*path, "--help"]) == 0, path
print(*sorted({module.partition(".")[0] for module in sys.modules}), file=sys.stderr)
"""


class Speciate(Protocol):
    def __call__(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]: ...


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home that does not exist yet."""
    return tmp_path / "home"


@pytest.fixture
def speciate(home: Path, tmp_path: Path) -> Speciate:
    """Run the program in an empty folder."""

    def speciate(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        given = {**os.environ, "SPECIATE_HOME": str(home), **environment}
        return subprocess.run(
            [*PROGRAM, *arguments], capture_output=True, text=True, env=given, cwd=tmp_path, timeout=120, check=False
        )

    return speciate


def the_document(stdout: str) -> dict[str, Any]:
    """The one JSON document on stdout; anything before or after it fails the test."""
    document = json.loads(stdout)
    assert document["speciate"] == __version__
    return document


def test_every_help_comes_without_a_heavy_import():
    shown = subprocess.run([sys.executable, "-c", EVERY_HELP], capture_output=True, text=True, timeout=120, check=True)
    assert shown.stdout.count("Usage: speciate") >= 14
    imported = set(shown.stderr.split())
    assert "click" in imported
    assert not imported & HEAVY


def test_version_and_help_of_nothing(speciate: Speciate):
    assert speciate("--version").stdout == f"speciate {__version__}\n"
    bare = speciate()
    assert (bare.returncode, bare.stdout) == (2, "")
    assert "Usage: speciate [OPTIONS] COMMAND" in bare.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["trian", "x"], "there is no command 'trian'; did you mean 'train'?"),
        (["recipe", "chekc"], "there is no command 'chekc'; did you mean 'check'?"),
        (["zzz"], "there is no command 'zzz'; known: base, compare, completion, data, doctor, eval"),
        (["train"], "Missing argument 'RECIPE'"),
        (["train", "r.yaml", "--sed", "1"], "No such option '--sed'"),
        (["train", "r.yaml", "--seed", "x"], "'x' is not a valid integer"),
        (["recipe", "check"], "Missing argument 'FILES...'"),
        (["completion", "tcsh"], "'tcsh' is not one of"),
        (["train", "r.yaml"], "there is no recipe 'r.yaml'"),
        (["base", "train", "r.yaml"], "there is no recipe 'r.yaml'"),
        (["report", "nothing"], "there is no finished run or species 'nothing'"),
        (["registry", "show", "nothing"], "no entry 'nothing' in the registry"),
    ],
)
def test_bad_input_ends_with_2_in_text_and_in_json(
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    said: str,
):
    monkeypatch.setenv("SPECIATE_HOME", str(home))
    monkeypatch.chdir(home.parent)
    assert run(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert run([*arguments, "--json"]) == 2
    document = the_document(capsys.readouterr().out)
    assert (document["schema"], document["exit"]) == ("error/1", 2)
    assert set(document["error"]) == {"kind", "message", "problems"}
    assert not home.exists(), "nothing is written for a command that cannot run"


def test_five_mistakes_are_five_problems_and_nothing_is_written(speciate: Speciate, home: Path, tmp_path: Path):
    (tmp_path / "r.yaml").write_text(
        "species: Prover\nbase: {model: m, dtype: bf16}\nniche: {name: lean}\ntrain: {learning_rat: 1, epochs: '2'}\n"
    )
    ended = speciate("train", "r.yaml", "--json", "--seed", "7", "--set", "guard.replay=2")
    assert ended.returncode == 2
    error = the_document(ended.stdout)["error"]
    assert (error["kind"], len(error["problems"])) == ("RecipeError", 5)
    assert [problem.split(": ")[1] for problem in error["problems"]] == [
        "species", "base.dtype", "train.epochs", "train.learning_rat", "guard.replay",
    ]  # fmt: skip
    assert ended.stderr.splitlines() == [*error["problems"], "5 problems; nothing was started"]
    assert {path.name for path in tmp_path.iterdir()} == {"r.yaml"}
    assert not home.exists()


def test_recipe_check_tells_of_all_files(speciate: Speciate, tmp_path: Path):
    right = "species: a\nbase: {model: m}\nniche: {name: lean}\n"
    (tmp_path / "right.yaml").write_text(right)
    (tmp_path / "base.yaml").write_text("base: small\noutput: out\n")
    (tmp_path / "family.yaml").write_text(right.replace("lean}", "lean, held_out: [indction]}"))
    good = speciate("recipe", "check", "right.yaml", "base.yaml", "--json")
    assert [(found["kind"], found["name"]) for found in the_document(good.stdout)["recipes"]] == [
        ("species", "a"), ("base", "small"),
    ]  # fmt: skip
    bad = speciate("recipe", "check", "right.yaml", "family.yaml", "none.yaml")
    assert bad.returncode == 2
    assert bad.stderr.splitlines()[:2] == [
        "family.yaml:3: niche.held_out.0: unknown family 'indction'; did you mean 'induction'?",
        "there is no recipe 'none.yaml'; did you mean 'base.yaml'?",
    ]


def test_the_schema_is_printed_or_written(speciate: Speciate, tmp_path: Path):
    printed = json.loads(speciate("recipe", "schema").stdout)
    assert speciate("recipe", "schema", "--out", "s.json").stdout == ""
    assert json.loads((tmp_path / "s.json").read_text()) == printed


def test_an_empty_registry_is_no_error(speciate: Speciate, home: Path):
    document = the_document(speciate("registry", "list", "--json").stdout)
    assert (document["schema"], document["entries"]) == ("registry/2", [])
    assert "No species yet" in speciate("registry", "list").stdout
    assert not home.exists()


def test_a_run_is_reported_by_species(speciate: Speciate, home: Path):
    record = run_record()
    storage.write_json(home / "runs" / record.run / RECORD, record.document())
    lies = {"run_dir": str(home / "runs" / record.run)}
    assert the_document(speciate("report", "lean-prover", "--json").stdout) == record.document() | lies
    shown = speciate("report", record.run)
    assert shown.returncode == 0
    assert "lean-prover" in shown.stdout
    storage.write_text(home / "runs" / record.run / RECORD, "{")
    damaged = speciate("report", record.run)
    assert (damaged.returncode, damaged.stdout) == (2, "")
    assert "is damaged" in damaged.stderr


def test_the_doctor_finds_what_is_there(speciate: Speciate, home: Path, tmp_path: Path):
    found = the_document(speciate("doctor", "--json").stdout)
    assert (found["schema"], found["libraries"]["torch"]) == ("doctor/1", importlib.metadata.version("torch"))
    assert found["home"]["path"] == str(home)
    assert found["home"]["writable"]
    assert not found["lean"]["embedded"]
    assert not home.exists()
    (tmp_path / "file").write_text("")
    blocked = speciate("doctor", "--json", SPECIATE_HOME=str(tmp_path / "file" / "home"))
    findings = the_document(blocked.stdout)
    assert not findings["home"]["writable"]
    assert any("Set SPECIATE_HOME" in problem for problem in findings["problems"])


def test_an_unwritable_home_is_bad_input(speciate: Speciate, tmp_path: Path):
    (tmp_path / "file").write_text("")
    ended = speciate("lean", "setup", SPECIATE_HOME=str(tmp_path / "file" / "home"))
    assert ended.returncode == 2
    assert "cannot write to" in ended.stderr
    assert "Set SPECIATE_HOME" in ended.stderr


def test_a_dry_run_answers_and_writes_nothing(
    random_llama: Path, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("SPECIATE_HOME", str(home))
    monkeypatch.chdir(ROOT)
    recipe = home.parent / "r.yaml"
    niche = "{name: lean, families: [conjunctions, witnesses]}"
    recipe.write_text(f"species: a\nbase: {{model: {random_llama}}}\nniche: {niche}\ntrain: {{max_length: 256}}\n")
    assert run(["train", str(recipe), "--dry-run", "--json"]) == 0
    plan = the_document(capsys.readouterr().out)
    assert (plan["schema"], plan["species"], plan["recipe"]["train"]["max_length"]) == ("plan/1", "a", 256)
    assert run(["train", str(recipe), "--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert f"{plan['steps']:,} steps" in shown
    assert "⟦" in shown
    assert not home.exists()
    (home.parent / "file").write_text("")
    monkeypatch.setenv("SPECIATE_HOME", str(home.parent / "file" / "home"))
    assert run(["train", str(recipe)]) == 2
    assert "Set SPECIATE_HOME" in capsys.readouterr().err


def test_completion(speciate: Speciate):
    for shell in ("bash", "zsh", "fish"):
        assert "_SPECIATE_COMPLETE" in speciate("completion", shell).stdout
    words = {"_SPECIATE_COMPLETE": "bash_complete", "COMP_WORDS": "speciate re", "COMP_CWORD": "1"}
    assert speciate(**words).stdout.split() == ["plain,recipe", "plain,registry", "plain,report"]


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interruption_says_how_to_go_on(tmp_path: Path, number: signal.Signals, status: int):
    os.mkfifo(tmp_path / "r.yaml")
    # Opening for writing waits until the program has the recipe open; it then waits for text that does not come.
    with (
        subprocess.Popen(
            [*PROGRAM, "train", "r.yaml", "--json"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
        ) as process,
        (tmp_path / "r.yaml").open("w"),
    ):
        process.send_signal(number)
        stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == status
    assert stderr == "speciate: interrupted; `speciate train r.yaml --json --resume` goes on from the last checkpoint\n"
    assert the_document(stdout)["exit"] == status


def test_a_reader_that_left_is_no_error(home: Path):
    with subprocess.Popen(
        [*PROGRAM, "recipe", "schema"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "SPECIATE_HOME": str(home)},
    ) as process:  # fmt: skip
        assert process.stdout is not None
        process.stdout.close()
        process.stdout = None
        _, stderr = process.communicate(timeout=60)
    assert (process.returncode, stderr) == (0, "")


def test_libraries_see_no_telemetry_and_a_small_machine_waits_passively():
    code = """
import os, sys
from speciate.cli import main
sys.argv = ["speciate", "--version"]
try:
    main()
except SystemExit:
    print(*(os.environ.get(name) for name in ("HF_HUB_DISABLE_TELEMETRY", "DO_NOT_TRACK", "OMP_WAIT_POLICY")))
"""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "HF_"))}
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=clean, check=True)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    assert shown.stdout.splitlines()[-1] == f"1 1 {'PASSIVE' if cores <= 4 else None}"


def test_an_unexpected_error_leaves_its_traceback_in_a_file(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("SPECIATE_HOME", str(home))
    monkeypatch.delenv("SPECIATE_DEBUG", raising=False)
    assert endings.failed(raised(KeyError("secret\nsecond line")), ["train", "r.yaml", "--json"]) == 1
    out, err = capsys.readouterr()
    (file,) = (home / "crashes").iterdir()
    assert err.splitlines()[-1].endswith(str(file))
    assert "Traceback" not in err
    assert "Traceback" in file.read_text()
    assert "speciate train r.yaml --json" in file.read_text()
    assert the_document(out)["error"]["kind"] == "KeyError"
    monkeypatch.setenv("SPECIATE_DEBUG", "1")
    assert endings.failed(raised(KeyError("again")), []) == 1
    assert "Traceback" in capsys.readouterr().err
    assert len(list((home / "crashes").iterdir())) == 1


def test_an_unexpected_error_without_a_home_shows_its_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SPECIATE_HOME", str(tmp_path / "file"))
    assert endings.failed(raised(KeyError("lost")), []) == 1
    assert "Traceback" in capsys.readouterr().err


def test_a_pipe_that_broke_elsewhere_is_a_defect_and_a_missing_package_is_named(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("SPECIATE_HOME", str(home))
    assert endings.failed(raised(BrokenPipeError("the verifier")), []) == 1
    assert endings.failed(raised(ModuleNotFoundError("no trl", name="trl")), []) == 5
    assert "the package 'trl' is not installed" in capsys.readouterr().err
    assert endings.failed(raised(ModuleNotFoundError("no x", name="speciate.x")), []) == 1


def test_what_libraries_print_does_not_reach_stdout(capsys: pytest.CaptureFixture[str]):
    with endings.stdout_for_answers():
        sys.stdout.write("noise\n")
    endings.answer({"a": "∀"}, "text", as_json=True)
    out, err = capsys.readouterr()
    assert (json.loads(out), err) == ({"a": "∀"}, "noise\n")


def raised(error: BaseException) -> BaseException:
    """The error with a traceback, as it is where it is caught."""
    with pytest.raises(type(error)) as caught:
        raise error
    return caught.value
