"""Small models made on the spot, and an environment in which nothing is fetched."""

import os
from pathlib import Path

import pytest

os.environ.update(HF_HUB_OFFLINE="1", HF_HUB_DISABLE_TELEMETRY="1", HF_HUB_DISABLE_PROGRESS_BARS="1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from entries import registered

from speciate.niches import skills
from speciate.niches.lean.niche import stream
from speciate.records import Card
from speciate.registry import store

ROOT = Path(__file__).parent.parent


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty SPECIATE_HOME."""
    folder = tmp_path / "home"
    monkeypatch.setenv("SPECIATE_HOME", str(folder))
    return folder


@pytest.fixture(scope="session")
def random_llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama of random weights with the project's own kind of tokenizer, as a model folder."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from speciate.models.tiny import make_tokenizer

    folder = tmp_path_factory.mktemp("random-llama")
    theorems = [next(stream(name, "tokenizer")) for name in ("conjunctions", "lists", "induction")]
    texts = [item.prompt + item.reference for name in skills.SKILLS for item in skills.sample(name, 20, "tokenizer")]
    tokenizer = make_tokenizer([*texts, *(item.prompt + item.reference for item in theorems)], 400)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=256,
        pad_token_id=0,
        bos_token_id=None,
        eos_token_id=1,
        tie_word_embeddings=True,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def random_qwen3(tmp_path_factory: pytest.TempPathFactory, random_llama: Path) -> Path:
    """A Qwen3 of random weights, untied, with two shards and the same tokenizer."""
    import torch
    from transformers import AutoTokenizer, Qwen3Config, Qwen3ForCausalLM

    folder = tmp_path_factory.mktemp("random-qwen3")
    tokenizer = AutoTokenizer.from_pretrained(random_llama)
    torch.manual_seed(1)
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        max_position_embeddings=256,
        pad_token_id=0,
        eos_token_id=1,
        tie_word_embeddings=False,
    )
    Qwen3ForCausalLM(config).save_pretrained(folder, max_shard_size="100KB")
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def ant(home: Path) -> tuple[Path, Card]:
    """ant@1, which is ant@best too."""
    made = registered(home.parent)
    store.point("ant", "best", made[1].digest)
    return made
