"""A registry that somebody tampered with: nothing hangs, nothing is believed, all is told as a fault of its file."""

import contextlib
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from entries import fetched, registered, rewritten, said, sent

from speciate.cli import run
from speciate.cli.names import species
from speciate.errors import Damaged, InputError
from speciate.records import Card
from speciate.registry import index, places, query, store, verify, versions
from speciate.registry.entry import CARD, CONFIG, MANIFEST, README, write_manifest
from speciate.untrusted import read_plain

pytestmark = pytest.mark.usefixtures("home")


def faults() -> str:
    return "\n".join(f"{fault.where}: {fault.what}" for fault in verify.verify().faults)


# --- files that are none ---


def a_pipe(path: Path) -> None:
    path.unlink(missing_ok=True)
    os.mkfifo(path)


def a_hole(path: Path) -> None:
    """Without a byte on the disk."""
    path.unlink(missing_ok=True)
    with path.open("wb") as file:
        file.truncate(2**40)


def a_link(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to("/dev/zero")


def a_folder(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.mkdir()


@pytest.mark.parametrize("put", [a_pipe, a_hole, a_link, a_folder])
def test_only_plain_and_small_files_are_read(tmp_path: Path, put: Callable[[Path], None]) -> None:
    put(tmp_path / "file")
    with pytest.raises(Damaged, match=r"plain file|too large|is a link|Is a directory"):
        read_plain(tmp_path / "file", 100)
    with pytest.raises(FileNotFoundError):
        read_plain(tmp_path / "missing", 100)


@pytest.mark.parametrize("put", [a_pipe, a_hole, a_link])
@pytest.mark.parametrize("name", [CARD, README, CONFIG, MANIFEST, "alias", "key"])
def test_no_pipe_and_no_hole_stops_the_registry(
    ant: tuple[Path, Card], home: Path, tmp_path: Path, name: str, put: Callable[[Path], None]
) -> None:
    registered(tmp_path, 2.0, "bee")
    (home / "keys" / "trusted").mkdir(parents=True)
    path = {"alias": places.aliases_folder() / "ant" / "best", "key": home / "keys" / "trusted" / "x.pub"}.get(
        name, ant[0] / name
    )
    put(path)
    assert path.name in faults()
    index.rebuild()
    with index.opened() as database:
        assert query.registered(database) >= 1
    assert "bee" in list(species())


# --- permissions ---


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], contextlib.AbstractContextManager[None]]]:
    """Whom permissions bind: they do not bind root. In a home that is theirs."""
    home = Path(tempfile.mkdtemp())
    monkeypatch.setenv("SPECIATE_HOME", str(home))

    @contextlib.contextmanager
    def being() -> Generator[None]:
        if os.geteuid():
            yield
            return
        for path in (home, *home.rglob("*")):
            os.chown(path, 65534, 65534)
        os.seteuid(65534)
        try:
            yield
        finally:
            os.seteuid(0)

    yield being
    for path in (home, *home.rglob("*")):
        path.chmod(0o700)
    shutil.rmtree(home)


