"""One stage of a training: supervised, in this process or in several, with its memory looked at before and after."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from speciate.models.adapter import weights_digest
from speciate.models.device import free_memory
from speciate.models.shape import LoraShape
from speciate.models.skeleton import Sizes, sizes
from speciate.pipeline.setting import Setting, sft_of, token_loss_of
from speciate.recipe import Recipe
from speciate.train.encoding import Encoded
from speciate.train.footprint import Work
from speciate.train.job import Job
from speciate.train.launch import train_in_processes
from speciate.train.memory import Room, memory_must_hold
from speciate.train.sft import Measured, Step, Trained, preflight
from speciate.train.sft import train as train_alone

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedTokenizerBase
