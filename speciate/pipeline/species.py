"""From a recipe to a verdict: data, base evaluation, training, adapter evaluation, proof of intactness, registry.

The one place where all parts meet. Each phase leaves its result in the run's folder before the next begins, so a run
that was stopped goes on where it was.
"""

from collections import Counter
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from speciate import runs
from speciate.data.build import Rows, build, shares
from speciate.evals.development import development
from speciate.evals.intact import check_adapter, check_base, probe
from speciate.evals.runner import Settings
from speciate.evals.sources import Part
from speciate.models.adapter import locate_adapter, save, weights_digest
from speciate.models.attaching import attach
from speciate.models.base import load_model, load_tokenizer, memory_digest
from speciate.models.population import BASE, Population
from speciate.models.sampler import stop_tokens
from speciate.models.shape import LoraShape
from speciate.niches.base import Item, Verifier
from speciate.niches.contamination import check, overlap, record_of
from speciate.niches.lean.niche import LeanVerifier
from speciate.pipeline.folder import RunFolder, folder_to_resume, new_folder, owned
from speciate.pipeline.machine import disk_must_hold, quiet_libraries, versions
from speciate.pipeline.measuring import adapter_identity, base_identity, measure, memory_of
from speciate.pipeline.own_answers import Own, notes_on
from speciate.pipeline.own_texts import kept_texts
from speciate.pipeline.setting import Setting, prepare
from speciate.pipeline.stage import Material, shape_of
from speciate.pipeline.training import Training
from speciate.pipeline.trials import Bench
from speciate.pipeline.verdict import Answers, Evidence, answers_in, conclude
from speciate.progress import Progress, counted_bytes
from speciate.recipe import LoadedRecipe
from speciate.recipe.suite import SamplingOf
from speciate.records import Contamination, DataManifest, RunRecord
from speciate.storage import folder_published_whole, read_jsonl, unreadable, write_json, write_jsonl
from speciate.train.encoding import Encoded, check_rows, encode, whole

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from speciate.models.base import CausalLM

PROBES = 16
"""Prompts on which logits are compared bit for bit."""


def train(loaded: LoadedRecipe, out: Path | None, resume: bool, progress: Progress) -> RunRecord:
    """Run the recipe to its verdict, in a new folder or, with `resume`, in the one it stopped in."""
    quiet_libraries()
    setting = prepare(loaded)
    species = loaded.recipe.species
    folder = RunFolder(folder_to_resume(species, out) if resume else new_folder(species, out))
    with owned(folder.path):
        found = versions()
        if resume:
            folder.check_same(loaded, setting.source, found)
            if (folder.path / runs.RECORD).exists():
                return runs.read_run(folder.path / runs.RECORD)
        else:
            folder.begin(loaded, setting.source, found)
        with disk_must_hold(folder.path):
            return Run(setting, folder, progress, found).to_the_end()


