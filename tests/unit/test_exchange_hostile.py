"""Nothing of another place is trusted: what is damaged, or made to do harm, is refused and leaves nothing."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from entries import fetched, flipped, refusal, registered, sent
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from speciate.errors import InputError
from speciate.models.adapter import WEIGHTS
from speciate.records import Card
from speciate.registry import index, places, query, store
from speciate.registry.entry import CARD, CONTENT, MANIFEST, check, write_manifest
from speciate.registry.pull import cache
from speciate.registry.verify import verify
from speciate.storage import read_json, write_json

pytestmark = pytest.mark.usefixtures("home")


@pytest.fixture
def entry(tmp_path: Path) -> tuple[Path, Card]:
    return registered(tmp_path / "made")


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Go to another, empty home."""
    return lambda: monkeypatch.setenv("SPECIATE_HOME", str(tmp_path / "elsewhere"))


@pytest.fixture
def hostile(entry: tuple[Path, Card], tmp_path: Path, elsewhere: Callable[[], None]) -> Path:
    """An entry in a folder that is going to be tampered with; the home is another."""
    sent(str(tmp_path / "there"), entry)
    elsewhere()
    return tmp_path / "there" / "entries" / entry[0].name


DAMAGES: list[tuple[Callable[[Path], Any], str]] = [
    (lambda path: flipped(path, 999), "is not the one"),
    (lambda path: path.write_bytes(path.read_bytes()[:-1]), "bytes there, its manifest.json lists"),
    (lambda path: path.write_bytes(path.read_bytes() + b"x"), "has more bytes than"),
    (Path.unlink, "is missing there"),
]


@pytest.mark.parametrize("name", CONTENT)
@pytest.mark.parametrize(("damage", "message"), DAMAGES)
def test_damage_there_is_found(hostile: Path, name: str, damage: Callable[[Path], Any], message: str) -> None:
    damage(hostile / name)
    assert message in refusal(str(hostile.parents[1]))


HOSTILE: list[tuple[Callable[[dict[str, Any]], Any], str]] = [
    (
        lambda m: m["files"].update({"../../../escaped": {"bytes": 1, "digest": "sha256:" + "0" * 64}}),
        "no manifest",
    ),
    (lambda m: m["files"].update({"adapter_model.bin": m["files"][WEIGHTS]}), "no manifest"),
    (lambda m: m["files"].pop(CARD), "does not list card.json"),
    (lambda m: m["files"][WEIGHTS].update({"bytes": -1}), "no manifest"),
    (lambda m: m["files"][WEIGHTS].update({"bytes": 10**18}), "at most"),
    (lambda m: m["files"][CARD].update({"bytes": 10**9}), "at most"),
    (lambda m: m["files"][WEIGHTS].update({"digest": "../../x"}), "no manifest"),
    (lambda m: m["files"][WEIGHTS].update({"digest": "sha256:" + "0" * 64}), "is not the one"),
    (lambda m: m.update({"adapter": "sha256:" + "0" * 64}), "another adapter"),
    (lambda m: m.update({"schema": "manifest/2"}), "no manifest"),
    (lambda m: m.update({"more": 1}), "no manifest"),
]


@pytest.mark.parametrize(("change", "message"), HOSTILE)
def test_a_hostile_manifest_is_refused(
    hostile: Path, tmp_path: Path, change: Callable[[Any], Any], message: str
) -> None:
    manifest = read_json(hostile / MANIFEST)
    change(manifest)
    write_json(hostile / MANIFEST, manifest)
    assert message in refusal(str(hostile.parents[1]))
    assert not list(tmp_path.rglob("*escaped*"))


@pytest.mark.parametrize("content", [b"", b"[]", b"{" * 60_000, b"\xff\xfe", b"9" * 5000, b" " * 10**6])
def test_a_manifest_that_is_none_is_refused(hostile: Path, content: bytes) -> None:
    (hostile / MANIFEST).write_bytes(content)
    assert "manifest" in refusal(str(hostile.parents[1]))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(bit=st.integers(0, 2**20), name=st.sampled_from([*CONTENT, MANIFEST]))
