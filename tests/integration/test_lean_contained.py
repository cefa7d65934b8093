"""What a contained process reaches: the host's files, its network, its environment and its other processes."""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from speciate.niches import contain
from speciate.niches.contain import Containment, contained
from speciate.niches.lean import setup

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="containment is Linux only")

BASE = str(Path(sys.executable).resolve())

SPY = """
import json, os, resource, socket, subprocess, sys
def can(action):
    try:
        return bool(action())
    except BaseException as error:
        return False
found = {
    "secret": can(lambda: open(sys.argv[1]).read()),
    "write": can(lambda: open(sys.argv[1] + ".written", "w").write("x")),
    "network": can(lambda: socket.create_connection(("127.0.0.1", int(sys.argv[2])), 2)),
    "processes": len([name for name in os.listdir("/proc") if name.isdigit()]),
    "environment": "SPY_SECRET" in os.environ,
    "space": resource.getrlimit(resource.RLIMIT_AS)[0],
    "big": can(lambda: bytearray(3_000_000_000)),
    "kill": can(lambda: os.kill(int(sys.argv[3]), 0) is None),
}
print(json.dumps(found))
"""


def spied(by: Containment, folder: Path) -> dict[str, object]:
    """What a program that tries everything was able to do."""
    if by not in contain.available():
        pytest.skip(f"this machine has no {by}")
    secret = folder / "secret"
    secret.write_text("s3cret")
    prefix = Path(sys.base_prefix)
    with socket.create_server(("127.0.0.1", 0)) as server:
        command = [
            BASE,
            "-I",
            "-S",
            "-c",
            SPY,
            str(secret),
            str(server.getsockname()[1]),
            str(os.getpid()),
        ]
        wrapped = contained(command, [prefix], 2_000_000_000, by)
        done = subprocess.run(
            wrapped, env={"PATH": os.defpath}, cwd=folder, capture_output=True, text=True, timeout=60, check=False
        )
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout)
    return found


def test_bubblewrap_hides_the_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPY_SECRET", "x")
    found = spied("bubblewrap", tmp_path)
    assert found["processes"] in (1, 2)
    assert {
        name: found[name] for name in ("secret", "write", "network", "environment", "big", "kill")
    } == dict.fromkeys(("secret", "write", "network", "environment", "big", "kill"), False)
    assert not (tmp_path / "secret.written").exists()


def test_namespaces_hide_network_and_processes(tmp_path: Path) -> None:
    found = spied("namespaces", tmp_path)
    assert found["processes"] in (1, 2)
    assert (found["network"], found["big"], found["kill"]) == (False, False, False)


def test_limits_hold(tmp_path: Path) -> None:
    found = spied("limits", tmp_path)
    assert (found["space"], found["big"]) == (2_000_000_000, False)
    assert found["secret"] is True, "limits alone hide nothing, and docs/lean.md says so"


def living(session: int) -> list[str]:
    """Names of the processes of a session; those that are dead and wait for whoever takes their status do not count."""
    shown = subprocess.run(["ps", "-o", "stat=,comm=", "-g", str(session)], capture_output=True, text=True, check=False)
    states = [line.split(maxsplit=1) for line in shown.stdout.splitlines()]
    return [name for state, name in states if not state.startswith("Z")]


def within(seconds: float, holds: Callable[[], bool]) -> bool:
    """Whether it comes to hold in time."""
    until = time.monotonic() + seconds
    while not (found := holds()) and time.monotonic() < until:
        time.sleep(0.02)
    return found


def dies(by: Containment) -> None:
    """A program that runs contained ends when its wrapper is killed."""
    wrapped = contained(["/bin/sleep", "300"], [Path("/bin")], 2_000_000_000, by)
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(wrapped, cwd=folder, start_new_session=True)
        # A sandbox binds its program to itself in its first milliseconds, not before.
        assert within(10, lambda: "sleep" in living(process.pid)), by
        process.kill()
        process.wait(10)
    assert within(10, lambda: not living(process.pid)), (by, living(process.pid))


def test_a_contained_process_dies_with_who_started_it() -> None:
    for by in contain.available():
        dies(by)


@pytest.mark.lean
@pytest.mark.usefixtures("lean_home")
def test_nodes_own_permissions_hold_what_the_embedded_lean_runs_in() -> None:
    embedded = setup.ensure_embedded()
    flags = [flag for flag in embedded.command() if flag.startswith(("--permission", "--allow", "--disable-warning"))]
    tries = {
        "require('fs').readFileSync('/etc/hostname')": False,
        "require('fs').writeFileSync('speciate-was-here', 'x')": False,
        "require('child_process').execSync('id')": False,
        f"require('fs').readFileSync('{embedded.package / 'lean.wasm'}')": True,
    }
    for code, allowed in tries.items():
        done = subprocess.run(
            [embedded.node, *flags, "-e", code], capture_output=True, text=True, timeout=60, check=False
        )
        assert (done.returncode == 0) is allowed, (code, done.stderr)
        assert allowed or "ERR_ACCESS_DENIED" in done.stderr
