"""Where all parts meet: a recipe becomes data, a trained adapter, evidence, a verdict and a registry entry."""

from speciate.pipeline.checked_loading import load_checked
from speciate.pipeline.plan import Plan, plan
from speciate.pipeline.species import train

__all__ = ["Plan", "load_checked", "plan", "train"]
