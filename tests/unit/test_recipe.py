"""A recipe file is right, or every one of its problems is told with its line."""

import re
from pathlib import Path
from typing import Protocol

import pytest

from speciate.differing import differing_keys
from speciate.errors import InputError, RecipeError
from speciate.recipe import (
    LoadedRecipe,
    Recipe,
    find_data,
    load_base_recipe,
    load_either,
    load_recipe,
    recipe_digest,
    resolve,
    write_resolved,
)

ROOT = Path(__file__).parents[2]
GOOD = """\
species: prover
base:
  model: data/base/tiny
niche:
  name: lean
train:
  epochs: 2
  learning_rate: 1e-3
  lora: {r: 8}
"""
BASE = "base: small\noutput: out\n"


class Load(Protocol):
    def __call__(self, text: str | bytes, *overrides: str) -> LoadedRecipe: ...


class Problems(Protocol):
    def __call__(self, text: str | bytes, *overrides: str) -> list[str]: ...


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    """Load a recipe from its text; the file is called `r.yaml` in the messages."""
    monkeypatch.chdir(tmp_path)

    def load(text: str | bytes, *overrides: str) -> LoadedRecipe:
        Path("r.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
        return load_recipe("r.yaml", overrides)

    return load


@pytest.fixture
def problems(load: Load) -> Problems:
    """The problems of a recipe's text and overrides; fails where there are none."""

    def problems(text: str | bytes, *overrides: str) -> list[str]:
        with pytest.raises(RecipeError) as caught:
            load(text, *overrides)
        assert caught.value.exit_code == 2
        return caught.value.problems

    return problems


def test_a_short_recipe_takes_its_defaults(load: Load):
    recipe = load(GOOD).recipe
    assert (recipe.species, recipe.train[0].epochs, recipe.train[0].learning_rate, recipe.lora.r) == (
        "prover",
        2,
        1e-3,
        8,
    )
    assert (recipe.seed, recipe.lora.targets, recipe.niche.families) == (0, "all-linear", None)


def test_every_committed_recipe_is_right():
    files = sorted(ROOT.glob("recipes/**/*.yaml"))
    assert {file.name for file in files} >= {"lean.yaml", "base-tiny.yaml"}
    for file in files:
        load_either(file)


def test_five_mistakes_are_five_messages(problems: Problems):
    text = """\
species: Prover
base:
  model: data/base/tiny
  dtype: bf16
niche:
  name: lean
train:
  learning_rat: 1e-3
  epochs: "2"
  lora: {r: 0}
"""
    assert problems(text) == [
        "r.yaml:1: species: must be lower-case letters, digits and hyphens, at most 64, a letter or digit first, "
        "not 'Prover'",
        "r.yaml:4: base.dtype: must be 'auto', 'float32', 'bfloat16' or 'float16', not 'bf16'; "
        "did you mean 'bfloat16'?",
        "r.yaml:8: train.learning_rat: unknown key; did you mean 'learning_rate'?",
        "r.yaml:9: train.epochs: must be a number, not '2'; remove the quotes",
        "r.yaml:10: train.lora.r: must be greater than or equal to 1, not 0",
    ]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("sed: 1", "10: sed: unknown key; did you mean 'seed'?"),
        ("zebra: 8", "10: zebra: unknown key; known here: species, description, seed, base"),
        ("replay: 0.1", "10: replay: unknown key; did you mean 'guard.replay', in another section?"),
        ("train.lora.r: 8", "10: train.lora.r: unknown key; in a file, sections are nested: train: {lora: {r: ...}}"),
        ("guard:\n  repaly: 0.2", "11: guard.repaly: unknown key; did you mean 'replay'?"),
        ("<<: {seed: 1}", "10: <<: unknown key"),
        ("seed: '1'", "10: seed: must be a whole number, not '1'; remove the quotes"),
        ("seed: 1.0", "10: seed: must be a whole number, not 1.0"),
        ("seed: true", "10: seed: must be a whole number, not true"),
        ("seed: -1", "10: seed: must be greater than or equal to 0, not -1"),
        ("seed: !!int x", "10: seed: 'x' is not a value"),
        (f"seed: {'9' * 5000}", "10: seed: '99999"),
        ('description: "\\e[2J"', r"10: description: has a control character: '\x1b[2J'"),
        ("description: 3", "10: description: must be text, not 3"),
        ("description: yes, it is\nseed: [1]", "11: seed: must be a whole number, not [1]"),
        ("guard: 0.2", "10: guard: must be a section of 'key: value' lines, not 0.2"),
        ("guard:", "10: guard: must be a section of 'key: value' lines, not null"),
        ("guard: {replay: .nan}", "10: guard.replay: must be a finite number, not nan"),
        ("guard: {replay: -.inf}", "10: guard.replay: must be a finite number, not -inf"),
        ("guard: {replay: 1e999}", "10: guard.replay: must be a finite number, not inf"),
        ("guard: {replay: 0.91}", "10: guard.replay: must be less than or equal to 0.9, not 0.91"),
        ("guard: {replay: 0.1, replay: 0.2}", "10: guard.replay: given twice, first at r.yaml:10"),
        ("species: other", "10: species: given twice, first at r.yaml:1"),
        ("seed: &one 1", "10: seed: anchors and aliases (&one) are not used in recipes; write the value out"),
        ("seed: !big 1", "10: seed: tags (!big) are not used in recipes"),
        ("seed: !!binary aGk=", "10: seed: tags (binary) are not used in recipes"),
        ("? [a, b]\n: 1", "10: a key must be a word, not a list or a mapping"),
        ("evals: {suite: ../../secret}", "10: evals.suite: must be lower-case letters"),
        ("gates: {min_gain: 45}", "10: gates.min_gain: must be less than or equal to 1, not 45"),
    ],
)
def test_one_wrong_line_is_one_message(problems: Problems, line: str, expected: str):
    found = problems(f"{GOOD}{line}\n")
    assert len(found) == 1, found
    assert found[0].startswith(f"r.yaml:{expected}")


