"""Who may ask the registry's server, and what hostile requests and hostile cards get."""

import json
import re
import socket
import threading
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from click.testing import CliRunner
from example_records import run_record
from example_registry import SCRIPT, hostile, registered
from starlette.testclient import TestClient

from speciate.browse import comparing
from speciate.browse.app import guarded
from speciate.browse.guard import HEADERS, POLICY, Access
from speciate.browse.server import Place, bound, configuration
from speciate.browse.words import address
from speciate.cli.program import cli
from speciate.errors import InputError, MissingComponent
from speciate.registry import index, places, store
from speciate.registry.entry import CARD
from speciate.storage import write_json

TOKEN = "correct-horse"
EVERYWHERE = "0.0.0.0"  # noqa: S104
PATHS = ("/", "/entry/hostile", "/tree", "/tree/hostile", "/compare?a=hostile&b=plain", "/compare", "/nothing")


@pytest.fixture(autouse=True)
def home_is_empty(home: Path) -> None:
    assert not home.exists()


def asking(access: Access | None = None, host: str = "localhost", **options: Any) -> TestClient:
    return TestClient(guarded(access or Access()), base_url=f"http://{host}", **options)


def open_to_all() -> Access:
    return Access(frozenset({"localhost", "lab.example"}), TOKEN, "speciate-1")


# --- names: a page of somebody else that had its name rebound to this machine ---


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:8477", "LOCALHOST.", "127.0.0.1:1", "127.9.9.9", "[::1]:8477"]
)
def test_this_machine_is_answered(host: str) -> None:
    assert asking().get("/", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "localhost.evil.example", "192.168.1.5:8477", "0.0.0.0:8477", "", "a b", "localhost:x", "[::2]",
     "localhost@evil.example", "127.0.0.1.evil.example", "user:pass@localhost", "localhost/../x"],
)  # fmt: skip
def test_no_other_name_is_answered(host: str) -> None:
    for path in ("/", "/api/entries", "/static/browse.css"):
        answer = asking().get(path, headers={"host": host})
        assert answer.status_code == 400
        assert answer.headers["content-security-policy"] == POLICY


def test_with_a_token_addresses_and_given_names_are_answered() -> None:
    bearer = {"authorization": f"Bearer {TOKEN}"}
    for host, status in (("192.168.1.5:8477", 200), ("lab.example", 200), ("evil.example", 400)):
        assert asking(open_to_all()).get("/", headers={"host": host, **bearer}).status_code == status


# --- the token ---


def test_a_token_of_any_letters_is_only_wrong() -> None:
    assert not open_to_all().admits("é\ud800")
    assert open_to_all().admits(TOKEN)


def test_the_link_is_exchanged_for_a_cookie_that_no_script_and_no_other_site_has() -> None:
    client = asking(open_to_all())
    welcome = client.get(f"/?token={TOKEN}&niche=lean")
    assert welcome.status_code == 200
    assert 'url=/?niche=lean"' in welcome.text
    assert TOKEN not in welcome.text
    cookie = welcome.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert "path=/" in cookie
    assert client.get("/?niche=lean").status_code == 200
    assert client.get("/api/entries").status_code == 200


@pytest.mark.parametrize(
    "path", ["/", "/entry/x", "/api/entries", "/api/openapi.json", "/static/browse.css", "/compare"]
)
def test_without_the_token_nothing_is_told(path: str) -> None:
    for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": f"Basic {TOKEN}"},
                    {"cookie": "speciate-1=wrong"}, {"cookie": f"speciate={TOKEN}"}, {"cookie": "\x00;;;=,"},
                    {"authorization": "Bearer "}):  # fmt: skip
        answer = asking(open_to_all()).get(path, headers=headers)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        assert "a token is needed" in answer.text
    for wrong in ("", "wrong", TOKEN[:-1], f"{TOKEN}x", "é"):
        assert asking(open_to_all()).get(path, params={"token": wrong}).status_code == 401


@pytest.mark.parametrize("path", ["//evil.example/x", "/\\evil.example", "/%5Cevil.example", "/\\/evil.example"])
def test_a_link_leads_to_no_other_host(path: str) -> None:
    page = asking(open_to_all()).get(f"http://localhost{path}?token={TOKEN}").text
    target = re.findall(r"url=([^\"]*)", page)[0]
    assert re.match(r"/(?![/\\])", target)
    assert "\\" not in target


def test_the_link_cannot_bring_markup() -> None:
    page = asking(open_to_all()).get('/x"><script>', params={"token": TOKEN, "a": '"><script>'}).text
    assert "<script" not in page


def test_a_token_is_made_for_every_server_that_others_can_reach() -> None:
    made: list[Place] = []
    try:
        made += [bound("127.0.0.1", 0), bound("localhost", 0), bound(EVERYWHERE, 0), bound(EVERYWHERE, 0)]
        assert [bool(place.access.token) for place in made] == [False, False, True, True]
        assert made[2].access.token != made[3].access.token
        assert len(made[2].access.token) >= 40
        assert made[0].link == f"http://127.0.0.1:{made[0].port}/"
        assert made[2].link.endswith(f"/?token={made[2].access.token}")
    finally:
        for place in made:
            place.socket.close()


