"""Which modules an adapter is put on, in architectures that call them differently."""

from pathlib import Path
from typing import Any

import pytest

from speciate.errors import NothingTrainable
from speciate.models.base import Compute, load_model, locate
from speciate.models.targets import linear_modules, resolved

FLOAT32 = Compute("cpu", "float32", "float32")
SMALL: dict[str, Any] = {"vocab_size": 40, "pad_token_id": 0, "bos_token_id": None, "eos_token_id": 1}


def llama(folder: Path) -> Any:
    return load_model(locate("a-base", folder), FLOAT32)


def gpt2() -> Any:
    from transformers import GPT2Config, GPT2LMHeadModel

    return GPT2LMHeadModel(GPT2Config(n_embd=16, n_layer=2, n_head=2, n_positions=32, **SMALL))


def opt() -> Any:
    from transformers import OPTConfig, OPTForCausalLM

    sizes = {"hidden_size": 16, "ffn_dim": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    return OPTForCausalLM(OPTConfig(max_position_embeddings=32, word_embed_proj_dim=16, **sizes, **SMALL))


def neox() -> Any:
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    return GPTNeoXForCausalLM(GPTNeoXConfig(max_position_embeddings=32, **sizes, **SMALL))


def test_the_architectures_own_words_are_found(random_llama: Path) -> None:
    model = llama(random_llama)
    assert resolved(model, "mlp-only") == ["down_proj", "gate_proj", "up_proj"]
    assert resolved(model, "attention-only") == ["k_proj", "o_proj", "q_proj", "v_proj"]
    assert resolved(model, "all-linear") == "all-linear"
    assert resolved(model, ("q_proj",)) == ["q_proj"]


def test_mlps_of_other_architectures_are_found() -> None:
    assert resolved(opt(), "mlp-only") == ["fc1", "fc2"]
    assert resolved(neox(), "mlp-only") == ["dense_4h_to_h", "dense_h_to_4h"]
    assert resolved(neox(), "attention-only") == ["dense", "query_key_value"]


def test_a_name_that_both_have_is_told_apart_by_the_whole_name() -> None:
    assert resolved(gpt2(), "mlp-only") == [
        f"transformer.h.{layer}.mlp.{name}" for layer in (0, 1) for name in ("c_fc", "c_proj")
    ]


def test_where_no_module_is_called_so_the_names_are_given(random_llama: Path) -> None:
    model = llama(random_llama)
    for layer in model.model.layers:
        layer.other = layer.mlp
        del layer.mlp
    with pytest.raises(
        NothingTrainable, match=r"as mlp-only looks for; name the modules themselves \(it has down_proj, "
    ):
        resolved(model, "mlp-only")


def test_kappa_takes_the_best_conditioned_fifth_without_the_output(random_qwen3: Path) -> None:
    import torch

    model = llama(random_qwen3)
    inner = {name: module for name, module in linear_modules(model).items() if name != "lm_head"}
    found = resolved(model, "kappa")
    assert len(found) == len(inner) // 5 == 2
    kappas = {name: float(torch.linalg.cond(module.weight)) for name, module in inner.items()}
    assert set(found) == set(sorted(kappas, key=lambda name: kappas[name])[:2])