@pytest.mark.parametrize(
    ("lora", "expected"),
    [
        ("rslora: yes", "rslora: must be true or false, not 'yes'"),
        ("rslora: on", "rslora: must be true or false, not 'on'"),
        ("rslora: 1", "rslora: must be true or false, not 1"),
        ("rslora: 'true'", "rslora: must be true or false, not 'true'; remove the quotes"),
        ("dropout: 1", "dropout: must be less than 1, not 1"),
        ("alpha: 0", "alpha: must be greater than 0, not 0"),
        ("targets: q_proj", "targets: must be {TARGETS} or a list of module names, not 'q_proj'"),
        ("targets: []", "targets: must have at least one item, not []"),
        ("targets: [q_proj, 3]", "targets.1: must be text, not 3"),
        ("targets: {q_proj: 1}", "targets: must be {TARGETS} or a list of module names, not {'q_proj': 1}"),
    ],
)
def test_the_adapter_is_checked(problems: Problems, lora: str, expected: str):
    assert problems(GOOD.replace("r: 8", lora)) == [
        f"r.yaml:9: train.lora.{expected}".replace("{TARGETS}", "all-linear, mlp-only, attention-only, kappa")
    ]


def test_yaml_1_2_numbers_and_booleans_are_read(load: Load):
    lora = "{r: 0x10, alpha: 1e1, rslora: true, targets: [q_proj, v_proj]}"
    recipe = load(GOOD.replace("{r: 8}", lora)).recipe
    lora = recipe.lora
    assert (lora.r, lora.alpha, lora.rslora, lora.targets) == (16, 10.0, True, ("q_proj", "v_proj"))
    assert load(GOOD + "description: 2001-01-01\n").recipe.description == "2001-01-01"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "r.yaml:1: the recipe is empty"),
        ("# nothing\n", "r.yaml:1: the recipe is empty"),
        ("- species\n", "r.yaml:1: the recipe is not a mapping"),
        ("species\n", "r.yaml:1: the recipe is not a mapping"),
        ("species: a\nbase:\n\tmodel: b\n", "r.yaml:3: not YAML: .*indent with spaces, not tabs"),
        ("species: a\nbase: [1\n", "r.yaml:3: not YAML: "),
        ("species: a\n base: b\n", "r.yaml:2: not YAML: "),
        ("species: a\n---\nspecies: b\n", "r.yaml:2: not YAML: but found another document"),
        ("a: *b\n", "r.yaml:1: not YAML: found undefined alias"),
        ("species: a\n\0", "r.yaml:2: not YAML: character '\\\\x00' is not allowed"),
        (b"species: a\nbase: \xff\n", "r.yaml:2: not text in UTF-8 \\(byte 0xff\\)"),
        ("&a {species: x}", "r.yaml:1: anchors and aliases"),
        ("[" * 5000, "r.yaml:1: not YAML: nested too deeply"),
    ],
)
def test_a_file_that_is_no_mapping_in_yaml_is_told_so(problems: Problems, text: str | bytes, expected: str):
    (problem,) = problems(text)
    assert re.match(expected, problem), problem


