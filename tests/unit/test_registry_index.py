"""The index says what the files say: after a stop, after a change by hand, after damage; and every question is answered
as by looking through all cards.
"""

import re
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from example_records import DIGEST, card, forgetting, gain
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from speciate.errors import InputError, NotFound, StorageError
from speciate.models.adapter import CONFIG, WEIGHTS
from speciate.records import Card, Parent
from speciate.registry import aliases, index, lineage, places, query, store
from speciate.registry.entry import CARD
from speciate.registry.verify import verify
from speciate.storage import read_json, write_json


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "home"
    monkeypatch.setenv("SPECIATE_HOME", str(folder))
    return folder


def grown(folder: Path, number: int, species: str = "lean-prover", **changed: Any) -> Card:
    """An entry that no other is like."""
    adapter = folder / f"adapter-{number}"
    adapter.mkdir(parents=True)
    save_file({"lora_A": np.full((2, 2), number, dtype=np.float32)}, adapter / WEIGHTS)
    write_json(adapter / CONFIG, {"peft_type": "LORA", "r": 2})
    return store.register(adapter, lambda digest, version: card(species, version, digest, **changed))[1]


def everyone(wanted: query.Wanted | None = None, **how: Any) -> list[str]:
    with index.opened() as database:
        found, _ = query.listed(database, wanted or query.Wanted(), **how)
    return [f"{one['species']}@{one['version']}" for one in found]


# --- it keeps up ---


def stopped(*_: object) -> None:
    raise KeyboardInterrupt


def test_an_entry_that_was_published_but_not_indexed_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    grown(tmp_path, 0)
    monkeypatch.setattr(aliases, "put", stopped)
    with pytest.raises(KeyboardInterrupt):
        grown(tmp_path, 1)
    monkeypatch.undo()
    monkeypatch.setenv("SPECIATE_HOME", str(tmp_path / "home"))
    assert everyone() == ["lean-prover@1", "lean-prover@2"]
    assert grown(tmp_path, 2).version == 3
    assert [fault.what for fault in verify().faults if "has no alias" in fault.what]
    index.rebuild()
    assert verify().faults == []


def test_an_entry_copied_or_removed_by_hand_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = grown(tmp_path, 0)
    entry = store.entry_path(one.digest)
    monkeypatch.setenv("SPECIATE_HOME", str(tmp_path / "other"))
    assert everyone() == []
    places.entries_folder().mkdir(parents=True)
    shutil.copytree(entry, store.entry_path(one.digest))
    assert everyone() == ["lean-prover@1"]
    assert store.find("lean-prover@1")[1] == one
    shutil.rmtree(store.entry_path(one.digest))
    assert everyone() == []


def test_what_is_only_looked_at_is_not_written_to(home: Path) -> None:
    assert everyone() == []
    assert not home.exists()


@pytest.mark.parametrize("content", [b"", b"no database", b"SQLite format 3\x00" + b"\xff" * 4096])
def test_a_damaged_index_is_made_anew(tmp_path: Path, content: bytes) -> None:
    grown(tmp_path, 0)
    for name in ("index.sqlite-wal", "index.sqlite-shm"):
        (places.root() / name).unlink(missing_ok=True)
    places.index_file().write_bytes(content)
    assert everyone() == ["lean-prover@1"]
    assert grown(tmp_path, 1).version == 2
    assert verify().faults == []


def test_an_index_of_a_later_version_is_left_alone(tmp_path: Path) -> None:
    grown(tmp_path, 0)
    with sqlite3.connect(places.index_file()) as database:
        database.execute("PRAGMA user_version = 99")
    with pytest.raises(StorageError, match="later version"):
        everyone()


def test_a_registry_that_cannot_be_written_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    grown(tmp_path, 0)
    real = sqlite3.connect

    def refused(path: Any, *rest: Any, **more: Any) -> sqlite3.Connection:
        if str(path) != ":memory:":
            raise sqlite3.OperationalError("attempt to write a readonly database")
        return real(path, *rest, **more)

    monkeypatch.setattr(sqlite3, "connect", refused)
    assert everyone() == ["lean-prover@1"]
    assert store.find("lean-prover")[1].version == 1


def test_a_full_disk_for_the_index_loses_no_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(index, "add", full)
    made = grown(tmp_path, 0)
    monkeypatch.undo()
    monkeypatch.setenv("SPECIATE_HOME", str(tmp_path / "home"))
    assert store.find("lean-prover@1")[1] == made
    assert verify().faults == []


# --- aliases ---


