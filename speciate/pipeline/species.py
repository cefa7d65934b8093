"""From a recipe to a verdict: data, base evaluation, training, adapter evaluation, proof of intactness, registry.

The one place where all parts meet. Each phase leaves its result in the run's folder before the next begins, so a run
that was stopped goes on where it was.
"""

from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from speciate import runs
from speciate.data.build import Rows, build
from speciate.evals import stats
from speciate.evals.general import Suite, load_suite, suite_items, suite_texts
from speciate.evals.intact import check_adapter, check_base, probe
from speciate.evals.runner import Split, evaluate
from speciate.models.adapter import LoraShape, attach, save, weights_digest
from speciate.models.base import (
    BaseSource,
    Compute,
    context_length,
    find_compute,
    load_model,
    load_tokenizer,
    locate,
    memory_digest,
)
from speciate.models.sampler import losses, stop_tokens
from speciate.niches.base import Item, Verifier
from speciate.niches.skills import ExactMatch
from speciate.pipeline.folder import RunFolder, folder_to_resume, new_folder, owned
from speciate.pipeline.machine import disk_must_hold, peak_memory, quiet_libraries, versions
from speciate.pipeline.niche import NicheParts, niche_of
from speciate.progress import Progress, counted_bytes
from speciate.recipe import LoadedRecipe, Recipe, find_data, recipe_digest, resolve
from speciate.records import AdapterCard, DataManifest, EvalRow, GateResult, Intact, RunRecord
from speciate.registry import store
from speciate.storage import disk_errors, folder_published_whole, read_json, read_jsonl, write_json, write_jsonl
from speciate.train.encoding import Encoded, check_rows, encode
from speciate.train.sft import Sft, Step, Trained, preflight
from speciate.train.sft import train as train_sft

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

PROBES = 16
"""Prompts on which logits are compared bit for bit."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What is known before anything runs: every input found, read and checked."""

    loaded: LoadedRecipe
    source: BaseSource
    compute: Compute
    niche: NicheParts
    suite: Suite
    general: list[Item]
    texts: list[str]


def prepare(loaded: LoadedRecipe) -> Setting:
    """Find everything that the recipe names. Raises InputError of some kind before anything is written."""
    recipe = loaded.recipe
    niche = niche_of(loaded)
    suite_path = find_data(f"evals/suites/{recipe.evals.suite}.yaml", loaded.path)
    if suite_path is None:
        message = f"there is no suite {recipe.evals.suite!r} (looked for evals/suites/{recipe.evals.suite}.yaml)"
        raise_problem(loaded, "evals.suite", message)
    suite = load_suite(suite_path)
    source = locate(recipe.base.model, find_data(recipe.base.model, loaded.path), recipe.base.revision)
    longest = context_length(source)
    if longest is not None and recipe.train.max_length > longest:
        raise_problem(loaded, "train.max_length", f"is more than the {longest} tokens that the base can read")
    compute = find_compute(recipe.base.dtype, recipe.train.precision)
    general = suite_items(suite, recipe.evals.general_items)
    return Setting(loaded, source, compute, niche, suite, general, suite_texts(suite, suite_path))


def sft_of(recipe: Recipe) -> Sft:
    """The recipe's training settings, as the trainer takes them."""
    train = recipe.train
    return Sft(
        epochs=train.epochs,
        batch_size=train.batch_size,
        gradient_accumulation=train.gradient_accumulation,
        learning_rate=train.learning_rate,
        warmup=train.warmup,
        schedule=train.schedule,
        weight_decay=train.weight_decay,
        max_grad_norm=train.max_grad_norm,
        checkpoint_every=train.checkpoint_every,
        seed=recipe.seed,
    )