def test_missing_keys_are_told_beside_other_mistakes(problems: Problems):
    assert problems("species: a\nbase: {revision: main}\nniche: {}\nsed: 1\n") == [
        "r.yaml:2: base.model: required key is missing",
        "r.yaml:3: niche.name: required key is missing",
        "r.yaml:4: sed: unknown key; did you mean 'seed'?",
    ]
    assert problems("seed: 1\n")[0] == "r.yaml:1: base: required key is missing"


@pytest.mark.parametrize(
    ("niche", "data", "expected"),
    [
        ("families: [rw, rw]", "{}", "niche.families: names 'rw' more than once"),
        ("families: []", "{}", "niche.families: must have at least one item, not []"),
        (
            "families: [rw, omega]\n  held_out: [rw]",
            "{}",
            "niche.held_out: holds out 'rw', which niche.families trains",
        ),
        ("families: [a, b, c]", "{test_items: 2}", "data: test_items is 2, fewer than the 3 families"),
        ("held_out: [a, b]", "{held_out_items: 0}", "data: held_out_items is 0, fewer than the 2 held-out families"),
    ],
)
def test_rules_between_fields(problems: Problems, niche: str, data: str, expected: str):
    (problem,) = problems(GOOD.replace("name: lean", f"name: lean\n  {niche}") + f"data: {data}\n")
    assert re.sub(r"^r.yaml:\d+: ", "", problem).startswith(expected)


@pytest.mark.parametrize(
    ("override", "key", "value"),
    [
        ("train.lora.r=16", "train.lora.r", 16),
        ("train.learning_rate=2", "train.learning_rate", None),
        ("niche.families=[rw, omega]", "niche.families", ["rw", "omega"]),
        ("niche.families=null", "niche.families", None),
        ("train.lora={alpha: 4}", "train.lora.r", 16),
        ("description=a b", "description", "a b"),
        ("guard.replay=0", "guard.replay", 0.0),
    ],
)
def test_overrides_lie_over_the_file(load: Load, override: str, key: str, value: object):
    if value is None and "rate" in key:
        with pytest.raises(RecipeError, match=f"^--set {re.escape(override)}: {key}: must be less than or equal to 1"):
            load(GOOD, override)
        return
    found = resolve(load(GOOD, override).recipe)
    for part in key.split("."):
        found = found[part]
    assert found == value


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("train.lora.r=abc", "train.lora.r: must be a whole number, not 'abc'"),
        ("train.lora.rr=1", "train.lora.rr: unknown key; did you mean 'r'?"),
        ("trian.epochs=1", "trian: unknown key; did you mean 'train'?"),
        ("train.epochs.x=1", "train.epochs: is 2, not a section, so it has no key 'x'"),
        ("train.lora.r=[1", "train.lora.r: not YAML: expected ',' or ']', but got '<stream end>'"),
        ("train.lora.r=&a 1", "train.lora.r: anchors and aliases (&a) are not used"),
        ("train.epochs=", "train.epochs: must be a number, not null"),
        ("train", "must be KEY=VALUE, for example --set train.lora.r=8"),
        ("=1", "must be KEY=VALUE"),
        ("train..r=1", "must be KEY=VALUE"),
    ],
)
def test_a_wrong_override_is_named(problems: Problems, override: str, expected: str):
    (problem,) = problems(GOOD, override)
    assert problem.startswith(f"--set {override}: {expected}")


