"""Entries in repositories of the Hugging Face Hub, `hf://owner/repo[@revision]`: one repository for one entry.

What is fetched is a short list of safetensors, JSON and text, never more bytes than the Hub lists; whether it is what
it says is found out here. No telemetry is sent.
"""

import contextlib
import os
import re
import shutil
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from speciate.errors import InputError, NotFound, StorageError
from speciate.models.adapter import CONFIG, WEIGHTS
from speciate.progress import Progress
from speciate.records import Card
from speciate.records.exchange import Moved
from speciate.registry import received, signing, store
from speciate.registry.entry import CARD, CONTENT, MANIFEST, README, SIGNATURE, check, entry_name
from speciate.registry.pull import fetching
from speciate.registry.received import WEIGHTS_BYTES, Policy
from speciate.registry.remotes import GOES_ON
from speciate.storage import digest_file, disk_errors
from speciate.untrusted import MOST_BYTES

if TYPE_CHECKING:
    from huggingface_hub import HfApi

SCHEME = "hf://"
NOTHING_BEGAN = "nothing was sent or fetched yet; try again when it answers"
ALLOWED = (MANIFEST, SIGNATURE, CARD, README, CONFIG, WEIGHTS)
REPOSITORY = r"hf://([\w.-]{1,96}/[\w.-]{1,96})(?:@([^\s@]{1,200}))?"


@dataclass(frozen=True, slots=True)
class Repository:
    """What `hf://owner/repo@revision` names."""

    id: str
    revision: str | None

    def __str__(self) -> str:
        return f"{SCHEME}{self.id}" + (f"@{self.revision}" if self.revision else "")


def repository(reference: str, revision: str | None = None) -> Repository:
    """Read a reference. Raises InputError."""
    found = re.fullmatch(REPOSITORY, reference)
    if not found or (revision and found[2]):
        twice = "; --revision names another" if found else ""
        raise InputError(f"{reference!r} is no repository; write hf://owner/repo or hf://owner/repo@revision{twice}")
    return Repository(found[1], revision or found[2])


def download(
    reference: str, folder: Path, progress: Progress, most_bytes: int = WEIGHTS_BYTES, revision: str | None = None
) -> Path:
    """Fetch the adapter of a repository into an empty or missing folder: safetensors, JSON and README.md, and nothing
    else that is there. Nothing of it has been checked. Gives the folder.

    A file that is in the Hub's own cache is not fetched again. Raises InputError where the repository holds no adapter
    in safetensors, or one that is too large, and StorageError where the Hub cannot be reached.
    """
    from huggingface_hub import RepoFile

    asked = repository(reference, revision)
    api = _api()
    with _hub_errors(asked):
        commit = str(api.model_info(asked.id, revision=asked.revision).sha)
        listed = api.list_repo_tree(asked.id, revision=commit)
        sizes = {one.path: one.size for one in listed if isinstance(one, RepoFile)}
    _taken(asked, sizes, most_bytes)
    chosen = [name for name in ALLOWED if name in sizes]
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with progress.phase(f"fetching {asked} (MB)", sum(sizes[name] for name in chosen) / 1e6) as phase:
        for name in chosen:
            counted = _counting(sizes[name], lambda count: phase.advance(count / 1e6))
            with _hub_errors(asked, GOES_ON):
                cached = Path(api.hf_hub_download(asked.id, name, revision=commit, tqdm_class=counted))
            if cached.stat().st_size != sizes[name]:
                raise InputError(f"{name} of {asked} has {cached.stat().st_size:,} bytes, the Hub says {sizes[name]:,}")
            with disk_errors(folder / name):
                shutil.copyfile(cached, folder / name)
    return folder


