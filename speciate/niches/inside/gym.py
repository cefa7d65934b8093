"""reasoning-gym behind the sandbox: makes its items and scores answers with its own scorers.

Runs inside the sandbox, where hashes are the same in every process, so items that follow the order of a set are too.
Whatever would run text as code is replaced (`formulas`), and while an answer is scored any other such code is refused.
Some scorers call an answer right that is not; what they forget to ask is in `stricter`.
"""

import contextlib
import dataclasses
import importlib.abc
import importlib.machinery
import json
import random
import sys
import warnings
from functools import lru_cache
from types import ModuleType
from typing import Any, NoReturn

from speciate.niches.inside import formulas, judge
from speciate.niches.inside.stricter import holds
from speciate.niches.inside.values import as_json, from_json

CHUNK = 500
"""Items under one seed of reasoning-gym; never another number, since some families deal out kinds of items over all."""
_KEPT = 24


def serve(channel: judge.Channel, setting: judge.Setting) -> NoReturn:
    """Load reasoning-gym, then answer `families`, `generate` and `score`."""
    _load()
    judge.serve(channel, setting, {"families": families, "generate": generate, "score": score}, prepare)


def families(_: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Each family's parameters and what they are where none is given."""
    from reasoning_gym.factory import DATASETS

    return {name: as_json(_defaults(config)) for name, (_, config) in sorted(DATASETS.items())}


def generate(request: dict[str, Any]) -> dict[str, Any]:
    """The entries of one chunk from `start` on, `count` at most; or what is `wrong` with the parameters.

    An entry that the family fails to make is None.
    """
    random.seed(0)
    try:
        dataset = _dataset(request["family"], _text(request), request["seed"])
    except Exception as error:
        return {"wrong": " ".join(str(error).split()) or type(error).__name__}
    entries: list[Any] = []
    for index in range(request["start"], min(request["start"] + request["count"], CHUNK)):
        entries.append(None)
        with contextlib.suppress(Exception):
            entry = dataset[index]
            entries[-1] = as_json({name: entry[name] for name in ("question", "answer", "metadata")})
    return {"entries": entries}


def prepare(request: dict[str, Any]) -> None:
    """Make what scores a family in the worker, where it is kept; where that fails, its child says so."""
    if request["do"] == "score":
        with contextlib.suppress(Exception):
            _dataset(request["family"], _text(request), 0)


def score(request: dict[str, Any]) -> float:
    """What reasoning-gym gives an answer, in [0, 1]. Raises ValueError where it gives no such number."""
    formulas.watch()
    entry, answer = from_json(request["entry"]), request["answer"]
    found = float(_dataset(request["family"], _text(request), 0).score_answer(answer, entry))
    if not 0.0 <= found <= 1.0:
        raise ValueError(f"the scorer gave {found}")
    return found if found < 1.0 or holds(request["family"], answer, from_json(request["entry"])) else 0.0


@lru_cache(maxsize=_KEPT)
def _dataset(family: str, parameters: str, seed: int) -> Any:
    from reasoning_gym.factory import DATASETS, create_dataset

    defaults = _defaults(DATASETS[family][1])
    given: dict[str, Any] = from_json(json.loads(parameters))
    for name, value in given.items():
        # A file of YAML or JSON has no tuples.
        if isinstance(value, list) and isinstance(defaults.get(name), tuple):
            given[name] = tuple(value)  # pyright: ignore[reportUnknownArgumentType]
    return create_dataset(family, **given, seed=seed, size=CHUNK)


def _text(request: dict[str, Any]) -> str:
    return json.dumps(request["parameters"], sort_keys=True)


def _defaults(config: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for each in dataclasses.fields(config):
        if each.name not in ("seed", "size"):
            made = None if each.default_factory is dataclasses.MISSING else each.default_factory()
            found[each.name] = made if each.default is dataclasses.MISSING else each.default
    return found


def _load() -> None:
    # A third of the time to load reasoning-gym goes to what one of its libraries would draw pictures with.
    sys.meta_path.insert(0, _NoPictures())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import reasoning_gym  # noqa: F401 # pyright: ignore[reportUnusedImport]
        import sympy.core.random
        import sympy.physics.units  # pyright: ignore[reportUnusedImport] - what `simplify` loads when it is first called
    # Before the first copy of this process: to write to each module costs a copy more than all else.
    parse = sympy.parse_expr
    sympy.parse_expr = safe = formulas.checked(parse)
    for name, module in list(sys.modules.items()):
        if name.startswith("reasoning_gym."):
            names = vars(module)
            names["eval"] = formulas.value_of
            if names.get("parse_expr") is parse:
                names["parse_expr"] = safe
    sympy.core.random.seed(0)


class _NoPictures:
    """Finds a blank module wherever matplotlib, or a part of it, is looked for."""

    def find_spec(self, fullname: str, *_: Any) -> importlib.machinery.ModuleSpec | None:
        if fullname.partition(".")[0] not in ("matplotlib", "mpl_toolkits"):
            return None
        return importlib.machinery.ModuleSpec(fullname, _Blanks(), is_package=True)


class _Blanks(importlib.abc.Loader):
    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        return _Blank(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        assert isinstance(module, _Blank)


class _Blank(ModuleType):
    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Blank(name)