def test_problems_come_in_the_order_of_reading(problems: Problems):
    assert "unknown key" in problems(GOOD, "7=1")[0]
    found = problems(GOOD.replace("epochs: 2", "epochs: 0") + "sed: 1\n", "zz=1", "guard.replay=2")
    assert [problem.split(": ")[0] for problem in found] == [
        "r.yaml:7", "r.yaml:10", "--set zz=1", "--set guard.replay=2",
    ]  # fmt: skip


def test_an_override_mends_what_it_replaces(load: Load):
    text = GOOD.replace("epochs: 2", "epochs: &e 2")
    assert load(text, "train.epochs=3").recipe.train[0].epochs == 3
    assert load(GOOD.replace("{r: 8}", "{r: no, rr: 3}"), "train.lora={r: 4}").recipe.lora.r == 4


def test_a_file_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes/lean.yaml").write_text(GOOD)
    for wrong in ("recipes/leen.yaml", "recipes/lean.yml", "lean", "lean.yaml"):
        with pytest.raises(InputError, match=r"no recipe .*; did you mean 'recipes/lean.yaml'\?"):
            load_recipe(wrong)
    with pytest.raises(InputError, match=r"is a folder, not a recipe; recipes in it: recipes/lean.yaml"):
        load_recipe("recipes")
    with pytest.raises(InputError, match=r"cannot read the recipe 'recipes/lean.yaml/x'"):
        load_recipe("recipes/lean.yaml/x")
    with pytest.raises(InputError, match="larger than 100,000 bytes"):
        load_recipe("/dev/zero")


def test_a_later_layer_adds_problems_with_lines(load: Load):
    text = GOOD.replace("name: lean", "name: lean\n  families:\n  - rw\n  - omga\n  - xyz\n  - [rw]")
    known = {"niche.families": ("family", ["rw", "omega"]), "evals.suite": ("suite", ["general"])}
    loaded = load(text.replace("\n  - [rw]", ""), "train.epochs=3", "evals.suite=genral")
    with pytest.raises(RecipeError) as caught:
        loaded.check_names(known)
    assert caught.value.problems == [
        "r.yaml:8: niche.families.1: unknown family 'omga'; did you mean 'omega'?",
        "r.yaml:9: niche.families.2: unknown family 'xyz'; known: omega, rw",
        "--set evals.suite=genral: evals.suite: unknown suite 'genral'; did you mean 'general'?",
    ]
    loaded.check_names({"niche.held_out": ("family", ["rw"]), "corpus.skills": ("skill", [])})
    Path("names.yaml").write_text(text)
    with pytest.raises(RecipeError) as caught:
        load_recipe("names.yaml", ["train.epochs=-1"], known)
    assert len(caught.value.problems) == 4, "names and all else at once"
    assert loaded.problem("base.model", "is not there") == "r.yaml:3: base.model: is not there"
    assert loaded.problem("train.epochs", "too many") == "--set train.epochs=3: train.epochs: too many"
    assert loaded.problem("train.batch_size", "too big") == "r.yaml:10: train.batch_size: too big"


