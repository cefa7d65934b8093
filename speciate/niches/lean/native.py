"""A Lean that the user installed. Finds it; whether it can run the checker shows when it is started."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from speciate import storage
from speciate.errors import LeanUnavailable
from speciate.niches.contain import contained
from speciate.niches.lean import package
from speciate.niches.lean.setup import CHECKER, START

CHOICE = "SPECIATE_LEAN"
"""Environment variable: `native`, `embedded` or the path of a `lean`; unset, a native Lean goes first."""
READS = "SPECIATE_LEAN_READS"
"""Environment variable: folders beside its own toolchain that a contained Lean may read, parted as in PATH."""
ADDRESS_SPACE = 32_000_000_000
"""Bytes; a library is mapped, not read, so this is far above the memory that a worker may hold."""


@dataclass(frozen=True, slots=True)
class NativeLean:
    """A `lean` executable."""

    path: Path
    checker: Path
    """Our checker, as text."""

    def command(self) -> list[str]:
        """Starts the checker, contained."""
        more = [Path(folder) for folder in os.environ.get(READS, "").split(os.pathsep) if folder]
        start = [str(self.path), "-DElab.async=false", "--run", str(self.checker)]
        return contained(start, [self.path.parent.parent, self.checker, *more], ADDRESS_SPACE)

    def environment(self) -> dict[str, str]:
        """All that the process may know of the host."""
        return {"PATH": os.defpath}


def find_native() -> Path | None:
    """The `lean` on PATH, or the one of elan; None where there is none."""
    on_path = shutil.which("lean")
    if on_path:
        return Path(on_path)
    by_elan = Path.home() / ".elan" / "bin" / "lean"
    return by_elan if by_elan.is_file() else None


def chosen_native() -> NativeLean | None:
    """The native Lean to start with, None for the embedded one.

    Raises LeanUnavailable where `SPECIATE_LEAN` asks for a native Lean that is not there.
    """
    choice = os.environ.get(CHOICE, "")
    if choice == "embedded":
        return None
    path = Path(choice).expanduser() if choice not in ("", "native") else find_native()
    if path is None and not choice:
        return None
    if path is None or not os.access(path, os.X_OK) or path.is_dir():
        what = "no `lean` is on PATH or in ~/.elan/bin" if path is None else f"{str(path)!r} is no executable"
        raise LeanUnavailable(f"{CHOICE}={choice}, but {what}. Unset {CHOICE} for the embedded Lean. {package.HOW}")
    text = CHECKER.read_text(encoding="utf-8") + "\n" + START.read_text(encoding="utf-8")
    checker = storage.named_home() / "cache" / f"checker-{storage.digest(text.encode())[7:19]}.lean"
    if not checker.is_file():
        storage.write_text(checker, text)
    return NativeLean(_behind_elan(path), checker)


def is_forced() -> bool:
    """Whether the user allows no other Lean than the one that `SPECIATE_LEAN` names."""
    return bool(os.environ.get(CHOICE))


def stamp(lean: NativeLean) -> str:
    """Names the executable: another build, another stamp."""
    status = lean.path.stat()
    return storage.digest_json([str(lean.path), status.st_size, status.st_mtime_ns])


def _behind_elan(path: Path) -> Path:
    """The executable of the toolchain that `path` stands for: elan's own needs the user's home, that one nothing."""
    try:
        done = subprocess.run([path, "--print-prefix"], capture_output=True, text=True, timeout=120)
    except (OSError, subprocess.TimeoutExpired):
        return path
    behind = Path(done.stdout.strip()) / "bin" / "lean"
    return behind if done.returncode == 0 and done.stdout.strip() and behind.is_file() else path
