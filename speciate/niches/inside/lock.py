"""What a process of a sandbox gives up before it meets untrusted text: rights, memory, and calls of the system.

Runs inside the sandbox. Every step is tried and none is relied on alone: the sandbox around it holds where the kernel
refuses one. The filter of system calls exists for Linux on x86-64 and arm64; elsewhere `locked_down` says False and
the limit of processes takes its place. Knows nothing of what is judged.
"""

import contextlib
import ctypes
import os
import platform
import resource
import signal
import struct
import sys

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 1, 4, 22, 38
_EPERM, _ENOSYS = 1, 38
_CLONE_THREAD = 0x00010000
_MOUNT_SETATTR, _AT_RECURSIVE, _RDONLY, _AT_FDCWD = 442, 0x8000, 1, -100

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
"""Instructions of the classic Berkeley packet filter."""
_ALLOW, _FAIL = 0x7FFF0000, 0x00050000

_CALLS: dict[str, tuple[int, dict[str, int], tuple[int, ...]]] = {
    # Name of the machine: its number in the filter, calls that are weighed, calls that always fail. Those that always
    # fail: fork, vfork, execve, execveat, kill, tkill, the other ways to send a signal, ptrace, another process's
    # memory, socket, mounts, namespaces, bpf, perf, keys, userfaultfd, io_uring, kcmp, files by handle, System V.
    "x86_64": (
        0xC000003E,
        {"clone": 56, "clone3": 435, "tgkill": 234, "prlimit64": 302},
        (
            *(57, 58, 59, 322, 62, 200, 129, 297, 424, 434, 438, 101, 310, 311, 41, 165, 166, 155, 272, 308, 321, 298),
            *(248, 249, 250, 323, 425, 426, 427, 312, 304, 29, 64, 68),
        ),
    ),
    "aarch64": (
        0xC00000B7,
        {"clone": 220, "clone3": 435, "tgkill": 131, "prlimit64": 261},
        (
            *(221, 281, 129, 130, 138, 240, 424, 434, 438, 117, 270, 271, 198, 40, 39, 41, 97, 268, 280, 241),
            *(217, 218, 219, 282, 425, 426, 427, 272, 265, 194, 190, 186),
        ),
    ),
}


class _Filter(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def hidden() -> None:
    """Close this process to its children: they cannot read its memory or reach its open files, nor gain rights."""
    if sys.platform != "linux":
        return
    _control(_PR_SET_DUMPABLE, 0)
    _control(_PR_SET_NO_NEW_PRIVS, 1)
    # The root of a user namespace may look into any process of it; without capabilities it may not.
    header, none = struct.pack("II", 0x20080522, 0), bytes(24)
    with contextlib.suppress(OSError, AttributeError):
        _library().capset(header, none)


def disk_made_read_only() -> bool:
    """Make every file read-only for this process and its children, where it owns its mounts; say whether it did."""
    if sys.platform != "linux":
        return False
    wanted = struct.pack("QQQQ", _RDONLY, 0, 0, 0)
    call = (_MOUNT_SETATTR, _AT_FDCWD, b"/", _AT_RECURSIVE, wanted, len(wanted))
    with contextlib.suppress(OSError, AttributeError):
        return _library().syscall(*call) == 0
    return False


def tied_to_parent(parent: int) -> None:
    """End with the parent, whose number is given, since it may be gone already."""
    if sys.platform == "linux":
        _control(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def limited(address_space: int, cpu_s: int, file_bytes: int) -> None:
    """Bound what this process can take: bytes of address space, seconds of a processor, bytes of a file."""
    for kind, soft, hard in (
        (resource.RLIMIT_AS, address_space, address_space),
        # The first limit sends a signal that says what it is about, the second one does not ask.
        (resource.RLIMIT_CPU, cpu_s, cpu_s + 1),
        (resource.RLIMIT_FSIZE, file_bytes, file_bytes),
        (resource.RLIMIT_NOFILE, 64, 64),
        (resource.RLIMIT_CORE, 0, 0),
    ):
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(kind, (soft, hard))


def ran_out_of_time(killed_by: int, worked_s: float, limit_s: float) -> bool:
    """Whether a process that a signal ended was ended by its limit of processor time; the system counts in ticks."""
    return killed_by == signal.SIGXCPU or (killed_by == signal.SIGKILL and worked_s > limit_s / 2)


def locked_down() -> bool:
    """Let this process start no other, reach no other and open no socket; False where only a limit could be set."""
    if sys.platform == "linux" and (machine := _CALLS.get(platform.machine())):
        program = _program(*machine)
        wanted = _Filter(len(program) // 8, program)
        _control(_PR_SET_NO_NEW_PRIVS, 1)
        if _control(_PR_SET_SECCOMP, 2, ctypes.byref(wanted)) == 0:
            return True
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
    return False


def _program(architecture: int, weighed: dict[str, int], denied: tuple[int, ...]) -> bytes:
    """The filter: loads the call's number, compares it with each, and returns what becomes of the call."""
    fail = (_RETURN, 0, 0, _FAIL | _EPERM)
    allow = (_RETURN, 0, 0, _ALLOW)
    own = os.getpid()
    steps: list[tuple[int, int, int, int]] = [
        (_LOAD, 0, 0, 4),
        (_EQUAL, 1, 0, architecture),
        fail,
        (_LOAD, 0, 0, 0),
        # Calls of x86's other size of word, which have numbers of their own.
        (_AT_LEAST, 0, 1, 0x40000000),
        fail,
        # The C library falls back to `clone`, whose flags can be read.
        *((_EQUAL, 0, 1, weighed["clone3"]), (_RETURN, 0, 0, _FAIL | _ENOSYS)),
        *((_EQUAL, 0, 4, weighed["clone"]), (_LOAD, 0, 0, 16), (_ANY_BIT, 0, 1, _CLONE_THREAD), allow, fail),
        # `abort` sends itself a signal.
        *((_EQUAL, 0, 4, weighed["tgkill"]), (_LOAD, 0, 0, 16), (_EQUAL, 0, 1, own), allow, fail),
        *((_EQUAL, 0, 4, weighed["prlimit64"]), (_LOAD, 0, 0, 16), (_EQUAL, 0, 1, 0), allow, fail),
    ]
    for call in denied:
        steps += [(_EQUAL, 0, 1, call), fail]
    return b"".join(struct.pack("HBBI", *step) for step in [*steps, allow])


def _control(*words: object) -> int:
    """The system call `prctl`; -1 where it is refused."""
    filled = [*words, *[0] * (5 - len(words))]
    with contextlib.suppress(OSError, AttributeError):
        return int(_library().prctl(*(ctypes.c_ulong(word) if isinstance(word, int) else word for word in filled)))
    return -1


def _library() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
