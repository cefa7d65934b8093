"""Which engine judges: what `SPECIATE_LEAN` says, else a Lean on this machine; and which engines work here.

(unset)                native Lean where there is one that runs the checker, else the embedded one
embedded               Lean in WebAssembly, set up at first use
native, or a path      a Lean that the user installed
interact:PROJECT       a built Lean project, Mathlib's for one, through LeanInteract
kimina:URL             a Kimina Lean Server
"""

import importlib.metadata
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from speciate.errors import InputError, LeanUnavailable
from speciate.niches import contain
from speciate.niches.lean import native, package, setup
from speciate.niches.lean.engine import MAX_RSS_BYTES, Judge, Lean
from speciate.niches.lean.process import LocalJudge

IMPORTS = "SPECIATE_LEAN_IMPORTS"
"""Environment variable: what the proofs of a project or a server may use, parted by commas; Mathlib where unset."""
REPL = "SPECIATE_LEAN_REPL"
"""Environment variable: the folder of a built REPL for `interact:`; unset, LeanInteract fetches and builds one."""
KEY = "SPECIATE_KIMINA_KEY"
"""Environment variable: the key of a Kimina server that asks for one."""


def chosen_judge(max_rss_bytes: int = MAX_RSS_BYTES, progress: package.Progress | None = None) -> Judge:
    """The judge that the user wants; nothing is started. Raises InputError where `SPECIATE_LEAN` is half a choice."""
    kind, _, where = os.environ.get(native.CHOICE, "").partition(":")
    if kind not in ("interact", "kimina"):
        return LocalJudge(max_rss_bytes, progress)
    if not where:
        example = "interact:/path/of/project" if kind == "interact" else "kimina:http://host:8000"
        raise InputError(f"{native.CHOICE}={kind} names no place; write {native.CHOICE}={example}")
    imports = [name.strip() for name in os.environ.get(IMPORTS, "Mathlib").split(",") if name.strip()]
    if kind == "interact":
        from speciate.niches.lean.interact import InteractJudge

        repl = os.environ.get(REPL)
        return InteractJudge(Path(where).expanduser(), imports, Path(repl) if repl else None)
    from speciate.niches.lean.kimina import KiminaJudge

    return KiminaJudge(where, imports, os.environ.get(KEY))


def chosen_lean(timeout_s: float = 20.0, progress: package.Progress | None = None) -> Lean:
    """An engine on that judge."""
    return Lean(timeout_s, judge=chosen_judge(progress=progress))


@dataclass(frozen=True, slots=True)
class EngineState:
    """What one engine is on this machine."""

    engine: str
    works: bool | None
    """None where that shows only when it is used."""
    version: str
    how: str
    """What it runs in, or how to get it."""


def engine_states() -> list[EngineState]:
    """All engines, found without starting a judge."""
    return [_embedded(), _native(), _interact(), _kimina()]


def _embedded() -> EngineState:
    try:
        node = setup.find_node()
    except LeanUnavailable as error:
        return EngineState("embedded", False, "", str(error))
    if setup.is_whole(setup.folder()):
        return EngineState("embedded", True, package.LEAN_VERSION.split(",")[0], f"WebAssembly in {node}")
    how = "set up at first use, or by `speciate lean setup` (121 MB)"
    return EngineState("embedded", None, package.LEAN_VERSION.split(",")[0], how)


def _native() -> EngineState:
    path = native.find_native()
    if path is None:
        return EngineState("native", False, "", "install elan, the Lean toolchain manager, then `elan default stable`")
    try:
        done = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=60)
        shown = (done.stdout or done.stderr).strip().splitlines() or ["it says nothing"]
    except (OSError, subprocess.TimeoutExpired) as error:
        return EngineState("native", False, "", f"{path} does not answer: {error}")
    held = {"bubblewrap": "bubblewrap", "namespaces": "namespaces (no bubblewrap)", "limits": "limits only"}
    how = f"{path}, contained by {held.get(contain.containment(), 'nothing')}"
    return EngineState("native", done.returncode == 0, shown[0].split(",")[0].removeprefix("Lean (version "), how)


def _interact() -> EngineState:
    version = _installed("lean-interact")
    lake = shutil.which("lake") or shutil.which("lake", path=str(Path.home() / ".elan" / "bin"))
    missing = [
        *([] if version else ["the package (`uv sync --extra lean`)"]),
        *([] if lake else ["`lake` (install elan)"]),
    ]
    if missing:
        return EngineState("lean-interact", False, version, f"missing: {' and '.join(missing)}")
    return EngineState("lean-interact", None, version, f"{native.CHOICE}=interact:PROJECT, a built Lean project")


def _kimina() -> EngineState:
    version = _installed("kimina-client")
    if not version:
        return EngineState("kimina", False, "", "missing: the package (`uv sync --extra lean`)")
    return EngineState("kimina", None, version, f"{native.CHOICE}=kimina:URL, a Kimina Lean Server")


def _installed(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""
