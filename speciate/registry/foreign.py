"""An adapter that was made elsewhere, as a stranger's folder: two files are taken out of it, its README's metadata is
read, and nothing else is opened. What it says of itself is kept as its word, and `unknown` where it says nothing.
"""

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from speciate.errors import InputError, StorageError
from speciate.models.adapter import CONFIG, WEIGHTS, canonical_config
from speciate.models.contents import Contents, check_finite, check_speaks, contents
from speciate.records.cards import UNKNOWN
from speciate.registry.entry import README, is_plain
from speciate.registry.readme import metadata
from speciate.storage import read_json, write_json
from speciate.untrusted import MOST_BYTES

MOST_METADATA = 64 * 2**10
MOST_DEPTH = 20
MOST_LISTED = 50
MOST_CHARACTERS = 200
CLAIMS = ("tags", "datasets", "language")


@dataclass(frozen=True, slots=True)
class Foreign:
    """What was taken, and what it says of itself."""

    config: dict[str, Any]
    contents: Contents
    base: str
    """The name of its base; empty where it gives none."""
    licence: str
    claims: dict[str, list[str]]
    left: list[str]
    """Names of what was in the folder and not taken."""

    @property
    def shape(self) -> dict[str, Any]:
        """What a card says of its size and place."""
        config, held = self.config, self.contents
        known = {
            "kind": one_line(config["peft_type"]),
            **{key: _short(config[key]) for key in ("r", "lora_alpha", "target_modules") if config.get(key)},
            **{key: True for key in ("use_rslora", "use_dora") if config.get(key)},
            **({"modules_to_save": _short(config["modules_to_save"])} if config.get("modules_to_save") else {}),
        }
        return known | {"tensors": held.tensors, "parameters": held.parameters, "dtype": ", ".join(held.dtypes)}


def take(folder: Path, into: Path, base: str | None = None) -> Foreign:
    """Copy the two files of an adapter to the empty folder `into`, its configuration in canonical form, and say what
    is known of it. A `base` that is given is what its configuration names from then on.

    Raises InputError where there is no adapter that can be taken.
    """
    present = _present(folder)
    config = _config(folder / CONFIG)
    contents(folder / WEIGHTS)
    shutil.copyfile(folder / WEIGHTS, into / WEIGHTS)
    held = contents(into / WEIGHTS)
    check_finite(into / WEIGHTS)
    check_speaks(into / WEIGHTS)
    told = _told(folder / README)
    name = base or _base_name(config, told)
    if base and config.get("base_model_name_or_path") != base:
        config |= {"base_model_name_or_path": base, "revision": None}
    write_json(into / CONFIG, config)
    licence = next(iter(_texts(told.get("license_name") or told.get("license"))), UNKNOWN)
    claims = {key: texts for key in CLAIMS if (texts := _texts(told.get(key)))}
    left = sorted(present - {WEIGHTS, CONFIG, README})
    return Foreign(config, held, name, licence, claims, list(map(one_line, left)))


def one_line(text: object, most: int = MOST_CHARACTERS) -> str:
    """Text of a stranger in one line of bounded length, without characters that cannot be seen."""
    line = " ".join(str(text)[: 4 * most].split())
    shown = "".join(character if character.isprintable() else "\ufffd" for character in line)
    return shown if len(shown) <= most else shown[: most - 1] + "…"


