"""Another strength and a sum of adapters, against PEFT itself on the tiny base: what loads is what was asked for."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from adapters import changed, configured, saved
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from populations import FLOAT32, TINY

from speciate.cli.program import run
from speciate.errors import AdapterMismatch, InputError, NotFound
from speciate.models.adapter import CONFIG, WEIGHTS
from speciate.models.base import load_model, locate
from speciate.models.derived import Part, at_one_alpha, merged, rescaled
from speciate.pipeline.deriving import merge, rescale
from speciate.pipeline.importing import Told, import_adapter
from speciate.progress import Quiet
from speciate.records import UnmeasuredCard
from speciate.registry import store
from speciate.storage import read_json

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


@pytest.fixture(autouse=True)
def in_a_home(home: Path) -> Path:
    return home


def deltas(folder: Path) -> dict[str, Any]:
    """What PEFT would add to each weight of the base, for the adapter of a folder."""
    from peft import PeftModel

    model: Any = PeftModel.from_pretrained(load_model(locate("a-base", TINY), FLOAT32), str(folder))
    return {
        name: module.get_delta_weight("default").double()
        for name, module in model.named_modules()
        if hasattr(module, "get_delta_weight") and "default" in getattr(module, "scaling", {})
    }


def same(found: dict[str, Any], parts: Sequence[tuple[float, dict[str, Any]]]) -> bool:
    """Whether what is found is the weighted sum of the parts, to the last digits of float32."""
    import torch

    names = {name for _, part in parts for name in part}
    assert set(found) == names
    for name, delta in found.items():
        wanted = sum(weight * part[name] for weight, part in parts if name in part)
        assert isinstance(wanted, torch.Tensor)
        if not torch.allclose(delta, wanted, rtol=0, atol=2e-6 * float(wanted.abs().max())):
            return False
    return True


SHAPES: list[dict[str, Any]] = [
    {"r": 4},
    {"r": 2, "lora_alpha": 16, "use_rslora": True},
    {"r": 3, "target_modules": ["q_proj", "v_proj", "up_proj"], "lora_alpha": 5},
    {
        "r": 4,
        "target_modules": "all-linear",
        "rank_pattern": {"v_proj": 2},
        "alpha_pattern": {"v_proj": 7, "o_proj": 1},
    },
    {"r": 2, "target_modules": r".*\.(0|2)\..*(gate|up)_proj"},
    {"r": 2, "layers_to_transform": [1, 3], "use_rslora": True, "rank_pattern": {"q_proj": 5}},
]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Path, dict[str, Any]]]:
    """An adapter of each shape, with what PEFT adds for it."""
    root = tmp_path_factory.mktemp("shapes")
    folders = [saved(root / str(number), seed=number, **shape) for number, shape in enumerate(SHAPES)]
    return [(folder, deltas(folder)) for folder in folders]


WEIGHT = st.floats(-3, 3).filter(lambda weight: abs(weight) > 0.01)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    chosen=st.lists(
        st.tuples(st.integers(0, len(SHAPES) - 1), WEIGHT), min_size=2, max_size=4, unique_by=lambda c: c[0]
    )
)
def test_a_sum_loads_as_the_weighted_sum(
    made: list[tuple[Path, dict[str, Any]]], tmp_path_factory: pytest.TempPathFactory, chosen: list[tuple[int, float]]
) -> None:
    folder = tmp_path_factory.mktemp("sum")
    parts = [Part(str(number), made[number][0], weight) for number, weight in chosen]
    merged(parts, folder)
    assert same(deltas(folder), [(weight, made[number][1]) for number, weight in chosen])


@pytest.mark.parametrize("number", range(len(SHAPES)))
@pytest.mark.parametrize("strength", [0.5, -1.7])
def test_another_strength_is_in_proportion(
    made: list[tuple[Path, dict[str, Any]]], tmp_path: Path, number: int, strength: float
) -> None:
    folder, delta = made[number]
    rescaled(Part("one", folder, strength), tmp_path)
    assert same(deltas(tmp_path), [(strength, delta)])


@pytest.mark.parametrize("number", range(len(SHAPES)))
def test_one_alpha_says_the_same(made: list[tuple[Path, dict[str, Any]]], tmp_path: Path, number: int) -> None:
    folder, delta = made[number]
    at_one_alpha(Part("one", folder), tmp_path)
    config = read_json(tmp_path / CONFIG)
    assert (config["use_rslora"], config["alpha_pattern"]) == (False, {})
    assert same(deltas(tmp_path), [(1.0, delta)])


def test_half_precision_loses_nothing_by_another_strength(tmp_path: Path) -> None:
    import torch

    folder = changed(
        saved(tmp_path / "a"), lambda tensors: {name: tensor.to(torch.bfloat16) for name, tensor in tensors.items()}
    )
    (tmp_path / "b").mkdir()
    rescaled(Part("one", folder, 0.3), tmp_path / "b")
    assert same(deltas(tmp_path / "b"), [(0.3, deltas(folder))])


def test_embeddings_are_summed_too(tmp_path: Path) -> None:
    folders = [saved(tmp_path / name, seed=seed, target_modules=["embed_tokens", "q_proj"], r=seed + 2)
               for seed, name in enumerate("ab")]  # fmt: skip
    (tmp_path / "sum").mkdir()
    merged([Part("a", folders[0], 2.0), Part("b", folders[1], -0.5)], tmp_path / "sum")
    assert same(deltas(tmp_path / "sum"), [(2.0, deltas(folders[0])), (-0.5, deltas(folders[1]))])


def test_parts_of_the_same_modules_keep_their_short_names(
    made: list[tuple[Path, dict[str, Any]]], tmp_path: Path
) -> None:
    merged([Part("a", made[0][0]), Part("b", made[1][0])], tmp_path)
    config = read_json(tmp_path / CONFIG)
    assert config["target_modules"] == ["down_proj", "q_proj"]
    assert (config["r"], config["lora_alpha"], config["rank_pattern"], config["use_rslora"]) == (6, 6, {}, False)


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        ({"use_dora": True}, "is a DoRA"),
        ({"modules_to_save": ["lm_head"]}, "whole modules of its own"),
        ({"lora_bias": True}, "biases of its own beside"),
        ({"bias": "lora_only"}, "a LoRA with bias 'lora_only'"),
    ],
)
def test_what_is_not_linear_is_refused(tmp_path: Path, shape: dict[str, Any], said: str) -> None:
    folder, plain = saved(tmp_path / "a", **shape), saved(tmp_path / "b")
    (tmp_path / "c").mkdir()
    with pytest.raises(AdapterMismatch, match=f"one cannot be rescaled.*{said}"):
        rescaled(Part("one", folder, 0.5), tmp_path / "c")
    with pytest.raises(AdapterMismatch, match=f"one cannot be merged.*{said}"):
        merged([Part("two", plain), Part("one", folder)], tmp_path / "c")
    assert not list((tmp_path / "c").iterdir())


def test_other_layouts_of_the_base_are_refused(made: list[tuple[Path, dict[str, Any]]], tmp_path: Path) -> None:
    other = configured(saved(tmp_path / "a"), fan_in_fan_out=True)
    with pytest.raises(AdapterMismatch, match="fan_in_fan_out differs"):
        merged([Part("one", made[0][0]), Part("two", other)], tmp_path)


def test_halves_that_are_no_pair_are_refused(made: list[tuple[Path, dict[str, Any]]], tmp_path: Path) -> None:
    torn = changed(saved(tmp_path / "a"), lambda tensors: dict(list(tensors.items())[1:]))
    with pytest.raises(AdapterMismatch, match=r"two is damaged: its A and B in .* are no pair"):
        merged([Part("one", made[0][0]), Part("two", torn)], tmp_path)
    foreign = changed(
        saved(tmp_path / "b"), lambda tensors: tensors | {"x.weight": next(iter(tensors.values())).clone()}
    )
    with pytest.raises(AdapterMismatch, match=r"its tensor 'x.weight' is neither an A nor a B"):
        merged([Part("one", made[0][0]), Part("two", foreign)], tmp_path)


def test_a_strength_beyond_all_numbers_is_refused(made: list[tuple[Path, dict[str, Any]]], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="too strong"):
        rescaled(Part("one", made[0][0], 1e39), tmp_path)
    assert not (tmp_path / WEIGHTS).exists()


# --- as entries ---


def registered(tmp_path: Path, *species: str) -> list[UnmeasuredCard]:
    cards: list[UnmeasuredCard] = []
    for seed, name in enumerate(species):
        told = Told(name, licence="mit", niche="lean" if seed < 2 else "code")
        card = import_adapter(str(saved(tmp_path / f"{name}-{seed}", seed=seed)), told, Quiet()).card
        assert isinstance(card, UnmeasuredCard)
        cards.append(card)
    return cards


def test_derived_entries_say_how_they_were_made(tmp_path: Path) -> None:
    first, second, third = registered(tmp_path, "prover", "prover", "coder")
    entry, half, new = rescale("prover", 0.5)
    assert isinstance(half, UnmeasuredCard)
    assert new
    assert (half.species, half.version, half.origin) == ("prover", 3, "prover@2 at strength 0.5")
    assert [(edge.kind, edge.digest) for edge in half.parents] == [("rescaled", second.digest)]
    assert (half.base, half.licence, half.niche, half.verdict) == (second.base, "mit", "lean", "unknown")
    assert half.shape["r"] == 4
    again = rescale("prover@2", 0.5)
    assert (again[0], again[2]) == (entry, False)

    _, summed, _ = merge(["prover@1", "prover@2", "coder"], [0.5, 0.5, -1], "alloy")
    assert isinstance(summed, UnmeasuredCard)
    assert summed.origin == "the sum 0.5 x prover@1 + 0.5 x prover@2 + -1 x coder@1"
    assert [edge.digest for edge in summed.parents] == [first.digest, second.digest, third.digest]
    assert {edge.kind for edge in summed.parents} == {"merged"}
    assert (summed.species, summed.niche, summed.licence, summed.shape["r"]) == ("alloy", "unknown", "mit", 12)
    assert store.find("alloy")[1] == summed


def test_what_has_no_meaning_is_refused(tmp_path: Path) -> None:
    registered(tmp_path, "prover", "coder")
    for strength in (0, 1, float("nan"), float("inf")):
        with pytest.raises(InputError, match="a strength of"):
            rescale("prover", strength)
    with pytest.raises(InputError, match="2 adapters and 1 weights"):
        merge(["prover", "coder"], [1])
    with pytest.raises(InputError, match="1 adapters"):
        merge(["prover"])
    with pytest.raises(InputError, match="other than zero"):
        merge(["prover", "coder"], [1, 0])
    with pytest.raises(InputError, match="named twice"):
        merge(["prover", "prover@1"])
    with pytest.raises(InputError, match="of several species: name that of their sum"):
        merge(["prover", "coder"])
    with pytest.raises(InputError, match="no name of a species"):
        merge(["prover", "coder"], species="../x")
    with pytest.raises(NotFound):
        rescale("nobody", 2)


def test_adapters_of_other_bases_have_no_sum(tmp_path: Path, random_llama: Path) -> None:
    registered(tmp_path, "prover")
    other = saved(tmp_path / "other", base=random_llama, name=str(random_llama))
    import_adapter(str(other), Told("llama"), Quiet())
    with pytest.raises(AdapterMismatch, match=r"only adapters of one base.*prover@1: 'data/base/tiny', sha256:"):
        merge(["prover", "llama"], species="x")
    nameless = saved(tmp_path / "nameless", seed=9)
    (configured(nameless, base_model_name_or_path=None) / "README.md").unlink()
    import_adapter(str(nameless), Told("nameless"), Quiet())
    with pytest.raises(AdapterMismatch, match="nameless@1: 'unknown', unknown"):
        merge(["prover", "nameless"], species="x")


def test_a_damaged_parent_has_no_children(tmp_path: Path) -> None:
    [card] = registered(tmp_path, "prover")
    changed(store.entry_path(card.digest), lambda tensors: {name: tensor + 1 for name, tensor in tensors.items()})
    with pytest.raises(AdapterMismatch, match="is damaged: its card is of the adapter"):
        rescale("prover", 0.5)


def test_the_commands_answer_in_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    registered(tmp_path, "prover", "coder")
    for command in (
        ["rescale", "prover", "-0.5"],
        ["merge", "prover@1", "coder", "--weights", "1,-1e-1", "--species", "x"],
    ):
        assert run(["registry", *command, "--json"]) == 0
        said = json.loads(capsys.readouterr().out)
        assert said["schema"] == f"registry-{command[0]}/1"
        assert said["new"] is True
        assert store.find(said["digest"])[0] == Path(said["path"])
    assert run(["registry", "merge", "prover", "coder", "--weights", "1;2", "--species", "x"]) == 2
    assert run(["registry", "rescale", "prover", "much"]) == 2
    assert run(["registry", "try", "x", "prover"]) == 0
