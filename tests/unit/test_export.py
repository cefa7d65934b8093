"""Adapters in other programs' forms: PEFT and transformers load them and say the same; the others get what they read.

llama.cpp is not here: a stand-in takes its converter's arguments. What vLLM takes is known from its documentation.
"""

import json
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
from adapters import NAME, PROMPT, configured, logits_with, saved
from populations import FLOAT32, TINY

from speciate.cli.program import run
from speciate.errors import AdapterMismatch, InputError, MissingComponent
from speciate.models.adapter import CONFIG, WEIGHTS, locate_adapter
from speciate.models.base import digest_folder, load_model, load_tokenizer, locate
from speciate.pipeline import gguf
from speciate.pipeline.exporting import Exported, export
from speciate.pipeline.importing import Told, import_adapter
from speciate.pipeline.serving import unserved
from speciate.progress import Quiet
from speciate.records import Card
from speciate.registry import store
from speciate.registry.readme import metadata

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

CONVERTER = """
import json, sys
from pathlib import Path
out = Path(sys.argv[sys.argv.index("--outfile") + 1])
base, adapter = Path(sys.argv[sys.argv.index("--base") + 1]), Path(sys.argv[-1])
assert (base / "config.json").is_file() and (adapter / "adapter_model.safetensors").is_file()
config = json.loads((adapter / "adapter_config.json").read_text())
out.write_bytes(b"GGUF" + json.dumps([*sys.argv[1:], config["use_rslora"], config["alpha_pattern"]]).encode())
"""


@pytest.fixture(autouse=True)
def in_a_home(home: Path) -> Path:
    return home


def registered(folder: Path, species: str = "prover", base: str | None = None) -> Card:
    return import_adapter(str(folder), Told(species, base, licence="mit"), Quiet()).card


def exported(name: str, form: Any, target: Path | None, base: str | None = None, dtype: str = "auto") -> Exported:
    return export([name], form, target, base, dtype, Quiet())


