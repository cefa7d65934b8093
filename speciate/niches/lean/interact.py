"""Judging in a Lean project, Mathlib's for one, through LeanInteract's server for the project's REPL.

Needs `lean-interact`, a Lean toolchain (`lake`) and the project, built. The REPL runs uncontained with the rights of
its user: for proofs that may be hostile, run speciate as a user, or in a container, that has nothing to lose.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from speciate import storage
from speciate.errors import LeanUnavailable, VerifierError
from speciate.niches.lean import commands
from speciate.niches.lean.worker import JudgeClosed, WorkerDied, WorkerTooSlow

if TYPE_CHECKING:
    from lean_interact import LeanServer

_START_TIMEOUT_S = 600.0
_MOST_REQUESTS = 2000


class InteractJudge:
    """The checker in a project's REPL; not for several threads at once."""

    engine = "lean-interact"

    def __init__(self, project: Path, imports: Sequence[str] = ("Mathlib",), repl: Path | None = None) -> None:
        self.project = project
        self.imports = tuple(imports)
        self.repl = repl
        self.version = ""
        self.notes: list[str] = []
        self._server: LeanServer | None = None
        self._environment = 0
        self._asked = 0
        self._closings = 0

    @property
    def identity(self) -> str:
        """Names the checker, the project's lock file and its toolchain."""
        files = [self.project / name for name in ("lean-toolchain", "lake-manifest.json")]
        pinned = [path.read_text(encoding="utf-8") for path in files if path.is_file()]
        return f"{commands.identity(self.imports)} {storage.digest_json([str(self.project), *pinned])}"

    @property
    def is_running(self) -> bool:
        """Whether there is a REPL."""
        return self._server is not None and self._server.is_alive()

    def start(self) -> None:
        """Start the REPL. Raises LeanUnavailable where the package, the toolchain or the project is missing."""
        if self.is_running:
            return
        try:
            from lean_interact import LeanREPLConfig, LeanServer, LocalProject
        except ImportError as error:
            raise LeanUnavailable("the package `lean-interact` is not installed: `uv sync --extra lean`") from error
        if not self.project.is_dir():
            raise LeanUnavailable(f"there is no Lean project in {str(self.project)!r}")
        lake = os.environ.get("LAKE", "lake")
        try:
            project = LocalProject(directory=str(self.project), auto_build=False)
            config = LeanREPLConfig(
                project=project, lake_path=lake, local_repl_path=self.repl, build_repl=self.repl is None
            )
            self._server = LeanServer(config)
        except (OSError, RuntimeError, ValueError) as error:
            raise LeanUnavailable(
                f"LeanInteract does not start: {error}. It needs `lake` (elan) and a network"
            ) from error
        self._asked = 0
        self.version = ""

    def wait_ready(self) -> None:
        """Load the imports and the checker. Raises VerifierError where that fails."""
        if self.version and self.is_running:
            return
        self.start()
        try:
            loaded = self._run(f"{commands.header(self.imports)}\n{commands.checker()}", None, _START_TIMEOUT_S)
            self._environment = int(loaded["env"])
            self.version = commands.version_in(self._run("#eval Judge.ready", self._environment, 60.0)["messages"])
        except (WorkerDied, WorkerTooSlow, KeyError) as error:
            raise VerifierError(f"the project's Lean does not run the checker: {error}") from error

    def ask(self, request: Mapping[str, Any], timeout_s: float) -> Mapping[str, Any]:
        """The checker's answer. Raises WorkerDied or WorkerTooSlow; JudgeClosed where another thread closes it."""
        closings = self._closings
        if self._asked >= _MOST_REQUESTS:
            self._stop()
        self.wait_ready()
        self._asked += 1
        command, nonces = commands.asking([request])
        try:
            return commands.answers(self._run(command, self._environment, timeout_s).get("messages", []), nonces)[0]
        except (WorkerDied, WorkerTooSlow):
            self._stop()
            if self._closings != closings:
                raise JudgeClosed from None
            raise

    def close(self) -> None:
        """Kill the REPL; a later request would start another."""
        self._closings += 1
        self._stop()

    def _stop(self) -> None:
        if self._server is not None:
            self._server.kill()
            self._server = None

    def _run(self, command: str, environment: int | None, timeout_s: float) -> dict[str, Any]:
        server = self._server
        if server is None:
            raise WorkerDied("process", "the REPL is gone")
        asked = {"cmd": command} | ({} if environment is None else {"env": environment})
        try:
            return server.run_dict(asked, timeout=timeout_s)
        except TimeoutError as error:
            raise WorkerTooSlow from error
        except (ConnectionError, ChildProcessError, OSError) as error:
            raise WorkerDied("process", f"the REPL ended: {str(error)[:300]}") from error
        except ValueError as error:
            raise WorkerDied("output", f"the REPL said something that is no answer: {str(error)[:300]}") from error
