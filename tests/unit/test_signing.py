"""Keys and signatures: a changed bit is found, a signature says nothing of another entry, and who signed is said."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from entries import flipped, registered
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from speciate.cli.program import run
from speciate.errors import InputError, NotFound
from speciate.registry import keys, signing
from speciate.registry.entry import MANIFEST, SIGNATURE, check
from speciate.registry.verify import verify
from speciate.storage import digest, read_json, write_json

pytestmark = pytest.mark.usefixtures("home")
SAME_HOME = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=300)


@pytest.fixture
def entry(tmp_path: Path) -> Path:
    """A signed entry."""
    keys.make()
    path, _ = registered(tmp_path)
    signing.sign(path)
    return path


def test_a_key_pair_is_private_and_is_never_written_over(home: Path) -> None:
    made = keys.make("ada")
    private = home / "keys" / "ada.pem"
    assert private.stat().st_mode & 0o777 == 0o600
    assert private.read_text().startswith("-----BEGIN PRIVATE KEY-----")
    assert made.file.read_text().startswith("-----BEGIN PUBLIC KEY-----")
    before = private.read_bytes()
    with pytest.raises(InputError, match="already"):
        keys.make("ada")
    assert private.read_bytes() == before
    assert sorted(path.name for path in private.parent.iterdir()) == ["ada.pem", "ada.pub"]
    with pytest.raises(InputError, match="no name"):
        keys.make("../ada")


def test_a_private_key_that_others_may_read_is_not_used(home: Path) -> None:
    keys.make()
    (home / "keys" / "default.pem").chmod(0o644)
    with pytest.raises(InputError, match=r"0644.*chmod 600"):
        keys.private_key()


def test_the_key_is_the_default_or_the_only_one() -> None:
    with pytest.raises(NotFound, match="key new default"):
        keys.private_key()
    keys.make("ada")
    assert keys.private_key()[0] == "ada"
    keys.make("bob")
    with pytest.raises(InputError, match="several keys"):
        keys.private_key()
    assert keys.private_key("bob")[0] == "bob"
    keys.make()
    assert keys.private_key()[0] == "default"


@pytest.mark.parametrize("content", [b"", b"no key", b"\x00" * 100_000])
def test_what_is_no_key_is_not_trusted(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.pub").write_bytes(content)
    with pytest.raises(InputError, match=r"holds no public Ed25519 key|is too large"):
        keys.trust("ada", tmp_path / "x.pub")


def test_a_key_of_another_kind_is_not_trusted(tmp_path: Path) -> None:
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    public = generate_private_key(SECP256R1()).public_key()
    (tmp_path / "x.pub").write_bytes(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    with pytest.raises(InputError, match="Ed25519"):
        keys.trust("ada", tmp_path / "x.pub")


def test_who_signed_is_said(entry: Path, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert str(signing.signed(entry)) == "signed by default (trusted)"
    public = Path(shutil.copy(home / "keys" / "default.pub", tmp_path / "ada.pub"))
    monkeypatch.setenv("SPECIATE_HOME", str(tmp_path / "other"))
    fingerprint = digest(bytes.fromhex(read_json(entry / SIGNATURE)["public"]))
    assert str(signing.signed(entry)) == f"signed by an unknown key {fingerprint}"
    keys.trust("ada", public)
    assert str(signing.signed(entry)) == "signed by ada (trusted)"
    keys.forget("ada")
    assert "unknown key" in str(signing.signed(entry))
    with pytest.raises(NotFound, match="no key 'ada'"):
        keys.forget("ada")


def test_a_name_is_not_given_to_another_key() -> None:
    ada = keys.make("ada")
    with pytest.raises(InputError, match="your own"):
        keys.trust("ada", keys.make("bob").file)
    keys.trust("carol", ada.file)
    with pytest.raises(InputError, match="forget carol"):
        keys.trust("carol", keys.folder() / "bob.pub")
    assert keys.trust("carol", ada.file).fingerprint == ada.fingerprint


@SAME_HOME
@given(bit=st.integers(min_value=0, max_value=2**20), name=st.sampled_from([SIGNATURE, MANIFEST]))
def test_a_flipped_bit_anywhere_is_found(entry: Path, bit: int, name: str) -> None:
    before = (entry / name).read_bytes()
    try:
        flipped(entry / name, bit)
        assert signing.signed(entry).problem
        assert verify().faults
    finally:
        (entry / name).write_bytes(before)
    assert verify().faults == []


@SAME_HOME
@given(content=st.binary(max_size=400))
def test_any_bytes_are_judged(entry: Path, content: bytes) -> None:
    assert signing.judged(content, signing.manifest_digest(entry), {}).problem


def test_a_signature_says_nothing_of_another_entry(entry: Path, tmp_path: Path) -> None:
    other, _ = registered(tmp_path, 2.0)
    shutil.copy(entry / SIGNATURE, other / SIGNATURE)
    assert "of another manifest" in signing.signed(other).problem
    forged = read_json(entry / SIGNATURE) | {"manifest": signing.manifest_digest(other)}
    write_json(other / SIGNATURE, forged)
    assert "was not made with the key" in signing.signed(other).problem


def test_what_was_signed_for_another_purpose_is_no_signature(entry: Path) -> None:
    _, private = keys.private_key()
    for message in (signing.manifest_digest(entry).encode(), (entry / MANIFEST).read_bytes()):
        write_json(entry / SIGNATURE, read_json(entry / SIGNATURE) | {"signature": private.sign(message).hex()})
        assert "was not made with the key" in signing.signed(entry).problem


def test_a_link_is_no_signature(entry: Path, tmp_path: Path) -> None:
    moved = (entry / SIGNATURE).rename(tmp_path / "signature.json")
    (entry / SIGNATURE).symlink_to(moved)
    assert "not a plain file" in signing.signed(entry).problem


def test_a_damaged_entry_is_not_signed(tmp_path: Path) -> None:
    keys.make()
    path, _ = registered(tmp_path)
    flipped(path / MANIFEST, 100)
    with pytest.raises(InputError, match="damaged and so is not signed"):
        signing.sign(path)


def test_a_second_signature_replaces_no_other_unasked(entry: Path) -> None:
    before = (entry / SIGNATURE).read_bytes()
    signing.sign(entry)
    assert (entry / SIGNATURE).read_bytes() == before
    keys.make("bob")
    with pytest.raises(InputError, match=r"signed by default \(trusted\) already; --replace"):
        signing.sign(entry, "bob")
    assert str(signing.sign(entry, "bob", replace=True)) == "signed by bob (trusted)"
    assert check(entry) == []


def test_verify_asks_for_trusted_signatures(entry: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other, _ = registered(tmp_path, 2.0)
    found = verify(must_be_signed=True)
    assert [(fault.where, fault.what) for fault in found.faults] == [(str(other), "not signed")]
    assert found.signed == {entry.name: "signed by default (trusted)", other.name: "not signed"}
    assert verify().faults == []
    monkeypatch.setattr(keys, "folder", lambda: tmp_path / "no-keys")
    assert any("unknown key" in fault.what for fault in verify([entry], must_be_signed=True).faults)


def test_the_commands(tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def said(*arguments: str, status: int = 0) -> dict[str, Any]:
        assert run(["registry", *arguments, "--json"]) == status
        return json.loads(capsys.readouterr().out)

    path, card = registered(tmp_path)
    made = said("key", "new", "ada")
    assert (made["schema"], made["own"]) == ("registry-key/1", True)
    assert said("key", "list")["keys"] == [{key: made[key] for key in ("name", "fingerprint", "own", "file")}]
    assert said("verify", "--signed", status=1)["signed"] == {path.name: "not signed"}
    assert said("sign", "ant", "--key", "ada")["entries"][0]["key"] == made["fingerprint"]
    assert said("verify", "--signed")["signed"] == {path.name: "signed by ada (trusted)"}
    assert run(["registry", "show", "ant"]) == 0
    assert "signed by ada (trusted)" in capsys.readouterr().out
    assert run(["registry", "verify"]) == 0
    assert "1 signed by ada (trusted)" in capsys.readouterr().out
    assert said("show", "ant")["digest"] == card.digest
    assert said("key", "trust", "bob", str(home / "keys" / "ada.pub"))["own"] is False
    assert said("key", "forget", "bob")["name"] == "bob"
    assert said("key", "forget", "ada", status=2)["error"]["kind"] == "NotFound"


# --- keys that somebody tampered with ---


def test_a_key_of_ours_is_known_by_its_private_half(entry: Path) -> None:
    made = keys.every()
    made[0].file.unlink()
    assert keys.every() == made
    assert "signed by default (trusted)" in str(signing.signed(entry))
    assert "`speciate registry key new default` writes it again" in verify().faults[0].what
    keys.make()
    assert verify().faults == []
    stranger(made[0].file)
    assert keys.every() == made
    assert "is not the public half of default.pem" in verify().faults[0].what


def test_a_key_that_is_none_stops_no_other(entry: Path, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = home / "keys" / "trusted"
    folder.mkdir()
    (folder / "bad.pub").write_text("no key")
    (folder / "evil\u202e\x1b[2J.pub").write_bytes((home / "keys" / "default.pub").read_bytes())
    stranger(home / "keys" / "alone.pub")
    assert [one.name for one in keys.every()] == ["default"]
    assert [Path(fault.where).name[:4] for fault in verify().faults] == ["alon", "bad.", "evil"]
    assert str(signing.signed(entry)) == "signed by default (trusted)"
    assert run(["registry", "key", "list"]) == 0
    shown = capsys.readouterr().out
    assert "'no key'" not in shown
    assert "holds no public Ed25519 key" in shown
    assert "rename it" in shown
    assert "\u202e" not in shown
    assert "\x1b" not in shown


def stranger(file: Path) -> None:
    """Somebody else's public key in a file."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    file.write_bytes(keys.public_pem(Ed25519PrivateKey.generate().public_key()))
