"""Where all parts meet: a recipe becomes data, a trained adapter, evidence, a verdict and a registry entry."""

from speciate.pipeline.plan import Plan, plan
from speciate.pipeline.species import train

__all__ = ["Plan", "plan", "train"]
