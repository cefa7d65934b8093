"""Which split an item is in: that follows from its digest alone, so a test item is never a training row of any recipe.

Knows nothing of what the items are.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from itertools import islice
from typing import Literal

from speciate.errors import InputError
from speciate.niches.base import Item

Split = Literal["train", "dev", "test"]
Stream = Callable[[str, str], Iterator[Item]]
"""From a family and a seed to its endless items."""

EVALUATION = "evaluation"
"""Seed of the evaluation items: the same for every recipe and seed, so that runs can be compared item by item."""
MOST_DRAWS = 60
"""Draws for each wanted item, after which a family is said to have too few."""


def split_of(item: Item) -> Split:
    """The only split that an item may be in: 70% train, 10% dev, 20% test."""
    place = int(item.digest[-8:], 16) % 10
    return "train" if place < 7 else "dev" if place == 7 else "test"


def draw(
    stream: Stream, seed: str, counts: Mapping[str, int], split: Split | None, excluded: Collection[str]
) -> tuple[list[Item], int]:
    """Different items of one split, and the number of repeats passed over. None takes items of any split.

    Items that differ in their names alone are one item, but in training they are different rows: the names are what a
    model must learn to see through. Raises InputError where a family has too few.
    """
    found: list[Item] = []
    repeats = 0
    for family, count in counts.items():
        seen: dict[str, Item] = {}
        for item in islice(stream(family, seed), MOST_DRAWS * count + 1000):
            if len(seen) == count:
                break
            if (split is not None and split_of(item) != split) or item.digest in excluded:
                continue
            key = item.prompt if split == "train" else item.digest
            repeats += key in seen
            seen.setdefault(key, item)
        if len(seen) < count:
            raise InputError(
                f"family {family!r} has only about {len(seen)} different items for {split or 'transfer'}, "
                f"{count} were asked for: lower data.train_items, data.dev_items or data.test_items"
            )
        found += seen.values()
    return found, repeats
