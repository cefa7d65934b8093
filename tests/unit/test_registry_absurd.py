"""Cards, arguments and names that nobody in his senses would write: each is told of, none is a defect."""

import shutil
from pathlib import Path

import pytest
from entries import registered, rewritten, said
from example_registry import registered as measured

from speciate.browse import plane
from speciate.errors import StorageError
from speciate.records import Card
from speciate.registry import index, lineage, places, query, store
from speciate.registry.entry import CARD, read_card
from speciate.storage import read_json

pytestmark = pytest.mark.usefixtures("home")


def test_figures_beyond_all_measure_are_drawn_at_the_edge(tmp_path: Path) -> None:
    made = measured(tmp_path / "a", 1.0, "ant")
    entry = store.entry_path(made.digest)
    card = read_json(entry / CARD)
    card["gain"]["ci95"][0] = card["forgetting"]["ci95_upper"] = -1e308
    rewritten(entry, **card)
    index.rebuild()
    with index.opened() as database:
        points = plane.points(database, query.Wanted())
    assert (points["gain_low"], points["forgetting_upper"]) == ([-100.0], [-100.0])


@pytest.mark.parametrize("hammer", [{"n": 0}, {"solved": 10**30}, {"n": 10**400}])
def test_a_share_of_nothing_is_no_card(tmp_path: Path, hammer: dict[str, int]) -> None:
    whole = {"name": "hammer", "solved": 1, "n": 2, "ci95": [0, 1], "base_solved": 0, "adapter_solved": 1,
             "adapter_only": 0}  # fmt: skip
    entry = store.entry_path(measured(tmp_path / "a", 1.0, "ant").digest)
    rewritten(entry, hammer=whole)
    assert read_card(entry)
    rewritten(entry, hammer=whole | hammer)
    with pytest.raises(StorageError, match="is no card"):
        read_card(entry)


def test_parents_are_drawn_once_and_are_not_without_end(tmp_path: Path) -> None:
    made = measured(tmp_path / "a", 1.0, "ant")
    entry = store.entry_path(made.digest)
    twice = [{"kind": "continued", "digest": digest} for digest in (made.digest, "sha256:" + "e" * 64)] * 500
    rewritten(entry, parents=twice)
    index.rebuild()
    with index.opened() as database:
        found = lineage.phylogeny(database)
    assert [branch.parent for branch in found.branches] == ["sha256:" + "e" * 64]
    rewritten(entry, parents=[*twice, twice[0]])
    with pytest.raises(StorageError, match="at most 1000"):
        read_card(entry)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show", "~nosuchuser/x"], "name of a user"),
        (["import", "~nosuchuser/x", "--species", "x"], "name of a user"),
        (["push", "--all", "~nosuchuser/x"], "name of a user"),
        (["pull", "--all", "~nosuchuser/x"], "name of a user"),
        (["export", "ant", "--to", "~nosuchuser/x"], "name of a user"),
        (["try", "~nosuchuser/x"], "name of a user"),
        (["show", "x" * 5000], "5,000 characters"),
        (["try", "x" * 5000], "5,000 characters"),
        (["rm", "x" * 5000, "--yes"], "5,000 characters"),
        (["list", "--niche", "\udcff"], "no text in UTF-8"),
        (["list", "--limit", "9" * 23], "--limit"),
        (["list", "--offset", "9" * 23], "--offset"),
        (["tree", "--limit", "9" * 23], "--limit"),
        (["search", "x", "--limit", "9" * 23], "--limit"),
    ],
)
def test_no_argument_is_a_defect(capsys: pytest.CaptureFixture[str], arguments: list[str], message: str) -> None:
    assert message in said(capsys, *arguments)


def test_a_home_of_nobody_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("SPECIATE_HOME", "~nosuchuser/x")
    assert "name of a user" in said(capsys, "list")


@pytest.mark.parametrize("name", ["index.sqlite", ".lock"])
@pytest.mark.usefixtures("ant")
def test_a_folder_in_the_place_of_a_file_is_told(capsys: pytest.CaptureFixture[str], name: str) -> None:
    (places.root() / name).unlink(missing_ok=True)
    (places.root() / name).mkdir()
    assert "it is no plain file: remove it" in " ".join(said(capsys, "verify", status=1).split())
    assert "ant@1" in said(capsys, "list", status=0).replace(" ", "")
    assert name in said(capsys, "rebuild", status=1)


def test_a_bare_name_means_the_registry(
    ant: tuple[Path, Card], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other, _ = registered(tmp_path, 2.0, "bee")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    shutil.copytree(other, "ant")
    shutil.copytree(other, "wasp")
    assert store.find("ant")[0] == ant[0]
    assert store.find("./ant")[0] == tmp_path / "here" / "ant"
    assert store.find("wasp")[0] == tmp_path / "here" / "wasp"
    from speciate.pipeline.references import meant

    (adapter,), _ = meant(["ant"])
    assert adapter.source.folder == ant[0]
