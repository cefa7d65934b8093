"""Exchange by real processes that are killed, wait for each other, or find the disk full: it goes on, and is whole."""

import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from entries import registered

from speciate.errors import StorageError
from speciate.models.adapter import WEIGHTS
from speciate.progress import Quiet
from speciate.records import Card
from speciate.records.exchange import Moved
from speciate.registry import places, remotes, store
from speciate.registry.pull import cache, pull
from speciate.registry.push import Sending, push
from speciate.registry.received import Policy
from speciate.registry.remotes import remote
from speciate.registry.verify import verify

pytestmark = pytest.mark.usefixtures("home")
MEGABYTE = 2**20
SPAWN = multiprocessing.get_context("spawn")


@pytest.fixture
def large(tmp_path: Path) -> tuple[Path, Card]:
    """An entry of 20 megabytes."""
    return registered(tmp_path / "made", numbers=5 * MEGABYTE)


@pytest.fixture
def elsewhere(large: tuple[Path, Card], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A folder that the large entry was pushed to; the home is another, empty one."""
    there = str(tmp_path / "there")
    push([large], remote(there), Sending(), Quiet())
    monkeypatch.setenv("SPECIATE_HOME", str(tmp_path / "elsewhere"))
    return there


def fetched(place: str, *names: str) -> list[Moved]:
    return pull(names, remote(place), Policy(), Quiet())


def die_after(count: int) -> None:
    """Let this process be killed when so many bytes of a remote were read or written."""
    remotes.CHUNK = MEGABYTE // 2
    passed = 0
    real_open = Path.open

    def watched_open(self: Path, *arguments: Any, **named: Any) -> Any:
        file = real_open(self, *arguments, **named)
        if self.name == WEIGHTS:
            real_read = file.read

            def read(size: int = -1) -> bytes:
                nonlocal passed
                passed += max(size, 0)
                if passed > count:
                    os.kill(os.getpid(), signal.SIGKILL)
                return real_read(size)

            return _Reading(file, read)
        return file

    Path.open = watched_open


class _Reading:
    def __init__(self, file: Any, read: Any) -> None:
        self.file, self.read = file, read

    def __enter__(self) -> "_Reading":
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)


def push_and_die(entry: Path, card: Card, there: str, count: int) -> None:
    from speciate.registry import push as module
    from speciate.storage import digest_file

    # Hashed before, so that the bytes that are counted are those that are sent.
    known = digest_file(entry / WEIGHTS)

    def sound(_entry: Path) -> list[str]:
        return []

    def digest(path: Path) -> str:
        return known if path.name == WEIGHTS else digest_file(path)

    module.check, module.digest_file = sound, digest
    die_after(count)
    push([(entry, card)], remote(there), Sending(), Quiet())


def pull_and_die(there: str, count: int) -> None:
    die_after(count)
    fetched(there, "ant")


def killed(target: Any, *arguments: Any) -> None:
    process = SPAWN.Process(target=target, args=arguments)
    process.start()
    process.join(120)
    assert process.exitcode == -signal.SIGKILL


def test_a_push_that_is_killed_goes_on(
    large: tuple[Path, Card], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = str(tmp_path / "there")
    # Early, late, and in the reading back.
    for count in (MEGABYTE, 15 * MEGABYTE, 30 * MEGABYTE):
        killed(push_and_die, *large, there, count)
        assert not (tmp_path / "there" / "aliases").exists()
        assert not list((tmp_path / "there" / "entries").glob("*/manifest.json"))
    leftovers = list((tmp_path / "there" / "entries").glob(".push.*"))
    assert len(leftovers) == 2
    (done,) = push([large], remote(there), Sending(), Quiet())
    assert done.what == "sent"
    assert done.bytes < MEGABYTE, "the weights, which were there, were sent again"
    for path in leftovers:
        os.utime(path, (0, 0))
    push([registered(tmp_path / "b", 2.0)], remote(there), Sending(), Quiet())
    assert not list((tmp_path / "there" / "entries").glob(".*"))
    monkeypatch.setenv("SPECIATE_HOME", str(tmp_path / "elsewhere"))
    assert len(fetched(there)) == 2
    assert verify().faults == []


def test_a_pull_that_is_killed_goes_on(elsewhere: str, large: tuple[Path, Card]) -> None:
    for count in (MEGABYTE, 12 * MEGABYTE):
        before = sum(path.stat().st_size for path in cache().rglob(f"{WEIGHTS}.*"))
        killed(pull_and_die, elsewhere, count)
        assert sum(path.stat().st_size for path in cache().rglob(f"{WEIGHTS}.*")) > before
        assert not places.entries_folder().exists()
    (done,) = fetched(elsewhere, "ant")
    assert done.what == "fetched"
    assert done.bytes < 10 * MEGABYTE
    assert (store.find("ant")[0] / WEIGHTS).read_bytes() == (large[0] / WEIGHTS).read_bytes()
    assert verify().faults == []
    assert [path.name for path in cache().iterdir() if path.is_dir()] == []


def test_what_was_begun_and_is_damaged_is_fetched_anew(elsewhere: str) -> None:
    killed(pull_and_die, elsewhere, 6 * MEGABYTE)
    (part,) = cache().rglob(f"{WEIGHTS}.*")
    part.write_bytes(b"x" * part.stat().st_size)
    (done,) = fetched(elsewhere, "ant")
    assert done.bytes > 20 * MEGABYTE
    assert verify().faults == []


def pull_at_once(there: str, barrier: Any, answers: Any) -> None:
    barrier.wait(60)
    answers.put([one.what for one in fetched(there)])


def test_processes_that_fetch_the_same_at_once(elsewhere: str) -> None:
    barrier, answers = SPAWN.Barrier(3), SPAWN.Queue()
    processes = [SPAWN.Process(target=pull_at_once, args=(elsewhere, barrier, answers)) for _ in range(3)]
    for process in processes:
        process.start()
    found = sorted(answers.get(timeout=120)[0] for _ in processes)
    for process in processes:
        process.join(60)
    assert found == ["fetched", "there already", "there already"]
    assert verify().faults == []


@contextmanager
def served(folder: Path, asked: list[str], most: int) -> Generator[str]:
    """A folder by HTTP with ranges, by a server that breaks off answers after so many bytes."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            del format, args

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            path = folder / self.path.lstrip("/")
            if path.is_dir():
                links = "".join(f'<a href="{self.path.rstrip("/")}/{one.name}">x</a>' for one in path.iterdir())
                return self._answer(200, links.encode(), {"Content-Type": "text/html"})
            if not path.is_file():
                return self._answer(404, b"", {})
            content = path.read_bytes()
            headers = {"Accept-Ranges": "bytes", "Content-Type": "application/octet-stream"}
            if found := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")):
                start, end = int(found[1]), min(int(found[2] or len(content) - 1), len(content) - 1)
                asked.append(f"{path.name} {start}")
                headers["Content-Range"] = f"bytes {start}-{end}/{len(content)}"
                return self._answer(206, content[start : end + 1], headers)
            return self._answer(200, content, headers)

        def _answer(self, status: int, content: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in {"Content-Length": str(len(content)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content[:most])

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_large_file_is_continued_by_ranges(
    elsewhere: str, large: tuple[Path, Card], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remotes, "WAITS_S", (0.0,))
    asked: list[str] = []
    with served(Path(elsewhere), asked, 3 * MEGABYTE) as url, pytest.raises(StorageError, match="goes on from there"):
        fetched(url, "ant")
    (part,) = cache().rglob(f"{WEIGHTS}.*")
    # A piece that did not come whole is not kept; as if the process had ended in the middle of the file:
    part.write_bytes((large[0] / WEIGHTS).read_bytes()[: 13 * MEGABYTE])
    asked.clear()
    with served(Path(elsewhere), asked, 100 * MEGABYTE) as url:
        (done,) = fetched(url, "ant")
    starts = [int(one.split()[1]) for one in asked if one.startswith(WEIGHTS)]
    assert min(starts) == 13 * MEGABYTE
    assert 7 * MEGABYTE < done.bytes < 8 * MEGABYTE
    assert verify().faults == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[tuple[Path, Any]]:
    """A file system of 12 megabytes, and the function that makes it large. Only root may mount one."""
    if os.geteuid() != 0:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("mounting a small file system needs root")
    place = tmp_path / "disk"
    place.mkdir()

    def mount(options: str) -> object:
        return subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)], check=True)

    mount("size=12m")
    yield place, lambda: mount("remount,size=200m")
    subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk_there(large: tuple[Path, Card], small_disk: tuple[Path, Any]) -> None:
    disk, enlarge = small_disk
    there = remote(str(disk / "there"))
    with pytest.raises(StorageError, match="the disk is full; free some space, the same command goes on"):
        push([large], there, Sending(), Quiet())
    assert not list(disk.rglob("*.*"))
    enlarge()
    assert push([large], there, Sending(), Quiet())[0].what == "sent"


def test_a_full_disk_here(elsewhere: str, small_disk: tuple[Path, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    disk, enlarge = small_disk
    monkeypatch.setenv("SPECIATE_HOME", str(disk / "home"))
    with pytest.raises(StorageError, match="No space left on device; free some space, the same command goes on"):
        fetched(elsewhere, "ant")
    assert not places.entries_folder().exists()
    enlarge()
    (done,) = fetched(elsewhere, "ant")
    assert done.bytes < 15 * MEGABYTE
    assert verify().faults == []
    shutil.rmtree(disk / "home")