def test_an_alias_moves_and_is_a_small_file(tmp_path: Path) -> None:
    one, two = grown(tmp_path, 0), grown(tmp_path, 1)
    store.point("lean-prover", "best", one.digest)
    assert store.find("lean-prover@best")[1] == one
    store.point("lean-prover", "best", two.digest)
    assert store.find("lean-prover@best")[1] == two
    assert (places.aliases_folder() / "lean-prover" / "best").read_text() == f"{two.digest}\n"
    assert (places.aliases_folder() / "lean-prover" / "1").read_text() == f"{one.digest}\n"
    index.rebuild()
    assert store.find("lean-prover@best")[1] == two
    store.unpoint("lean-prover", "best")
    with pytest.raises(NotFound, match="has no alias 'best'; there is lean-prover@1, lean-prover@2"):
        store.find("lean-prover@best")


@pytest.mark.parametrize(
    ("species", "alias"),
    [("lean-prover", "7"), ("lean-prover", "../x"), ("lean-prover", "A"), ("lean-prover", ""), ("../x", "best"),
     ("lean-prover", "a/b"), ("lean-prover", "a\n"), ("lean-prover\n", "best"), ("lean-prover", ".best")],
)  # fmt: skip
def test_a_name_that_is_no_alias_is_refused(tmp_path: Path, species: str, alias: str) -> None:
    one = grown(tmp_path, 0)
    with pytest.raises(InputError):
        store.point(species, alias, one.digest)
    assert verify().faults == []


def test_an_alias_means_an_entry_of_its_species(tmp_path: Path) -> None:
    grown(tmp_path, 0)
    other = grown(tmp_path, 1, "sorter")
    with pytest.raises(InputError, match="another species"):
        store.point("lean-prover", "best", other.digest)
    with pytest.raises(NotFound):
        store.point("lean-prover", "best", DIGEST)


def test_a_removed_entry_goes_with_its_aliases_and_its_number_is_not_given_again(tmp_path: Path) -> None:
    one, two = grown(tmp_path, 0), grown(tmp_path, 1)
    store.point("lean-prover", "best", one.digest)
    store.remove(store.entry_path(one.digest))
    assert everyone() == ["lean-prover@2"]
    with pytest.raises(NotFound):
        store.find("lean-prover@best")
    with pytest.raises(InputError, match="no entry of the registry"):
        store.remove(tmp_path)
    assert verify().faults == []
    assert grown(tmp_path, 2).version == 3
    assert store.find(two.digest)[1] == two


# --- questions ---

WORDS = st.text(alphabet="ab-\"'*()@:^ ANDORé", min_size=0, max_size=12)


@pytest.fixture
def three(tmp_path: Path) -> list[Card]:
    """Three entries that differ in everything that is asked for."""
    low = gain().model_copy(update={"delta": 0.1})
    lost = forgetting().model_copy(update={"ci95_upper": 0.2})
    base = {"name": "org/Qwen3_4B", "revision": "main", "digest": "sha256:" + "9" * 64}
    return [
        grown(tmp_path, 0, description="Proves theorems about lists."),
        grown(tmp_path, 1, verdict="failed", gain=low, forgetting=lost, created="2026-12-24T08:00:00+00:00"),
        grown(tmp_path, 2, "sorter", niche="code", base=base, run="sorter-7", created="2025-01-01T00:00:00+00:00"),
    ]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (query.Wanted(), [1, 2, 3]),
        (query.Wanted(species="sorter"), [3]),
        (query.Wanted(niche="lean"), [1, 2]),
        (query.Wanted(verdict="failed"), [2]),
        (query.Wanted(min_gain=0.5), [1, 3]),
        (query.Wanted(max_forgetting=0.1), [1, 3]),
        (query.Wanted(base="Qwen3_4B"), [3]),
        (query.Wanted(base="Qwen3%"), []),
        (query.Wanted(base="wen3_4B"), []),
        (query.Wanted(base="9999"), [3]),
        (query.Wanted(base="sha256:99"), [3]),
        (query.Wanted(since="2026-11-23"), [1, 2]),
        (query.Wanted(since="2026-11-24"), [2]),
        (query.Wanted(until="2025-01-01"), [3]),
        (query.Wanted(until="2026-12-24"), [1, 2, 3]),
        (query.Wanted(text="theor about"), [1]),
        (query.Wanted(text="SORTER-7"), [3]),
        (query.Wanted(text="failed"), [2]),
        (query.Wanted(niche="lean", text="nothing"), []),
    ],
)
def test_filters(three: list[Card], wanted: query.Wanted, expected: list[int]) -> None:
    names = [f"{made.species}@{made.version}" for made in three]
    assert everyone(wanted) == [names[number - 1] for number in expected]


