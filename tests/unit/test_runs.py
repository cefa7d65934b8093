"""A finished run is found by folder, name or species."""

import os
from pathlib import Path

import pytest
from example_records import run_record

from speciate import runs, storage
from speciate.errors import NotFound, StorageError


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with an old and a new run of one species, a run of another, a damaged one and one that has not ended."""
    monkeypatch.setenv("SPECIATE_HOME", str(tmp_path))
    for age, (name, species) in enumerate([("a-2", "ant"), ("a-1", "ant"), ("b-1", "bee")]):
        record = tmp_path / "runs" / name / runs.RECORD
        storage.write_json(record, run_record(run=name, species=species).document())
        os.utime(record, (1_000_000 - age, 1_000_000 - age))
    storage.write_text(tmp_path / "runs" / "damaged" / runs.RECORD, '{"run":')
    (tmp_path / "runs" / "begun").mkdir()
    return tmp_path


def test_by_folder_by_name_and_the_newest_of_a_species(home: Path):
    assert runs.find_run(str(home / "runs" / "a-1")).run == "a-1"
    assert runs.find_run("a-1").run == "a-1"
    assert runs.find_run("ant").run == "a-2"
    assert runs.find_run("bee").run == "b-1"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("beee", "no finished run or species 'beee'; did you mean 'bee'"),
        ("a-3", "did you mean 'a-2'"),
        ("wasp", "'wasp'; they are looked up as folders, and in "),
        ("begun", "has not ended"),
        ("\0", "no finished run or species"),
    ],
)
@pytest.mark.usefixtures("home")
def test_what_is_not_there_is_said(name: str, said: str):
    with pytest.raises(NotFound, match=said):
        runs.find_run(name)


def test_a_damaged_run_is_named_and_hides_no_other(home: Path):
    with pytest.raises(StorageError, match="damaged"):
        runs.find_run("damaged")
    with pytest.raises(NotFound, match=r"damaged.run.json"):
        runs.find_run("wasp")
    path = home / "runs" / "a-1" / runs.RECORD
    storage.write_json(path, storage.read_json(path) | {"later": 1})
    with pytest.raises(StorageError, match=r"of another version of speciate: later"):
        runs.find_run("a-1")
