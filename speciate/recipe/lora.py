"""The adapter of a species: its kind, its size, the modules that it is put on, and what it begins from.

`evals/studies/forgetting.py` measures which of them forget least.
"""

from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Discriminator, Field, Tag, ValidationInfo, field_validator

from speciate.recipe.fields import BelowOne, Count, Names, Positive, Section

Kind = Literal["lora", "dora", "oft", "boft", "hra", "vera", "loha", "lokr", "shira", "osf", "fourierft", "full"]
Init = Literal[
    "default", "gaussian", "orthogonal", "eva", "pissa", "olora", "corda-kpm", "corda-ipm", "lora-ga", "milora",
    "oplora", "lora-null", "mica", "contrast",
]  # fmt: skip
Chosen = Literal["all-linear", "mlp-only", "attention-only", "kappa"]

FROM_GENERAL_ROWS = frozenset({"corda-kpm", "lora-null", "contrast"})
"""Beginnings that look at rows of general skills, to stay away from what those need."""
FROM_NICHE_ROWS = frozenset({"corda-ipm", "eva", "lora-ga", "contrast"})
"""Beginnings that look at rows of the niche, to begin with what those need."""
IN_FOUR_BITS = frozenset({"lora", "dora", "oft", "vera"})
"""Kinds that PEFT can put on a base of 4 bits."""
OF_MATRICES = frozenset({"lora", "hra", "loha", "lokr"})
"""Kinds all of whose parameters are matrices."""

_REFUSED = {
    "adalora": "shares its rank out by averages that no checkpoint holds, so that a run which goes on after a stop "
    "would end with other bytes; use kind: lora with init: eva, or with targets: mlp-only",
    "kasa": "changes the base's own weights; use kind: lora with init: milora, which begins from the same directions",
}
_KINDS_WITH = {
    "r": {"lora", "dora", "hra", "vera", "loha", "lokr", "shira"},
    "alpha": {"lora", "dora", "loha", "lokr"},
    "dropout": {"lora", "dora", "vera"},
    "rslora": {"lora", "dora"},
    "block_size": {"oft", "boft"},
    "frequencies": {"fourierft"},
}
_LOOKED_AT = {
    "init_rows": (FROM_GENERAL_ROWS | FROM_NICHE_ROWS, "rows"),
    "init_texts": (FROM_GENERAL_ROWS, "general rows"),
}
_INITS_OF_DORA = ("default", "gaussian", "orthogonal", "eva")


def _known_kind(kind: Any) -> Any:
    if isinstance(kind, str) and kind in _REFUSED:
        raise ValueError(f"{kind} {_REFUSED[kind]}")
    return kind


Targets = Annotated[
    Annotated[Chosen, Tag("word")] | Annotated[Names, Field(min_length=1), Tag("list")],
    Discriminator(
        lambda value: "word" if value in get_args(Chosen) else "list" if isinstance(value, list | tuple) else None,
        custom_error_type="targets",
        custom_error_message=f"must be {', '.join(get_args(Chosen))} or a list of module names",
    ),
]


