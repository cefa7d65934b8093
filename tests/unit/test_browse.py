"""The registry's pages and its API, asked without a network: what they show, and what they refuse."""

import json
import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import pytest
from example_registry import BASE, phylogeny, registered
from starlette.testclient import TestClient

from speciate.browse import plane
from speciate.browse.answers import Entries, Entry, Points, SideBySide
from speciate.browse.app import guarded
from speciate.browse.guard import Access
from speciate.browse.words import address
from speciate.records import Card, Phylogeny
from speciate.registry import store
from speciate.registry.entry import CARD


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Card]]:
    folder = tmp_path_factory.mktemp("browse")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPECIATE_HOME", str(folder / "home"))
        yield phylogeny(folder / "adapters")


@pytest.fixture(scope="module")
def client(made: dict[str, Card]) -> Iterator[TestClient]:
    assert made
    with TestClient(guarded(Access()), base_url="http://localhost") as asked:
        yield asked


def text(client: TestClient, path: str, status: int = 200) -> str:
    answer = client.get(path)
    assert answer.status_code == status, answer.text
    return unescape(answer.text)


# --- the list ---


def test_the_list_has_every_entry_with_its_figures_and_intervals(client: TestClient, made: dict[str, Card]) -> None:
    page = text(client, "/")
    assert "7 entries" in page
    for one in made.values():
        assert f'href="{address(one.digest)}"' in page
    assert "+71.0 (67.0 to 75.0)" in page
    assert "< 2.0" in page
    assert "@best" in page
    assert "not measured" in page


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("niche=sql", {"sql-writer@1", "sql-writer@2"}),
        ("verdict=passed&min_gain=60", {"lean-prover@1", "both@1"}),
        ("max_forgetting=1.1", {"sql-writer@1", "sql-writer@2", "both@1"}),
        ("text=writ+quer", {"sql-writer@1"}),
        ("species=found", {"found@1"}),
        ("base=tiny&since=2026-11-14&until=2026-11-15", {"sql-writer@2", "both@1"}),
        ("verdict=&niche=&min_gain=&since=&species=lean-prover", {f"lean-prover@{number}" for number in (1, 2, 3)}),
        ("niche=nothing", set[str]()),
    ],
)
def test_filters_are_the_same_in_the_page_the_api_and_the_plane(
    client: TestClient, made: dict[str, Card], query: str, names: set[str]
) -> None:
    wanted = {one.digest for name, one in made.items() if name in names}
    found = Entries.model_validate(client.get(f"/api/entries?{query}").json())
    assert {one.digest for one in found.entries} == wanted
    assert found.total == len(wanted)
    page = text(client, f"/?{query}")
    assert {one.digest for one in made.values() if f'href="{address(one.digest)}"' in page} == wanted
    points = client.get(unescape(re.findall(r'data-points="([^"]*)"', client.get(f"/?{query}").text)[0])).json()
    assert len(points["of"]) + points["without"] == len(wanted)


def test_a_form_is_filled_with_what_was_asked(client: TestClient) -> None:
    page = client.get("/?niche=a%22b&min_gain=12.5&verdict=failed&since=2026-01-02&sort=gain").text
    for piece in ('name="niche" value="a&#34;b"', 'name="min_gain" value="12.5"', 'value="failed" selected',
                  'name="since" value="2026-01-02"', '<input type="hidden" name="sort" value="gain">'):  # fmt: skip
        assert piece in page


def test_heads_sort_and_turn_round_and_keep_the_filters(client: TestClient) -> None:
    page = text(client, "/?niche=lean&sort=gain")
    assert 'aria-sort="descending"><a href="/?niche=lean&sort=gain&reverse=true#list"' in page
    assert 'href="/?niche=lean&sort=species#list"' in page
    order = re.findall(r'<th scope="row"><a href="/entry/[^"]*"><bdi>([^<]*)</bdi>@(\d)', page)
    assert order[0] == ("lean-prover", "3")
    turned = re.findall(
        r'<th scope="row"><a href="/entry/[^"]*"><bdi>([^<]*)</bdi>@(\d)', text(client, "/?sort=gain&reverse=true")
    )
    assert turned[0] == ("sql-writer", "2")
    assert turned[-1] == ("found", "1"), "what has no figure comes last both ways"


def test_pages_are_linked_and_none_is_beyond_the_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPECIATE_HOME", str(tmp_path / "home"))
    for number in range(51):
        registered(tmp_path / str(number), number, "many")
    client = TestClient(guarded(Access()), base_url="http://localhost")
    assert "1 to 50 of 51" in text(client, "/")
    assert 'href="/?page=2#list" rel="next"' in text(client, "/")
    second = text(client, "/?page=2")
    assert "51 to 51 of 51" in second
    assert 'href="/#list"' in second or 'href="/?#list"' in second
    assert "fewer pages than this" in text(client, "/?page=3")
    listed = client.get("/api/entries?limit=7&offset=49").json()
    assert (len(listed["entries"]), listed["total"]) == (2, 51)


