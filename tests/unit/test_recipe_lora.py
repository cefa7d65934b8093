"""The adapter's section: what goes together, and what is refused with the reason and what to do."""

from typing import Any, get_args

import pytest
from pydantic import ValidationError

from speciate.recipe.lora import IN_FOUR_BITS, OF_MATRICES, Init, Kind, Lora

KINDS, INITS = get_args(Kind), get_args(Init)


def complaint(**keys: Any) -> tuple[str, str]:
    """The key that is wrong, and what is said of it."""
    with pytest.raises(ValidationError) as caught:
        Lora(**keys)
    (problem,) = caught.value.errors()
    return str(problem["loc"][0]), problem["msg"].removeprefix("Value error, ")


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_goes_by_itself_and_as_it_was_written_down(kind: Kind) -> None:
    assert Lora.model_validate(Lora(kind=kind).model_dump()) == Lora(kind=kind)


@pytest.mark.parametrize("init", INITS)
def test_every_init_goes_with_a_lora(init: Init) -> None:
    assert Lora(init=init, rslora=True, dropout=0.1, r=8).init == init


@pytest.mark.parametrize("targets", ["all-linear", "mlp-only", "attention-only", "kappa", ("q_proj",)])
def test_targets_are_a_word_or_names(targets: Any) -> None:
    assert Lora(targets=targets).targets == targets


@pytest.mark.parametrize(
    ("keys", "wrong", "said"),
    [
        ({"kind": "oft", "rslora": True}, "rslora", "nothing to kind: oft; leave it out, .* has it (dora, lora)"),
        ({"kind": "oft", "r": 8}, "r", "means nothing to kind: oft"),
        ({"kind": "vera", "alpha": 8.0}, "alpha", "means nothing to kind: vera"),
        ({"kind": "osf", "dropout": 0.1}, "dropout", "means nothing to kind: osf"),
        ({"block_size": 8}, "block_size", "means nothing to kind: lora; leave it out, or .* (boft, oft)"),
        ({"kind": "hra", "frequencies": 8}, "frequencies", "means nothing to kind: hra"),
        ({"kind": "hra", "r": 7}, "r", "must be even with kind: hra, .* not 7"),
        ({"kind": "dora", "init": "pissa"}, "init", "ends as a plain LoRA, and a DoRA is none: use kind: lora, or"),
        ({"kind": "oft", "init": "eva"}, "init", "eva is a beginning of a LoRA, and kind: oft has its own"),
        ({"init": "orthogonal", "r": 5}, "init", "orthogonal needs an even r, not 5"),
        ({"init": "pissa", "init_rows": 5}, "init_rows", "means nothing to init: pissa, which looks at no rows"),
        ({"init": "pissa", "preserved": 5}, "preserved", "is for kind: osf and for init: oplora"),
        (
            {"init": "pissa", "init_texts": 5},
            "init_texts",
            "means nothing to init: pissa, which looks at no general rows",
        ),
        ({"init": "eva", "init_texts": 5}, "init_texts", "means nothing to init: eva, which looks at no general rows"),
        ({"kind": "hra", "freeze_a": True}, "freeze_a", "means nothing to kind: hra, which has no A"),
        ({"init": "mica", "freeze_a": True}, "freeze_a", "nothing would learn: with init: mica A alone does"),
        ({"kind": "adalora"}, "kind", "averages that no checkpoint holds, .* use kind: lora"),
        ({"kind": "kasa"}, "kind", "changes the base's own weights; use kind: lora with init: milora"),
    ],
)
def test_what_does_not_go_together_is_refused_at_the_later_key(keys: dict[str, Any], wrong: str, said: str) -> None:
    key, message = complaint(**keys)
    assert key == wrong
    place = 0
    for part in said.split(".*"):
        assert (place := message.find(part.strip(), place)) >= 0, message


def test_what_an_adapter_cannot_be_trained_with_is_said() -> None:
    fine: dict[str, Any] = {"quantization": "none", "optimizer": "adamw"}
    muon: dict[str, Any] = {**fine, "optimizer": "muon"}
    four_bits: dict[str, Any] = {**fine, "quantization": "nf4"}
    assert {Lora(kind=kind).unfit(**fine) for kind in KINDS} | {Lora(init=init).unfit(**fine) for init in INITS} == {""}
    for kind in KINDS:
        assert bool(Lora(kind=kind).unfit(**four_bits)) == (kind not in IN_FOUR_BITS)
        assert bool(Lora(kind=kind).unfit(**muon)) == (kind not in OF_MATRICES)
    assert "use init: milora" in Lora(init="mica").unfit(**four_bits)
