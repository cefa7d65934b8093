"""The run that a person means, where what they name may be a species whose run is elsewhere."""

from speciate import runs
from speciate.errors import InputError, NotFound, StorageError
from speciate.records import AdapterCard, RunRecord
from speciate.registry import store


def finished_run(reference: str) -> RunRecord:
    """The record of the run. Raises NotFound, with what is known of the entry where only that is on this machine."""
    try:
        return runs.find_run(reference)
    except NotFound as error:
        if told := registered_without_run(reference):
            raise NotFound(told) from error
        raise


def registered_without_run(reference: str) -> str:
    """What to say of an entry of the registry that has no run here; nothing where there is no such entry."""
    try:
        _, card = store.find(reference)
    except (InputError, StorageError):
        return ""
    called = f"{card.species}@{card.version}"
    run = f"its run {card.run!r} is not on this machine" if isinstance(card, AdapterCard) else "no run here grew it"
    return (
        f"{reference!r} is registered, as {called}, but {run}, so there are no answers to show. "
        f"`speciate registry show {called}` shows its card, `speciate eval {called}` measures it here"
    )
