"""What the devices of this machine are: how many, and how much memory each has."""

from speciate import hardware


def count(device: str) -> int | None:
    """How many there are of a kind; None where that is no limit, as on a CPU."""
    import torch

    return {"cuda": torch.cuda.device_count, "mps": lambda: 1}.get(device, lambda: None)()


def free_memory(device: str) -> int | None:
    """Bytes that this process may take on one of them, what it holds already included; None where nobody tells."""
    import torch

    if device != "cuda":
        return hardware.free_memory()
    free, _ = torch.cuda.mem_get_info()
    return free + torch.cuda.memory_reserved()


def peak_memory(device: str) -> int | None:
    """Most bytes that this process held on a GPU; None on others."""
    import torch

    return torch.cuda.max_memory_reserved() if device == "cuda" else None


def has_flash_attention() -> bool:
    """Whether `flash_attention_2` can be computed here."""
    import torch
    from transformers.utils.import_utils import is_flash_attn_2_available

    return torch.cuda.is_available() and is_flash_attn_2_available()
