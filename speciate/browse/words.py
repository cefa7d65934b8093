"""Figures and links of entries, as the pages of the registry word them."""

import re
from urllib.parse import quote

from speciate.records import Listed
from speciate.records.cards import DIGEST
from speciate.registry.entry import entry_name
from speciate.reports import words
from speciate.storage import named_home

NOT_MEASURED = "not measured"


def without_home(problem: str) -> str:
    """What is wrong with a file, without the folder of this machine that it lies in: others may be reading."""
    return problem.replace(str(named_home()), "$SPECIATE_HOME")


def address(digest: str) -> str:
    """The page of an entry, by the beginning of its digest: a version can mean another adapter on another machine, and
    a name of digits only could be a species.
    """
    return f"/entry/{quote(f'sha256:{entry_name(digest)}', safe=':')}"


def base_address(digest: str) -> str:
    """What was grown on a base; empty where that is no digest."""
    return f"/?base={quote(digest, safe=':')}" if re.fullmatch(DIGEST, digest) else ""


def gained(entry: Listed) -> str:
    """With its interval."""
    if entry.gain is None:
        return NOT_MEASURED
    return words.typeset(f"{words.points(entry.gain.delta)} ({words.bounds(entry.gain.ci95)})")


def forgot(entry: Listed) -> str:
    """The bound that it is 95% sure to have lost less than."""
    if entry.forgetting is None:
        return NOT_MEASURED
    return words.typeset(f"< {words.points(entry.forgetting.ci95_upper, sign=False)}")


def figures_in_short(entry: Listed) -> str:
    """Where there is room for a few letters."""
    if entry.gain is None or entry.forgetting is None:
        return NOT_MEASURED
    upper = words.points(entry.forgetting.ci95_upper, sign=False)
    return words.typeset(f"{words.points(entry.gain.delta)} gained, < {upper} lost")
