"""From a base recipe to a folder with a small generalist, its tokenizer and its card."""

from random import Random
from typing import TYPE_CHECKING, Any

from speciate.data import corpus as corpora
from speciate.data.stories import story
from speciate.errors import InputError
from speciate.models.tiny import make_model, make_tokenizer
from speciate.niches import skills
from speciate.recipe import LoadedBaseRecipe, find_data
from speciate.storage import read_jsonl
from speciate.train.pretrain import Schedule

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

PRIMER = "data/samples/lean-primer.jsonl"
TEXTS_PER_SKILL, STORIES, LENGTH_SAMPLE = 300, 1500, 200


def primer_of(loaded: LoadedBaseRecipe) -> list[dict[str, Any]]:
    """The Lean that the base will see. Raises InputError where the file is missing."""
    path = find_data(PRIMER, loaded.path)
    if path is None:
        raise InputError(f"{PRIMER} is missing: run this in a checkout of speciate")
    return read_jsonl(path)


def tokenizer_of(loaded: LoadedBaseRecipe) -> "PreTrainedTokenizerFast":
    """The tokenizer, trained on a fixed sample of every kind of document."""
    rng = Random(f"{loaded.recipe.seed}/tokenizer")
    lean = [f"{row['prompt']}\n{row['proof']}" for row in primer_of(loaded)]
    tasks = ["\n".join(make(rng)) for make in skills.SKILLS.values() for _ in range(TEXTS_PER_SKILL)]
    return make_tokenizer([*lean, *tasks, *(story(rng) for _ in range(STORIES))], loaded.recipe.architecture.vocabulary)


def model_of(loaded: LoadedBaseRecipe, tokenizer: "PreTrainedTokenizerFast") -> "LlamaForCausalLM":
    """The untrained model, with as many embeddings as the tokenizer has tokens."""
    shape = loaded.recipe.architecture.model_dump() | {"vocabulary": len(tokenizer)}
    return make_model(**shape, seed=loaded.recipe.seed)


def corpus_of(loaded: LoadedBaseRecipe, tokenizer: "PreTrainedTokenizerFast") -> corpora.Corpus:
    """The documents, mixed so that each kind has its share of the tokens."""
    rows = primer_of(loaded)
    theorems = corpora.whole(rows)
    recipe = loaded.recipe

    def length(kind: str) -> float:
        alone = corpora.Corpus(recipe.seed, {kind: 1.0}, rows, theorems)
        found = [alone.document(index) for index in range(LENGTH_SAMPLE)]
        texts = [text if isinstance(text, str) else "".join(text) for text in found]
        return sum(len(tokenizer.encode(text)) + 1 for text in texts) / LENGTH_SAMPLE

    shares = corpora.shares(recipe.corpus.lean, recipe.corpus.text, recipe.corpus.skills, length)
    return corpora.Corpus(recipe.seed, shares, rows, theorems)


def schedule_of(loaded: LoadedBaseRecipe) -> Schedule:
    """The training schedule."""
    train = loaded.recipe.train
    return Schedule(
        steps=train.steps,
        batch_tokens=train.batch_tokens,
        context=loaded.recipe.architecture.context,
        learning_rate=train.learning_rate,
        warmup=train.warmup,
        weight_decay=train.weight_decay,
        checkpoint_every=train.checkpoint_every,
    )