# --- reading only, and what every answer says ---


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_nothing_can_be_changed(method: str) -> None:
    for path in ("/", "/api/entries"):
        answer = asking().request(method, path)
        assert answer.status_code == 405
        assert answer.headers["allow"] == "GET, HEAD"


def test_head_is_answered_without_a_body() -> None:
    for path in ("/", "/api/entries", "/static/browse.css"):
        answer = asking().head(path)
        assert (answer.status_code, answer.content) == (200, b"")


def test_every_answer_has_a_strict_policy(tmp_path: Path) -> None:
    hostile(tmp_path)
    registered(tmp_path / "b", 2, "plain")
    for path in (*PATHS, "/api/entries", "/api/nothing", "/static/browse.js", "/?page=0", "/?text=!"):
        headers = asking().get(path).headers
        for name, value in HEADERS.items():
            assert headers[name] == value or (name, path) == ("Cache-Control", "/static/browse.js"), (path, name)
    assert "'unsafe" not in POLICY
    assert "default-src 'none'" in POLICY


def test_an_error_that_nobody_foresaw_shows_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("a secret of the machine")

    monkeypatch.setattr("speciate.registry.query.listed", broken)
    for path in ("/", "/api/entries"):
        answer = asking(raise_server_exceptions=False).get(path)
        assert answer.status_code == 500
        assert "secret" not in answer.text
        assert "Traceback" not in answer.text
        assert answer.headers["content-security-policy"] == POLICY


# --- paths ---


UPWARDS = ["../../../../etc/passwd", "..%2f..%2fetc%2fpasswd", "%2e%2e/%2e%2e/etc/passwd", "/etc/passwd", "..\\..\\x",
           "....//etc/passwd", "%00", "a%00b", "file:///etc/passwd", "~", "%252e%252e%252f"]  # fmt: skip


@pytest.mark.parametrize("path", UPWARDS)
@pytest.mark.parametrize("place", ["/entry/", "/tree/", "/static/", "/api/entry/", "/api/tree/", "/compare?b=x&a="])
def test_no_path_leads_out(place: str, path: str) -> None:
    answer = asking().get(f"{place}{path}")
    assert answer.status_code in (400, 404, 422)
    assert "root:" not in answer.text


def test_a_folder_is_no_name_of_an_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unlike on the command line, where a person may name any folder."""
    one = registered(tmp_path / "a", 1, "mine")
    outside = tmp_path / "outside"
    (places.entries_folder() / one.digest.removeprefix("sha256:")[:16]).rename(outside)
    monkeypatch.chdir(tmp_path)
    for reference in ("outside", str(outside)):
        assert asking().get("/compare", params={"a": reference, "b": reference}).status_code == 404


def test_the_run_of_a_card_is_a_name_in_the_home_and_made_that_adapter(tmp_path: Path, home: Path) -> None:
    honest = registered(tmp_path / "a", 1, "mine", run="my-run")
    assert comparing.run_of(honest) is None
    record = run_record(adapter_digest=honest.digest)
    for folder in (home / "runs" / "my-run", tmp_path / "elsewhere"):
        folder.mkdir(parents=True)
        write_json(folder / "run.json", record.document())
    assert comparing.run_of(honest) == home / "runs" / "my-run"
    other = registered(tmp_path / "b", 2, "other", run="my-run")
    assert comparing.run_of(other) is None, "it poses with the run of another adapter"
    for number, run in enumerate([str(tmp_path / "elsewhere"), "../../elsewhere", "..", ".", "", "a/b", "a\x00b"]):
        posing = honest.model_copy(update={"run": run, "version": number + 1})
        assert comparing.run_of(posing) is None


# --- cards ---


class Markup(HTMLParser):
    """All that a browser would take for an element, an address or a handler."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]


def test_nothing_from_a_card_is_markup(tmp_path: Path) -> None:
    one = hostile(tmp_path)
    registered(tmp_path / "b", 2, "plain", parents=[{"kind": "continued", "digest": one.digest}])
    client = asking()
    shown = 0
    for path in (*PATHS, "/?text=script", address(one.digest), f"/?{'niche=' + SCRIPT[:60]}", f"/entry/{SCRIPT[:20]}"):
        page = client.get(path).text
        found = Markup(page)
        assert found.tags.count("script") == 1, path
        assert "img" not in found.tags
        for name, value in found.attributes:
            assert not name.startswith("on")
            assert name != "style"
            if name in ("href", "src", "action"):
                assert re.match(r"[/#?]|$", value), (path, name, value)
        assert "\u202e" not in page, "text cannot be turned round"
        shown += page.count("&lt;script&gt;")
    assert shown > 20
    assert "49" not in client.get("/entry/plain").text.partition("{{7*7}}")[0][-20:]


