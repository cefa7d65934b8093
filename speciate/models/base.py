"""Find, load and fingerprint a base: a folder or a hub name, never written to.

A base always ends up as a local folder with safetensors weights, so that one digest names it wherever it came from.
Weights in pickle form are refused, and code that comes with a model is never run.
"""

import difflib
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from speciate.errors import BaseNotFound, HubUnreachable, InputError, MissingComponent
from speciate.models.own import base_tensors
from speciate.storage import digest_file, digest_json

if TYPE_CHECKING:
    import torch
    from peft import PeftModel
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    CausalLM = PreTrainedModel | PeftModel

Precision = Literal["float32", "bfloat16", "float16"]

NOT_THE_MODEL = {".md", ".py", ".msgpack", ".h5", ".onnx", ".gguf", ".bin", ".pt", ".pth", ".ckpt"}
HUB_FILES = ["*.safetensors", "*.json", "*.jinja", "*.txt", "*.model"]
TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt")
GIVE_A_FOLDER = "give a folder that save_pretrained wrote"


@dataclass(frozen=True, slots=True)
class BaseSource:
    """Where a base lies and which bytes it is made of."""

    name: str
    """As the recipe names it."""
    revision: str | None
    folder: Path
    digest: str
    """Digest of the names and bytes of all files that make up the model."""


@dataclass(frozen=True, slots=True)
class Compute:
    """The device that was found, and the precisions to use on it."""

    device: str
    weights: Precision
    """Precision in which the base is held."""
    training: Precision
    """Precision in which the training step computes; adapters are float32 always."""
    attention: str = "auto"
    """How attention is computed, as recipes name it."""


def locate(name: str, found: Path | None, revision: str | None = None) -> BaseSource:
    """The base `name`: the folder `found` where a recipe's lookup gave one, else a model of the hub.

    Raises BaseNotFound, with what to do, where there is no such folder or model, or no safetensors in it.
    """
    folder = chosen(name, found, revision)
    for needed in (("config.json",), ("tokenizer_config.json",), TOKENIZER_FILES):
        if not any((folder / file).is_file() for file in needed):
            listed = " or ".join(needed)
            raise BaseNotFound(f"base {name!r}: {str(folder)!r} has no {listed}; it is not a complete model folder")
    if not any(folder.glob("*.safetensors")):
        pickled = sorted(path.name for path in folder.iterdir() if path.suffix in {".bin", ".pt", ".pth", ".ckpt"})
        advice = (
            f"only {', '.join(pickled)}, which is not opened: convert it to safetensors" if pickled else GIVE_A_FOLDER
        )
        raise BaseNotFound(f"base {name!r}: {str(folder)!r} has no safetensors weights; {advice}")
    return BaseSource(name, revision, folder, digest_folder(folder))


def chosen(name: str, found: Path | None, revision: str | None) -> Path:
    """The folder that was found, or the one that the hub gives."""
    if found is None:
        return download(name, revision)
    if not found.is_dir():
        raise BaseNotFound(f"base {name!r}: {str(found)!r} is a file; {GIVE_A_FOLDER}")
    if revision is not None:
        raise InputError(
            f"base.revision={revision!r} is for models of the hub; {str(found)!r} is a folder: leave it out"
        )
    return found


def download(name: str, revision: str | None) -> Path:
    """The local snapshot of a hub model. Raises BaseNotFound."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    hint = folder_meant(name) or "Give a folder with a model, or a hub name such as 'Qwen/Qwen3-0.6B'."
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise BaseNotFound(f"base {name!r}: there is no such folder. {hint}")
    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=HUB_FILES))
    except HFValidationError:
        raise BaseNotFound(f"base {name!r}: neither a folder nor a hub name. {hint}") from None
    except LocalEntryNotFoundError:
        raise HubUnreachable(
            f"base {name!r}: no such folder, and the model hub cannot be reached to look for a model of that name. "
            + hint
        ) from None
    except Exception as error:  # the client's own errors, its HTTP library's and those of the disk have no common root
        raise BaseNotFound(
            f"base {name!r}: no such folder, and the hub did not give it ({first_line(error)}). {hint}"
        ) from error


def folder_meant(name: str) -> str:
    """`Did you mean 'x'?` where a folder of nearly that name is there, else nothing."""
    path = Path(name)
    beside = [folder.name for folder in path.parent.glob("*") if folder.is_dir()]
    near = difflib.get_close_matches(path.name, beside, n=1)
    return f"Did you mean {str(path.with_name(near[0]))!r}?" if near else ""


def first_line(error: Exception) -> str:
    """The first line of what an error says, else its name."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def digest_folder(folder: Path) -> str:
    """One digest for all files of a model folder that a loader may read; notes and cards do not count."""
    files = sorted(
        path
        for path in folder.iterdir()
        if path.is_file() and path.suffix not in NOT_THE_MODEL and path.name != "card.json" and path.name[0] != "."
    )
    return digest_json({path.name: digest_file(path) for path in files})


