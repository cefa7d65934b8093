"""Plain text for a small base: short stories from a grammar of a few hundred words.

The base learns to continue them, so that its loss on a fixed sample of them shows drift that no task would show. They
are not meant to be good stories.
"""

from random import Random

NAMES = ("Ada", "Ben", "Cora", "Dan", "Ella", "Finn", "Gus", "Hana", "Ivo", "June", "Kai", "Lena", "Milo", "Nora")
ANIMALS = ("dog", "cat", "fox", "owl", "hen", "goat", "frog", "horse", "mouse", "duck")
THINGS = ("ball", "book", "lamp", "kite", "boat", "cup", "key", "map", "drum", "coat", "hat", "box")
FOODS = ("bread", "soup", "an apple", "a pear", "cheese", "rice", "a cake", "honey")
PLACES = ("garden", "kitchen", "forest", "river", "school", "market", "barn", "hill", "station", "library")
LOOKS = ("small", "old", "red", "quiet", "bright", "heavy", "blue", "warm", "broken", "clean")
MOODS = ("happy", "tired", "proud", "afraid", "curious", "hungry", "calm", "sad")
TIMES = ("One morning", "In the evening", "After lunch", "On a cold day", "Before sunrise", "Last summer")
WEATHER = ("it was raining", "the sun was shining", "the wind was strong", "snow lay on the ground", "it was dark")


def story(rng: Random) -> str:
    """Three to seven sentences about one or two people, an animal and a thing, told consistently."""
    name, friend = rng.sample(NAMES, 2)
    animal, thing, place, goal = rng.choice(ANIMALS), rng.choice(THINGS), *rng.sample(PLACES, 2)
    look, mood = rng.choice(LOOKS), rng.choice(MOODS)
    opening = rng.choice(
        (
            f"{rng.choice(TIMES)} {name} went to the {place} with a {animal}.",
            f"{name} lived near the {place} and had a {look} {thing}.",
            f"{rng.choice(TIMES)}, when {rng.choice(WEATHER)}, {name} met {friend} at the {place}.",
        )
    )
    middle = [
        f"{name} was looking for the {thing}.",
        f"The {thing} was {look}, and {name} liked it very much.",
        f"The {animal} was {mood} because {rng.choice(WEATHER)}.",
        f'{friend} asked, "Where is the {thing}?"',
        f'{name} said, "I left it in the {goal}."',
        f"So {name} and {friend} walked from the {place} to the {goal}.",
        f"They ate {rng.choice(FOODS)} and {rng.choice(FOODS)} together.",
        f"{friend} gave the {animal} some food, and it was no longer {mood}.",
        f"Nobody knew that the {animal} had hidden the {thing}.",
    ]
    chosen = [middle[index] for index in sorted(rng.sample(range(len(middle)), rng.randint(2, 5)))]
    ending = rng.choice(
        (
            f"At last {name} found the {thing} in the {goal}.",
            f"In the end {name} was {rng.choice(MOODS)} and went home.",
            f"From that day on, {name} and the {animal} were friends.",
            f"{friend} laughed, and {name} laughed too.",
        )
    )
    return " ".join([opening, *chosen, ending])
