"""The Hub by the real library, against a server on this machine that speaks its endpoints."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from entries import flipped, registered
from standins.hub_server import TOKEN, Hub, running

from speciate.models.adapter import CONFIG, WEIGHTS
from speciate.records import Card
from speciate.registry import keys, places, signing
from speciate.registry.entry import ENTRY_FILES, MANIFEST, SIGNATURE

pytestmark = pytest.mark.usefixtures("home")
Run = Callable[..., tuple[int, Any]]


@pytest.fixture
def hub() -> Iterator[Hub]:
    with running() as found:
        yield found


@pytest.fixture
def speciate(hub: Hub, tmp_path: Path) -> Run:
    """Runs the program in a process of its own, and gives its status and its document."""
    library = {"HF_ENDPOINT": hub.url, "HF_TOKEN": TOKEN, "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1",
               "HF_HOME": str(tmp_path / "hf"), "HF_HUB_DISABLE_TELEMETRY": "0"}  # fmt: skip

    def run(*arguments: str, home: str = "", **environment: str) -> tuple[int, Any]:
        chosen = os.environ | library | environment | ({"SPECIATE_HOME": str(tmp_path / home)} if home else {})
        done = subprocess.run(
            [sys.executable, "-c", "from speciate.cli import main; main()", "registry", *arguments, "--json"],
            env=chosen, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert "Traceback" not in done.stderr, done.stderr
        return done.returncode, json.loads(done.stdout)

    return run


@pytest.fixture
def entry(tmp_path: Path) -> tuple[Path, Card]:
    return registered(tmp_path / "made")


def test_there_and_back(hub: Hub, speciate: Run, entry: tuple[Path, Card]) -> None:
    path, card = entry
    public = keys.make("ada").file
    signing.sign(path)
    status, out = speciate("push", "ant", "hf://ada/ant", "--private")
    assert (status, out["entries"][0]["what"]) == (0, "sent")
    assert hub.private == {"ada/ant"}
    assert hub.messages == [f"ant@1, {path.name}"]
    assert set(hub.files("ada/ant")) == {*ENTRY_FILES, SIGNATURE, ".gitattributes"}
    assert hub.files("ada/ant")["README.md"].startswith(b"---\n")
    assert speciate("push", "ant", "hf://ada/ant")[1]["entries"][0]["what"] == "there already"
    assert len(hub.messages) == 1
    status, back = speciate("pull", "hf://ada/ant", "--require-signature", home="elsewhere")
    assert (status, back["entries"][0]["what"], back["entries"][0]["digest"]) == (0, "fetched", card.digest)
    assert speciate("verify", home="elsewhere")[1]["faults"] == []
    assert speciate("pull", "hf://ada/ant", home="elsewhere")[1]["entries"][0]["what"] == "there already"
    assert "not trusted" in speciate("pull", "hf://ada/ant", "--trusted-only", home="x")[1]["error"]["message"]
    speciate("key", "trust", "ada", str(public), home="x")
    assert speciate("pull", "hf://ada/ant", "--trusted-only", home="x")[0] == 0


def test_no_telemetry_is_sent(hub: Hub, speciate: Run, entry: tuple[Path, Card]) -> None:
    del entry
    speciate("push", "ant", "hf://ada/ant")
    speciate("pull", "hf://ada/ant", home="elsewhere")
    assert hub.requests
    assert not [one for one in hub.requests if "telemetry" in one]
    assert not [agent for agent in hub.agents if "torch" in agent or "agent/" in agent]


def test_a_branch_of_its_own(hub: Hub, speciate: Run, entry: tuple[Path, Card]) -> None:
    del entry
    assert speciate("push", "ant", "hf://ada/ant", "--revision", "next")[0] == 0
    assert set(hub.files("ada/ant")) == {".gitattributes"}
    assert MANIFEST in hub.files("ada/ant", "next")
    assert speciate("pull", "hf://ada/ant@next", home="elsewhere")[0] == 0
    status, error = speciate("pull", "hf://ada/ant@nowhere", home="elsewhere")
    assert (status, "no revision 'nowhere'" in error["error"]["message"]) == (2, True)


def test_a_newer_entry_takes_the_place_with_its_own_signature(
    hub: Hub, speciate: Run, entry: tuple[Path, Card], tmp_path: Path
) -> None:
    keys.make()
    signing.sign(entry[0])
    speciate("push", "ant", "hf://ada/ant")
    registered(tmp_path / "made", 2.0)
    assert speciate("push", "ant@2", "hf://ada/ant")[0] == 0
    assert SIGNATURE not in hub.files("ada/ant")
    assert speciate("pull", "hf://ada/ant", home="elsewhere")[1]["entries"][0]["version"] == 2


@pytest.mark.parametrize("name", sorted(ENTRY_FILES))
def test_damage_there_is_found(hub: Hub, speciate: Run, entry: tuple[Path, Card], tmp_path: Path, name: str) -> None:
    files = {path.name: path.read_bytes() for path in entry[0].iterdir()}
    (tmp_path / "damaged").write_bytes(files[name])
    flipped(tmp_path / "damaged", 1003)
    hub.commit("eve/ant", files | {name: (tmp_path / "damaged").read_bytes()})
    status, error = speciate("pull", "hf://eve/ant", home="elsewhere")
    assert (status, "hf://eve/ant is refused" in error["error"]["message"]) == (2, True)
    assert not (tmp_path / "elsewhere" / "registry").exists()


def test_what_is_no_entry_says_what_to_do(hub: Hub, speciate: Run, entry: tuple[Path, Card]) -> None:
    files = {name: (entry[0] / name).read_bytes() for name in (WEIGHTS, CONFIG)}
    hub.commit("eve/peft", files | {"run.py": b"raise SystemExit"})
    status, error = speciate("pull", "hf://eve/peft", home="elsewhere")
    assert status == 2
    assert "speciate registry import hf://eve/peft" in error["error"]["message"]
    assert not [one for one in hub.requests if "run.py" in one]
    assert "did not push" in speciate("push", "ant", "hf://eve/peft")[1]["error"]["message"]
    hub.commit("eve/pickled", {"adapter_model.bin": b"\x80\x04.", CONFIG: files[CONFIG]})
    assert "never fetched" in speciate("pull", "hf://eve/pickled", home="elsewhere")[1]["error"]["message"]


def test_sizes_are_bounded_and_lies_about_them_found(hub: Hub, speciate: Run, entry: tuple[Path, Card]) -> None:
    hub.commit("eve/ant", {path.name: path.read_bytes() for path in entry[0].iterdir()})
    said = speciate("pull", "hf://eve/ant", "--max-bytes", "100", home="elsewhere")[1]["error"]["message"]
    assert "--max-bytes takes more" in said
    hub.sizes["README.md"] = 10**9
    assert "at most" in speciate("pull", "hf://eve/ant", home="elsewhere")[1]["error"]["message"]
    hub.sizes["README.md"] = 5
    assert "5 bytes" in speciate("pull", "hf://eve/ant", home="elsewhere")[1]["error"]["message"]


def test_who_may_not_is_told_how(hub: Hub, speciate: Run, entry: tuple[Path, Card]) -> None:
    del entry
    status, error = speciate("push", "ant", "hf://ada/ant", HF_TOKEN="hf_wrong")
    assert (status, "hf auth login" in error["error"]["message"]) == (2, True)
    speciate("push", "ant", "hf://ada/ant", "--private")
    status, error = speciate("pull", "hf://ada/ant", home="elsewhere", HF_TOKEN="hf_wrong")
    assert (status, "or it is private" in error["error"]["message"]) == (2, True)
    status, error = speciate("pull", "hf://ada/nothing", home="elsewhere")
    assert (status, "there is no hf://ada/nothing" in error["error"]["message"]) == (2, True)
    assert speciate("pull", "hf://ada/ant/more", home="elsewhere")[0] == 2
    assert "HF_HUB_OFFLINE" in speciate("pull", "hf://ada/ant", HF_HUB_OFFLINE="1")[1]["error"]["message"]
    assert hub.private == {"ada/ant"}


def test_a_hub_that_is_away(speciate: Run, entry: tuple[Path, Card]) -> None:
    del entry
    away = "http://127.0.0.1:9"
    asked = ("import", "hf://ada/ant", "--species", "ant")
    for command in (("push", "ant", "hf://ada/ant"), ("pull", "hf://ada/ant"), asked):
        status, error = speciate(*command, HF_ENDPOINT=away)
        assert (status, "cannot be reached" in error["error"]["message"]) == (1, True), error
        assert error["error"]["message"].endswith("nothing was sent or fetched yet; try again when it answers")
    assert places.entries_folder().exists()
