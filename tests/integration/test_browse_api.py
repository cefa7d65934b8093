"""The registry's API against its own description: schemathesis makes up requests, a real registry answers."""

import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

sys.path.append(str(Path(__file__).parents[1] / "unit"))
from example_registry import hostile, phylogeny  # pyright: ignore[reportMissingImports]

from speciate.browse.app import guarded
from speciate.browse.guard import Access

PATHS = (
    "/api/entries", "/api/search", "/api/entry/{ref}", "/api/tree", "/api/tree/{ref}", "/api/points", "/api/compare"
)  # fmt: skip
SLOW = (HealthCheck.too_slow, HealthCheck.filter_too_much)
NAMES = ("lean-prover", "lean-prover@2", "lean-prover@best", "both", "found@1", "hostile", "sha256:")


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("browse-api")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPECIATE_HOME", str(folder / "home"))
        phylogeny(folder / "adapters")
        hostile(folder / "adapters")
        # The name by which schemathesis calls every application.
        access = Access(frozenset({"localhost", "testserver"}))
        yield schemathesis.openapi.from_asgi("/api/openapi.json", guarded(access))


@schemathesis.hook
def map_path_parameters(context: Any, path_parameters: Any) -> Any:
    """Half of the names that are asked for are there."""
    return _named(context, path_parameters, "ref")


@schemathesis.hook
def map_query(context: Any, query: Any) -> Any:
    """The same where a name is part of a query."""
    return _named(context, _named(context, query, "a"), "b")


def _named(_: Any, values: Any, name: str) -> Any:
    if isinstance(values, dict) and name in values:
        draw = random.Random(str(values))
        if draw.random() < 0.5:
            return {**values, name: draw.choice(NAMES)}
    return values


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
@pytest.mark.parametrize("path", PATHS)
def test_every_answer_is_what_the_description_says(api: Any, path: str, mode: GenerationMode) -> None:
    """No server error, no answer of another status, type or shape than the description has.

    Two checks are left out: that every text is accepted (one needs a word in it, and no schema knows what a word is),
    and that a parameter which is given twice is refused.
    """

    @given(case=api[path]["GET"].as_strategy(generation_mode=mode))
    @settings(max_examples=40, deadline=None, database=None, derandomize=True, suppress_health_check=SLOW)
    def ask(case: Any) -> None:
        case.call_and_validate(excluded_checks=[positive_data_acceptance, negative_data_rejection])

    try:
        ask()
    except Unsatisfiable:
        assert mode is GenerationMode.NEGATIVE, "only what takes anything has no wrong question"


def test_every_path_is_asked(api: Any) -> None:
    assert set(api) == set(PATHS)
