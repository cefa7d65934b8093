"""Regular expressions on untrusted text, each in a process that can be stopped.

Runs inside the sandbox. A pattern can take time that doubles with each letter of the text, `re` knows no limit of time
and holds the interpreter's lock meanwhile, so nothing but another process can end it.
"""

import re
from typing import Any, NoReturn

from speciate.niches.inside import judge


def serve(channel: judge.Channel, setting: judge.Setting) -> NoReturn:
    """Answer `check` and `search`."""
    judge.serve(channel, setting, {"check": check, "search": search})


def check(request: dict[str, Any]) -> str:
    """What is wrong with a pattern; empty where it is well-formed and has a group."""
    try:
        pattern = re.compile(request["pattern"])
    except (re.error, OverflowError, RecursionError) as error:
        return str(error)
    return "" if pattern.groups else "it has no group, so nothing says which part is the answer"


def search(request: dict[str, Any]) -> str | None:
    """The first group of the first or last match, None where there is none."""
    found = None
    for match in re.finditer(request["pattern"], request["text"]):
        found = match.group(1)
        if request["which"] == "first":
            break
    return found
