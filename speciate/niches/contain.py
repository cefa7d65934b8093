"""What a program that may run any code can touch: a native Lean, a worker that scores answers, a model's program.

The best that this machine has is taken: bubblewrap (sees what it needs and the system's libraries, read-only, an empty
folder of its own, no network, no other process, no environment), else new namespaces by `unshare` (no network, no other
process; the disk stays as it is for this user), else limits alone. Limits are set in all three, where `prlimit` is
there: address space, processor time, open files, size of files, processes. What is stopped and what is not is told in
docs/lean.md. Knows nothing of what runs.
"""

import functools
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

Containment = Literal["bubblewrap", "namespaces", "limits", "none"]

CPU_S = 24 * 3600
OPEN_FILES = 1024
FILE_BYTES = 64_000_000
PROCESSES = 4096
SCRATCH_BYTES = 16_000_000
"""What a program that is sealed may keep in its own folder, which lies in memory."""
_LOADERS = ("/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-aarch64.so.1")
_SYSTEM = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/etc/ld.so.cache", "/nix/store")


def available() -> list[Containment]:
    """What works here, the strongest first."""
    found: list[Containment] = []
    if _works(tuple(_bubblewrap([], []))):
        found.append("bubblewrap")
    if _works(tuple(_namespaces())):
        found.append("namespaces")
    if shutil.which("prlimit"):
        found.append("limits")
    return [*found, "none"]


def containment() -> Containment:
    """The strongest that works here."""
    return available()[0]


def contained(
    command: Sequence[str],
    readable: Sequence[Path],
    address_space: int,
    by: Containment | None = None,
    *,
    environment: Mapping[str, str] | None = None,
    sealed: bool = False,
) -> list[str]:
    """The command, contained. `readable` is what it needs to see beside the system's libraries; bytes of address space.

    `by` asks for another containment than the strongest. `environment` is all that it knows of one, for bubblewrap;
    who starts the command gives the others theirs. `sealed` makes bubblewrap stricter: its own folder is small, nothing
    else can be written, and it is the first process that it can see.
    """
    by = by or containment()
    if by == "none":
        return list(command)
    limited = [*_limits(address_space), *command]
    if by == "bubblewrap":
        more = [word for name, value in (environment or {}).items() for word in ("--setenv", name, value)]
        if sealed:
            # The first process of a sandbox is else one of bubblewrap's own, which holds the same pipes open.
            more += ["--remount-ro", "/", "--remount-ro", "/dev", "--as-pid-1"]
        scratch = ["--size", str(SCRATCH_BYTES)] if sealed and _can_bound_folders() else []
        # The limits bind the sandbox's own start too; what it then starts inherits them.
        return [*_limits(address_space), *_bubblewrap(readable, [*more, "--chdir", "/tmp"], scratch), *command]
    return [*_namespaces(), *limited] if by == "namespaces" else limited


def _limits(address_space: int) -> list[str]:
    program = shutil.which("prlimit")
    if program is None:
        return []
    wanted = {"as": address_space, "cpu": CPU_S, "nofile": OPEN_FILES, "fsize": FILE_BYTES, "nproc": PROCESSES}
    return [program, "--core=0", *(f"--{name}={value}" for name, value in wanted.items())]


def _bubblewrap(readable: Sequence[Path], more: Sequence[str], scratch: Sequence[str] = ()) -> list[str]:
    # The empty folder comes before what is shown: that may lie in it.
    shown = [("--ro-bind-try", path, path) for path in _SYSTEM] + [(*scratch, "--tmpfs", "/tmp")]
    shown += [("--ro-bind", str(path), str(path)) for path in readable]
    return [
        *(_found("bwrap"), "--unshare-all", "--die-with-parent", "--clearenv", "--setenv", "PATH", "/usr/bin:/bin"),
        *("--proc", "/proc", "--dev", "/dev"),
        *(word for entry in shown for word in entry),
        *more,
        "--",
    ]


def _can_bound_folders() -> bool:
    """Whether this bubblewrap knows `--size`."""
    return _works(tuple(_bubblewrap([], [], ["--size", str(SCRATCH_BYTES)])))


def _namespaces() -> list[str]:
    options = ["--map-root-user", "--net", "--ipc", "--pid", "--fork", "--kill-child", "--mount-proc"]
    return [_found("unshare"), *options, "--"]


def _found(program: str) -> str:
    """Its full path, so that what is remembered of it holds when PATH changes; the name where it is not there."""
    return shutil.which(program) or program


@functools.cache
def _works(wrapper: tuple[str, ...]) -> bool:
    """Whether a program can be run so: where the kernel forbids it, or the wrapper is missing, it cannot."""
    if shutil.which(wrapper[0]) is None:
        return False
    # The loader is a program that stands among the libraries, so that nothing else needs to be seen.
    loader = next((path for path in _LOADERS if Path(path).exists()), None)
    command = [*wrapper, *([loader, "--help"] if loader else ["true"])]
    try:
        return subprocess.run(command, capture_output=True, timeout=20).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False