class Run:
    """One run in its folder; each method is one phase."""

    def __init__(self, setting: Setting, folder: RunFolder, progress: Progress, found: dict[str, str]) -> None:
        self.setting = setting
        self.recipe = setting.loaded.recipe
        self.folder = folder
        self.progress = progress
        self.versions = found

    def to_the_end(self) -> RunRecord:
        """All phases in order."""
        with ExitStack() as held:
            fetching = held.enter_context(counted_bytes(self.progress, "fetching Lean"))
            verifier = held.enter_context(self.setting.niche.verifier(fetching))
            with self.folder.timed("load"), self.progress.phase("loading the base"):
                tokenizer = load_tokenizer(self.setting.source)
                model = load_model(self.setting.source, self.setting.compute, self.recipe.base.quantization)
                before = memory_digest(model)
            rows = self.data(verifier, Population(model, tokenizer))
            hammer = self.hammer(verifier, rows)
            material = self.material(tokenizer, model, rows, self.texts(Population(model, tokenizer)))
            parts = self.parts(rows, verifier)
            contamination = self.contamination(rows, parts)
            base = self.evaluation("base", model, tokenizer, parts)
            with self.folder.timed("attach"), self.progress.phase("attaching the adapter"):
                given = (material.niche, material.looked_at(self.recipe.lora))
                attached = attach(model, self.lora(), self.setting.source, self.recipe.seed, *given)
            untrained = weights_digest(attached)
            training = self.training(rows, verifier)
            guard = training.guard(material)
            chosen = training.run(attached, tokenizer, material, guard)
            general = [item for part in self.setting.questions.parts for item in part.items]
            asked = [*rows.test[: PROBES // 2], *general[: PROBES // 2]]
            batch = probe(tokenizer, [item.prompt for item in asked], model.device)[:, : self.setting.context]
            check_adapter(attached, untrained, batch)
            saved = self.folder.path / "adapter"
            if not saved.exists():
                with folder_published_whole(saved) as aside:
                    save(attached, self.setting.source, aside)
            adapter = self.evaluation("adapter", attached, tokenizer, parts)
            with self.folder.timed("intact"), self.progress.phase("proving that the base is intact"):
                source, compute, quantization = self.setting.source, self.setting.compute, self.recipe.base.quantization
                intact = check_base(attached, source, before, batch, compute, quantization, saved)
            found = self.versions | ({"lean": verifier.version} if verifier.version else {})
            notes = [*verifier.lean.notes, *notes_on(rows.manifest), *training.notes()]
        evidence = Evidence(rows.manifest, base, adapter, intact, hammer, contamination, found, chosen)
        return conclude(self.setting, self.folder, evidence, notes)

    def lora(self) -> LoraShape:
        """The adapter's shape."""
        return shape_of(self.recipe)

    def data(self, verifier: Verifier, population: Population) -> Rows:
        """Rows and items, from disk where they are there."""
        folder = self.folder.path / "data"
        names = ("train", "replay", "dev", "test", "transfer", "general")
        if not (folder / "manifest.json").exists():
            wanted = self.setting.niche.wanted
            total = wanted.train + wanted.dev + wanted.test + wanted.transfer
            measured = [item for part in self.setting.questions.parts for item in part.items]
            with self.folder.timed("data"), self.progress.phase("making data, each proof checked", total) as phase:
                made = build(
                    self.setting.niche.stream,
                    wanted,
                    self.recipe.seed,
                    self.setting.niche.seen,
                    verifier,
                    phase.advance,
                    measured,
                )
            identity = base_identity(self.setting.source, self.setting.compute, self.recipe.base.quantization)
            settings = Settings(self.recipe.evals.batch_size, self.setting.context)
            own = Own(self.recipe, population, identity, settings, verifier, self.progress)
            if own.wanted:
                with self.folder.timed("own answers"):
                    made = own.rows(made, measured)
            for name in names:
                write_jsonl(folder / f"{name}.jsonl", [as_json(item) for item in getattr(made, name)])
            write_json(folder / "manifest.json", made.manifest.document())
        parts = {name: items_in(folder / f"{name}.jsonl") for name in names}
        return Rows(**parts, manifest=DataManifest.read(folder / "manifest.json"))

    def hammer(self, verifier: LeanVerifier, rows: Rows) -> dict[str, bool]:
        """Which of some test items need no model, by digest; from disk where it is there."""
        path = self.folder.path / "evals" / "hammer.jsonl"
        if not path.exists():
            items = stratified(rows.test, self.recipe.evals.hammer_items)
            found: list[dict[str, Any]] = []
            with self.folder.timed("hammer"), self.progress.phase("trying what needs no model", len(items)) as phase:
                for item, struck in zip(items, verifier.strike(items), strict=True):
                    found.append({"item": item.digest, "family": item.family, "tactic": struck.tactic, "ms": struck.ms})
                    phase.advance(1)
            write_jsonl(path, found)
        return {row["item"]: bool(row["tactic"]) for row in read_jsonl(path)}

    def texts(self, population: Population) -> list[Encoded]:
        """What the base says by itself, where a guard holds it or the adapter begins from it; kept on disk."""
        kl, lora = self.recipe.guard.kl, self.recipe.lora
        count = max(kl.texts if kl and kl.on == "self" else 0, lora.init_texts)
        if not count:
            return []
        path = self.folder.path / "data" / "own-texts.jsonl"
        length = min(self.recipe.train[0].max_length, self.setting.context or 10**9)
        with self.folder.timed("own texts"), self.progress.phase("hearing what the base says by itself"):
            return [whole(ids) for ids in kept_texts(path, population, count, self.recipe.seed, length)]

    def material(
        self, tokenizer: "PreTrainedTokenizerBase", model: "CausalLM", rows: Rows, texts: list[Encoded]
    ) -> Material:
        """Training and dev rows as tokens, checked."""
        niche, replay, dev, general = (
            [encode(tokenizer, item.prompt, item.reference) for item in items]
            for items in (rows.train, rows.replay, rows.dev, rows.general)
        )
        check_rows([*niche, *replay, *general], stop_tokens(model, tokenizer), self.recipe.train[0].max_length)
        names = [f"{item.family} {item.digest[7:19]}" for item in (*rows.train, *rows.replay)]
        return Material(niche, replay, dev, names, general, texts)

    def evaluation(
        self,
        member: Literal["base", "adapter"],
        model: "CausalLM",
        tokenizer: "PreTrainedTokenizerBase",
        parts: list[Part],
    ) -> Answers:
        """What the model says to every item and text, from disk where it is there."""
        folder, recipe = self.folder.path / "evals", self.recipe
        adapters = {} if member == BASE else {"adapter": "default"}
        identities = {BASE: base_identity(self.setting.source, self.setting.compute, recipe.base.quantization)}
        if adapters:
            identities["adapter"] = adapter_identity(
                identities[BASE], locate_adapter(self.folder.path / "adapter").digest
            )
        population = Population(model, tokenizer, adapters)
        settings = Settings(recipe.evals.batch_size, self.setting.context)
        asked = replace(self.setting.questions, parts=parts)
        with self.folder.timed(f"evaluate {member}"), memory_of(identities) as memory:
            doing = f"evaluating the {member}"
            measure(population, [member], asked, memory, settings, folder, self.progress, doing)
        return answers_in(folder, member)

    def parts(self, rows: Rows, verifier: Verifier) -> list[Part]:
        """All that is asked: the niche, the families held out of training, and the general suite."""
        sampling = SamplingOf(max_new_tokens=self.recipe.evals.max_new_tokens)

        def judge() -> AbstractContextManager[Verifier]:
            return nullcontext(verifier)

        asked = [Part("niche", rows.test, judge, sampling), Part("transfer", rows.transfer, judge, sampling)]
        return [*(part for part in asked if part.items), *self.setting.questions.parts]

    def contamination(self, rows: Rows, parts: list[Part]) -> Contamination:
        """What the training rows give away of all items that are measured. Raises Contaminated where that is much."""
        items = [item for part in parts for item in part.items]
        training = [(item.prompt, item.reference) for item in (*rows.train, *rows.replay)]
        found = record_of(overlap(items, training), len(items), self.setting.questions.suite.max_contamination)
        check(found)
        return found

    def training(self, rows: Rows, verifier: Verifier) -> Training:
        """The training phase, with what is asked where the adapter is tried on the way."""
        recipe, setting = self.recipe, self.setting
        parts: list[Part] = []
        without: list[str] = []
        if recipe.stop or recipe.strength.tried:
            count = max(recipe.stop.items if recipe.stop else 0, recipe.strength.items if recipe.strength.tried else 0)
            known = {item.digest for item in rows.replay}
            found = development(setting.suite, setting.questions, count, known)
            sampling = SamplingOf(max_new_tokens=recipe.evals.max_new_tokens)
            niche = Part("niche", rows.dev, lambda: nullcontext(verifier), sampling)
            parts, without = [*([niche] if rows.dev else []), *found.parts], found.without
        identity = base_identity(setting.source, setting.compute, recipe.base.quantization)
        settings = Settings(recipe.evals.batch_size, setting.context)
        folder, gate = self.folder.path / "trials", recipe.gates.max_forgetting
        bench = Bench(folder, setting.questions, parts, settings, identity, gate, self.progress)
        return Training(setting, self.folder, self.progress, bench, without)


def stratified(items: list[Item], count: int) -> list[Item]:
    """The first items of each family, as many of each as its share of all."""
    wanted = shares(min(count, len(items)), *_families(items))
    left = dict(wanted)
    chosen: list[Item] = []
    for item in items:
        if left[item.family] > 0:
            left[item.family] -= 1
            chosen.append(item)
    return chosen


def _families(items: list[Item]) -> tuple[list[str], dict[str, float]]:
    counts = Counter(item.family for item in items)
    return list(counts), {family: float(count) for family, count in counts.items()}


def as_json(item: Item) -> dict[str, Any]:
    """An item as JSON values."""
    return {
        "family": item.family,
        "prompt": item.prompt,
        "reference": item.reference,
        "digest": item.digest,
        "payload": item.payload,
    }


def items_in(path: Path) -> list[Item]:
    """The items that `as_json` wrote. Raises Damaged naming the line that is none."""
    found: list[Item] = []
    for number, row in enumerate(cast("list[Any]", read_jsonl(path)), 1):
        try:
            found.append(Item(**row))
        except TypeError as error:
            raise unreadable(path, error, number) from error
    return found
