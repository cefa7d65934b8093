"""What a suite may say: where its items come from, how they are asked, and how an answer becomes a score.

A suite is data, as a recipe is: its digest names what was measured, so that two runs are compared on the same thing or
not at all. Knows nothing of models, nor of which families a source has.
"""

from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from speciate.recipe.fields import Count, CountFromZero, Fraction, Name, Names, NotNegative, Section, Slug, Text

Template = Annotated[str, Field(min_length=1, max_length=20_000)]
"""Jinja over the columns of a row, such as `{{ question }}`."""
Role = Literal["niche", "transfer", "general"]
Metric = Literal["exact", "numeric", "pattern", "python", "choice", "choice_norm"]


class SamplingOf(Section):
    """How answers are drawn."""

    max_new_tokens: Annotated[int, Field(ge=1, le=131_072)] = 160
    """Tokens after which an answer is ended."""
    temperature: Annotated[float, Field(ge=0, le=10)] = 0.0
    """0 takes the likeliest token each time."""
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Nucleus sampling: the fewest tokens that have this probability together."""
    samples: Annotated[int, Field(ge=1, le=1000)] = 1
    """Answers to each item; several need a temperature above 0, and give pass@k."""
    stop: Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(strict=False)] = ()
    """Texts that end an answer, beside the model's end token."""
    seed: CountFromZero = 0
    """What is random in the answers is drawn from it."""

    @field_validator("samples")
    @classmethod
    def _several_differ(cls, samples: int, info: ValidationInfo) -> int:
        if samples > 1 and not info.data.get("temperature"):
            raise ValueError(f"is {samples}, but at temperature 0 all answers to an item are the same: set temperature")
        return samples


class SourceOf(Section):
    """What every source of items may say."""

    role: Role = "general"
    """What the items are for: the gain (niche), families never trained on (transfer), or what must not be forgotten."""
    prefix: Annotated[str, Field(max_length=60)] = ""
    """Put before the names of its families, where another source has the same ones."""
    items: Count | None = None
    """Items of each family; null takes all that a table has, and 100 of what is generated without end."""
    chance: Fraction | dict[Name, Fraction] = 0.0
    """Share that a guesser gets right, for all families or for each by name."""
    sampling: SamplingOf | None = None
    """How answers are drawn; null takes the suite's."""


class SkillsSource(SourceOf):
    """General skills of the small bases, on items that no base has trained on."""

    source: Literal["skills"]
    families: Annotated[Names, Field(min_length=1)] | None = None
    """Skills; null takes all."""


class LeanSource(SourceOf):
    """Theorems, judged by Lean's kernel, of the split that no recipe trains on."""

    source: Literal["lean"]
    families: Annotated[Names, Field(min_length=1)] | None = None
    """Families of theorems; null takes all."""


class ReasoningSource(SourceOf):
    """Families of reasoning-gym, judged by its own scorers in a sandbox."""

    source: Literal["reasoning-gym"]
    families: Annotated[Names, Field(min_length=1)] | None = None
    """Families; null takes all whose questions and answers fit into the base's context."""
    leave_out: Names = ()
    """Families that are not taken where `families` is null."""
    parameters: dict[Name, dict[Name, Any]] = Field(default_factory=dict[Name, dict[Name, Any]])
    """Parameters of a family, by its name."""
    seed: CountFromZero = 0
    """Of the items; another seed gives other items."""
    partial: bool = False
    """Whether an answer that is right in part scores in part, else it is wrong."""


class TableOf(SourceOf):
    """Rows with columns."""

    name: Name
    """The family that the items belong to."""
    family: Template | None = None
    """The family of each row; null gives all rows the name."""
    cluster: Template | None = None
    """What a row shares with others, such as its passage: such rows are drawn together in the statistics."""
    prompt: Template
    """What the model is asked."""
    answer: Template
    """The right answer; with choices its number (from 0), its label, or its text."""
    choices: Name | Annotated[tuple[Template, ...], Field(strict=False, min_length=2)] | None = None
    """Answers to choose from by their likelihood: a column (a dot goes into a mapping), or a template for each."""
    labels: Name | Names | None = None
    """What the answer calls the choices: a column, or a list such as ["1", "2"]."""
    metric: Metric = "exact"
    """exact (as text), numeric (the last number), pattern (the first group of a regular expression), python (tests, in
    a sandbox; the columns prompt, test and entry_point), choice (the likeliest), choice_norm (by byte of its text).
    """
    pattern: Name | None = None
    """Regular expression for the metric pattern."""
    tolerance: NotNegative = 0.0
    """How far a number may be off, for the metric numeric."""
    shuffle: CountFromZero | None = None
    """Seed of the order in which rows are taken; null takes the first."""

    @field_validator("metric")
    @classmethod
    def _choices_and_metric_agree(cls, metric: Metric, info: ValidationInfo) -> Metric:
        if metric.startswith("choice") and not info.data.get("choices"):
            raise ValueError(f"is {metric!r}, which needs choices")
        if info.data.get("choices") and not metric.startswith("choice"):
            raise ValueError(f"is {metric!r}, but there are choices: use choice or choice_norm")
        return metric

    @field_validator("pattern")
    @classmethod
    def _pattern_and_metric_agree(cls, pattern: str | None, info: ValidationInfo) -> str | None:
        if (info.data.get("metric") == "pattern") != (pattern is not None):
            raise ValueError("belongs to the metric pattern, which needs it")
        return pattern


class JsonlSource(TableOf):
    """A file of JSON lines."""

    source: Literal["jsonl"]
    path: Name
    """Looked up from the suite's folder upwards."""


class DatasetSource(TableOf):
    """A data set of the Hugging Face Hub, or a local folder in its format. Code of a data set is never run."""

    source: Literal["dataset"]
    path: Name
    """Name on the hub, or a folder, looked up from the suite's folder upwards."""
    config: Name | None = None
    """Which configuration of the data set."""
    split: Name = "test"
    revision: Name | None = None
    """Branch, tag or commit of the hub's data set: name a commit, and it is the same tomorrow."""


class HarnessSource(SourceOf):
    """Tasks of lm-evaluation-harness, with its prompts and its metrics; needs the extra `harness`."""

    source: Literal["harness"]
    tasks: Annotated[Names, Field(min_length=1)]
    """Tasks or groups, as `lm_eval ls tasks` lists them."""
    fewshot: CountFromZero | None = None
    """Worked examples in the prompt; null takes each task's own number."""
    chat: bool = False
    """Whether prompts go through the base's chat template, else they are given as plain text."""
    metric: Name | None = None
    """Which of the tasks' metrics is the score; null takes the first of each that has a value for every item."""


Source = Annotated[
    SkillsSource | LeanSource | ReasoningSource | JsonlSource | DatasetSource | HarnessSource,
    Field(discriminator="source"),
]


class Suite(Section):
    """What is measured."""

    suite: Slug
    """Its name, and that of its file."""
    version: Count
    """Raised whenever what is measured changes; runs of two versions are not compared."""
    description: Text = ""
    """What it is for."""
    sampling: SamplingOf = Field(default_factory=SamplingOf)
    """How answers are drawn, where a source says nothing else."""
    sources: Annotated[tuple[Source, ...], Field(strict=False, min_length=1)]
    """Where the items come from."""
    text: Name | None = None
    """JSONL file with a field `text`, for the loss in nats per token; looked up from the suite's folder upwards."""
    datasets: Name | None = None
    """Folder with data sets by their names on the hub (`<folder>/cais/mmlu`), to be read instead of the hub."""
    max_contamination: Fraction = 0.05
    """Share of the items that may be found among training rows before it is an error; those found are left out."""
