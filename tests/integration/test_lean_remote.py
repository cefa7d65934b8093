"""The checker in other hands: through LeanInteract's real client and Kimina's real client, each with a stand-in behind
it that speaks the other side's protocol and runs the embedded Lean.
"""

import json
import os
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from speciate.errors import LeanUnavailable, VerifierError
from speciate.niches.lean import commands, setup
from speciate.niches.lean.engine import Lean
from speciate.niches.lean.interact import InteractJudge
from speciate.niches.lean.kimina import KiminaJudge
from speciate.niches.lean.pool import LeanPool
from speciate.niches.lean.verdict import LeanJob

pytestmark = [
    pytest.mark.lean,
    pytest.mark.usefixtures("lean_home"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

REPL = Path(__file__).parents[1] / "standins" / "repl.lean"
TRUE = "theorem t (x y : Nat) : x + y = y + x"
JOBS = [
    LeanJob("", TRUE, "by omega"),
    LeanJob("", TRUE, 'by\n  -- a "quoted" \\ text, a tab\t, ∀ ε\n  exact Nat.add_comm x y'),
    LeanJob("", "theorem t (x y : Nat) : x + y = y", "by omega"),
    LeanJob("", TRUE, "by set_option debug.skipKernelTC true in omega"),
    LeanJob("def f (n : Nat) := n + 1", "theorem t (n : Nat) : f n = n + 1", "rfl"),
    LeanJob("axiom cheat : False", "theorem t : 1 = 2", "cheat.elim"),
    LeanJob("", "theorem t : 1 = 1", "by\n  skip\nend Judge\n#eval 1"),
    LeanJob("", "theorem t : False", "Judge.reply"),
]
WANTED = ["", "", "error", "option", "", "axiom", "command", "error"]


def repl_command(folder: Path) -> tuple[list[str], dict[str, str]]:
    """What starts the stand-in for the REPL."""
    embedded = setup.ensure_embedded()
    source = folder / "repl.lean"
    source.write_text(setup.CHECKER.read_text() + "\nend\n" + REPL.read_text())
    environment = embedded.lean_environment({"/repl.lean": source})
    script = str(embedded.made / "lean.js")
    return [str(embedded.node), script, "-DElab.async=false", "--run", "/repl.lean"], environment


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A Lean project, its REPL, and a `lake` that runs it."""
    folder = tmp_path_factory.mktemp("project")
    command, environment = repl_command(folder)
    for part in (folder, folder / "repl"):
        part.mkdir(exist_ok=True)
        (part / "lean-toolchain").write_text("leanprover/lean4:v4.28.0\n")
        (part / "lakefile.toml").write_text('name = "zoo"\n')
    lake = folder / "bin" / "lake"
    lake.parent.mkdir()
    exports = " ".join(f"{name}='{value}'" for name, value in environment.items())
    lake.write_text(
        '#!/bin/sh\n[ "$1" = env ] || exit 0\n'
        f'exec env -i {exports} {" ".join(command)} | grep -v --line-buffered "^.DEBUG"\n'
    )
    lake.chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{lake.parent}{os.pathsep}{os.environ['PATH']}")
        yield folder


def test_leaninteract_runs_our_judge(project: Path) -> None:
    judge = InteractJudge(project, imports=(), repl=project / "repl")
    with Lean(timeout_s=60, judge=judge) as lean:
        found = list(lean.check(JOBS))
        assert [one.reason for one in found] == WANTED
        assert {one.engine for one in found if one.lean} == {"lean-interact"}
        assert found[0].lean.startswith("4.28.0")
        subprocess.run(["pkill", "-9", "-f", "/repl.lean"], check=False)
        assert next(lean.check([LeanJob("", TRUE, "by omega -- after a kill")])).proved
        assert [one.reason for one in lean.check(JOBS)] == WANTED, "remembered"


def test_a_hanging_proof_in_leaninteract_is_a_timeout(project: Path) -> None:
    blowup = LeanJob("", "theorem t : ∀ a b c : Fin 40, a + b + c = c + b + a", "by decide", max_heartbeats=10**7)
    with Lean(timeout_s=2, judge=InteractJudge(project, imports=(), repl=project / "repl")) as lean:
        assert next(lean.check([blowup])).verdict == "timeout"


def test_leaninteract_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(LeanUnavailable, match="no Lean project"):
        InteractJudge(tmp_path / "nowhere").start()
    monkeypatch.setenv("PATH", "")
    with pytest.raises(LeanUnavailable, match="lake"):
        InteractJudge(tmp_path, repl=tmp_path).start()


class Kimina(ThreadingHTTPServer):
    """The side of a Kimina Lean Server that its client sees: /api/check, with one REPL behind it."""

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), KiminaHandler)
        command, environment = repl_command(folder)
        self.lock = threading.Lock()
        self.headers: dict[str, int] = {}
        self.keys: list[str | None] = []
        self.fault = ""
        self.repl = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        assert self.repl.stdin
        assert self.repl.stdout
        self.repl.stdin.write(json.dumps(request) + "\n\n")
        self.repl.stdin.flush()
        lines = ""
        while not lines.endswith("\n\n"):
            line = self.repl.stdout.readline()
            lines += "" if line.startswith("[DEBUG") else line
        answer: dict[str, Any] = json.loads(lines)
        return answer

    def checked(self, code: str) -> dict[str, Any]:
        lines = code.splitlines(keepends=True)
        header = "".join(line for line in lines if line.startswith("import "))
        body = "".join(line for line in lines if not line.startswith("import "))
        with self.lock:
            if header not in self.headers:
                self.headers[header] = self.ask({"cmd": header})["env"]
            return self.ask({"cmd": body, "env": self.headers[header]})


class KiminaHandler(BaseHTTPRequestHandler):
    server: Kimina  # pyright: ignore[reportIncompatibleVariableOverride]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.keys.append(self.headers["Authorization"])
        if self.path != "/api/check" or self.server.fault == "status":
            self.send_error(500)
            return
        results: list[dict[str, Any]] = []
        for snippet in body["snippets"]:
            if self.server.fault == "timeout":
                results.append({"id": snippet["id"], "error": "Lean REPL command timed out in 60 seconds"})
            elif self.server.fault == "silent":
                results.append({"id": snippet["id"], "response": {"env": 0, "messages": []}})
            else:
                results.append({"id": snippet["id"], "time": 0.1, "response": self.server.checked(snippet["code"])})
        answer = json.dumps({"results": results}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def kimina(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kimina]:
    """A stand-in server on a loopback port."""
    server = Kimina(tmp_path_factory.mktemp("kimina"))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()
    server.repl.kill()
    server.repl.communicate()


def url(server: Kimina) -> str:
    return f"http://127.0.0.1:{server.server_port}"


def test_a_kimina_server_runs_our_judge(kimina: Kimina) -> None:
    judge = KiminaJudge(url(kimina), imports=(), api_key="k3y")
    with Lean(timeout_s=60, judge=judge) as lean:
        found = list(lean.check(JOBS))
        assert [one.reason for one in found] == WANTED
        assert {one.engine for one in found} == {"kimina"}
        assert found[0].lean.startswith("4.28.0")
    assert set(kimina.keys) == {"Bearer k3y"}
    requests = [
        {"statement": TRUE, "name": ["t"], "proofs": [proof], "heartbeats": 10_000} for proof in ("by omega", "by rfl")
    ]
    assert [answer["proved"] for answer in judge.ask_all(requests, 60)] == [True, False]


def test_a_server_is_asked_for_many_proofs_at_once(kimina: Kimina) -> None:
    asked = len(kimina.keys)
    jobs = [LeanJob("", f"theorem t : {n} + 0 = {n + n % 2}", f"rfl -- {n}") for n in range(40)]
    with LeanPool(2, engine=lambda: Lean(timeout_s=60, judge=KiminaJudge(url(kimina), imports=()))) as pool:
        found = list(pool.check([*JOBS, *jobs, jobs[0]]))
    assert [one.reason for one in found[: len(JOBS)]] == WANTED
    assert [one.proved for one in found[len(JOBS) :]] == [n % 2 == 0 for n in [*range(40), 0]]
    assert len(kimina.keys) - asked < 10


@pytest.mark.parametrize(
    ("fault", "verdict", "reason"),
    [("timeout", "timeout", "time"), ("status", "crashed", "process"), ("silent", "crashed", "output")],
)
def test_a_server_in_trouble_is_a_verdict(kimina: Kimina, fault: str, verdict: str, reason: str) -> None:
    judge = KiminaJudge(url(kimina), imports=())
    judge.wait_ready()
    kimina.fault = fault
    try:
        with Lean(timeout_s=30, judge=judge) as lean:
            found = next(lean.check([LeanJob("", TRUE, f"by omega -- {fault}")]))
    finally:
        kimina.fault = ""
    assert (found.verdict, found.reason) == (verdict, reason)


def test_no_server_is_an_error_that_names_it() -> None:
    with pytest.raises(VerifierError, match=r"127\.0\.0\.1:9"), Lean(judge=KiminaJudge("http://127.0.0.1:9")) as lean:
        lean.wait_ready()


def test_a_proof_is_a_string_in_the_command() -> None:
    hostile = {"proofs": ['"] -- \\" \n#eval 1\n"'], "statement": "x"}
    command, nonces = commands.asking([hostile])
    assert "\n" not in command
    assert len(nonces[0]) == 32
    assert commands.answers(
        [{"severity": "info", "data": f'noise\n{{"nonce": "{nonces[0]}", "proved": true}}'}], nonces
    )
