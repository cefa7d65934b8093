"""Grow specialist models without harming the generalist."""

__version__ = "0.1.0"
