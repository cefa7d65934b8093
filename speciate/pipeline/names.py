"""The names that a recipe may use: a misspelt one is reported with all else that is wrong in the file."""

from pathlib import Path

from speciate.niches import skills
from speciate.niches.lean.families import FAMILIES
from speciate.recipe import Known, find_data

SUITES = "evals/suites"


def known_names(recipe: Path | str) -> Known:
    """For each key that takes names, what they are called and which there are beside the recipe at this path."""
    suites = find_data(SUITES, Path(recipe))
    return {
        "niche.families": ("family", FAMILIES),
        "niche.held_out": ("family", FAMILIES),
        "data.weights": ("family", FAMILIES),
        "corpus.skills": ("skill", skills.SKILLS),
        "evals.suite": ("suite", [path.stem for path in suites.glob("*.yaml")] if suites else ()),
    }