def pull(reference: str, policy: Policy, progress: Progress, revision: str | None = None) -> Moved:
    """Fetch the entry of a repository that speciate made. Raises InputError where it is none, or refused."""
    asked = repository(reference, revision)
    with fetching(f"hub-{asked.id.replace('/', '--')}") as work:
        stage = work / "entry"
        shutil.rmtree(stage, ignore_errors=True)
        download(reference, stage, progress, policy.most_bytes, revision)
        if not (stage / MANIFEST).is_file():
            raise InputError(
                f"{asked} was not pushed by speciate, it has no {MANIFEST}; `speciate registry import {asked}` takes "
                "an adapter that was made elsewhere"
            )
        manifest = (stage / MANIFEST).read_bytes()
        signature = (stage / SIGNATURE).read_bytes() if (stage / SIGNATURE).is_file() else None
        try:
            entry = store.entry_path(received.listing(manifest, policy.most_bytes).adapter)
            if entry.is_dir():
                return received.there_already(entry, manifest, signature, policy)
            _, card, signed = received.adopt(stage, policy)
        except StorageError:
            raise
        except InputError as error:
            # The message may have words of a card that somebody else wrote.
            said = "".join(letter if letter.isprintable() else "\ufffd" for letter in str(error))
            raise InputError(f"{asked} is refused: {said}") from error
        size = sum(path.stat().st_size for path in stage.iterdir())
    return Moved(digest=card.digest, what="fetched", species=card.species, version=card.version, bytes=size,
                 signed=str(signed), notes=received.version_notes(card))  # fmt: skip


def push(entry: Path, card: Card, reference: str, *, private: bool = False, revision: str | None = None) -> Moved:
    """Make an entry the content of a repository, which is made where it is missing; its README.md is the model card.

    Raises InputError where the entry is damaged, or where the repository holds an adapter of another origin, and
    StorageError where the Hub cannot be reached or does not hold afterwards what was sent.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    asked = repository(reference, revision)
    signed = signing.signed(entry)
    if problems := [*check(entry), *([signed.problem] if signed.problem else [])]:
        raise InputError(f"{str(entry)!r} is damaged and so is not pushed: {'; '.join(problems)}")
    api = _api()
    names = [*CONTENT, MANIFEST, *([SIGNATURE] if signed.key else [])]
    with _hub_errors(asked):
        api.create_repo(asked.id, private=private or None, exist_ok=True)
        if asked.revision:
            api.create_branch(asked.id, branch=asked.revision, exist_ok=True)
        before = _digests(api, asked)
    if WEIGHTS in before and MANIFEST not in before:
        raise InputError(f"{asked} holds an adapter that speciate did not push; name another repository, or empty it")
    if all(before.get(name) in _both_digests(entry / name) for name in names):
        return _moved(card, "there already", 0, str(signed))
    stale = [SIGNATURE] if SIGNATURE in before and not signed.key else []
    with _hub_errors(asked, GOES_ON):
        api.create_commit(
            asked.id,
            [
                *(CommitOperationAdd(path_in_repo=name, path_or_fileobj=entry / name) for name in names),
                *(CommitOperationDelete(path_in_repo=name) for name in stale),
            ],
            commit_message=f"{card.species}@{card.version}, {entry_name(card.digest)}",
            commit_description=f"{card.digest}, pushed by speciate",
            revision=asked.revision,
        )
        after = _digests(api, asked)
    if wrong := [name for name in names if after.get(name) not in _both_digests(entry / name)]:
        raise StorageError(f"{asked} does not hold what was sent: {', '.join(wrong)}; the same command sends it anew")
    return _moved(card, "sent", sum((entry / name).stat().st_size for name in names), str(signed))


def _moved(card: Card, what: Any, size: int, signed: str) -> Moved:
    return Moved(digest=card.digest, what=what, species=card.species, version=card.version, bytes=size, signed=signed)


def _taken(asked: Repository, sizes: Mapping[str, int], most_bytes: int) -> None:
    """Raises InputError where the files are none of an adapter, or too large."""
    if missing := sorted({WEIGHTS, CONFIG} - set(sizes)):
        pickled = [name for name in sizes if name.startswith("adapter_model.") and name != WEIGHTS]
        advice = f"; {pickled[0]} can run code and is never fetched" if pickled else ""
        raise NotFound(f"{asked} holds no PEFT adapter: there is no {' and no '.join(missing)}{advice}")
    for name in ALLOWED:
        most = most_bytes if name == WEIGHTS else MOST_BYTES
        if sizes.get(name, 0) > most:
            advice = "; --max-bytes takes more" if name == WEIGHTS else ""
            raise InputError(f"{name} of {asked} has {sizes[name]:,} bytes, at most {most:,} are taken{advice}")


def _digests(api: "HfApi", asked: Repository) -> dict[str, str]:
    """What the Hub says of the files of a repository: the SHA-256 of large ones, git's digest of the others."""
    from huggingface_hub import RepoFile

    listed = api.list_repo_tree(asked.id, revision=asked.revision)
    return {one.path: one.lfs.sha256 if one.lfs else one.blob_id for one in listed if isinstance(one, RepoFile)}


