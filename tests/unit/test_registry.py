"""The registry on a real disk: entries are whole, named by content, found again, and damage is seen."""

import contextlib
import errno
import json
import multiprocessing
import os
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from example_records import card
from safetensors.numpy import save_file

from speciate.errors import HomeNotWritable, InputError, NotFound, StorageError
from speciate.models.adapter import CONFIG, WEIGHTS
from speciate.records import AdapterCard, Card
from speciate.registry import index, query, store
from speciate.registry.entry import CARD, ENTRY_FILES, MANIFEST, README, check, read_card, write_manifest
from speciate.registry.readme import metadata
from speciate.storage import read_json, write_json


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "home"
    monkeypatch.setenv("SPECIATE_HOME", str(folder))
    return folder


def adapter(folder: Path, value: float = 1.0, **config: Any) -> Path:
    folder.mkdir(parents=True)
    save_file({"layer.lora_A.weight": np.full((4, 8), value, dtype=np.float32)}, folder / WEIGHTS)
    content = {"peft_type": "LORA", "r": 4, "target_modules": ["v_proj", "q_proj"]} | config
    (folder / CONFIG).write_text(json.dumps(content))
    return folder


def carded(species: str = "lean-prover", **changed: Any) -> Callable[[str, int], AdapterCard]:
    return lambda digest, version: card(species, version, digest, **changed)


def entries() -> tuple[list[Card], list[str]]:
    """The cards of all entries, as their own files have them, in the order of the index, and what cannot be read."""
    with index.opened() as database:
        found, _ = query.listed(database, query.Wanted())
        return [read_card(store.entry_path(one["digest"])) for one in found], query.problems(database)


def visible(home: Path) -> list[str]:
    folder = home / "registry" / "entries"
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def test_an_entry_is_a_few_files_named_by_content(tmp_path: Path, home: Path) -> None:
    entry, made = store.register(adapter(tmp_path / "a"), carded())
    assert {path.name for path in entry.iterdir()} == ENTRY_FILES
    assert entry.parent == home / "registry" / "entries"
    assert made.digest.removeprefix("sha256:").startswith(entry.name)
    assert len(entry.name) == 16
    assert entries() == ([made], [])
    assert check(entry) == []


def test_the_readme_has_the_metadata_of_the_hub_and_the_figures(tmp_path: Path) -> None:
    hostile = "x\n---\nlicense: proprietary\n[link](javascript:alert(1))"
    entry, made = store.register(adapter(tmp_path / "a"), carded(description=hostile, base={"name": 'a"b: #c'}))
    text = (entry / README).read_text()
    found = metadata(text)
    assert found["base_model"] == 'a"b: #c'
    assert found["library_name"] == "peft"
    assert found["license"] == "apache-2.0"
    assert "lean" in found["tags"]
    assert found["adapter_digest"] == made.digest
    assert "+63.4 points (95% interval +58.1 to +68.4)" in text
    assert "with 95% confidence it is below 0.9 points" in text


def test_the_order_of_a_set_does_not_change_the_content(tmp_path: Path) -> None:
    first, _ = store.register(adapter(tmp_path / "a", target_modules=["q", "k", "v"]), carded())
    second, _ = store.register(adapter(tmp_path / "b", target_modules=["v", "q", "k"]), carded())
    assert first == second
    assert read_json(first / CONFIG)["target_modules"] == ["k", "q", "v"]
    other, _ = store.register(adapter(tmp_path / "c", target_modules=["q", "k"]), carded())
    assert other != first


def test_registering_again_keeps_the_first_card(tmp_path: Path, home: Path) -> None:
    _, first = store.register(adapter(tmp_path / "a"), carded(run="first"))
    _, again = store.register(tmp_path / "a", carded(run="second"))
    assert again == first
    assert len(visible(home)) == 1


def test_versions_count_up_for_each_species(tmp_path: Path) -> None:
    species = ["x", "y", "x", "x", "y"]
    made = [store.register(adapter(tmp_path / str(n), n), carded(name))[1] for n, name in enumerate(species)]
    assert [entry.version for entry in made] == [1, 1, 2, 3, 2]
    assert [(entry.species, entry.version) for entry in entries()[0]] == [
        ("x", 1), ("x", 2), ("x", 3), ("y", 1), ("y", 2)
    ]  # fmt: skip


# --- what is refused ---


@pytest.mark.parametrize("name", ["adapter_model.bin", "training_args.bin", "optimizer.pt", "x.py", "checkpoint-10/x"])
def test_a_file_that_does_not_belong_is_refused_by_name(tmp_path: Path, home: Path, name: str) -> None:
    folder = adapter(tmp_path / "a")
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes(b"\x80\x04.")
    with pytest.raises(InputError, match=name.split("/")[0]):
        store.register(folder, carded())
    assert visible(home) == []


