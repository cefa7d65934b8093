"""Every error that speciate raises on purpose.

    SpeciateError                        exit 1
    ├── InputError (ValueError)          exit 2   nothing was started
    │   ├── RecipeError                           all problems of a recipe at once
    │   ├── BaseNotFound (FileNotFoundError)      no such model, or a folder without weights
    │   │   └── HubUnreachable                    a model of the hub, which cannot be reached
    │   ├── ResumeMismatch                        the run was made by another recipe or base
    │   ├── HomeNotWritable (PermissionError)
    │   ├── NotFound (LookupError)                no such run, entry or suite
    │   ├── AdapterMismatch                       an adapter that does not belong to its base
    │   ├── Incomparable                          runs that answered different items
    │   ├── Contaminated                          too many evaluation items among the training rows
    │   ├── Damaged (StorageError)                a file that was to be read, or of another version
    │   └── PreflightError                        the recipe would train nothing, or the wrong thing
    │       ├── NothingTrainable
    │       ├── EmptyLossMask
    │       ├── StopTokenUntrained
    │       └── LongestBatchFailed (MemoryError)
    ├── MissingComponent (RuntimeError)  exit 5   says how to get it
    │   └── LeanUnavailable
    ├── PostflightError (RuntimeError)   exit 1   training ended, its result cannot be trusted
    │   ├── AdapterUnchanged
    │   ├── AdapterInert
    │   ├── TrainingDiverged
    │   └── BaseAltered
    ├── TrainingOutOfMemory (MemoryError) exit 1  memory ran out in training; the last checkpoint is whole
    ├── WorkerFailed (RuntimeError)      exit 1   one of several training processes ended badly
    ├── VerifierError (RuntimeError)     exit 1   the verifier itself failed, not the proof
    └── StorageError (OSError)           exit 1   disk full, a file that cannot be written whole

A message says what is wrong, shows the value, names the file (and line) and says what to do next. A wrong answer, a
timed-out proof or a crashed verifier worker is a row in the data, never one of these.
"""


class SpeciateError(Exception):
    """Root of the tree; `exit_code` is what the command line ends with."""

    exit_code = 1


class InputError(SpeciateError, ValueError):
    """The command, the recipe or a file it names is wrong; nothing was started."""

    exit_code = 2


class RecipeError(InputError):
    """All problems of one recipe; `problems` holds one line each."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


class BaseNotFound(InputError, FileNotFoundError):
    """The base is neither a folder with weights nor a model that the hub gave."""


class HubUnreachable(BaseNotFound):
    """The base is a model of the hub, which cannot be reached, and it is not on this machine yet."""


class ResumeMismatch(InputError):
    """The run to be resumed was made by another recipe, base or library version; names what differs."""


class HomeNotWritable(InputError, PermissionError):
    """The folder for runs and adapters cannot be written to."""


class NotFound(InputError, LookupError):
    """No run, registry entry or suite of that name."""


class AdapterMismatch(InputError):
    """The adapter was trained on another base, has tensors that the base has no place for, or changes nothing."""


class Incomparable(InputError):
    """The runs answered different suites or items; names their digests."""


class Contaminated(InputError):
    """More evaluation items than allowed are in the training rows."""


class PreflightError(InputError):
    """A check before step 1 failed: training would have run, and been worthless."""


class NothingTrainable(PreflightError):
    """No parameter of the adapter requires a gradient, or a named target module does not exist."""


class EmptyLossMask(PreflightError):
    """A row, or all rows, have no token that counts in the loss."""


class StopTokenUntrained(PreflightError):
    """The token that ends an answer is outside the loss, so the model would never learn to stop."""


class LongestBatchFailed(PreflightError, MemoryError):
    """The longest batch does not fit in memory."""


class MissingComponent(SpeciateError, RuntimeError):
    """A program or package that this command needs is not there."""

    exit_code = 5


class LeanUnavailable(MissingComponent):
    """No native Lean was found and the embedded one could not be set up."""


class PostflightError(SpeciateError, RuntimeError):
    """A check after training failed: the adapter is not registered."""


class AdapterUnchanged(PostflightError):
    """The adapter's bytes are what they were before training."""


class AdapterInert(PostflightError):
    """The adapter changes no output of the base."""


class TrainingDiverged(PostflightError):
    """The loss, or a weight of the adapter, is not finite."""


class BaseAltered(PostflightError):
    """The base is not bit for bit what it was before training."""


class TrainingOutOfMemory(SpeciateError, MemoryError):
    """Memory ran out in training: says what was estimated, what was reached, and which keys to change."""


class WorkerFailed(SpeciateError, RuntimeError):
    """One of several training processes failed or was killed; says its last words."""


class VerifierError(SpeciateError, RuntimeError):
    """The verifier failed on known proofs, or does not stay alive."""


class StorageError(SpeciateError, OSError):
    """A file could not be written whole, or is damaged."""


class Damaged(InputError, StorageError):
    """A file that was to be read is damaged, or was written by another version of speciate."""
