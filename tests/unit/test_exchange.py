"""Entries to and from other places: whole or not at all, nothing twice, and nothing of the other place is trusted."""

import io
import json
import shutil
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from entries import fetched, flipped, refusal, registered, sent

from speciate.errors import InputError, MissingComponent, NotFound, StorageError
from speciate.models.adapter import WEIGHTS
from speciate.progress import Quiet
from speciate.records import Card
from speciate.registry import aliases, index, keys, places, remotes, signing, store
from speciate.registry.entry import CARD, CONTENT, MANIFEST, SIGNATURE
from speciate.registry.push import Sending, push
from speciate.registry.remotes import FolderRemote, UrlRemote, remote
from speciate.registry.verify import verify

pytestmark = pytest.mark.usefixtures("home")


@pytest.fixture
def entry(tmp_path: Path) -> tuple[Path, Card]:
    return registered(tmp_path / "made")


@pytest.fixture(params=["folder", "file", "memory"])
def there(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A place of each kind."""
    if request.param == "memory":
        name = f"memory://{uuid.uuid4().hex}"
        yield name
        fsspec.filesystem("memory").rm(name, recursive=True)
    else:
        yield ("file://" if request.param == "file" else "") + str(tmp_path / "there")


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Go to another, empty home."""
    return lambda: monkeypatch.setenv("SPECIATE_HOME", str(tmp_path / "elsewhere"))


def test_there_and_back(entry: tuple[Path, Card], there: str, elsewhere: Callable[[], None]) -> None:
    path, card = entry
    store.point("ant", "best", card.digest)
    (out,) = sent(there, entry)
    assert (out.what, out.bytes, out.notes) == ("sent", sum(file.stat().st_size for file in path.iterdir()), [])
    (again,) = sent(there, entry)
    assert (again.what, again.bytes) == ("there already", 0)
    elsewhere()
    (back,) = fetched(there, "ant@best")
    assert (back.what, back.digest, back.notes) == ("fetched", card.digest, [])
    assert verify().faults == []
    assert {name.name: name.read_bytes() for name in path.iterdir()} == {
        name.name: name.read_bytes() for name in store.entry_path(card.digest).iterdir()
    }
    for reference in ("ant", "ant@1", "ant@best", "ant@v1", card.digest, path.name, path.name[:5]):
        assert store.find("ant@best")[1] == card
        assert [one.what for one in fetched(there, reference)] == ["there already"]
    assert [one.what for one in fetched(there)] == ["there already"]


def test_a_pushed_folder_is_a_registry(entry: tuple[Path, Card], tmp_path: Path, elsewhere: Callable[[], None]) -> None:
    sent(str(tmp_path / "there"), entry, registered(tmp_path / "b", 2.0), registered(tmp_path / "c", 3.0, "bee"))
    elsewhere()
    shutil.copytree(tmp_path / "there", places.root())
    assert verify().faults == []
    assert store.find("ant@2")[1].version == 2


def test_only_what_differs_is_sent_again(entry: tuple[Path, Card], there: str) -> None:
    path, _ = entry
    sent(there, entry)
    files = fsspec.core.url_to_fs(there)
    inner = f"{files[1]}/entries/{path.name}"
    content = bytearray(files[0].cat_file(f"{inner}/{CARD}"))
    content[10] ^= 1
    files[0].pipe_file(f"{inner}/{CARD}", bytes(content))
    files[0].pipe_file(f"{inner}/{WEIGHTS}", b"cut")
    assert sent(there, entry, read_back=False)[0].bytes == (path / WEIGHTS).stat().st_size
    assert sent(there, entry)[0].bytes == (path / CARD).stat().st_size
    assert sent(there, entry)[0].what == "there already"


def test_the_manifest_goes_last(entry: tuple[Path, Card], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    real = FolderRemote.send

    def watched(self: FolderRemote, file: Path, name: str, advance: Callable[[int], None]) -> None:
        order.append(name.rsplit("/", 1)[-1])
        real(self, file, name, advance)

    monkeypatch.setattr(FolderRemote, "send", watched)
    sent(str(tmp_path / "there"), entry)
    assert sorted(order[: len(CONTENT)]) == sorted(CONTENT)
    assert order[len(CONTENT) :] == [MANIFEST, "1"]


def test_a_damaged_entry_is_not_sent(entry: tuple[Path, Card], tmp_path: Path) -> None:
    flipped(entry[0] / WEIGHTS, 2000)
    (out,) = sent(str(tmp_path / "there"), entry)
    assert out.what == "refused"
    assert "damaged here" in out.problem
    assert not (tmp_path / "there").exists()


def test_a_place_that_changes_bytes_is_noticed(
    entry: tuple[Path, Card], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = FolderRemote.send

    def lossy(self: FolderRemote, file: Path, name: str, advance: Callable[[int], None]) -> None:
        real(self, file, name, advance)
        flipped(self.root / name, 1000)

    monkeypatch.setattr(FolderRemote, "send", lossy)
    with pytest.raises(StorageError, match="not what was sent"):
        sent(str(tmp_path / "there"), entry)
    assert not (tmp_path / "there" / "entries" / entry[0].name / MANIFEST).exists()


def test_another_card_of_the_same_adapter_is_kept(
    entry: tuple[Path, Card], tmp_path: Path, elsewhere: Callable[[], None]
) -> None:
    there = str(tmp_path / "there")
    sent(there, entry)
    elsewhere()
    registered(tmp_path / "first", 7.0)
    mine = registered(tmp_path / "second")
    assert mine[1].digest == entry[1].digest
    assert mine[1].version == 2
    (out,) = sent(there, mine)
    assert "another card" in out.problem
    (back,) = fetched(there, "ant")
    assert back.what == "there already"
    assert "another card, as ant@2, which is kept" in back.notes[0]


def test_all_of_them_with_one_that_is_damaged(
    entry: tuple[Path, Card], tmp_path: Path, capsys: pytest.CaptureFixture[str], elsewhere: Callable[[], None]
) -> None:
    from speciate.cli.program import run

    there = str(tmp_path / "there")
    with pytest.raises(NotFound, match="no entries"):
        fetched(there)
    registered(tmp_path / "b", 2.0, "bee")
    (entry[0] / CARD).write_text("{")
    assert run(["registry", "push", "--all", there]) == 1
    assert "1 refused, 1 sent" in capsys.readouterr().out
    elsewhere()
    assert run(["registry", "pull", "--all", there]) == 0
    assert "bee@1" in capsys.readouterr().out


# --- aliases ---


def test_an_alias_that_is_taken_is_kept_and_said(
    entry: tuple[Path, Card], there: str, tmp_path: Path, elsewhere: Callable[[], None]
) -> None:
    store.point("ant", "best", entry[1].digest)
    sent(there, entry)
    elsewhere()
    mine = registered(tmp_path / "mine", 5.0)
    store.point("ant", "best", mine[1].digest)
    (back,) = fetched(there, entry[1].digest)
    assert "ant@best means another adapter here and is kept" in back.notes[-1]
    assert "ant@1 is another adapter here" in back.notes[0]
    assert aliases.read(aliases.path_of("ant", "1")) == mine[1].digest
    for _ in range(2):
        assert store.find("ant@best")[1] == store.find("ant@1")[1] == store.find("ant")[1] == mine[1]
        assert store.find(entry[1].digest)[1] == entry[1]
        index.rebuild()
    (out,) = sent(there, mine)
    assert [note.split(" ")[0] for note in out.notes] == ["ant@1", "ant@best"]
    sent(there, mine, overwrite_aliases=True)
    fetched(there, entry[1].digest, aliases="none")
    assert fetched(there, "ant@best")[0].digest == mine[1].digest
    store.point("ant", "best", entry[1].digest)
    fetched(there, "ant@best", aliases="overwrite")
    assert store.find("ant@best")[1] == mine[1]


def test_what_is_not_there_is_met_with_a_suggestion(entry: tuple[Path, Card], there: str) -> None:
    with pytest.raises(NotFound, match="no species are there"):
        fetched(there, "ant")
    sent(there, entry)
    with pytest.raises(NotFound, match="did you mean 'ant'"):
        fetched(there, "amt")
    with pytest.raises(NotFound, match=r"there is ant@1"):
        fetched(there, "ant@best")
    with pytest.raises(NotFound, match="no entry"):
        fetched(there, "0000")
    for hostile in ("../../x", "ant@../1", "ant@", "/etc/passwd", "ant/1"):
        with pytest.raises(InputError):
            fetched(there, hostile)


# --- signatures ---


def test_a_signature_comes_along(entry: tuple[Path, Card], there: str, elsewhere: Callable[[], None]) -> None:
    public = keys.make("ada").file
    sent(there, entry)
    here = places.root().parent
    elsewhere()
    assert "not signed" in refusal(there, signature=True)
    assert "not signed" in refusal(there, trusted=True)
    assert fetched(there, "ant")[0].signed == "not signed"
    elsewhere_home = places.root().parent
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPECIATE_HOME", str(here))
        signing.sign(entry[0])
        sent(there, entry)
    (back,) = fetched(there, "ant")
    assert back.notes == ["its signature was added"]
    assert "unknown key" in back.signed
    shutil.rmtree(elsewhere_home)
    assert "which is not trusted" in refusal(there, trusted=True)
    keys.trust("ada", public)
    assert fetched(there, "ant", trusted=True)[0].signed == "signed by ada (trusted)"


def test_a_wrong_signature_is_refused(entry: tuple[Path, Card], tmp_path: Path, elsewhere: Callable[[], None]) -> None:
    keys.make()
    signing.sign(entry[0])
    sent(str(tmp_path / "there"), entry)
    flipped(tmp_path / "there" / "entries" / entry[0].name / SIGNATURE, 1500)
    elsewhere()
    assert SIGNATURE in refusal(str(tmp_path / "there"))


# --- what fails on the way ---


class Flaky(io.BytesIO):
    """Gives a piece, then fails."""

    def read(self, size: int | None = -1) -> bytes:
        if self.tell():
            raise OSError("the line went dead")
        return super().read(min(size or 100, 100))


@pytest.fixture
def no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remotes, "WAITS_S", (0.0, 0.0, 0.0))


@pytest.mark.usefixtures("no_waits")
def test_a_read_goes_on_where_it_broke_off(monkeypatch: pytest.MonkeyPatch) -> None:
    place = UrlRemote("memory://flaky")
    content = bytes(range(256)) * 10
    starts: list[int] = []

    def opened(_name: str, start: int) -> Flaky:
        starts.append(start)
        return Flaky(content[start:])

    monkeypatch.setattr(place, "_opened", opened)
    assert b"".join(place.read("x")) == content
    assert starts[:3] == [0, 100, 200]


@pytest.mark.usefixtures("no_waits")
def test_a_network_that_stays_away_is_said_with_the_way_on(
    entry: tuple[Path, Card], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []

    def dead(name: str, *_: Any, **__: Any) -> None:
        calls.append(name)
        raise ConnectionResetError("the line went dead")

    place = UrlRemote("memory://dead")
    monkeypatch.setattr(place.files, "info", dead)
    with pytest.raises(StorageError, match=r"line went dead \(4 attempts\); the same command goes on from there"):
        push([entry], place, Sending(), Quiet())
    assert len(calls) == 4


def test_passwords_are_not_shown() -> None:
    assert remotes.without_password("sftp://ada:secret@host/x?token=1") == "sftp://host/x"


def test_a_package_that_is_missing_is_named() -> None:
    try:
        import s3fs  # noqa: F401  # pyright: ignore[reportMissingImports, reportUnusedImport]
    except ImportError:
        with pytest.raises(MissingComponent, match="pip install s3fs"):
            remote("s3://bucket/registry")
    with pytest.raises(InputError, match="cannot be used"):
        remote("nothing-like-that://x")
    with pytest.raises(InputError, match="names the host"):
        remote("file://host/x")


def test_the_answer_is_a_document(entry: tuple[Path, Card], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from speciate.cli.program import run

    there = str(tmp_path / "there")
    assert run(["registry", "push", "ant", there, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["schema"], document["doing"], document["place"]) == ("exchange/1", "push", there)
    assert document["entries"][0]["digest"] == entry[1].digest
    assert run(["registry", "pull", "ant", there, "--trusted-only"]) == 1
    assert "refused: it is here already" not in capsys.readouterr().out
    wrong = (
        f"push {there}", f"push ant --all {there}", f"pull {there}", "pull x hf://a/b", "pull hf://x",
        f"pull x {there} --revision y", f"push ant {there} --private", f"pull x {there} --max-bytes many",
    )  # fmt: skip
    for arguments in wrong:
        assert run(["registry", *arguments.split()]) == 2
    capsys.readouterr()
