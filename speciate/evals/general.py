"""The general suite: what a species must not forget. A suite is a YAML file in `evals/suites`."""

from collections import Counter
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from speciate.errors import InputError
from speciate.niches import skills
from speciate.niches.base import Item
from speciate.recipe import unknown_names
from speciate.storage import read_jsonl

EVAL_SEED = "general"


class Suite(BaseModel):
    """What is measured beside the niche."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    suite: str
    """Its name."""
    skills: Annotated[tuple[str, ...], Field(min_length=1)]
    """General skills, each measured on fresh items that no base has trained on."""
    text: str
    """JSONL file with a field `text`, for the loss in nats per token; looked up from the suite's folder upwards."""


def load_suite(path: Path) -> Suite:
    """The suite in `path`. Raises InputError with all of its problems."""
    try:
        values: Any = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
        suite = Suite.model_validate(values)
    except (OSError, UnicodeDecodeError, YAMLError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error
    except ValidationError as error:
        problems = [f"{'.'.join(map(str, found['loc'])) or 'file'}: {found['msg']}" for found in error.errors()]
        raise InputError("\n".join(f"{path}: {problem}" for problem in problems)) from error
    problems = [*unknown_names("skill", suite.skills, skills.SKILLS).values()]
    problems += [f"skill {name!r} is there twice" for name, count in Counter(suite.skills).items() if count > 1]
    if problems:
        raise InputError("\n".join(f"{path}: skills: {problem}" for problem in problems))
    return suite


def suite_items(suite: Suite, per_skill: int) -> list[Item]:
    """`per_skill` held-out items of each skill, the same for every run. Raises InputError where a skill has fewer."""
    try:
        return [item for name in suite.skills for item in skills.sample(name, per_skill, EVAL_SEED)]
    except ValueError as error:
        raise InputError(f"evals.general_items={per_skill}: {error}") from error


def suite_texts(suite: Suite, path: Path) -> list[str]:
    """The texts whose loss is measured. Raises InputError where the file is missing or a row of it has no text."""
    found = next(
        (place for place in (folder / suite.text for folder in path.absolute().parents) if place.is_file()), None
    )
    if found is None:
        raise InputError(f"{path}: text: no file {suite.text!r} in its folder or in one above it")
    texts: list[Any] = [row.get("text") for row in read_jsonl(found)]
    wrong = [number for number, text in enumerate(texts, 1) if not isinstance(text, str) or not text.strip()]
    if wrong or not texts:
        raise InputError(f"{found}:{wrong[0] if wrong else 1}: each line needs a field 'text' that is not empty")
    return texts
