"""From a base recipe to a folder with a small generalist, its tokenizer and its card."""

import shutil
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, cast

from speciate import __version__
from speciate.data import corpus as corpora
from speciate.data import lookback
from speciate.data.stories import story
from speciate.differing import differing_keys
from speciate.errors import InputError, ResumeMismatch
from speciate.evals.runner import Settings, evaluate
from speciate.evals.sources import Part
from speciate.evals.stats import wilson
from speciate.models.base import digest_folder, find_compute
from speciate.models.population import BASE, Population
from speciate.models.tiny import make_model, make_tokenizer, save_model
from speciate.niches import skills
from speciate.pipeline.machine import disk_must_hold, quiet_libraries, versions
from speciate.pipeline.measuring import memory_of
from speciate.pipeline.names import known_names
from speciate.progress import Progress
from speciate.recipe import LoadedBaseRecipe, find_data, recipe_digest, resolve
from speciate.recipe.suite import SamplingOf
from speciate.storage import (
    folder_published_whole,
    read_json,
    read_jsonl,
    writable_folder,
    write_json,
    write_text,
)
from speciate.train.pretrain import Schedule, pretrain

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast, Qwen3ForCausalLM

PRIMER = "data/samples/lean-primer.jsonl"
TEXTS_PER_SKILL, STORIES, LOOKBACKS, LENGTH_SAMPLE = 300, 1500, 1500, 200
CARD_ITEMS = 100
"""Held-out items of each skill behind the card's figures."""
CARD_SEED = "card"


def train_base(loaded: LoadedBaseRecipe, out: Path | None, resume: bool, progress: Progress) -> Path:
    """Train the base, measure its skills, and publish it whole in `out`, or where the recipe says.

    Checkpoints lie beside it until it is there. Raises InputError where the folder holds files already.
    """
    quiet_libraries()
    loaded.check_names(known_names(loaded.path))
    target = (out or Path(loaded.recipe.output)).absolute()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise InputError(f"{str(target)!r} is there already and a base is never written to; name another with --out")
    checkpoints = writable_folder(target.parent) / f".{target.name}.training"
    begin(loaded, checkpoints, resume)
    tokenizer = tokenizer_of(loaded)
    model = model_of(loaded, tokenizer)
    cast(Any, model).to(find_compute().device)
    schedule = schedule_of(loaded)
    with disk_must_hold(target.parent):
        with progress.phase("training the base", schedule.steps) as phase:
            reached = 0

            def told(step: int, loss: float) -> None:
                nonlocal reached
                phase.advance(step + 1 - reached)
                phase.note(f"loss {loss:.3f}")
                reached = step + 1

            pretrain(model, tokenizer, corpus_of(loaded, tokenizer).document, schedule, checkpoints, told)
        with folder_published_whole(target) as aside:
            publish(loaded, model, tokenizer, aside, progress)
    shutil.rmtree(checkpoints)
    return target


def begin(loaded: LoadedBaseRecipe, checkpoints: Path, resume: bool) -> None:
    """Note the recipe beside the checkpoints; with `resume` check that it is the same. Raises ResumeMismatch."""
    noted = checkpoints / "recipe.json"
    if resume and noted.exists():
        differing = differing_keys(read_json(noted), resolve(loaded.recipe))
        if differing:
            listed = "\n".join(f"  {line}" for line in differing)
            raise ResumeMismatch(
                f"the training in {str(checkpoints)!r} began with another recipe:\n{listed}\n"
                "Take the same again, or begin anew without --resume."
            )
        return
    shutil.rmtree(checkpoints, ignore_errors=True)
    write_json(noted, resolve(loaded.recipe))


