"""Adapters whose configuration or tensors are made to hang, to smuggle options in, or to break who reads them."""

import json
import re
import struct
import time
from pathlib import Path
from typing import Any

import pytest
from adapters import configured, saved
from entries import registered

from speciate.cli import run
from speciate.errors import AdapterMismatch, InputError
from speciate.models.adapter import CONFIG, WEIGHTS, locate_adapter
from speciate.models.contents import check_finite
from speciate.models.patterns import MOST_PATTERNS, is_plain, unplain
from speciate.pipeline import serving
from speciate.registry.entry import CARD, README, write_manifest
from speciate.storage import read_json, write_json

pytestmark = [pytest.mark.usefixtures("home"), pytest.mark.filterwarnings("ignore::UserWarning")]
NAME = "model.language_model.layers.31.self_attn.some_longer_name.q_proj"
ENDLESS = "([a-z_.0-9]+)+!"


@pytest.mark.parametrize(
    "pattern",
    [
        "all-linear", "q_proj", "model.layers.0.self_attn.q_proj", r".*\.(q_proj|v_proj)", ".*attn.*(q|k|v)_proj",
        r"^model\.layers\.\d+\.self_attn\.(?:q|k|v|o)_proj$", r"model\.layers\.(0|1|10|11)\.mlp\.(up|down)_proj",
        r"layers\.[0-9]{1,2}\.[^.]+\.q_proj", r"^layers\.3\.down\-proj",
    ],
)  # fmt: skip
def test_patterns_of_honest_adapters_are_plain(pattern: str) -> None:
    assert is_plain(pattern)
    re.compile(pattern)


@pytest.mark.parametrize(
    "pattern",
    [ENDLESS, "(a*)*b", "(a|a)" * 30 + "!", "(a)?" * 30 + "!", "a?" * 30, ".*" * 9 + "!", r"(a+)\1", "(?=a+)+",
     "a" * 1001, "(a|b|ab)+", "(q_proj){9}", "[a", "(", "*"],
)  # fmt: skip
def test_what_may_be_matched_without_end_is_not_plain(pattern: str) -> None:
    assert not is_plain(pattern)


def test_the_slowest_plain_pattern_is_quick() -> None:
    started = time.monotonic()
    for pattern in (".*.*.*.*!", r"[^!]*\w*.*.*_!", "(a|aa|.)?"):
        assert not is_plain(pattern) or not re.fullmatch(pattern, NAME)
    assert time.monotonic() - started < 5


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"target_modules": ENDLESS}, "target_modules"),
        ({"exclude_modules": ENDLESS}, "exclude_modules"),
        ({"rank_pattern": {ENDLESS: 4}}, "rank_pattern"),
        ({"alpha_pattern": {ENDLESS: 4}}, "alpha_pattern"),
        ({"layers_pattern": ["layers", ENDLESS]}, "layers_pattern"),
        ({"modules_to_save": [ENDLESS]}, "modules_to_save"),
        ({"rank_pattern": {f"m{number}": 4 for number in range(MOST_PATTERNS + 1)}}, "rank_pattern"),
    ],
)
def test_an_adapter_that_would_hang_is_not_loaded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], change: dict[str, Any], key: str
) -> None:
    folder = configured(saved(tmp_path / "adapter"), **change)
    assert key in unplain(read_json(folder / CONFIG))
    with pytest.raises(AdapterMismatch, match=key):
        locate_adapter(folder)
    assert run(["registry", "import", str(folder), "--species", "x"]) == 0
    assert f"it was not loaded, for its {key} has" in " ".join(capsys.readouterr().out.split())
    assert run(["registry", "try", "x"]) == 2


def test_no_name_of_a_base_is_an_option(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError, match="as an option"):
        serving.line("--trust-remote-code", {"x@1": (tmp_path, {"r": 4})})
    folder = configured(saved(tmp_path / "adapter"), base_model_name_or_path="--trust-remote-code")
    assert run(["registry", "import", str(folder), "--species", "x"]) == 2
    assert "is the name of none" in capsys.readouterr().err
    configured(folder, base_model_name_or_path=None)
    (folder / README).write_text("---\nbase_model: --trust-remote-code\n---\n")
    assert run(["registry", "import", str(folder), "--species", "x"]) == 2
    entry, card = registered(tmp_path)
    write_json(entry / CARD, read_json(entry / CARD) | {"base": {"name": "--trust-remote-code"}})
    write_manifest(entry, card.digest)
    assert run(["registry", "export", "ant", "--format", "vllm"]) == 2
    assert "as an option" in capsys.readouterr().err


@pytest.mark.parametrize("alpha", [1e308, 10**52])
def test_a_scale_that_no_float_holds_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], alpha: float
) -> None:
    folder = configured(saved(tmp_path / "adapter"), lora_alpha=alpha)
    assert run(["registry", "import", str(folder), "--species", "x"]) == 2
    assert "its lora_alpha is 1" in capsys.readouterr().err


@pytest.mark.parametrize(("kind", "bits"), [("F4", 4), ("F6_E2M3", 6), ("C64", 64)])
def test_numbers_that_nothing_computes_in_are_refused(tmp_path: Path, kind: str, bits: int) -> None:
    size = 64 * bits // 8
    header = json.dumps({"x.lora_B.weight": {"dtype": kind, "shape": [8, 8], "data_offsets": [0, size]}}).encode()
    path = tmp_path / WEIGHTS
    path.write_bytes(struct.pack("<Q", len(header)) + header + b"\x01" * size)
    with pytest.raises(InputError, match="save it in float32"):
        check_finite(path)
