"""The program `speciate`."""

from speciate.cli.program import cli, main, run

__all__ = ["cli", "main", "run"]