def raise_problem(loaded: LoadedRecipe, key: str, message: str) -> None:
    """Raises RecipeError for one key, with its line."""
    from speciate.errors import RecipeError

    raise RecipeError([loaded.problem(key, message)])


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
        self.notes: list[str] = []

    def to_the_end(self) -> RunRecord:
        """All phases in order."""
        with ExitStack() as held:
            fetching = held.enter_context(counted_bytes(self.progress, "fetching Lean"))
            verifier = held.enter_context(self.setting.niche.verifier(fetching))
            rows = self.data(verifier)
            with self.folder.timed("load"), self.progress.phase("loading the base"):
                tokenizer = load_tokenizer(self.setting.source)
                model = load_model(self.setting.source, self.setting.compute, self.recipe.base.quantization)
                before = memory_digest(model)
                encoded, dev = self.encoded(tokenizer, model, rows)
            base_rows, base_losses = self.evaluation("base", model, tokenizer, rows, verifier)
            attached = attach(model, self.lora(), self.setting.source, self.recipe.seed)
            untrained = weights_digest(attached)
            trained = self.training(attached, tokenizer, encoded, dev)
            batch = probe(
                tokenizer,
                [item.prompt for item in [*rows.test[: PROBES // 2], *self.setting.general[: PROBES // 2]]],
                model.device,
            )
            check_adapter(attached, untrained, batch)
            adapter = self.folder.path / "adapter"
            if not adapter.exists():
                with folder_published_whole(adapter) as aside:
                    save(attached, aside)
            attached.eval()
            adapter_rows, adapter_losses = self.evaluation("adapter", attached, tokenizer, rows, verifier)
            with self.folder.timed("intact"), self.progress.phase("proving that the base is intact"):
                intact = check_base(
                    attached, self.setting.source, before, batch, self.setting.compute, self.recipe.base.quantization, adapter
                )
            self.notes += verifier.lean.notes
            self.versions |= {"lean": verifier.lean.version} if verifier.lean.version else {}
        return self.judged(rows.manifest, base_rows, adapter_rows, (base_losses, adapter_losses), intact, trained)

    def lora(self) -> LoraShape:
        """The adapter's shape."""
        lora = self.recipe.train.lora
        return LoraShape(lora.r, lora.alpha, lora.dropout, lora.targets, lora.rslora)

    def data(self, verifier: Verifier) -> Rows:
        """Rows and items, from disk where they are there."""
        folder = self.folder.path / "data"
        names = ("train", "replay", "dev", "test", "transfer")
        if not (folder / "manifest.json").exists():
            wanted = self.setting.niche.wanted
            total = wanted.train + wanted.dev + wanted.test + wanted.transfer
            with self.folder.timed("data"), self.progress.phase("making data, each proof checked", total) as phase:
                made = build(
                    self.setting.niche.stream,
                    wanted,
                    self.recipe.seed,
                    self.setting.niche.seen,
                    verifier,
                    phase.advance,
                )
            for name in names:
                write_jsonl(folder / f"{name}.jsonl", [as_json(item) for item in getattr(made, name)])
            write_json(folder / "manifest.json", made.manifest.document())
        parts = {name: [Item(**row) for row in read_jsonl(folder / f"{name}.jsonl")] for name in names}
        return Rows(**parts, manifest=DataManifest.model_validate(read_json(folder / "manifest.json")))

    def encoded(
        self, tokenizer: "PreTrainedTokenizerBase", model: "PreTrainedModel", rows: Rows
    ) -> tuple[list[Encoded], list[Encoded]]:
        """Training and dev rows as tokens, checked."""
        encoded = [encode(tokenizer, item.prompt, item.reference) for item in [*rows.train, *rows.replay]]
        dev = [encode(tokenizer, item.prompt, item.reference) for item in rows.dev]
        check_rows(encoded, stop_tokens(model, tokenizer), self.recipe.train.max_length)
        return encoded, dev

    def evaluation(
        self,
        name: Literal["base", "adapter"],
        model: "PreTrainedModel",
        tokenizer: "PreTrainedTokenizerBase",
        rows: Rows,
        verifier: Verifier,
    ) -> tuple[list[EvalRow], list[tuple[float, int]]]:
        """One row for each item of the niche, of the transfer families and of the suite, and the losses on its texts."""
        rows_path, losses_path = (self.folder.path / "evals" / f"{name}{end}" for end in (".jsonl", "-losses.json"))
        parts: list[tuple[Split, list[Item], Verifier]] = [
            ("niche", rows.test, verifier),
            ("transfer", rows.transfer, verifier),
            ("general", self.setting.general, ExactMatch()),
        ]
        settings = self.recipe.evals
        if not losses_path.exists():
            total = 2 * sum(len(items) for _, items, _ in parts)
            found: list[EvalRow] = []
            with self.folder.timed(f"evaluate {name}"), self.progress.phase(f"evaluating the {name}", total) as phase:
                for split, items, judge in parts:
                    found += evaluate(
                        model,
                        tokenizer,
                        items,
                        judge,
                        name=name,
                        split=split,
                        max_new_tokens=settings.max_new_tokens,
                        batch_size=settings.batch_size,
                        on_items=phase.advance,
                    )
                nats = losses(model, tokenizer, self.setting.texts, batch_size=settings.batch_size)
            write_jsonl(rows_path, [row.model_dump(mode="json") for row in found])
            write_json(losses_path, nats)
        stored = [EvalRow.model_validate(row) for row in read_jsonl(rows_path)]
        return stored, [(float(total), int(tokens)) for total, tokens in read_json(losses_path)]

    def training(
        self, model: Any, tokenizer: "PreTrainedTokenizerBase", encoded: list[Encoded], dev: list[Encoded]
    ) -> Trained:
        """Train the adapter, the longest batch first tried."""
        settings = sft_of(self.recipe)
        with self.folder.timed("train"), self.progress.phase("training", settings.steps(len(encoded))) as phase:
            preflight(model, encoded, settings, tokenizer.pad_token_id, self.setting.compute)
            reached = 0

            def told(step: Step) -> None:
                nonlocal reached
                phase.advance(step.step - reached)
                phase.note(f"loss {step.loss:.3f}")
                reached = step.step

            checkpoints = self.folder.path / "checkpoints"
            trained = train_sft(model, tokenizer, encoded, dev, settings, self.setting.compute, checkpoints, told)
        if trained.steps > trained.resumed_from:
            write_json(self.folder.path / "speed.json", {"tokens_per_second": trained.tokens / trained.seconds})
        return trained

    def judged(
        self,
        manifest: DataManifest,
        base: list[EvalRow],
        adapter: list[EvalRow],
        text: tuple[list[tuple[float, int]], list[tuple[float, int]]],
        intact: Intact,
        trained: Trained,
    ) -> RunRecord:
        """Statistics, gates, verdict; then the registry entry, and last of all the record."""
        recipe = self.recipe

        def paired(split: Split) -> tuple[list[float], list[float], list[str]]:
            old, new = ([row for row in rows if row.split == split] for rows in (base, adapter))
            if [row.item for row in old] != [row.item for row in new]:
                raise ValueError(f"base and adapter answered different {split} items")
            return [row.score for row in old], [row.score for row in new], [row.family for row in old]

        niche, transfer, general = paired("niche"), paired("transfer"), paired("general")
        nats = stats.nats_difference(
            *([total / tokens for total, tokens in found] for found in text), [tokens for _, tokens in text[0]]
        )
        gates: list[GateResult] = [
            stats.gain_gate(*niche, recipe.gates.min_gain),
            stats.forgetting_gate(*general, recipe.gates.max_forgetting),
        ]
        facts: dict[str, Any] = {
            "species": recipe.species,
            "verdict": stats.verdict_of(gates),
            "gates": gates,
            "gain": stats.paired_estimate(*niche, "pass@1"),
            "transfer": stats.paired_estimate(*transfer, "pass@1") if transfer[0] else None,
            "forgetting": stats.forgetting(*general, "exact match", nats=nats),
            "families": [
                *stats.family_scores(*niche),
                *stats.family_scores(*transfer, held_out=set(transfer[2])),
            ],
            "intact": intact,
            "seed": recipe.seed,
            "recipe_digest": recipe_digest(recipe),
            "versions": dict(sorted(self.versions.items())),
        }
        seconds = self.folder.seconds()
        name = self.folder.path.name

        def card(digest: str, version: int) -> AdapterCard:
            base_card = {
                "name": self.setting.source.name,
                "revision": self.setting.source.revision,
                "digest": self.setting.source.digest,
            }
            return AdapterCard(
                **facts,
                version=version,
                digest=digest,
                created=datetime.now(UTC).isoformat(timespec="seconds"),
                niche=recipe.niche.name,
                description=recipe.description,
                base=base_card,
                parents=[{"kind": "trained-from", "digest": self.setting.source.digest}],
                recipe=resolve(recipe),
                data_digest=manifest.digest,
                run=name,
                cost={"seconds": round(sum(seconds.values()), 1), "peak_memory_bytes": float(peak_memory())},
            )

        entry, registered = store.register(self.folder.path / "adapter", card)
        if registered.run != name:
            self.notes.append(
                f"these very weights were registered before, as {registered.species}@{registered.version}"
            )
        speed_path = self.folder.path / "speed.json"
        record = RunRecord(
            **facts,
            run=name,
            run_dir=str(self.folder.path),
            adapter=str(entry),
            adapter_digest=registered.digest,
            seconds=seconds | {"total": round(sum(seconds.values()), 2)},
            tokens_per_second=round(read_json(speed_path)["tokens_per_second"], 1) if speed_path.exists() else 0.0,
            peak_memory_bytes=peak_memory(),
            data=manifest,
            device=self.setting.compute.device,
            precision=self.setting.compute.training,
            notes=self.notes,
        )
        with disk_errors(self.folder.path):
            write_json(self.folder.path / runs.RECORD, record.document())
        return record


def as_json(item: Item) -> dict[str, Any]:
    """An item as JSON values."""
    return {
        "family": item.family,
        "prompt": item.prompt,
        "reference": item.reference,
        "digest": item.digest,
        "payload": item.payload,
    }
