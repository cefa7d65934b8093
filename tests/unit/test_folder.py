"""The folder of a run: made once, owned by one process, resumed only by what it began with."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from speciate import runs
from speciate.errors import HomeNotWritable, InputError, NotFound, ResumeMismatch, StorageError
from speciate.models.base import BaseSource
from speciate.pipeline.folder import RECIPE, START, RunFolder, folder_to_resume, new_folder, owned
from speciate.recipe import LoadedRecipe, load_recipe, resolve
from speciate.storage import read_json, write_json

TEXT = "species: ant\nbase: {model: a-base}\nniche: {name: lean}\n"
BASE = BaseSource("a-base", None, Path("somewhere"), "sha256:aa")
VERSIONS = {"torch": "2.13.0", "transformers": "5.23.0", "peft": "0.21.2", "trl": "1.16.0", "numpy": "2.0"}


def recipe(folder: Path, *changes: str) -> LoadedRecipe:
    path = folder / "ant.yaml"
    path.write_text(TEXT)
    return load_recipe(path, changes)


def begun(path: Path, species: str = "ant", age_s: int = 0, ended: bool = False) -> Path:
    """A run's folder as it lies on disk."""
    write_json(path / START, {"species": species})
    os.utime(path / START, (1_000_000 - age_s, 1_000_000 - age_s))
    if ended:
        write_json(path / runs.RECORD, {})
    return path


def test_a_new_run_has_a_folder_of_its_own(home: Path) -> None:
    first, second = new_folder("ant", None), new_folder("ant", None)
    assert first != second
    assert first.parent == second.parent == home / "runs"
    assert first.name.startswith("ant-20")
    assert second.name.startswith("ant-20")


def test_out_is_taken_where_it_is_empty_or_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert new_folder("ant", Path("a") / "run") == tmp_path / "a" / "run"
    (tmp_path / "a" / "run" / ".lock").touch()
    assert new_folder("ant", Path("a") / "run") == tmp_path / "a" / "run"


def test_out_with_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("")
    with pytest.raises(InputError, match=r"holds files already; name a folder that is empty or missing") as caught:
        new_folder("ant", tmp_path)
    assert caught.value.exit_code == 2
    with pytest.raises(InputError, match=r"note\.txt' is a file;"):
        new_folder("ant", tmp_path / "note.txt")
    run = begun(tmp_path / "run")
    with pytest.raises(InputError, match=r"holds files already \(a run that stopped: add --resume to go on with it\)"):
        new_folder("ant", run)
    with pytest.raises(HomeNotWritable):
        new_folder("ant", tmp_path / "note.txt" / "run")


def test_a_run_killed_before_it_began_may_begin_again(tmp_path: Path) -> None:
    for name in (".lock", RECIPE, f".{RECIPE}.x1y2", f".{START}.x1y2"):
        (tmp_path / name).write_text("")
    with pytest.raises(NotFound, match=r"holds no run \(it has no start\.json\)"):
        folder_to_resume("ant", tmp_path)
    assert new_folder("ant", tmp_path) == tmp_path


def test_the_newest_run_that_has_not_ended_is_resumed(home: Path) -> None:
    with pytest.raises(NotFound, match="there is no run of 'ant'"):
        folder_to_resume("ant", None)
    folder = home / "runs"
    old_end, new_end = begun(folder / "d", age_s=40, ended=True), begun(folder / "a", age_s=10, ended=True)
    assert folder_to_resume("ant", None) == new_end, "none left: the newest is shown"
    older, newer = begun(folder / "c", age_s=30), begun(folder / "b", age_s=20)
    begun(folder / "e", species="bee")
    (folder / "f").mkdir()
    assert folder_to_resume("ant", None) == newer
    write_json(newer / runs.RECORD, {})
    assert folder_to_resume("ant", None) == older
    assert folder_to_resume("ant", old_end) == old_end, "--out names it"


def test_a_damaged_run_does_not_keep_others_from_going_on(home: Path) -> None:
    folder = home / "runs"
    for name, text in (("a", "{"), ("b", "[]"), ("c", "{}")):
        (folder / name).mkdir(parents=True)
        (folder / name / START).write_text(text)
    whole = begun(folder / "z")
    assert folder_to_resume("ant", None) == whole


def test_the_same_recipe_base_and_versions_may_go_on(tmp_path: Path) -> None:
    folder, loaded = RunFolder(tmp_path / "run"), recipe(tmp_path)
    folder.begin(loaded, BASE, VERSIONS)
    folder.check_same(loaded, BASE, VERSIONS | {"numpy": "2.1"})
    start = read_json(folder.path / START)
    assert start["schema"] == "run-start/1"
    assert start["recipe"] == resolve(loaded.recipe)
    assert resolve(load_recipe(folder.path / RECIPE).recipe) == resolve(loaded.recipe)


def test_all_that_differs_is_named_with_both_values(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.begin(recipe(tmp_path), BASE, VERSIONS)
    other = BaseSource("a-base", None, Path("somewhere"), "sha256:bb")
    changed = recipe(tmp_path, "train.lora.r=8", "niche.held_out=[lists]", "species=bee")
    with pytest.raises(ResumeMismatch) as caught:
        folder.check_same(changed, other, VERSIONS | {"peft": "0.22.0"})
    first, *differing, last = str(caught.value).splitlines()
    assert str(folder.path) in first
    assert sorted(differing) == [
        "  base digest: sha256:aa -> sha256:bb",
        '  niche.held_out: [] -> ["lists"]',
        '  species: "ant" -> "bee"',
        "  train.lora.r: 16 -> 8",
        "  version of peft: 0.21.2 -> 0.22.0",
    ]
    assert "begin a new run without --resume" in last
    assert caught.value.exit_code == 2


def test_a_damaged_start_is_named(tmp_path: Path) -> None:
    (tmp_path / START).write_text("{")
    with pytest.raises(StorageError, match=r"start\.json' is damaged"):
        RunFolder(tmp_path).check_same(recipe(tmp_path), BASE, VERSIONS)


def test_two_processes_cannot_own_one_folder(tmp_path: Path) -> None:
    holds = (
        "import pathlib, sys, time\n"
        "from speciate.pipeline.folder import owned\n"
        "with owned(pathlib.Path(sys.argv[1])):\n"
        "    print('mine', flush=True)\n"
        "    time.sleep(100)\n"
    )
    with subprocess.Popen([sys.executable, "-c", holds, str(tmp_path)], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "mine\n"
        with pytest.raises(InputError, match="another process is running"), owned(tmp_path):
            pass
        other.send_signal(signal.SIGKILL)
        other.wait()
    with owned(tmp_path):
        pass
    with owned(tmp_path):
        pass


def test_seconds_add_up_over_processes(tmp_path: Path) -> None:
    assert RunFolder(tmp_path).seconds() == {}
    write_json(tmp_path / "seconds.json", {"train": 5.0})
    with RunFolder(tmp_path).timed("train"):
        pass
    with RunFolder(tmp_path).timed("intact"):
        pass
    found = RunFolder(tmp_path).seconds()
    assert found.keys() == {"train", "intact"}
    assert 5.0 <= found["train"] < 6.0
