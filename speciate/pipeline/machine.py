"""What this process and machine are: versions, memory used, whether the disk is full."""

import contextlib
import errno
import platform
import resource
import shutil
import sys
from collections.abc import Generator
from importlib import metadata
from pathlib import Path

from speciate import __version__
from speciate.errors import SpeciateError, StorageError

LIBRARIES = ("torch", "transformers", "peft", "trl", "accelerate", "datasets", "tokenizers", "safetensors", "numpy")
FULL_BELOW_BYTES = 1_000_000


def quiet_libraries() -> None:
    """Keep the libraries' own bars, notices and deprecation warnings away from whoever reads our messages."""
    import logging
    import warnings

    from transformers.utils import logging as transformers_logging

    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers|peft|trl|torch")


def versions() -> dict[str, str]:
    """Versions of speciate, Python, the platform and the libraries that decide what training does."""
    found = {name: metadata.version(name) for name in LIBRARIES}
    return found | {"speciate": __version__, "python": platform.python_version(), "platform": platform.platform()}


def peak_memory() -> int:
    """Highest resident size of this process so far, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


@contextlib.contextmanager
def disk_must_hold(folder: Path) -> Generator[None]:
    """Name a full disk where a library fails on it in words of its own. Raises StorageError."""
    try:
        yield
    except SpeciateError:
        raise
    except Exception as error:
        full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
        with contextlib.suppress(OSError):
            full = full or shutil.disk_usage(folder).free < FULL_BELOW_BYTES
        if not full and "No space left" not in str(error):
            raise
        raise StorageError(
            f"cannot write {str(folder)!r}: the disk is full. Free some space, then go on with --resume; "
            "what was registered before is whole"
        ) from error