def test_a_link_is_refused(tmp_path: Path) -> None:
    folder = adapter(tmp_path / "a")
    (folder / README).symlink_to("/etc/hostname")
    with pytest.raises(InputError, match=r"README\.md"):
        store.register(folder, carded())


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (WEIGHTS, b"\x80\x04K\x01.", "not a safetensors file"),
        (WEIGHTS, b"", "not a safetensors file"),
        (CONFIG, b"{", "damaged"),
        (CONFIG, b"[]", "peft_type"),
        (CONFIG, b"{}", "peft_type"),
    ],
)
def test_a_damaged_adapter_is_refused(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    folder = adapter(tmp_path / "a")
    (folder / name).write_bytes(content)
    with pytest.raises(InputError, match=message):
        store.register(folder, carded())


def test_a_folder_without_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a folder"):
        store.register(tmp_path / "missing", carded())
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=WEIGHTS):
        store.register(tmp_path / "empty", carded())


def test_a_home_that_is_a_file_is_named(tmp_path: Path, home: Path) -> None:
    home.write_text("not a folder")
    with pytest.raises(HomeNotWritable, match="SPECIATE_HOME"):
        store.register(adapter(tmp_path / "a"), carded())


def test_a_card_for_other_content_is_a_defect_of_the_caller(tmp_path: Path, home: Path) -> None:
    with pytest.raises(ValueError, match="the card says"):
        store.register(adapter(tmp_path / "a"), lambda digest, version: card(version=version + 1, digest=digest))
    assert visible(home) == []


# --- nothing half-written ---


@pytest.mark.parametrize("call", ["os.replace", "os.rename", "os.fsync", "shutil.copyfile", "tempfile.mkdtemp"])
def test_a_full_disk_at_any_write_leaves_nothing(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    module = __import__(call.split(".")[0])
    name = call.split(".")[1]
    real = getattr(module, name)
    folder = adapter(tmp_path / "a")
    messages: list[str] = []
    for fatal in range(1, 40):
        calls = 0

        def failing(*arguments: Any, fatal: int = fatal, **named: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == fatal:
                raise OSError(errno.ENOSPC, "No space left on device")
            return real(*arguments, **named)

        with monkeypatch.context() as patch:
            patch.setattr(module, name, failing)
            try:
                store.register(folder, carded())
            except StorageError as error:
                messages.append(str(error))
        whole = [entry for entry in visible(home) if check(home / "registry" / "entries" / entry) == []]
        assert visible(home) == whole, "a part of an entry can be seen"
        if calls < fatal:
            break
    else:
        pytest.fail("the writes never ended")
    assert messages
    assert all("disk is full" in message for message in messages)
    assert len(visible(home)) == 1


def _register_with_little_space(folder: Path, queue: Any) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
    try:
        store.register(folder, carded())
    except StorageError as error:
        queue.put(str(error))
    else:
        queue.put("registered")


def test_a_write_that_the_kernel_refuses_leaves_nothing(tmp_path: Path, home: Path) -> None:
    folder = adapter(tmp_path / "a")
    save_file({"large": np.zeros(10_000, dtype=np.float32)}, folder / WEIGHTS)
    spawn = multiprocessing.get_context("spawn")
    queue: Any = spawn.Queue()
    process = spawn.Process(target=_register_with_little_space, args=(folder, queue))
    process.start()
    assert "cannot write" in queue.get(timeout=60)
    process.join(60)
    assert visible(home) == []


def _die_before_publishing(folder: Path) -> None:
    os.rename = lambda *_: os._exit(9)  # type: ignore[assignment]
    store.register(folder, carded())


def test_a_killed_process_leaves_nothing_to_see_and_the_next_one_cleans_up(tmp_path: Path, home: Path) -> None:
    process = multiprocessing.get_context("spawn").Process(
        target=_die_before_publishing, args=(adapter(tmp_path / "a"),)
    )
    process.start()
    process.join(60)
    assert process.exitcode == 9
    assert [name[0] for name in visible(home)] == ["."]
    assert entries() == ([], [])
    with pytest.raises(NotFound):
        store.find("lean-prover")
    entry, _ = store.register(adapter(tmp_path / "b", 2.0), carded())
    assert visible(home) == [entry.name]


def _register_each(folders: list[Path], barrier: Any) -> None:
    barrier.wait(60)
    for folder in folders:
        store.register(folder, carded())


def test_two_processes_at_once_give_every_adapter_its_own_version(tmp_path: Path, home: Path) -> None:
    folders = [adapter(tmp_path / str(number), number) for number in range(8)]
    spawn = multiprocessing.get_context("spawn")
    barrier = spawn.Barrier(2)
    shared = folders[:2]
    processes = [
        spawn.Process(target=_register_each, args=(part, barrier))
        for part in ([*shared, *folders[2:5]], [*shared, *folders[5:]])
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0]
    cards, problems = entries()
    assert problems == []
    assert [made.version for made in cards] == list(range(1, 9))
    assert all(check(home / "registry" / "entries" / name) == [] for name in visible(home))


# --- damage is seen ---


def _flip_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))