def test_an_empty_registry_says_how_to_fill_it(home: Path) -> None:
    assert not home.exists()
    client = TestClient(guarded(Access()), base_url="http://localhost")
    for path in ("/", "/tree"):
        assert "speciate train RECIPE" in text(client, path)
    assert client.get("/api/points").json()["of"] == []


def test_what_was_registered_a_moment_ago_is_there(tmp_path: Path, home: Path) -> None:
    client = TestClient(guarded(Access()), base_url="http://localhost")
    assert "No entry" in text(client, "/")
    one = registered(tmp_path / "a", 1, "new")
    assert "1 entry" in text(client, "/")
    store.remove(home / "registry" / "entries" / one.digest.removeprefix("sha256:")[:16])
    assert "No entry" in text(client, "/")


# --- one entry ---


@pytest.mark.parametrize("reference", ["lean-prover@2", "lean-prover@v2", "lean-prover@best", "DIGEST", "SHORT"])
def test_an_entry_is_found_by_every_name(client: TestClient, made: dict[str, Card], reference: str) -> None:
    one = made["lean-prover@2"]
    digest = one.digest
    asked = reference.replace("DIGEST", digest).replace("SHORT", digest.removeprefix("sha256:")[:16])
    page = text(client, f"/entry/{asked}")
    for piece in (
        "lean-prover@2", "@best", "undecided", "+71.0 points", "95% interval 67.0 to 75.0", "lost 1.2 points",
        "95% sure to have lost less than 2.0", "pass@1 9.7% → 73.1%, 320 items", "propositional", "Base intact",
        "0.0055 nats/token", "apache-2.0", "not signed", "lean-prover-1 · seed 0", digest, "torch", "r: 16",
        "there base 2, hammer 21, adapter 77", "min_gain",
    ):  # fmt: skip
        assert piece in page, piece
    assert f'<a href="{address(made["lean-prover@1"].digest)}"><bdi>lean-prover@1</bdi></a>' in page, "its parent"
    assert f'<a href="{address(made["both@1"].digest)}"><bdi>both@1</bdi></a>' in page, "its child"
    assert "train.lora.r: 8 -> 16" in page
    found = Entry.model_validate(client.get(f"/api/entry/{asked}").json())
    assert found.card == one
    assert [one.what for one in found.parents] == ["entry"]
    assert [one.name for one in found.children] == ["both@1"]


def test_an_adapter_from_elsewhere_has_a_page(client: TestClient) -> None:
    page = text(client, "/entry/found@1")
    for piece in ("not measured", "a folder", "speciate eval found@1", "nothing recorded"):
        assert piece in page