def test_peft_loads_the_folder_and_says_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import torch

    folder = saved(tmp_path / "a", use_rslora=True)
    card = registered(configured(folder, base_model_name_or_path="C:\\models\\tiny"), base=NAME)
    target = tmp_path / "deep" / "out"
    assert run(["registry", "export", "prover", "--to", str(target), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["schema"], said["format"], said["folder"]) == ("registry-export/1", "peft", str(target))
    assert {path.name for path in target.iterdir()} == {WEIGHTS, CONFIG, "card.json", "README.md"}
    config = json.loads((target / CONFIG).read_text())
    assert config["base_model_name_or_path"] == card.base["name"] == NAME
    assert metadata((target / "README.md").read_text())["base_model"] == NAME
    assert torch.equal(logits_with(target), logits_with(folder))
    assert locate_adapter(target).digest == card.digest
    assert run(["registry", "try", str(target)]) == 0
    assert import_adapter(str(target), Told("other"), Quiet()).new is False


@pytest.mark.parametrize(
    ("name", "warned"),
    [
        (NAME, f"names its base '{NAME}', a folder that is found from '{Path.cwd()}' alone"),
        (str(TINY.absolute()), None),
        ("C:\\models\\tiny", "which is no model of the hub"),
        ("../gone/tiny", "which is no model of the hub"),
        ("", "does not name its base"),
        ("org/model", None),
    ],
)
def test_a_base_that_peft_would_not_find_is_told(tmp_path: Path, name: str, warned: str | None) -> None:
    registered(configured(saved(tmp_path / "a"), base_model_name_or_path=name))
    warnings = exported("prover", "peft", tmp_path / "out").warnings
    assert len(warnings) == (warned is not None)
    assert all((warned or "") in one and f"from_pretrained(base, '{tmp_path}/out')" in one for one in warnings)


@pytest.mark.parametrize("shape", [{}, {"use_dora": True}, {"modules_to_save": ["lm_head"]}])
def test_a_merged_model_says_what_base_and_adapter_say(
    tmp_path: Path, shape: dict[str, Any], random_qwen3: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    base = str(random_qwen3)
    before = digest_folder(random_qwen3)
    folder = saved(tmp_path / "a", base=random_qwen3, name=base, **shape)
    registered(folder)
    target = tmp_path / "out"
    command = ["registry", "export", "prover", "--to", str(target), "--format", "merged"]
    assert run([*command, "--dtype", "float32"]) == 0
    assert "logits differ by up to" in capsys.readouterr().out
    assert digest_folder(random_qwen3) == before
    model: Any = AutoModelForCausalLM.from_pretrained(target, dtype=torch.float32, attn_implementation="eager")
    ids = torch.tensor([PROMPT]) % model.config.vocab_size
    with torch.inference_mode():
        found = model.eval()(input_ids=ids).logits[0].double()
        from peft import PeftModel

        fresh: Any = PeftModel.from_pretrained(load_model(locate(base, random_qwen3), FLOAT32), str(folder))
        wanted = fresh.eval()(input_ids=ids).logits[0].double()
    assert float((found - wanted).abs().max()) < 1e-5
    assert float((found - logits_of(random_qwen3, ids)).abs().max()) > 1e-3


def logits_of(base: Path, ids: Any) -> Any:
    import torch

    with torch.inference_mode():
        return load_model(locate("a-base", base), FLOAT32)(input_ids=ids).logits[0].double()


def test_a_merged_model_is_a_whole_base(tmp_path: Path) -> None:
    registered(saved(tmp_path / "a"))
    made = exported("prover", "merged", tmp_path / "out")
    figures = made.figures
    assert 0 < figures["largest_difference"] < 0.2
    assert figures["same_likeliest"] > 0.95
    assert figures["largest_logit"] > 1
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "generation_config.json"):
        assert (tmp_path / "out" / name).read_bytes() == (TINY / name).read_bytes()
    assert not (tmp_path / "out" / "card.json").exists()
    source = locate("merged", tmp_path / "out")
    assert load_tokenizer(source).chat_template
    assert json.loads((source.folder / "config.json").read_text())["dtype"] == "bfloat16"
    assert metadata((source.folder / "README.md").read_text())["license"] == "mit"
    assert exported("prover", "merged", tmp_path / "more", dtype="float32").figures["largest_difference"] < 1e-3


def test_weights_that_are_shared_are_not_merged_wrongly(tmp_path: Path) -> None:
    # The embeddings of this base are its output layer too: a change meant for one of them would change both.
    registered(saved(tmp_path / "a", target_modules=["lm_head", "q_proj"]))
    with pytest.raises(AdapterMismatch, match=r"does not say what it says beside it.*Weights that the base shares"):
        exported("prover", "merged", tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "home") == ["a"]


def test_a_quantized_base_is_not_merged(tmp_path: Path) -> None:
    quantized = tmp_path / "quantized"
    shutil.copytree(TINY, quantized)
    config = json.loads((quantized / "config.json").read_text()) | {"quantization_config": {"quant_method": "gptq"}}
    (quantized / "config.json").write_text(json.dumps(config))
    registered(configured(saved(tmp_path / "a"), base_model_name_or_path="not/here"))
    with pytest.raises(InputError, match=r"is quantized \(gptq\).*rounded away.*--base"):
        exported("prover", "merged", tmp_path / "out", str(quantized))


def test_another_base_is_not_merged(tmp_path: Path, random_llama: Path) -> None:
    registered(saved(tmp_path / "a"))
    with pytest.raises(AdapterMismatch, match="trained on another base"):
        exported("prover", "merged", tmp_path / "out", str(random_llama))
    assert not (tmp_path / "out").exists()


# --- llama.cpp ---


@pytest.fixture
def llama_cpp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "llama cpp"
    folder.mkdir()
    (folder / gguf.CONVERTER).write_text(CONVERTER)
    monkeypatch.setenv("LLAMA_CPP", str(folder))
    return folder / gguf.CONVERTER


def test_the_converter_is_given_base_adapter_and_file(tmp_path: Path, llama_cpp: Path) -> None:
    card = registered(saved(tmp_path / "a"))
    made = exported("prover", "gguf", tmp_path / "out; touch x")
    assert made.folder == tmp_path / "out; touch x"
    written = (tmp_path / "out; touch x" / "prover-1.gguf").read_bytes()
    said = json.loads(written.removeprefix(b"GGUF"))
    assert said[:2] == ["--base", str(TINY.absolute())]
    assert said[-3:] == [str(store.entry_path(card.digest)), False, {}]
    assert made.figures == {"bytes": len(written)}
    assert llama_cpp.is_file()


def test_llama_cpp_gets_what_it_can_scale(tmp_path: Path, llama_cpp: Path) -> None:
    registered(saved(tmp_path / "a", use_rslora=True, alpha_pattern={"q_proj": 3}))
    exported("prover", "gguf", tmp_path / "out")
    assert json.loads((tmp_path / "out" / "prover-1.gguf").read_bytes().removeprefix(b"GGUF"))[-2:] == [False, {}]
    assert llama_cpp.is_file()
    registered(saved(tmp_path / "b", use_rslora=True, use_dora=True), "dora")
    with pytest.raises(AdapterMismatch, match="dora@1 cannot be converted: it is a DoRA"):
        exported("dora", "gguf", tmp_path / "other")


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("raise SystemExit('no module named gguf')", "ended with status 1: no module named gguf"),
        ("pass", r"ended well and wrote no GGUF file \(b''\)"),
        (CONVERTER.replace('b"GGUF"', 'b"GGML"'), "wrote no GGUF file"),
    ],
)
def test_a_converter_that_fails_leaves_nothing(tmp_path: Path, llama_cpp: Path, script: str, said: str) -> None:
    registered(saved(tmp_path / "a"))
    llama_cpp.write_text(script)
    with pytest.raises(InputError, match=said):
        exported("prover", "gguf", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_converter_is_found_on_the_path_or_asked_for(
    tmp_path: Path, llama_cpp: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    registered(saved(tmp_path / "a"))
    monkeypatch.setenv("LLAMA_CPP", str(tmp_path / "nowhere"))
    with pytest.raises(MissingComponent, match="there is no convert_lora_to_gguf"):
        gguf.converter()
    monkeypatch.delenv("LLAMA_CPP")
    monkeypatch.setenv("PATH", str(llama_cpp.parent))
    assert gguf.converter() == llama_cpp
    monkeypatch.setenv("PATH", str(tmp_path))
    assert run(["registry", "export", "prover", "--to", str(tmp_path / "out"), "--format", "gguf", "--json"]) == 5
    assert "clone github.com/ggml-org/llama.cpp" in json.loads(capsys.readouterr().out)["error"]["message"]


# --- vLLM ---


def test_one_line_serves_several(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = registered(saved(tmp_path / "a", r=12))
    second = registered(saved(tmp_path / "b", seed=1, r=2, use_dora=True), "dora")
    assert run(["registry", "export", "prover", "dora", "--format", "vllm"]) == 0
    said = capsys.readouterr()
    assert shlex.split(said.out) == [
        "vllm", "serve", str(TINY), "--enable-lora", "--max-lora-rank", "16", "--max-loras", "2", "--lora-modules",
        f"prover@1={store.entry_path(first.digest)}", f"dora@1={store.entry_path(second.digest)}",
    ]  # fmt: skip
    assert "warning: dora@1 is a DoRA, which vLLM refuses to load" in said.err


def test_copies_can_be_served(tmp_path: Path) -> None:
    registered(saved(tmp_path / "a"))
    made = exported("prover", "vllm", tmp_path / "out put")
    place = tmp_path / "out put" / "prover@1"
    assert shlex.split(made.line)[-1] == f"prover@1={place}"
    assert locate_adapter(place).digest == store.find("prover")[1].digest


def test_one_server_has_one_base(tmp_path: Path, random_llama: Path) -> None:
    registered(saved(tmp_path / "a"))
    registered(saved(tmp_path / "b", base=random_llama, name=str(random_llama)), "llama")
    with pytest.raises(AdapterMismatch, match="one server has one base"):
        export(["prover", "llama"], "vllm", None, None, "auto", Quiet())
    with pytest.raises(InputError, match=r"prover@1 is named twice"):
        export(["prover", "prover@1"], "vllm", None, None, "auto", Quiet())


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"peft_type": "IA3"}, "x is of the kind IA3, and vLLM serves LoRA alone"),
        ({"bias": "all"}, "x has values of its own for the base's biases"),
        ({"modules_to_save": ["lm_head"]}, "x has whole modules of its own"),
        ({"rank_pattern": {"a": 1024}}, "x has ranks of its own for some modules"),
        ({"target_modules": ["q_proj", "model.lm_head"]}, "x adapts model.lm_head, which vLLM serves for some"),
    ],
)
def test_what_vllm_does_not_do_is_said(config: dict[str, Any], said: str) -> None:
    assert unserved("x", {"peft_type": "LORA", "r": 8, "bias": "none"}) == []
    assert unserved("x", {"peft_type": "LORA", "r": 8, **config})[0].startswith(said)


# --- where it is written ---


def test_what_is_there_is_left_alone(tmp_path: Path) -> None:
    registered(saved(tmp_path / "a"))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("mine")
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    for name, said in (("full", "holds files already"), ("full/x", "is no folder"), ("link", "is no folder")):
        with pytest.raises(InputError, match=said):
            exported("prover", "peft", tmp_path / name)
    assert (tmp_path / "full" / "x").read_text() == "mine"
    exported("prover", "peft", tmp_path / "empty")
    assert (tmp_path / "empty" / WEIGHTS).is_file()
    with pytest.raises(InputError, match="--format peft takes one adapter, and the folder to write with --to"):
        exported("prover", "peft", None)


def test_a_damaged_entry_is_not_passed_on(tmp_path: Path) -> None:
    card = registered(saved(tmp_path / "a"))
    configured(store.entry_path(card.digest), r=5)
    with pytest.raises(AdapterMismatch, match="is damaged"):
        exported("prover", "peft", tmp_path / "out")
    assert not (tmp_path / "out").exists()
