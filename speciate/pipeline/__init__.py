"""Where all parts meet: a recipe becomes data, a trained adapter, evidence, a verdict and a registry entry."""

from speciate.pipeline.species import prepare, train

__all__ = ["prepare", "train"]