def test_two_of_one_version_have_a_page_each(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = registered(tmp_path / "a", 1, "twin")
    monkeypatch.setenv("SPECIATE_HOME", str(tmp_path / "other"))
    theirs = registered(tmp_path / "b", 2, "twin")
    entry = store.entry_path(theirs.digest)
    monkeypatch.setenv("SPECIATE_HOME", str(home))
    store.adopt(entry)
    client = TestClient(guarded(Access()), base_url="http://localhost")
    for one in (mine, theirs):
        assert one.digest in text(client, address(one.digest))


@pytest.mark.parametrize("path", ["/entry/nobody", "/tree/nobody@2", "/compare?a=nobody&b=found", "/api/entry/nobody"])
def test_what_is_not_there_is_told(client: TestClient, path: str) -> None:
    assert "no entry 'nobody" in text(client, path, 404)


# --- the phylogeny ---


def test_the_tree_links_every_node_and_tells_what_changed(client: TestClient, made: dict[str, Card]) -> None:
    page = client.get("/tree").text
    drawing = page[page.index('<svg class="tree"') : page.index("</svg>")]
    for one in made.values():
        assert f'href="{address(one.digest)}"' in drawing
    assert "seed: 0 -&gt; 1\ntrain.lora.r: 8 -&gt; 16</title>" in drawing
    assert 'class="node passed"' in drawing
    assert 'class="node failed"' in drawing
    assert f"/?base={BASE}" in drawing
    assert drawing.count('class="edge merged crossing"') == 1, "the second parent's edge"
    assert "left out" not in page


def test_a_tree_of_one_has_its_ancestors_and_descendants_only(client: TestClient, made: dict[str, Card]) -> None:
    page = text(client, "/tree/lean-prover@2")
    assert f'<a href="{address(made["both@1"].digest)}" class="node' in page
    assert f'<a href="{address(made["lean-prover@1"].digest)}" class="node' in page
    assert address(made["sql-writer@2"].digest) not in page
    assert page.count('aria-current="true"') == 1
    found = Phylogeny.model_validate(client.get("/api/tree/lean-prover@2").json())
    assert [one.name for one in found.kin if one.what == "entry"] == [
        "lean-prover@1",
        "lean-prover@2",
        "sql-writer@1",
        "both@1",
    ], "the other parent of what was merged is named, not said to be absent"


def test_what_is_left_out_of_a_tree_is_said(client: TestClient) -> None:
    assert client.get("/api/tree?limit=2").json()["left_out"] == 3, "two, and two parents of theirs"


# --- the plane ---


def test_every_measured_entry_is_a_point(client: TestClient, made: dict[str, Card]) -> None:
    found = Points.model_validate(client.get("/api/points").json())
    columns = [found.of, found.version, found.name, found.verdict, found.gain, found.gain_low, found.forgetting]
    assert {len(column) for column in columns} == {len(made) - 1}
    assert found.without == 1
    named = [f"{found.species[of]}@{version}" for of, version in zip(found.of, found.version, strict=True)]
    at = named.index("lean-prover@2")
    assert made["lean-prover@2"].digest.startswith(f"sha256:{found.name[at]}")
    assert (found.gain[at], found.gain_low[at], found.forgetting[at], found.forgetting_upper[at]) == (71, 67, 1.2, 2)
    assert [named[place] for place in found.front] == ["lean-prover@3", "lean-prover@2", "both@1", "sql-writer@2"]


@pytest.mark.parametrize(
    ("places", "front"),
    [
        ([], []),
        ([(1.0, 0.1)], [0]),
        ([(1.0, 0.1), (0.9, 0.2), (0.8, 0.05)], [0, 2]),
        ([(1.0, 0.1), (1.0, 0.1), (1.0, 0.2)], [0, 1]),
        ([(0.5, 0.1), (0.4, 0.1)], [0]),
    ],
)
def test_the_front_is_what_no_other_beats(places: list[tuple[float, float]], front: list[int]) -> None:
    assert plane.front(places) == front


# --- side by side ---


def test_cards_are_compared_where_their_runs_are_elsewhere(client: TestClient) -> None:
    page = text(client, "/compare?a=lean-prover@1&b=lean-prover@2")
    for piece in (
        "The answers were not compared: the run of lean-prover@1 is not on this machine", "+63.0 points",
        "+71.0 points", "train.lora.r", "niche: propositional", "general: propositional",
    ):  # fmt: skip
        assert piece in page, piece
    found = SideBySide.model_validate(client.get("/api/compare?a=lean-prover@1&b=lean-prover@2").json())
    assert ("train.lora.r", ["8", "16"]) in [(one.key, one.values) for one in found.recipe]
    assert found.comparison is None


def test_the_boxes_of_the_list_choose_two(client: TestClient) -> None:
    assert "+71.0 points" in text(client, "/compare?ref=lean-prover@1&ref=lean-prover@2")
    assert "Name two species, not 3" in text(client, "/compare?ref=a&ref=b&ref=c")
    assert "Name two species" in text(client, "/compare")
    assert "both are the same adapter" in text(client, "/compare?a=both&b=both")
    assert "One of them has no recipe here" in text(client, "/compare?a=both&b=found")


# --- what cannot be asked ---


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("min_gain=much", "min_gain: "), ("min_gain=nan", "min_gain: "), ("min_gain=1e9", "min_gain: "),
        ("since=yesterday", "since: "), ("verdict=good", "verdict: "), ("page=0", "page: "), ("page=1e99", "page: "),
        ("sort=digest", "sort: "), (f"text={'x' * 201}", "text: "),
    ],
)  # fmt: skip
def test_a_query_that_says_nothing_is_refused_in_words(client: TestClient, query: str, said: str) -> None:
    page = text(client, f"/?{query}", 422)
    assert said in page
    assert "Traceback" not in page


def test_text_without_a_word_is_refused_in_words(client: TestClient) -> None:
    assert "has no word to search for" in text(client, "/?text=!!!", 400)
    refused = client.get("/api/search?text=!!!")
    assert refused.status_code == 400
    assert refused.json()["error"]["kind"] == "InputError"


@pytest.mark.parametrize("words", ["a " * 100, "_", "\x00a", "a" * 200, '" OR "', "é٣漢", "NEAR(a b)"])
def test_no_words_break_the_search(client: TestClient, words: str) -> None:
    for path in ("/api/search", "/api/entries", "/"):
        assert client.get(path, params={"text": words}).status_code in (200, 400)


def test_a_damaged_card_is_told_and_the_rest_is_shown(tmp_path: Path, home: Path) -> None:
    one, other = registered(tmp_path / "a", 1, "broken"), registered(tmp_path / "b", 2, "whole")
    client = TestClient(guarded(Access()), base_url="http://localhost")
    assert "2 entries" in text(client, "/")
    (store.entry_path(one.digest) / CARD).write_text("{")
    page = text(client, address(one.digest), 503)
    assert "is damaged" in page
    assert "Traceback" not in page
    (home / "registry" / "index.sqlite").unlink()
    page = text(client, "/")
    assert "1 damaged entry is left out" in page
    assert address(other.digest) in page
    assert client.get("/api/entries").json()["problems"]


def test_the_api_describes_itself(client: TestClient) -> None:
    said = client.get("/api/openapi.json").json()
    assert set(said["paths"]) == {
        "/api/entries", "/api/search", "/api/entry/{ref}", "/api/tree", "/api/tree/{ref}", "/api/points", "/api/compare"
    }  # fmt: skip
    assert "https://" not in json.dumps(said)
    for path in ("/docs", "/redoc", "/docs/oauth2-redirect"):
        assert client.get(path).status_code == 404