def _present(folder: Path) -> set[str]:
    """The names in the folder, where an adapter in safetensors is among them."""
    if not folder.is_dir():
        raise InputError(f"{str(folder)!r} is not a folder; an adapter is a folder with {WEIGHTS} and {CONFIG}")
    present = {path.name for path in folder.iterdir()}
    if CONFIG not in present:
        inside = sorted(path.parent for path in folder.glob(f"*/{CONFIG}"))
        hint = f"; did you mean {str(inside[-1])!r}?" if inside else ""
        raise InputError(f"{str(folder)!r} is no PEFT adapter: there is no {CONFIG}{hint}")
    if WEIGHTS not in present:
        pickled = sorted(name for name in present if name.startswith("adapter_model"))
        advice = (
            f", only {one_line(pickled[0])}. Such files can run code and are not opened: load the adapter where you "
            "trust it and save it again with save_pretrained, which writes safetensors"
            if pickled
            else ""
        )
        raise InputError(f"{str(folder)!r} is no adapter that can be taken: there is no {WEIGHTS}{advice}")
    for name in (WEIGHTS, CONFIG, README):
        if name in present and not is_plain(folder / name):
            raise InputError(
                f"{str(folder / name)!r} is a link or no plain file, and links are not followed: copy the folder with "
                "what it means first (cp -rL)"
            )
    return present


def _config(path: Path) -> dict[str, Any]:
    size = path.stat().st_size
    if size > MOST_BYTES:
        raise InputError(f"{str(path)!r} is no configuration: it has {size:,} bytes (at most {MOST_BYTES:,})")
    try:
        found = read_json(path)
    except StorageError as error:
        raise InputError(str(error)) from error
    if not isinstance(found, dict) or not isinstance(found.get("peft_type"), str):
        raise InputError(f"{str(path)!r} is not the configuration of a PEFT adapter: it has no 'peft_type'")
    return canonical_config({str(key): value for key, value in found.items()})


def _base_name(config: dict[str, Any], told: dict[str, Any]) -> str:
    """What the adapter calls its base. Raises InputError where that is no name."""
    named = config.get("base_model_name_or_path") or next(iter(_texts(told.get("base_model"))), "")
    if not isinstance(named, str) or not named.isprintable() or len(named) > MOST_CHARACTERS or named.startswith("-"):
        raise InputError(
            f"the adapter names its base {str(named)[:80]!r}, which is the name of none; say which it is with --base"
        )
    return named


def _told(path: Path) -> dict[str, Any]:
    """The metadata of a README; nothing where it is too long, too deep or cannot be read."""
    if not path.is_file():
        return {}
    with path.open("rb") as file:
        text = file.read(MOST_METADATA).decode(errors="replace").replace("\r\n", "\n")
    head, end, _ = text.removeprefix("---\n").partition("\n---\n")
    if not end or not _is_modest(head):
        return {}
    try:
        return metadata(text)
    except Exception:  # a date of the 32nd, nesting without end: the library's errors have no common root
        return {}


def _is_modest(text: str) -> bool:
    """Whether reading the YAML costs little: it is not deep, and has no alias, a few of which can stand for billions of
    values.
    """
    from ruamel.yaml import YAML, YAMLError
    from ruamel.yaml import tokens as of_yaml

    starts = (of_yaml.FlowSequenceStartToken, of_yaml.FlowMappingStartToken,
              of_yaml.BlockSequenceStartToken, of_yaml.BlockMappingStartToken)  # fmt: skip
    ends = (of_yaml.FlowSequenceEndToken, of_yaml.FlowMappingEndToken, of_yaml.BlockEndToken)
    depth = 0
    try:
        for token in YAML(typ="safe", pure=True).scan(text):
            depth += isinstance(token, starts) - isinstance(token, ends)
            if depth > MOST_DEPTH or isinstance(token, of_yaml.AliasToken):
                return False
    except (YAMLError, RecursionError, ValueError):
        return False
    return True


def _texts(value: object) -> list[str]:
    """The texts in a value that may be one or a list of them; nothing else is looked into."""
    values: Iterable[object] = value[:MOST_LISTED] if isinstance(value, list) else [value]
    return [line for one in values if isinstance(one, str) and (line := one_line(one))]


def _short(value: object) -> object:
    """A value of a configuration as a card may have it."""
    if isinstance(value, list):
        more = [f"and {len(value) - MOST_LISTED:,} more"] if len(value) > MOST_LISTED else []
        return [one_line(one) for one in value[:MOST_LISTED]] + more
    return value if isinstance(value, bool | int | float) else one_line(value)