def find_compute(dtype: str = "auto", precision: str = "auto") -> Compute:
    """The best device here, and its precisions: bfloat16 where the hardware computes in it, else float32.

    Raises InputError where a precision is asked for that the device has not.
    """
    import torch

    if torch.cuda.is_available():
        device, bf16 = "cuda", torch.cuda.is_bf16_supported(including_emulation=False)
    elif torch.backends.mps.is_available():
        device, bf16 = "mps", True
    else:
        # An ARM core may report bf16 too, but torch computes with it only where it has a kernel library for it.
        found = torch.cpu.get_capabilities()
        device, bf16 = "cpu", any(found.get(name) for name in ("avx512_bf16", "amx_bf16"))
    if device == "cpu" and "float16" in (dtype, precision):
        raise InputError("float16 is not for the CPU, the only device here: use auto, bfloat16 or float32")
    best: Precision = "bfloat16" if bf16 else "float32"
    weights = dtype if dtype != "auto" else ("float32" if device == "cpu" else best)
    training = precision if precision != "auto" else best
    return Compute(device, as_precision(weights), as_precision(training))


def as_precision(name: str) -> Precision:
    """`name`, known to be a precision."""
    if name not in ("float32", "bfloat16", "float16"):
        raise InputError(f"{name!r} is not a precision: use auto, float32, bfloat16 or float16")
    return name


def load_tokenizer(source: BaseSource, *, chat: bool = True) -> "PreTrainedTokenizerBase":
    """The base's tokenizer, padding on the left; `chat` asks for one that tells questions and answers apart.

    Raises BaseNotFound where its files are missing or damaged, InputError where it has no chat template or end token.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(source.folder, trust_remote_code=False, local_files_only=True)
    except Exception as error:
        raise unreadable(source, "tokenizer", error) from error
    if chat and tokenizer.chat_template is None:
        raise InputError(
            f"base {source.name!r} has no chat template, so questions and answers cannot be told apart: "
            "choose an instruction-tuned base, or add a chat_template to its tokenizer"
        )
    if tokenizer.eos_token_id is None:
        raise InputError(f"base {source.name!r}: its tokenizer has no end token, so an answer would never stop")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer.padding_side = "left"
    return tokenizer


def load_model(source: BaseSource, compute: Compute, quantization: str = "none") -> "PreTrainedModel":
    """The base, frozen and in evaluation mode. Raises BaseNotFound where its files are damaged or hold too little."""
    import torch
    from transformers import AutoModelForCausalLM

    settings: dict[str, Any] = {
        "trust_remote_code": False,
        "local_files_only": True,
        "use_safetensors": True,
        "output_loading_info": True,
        "dtype": getattr(torch, compute.weights),
        "attn_implementation": attention_of(compute.attention, compute),
    }
    if quantization == "nf4":
        settings |= {"quantization_config": nf4(compute), "device_map": {"": compute.device}}
    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(source.folder, **settings)
        model, loading = cast("tuple[PreTrainedModel, dict[str, Any]]", loaded)
    except Exception as error:
        raise unreadable(source, "model", error) from error
    if missing := sorted(loading["missing_keys"]):
        raise BaseNotFound(
            f"base {source.name!r}: the weights in {str(source.folder)!r} lack {len(missing)} tensors of the model, "
            f"first {missing[0]!r}; transformers would have filled them with random numbers"
        )
    if quantization == "none":
        cast("torch.nn.Module", model).to(compute.device)
    else:
        keep_unpacked(model)
    model.requires_grad_(requires_grad=False)
    return model.eval()


def attention_of(attention: str, compute: Compute) -> str:
    """The attention that `auto` stands for on a device, else the one that is named."""
    # The fused attention of torch is slow in bfloat16 on a CPU at the short lengths that are trained there.
    return attention if attention != "auto" else "eager" if compute.device == "cpu" else "sdpa"


def unreadable(source: BaseSource, part: str, error: Exception) -> BaseNotFound:
    """What to say where a library cannot read a part of the base."""
    return BaseNotFound(
        f"base {source.name!r}: its {part} cannot be loaded from {str(source.folder)!r}: {first_line(error)}; "
        + GIVE_A_FOLDER
    )


def nf4(compute: Compute) -> Any:
    """The 4-bit NormalFloat configuration (Dettmers et al. 2023), with double quantization."""
    import importlib.util

    import torch
    from transformers import BitsAndBytesConfig

    if importlib.util.find_spec("bitsandbytes") is None:
        raise MissingComponent("base.quantization nf4 needs bitsandbytes, which this platform has no package of")
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=getattr(torch, compute.training),
    )


def keep_unpacked(model: "PreTrainedModel") -> None:
    """Keep bitsandbytes from packing 4-bit weights anew at the first answer on a CPU with AVX-512: it would round their
    scales in place, and pass no gradient back through them.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            setattr(module, "support_avx512bf16_for_cpu", False)  # noqa: B010 - no such attribute in its type


def memory_digest(model: "torch.nn.Module") -> str:
    """SHA-256 of the base's parameters and buffers in memory, adapters left out, by name."""
    import torch

    total = hashlib.sha256()
    for name, tensor in sorted(base_tensors(model).items()):
        total.update(f"{name}:{tensor.dtype}:{tuple(tensor.shape)}".encode())
        total.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return "sha256:" + total.hexdigest()


def context_length(source: BaseSource) -> int | None:
    """Longest sequence that the base's configuration names, by whatever key its architecture has for it, in tokens.

    Raises BaseNotFound where the configuration is damaged.
    """
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(source.folder, trust_remote_code=False, local_files_only=True)
        length = getattr(config.get_text_config(decoder=True), "max_position_embeddings", None)
        return int(length) if length else None
    except Exception as error:
        raise unreadable(source, "config.json", error) from error