def test_the_json_of_a_hostile_card_is_json_only(tmp_path: Path) -> None:
    one = hostile(tmp_path)
    for path in ("/api/entries", f"/api/entry/{one.digest}", "/api/points", "/api/tree", "/api/search?text=script"):
        answer = asking().get(path)
        assert answer.status_code == 200, path
        assert answer.headers["content-type"] == "application/json"
        json.loads(answer.text)


def deep(levels: int) -> dict[str, Any]:
    found: dict[str, Any] = {"x": 1}
    for _ in range(levels):
        found = {"x": found}
    return found


ODD: dict[str, dict[str, Any]] = {
    "deep": {"recipe": deep(60)},
    "deeper": {"recipe": deep(300)},
    "deepest": {"recipe": deep(900)},
    "large": {"recipe": {f"key{number}": "v" * 200 for number in range(20_000)}},
    "parents": {"parents": [{"kind": "merged", "digest": f"sha256:{number:064x}"} for number in range(10_000)]},
    "description": {"description": "word " * 500_000},
    "numbers": {"recipe": {"a": float("nan"), "b": float("inf")}},
    "whole numbers": {"recipe": {"a": 10**400}, "seed": 10**400},
    "version": {"version": 10**30},
    "itself": {},
    "half": {"description": "\ud800"},
    "figures": {"cost": {"seconds": 1e308, "x_bytes": -1e308}},
}


@pytest.mark.parametrize("kind", ODD)
def test_an_odd_card_breaks_no_page_of_others(tmp_path: Path, kind: str) -> None:
    one = registered(tmp_path / "a", 1, "odd")
    other = registered(tmp_path / "b", 2, "fine", parents=[{"kind": "continued", "digest": one.digest}])
    file = places.entries_folder() / one.digest.removeprefix("sha256:")[:16] / CARD
    content = json.loads(file.read_text()) | ODD[kind]
    if kind == "itself":
        content["parents"] = [{"kind": "merged", "digest": digest} for digest in (one.digest, other.digest)]
    file.write_text(json.dumps(content))
    places.index_file().unlink()
    client = asking()
    for path in ("/", "/tree", "/tree/fine", address(other.digest), "/api/entries", "/api/tree", "/api/points"):
        assert client.get(path).status_code == 200, path
    for path in (address(one.digest), f"/api/entry/{one.digest}", f"/tree/{one.digest}", "/compare?a=odd&b=fine"):
        answer = client.get(path)
        assert answer.status_code in (200, 404, 503), path
        assert len(answer.content) < 6_000_000, path


# --- the command ---


def test_a_port_that_is_taken_is_told_with_a_way_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=rf"port {port}: Address already in use; --port 0 takes any that is free"):
            bound("127.0.0.1", port)
    with pytest.raises(InputError, match=r"--host 'no such host' is no address"):
        bound("no such host", 0)


def test_without_the_extra_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_uvicorn(name: str) -> object:
        return None if name == "uvicorn" else object()

    monkeypatch.setattr("importlib.util.find_spec", no_uvicorn)
    found = CliRunner().invoke(cli, ["registry", "browse"])
    assert isinstance(found.exception, MissingComponent)
    assert found.exception.exit_code == 5
    assert "uv sync --extra browse" in str(found.exception)


def test_half_a_request_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("speciate.browse.patience.REQUEST_S", 0.2)
    place = bound("127.0.0.1", 0)
    config = configuration(place)
    config.timeout_keep_alive = 1
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [place.socket]}, daemon=True)
    thread.start()
    try:
        for begun in (b"", b"GET / HT", b"GET /api/entries HTTP/1.1\r\nHost: localhost\r\n\r\nGET / HT"):
            with socket.create_connection(("127.0.0.1", place.port), timeout=20) as half:
                half.sendall(begun)
                answer = b"".join(iter(lambda: half.recv(65536), b""))
            assert answer.startswith(b"HTTP/1.1 200") == (b"api" in begun)
        assert config.limit_concurrency
    finally:
        server.should_exit = True
        thread.join(20)
        place.socket.close()


def test_a_damaged_entry_does_not_tell_where_the_home_is(tmp_path: Path, home: Path) -> None:
    made = registered(tmp_path / "a", 1.0, "ant")
    entry = store.entry_path(made.digest)
    (entry / CARD).write_text("{")
    index.rebuild()
    with asking() as client:
        for path in ("/", "/api/entries", "/api/search?text=x"):
            told = client.get(path).text
            assert str(home) not in told
            assert "$SPECIATE_HOME/registry/entries" in told
    (entry / CARD).write_text(json.dumps(made.document()))
    index.rebuild()
    (entry / CARD).write_text("{")
    with asking() as client:
        answer = client.get("/api/entry/ant")
    assert answer.status_code == 503
    assert str(home) not in answer.text
