"""An adapter in the form of llama.cpp, by llama.cpp's own converter where it is on this machine."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from speciate.errors import InputError, MissingComponent
from speciate.storage import expanded

CONVERTER = "convert_lora_to_gguf.py"
PLACE = "LLAMA_CPP"
MAGIC = b"GGUF"
MOST_SECONDS = 3600


def converter() -> Path:
    """llama.cpp's converter, in $LLAMA_CPP or on the PATH. Raises MissingComponent."""
    named = os.environ.get(PLACE)
    if named:
        place = expanded(named)
        found = place / CONVERTER if place.is_dir() else place
        if not found.is_file():
            raise MissingComponent(
                f"${PLACE} is {named!r}, and there is no {CONVERTER}; set it to a clone of llama.cpp"
            )
        return found.absolute()
    on_path = shutil.which(CONVERTER)
    # A script need not be executable for Python to run it, so the PATH is looked through by hand too.
    places = [Path(folder) / CONVERTER for folder in os.environ.get("PATH", "").split(os.pathsep) if folder]
    there = Path(on_path) if on_path else next((path for path in places if path.is_file()), None)
    if there is None:
        raise MissingComponent(
            f"llama.cpp's {CONVERTER} is not here: clone github.com/ggml-org/llama.cpp, install into this Python its "
            f"requirements/requirements-{CONVERTER.removesuffix('.py')}.txt, and set ${PLACE} to the clone"
        )
    return there.absolute()


def convert(script: Path, adapter: Path, base: Path, file: Path) -> None:
    """Write the adapter of a folder to `file`. Raises InputError, with its last words, where the converter fails."""
    command = [sys.executable, str(script), "--base", str(base.absolute()), "--outfile", str(file), str(adapter)]
    try:
        ran = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=MOST_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InputError(f"{str(script)!r} did not end well: {error}") from error
    words = " ".join((ran.stderr or ran.stdout).decode(errors="replace").split())[-300:]
    if ran.returncode:
        raise InputError(f"{str(script)!r} ended with status {ran.returncode}: {words}")
    head = b""
    if file.is_file():
        with file.open("rb") as written:
            head = written.read(len(MAGIC))
    if head != MAGIC:
        raise InputError(f"{str(script)!r} ended well and wrote no GGUF file ({head!r}): {words}")
