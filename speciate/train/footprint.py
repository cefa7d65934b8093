"""Memory of a training on one device, by arithmetic: what each part of it takes, and what to change where that is much.

Counted are the tensors that the backward pass of a layer like Llama's or Qwen's keeps (scripts/measure_memory.py sets
the estimate against measured peaks). Other architectures are like it to a factor of two.
"""

from dataclasses import asdict, dataclass

from speciate.models.base import Compute, attention_of
from speciate.models.skeleton import Sizes
from speciate.recipe.hardware import Hardware
from speciate.train.sft import Sft

BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
NF4_BYTES = 0.5 + 1 / 64 + 4 / (64 * 256)
"""Four bits, a scale of one byte for each 64 of them, and one of four bytes for each 256 scales."""
PROCESS = {"cpu": 1.05e9, "cuda": 0.8e9, "mps": 0.8e9}
"""Python with torch and transformers on a CPU; the driver's context and kernels on a GPU, which were not measured."""
TILE_TOKENS, TILE_WORDS = 4096, 32_768
"""TRL's head has the logits of so many tokens and words at a time."""
BYTES_READ, BYTES_HELD = 38, 16
"""Measured, of each logit: where a loss reads it, with its probability, its gradient and the base's beside it; where a
guard keeps it for the backward pass, in which the rows' own are at their highest.
"""


@dataclass(frozen=True, slots=True)
class Footprint:
    """Bytes on one device while training."""

    process: int
    weights: int
    adapter: int
    gradients: int
    optimizer: int
    activations: int
    logits: int

    @property
    def total(self) -> int:
        """All of them."""
        return sum(asdict(self).values())

    @property
    def trained(self) -> int:
        """What grows with the adapter alone."""
        return self.adapter + self.gradients + self.optimizer

    @property
    def step(self) -> int:
        """What grows with the rows of a batch."""
        return self.activations + self.logits

    def words(self) -> str:
        """Its parts, in GiB."""
        parts = {"weights": self.weights, "adapter and optimizer": self.trained, "activations": self.step}
        return f"{gib(self.total)} ({', '.join(f'{name} {gib(size)}' for name, size in parts.items())})"


@dataclass(frozen=True, slots=True)
class Work:
    """What is trained, and how."""

    base: Sizes
    settings: Sft
    compute: Compute
    hardware: Hardware
    quantization: str
    rank: int
    longest: int
    """Tokens of the longest row."""
    held: int = 0
    """Rows that a guard holds beside each batch."""
    whole_logits: bool = False
    """Whether the loss reads the logits of all words for the rows too, as it does for what is held."""

    @property
    def tokens(self) -> int:
        """Tokens that go through the model at a time, padding included."""
        return (self.settings.batch_size + self.held) * self.longest


def footprint(work: Work) -> Footprint | None:
    """The training of one batch of the longest rows; None where the adapter's size is not known."""
    base, settings, hardware = work.base, work.settings, work.hardware
    if base.trainable is None:
        return None
    parts = hardware.processes if hardware.sharding != "none" else 1
    offloaded = hardware.cpu_offload
    held = _weights(work)
    # Of a divided base, the layer at work and the next are there whole.
    whole = 2 * held / base.layers if parts > 1 else 0.0
    trained = base.trainable * 4 / parts
    states = 1 if settings.optimizer == "muon" else 2
    buckets = 1 if hardware.processes > 1 and parts == 1 else 0
    return Footprint(
        process=round(PROCESS[work.compute.device]),
        weights=round((0.0 if offloaded else held / parts) + whole),
        adapter=round(0 if offloaded else trained),
        gradients=round(0 if offloaded else trained * (1 + buckets)),
        optimizer=round(0 if offloaded else trained * states),
        activations=round(_activations(work)),
        logits=round(_logits(work)),
    )


def _weights(work: Work) -> float:
    """Bytes of the whole base."""
    wide = BYTES[work.compute.weights]
    rest = work.base.parameters - work.base.in_blocks
    return work.base.in_blocks * (NF4_BYTES if work.quantization == "nf4" else wide) + rest * wide


def _activations(work: Work) -> float:
    """Bytes kept for the backward pass, and those of the layer at work."""
    base, tokens = work.base, work.tokens
    wide, residual = BYTES[work.compute.training], BYTES[work.compute.weights]
    copied = wide if wide < 4 else 0
    """Under autocast the adapter of each module reads a copy of its own of the module's input."""
    queries, keys = base.heads * base.head_width, base.kv_heads * base.head_width
    layer = 8 * base.hidden + (5 * copied or 2 * wide) * base.hidden
    layer += 4 * (queries + keys) + 2 * wide * queries + copied * queries + 2 * wide * keys
    layer += 3 * wide * base.intermediate + (copied or wide) * base.intermediate
    layer += 7 * wide * work.rank
    if attention_of(work.hardware.attention, work.compute) == "eager":
        # Keys and values are repeated for each head, and the probabilities of all pairs are kept.
        layer += 2 * wide * (queries - keys) + base.heads * work.longest * (4 + copied)
    # A frozen weight of another precision is cast anew at each use, and the copy is kept.
    cast = base.in_blocks * wide if work.quantization == "none" and residual != wide else 0
    working = 2 * wide * (base.hidden + 2 * base.intermediate) * tokens
    if work.quantization == "nf4":
        working += wide * base.hidden * base.intermediate
    if work.settings.activation_checkpointing:
        return base.layers * residual * base.hidden * tokens + layer * tokens + cast / base.layers + working
    return base.layers * layer * tokens + cast + working


def _logits(work: Work) -> float:
    """Bytes of the head: the hidden states that are read and their gradient; one tile of logits, or all of them where
    the loss reads those; and all of the rows that are held.
    """
    base, wide = work.base, BYTES[work.compute.training]
    rows, held = work.settings.batch_size * work.longest, work.held * work.longest
    tile = min(rows, TILE_TOKENS) * min(base.vocabulary, TILE_WORDS)
    # Without a GPU's kernel a tile is folded by plain operations, which hold about eight copies of it in float32.
    folded = tile * (wide + (0 if work.compute.device == "cuda" else 8 * 4))
    read = BYTES_READ * rows * base.vocabulary if work.whole_logits else folded
    return 3 * work.tokens * base.hidden * wide + read + BYTES_HELD * held * base.vocabulary


def gib(size: float) -> str:
    """`3.2 GiB`."""
    return f"{size / 2**30:.1f} GiB"