def _change(field: str, value: Any) -> Callable[[Path], None]:
    return lambda path: write_json(path, read_json(path) | {field: value})


def _write(content: bytes) -> Callable[[Path], Any]:
    return lambda path: path.write_bytes(content)


@pytest.mark.parametrize(
    ("name", "damage", "message"),
    [
        (WEIGHTS, _flip_a_byte, "not those of the card"),
        (CONFIG, _change("base_model_name_or_path", "elsewhere"), "not those of the card"),
        (CARD, _change("verdict", "undecided"), "not the one"),
        (CARD, _change("digest", "sha256:" + "0" * 64), "not those of the card"),
        (CARD, _change("unknown", 1), "unknown"),
        (CARD, Path.unlink, "card.json is missing"),
        (CARD, _write(b"{"), "damaged"),
        (WEIGHTS, _write(b"cut"), "not a safetensors file"),
        (README, _flip_a_byte, "README.md is not the one"),
        (MANIFEST, _flip_a_byte, "manifest.json"),
        (MANIFEST, Path.unlink, "manifest.json is missing"),
        ("extra.bin", _write(b""), "does not belong"),
    ],
)
def test_check_finds_damage(tmp_path: Path, name: str, damage: Callable[[Path], Any], message: str) -> None:
    entry, _ = store.register(adapter(tmp_path / "a"), carded())
    damage(entry / name)
    assert any(message in problem for problem in check(entry)), check(entry)


def test_one_damaged_card_is_a_problem_and_hides_no_other(tmp_path: Path) -> None:
    entry, _ = store.register(adapter(tmp_path / "a"), carded())
    _, other = store.register(adapter(tmp_path / "b", 2.0), carded())
    (entry / CARD).write_text('{"species": 1}')
    index.rebuild()
    cards, problems = entries()
    assert cards == [other]
    assert len(problems) == 1
    assert entry.name in problems[0]
    assert store.find("lean-prover")[1] == other


def test_a_damaged_entry_is_not_given_out_as_registered(tmp_path: Path) -> None:
    entry, _ = store.register(adapter(tmp_path / "a"), carded())
    _flip_a_byte(entry / WEIGHTS)
    with pytest.raises(StorageError, match="damaged"):
        store.register(tmp_path / "a", carded())


def test_an_entry_moved_elsewhere_is_still_checked(tmp_path: Path) -> None:
    entry, made = store.register(adapter(tmp_path / "a"), carded())
    moved = entry.rename(tmp_path / "moved")
    assert check(moved) == []
    assert store.find(str(moved)) == (moved, made)


# --- finding ---


def test_what_can_be_said_of_an_entry_finds_it(tmp_path: Path) -> None:
    entry, first = store.register(adapter(tmp_path / "a"), carded())
    newer, second = store.register(adapter(tmp_path / "b", 2.0), carded())
    assert store.find("lean-prover") == (newer, second)
    assert store.find("lean-prover@1") == (entry, first)
    assert store.find(first.digest) == (entry, first)
    assert store.find(entry.name[:6].upper()) == (entry, first)
    assert store.find(str(entry)) == (entry, first)


def test_an_ambiguous_beginning_lists_what_it_could_mean() -> None:
    alike = [card(version=number, digest=f"sha256:abcd{number}" + "0" * 59) for number in (1, 2)]
    for made in alike:
        folder = store.entry_path(made.digest)
        write_json(folder / CARD, made.document())
        for name in (WEIGHTS, CONFIG, README):
            (folder / name).touch()
        write_manifest(folder, made.digest)
    with pytest.raises(InputError, match=r"lean-prover@1.*lean-prover@2"):
        store.find("abcd")
    assert store.find("abcd1")[1] == alike[0]


def test_what_is_not_there_is_met_with_a_suggestion(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="is empty"):
        store.find("lean")
    store.register(adapter(tmp_path / "a"), carded())
    with pytest.raises(NotFound, match="did you mean 'lean-prover'"):
        store.find("lean-provr")
    with pytest.raises(NotFound, match="has no version '7'; there is lean-prover@1"):
        store.find("lean-prover@7")
    with pytest.raises(NotFound, match="no entry 'ffff'"):
        store.find("ffff")
    with pytest.raises(NotFound, match=CARD), contextlib.chdir(tmp_path):
        store.find("./a")