def publish(
    loaded: LoadedBaseRecipe,
    model: "Qwen3ForCausalLM",
    tokenizer: "PreTrainedTokenizerFast",
    folder: Path,
    progress: Progress,
) -> None:
    """Write weights in bfloat16, tokenizer and card to `folder`; the skills are measured on the weights as written."""
    save_model(model, folder)
    tokenizer.save_pretrained(folder)
    items = [item for name in skills.SKILLS for item in skills.sample(name, CARD_ITEMS, CARD_SEED)]
    with progress.phase("measuring its skills", 2 * len(items)) as phase:
        part = Part("general", items, skills.ExactMatch, SamplingOf(max_new_tokens=40))
        with memory_of({BASE: digest_folder(folder)}) as memory:
            settings = Settings(100, loaded.recipe.architecture.context)
            rows = evaluate(Population(model, tokenizer), [BASE], part, memory, settings, phase.advance)[BASE]
    right = {name: sum(row.score == 1.0 for row in rows if row.family == name) for name in skills.SKILLS}
    card = {
        "speciate": __version__,
        "schema": "base-card/1",
        "base": loaded.recipe.base,
        "digest": digest_folder(folder),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "recipe": resolve(loaded.recipe),
        "recipe_digest": recipe_digest(loaded.recipe),
        "tokens": loaded.recipe.train.steps * loaded.recipe.train.batch_tokens,
        "skills": {name: {"right": k, "n": CARD_ITEMS, "ci95": wilson(k, CARD_ITEMS)} for name, k in right.items()},
        "mean_accuracy": round(sum(right.values()) / len(items), 4),
        "versions": versions(),
        "licence": "apache-2.0",
    }
    write_json(folder / "card.json", card)
    write_text(folder / "README.md", readme(card))


def readme(card: dict[str, Any]) -> str:
    """The model card, with the metadata that the hub reads."""
    rows = "\n".join(
        f"| {name} | {100 * found['right'] / found['n']:.1f}% | {100 * found['ci95'][0]:.1f} to "
        f"{100 * found['ci95'][1]:.1f} | {100 * skills.CHANCE.get(name, 0):.0f}% |"
        for name, found in card["skills"].items()
    )
    corpus = card["recipe"]["corpus"]
    return f"""---
library_name: transformers
pipeline_tag: text-generation
license: {card["licence"]}
tags: [speciate, from-scratch]
---
# {card["base"]}

A generalist of {card["parameters"]:,} parameters, trained from random weights on {card["tokens"]:,} tokens of
generated text: {len(card["skills"])} small skills, {100 * corpus["lookback"]:.0f}% documents in invented formats,
{100 * corpus["text"]:.0f}% stories and {100 * corpus["lean"]:.0f}% Lean 4. It is a base for laptops, tests and
continuous integration, and of no use for anything else: it answers only questions of the forms below.

Digest of the model's files: `{card["digest"]}`

Right answers on {CARD_ITEMS} items of each skill, none of them in the training data (a tenth of all possible items is
held out by digest); mean {100 * card["mean_accuracy"]:.1f}%:

| skill | right | 95% interval (Wilson) | chance |
|---|---|---|---|
{rows}

Made by `speciate base train recipes/base-{card["base"]}.yaml` with seed {card["recipe"]["seed"]}, speciate
{card["speciate"]}, torch {card["versions"]["torch"]} on {card["versions"]["platform"]}. The same command on the same
machine and versions gives the same bytes; another processor may round differently. Texts and theorems are the
project's own, under the same licence; every proof among them was accepted by Lean.
"""


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
    invented = [lookback.document(rng) for _ in range(LOOKBACKS)]
    texts = [*lean, *tasks, *invented, *(story(rng) for _ in range(STORIES))]
    return make_tokenizer(texts, loaded.recipe.architecture.vocabulary)


def model_of(loaded: LoadedBaseRecipe, tokenizer: "PreTrainedTokenizerFast") -> "Qwen3ForCausalLM":
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

    read = recipe.corpus
    half = read.lean / 2
    others = {"stories": read.text, "lookback": read.lookback, "lean_fragments": half, "lean_theorems": half}
    shares = corpora.shares(others, read.skills, length)
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
