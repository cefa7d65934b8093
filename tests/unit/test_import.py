"""Adapters made elsewhere: what is taken, what is said of the rest, and what is refused, hostile folders above all."""

import json
import os
import shutil
import struct
import time
from pathlib import Path
from typing import Any

import pytest
from adapters import NAME, changed, configured, saved
from populations import FLOAT32, TINY

from speciate.cli.program import run
from speciate.errors import AdapterMismatch, BaseNotFound, InputError
from speciate.models.adapter import CONFIG, WEIGHTS, locate_adapter
from speciate.models.base import digest_folder, load_model, locate
from speciate.pipeline.importing import Imported, Told, import_adapter
from speciate.progress import Quiet
from speciate.records import UnmeasuredCard
from speciate.registry import store
from speciate.registry.entry import ENTRY_FILES, README, check
from speciate.registry.foreign import take

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


@pytest.fixture(autouse=True)
def in_a_home(home: Path) -> Path:
    return home


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return saved(tmp_path / "adapter")


def imported(folder: Path, species: str = "stranger", **told: Any) -> tuple[Imported, UnmeasuredCard]:
    made = import_adapter(str(folder), Told(species, **told), Quiet())
    assert isinstance(made.card, UnmeasuredCard)
    return made, made.card


def entries(home: Path) -> list[str]:
    return sorted(path.name for path in (home / "registry" / "entries").glob("*"))


def test_what_is_known_is_on_the_card_and_the_rest_is_unknown(folder: Path) -> None:
    (folder / README).write_text(
        "---\nlicense: mit\nbase_model: someone/else\ntags: [lora, {a: b}, math]\nlanguage: en\n"
        "datasets:\n- open/proofs\nx: 2024-99-99x\n---\n# Anything\n"
    )
    expected = locate_adapter(folder).digest
    made, card = imported(folder)
    assert made.new
    assert made.change is not None
    assert made.change > 0
    assert {path.name for path in made.entry.iterdir()} == ENTRY_FILES
    assert check(made.entry) == []
    assert card.digest == expected
    assert card.base == {"name": NAME, "revision": "unknown", "digest": digest_folder(TINY)}
    assert [(edge.kind, edge.digest) for edge in card.parents] == [("trained-from", digest_folder(TINY))]
    assert (card.licence, card.niche, card.recipe, card.verdict) == ("mit", "unknown", "unknown", "unknown")
    assert card.claims == {"tags": ["lora", "math"], "datasets": ["open/proofs"], "language": ["en"]}
    assert card.origin == "imported from a folder named adapter"
    assert card.shape == {
        "kind": "LORA", "r": 4, "lora_alpha": 8, "target_modules": ["down_proj", "q_proj"],
        "tensors": 16, "parameters": 4 * 4 * (256 + 256 + 640 + 256), "dtype": "F32",
    }  # fmt: skip
    assert "peft" in card.versions
    assert "nothing proves that it was trained on these bytes" in made.notes[0]


def test_what_a_person_says_counts_more(folder: Path) -> None:
    parent = imported(folder, "parent")[1]
    other = saved(folder.parent / "other", seed=1)
    parents = ["--parent", "parent", "--kind", "distilled", "--parent", "sha256:" + "0" * 64]
    said = ["--licence", "cc0", "--niche", "lean", "--description", "a\nb"]
    assert run(["registry", "import", str(other), "--species", "child", *parents, *said]) == 0
    card = store.find("child")[1]
    assert [(edge.kind, edge.digest) for edge in card.parents] == [
        ("distilled", parent.digest), ("continued", "sha256:" + "0" * 64)
    ]  # fmt: skip
    assert (card.licence, card.niche, card.description) == ("cc0", "lean", "a b")


