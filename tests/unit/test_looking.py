"""What is seen of a base that reads rows, against what autograd says of it."""

from pathlib import Path
from typing import Any

from speciate.models.base import Compute, load_model, locate, memory_digest
from speciate.models.looking import covariances, gradients, some
from speciate.train.encoding import IGNORED, Encoded

ROWS = [Encoded(list(range(4, 4 + length)), [IGNORED] * 2 + list(range(6, 4 + length))) for length in (5, 9, 7)]


def opened(folder: Path) -> tuple[Any, dict[str, Any]]:
    model: Any = load_model(locate("a-base", folder), Compute("cpu", "float32", "float32"))
    layer = model.model.layers[1]
    return model, {"first": model.model.layers[0].self_attn.q_proj, "last": layer.mlp.down_proj}


def test_gradients_are_those_of_the_weights(random_llama: Path) -> None:
    import torch

    model, modules = opened(random_llama)
    before = memory_digest(model)
    found = gradients(model, modules, ROWS)
    assert memory_digest(model) == before
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert all(not module._forward_hooks for module in model.modules())
    for module in modules.values():
        module.weight.requires_grad_()
    losses = [model(input_ids=torch.tensor([row.input_ids]), labels=torch.tensor([row.labels])).loss for row in ROWS]
    torch.stack(losses).mean().backward()
    for name, module in modules.items():
        assert found[name].float().allclose(module.weight.grad, atol=1e-6), name
        assert found[name].any()


def test_covariances_are_of_the_inputs_each_row_by_its_own_size(random_llama: Path) -> None:
    import torch

    model, modules = opened(random_llama)
    seen: list[Any] = []

    def note(_: Any, inputs: tuple[Any, ...]) -> None:
        seen.append(inputs[0][0].double())

    hook = modules["last"].register_forward_pre_hook(note)
    found = covariances(model, modules, ROWS)["last"]
    hook.remove()
    wanted = sum(((one := given / given.abs().max()).T @ one for given in seen), torch.zeros_like(found)) / len(ROWS)
    assert found.allclose(wanted)
    assert covariances(model, modules, ROWS)["last"].equal(found)


def test_some_rows_follow_from_the_seed() -> None:
    many = [Encoded([number], [number]) for number in range(50)]
    assert some(many, 5, 1) == some(many, 5, 1) != some(many, 5, 2)
    assert some(many, 99, 1) == many
