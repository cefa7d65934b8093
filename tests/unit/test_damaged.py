"""Records of runs and evaluations that were cut, emptied or made by another version are refused in words, status 2."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from example_bases import evaluation
from example_records import run_record
from test_comparison import made

from speciate import runs
from speciate.cli import run
from speciate.errors import Damaged
from speciate.pipeline.folder import RunFolder
from speciate.pipeline.species import items_in
from speciate.records import ModelScores
from speciate.storage import read_json, write_json

CONTENTS = ["", "{", "not JSON", "[]", "5", "null", '"text"', "{}", '{"schema": "run/9"}', '{"a": "\\ud800"}', "\x00"]


def refused(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    """What a command says that ends with status 2, and with no traceback."""
    status = run([str(argument) for argument in arguments])
    said = capsys.readouterr().err
    assert status == 2, said
    assert "Traceback" not in said
    assert "defect" not in said
    return said


@pytest.mark.parametrize("content", CONTENTS)
def test_a_damaged_run_record_is_refused(home: Path, capsys: pytest.CaptureFixture[str], content: str) -> None:
    folder, other = (Path(made(home, name, niche=0.5, general=0.9, seed=seed)) for seed, name in enumerate("ab"))
    (folder / runs.RECORD).write_text(content)
    for arguments in (("report", folder), ("compare", folder, other), ("compare", other, folder)):
        assert "run.json' is damaged" in (said := refused(capsys, *arguments))
        assert "--resume writes it again" in said


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"schema": "run/2"}, "of another version of speciate: schema: Input should be 'run/1', not 'run/2'"),
        ({"gain": None}, "gain: Input should be a valid"),
        ({"later": 1}, "later: Extra inputs are not permitted, not 1"),
        ({"verdict": "perhaps"}, "verdict: Input should be 'passed'"),
    ],
)
def test_what_is_wrong_with_a_record_is_said(
    home: Path, capsys: pytest.CaptureFixture[str], changed: dict[str, Any], said: str
) -> None:
    write_json(home / "runs" / "a" / runs.RECORD, run_record(run="a").document() | changed)
    assert said in refused(capsys, "report", "a")


def test_a_number_that_json_cannot_say_is_refused(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = run_record(run="a").document()
    for number in ("NaN", "1e999"):
        (home / "runs" / "a").mkdir(parents=True, exist_ok=True)
        text = json.dumps(record | {"tokens_per_second": 0.125}).replace("0.125", number)
        (home / "runs" / "a" / runs.RECORD).write_text(text)
        assert "run.json' is damaged" in refused(capsys, "report", "a", "--json")


@pytest.mark.parametrize("content", CONTENTS)
def test_a_damaged_evaluation_is_refused(home: Path, capsys: pytest.CaptureFixture[str], content: str) -> None:
    folder = home / "evals" / "an-eval"
    folder.mkdir(parents=True)
    (folder / runs.EVAL).write_text(content)
    for arguments in (("report", folder), ("compare", folder, folder)):
        assert "eval.json' is damaged" in refused(capsys, *arguments)


@pytest.mark.parametrize("model", ["base", "adapter"])
@pytest.mark.parametrize("content", ["cut", "[1]", None])
@pytest.mark.parametrize("kind", [".parquet", "-drift.json", "-texts.json"])
def test_answers_that_are_damaged_are_told_with_a_remedy(
    home: Path, capsys: pytest.CaptureFixture[str], model: str, kind: str, content: str | None
) -> None:
    folder = Path(made(home, "a", niche=0.5, general=0.9, bound=True))
    evaluated = home / "evals" / "an-eval"
    shutil.copytree(folder / "evals", evaluated / "evals")
    record = record_of(evaluated, read_json(folder / runs.RECORD)["files"])
    write_json(evaluated / runs.EVAL, record)
    refused_nothing = run(["report", "an-eval"])
    assert (refused_nothing, run(["compare", str(folder)])) == (0, 0)
    capsys.readouterr()
    for place, remedy in (
        (evaluated, "Evaluate the same models again, into another folder; most answers are remembered."),
        (folder, f"`speciate eval {folder}` measures its adapter again; most answers are remembered."),
    ):
        path = place / "evals" / f"{model}{kind}"
        path.unlink() if content is None else path.write_text(content)
        command = ("report", "an-eval") if place == evaluated else ("compare", folder)
        said = refused(capsys, *command)
        assert f"{model}{kind}' {'is missing' if content is None else 'was changed'}" in said
        assert said.strip().endswith(remedy)


def record_of(folder: Path, files: dict[str, str]) -> dict[str, Any]:
    """The record of an evaluation of one adapter in a folder."""
    models = [
        ModelScores(model=name, reference=name, digest=f"sha256:{name}", scores=[]) for name in ("base", "adapter")
    ]
    return evaluation(eval=folder.name, eval_dir=str(folder), models=models, files=files).document()


@pytest.mark.parametrize("option", ["--html", "--markdown"])
def test_a_folder_is_no_page(home: Path, capsys: pytest.CaptureFixture[str], option: str) -> None:
    folder = made(home, "a", niche=0.5, general=0.9)
    for command in ("report", "compare", "eval"):
        assert "is a directory" in refused(capsys, command, folder, option, home)


@pytest.mark.parametrize("content", [*CONTENTS, None])
def test_a_damaged_start_is_refused(home: Path, capsys: pytest.CaptureFixture[str], content: str | None) -> None:
    folder, other = (Path(made(home, name, niche=0.5, general=0.9, seed=seed)) for seed, name in enumerate("ab"))
    if content is None:
        (folder / runs.START).unlink()
    else:
        (folder / runs.START).write_text(content)
    said = refused(capsys, "compare", folder, other)
    assert ("start.json' is missing" if content is None else "start.json' is damaged") in said
    assert "train again" in said


@pytest.mark.parametrize("key", ["schema", "species", "recipe", "base", "versions"])
def test_a_start_that_lacks_something_says_what(home: Path, capsys: pytest.CaptureFixture[str], key: str) -> None:
    folder, other = (Path(made(home, name, niche=0.5, general=0.9, seed=seed)) for seed, name in enumerate("ab"))
    start = read_json(folder / runs.START)
    if key == "schema":
        write_json(folder / runs.START, start | {"schema": "run-start/7"})
        assert "schema: Input should be 'run-start/1', not 'run-start/7'" in refused(capsys, "compare", folder, other)
    else:
        write_json(folder / runs.START, {name: value for name, value in start.items() if name != key})
        assert f"{key}: Field required" in refused(capsys, "compare", folder, other)


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("content", CONTENTS)
def test_a_run_with_a_damaged_start_is_not_resumed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], random_llama: Path, content: str
) -> None:
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(
        f"species: mine\nbase: {{model: {random_llama}}}\nniche: {{name: lean}}\ntrain: {{max_length: 256}}\n"
    )
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / runs.START).write_text(content)
    said = refused(capsys, "train", recipe, "--resume", "--out", tmp_path / "run")
    assert "start.json' is damaged" in said


@pytest.mark.parametrize("content", ["[]", "5", '{"train": "long"}', "{", '{"train": null}'])
def test_damaged_seconds_are_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "seconds.json").write_text(content)
    with pytest.raises(Damaged, match=r"seconds\.json' is damaged"):
        RunFolder(tmp_path).seconds()


@pytest.mark.parametrize("line", ["[]", "5", "{}", '{"family": "f"}', '{"mine": 1}', "{"])
def test_damaged_rows_of_a_run_are_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "train.jsonl"
    path.write_text('{"family": "f", "prompt": "p", "reference": "r", "digest": "d", "payload": {}}\n' + line + "\n")
    with pytest.raises(Damaged, match=r"train\.jsonl', line 2, is damaged"):
        items_in(path)