@pytest.mark.parametrize("what", ["entry", "not searched", CARD, "adapter_model.safetensors", "aliases", "alias"])
def test_what_may_not_be_read_is_a_fault_of_its_own(
    nobody: Callable[[], contextlib.AbstractContextManager[None]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    what: str,
) -> None:
    entry, _ = registered(tmp_path)
    registered(tmp_path, 2.0, "bee")
    assert run(["registry", "verify"]) == 0
    folder = places.aliases_folder() / "ant"
    places.index_file().unlink()
    path = {"entry": entry, "not searched": entry, "aliases": folder, "alias": folder / "1"}.get(what, entry / what)
    path.chmod(0o400 if what == "not searched" else 0)
    with nobody():
        told = said(capsys, "verify", status=1)
        assert "bee@1" in said(capsys, "list", status=0)
        if what in ("entry", "not searched", CARD):
            assert "refused" in said(capsys, "push", "--all", os.environ["SPECIATE_HOME"] + "/there", status=1)
    flat = "".join(told.split())
    assert str(path if what != "not searched" else entry) in flat or path.name in flat
    assert "bee" not in told


def test_a_home_that_may_only_be_read_is_whole(
    nobody: Callable[[], contextlib.AbstractContextManager[None]], tmp_path: Path
) -> None:
    registered(tmp_path)
    assert not faults()
    home = Path(os.environ["SPECIATE_HOME"])
    for path in (home, *home.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    with nobody():
        assert not faults()
        assert run(["registry", "list"]) == 0


def test_a_pull_goes_on_where_one_folder_may_not_be_read(
    nobody: Callable[[], contextlib.AbstractContextManager[None]],
) -> None:
    # The place lies in the home, for there nobody may look.
    there = Path(os.environ["SPECIATE_HOME"]) / "there"
    made = registered(Path(os.environ["SPECIATE_HOME"]) / "made")
    other = registered(Path(os.environ["SPECIATE_HOME"]) / "made", 2.0, "bee")
    sent(str(there), made, other)
    shutil.rmtree(places.root())
    (there / "entries" / made[0].name).chmod(0)
    with nobody():
        assert sorted(one.what for one in fetched(str(there))) == ["fetched", "refused"]


def test_a_pull_goes_on_where_links_lead_in_a_circle(ant: tuple[Path, Card], tmp_path: Path) -> None:
    there = tmp_path / "there"
    sent(str(there), ant)
    loop = there / "entries" / ("0" * 16)
    loop.symlink_to(loop)
    shutil.rmtree(places.root())
    assert sorted(one.what for one in fetched(str(there))) == ["fetched", "refused"]


# --- what verify sees ---


def moved_away(path: Path) -> None:
    other = path.rename(path.parents[3] / path.name)
    path.symlink_to(other)


WRONG: list[tuple[str, Callable[[Path], Any], str]] = [
    ("entry", moved_away, "is a link"),
    ("aliases/ant", moved_away, "does not belong to the aliases"),
    ("aliases/ant/best", moved_away, "is a link"),
    ("aliases/notes", lambda path: path.write_text("hello"), "does not belong to the aliases"),
    ("aliases/a\udcff", lambda path: path.mkdir(), "does not belong to the aliases"),
    ("aliases/ant/b\udcff", lambda path: path.write_text("x"), "is no alias"),
    ("entries/0\udcff", lambda path: path.mkdir(), "card.json is missing"),
    ("versions/ant", lambda path: (path.parent.mkdir(), path.write_text("x")), "does not hold a version"),
]


@pytest.mark.parametrize(("where", "tamper", "message"), WRONG)
def test_what_lies_there_wrongly_is_a_fault(
    ant: tuple[Path, Card],
    capsys: pytest.CaptureFixture[str],
    where: str,
    tamper: Callable[[Path], Any],
    message: str,
) -> None:
    path = ant[0] if where == "entry" else places.root() / where
    tamper(path)
    assert message in faults()
    for arguments in (["verify"], ["verify", "--json"]):
        said(capsys, *arguments, status=1)
    for arguments in (["list"], ["list", "--json"], ["show", ant[1].digest], ["push", "--all", str(places.root())]):
        assert run(["registry", *arguments]) in (0, 1)
        assert "defect" not in capsys.readouterr().err


def test_an_alias_that_was_written_over_is_a_fault_until_it_is_set(ant: tuple[Path, Card], tmp_path: Path) -> None:
    _, other = registered(tmp_path, 2.0)
    path = places.aliases_folder() / "ant" / "best"
    path.write_text(f"{other.digest}\n")
    assert f"it says {other.digest} and the index {ant[1].digest}" in faults()
    store.point("ant", "best", ant[1].digest)
    assert not faults()
    path.write_text(f"{other.digest}\n")
    index.rebuild()
    assert not faults()


def test_a_key_that_is_there_twice_is_a_fault_here_and_elsewhere(ant: tuple[Path, Card], tmp_path: Path) -> None:
    text = (ant[0] / CARD).read_text()
    (ant[0] / CARD).write_text(text.replace('"licence"', '"licence": "mit", "licence"', 1))
    write_manifest(ant[0], ant[1].digest)
    assert "it has the key 'licence' twice" in faults()
    there = tmp_path / "there" / "entries"
    shutil.copytree(ant[0], there / ant[0].name)
    shutil.rmtree(places.root())
    (moved,) = fetched(str(there.parent))
    assert "twice" in moved.problem


def test_what_others_do_meanwhile_is_no_fault(
    ant: tuple[Path, Card], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other, _ = registered(tmp_path, 2.0, "bee")
    real = verify.check

    def meanwhile(entry: Path) -> list[str]:
        if other.exists():
            store.remove(other)
            registered(tmp_path, 3.0, "wasp")
        return real(entry)

    monkeypatch.setattr(verify, "check", meanwhile)
    assert not faults()
    assert ant[0].exists()


def test_an_index_that_another_process_holds_is_no_fault_and_stops_nobody(
    ant: tuple[Path, Card], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index, "BUSY_S", 0.1)
    monkeypatch.setattr("speciate.registry.witnesses.BUSY_S", 0.1)
    with contextlib.closing(sqlite3.connect(places.index_file(), isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        assert not faults()
        store.point("ant", "better", ant[1].digest)
        assert run(["registry", "alias", "ant@good", "ant@1"]) == 0
        other.execute("ROLLBACK")
    assert store.find("ant@better")[1] == store.find("ant@good")[1] == ant[1]
    assert not faults()


# --- rm and versions ---


def test_an_rm_that_was_killed_is_mended(ant: tuple[Path, Card], monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "rename", killed)
    with pytest.raises(KeyboardInterrupt):
        store.remove(ant[0])
    monkeypatch.undo()
    monkeypatch.setenv("SPECIATE_HOME", str(ant[0].parents[2]))
    index.rebuild()
    assert not faults()
    assert store.find("ant@1")[1] == ant[1]


def test_a_version_without_its_entry_can_be_taken_away(
    ant: tuple[Path, Card], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "it goes with its entry" in said(capsys, "alias", "ant@1", "--remove")
    shutil.rmtree(ant[0])
    with index.opened():
        pass
    assert "`speciate registry alias ant@1 --remove`" in said(capsys, "verify", status=1)
    for name in ("ant@1", "ant@best"):
        said(capsys, "alias", name, "--remove", status=0)
    assert not faults()
    assert registered(tmp_path, 2.0)[1].version == 2


def test_a_version_is_given_once(ant: tuple[Path, Card], tmp_path: Path) -> None:
    second, _ = registered(tmp_path, 2.0)
    store.remove(second)
    assert (places.versions_folder() / "ant").read_text() == "2\n"
    assert registered(tmp_path, 3.0)[1].version == 3
    store.remove(ant[0])
    assert versions.highest("ant") == 3
    assert not faults()


def test_no_card_uses_up_the_versions(ant: tuple[Path, Card], tmp_path: Path) -> None:
    there = tmp_path / "there" / "entries"
    shutil.copytree(ant[0], there / ant[0].name)
    rewritten(there / ant[0].name, version=10**9)
    shutil.rmtree(places.root())
    assert "none above 1,000,000 is taken" in fetched(str(there.parent))[0].problem
    (places.aliases_folder() / "ant").mkdir(parents=True)
    (places.aliases_folder() / "ant" / "9999999999").write_text(f"{ant[1].digest}\n")
    with pytest.raises(InputError, match="ant@9999999999 is there"):
        registered(tmp_path, 2.0)
    store.unpoint("ant", "9999999999")
    assert registered(tmp_path, 3.0)[1].version == 1


@pytest.mark.parametrize("call", ["tempfile.mkdtemp", "tempfile.mkstemp", "os.mkdir"])
def test_no_room_for_a_file_is_told_by_rm_and_pull(
    ant: tuple[Path, Card],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    call: str,
) -> None:
    def full(*_: object, **__: object) -> str:
        raise OSError(28, "No space left on device")

    sent(str(tmp_path / "there"), registered(tmp_path, 2.0, "bee"))
    store.remove(store.find("bee")[0])
    monkeypatch.setattr(call, full)
    for arguments in (["pull", "bee", str(tmp_path / "there")], ["rm", "ant", "--yes"]):
        assert run(["registry", *arguments]) in (0, 1, 2)
        assert "defect" not in capsys.readouterr().err
    monkeypatch.undo()
    monkeypatch.setenv("SPECIATE_HOME", str(ant[0].parents[2]))
    assert not faults()
