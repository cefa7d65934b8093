"""The recipe of a species: base, niche, data, training, guard, evals and gates.

A rule that spans two fields is checked where the later one stands, so that its problem has a line. Knows nothing of
the families that a niche has, nor of what a base can do.
"""

from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_serializer, field_validator

from speciate.recipe.fields import (
    Count,
    CountFromZero,
    Fraction,
    Name,
    Names,
    Positive,
    Section,
    Seed,
    Slug,
    Text,
)
from speciate.recipe.guard import WHOLE_LOGITS, Guard, Stop, Strength
from speciate.recipe.hardware import Hardware
from speciate.recipe.lora import Lora
from speciate.recipe.train import OF_THE_FIRST, Stages, Train, fit


class Base(Section):
    """The frozen model that the species grows on; it is never written to."""

    model: Name
    """A folder with weights (looked up here, then beside the recipe and in the folders above it), or a hub name."""
    revision: Name | None = None
    """Branch, tag or commit of a hub model; null takes its default branch."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Number format of the base's weights in memory; auto keeps the one that they are stored in."""
    quantization: Literal["none", "nf4"] = "none"
    """nf4 keeps the base in 4 bits while the adapter trains on it (QLoRA)."""


class Niche(Section):
    """The domain: its tasks, and a verifier that says right or wrong without a model."""

    name: Literal["lean"]
    """The niche."""
    families: Annotated[Names, Field(min_length=1)] | None = None
    """Families of tasks to train on; null takes all of the niche that are not held out."""
    track: Literal["full", "restricted"] = "full"
    """restricted refuses proofs that use Lean's automation (simp, omega, decide, grind and the like)."""
    held_out: Names = ()
    """Families that are never trained on; what the species can do there is reported as transfer."""

    @field_validator("families", "held_out")
    @classmethod
    def _names_each_family_once(cls, families: tuple[str, ...] | None) -> tuple[str, ...] | None:
        return families and _distinct(families)

    @field_validator("held_out")
    @classmethod
    def _holds_out_what_is_not_trained_on(cls, held_out: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        both = sorted(set(held_out) & set(info.data.get("families") or ()))
        if both:
            raise ValueError(f"holds out {', '.join(map(repr, both))}, which niche.families trains on")
        return held_out


class Data(Section):
    """How many rows and items are drawn."""

    train_items: Count = 3000
    """Rows of the niche to train on, each with an answer that the verifier accepted."""
    weights: Annotated[dict[Name, Positive], Field(min_length=1)] | None = None
    """Weight of each family among train_items, 1 where it is not named. Families that Lean's automation proves are
    held to a fifth of the theorems, whatever their weights.
    """
    dev_items: CountFromZero = 100
    """Items of the trained families to choose settings with; no reported figure comes from them."""
    test_items: Count = 400
    """Items of the trained families that the gain is measured on, split evenly over the families that automation does
    not prove.
    """
    held_out_items: CountFromZero = 100
    """Items of the held-out families, split evenly over them."""


class Evals(Section):
    """How base and adapter are measured, both on the same items."""

    suite: Slug = "general-tiny"
    """Suite of general skills: the file evals/suites/<name>.yaml."""
    general_items: Count | None = None
    """Items of each family of the suite; null takes as many as the suite says."""
    max_new_tokens: Annotated[int, Field(ge=1, le=131_072)] = 160
    """Tokens after which an answer to an item of the niche is ended; the suite has its own."""
    batch_size: Annotated[int, Field(ge=1, le=65_536)] = 64
    """Items that are answered at a time."""
    hammer_items: Count = 100
    """Test items, in equal parts of each family, on which one-line proofs are tried that need no model."""


class Gates(Section):
    """What decides the verdict; bounds are compared with one-sided 95% confidence bounds."""

    min_gain: Annotated[float, Field(ge=-1, le=1)] = 0.0
    """The gain on the niche must be above this: 0.45 is 45 points."""
    max_forgetting: Fraction = 0.05
    """The loss on the general suite must be below this: 0.05 is 5 points."""


class Recipe(Section):
    """How to grow one species: base, niche, data, training, guard, evals and gates."""

    species: Slug
    """Name of the species; its versions in the registry share it."""
    description: Text = ""
    """What the species is for, for its card."""
    seed: Seed = 0
    """Everything random is drawn from it."""
    base: Base
    """The frozen model that the species grows on."""
    niche: Niche
    """The domain."""
    data: Data = Field(default_factory=Data)
    """How many rows and items are drawn."""
    train: Stages = (Train(),)
    """How the adapter is trained: one stage, or a list of stages that follow one another. A later stage has the keys of
    the one before it where it names none.
    """
    guard: Guard = Field(default_factory=Guard)
    """What protects the base's other skills."""
    strength: Strength = Field(default_factory=Strength)
    """How much of the trained adapter is kept."""
    stop: Stop | None = None
    """Measuring during training; null measures at the end only."""
    hardware: Hardware = Field(default_factory=Hardware)
    """What the training runs on."""
    evals: Evals = Field(default_factory=Evals)
    """How base and adapter are measured."""
    gates: Gates = Field(default_factory=Gates)
    """What decides the verdict."""

    @property
    def lora(self) -> Lora:
        """The adapter, which all stages train."""
        return self.train[0].lora

    @field_serializer("train")
    def _as_it_is_written(self, train: tuple[Train, ...]) -> Any:
        stages = [stage.model_dump(mode="json") for stage in train]
        later = [{key: value for key, value in stage.items() if key not in OF_THE_FIRST} for stage in stages[1:]]
        return [stages[0], *later] if later else stages[0]

    @field_validator("train")
    @classmethod
    def _suits_the_base(cls, train: tuple[Train, ...], info: ValidationInfo) -> tuple[Train, ...]:
        base: Base | None = info.data.get("base")
        for stage in train if base else ():
            fit(stage.lora, quantization=base.quantization if base else "none", optimizer=stage.optimizer)
        return train

    @field_validator("guard")
    @classmethod
    def _has_the_rows_of_each_stage(cls, guard: Guard, info: ValidationInfo) -> Guard:
        train: tuple[Train, ...] = info.data.get("train", ())
        if guard.replay == 0 and any(stage.rows == "general" for stage in train):
            raise ValueError("a stage of train reads general rows alone, and replay is 0: raise guard.replay")
        return guard

    @field_validator("strength")
    @classmethod
    def _has_a_strength(cls, strength: Strength, info: ValidationInfo) -> Strength:
        train: tuple[Train, ...] = info.data.get("train", ())
        if strength.tried and train and train[0].lora.kind != "lora":
            raise ValueError(
                f"an adapter of kind: {train[0].lora.kind} has no strength that could be changed: leave tried out, or "
                "set kind: lora"
            )
        return strength

    @field_validator("hardware")
    @classmethod
    def _goes_with_the_rest(cls, hardware: Hardware, info: ValidationInfo) -> Hardware:
        base: Base | None = info.data.get("base")
        train: tuple[Train, ...] = info.data.get("train", ())
        guard: Guard | None = info.data.get("guard")
        if hardware.processes > 1 and info.data.get("stop"):
            raise ValueError("several processes cannot be measured on their way: leave stop out, or set processes: 1")
        if hardware.processes > 1 and len(train) > 1:
            raise ValueError("several processes train one stage only: make train one section, or set processes: 1")
        if hardware.packing and guard and guard.loss.kind in WHOLE_LOGITS:
            raise ValueError(
                f"guard.loss={guard.loss.kind} reads all words at each place of each row, which rows laid end to end "
                "do not show: set packing: false, or guard.loss to nll, dft or selective"
            )
        if hardware.sharding == "none":
            return hardware
        if base and base.quantization != "none":
            raise ValueError(
                f"{hardware.sharding} divides a base of 16 or 32 bits only: set base.quantization=none, or sharding: "
                "none (a base of 4 bits is a quarter as large, and each process holds it whole)"
            )
        if any(stage.optimizer == "muon" for stage in train):
            raise ValueError("muon needs whole matrices, which no process has with sharding: set train.optimizer=adamw")
        if guard and (guard.kl or guard.loss.kind in ("selective", "mask-target")):
            raise ValueError("asking a divided base beside the adapter is not supported: set sharding: none")
        return hardware

    @field_validator("data")
    @classmethod
    def _every_family_gets_an_item(cls, data: Data, info: ValidationInfo) -> Data:
        niche: Niche | None = info.data.get("niche")
        if niche and len(niche.families or ()) > data.test_items:
            raise ValueError(f"test_items is {data.test_items}, fewer than the {len(niche.families or ())} families")
        if niche and len(niche.held_out) > data.held_out_items:
            raise ValueError(
                f"held_out_items is {data.held_out_items}, fewer than the {len(niche.held_out)} held-out families"
            )
        return data


def _distinct(names: tuple[str, ...]) -> tuple[str, ...]:
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ValueError(f"names {', '.join(map(repr, repeated))} more than once")
    return names
