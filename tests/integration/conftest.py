"""One Lean for all tests of a session: it takes seconds to start."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from speciate.niches.lean.engine import Lean

TEST_CACHE = Path(os.environ.get("SPECIATE_TEST_CACHE") or Path(__file__).parents[2] / ".cache" / "test-home")


@pytest.fixture(scope="session")
def lean_home() -> Iterator[Path]:
    """SPECIATE_HOME with the embedded Lean of the test cache and without a verdict of an earlier session."""
    TEST_CACHE.mkdir(parents=True, exist_ok=True)
    for verdicts in (TEST_CACHE / "cache").glob("lean-verdicts.sqlite*"):
        verdicts.unlink()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPECIATE_HOME", str(TEST_CACHE))
        patch.setenv("SPECIATE_LEAN", "embedded")
        yield TEST_CACHE


@pytest.fixture(scope="session")
def lean(lean_home: Path) -> Iterator[Lean]:
    """A Lean engine; a test may crash its process, not close it."""
    assert lean_home.is_dir()
    with Lean() as engine:
        yield engine
