"""What holds of every recipe: no key is ignored, nothing but our own errors comes out, and what is written is read."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speciate.errors import InputError, RecipeError
from speciate.pipeline.names import known_names
from speciate.recipe import Recipe, load_either, load_recipe, recipe_digest, resolve, write_resolved

RECIPE = Path(__file__).parents[2] / "recipes" / "lean.yaml"
TEXT = RECIPE.read_text()
KEYS = [
    (number, line.split(":")[0].strip())
    for number, line in enumerate(TEXT.splitlines(), 1)
    if ":" in line and not line.startswith("#")
]

letters = st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zl", "Zp"])
words = st.text(letters, min_size=1, max_size=30)
names = st.lists(words, min_size=1, max_size=5, unique=True)
slugs = st.from_regex(r"[a-z0-9][a-z0-9-]{0,63}", fullmatch=True)
counts = st.integers(1, 10_000_000)
above_zero = st.floats(0, 1e300, exclude_min=True, allow_nan=False)
fractions = st.floats(0, 1)
below_one = st.floats(0, 1, exclude_max=True)


def some(**keys: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """A section with any of the keys."""
    return st.fixed_dictionaries({}, optional=keys)


recipes = st.fixed_dictionaries(
    {
        "species": slugs,
        "base": st.fixed_dictionaries(
            {"model": words}, optional={"revision": st.none() | words, "dtype": st.sampled_from(["auto", "float16"])}
        ),
        "niche": st.fixed_dictionaries({"name": st.just("lean")}, optional={"families": st.none() | names}),
    },
    optional={
        "seed": st.integers(0, 2**32 - 1),
        "description": st.text(letters | st.just("\n"), max_size=60),
        "data": some(train_items=counts, test_items=counts.filter(lambda n: n > 5), dev_items=st.integers(0, 9)),
        "train": some(
            epochs=st.floats(0, 10_000, exclude_min=True) | counts.filter(lambda n: n <= 10_000),
            learning_rate=st.floats(0, 1, exclude_min=True),
            warmup=below_one,
            optimizer=st.sampled_from(["adamw", "muon"]),
            max_grad_norm=above_zero,
            lora=some(r=st.integers(1, 1024), alpha=above_zero, rslora=st.booleans(), targets=names),
        ),
        "guard": some(replay=st.floats(0, 0.9)),
        "gates": some(min_gain=st.floats(-1, 1), max_forgetting=fractions),
    },
)


@pytest.fixture(scope="module")
def folder():
    with TemporaryDirectory() as folder:
        yield Path(folder)


def complaint(path: Path, *overrides: str) -> str | None:
    """What is said of a recipe, None where it is right; an exception that is not ours fails the test."""
    try:
        load_either(path, overrides)
    except InputError as error:
        return str(error)
    return None


@given(st.sampled_from(KEYS), words, st.integers(0, 30))
@settings(deadline=None, max_examples=200)
def test_no_misspelt_key_is_ignored(folder: Path, key: tuple[int, str], letters: str, at: int):
    number, name = key
    wrong = name[: at % (len(name) + 1)] + "".join(letter for letter in letters if letter.isalnum()) + "_"
    lines = TEXT.splitlines(keepends=True)
    lines[number - 1] = lines[number - 1].replace(name, wrong, 1)
    file = folder / "misspelt.yaml"
    file.write_text("".join(lines), encoding="utf-8")
    with pytest.raises(RecipeError) as caught:
        load_recipe(file, known=known_names(RECIPE))
    assert any(
        problem.startswith(f"{file}:{number}: ")
        and (f"{wrong}: unknown key" in problem or f"{wrong}: unknown family" in problem)
        for problem in caught.value.problems
    )


@given(recipes)
@settings(deadline=None, max_examples=150)
def test_a_resolved_recipe_is_read_back_as_it_was(folder: Path, values: dict[str, Any]):
    recipe = Recipe.model_validate(values)
    write_resolved(recipe, folder / "resolved.yaml")
    again = load_recipe(folder / "resolved.yaml").recipe
    assert resolve(again) == resolve(recipe)
    assert recipe_digest(again) == recipe_digest(recipe)


@given(recipes)
@settings(deadline=None, max_examples=60)
def test_values_are_read_from_a_file_as_they_are(folder: Path, values: dict[str, Any]):
    (folder / "json.yaml").write_text(json.dumps(values, ensure_ascii=False), encoding="utf-8")
    assert load_recipe(folder / "json.yaml").recipe == Recipe.model_validate(values)


@given(st.text(max_size=200))
@settings(deadline=None, max_examples=300)
def test_any_text_is_read_or_refused(folder: Path, text: str):
    (folder / "any.yaml").write_text(text, encoding="utf-8", errors="surrogatepass")
    assert complaint(folder / "any.yaml") != ""


@given(st.text("ab:-[]{}&*!|>'\"%@`,?#\n\t 01.~<=_\r\u2028\ufeff", max_size=60))
@settings(deadline=None, max_examples=600)
def test_any_yaml_like_text_is_read_or_refused(folder: Path, text: str):
    (folder / "like.yaml").write_text(text, encoding="utf-8")
    assert complaint(folder / "like.yaml") != ""


@given(st.integers(0, len(TEXT)), st.integers(0, 20), st.text("ab:-[]{}&*!|>'\"%\n\t 01.~", max_size=8))
@settings(deadline=None, max_examples=200)
def test_any_damage_to_a_recipe_is_read_or_refused(folder: Path, at: int, cut: int, put: str):
    (folder / "damaged.yaml").write_text(TEXT[:at] + put + TEXT[at + cut :], encoding="utf-8")
    assert complaint(folder / "damaged.yaml") != ""


@given(st.text("abr.=:-[]{}&*!'\"\n 01train,lo", max_size=40))
@settings(deadline=None, max_examples=100)
def test_any_override_is_read_or_refused(override: str):
    assert complaint(RECIPE, override) != ""
    assert complaint(RECIPE, f"train.lora={override}") != ""


@given(st.binary(max_size=100))
@settings(deadline=None, max_examples=150)
def test_any_bytes_are_read_or_refused(folder: Path, content: bytes):
    (folder / "bytes.yaml").write_bytes(content)
    assert complaint(folder / "bytes.yaml") != ""
