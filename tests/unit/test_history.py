"""`speciate runs list`: all runs and evaluations, newest first, with what came out."""

import json
from pathlib import Path

import pytest
from example_records import DIGEST, forgetting, gain, run_record

from speciate import runs, storage
from speciate.cli import run
from speciate.pipeline.folder import owned
from speciate.pipeline.history import history
from speciate.records import EvalRecord, ModelScores, Score

BASE = {"name": "data/base/tiny", "revision": None, "digest": DIGEST}


def evaluation(name: str, models: list[ModelScores]) -> EvalRecord:
    return EvalRecord(
        eval=name,
        eval_dir="/elsewhere",
        suite="map",
        suite_version=1,
        suite_digest=DIGEST,
        base=BASE,
        models=models,
        items={"general": 50},
        answers=100,
        recalled=0,
        seconds=1.0,
        tokens_per_second=1.0,
        device="cpu",
        precision="float32",
        versions={},
    )


@pytest.fixture
def lived_in(home: Path) -> Path:
    """A home with a run, a run that has not ended, two evaluations, a damaged one and a folder that is none."""
    start = {"recipe": {"evals": {"suite": "general-tiny"}}, "base": BASE}
    score = Score(role="general", value=0.9, ci95=(0.8, 0.96), n=50)
    alone = ModelScores(model="base", reference="data/base/tiny", digest=DIGEST, scores=[score])
    grown = ModelScores(
        model="ant@1", reference="ant", digest=DIGEST, scores=[score], gain=gain(), forgetting=forgetting()
    )
    storage.write_json(home / "runs" / "ant-1" / runs.START, start | {"created": "2026-11-01T10:00:00+00:00"})
    storage.write_json(home / "runs" / "ant-1" / runs.RECORD, run_record(run="ant-1", species="ant").document())
    storage.write_json(home / "runs" / "ant-2" / runs.START, start | {"created": "2026-11-04T10:00:00+00:00"})
    for name, created, models in (("map-1", "02", [alone]), ("map-2", "03", [alone, grown])):
        folder = home / "evals" / name
        storage.write_json(folder / runs.START, {"created": f"2026-11-{created}T10:00:00+00:00"})
        storage.write_json(folder / runs.EVAL, evaluation(name, models).document())
    storage.write_text(home / "evals" / "broken" / runs.EVAL, "{")
    (home / "evals" / "empty").mkdir()
    return home


@pytest.mark.usefixtures("lived_in")
def test_newest_first_with_what_came_out() -> None:
    events, problems = history()
    assert [(event.name, event.kind, event.state) for event in events] == [
        ("ant-2", "run", "unfinished"),
        ("map-2", "evaluation", "evaluated"),
        ("map-1", "evaluation", "evaluated"),
        ("ant-1", "run", "passed"),
    ]
    assert [(event.base, event.suite) for event in events] == [
        ("data/base/tiny", "general-tiny"), ("data/base/tiny", "map"), ("data/base/tiny", "map"),
        ("data/base/tiny", "general-tiny"),
    ]  # fmt: skip
    assert [[(one.model, one.figure) for one in event.figures] for event in events] == [
        [], [("ant@1", "gain"), ("ant@1", "forgetting")], [("base", "score")], [("ant", "gain"), ("ant", "forgetting")],
    ]  # fmt: skip
    assert events[3].figures[0].ci95 == gain().ci95
    [problem] = problems
    assert "broken" in problem, "a damaged record hides no other"


def test_the_list_is_a_document_and_a_page(lived_in: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["runs", "list", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["schema"] == "runs/1"
    assert found["runs"][0]["folder"] == str(lived_in / "runs" / "ant-2")
    assert run(["runs", "list"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "passed ant-1 2026-11-01 10:00 data/base/tiny · suite general-tiny gain +63.4 points (58.1 to 68.4)" in shown
    assert "ant@1: gain +63.4 points (58.1 to 68.4), lost 0.4 points (-0.2 to 1.1)" in shown
    assert "base: 90.0% general (80.0% to 96.0%)" in shown
    assert "`speciate train RECIPE --resume`" in shown


def test_what_is_going_on_is_told_apart_from_what_was_stopped(
    lived_in: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = lived_in / "runs" / "ant-2"
    with owned(folder):
        assert history()[0][0].state == "running"
        assert run(["runs", "list"]) == 0
        shown = capsys.readouterr().out
        assert "running" in shown
        assert "was stopped" not in shown
    assert (folder / ".lock").exists()
    assert history()[0][0].state == "unfinished"
    with owned(folder):
        pass


def test_a_run_without_its_start_is_as_old_as_its_record(home: Path) -> None:
    storage.write_json(home / "runs" / "ant-1" / runs.RECORD, run_record(run="ant-1", species="ant").document())
    storage.write_text(home / "runs" / "ant-1" / runs.START, "[1]")
    [[event], problems] = history()
    assert (event.state, event.base, event.created[:2], problems) == ("passed", "", "20", [])


def test_an_empty_home_is_no_error(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["runs", "list"]) == 0
    assert "No runs yet" in capsys.readouterr().out
    assert not home.exists()