def test_the_digest_counts_content_only(load: Load):
    plain, spelt = load(GOOD).recipe, load(f"# a comment\nseed: 0\n{GOOD}").recipe
    assert recipe_digest(plain) == recipe_digest(spelt)
    assert recipe_digest(plain) != recipe_digest(load(GOOD, "seed=1").recipe)


def test_differing_keys_show_both_values(load: Load):
    before, after = load(GOOD).recipe, load(GOOD, "train.lora.r=16", "niche.families=[rw]", "base.dtype=float32").recipe
    assert differing_keys(resolve(before), resolve(before)) == []
    assert differing_keys(resolve(before), resolve(after)) == [
        'base.dtype: "auto" -> "float32"',
        'niche.families: null -> ["rw"]',
        "train.lora.r: 8 -> 16",
    ]
    assert differing_keys({"a": 1}, {"b": {"c": 2}}) == ["a: 1 -> (absent)", "b.c: (absent) -> 2"]


def test_the_resolved_recipe_is_a_recipe(load: Load, tmp_path: Path):
    recipe = load(GOOD, "niche.held_out=[rw]", "train.learning_rate=1e-5").recipe
    write_resolved(recipe, tmp_path / "resolved.yaml")
    assert load_recipe(tmp_path / "resolved.yaml").recipe == recipe
    assert (tmp_path / "resolved.yaml").read_text().startswith("species: prover\n")


def test_data_is_found_from_here_then_from_the_recipe_upwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    project, elsewhere = tmp_path / "project", tmp_path / "elsewhere"
    recipe = project / "recipes" / "mine" / "r.yaml"
    for folder in (recipe.parent, project / "data/base", elsewhere / "data"):
        folder.mkdir(parents=True)
    monkeypatch.chdir(elsewhere)
    assert find_data("data/base", recipe) == project / "data/base"
    (elsewhere / "data/base").mkdir()
    assert find_data("data/base", recipe) == elsewhere / "data/base"
    assert find_data(str(project), recipe) == project
    assert find_data("org/model", recipe) is None
    assert find_data("a\0b", recipe) is None
    assert find_data("x" * 5000, recipe) is None


def test_the_two_kinds_are_told_apart(load: Load):
    with pytest.raises(RecipeError, match=r"r.yaml:1: base: this recipe makes a base: run speciate base train r.yaml"):
        load(BASE)
    assert load_either("r.yaml") == load_base_recipe("r.yaml")
    load(GOOD)
    with pytest.raises(RecipeError, match=r"r.yaml:1: species: this recipe grows a species: run speciate train r.yaml"):
        load_base_recipe("r.yaml")
    assert isinstance(load_either("r.yaml").recipe, Recipe)


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("architecture.hidden=250", "architecture.heads: must split hidden=250 into heads of an even width"),
        ("architecture.heads=6", "architecture.heads: must split hidden=256"),
        ("architecture.kv_heads=3", "architecture.kv_heads: must divide heads=4, which 3 does not"),
        ("corpus.lean=0.95", "corpus.lookback: lean=0.95, text=0.08 and 0.3 make 1.33; they must stay below 1"),
        ("corpus.skills={sums: 0}", "corpus.skills: gives every skill the weight 0"),
        ("corpus.skills={sums: -1}", "corpus.skills.sums: must be greater than or equal to 0, not -1"),
        ("corpus.skills={sums: x}", "corpus.skills.sums: must be a number, not 'x'"),
        ("corpus.skills={}", "corpus.skills: must have at least one item, not {}"),
        ("train.batch_tokens=100", "train: batch_tokens is 100, less than one sequence of 512 tokens"),
        ("train.lora.r=8", "train.lora: unknown key"),
    ],
)
def test_a_base_recipe_is_checked(tmp_path: Path, override: str, expected: str):
    (tmp_path / "b.yaml").write_text(BASE)
    with pytest.raises(RecipeError) as caught:
        load_base_recipe(tmp_path / "b.yaml", [override])
    (problem,) = caught.value.problems
    assert f": {expected}" in problem