def _both_digests(path: Path) -> set[str]:
    """The digests by which the Hub may know a file."""
    from huggingface_hub.utils.sha import git_hash

    known = {digest_file(path).removeprefix("sha256:")}
    return known if path.name == WEIGHTS else known | {git_hash(path.read_bytes())}


def _api() -> "HfApi":
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    from huggingface_hub import HfApi, constants

    from speciate import __version__

    constants.HF_HUB_DISABLE_TELEMETRY = True
    return HfApi(library_name="speciate", library_version=__version__)


def _counting(most: int, advance: Callable[[int], None]) -> Any:
    """A progress bar for the library that shows nothing, counts, and stops what has more bytes than it should."""
    from huggingface_hub.utils import tqdm

    class Counting(tqdm):  # pyright: ignore[reportMissingTypeArgument, reportUntypedBaseClass]
        def __init__(self, *arguments: Any, **named: Any) -> None:
            named.pop("name", None)
            super().__init__(*arguments, **{**named, "disable": True})
            self.came = 0

        def update(self, n: float | None = 1) -> bool | None:
            self.came += int(n or 0)
            if self.came > most:
                raise InputError(f"more than the {most:,} bytes came that the Hub says the file has")
            advance(int(n or 0))
            return None

    return Counting


@contextlib.contextmanager
def _hub_errors(asked: Repository, again: str = NOTHING_BEGAN) -> Generator[None]:
    """The library's errors in words that say what to do; `again` says what the same command does then."""
    from huggingface_hub import errors

    login = "`hf auth login`, or the variable HF_TOKEN, says who you are"
    try:
        yield
    except errors.GatedRepoError as error:
        raise InputError(f"{asked} is gated; ask for access on its page; {login}") from error
    except errors.RepositoryNotFoundError as error:
        raise NotFound(f"there is no {asked}, or it is private; {login}") from error
    except errors.RevisionNotFoundError as error:
        raise NotFound(f"{asked.id} has no revision {asked.revision!r}") from error
    except errors.OfflineModeIsEnabled as error:
        raise InputError("HF_HUB_OFFLINE is set, so the Hub is not asked; unset it") from error
    except errors.HfHubHTTPError as error:
        status = error.response.status_code
        if status in (401, 403):
            raise InputError(f"the Hub does not let you use {asked} (HTTP {status}); {login}") from error
        raise StorageError(f"the Hub failed on {asked}: {_first_line(error)}; {again}") from error
    except errors.HFValidationError as error:
        raise InputError(f"{asked}: {_first_line(error)}") from error
    except (
        errors.LocalEntryNotFoundError,
        errors.HTTPError,  # pyright: ignore[reportPrivateImportUsage]
        errors.FileMetadataError,
        errors.XetDownloadError,
        # What the library raises of an upload that failed.
        RuntimeError,
    ) as error:
        raise StorageError(f"the Hub cannot be reached for {asked}: {_first_line(error)}; {again}") from error


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)[:300]