def test_a_checkpoint_folder_works_as_it_is(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("optimizer.pt", "training_args.bin", "rng_state.pth", "tokenizer.json", "adapter_model.bin"):
        (folder / name).write_bytes(b"\x80\x04cos\nsystem\n")
    (folder / "checkpoint-1").mkdir()
    assert run(["registry", "import", str(folder), "--species", "stranger", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["schema"] == "registry-import/1"
    assert said["left"] == ["adapter_model.bin", "checkpoint-1", "optimizer.pt", "rng_state.pth", "tokenizer.json",
                            "training_args.bin"]  # fmt: skip
    assert {path.name for path in Path(said["path"]).iterdir()} == ENTRY_FILES


def test_importing_again_keeps_the_first_card(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, card = imported(folder)
    again, kept = imported(folder, "another")
    assert (again.entry, kept, again.new) == (first.entry, card, False)
    assert run(["registry", "import", str(folder), "--species", "another"]) == 0
    assert "registered already, as stranger@1" in capsys.readouterr().out


def test_a_base_that_is_not_here_is_unknown_and_not_fetched(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_network(*_: Any, **named: Any) -> str:
        assert named["local_files_only"]
        raise ValueError("not here")

    monkeypatch.setattr("huggingface_hub.snapshot_download", no_network)
    made, card = imported(configured(folder, base_model_name_or_path="some/model", revision="v2"))
    assert card.base == {"name": "some/model", "revision": "v2", "digest": "unknown"}
    assert card.parents == []
    assert made.change is None
    assert "its base 'some/model' is not on this machine" in made.notes[0]


def test_no_base_at_all_is_unknown(folder: Path) -> None:
    (folder / README).unlink()
    made, card = imported(configured(folder, base_model_name_or_path=None))
    assert card.base["name"] == "unknown"
    assert "it does not name its base" in made.notes[0]


def test_a_base_that_is_named_is_the_one_of_entry_and_card(folder: Path) -> None:
    made, card = imported(configured(folder, base_model_name_or_path="C:\\models\\x", revision="v1"), base=NAME)
    assert card.base["name"] == NAME
    config = json.loads((made.entry / CONFIG).read_text())
    assert (config["base_model_name_or_path"], config["revision"]) == (NAME, None)
    with pytest.raises(BaseNotFound, match="no such folder"):
        imported(folder, base="./nowhere")


def test_a_kind_that_cannot_be_tried_is_taken_and_said(tmp_path: Path) -> None:
    import peft

    config = peft.RandLoraConfig(task_type="CAUSAL_LM", target_modules=["k_proj"])
    model: Any = peft.get_peft_model(load_model(locate(NAME, TINY), FLOAT32), config)
    model.save_pretrained(str(tmp_path / "randlora"), save_embedding_layers=False)
    made, card = imported(configured(tmp_path / "randlora", base_model_name_or_path=NAME))
    assert card.shape["kind"] == "RANDLORA"
    assert card.base["digest"] == digest_folder(TINY)
    assert made.change is None
    assert "it was not loaded, for it is of the kind RANDLORA" in made.notes[0]


def test_an_adapter_of_the_hub_says_where_it_came_from(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def download(reference: str, into: Path, _: Any) -> Path:
        assert reference == "hf://someone/prover@v1"
        return Path(shutil.copytree(folder, into))

    monkeypatch.setattr("speciate.registry.hub.download", download)
    (folder / "card.json").write_text("{}")
    made = import_adapter("hf://someone/prover@v1", Told("stranger"), Quiet())
    assert isinstance(made.card, UnmeasuredCard)
    assert made.card.origin == "imported from hf://someone/prover@v1"
    assert "its card.json is left behind" in made.notes[-1]


# --- what is refused ---


@pytest.mark.parametrize("species", ["../x", "", "A", "a" * 80, "-x", "x\n"])
def test_a_species_that_is_no_name(folder: Path, home: Path, species: str) -> None:
    with pytest.raises(InputError, match="no name of a species"):
        imported(folder, species)
    assert entries(home) == []


def test_pickled_weights_alone_are_refused_with_advice(folder: Path) -> None:
    (folder / WEIGHTS).rename(folder / "adapter_model.bin")
    with pytest.raises(InputError, match=r"only adapter_model.bin. Such files can run code.*save_pretrained"):
        imported(folder)


def test_no_adapter_says_where_one_is(folder: Path) -> None:
    with pytest.raises(InputError, match=r"no adapter_config.json; did you mean '.*/adapter'"):
        imported(folder.parent)
    with pytest.raises(InputError, match="is not a folder"):
        imported(folder / CONFIG)


@pytest.mark.parametrize("factor", [0.0, float("nan")])
def test_what_is_refused_is_named_by_its_own_place(
    folder: Path, monkeypatch: pytest.MonkeyPatch, factor: float
) -> None:
    changed(folder, lambda its: {key: it * factor if "lora_B" in key else it for key, it in its.items()})
    with pytest.raises(InputError, match=rf"^'{folder}/{WEIGHTS}'"):
        imported(folder)

    def download(_: str, into: Path, __: Any) -> Path:
        return Path(shutil.copytree(folder, into))

    monkeypatch.setattr("speciate.registry.hub.download", download)
    with pytest.raises(InputError, match=rf"^'hf://someone/prover/{WEIGHTS}'"):
        import_adapter("hf://someone/prover", Told("stranger"), Quiet())


@pytest.mark.parametrize("name", [WEIGHTS, CONFIG, README])
def test_links_are_not_followed(folder: Path, home: Path, name: str) -> None:
    (folder / name).rename(folder.parent / "elsewhere")
    (folder / name).symlink_to(folder.parent / "elsewhere")
    with pytest.raises(InputError, match=r"links are not followed.*cp -rL"):
        imported(folder)
    assert entries(home) == []


def test_a_pipe_is_not_waited_for(folder: Path) -> None:
    (folder / CONFIG).unlink()
    os.mkfifo(folder / CONFIG)
    with pytest.raises(InputError, match="no plain file"):
        imported(folder)


@pytest.mark.parametrize("length", [2**63, 40 * 2**20, 10**6])
def test_a_header_without_end_is_not_read(folder: Path, length: int) -> None:
    with (folder / WEIGHTS).open("wb") as file:
        file.write(struct.pack("<Q", length) + b"{")
        file.truncate(min(length, 50 * 2**20) if length > 10**6 else 100)
    with pytest.raises(InputError, match="not a safetensors file: its header would have"):
        imported(folder)


def test_a_configuration_of_100_megabytes_is_not_read(folder: Path) -> None:
    with (folder / CONFIG).open("r+b") as file:
        file.truncate(100_000_000)
    started = time.perf_counter()
    with pytest.raises(InputError, match="is no configuration: it has 100,000,000 bytes"):
        imported(folder)
    assert time.perf_counter() - started < 1


@pytest.mark.parametrize("text", ["[]", "{}", '{"peft_type": 3}', "{", '{"peft_type": "LORA", "r": NaN}', "[" * 10**5])
def test_a_configuration_that_is_none(folder: Path, home: Path, text: str) -> None:
    (folder / CONFIG).write_text(text)
    with pytest.raises(InputError, match=r"adapter_config\.json"):
        imported(folder)
    assert entries(home) == []


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_are_none(folder: Path, value: float) -> None:
    def spoil(tensors: dict[str, Any]) -> dict[str, Any]:
        list(tensors.values())[-1][0, 0] = value
        return tensors

    with pytest.raises(InputError, match=r"holds numbers that are none.*training diverged"):
        imported(changed(folder, spoil))


def test_empty_tensors_say_where_they_come_from(folder: Path) -> None:
    def emptied(tensors: dict[str, Any]) -> dict[str, Any]:
        return {name: tensor[:0] for name, tensor in tensors.items()}

    with pytest.raises(InputError, match=r"16 of its tensors are empty.*ZeRO-3"):
        imported(changed(folder, emptied))
    with pytest.raises(InputError, match="holds no tensor"):
        imported(changed(folder, lambda _: {}))


def test_an_adapter_from_before_the_first_step_is_refused_even_without_its_base(tmp_path: Path) -> None:
    for name in (NAME, "no/base"):
        folder = configured(saved(tmp_path / name.replace("/", "-"), zero=True), base_model_name_or_path=name)
        with pytest.raises(InputError, match="changes nothing: every lora_B in it is zero"):
            imported(folder)


@pytest.mark.parametrize("name", ["a\nb", "x\x1b[2J", "a" * 300, ["x"], {"a": 1}])
def test_a_base_of_no_name_is_refused_until_it_is_given(folder: Path, name: Any) -> None:
    configured(folder, base_model_name_or_path=name)
    with pytest.raises(InputError, match="is the name of none; say which it is with --base"):
        imported(folder)
    assert imported(folder, base=NAME)[1].base["name"] == NAME


def test_a_base_of_another_shape_is_refused(folder: Path, home: Path, random_llama: Path) -> None:
    with pytest.raises(AdapterMismatch, match=r"adapter' does not fit its base.*name another with --base") as refused:
        imported(folder, base=str(random_llama))
    assert str(folder) in str(refused.value)
    assert entries(home) == []


def test_no_module_is_imported_that_an_adapter_names(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "landmine.py").write_text(f"open({str(tmp_path / 'stepped-on')!r}, 'w').close()")
    monkeypatch.syspath_prepend(str(tmp_path))
    configured(folder, megatron_config={"a": 1}, megatron_core="landmine")
    made, _ = imported(folder)
    assert "would import the Python module 'landmine'" in made.notes[0]
    assert run(["registry", "try", "stranger"]) == 2
    assert not (tmp_path / "stepped-on").exists()


# --- READMEs of strangers ---

BOMB = "a: &a [x]\n" + "".join(
    f"{one}: &{one} [*{two}, *{two}]\n" for one, two in zip("bcdefghij", "abcdefghi", strict=True)
)
MERGES = "a: &a {x: 1}\n" + "".join(
    f"{one}: &{one} {{<<: [{', '.join([f'*{two}'] * 9)}]}}\n" for one, two in zip("bcdefghij", "abcdefghi", strict=True)
)


@pytest.mark.parametrize(
    "text",
    [
        f"---\nlicense: mit\n{BOMB}---\n",
        f"---\nlicense: mit\n{MERGES}---\n",
        "---\nlicense: !!python/object/apply:os.system [id]\n---\n",
        "---\nlicense: &x [*x]\n---\n",
        "---\n" + "[" * 30_000 + "\n---\n",
        "---\n" + "{a: " * 5_000 + "\n---\n",
        "---\n" + "- " * 30_000 + "\n---\n",
        "---\n" + "\n".join(" " * depth + "a:" for depth in range(300)) + "\n---\n",
        "---\nlicense: 2024-13-45\n---\n",
        "---\n? [a]\n: b\n---\n",
        "---\nlicense: " + "x" * 100_000 + "\n---\n",
        "---\nlicense: [1, {a: b}, null]\n---\n",
        "---\n- license\n---\n",
        "license: mit\n---\n",
        "---\n\x00\n---\n",
    ],
)
def test_metadata_that_cannot_be_read_is_left_out(folder: Path, tmp_path: Path, text: str) -> None:
    (folder / README).write_text(text)
    (tmp_path / "taken").mkdir()
    started = time.perf_counter()
    taken = take(folder, tmp_path / "taken")
    assert time.perf_counter() - started < 3
    assert taken.licence in ("unknown", "2024-13-45")
    assert taken.claims == {}


def test_words_of_a_stranger_are_short_and_visible(folder: Path, tmp_path: Path) -> None:
    tags = json.dumps(["a\nb\x1b[2J\u202e", "y" * 1000, *map(str, range(500))])
    (folder / README).write_bytes(f"---\r\nlicense: other\r\nlicense_name: llama3\r\ntags: {tags}\r\n---\r\n".encode())
    (tmp_path / "taken").mkdir()
    taken = take(folder, tmp_path / "taken")
    assert taken.licence == "llama3"
    assert taken.claims["tags"][0] == "a b\ufffd[2J\ufffd"
    assert (len(taken.claims["tags"]), len(taken.claims["tags"][1])) == (50, 200)
    configured(folder, target_modules=[f"m{number}" for number in range(90)])
    (tmp_path / "again").mkdir()
    assert taken.shape["r"] == 4
    assert take(folder, tmp_path / "again").shape["target_modules"][-1] == "and 40 more"
