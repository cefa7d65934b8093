"""Where an evaluation is written: a new folder, or the one that was stopped and began with the same.

What began with something else is not gone on with, and is told apart in words: the suite, the limit, the models.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from speciate import runs, storage
from speciate.errors import InputError, NotFound, ResumeMismatch, StorageError
from speciate.pipeline.folder import START

Start = Mapping[str, Any]
"""What an evaluation begins with, as `start.json` has it."""
DECIDING = ("schema", "suite", "base", "adapters", "precision")
"""Keys that have to be the same; `asked` only says why they are not."""
PRECISION = ("device", "--dtype", "--quantization")


def new_folder(out: Path | None, suite: str) -> Path:
    """`out`, which must be empty or missing, else a folder in the home named by suite and time. Raises InputError."""
    if out is not None:
        if out.exists() and not out.is_dir():
            raise InputError(f"--out {str(out)!r} is a file; name a folder that is empty or missing")
        if out.exists() and any(out.iterdir()):
            hint = " (an evaluation that stopped: add --resume to go on with it)" if (out / START).exists() else ""
            raise InputError(f"--out {str(out)!r} holds files already{hint}; name a folder that is empty or missing")
        return storage.writable_folder(out).absolute()
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    parent = storage.writable_folder(runs.evals_folder())
    for count in range(1, 1000):
        folder = parent / (f"{suite}-{stamp}" + (f"-{count}" if count > 1 else ""))
        try:
            folder.mkdir()
        except FileExistsError:
            continue
        return folder
    raise InputError(f"{str(parent)!r} holds a thousand evaluations of this second; use --out")


def folder_to_resume(out: Path | None, start: Start) -> Path:
    """The folder that began with the same: `out`, which may also be empty, else the newest.

    Raises ResumeMismatch where `out` began with something else, NotFound where nothing began with the same.
    """
    if out is not None:
        if not out.exists():
            raise NotFound(f"--resume: there is no folder {str(out)!r}; leave --resume out")
        if not (out / START).is_file():
            return new_folder(out, "")
        if differing := differences(began_with(out), start):
            listed = "\n".join(f"  {line}" for line in differing)
            raise ResumeMismatch(
                f"the evaluation in {str(out)!r} began with something else:\n{listed}\n"
                "Ask for the same as then to go on with it, or leave --resume out and name another folder."
            )
        return out.absolute()
    begun = [place for place in sorted(runs.evals_folder().glob("*"), reverse=True) if (place / START).is_file()]
    for place in begun:
        if not differences(began_with(place), start):
            return place.absolute()
    message = "--resume: no evaluation of these models on this suite was stopped; leave --resume out"
    stopped = next((place for place in begun if not (place / runs.EVAL).exists()), None)
    if stopped is not None:
        listed = "\n".join(f"  {line}" for line in differences(began_with(stopped), start))
        message += f". The newest that was stopped, {str(stopped)!r}, began with something else:\n{listed}"
    raise NotFound(message)


def began_with(place: Path) -> dict[str, Any]:
    """What an evaluation began with; nothing where that is damaged, which is no reason to stop another one."""
    try:
        found = storage.read_json(place / START)
    except StorageError:
        return {}
    return found if isinstance(found, dict) else {}


def differences(before: Start, now: Start) -> list[str]:
    """In words what was begun with and what is asked for now; nothing where both are the same."""
    if not all(type(before.get(key)) is type(now[key]) for key in DECIDING):
        return [f"its {START} is damaged, or of another version of speciate"]
    found = of_suite(before, now)
    if before["base"] != now["base"]:
        found.append(told("the base", base_in_words(before["base"]), base_in_words(now["base"])))
    found += of_adapters(before["adapters"], now["adapters"])
    for name, old, new in zip(PRECISION, before["precision"], now["precision"], strict=False):
        if old != new:
            found.append(told(name, old, new))
    if not found and any(before[key] != now[key] for key in DECIDING):
        found.append(f"its {START} is of another version of speciate")
    return found


def of_suite(before: Start, now: Start) -> list[str]:
    """How suites differ: the digest last, since it says least."""
    old, new = before["suite"], now["suite"]
    if old == new:
        return []
    found = [
        told(name, old.get(key), new[key])
        for key, name in (("name", "the suite"), ("version", f"the version of suite {new['name']}"))
        if old.get(key) != new[key]
    ]
    if old.get("name") == new["name"]:
        found += of_questions(before.get("asked") or {}, now["asked"])
    if not found:
        found.append(f"what suite {new['name']} asks: its sources, items, sampling or texts, under the same version")
    return [*found, told("its digest", old.get("digest"), new["digest"])]


def of_questions(before: Start, now: Start) -> list[str]:
    """How the questions of one suite differ, as far as it was written down."""
    names = {
        "limit": "--limit",
        "train_rows": "--train-rows",
        "given_away": "items left out for training rows",
        "items": "items",
    }
    return [
        told(name, counted(before[key]), counted(now[key]))
        for key, name in names.items()
        if key in before and before[key] != now[key]
    ]


def of_adapters(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Which adapters are missing, more, or have other weights."""
    found: list[str] = []
    if set(before) != set(now):
        found.append(told("the adapters", ", ".join(before) or None, ", ".join(now) or None))
    found += [
        told(f"the weights of {label}", before[label], digest)
        for label, digest in now.items()
        if before.get(label, digest) != digest
    ]
    return found


def told(what: str, before: object, now: object) -> str:
    """One difference."""
    shown = ["none" if value is None else str(value) for value in (before, now)]
    return f"{what}: {shown[0]} then, {shown[1]} now"


def counted(value: object) -> object:
    """Items of each role in words; anything else as it is."""
    if not isinstance(value, Mapping):
        return value
    return ", ".join(f"{count:,} {role}" for role, count in value.items()) or None


def base_in_words(base: Mapping[str, Any]) -> str:
    """A base by its name, its revision and its digest."""
    return " ".join(str(part) for part in (base.get("name"), base.get("revision"), base.get("digest")) if part)