class Lora(Section):
    """The adapter."""

    kind: Annotated[Kind, BeforeValidator(_known_kind)] = "lora"
    """lora adds B·A to a weight; dora (Liu et al. 2024) sets the lengths of its columns too; oft, boft and hra (Qiu
    et al. 2023, Liu et al. 2024, Yuan et al. 2024) turn it by an orthogonal matrix; vera (Kopiczko et al. 2024)
    scales random matrices; loha and lokr (Hyeon-Woo et al. 2022, Yeh et al. 2024) are products of Hadamard and
    Kronecker; shira (Bhardwaj et al. 2024) changes few entries; osf (Nayak et al. 2025) all but the largest singular
    directions; fourierft (Gao et al. 2024) few frequencies; full trains a copy of each weight, which is full
    fine-tuning of the targets: as large as they are, and the reference of studies. All but lora are measured in batches
    of their own.
    """
    r: Annotated[int, Field(ge=1, le=1024)] = 16
    """Rank; of hra the number of reflections, of shira that of the lora with as many parameters."""
    alpha: Positive = 32
    """Scale: the update is multiplied by alpha/r, or by alpha/sqrt(r) with rslora."""
    dropout: BelowOne = 0.0
    """Fraction of the adapter's inputs dropped in training."""
    targets: Targets = "all-linear"
    """Modules to adapt: all-linear, mlp-only, attention-only, kappa (the fifth whose weights are conditioned best:
    KappaTune, 2025), or a list of module names, each of which must exist in the base.
    """
    rslora: bool = False
    """Scale by alpha/sqrt(r), which keeps high ranks learning."""
    block_size: Annotated[int, Field(ge=2, le=1024)] | None = None
    """Of oft and boft: width of the blocks that are turned, which divides the inputs of each module; null takes 32 with
    oft, 4 with boft.
    """
    frequencies: Count = 1000
    """Of fourierft: coefficients of each matrix that are learned."""
    init: Init = "default"
    """What a LoRA begins from. default, gaussian and orthogonal are random. From the base's weights: pissa (Meng et
    al. 2024) the largest directions, olora (Büyükakyüz 2024) those of QR, milora (Wang et al. 2024) the smallest;
    mica (2026) learns A alone, B being the smallest; oplora (Xiong and Xie 2025) never touches the largest. From
    rows: eva (Paischer et al. 2024), corda-ipm (Yang et al. 2024) and lora-ga (Wang et al. 2024) what the niche
    needs, corda-kpm and lora-null (Tang et al. 2025) what general skills need least. contrast takes the directions of
    the inputs in which the niche has most for what general skills have (as SC-LoRA, Luo et al. 2025) and keeps them: B
    alone learns, and what general skills read stays nearly out of its reach. All end as a plain LoRA on the untouched
    base, those that begin from a part of its weights with rank 2r.
    """
    init_rows: Annotated[int, Field(ge=1, le=65_536)] = 128
    """Rows that an init looks at which begins from rows."""
    init_texts: Annotated[int, Field(ge=0, le=65_536)] = 0
    """Texts that the base says by itself, which an init counts among the general rows that it looks at."""
    freeze_a: bool = False
    """B alone learns (LoRA-FA, Zhang et al. 2023): the update reads nothing but what A read in the beginning. With
    contrast it is always so.
    """
    preserved: Annotated[int, Field(ge=1, le=65_536)] | None = None
    """Of osf and oplora: the largest singular directions of each weight that the adapter cannot change; null takes half
    of them, with oplora at most 128.
    """

    @field_validator("r", "alpha", "dropout", "rslora", "block_size", "frequencies")
    @classmethod
    def _belongs_to_the_kind(cls, value: Any, info: ValidationInfo) -> Any:
        key, kind = str(info.field_name), info.data.get("kind")
        if kind and kind not in _KINDS_WITH[key] and value != cls.model_fields[key].default:
            having = ", ".join(sorted(_KINDS_WITH[key]))
            raise ValueError(f"means nothing to kind: {kind}; leave it out, or choose a kind that has it ({having})")
        return value

    @field_validator("r")
    @classmethod
    def _reflects_in_pairs(cls, r: int, info: ValidationInfo) -> int:
        if info.data.get("kind") == "hra" and r % 2:
            raise ValueError(
                f"must be even with kind: hra, whose reflections begin as pairs that undo each other, not {r}"
            )
        return r

    @field_validator("init")
    @classmethod
    def _begins_what_it_can(cls, init: str, info: ValidationInfo) -> str:
        kind, r = info.data.get("kind"), info.data.get("r")
        if kind == "dora" and init not in _INITS_OF_DORA:
            raise ValueError(
                f"{init} ends as a plain LoRA, and a DoRA is none: use kind: lora, or {', '.join(_INITS_OF_DORA)}"
            )
        if kind not in (None, "lora", "dora") and init != "default":
            raise ValueError(f"{init} is a beginning of a LoRA, and kind: {kind} has its own: leave init out, or kind")
        if init == "orthogonal" and r and r % 2:
            raise ValueError(f"orthogonal needs an even r, not {r}")
        return init

    @field_validator("init_rows", "init_texts")
    @classmethod
    def _are_looked_at(cls, count: int, info: ValidationInfo) -> int:
        key, init = str(info.field_name), info.data.get("init")
        looking, at = _LOOKED_AT[key]
        if init and init not in looking and count != cls.model_fields[key].default:
            raise ValueError(f"means nothing to init: {init}, which looks at no {at}; leave it out")
        return count

    @field_validator("freeze_a")
    @classmethod
    def _leaves_something_to_learn(cls, frozen: bool, info: ValidationInfo) -> bool:
        kind, init = info.data.get("kind"), info.data.get("init")
        if frozen and kind not in (None, "lora", "dora"):
            raise ValueError(f"means nothing to kind: {kind}, which has no A; leave it out")
        if frozen and init == "mica":
            raise ValueError("nothing would learn: with init: mica A alone does; leave it out, or choose another init")
        return frozen

    @field_validator("preserved")
    @classmethod
    def _are_preserved(cls, preserved: int | None, info: ValidationInfo) -> int | None:
        kind, init = info.data.get("kind"), info.data.get("init")
        if preserved is not None and kind and init and kind != "osf" and init != "oplora":
            raise ValueError("is for kind: osf and for init: oplora; leave it out, or choose one of them")
        return preserved

    def unfit(self, *, quantization: str, optimizer: str) -> str:
        """Why the adapter cannot be trained so, and what to do; nothing where it can."""
        if quantization != "none" and self.kind not in IN_FOUR_BITS:
            return f"kind: {self.kind} cannot be put on a base of 4 bits: use one of {', '.join(sorted(IN_FOUR_BITS))}"
        if quantization != "none" and self.init == "mica":
            return "init: mica cannot look at a base of 4 bits: use init: milora, which begins from the same directions"
        if optimizer == "muon" and self.kind not in OF_MATRICES:
            return f"kind: {self.kind} has parameters that are no matrices, as muon needs: use optimizer: adamw"
        return ""