def test_a_bit_that_is_flipped_there_never_arrives(hostile: Path, bit: int, name: str) -> None:
    before = (hostile / name).read_bytes()
    # What was fetched whole in a refused attempt is kept, and need not be fetched again.
    shutil.rmtree(cache(), ignore_errors=True)
    try:
        flipped(hostile / name, bit)
        assert refusal(str(hostile.parents[1]))
    finally:
        (hostile / name).write_bytes(before)


def test_an_unfinished_entry_is_not_fetched(hostile: Path) -> None:
    (hostile / MANIFEST).unlink()
    assert "unfinished" in refusal(str(hostile.parents[1]))


def test_weights_are_as_large_as_is_asked_for(hostile: Path) -> None:
    assert "--max-bytes takes more" in refusal(str(hostile.parents[1]), most_bytes=100)
    assert fetched(str(hostile.parents[1]), "ant", most_bytes=10_000)[0].what == "fetched"


def test_other_files_are_left_there(hostile: Path) -> None:
    (hostile / "adapter_model.bin").write_bytes(b"\x80\x04.")
    (hostile / "run.py").write_text("raise SystemExit")
    assert fetched(str(hostile.parents[1]), "ant")[0].what == "fetched"
    assert check(next(places.entries_folder().glob("[!.]*"))) == []


@pytest.mark.parametrize("what", [WEIGHTS, MANIFEST, "entry", "alias", "aliases"])
def test_a_link_out_of_the_folder_is_not_followed(hostile: Path, tmp_path: Path, what: str) -> None:
    root = hostile.parents[1]
    path = {"entry": hostile, "alias": root / "aliases" / "ant" / "1", "aliases": root / "aliases"}.get(
        what, hostile / what
    )
    moved = path.rename(tmp_path / "outside")
    path.symlink_to(moved)
    with pytest.raises(InputError, match="leads out") if what in ("alias", "aliases") else pytest.MonkeyPatch.context():
        assert "leads out" in refusal(str(root))


def test_a_link_is_not_written_through(entry: tuple[Path, Card], tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "there" / "entries").symlink_to(tmp_path / "outside")
    (out,) = sent(str(tmp_path / "there"), entry)
    assert "leads out" in out.problem
    assert not list((tmp_path / "outside").iterdir())


def test_an_alias_that_means_another_species_is_refused(
    entry: tuple[Path, Card], tmp_path: Path, elsewhere: Callable[[], None]
) -> None:
    there = tmp_path / "there"
    sent(str(there), entry)
    elsewhere()
    (there / "aliases" / "bee").mkdir()
    shutil.copy(there / "aliases" / "ant" / "1", there / "aliases" / "bee" / "1")
    assert "its card is of 'ant'" in refusal(str(there), "bee")
    (there / "aliases" / "bee" / "1").write_text("sha256:../../x")
    with pytest.raises(InputError, match="damaged"):
        fetched(str(there), "bee")


def deep() -> dict[str, Any]:
    """Deeper than can be written."""
    found: dict[str, Any] = {}
    for _ in range(300):
        found = {"x": found}
    return found


@pytest.mark.parametrize(
    ("field", "value"),
    [("version", 10**12), ("version", 10**30), ("version", 0), ("species", "../x"), ("base", {"name": float("nan")}),
     ("shape", deep())],
)  # fmt: skip
def test_a_card_that_no_registry_could_hold_is_refused(hostile: Path, field: str, value: Any) -> None:
    forged = read_json(hostile / CARD) | {field: value}
    (hostile / CARD).write_text(json.dumps(forged))
    write_manifest(hostile, forged["digest"])
    assert refusal(str(hostile.parents[1]), hostile.name)
    with index.opened() as database:
        assert query.listed(database, query.Wanted()) == ([], 0)


def test_one_that_is_refused_hinders_no_other(hostile: Path, tmp_path: Path) -> None:
    there = str(hostile.parents[1])
    sent(there, registered(tmp_path / "b", 2.0, "bee"))
    shutil.rmtree(places.root())
    flipped(hostile / WEIGHTS, 1)
    assert sorted(one.what for one in fetched(there)) == ["fetched", "refused"]
    assert verify().faults == []


def test_one_that_is_damaged_here_is_not_taken_for_whole(hostile: Path) -> None:
    fetched(str(hostile.parents[1]), "ant")
    flipped(store.find("ant")[0] / WEIGHTS, 1000)
    (moved,) = fetched(str(hostile.parents[1]), hostile.name)
    assert "here already and damaged" in moved.problem