def test_orders_and_pages(three: list[Card]) -> None:
    del three
    assert everyone(order="created") == ["lean-prover@2", "lean-prover@1", "sorter@1"]
    assert everyone(order="created", backwards=True)[0] == "sorter@1"
    assert everyone(order="gain")[-1] == "lean-prover@2"
    assert everyone(order="forgetting")[-1] == "lean-prover@2"
    assert everyone(limit=1, offset=1) == ["lean-prover@2"]


@given(WORDS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_search_is_read_as_a_language(three: list[Card], text: str) -> None:
    del three
    with index.opened() as database:
        if not re.search(r"\w", text):
            with pytest.raises(InputError, match="no word"):
                query.found_words(database, text)
        else:
            found, total = query.found_words(database, text)
            assert len(found) == total <= 3


# --- lineage ---


def test_a_phylogeny_has_parents_first_and_says_what_changed(tmp_path: Path) -> None:
    first = grown(tmp_path, 0, recipe={"seed": 0, "train": {"epochs": 1}})
    child: dict[str, Any] = {
        "parents": [Parent(kind="continued", digest=first.digest)],
        "recipe": {"seed": 0, "train": {"epochs": 3}},
    }
    second = grown(tmp_path, 1, created="2020-01-01T00:00:00Z", **child)
    absent = "sha256:" + "e" * 64
    third = grown(tmp_path, 2, "sorter", parents=[Parent(kind="merged", digest=d) for d in (second.digest, absent)])
    other = grown(tmp_path, 3, "other")
    with index.opened() as database:
        found = lineage.phylogeny(database)
        of_second = lineage.phylogeny(database, second.digest)
        newest = lineage.phylogeny(database, limit=2)
    place = {one.digest: number for number, one in enumerate(found.kin)}
    assert all(place[branch.parent] < place[branch.child] for branch in found.branches)
    kinds = {one.digest: one.what for one in found.kin}
    assert (kinds[DIGEST], kinds[absent], kinds[other.digest]) == ("base", "absent", "entry")
    assert next(b for b in found.branches if b.child == second.digest).recipe == ["train.epochs: 1 -> 3"]
    assert {one.digest for one in of_second.kin if one.entry} == {first.digest, second.digest, third.digest}
    named = sum(one.what == "entry" for one in newest.kin)
    assert (newest.left_out, named) == (1, 3), "the newest two, and a parent that is not absent"


def test_a_circle_of_parents_ends(tmp_path: Path) -> None:
    one = grown(tmp_path, 0)
    two = grown(tmp_path, 1, parents=[Parent(kind="continued", digest=one.digest)])
    path = store.entry_path(one.digest) / CARD
    write_json(path, read_json(path) | {"parents": [{"kind": "continued", "digest": two.digest}]})
    index.rebuild()
    with index.opened() as database:
        found = lineage.phylogeny(database, one.digest)
    assert {kin.digest for kin in found.kin} == {one.digest, two.digest}


# --- verify ---


def test_what_was_written_is_found_to_be_so(tmp_path: Path) -> None:
    for number in range(3):
        grown(tmp_path, number)
    assert (verify().entries, verify().faults) == (3, [])


def test_a_card_that_was_written_anew_with_its_manifest_differs_from_the_index(tmp_path: Path) -> None:
    from speciate.registry.entry import check, write_manifest

    made = grown(tmp_path, 0)
    entry = store.entry_path(made.digest)
    write_json(entry / CARD, read_json(entry / CARD) | {"licence": "proprietary"})
    write_manifest(entry, made.digest)
    assert check(entry) == []
    assert any("the index knows another card" in fault.what for fault in verify().faults)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("lean-prover/1", "nonsense", "does not hold a digest"),
        ("lean-prover/1", f"{DIGEST}\n", "is missing"),
        ("lean-prover/9", None, "means the entry of lean-prover@1"),
        ("other/best", None, "means the entry of lean-prover@1"),
        ("lean-prover/Bad", None, "is no alias"),
    ],
)
def test_aliases_are_verified(tmp_path: Path, name: str, content: str | None, message: str) -> None:
    made = grown(tmp_path, 0)
    path = places.aliases_folder() / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(content if content is not None else f"{made.digest}\n")
    assert any(message in fault.what for fault in verify().faults), verify().faults


def test_missing_entries_and_strangers_are_found(tmp_path: Path) -> None:
    made = grown(tmp_path, 0)
    shutil.rmtree(store.entry_path(made.digest))
    (places.root() / "notes.txt").write_text("hello")
    found = [fault.what for fault in verify().faults]
    assert sum("missing" in what for what in found) == 2, "the alias and the index both miss it"
    assert any("does not belong" in what for what in found)
    assert aliases.read(places.aliases_folder() / "lean-prover" / "1") == made.digest
