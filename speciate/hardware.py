"""What this process may use of the machine: processor cores and memory."""

import contextlib
import os
import resource
import sys
from pathlib import Path


def cores() -> int:
    """Processor cores that this process may run on, at least one."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def memory() -> int | None:
    """Bytes of memory in the machine, None where the system does not tell."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None


def free_memory() -> int | None:
    """Bytes that this process may come to hold, what it holds already included; None where the system does not tell.

    A container's bound counts where it is below what the machine has left.
    """
    found = [size for size in (_unused(), _bound()) if size is not None]
    return min(found) if found else memory()


def _unused(meminfo: Path = Path("/proc/meminfo"), statm: Path = Path("/proc/self/statm")) -> int | None:
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in meminfo.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                held = int(statm.read_text().split()[1]) * resource.getpagesize()
                return int(line.split()[1]) * 1024 + held
    return None


def _bound(groups: Path = Path("/sys/fs/cgroup")) -> int | None:
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        with contextlib.suppress(OSError, ValueError):
            bound = int((groups / name).read_text())
            # Where there is no bound, the older kind of group has a number near the largest there is.
            return bound if bound < sys.maxsize // 2 else None
    return None
