"""The places of a sparse change (SHiRA) are read from the adapter's file, and torch by itself does not look whether
they lie in the matrix: others would be written to memory that is not the matrix's. Here they are looked at.
"""

from typing import TYPE_CHECKING, Any

from speciate.errors import AdapterMismatch

if TYPE_CHECKING:
    from peft import PeftModel


def always_checked() -> None:
    """From here on torch looks at every sparse tensor that is made in this process."""
    import torch

    torch.sparse.check_sparse_tensor_invariants.enable()


def check_places(model: "PeftModel", adapter: str, called: str) -> None:
    """Raises AdapterMismatch where an adapter changes what lies outside of a matrix."""
    for name, module in model.named_modules():
        places: Any = getattr(module, "shira_indices", {}).get(adapter)
        if places is None:
            continue
        base: Any = module.get_base_layer()
        rows, columns = base.weight.shape
        pairs = places.ndim == 2 and len(places) == 2
        if not pairs or (places < 0).any() or (places[0] >= rows).any() or (places[1] >= columns).any():
            raise AdapterMismatch(
                f"the adapter in {called!r} is damaged: it changes entries of {name!r} that lie outside of its weight, "
                f"{rows} x {columns}"
            )
