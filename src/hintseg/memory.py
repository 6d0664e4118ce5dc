"""Out of memory: one error with a remedy, whatever the library calls it."""

from collections.abc import Iterator
from contextlib import contextmanager

from hintseg.errors import OutOfMemoryError

SAID = ("out of memory", "not enough memory", "can't allocate memory", "cannot allocate memory")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error is a lack of memory: Python's, numpy's, torch's of a GPU or of the CPU.

    Torch raises RuntimeError for both of its own; only the words tell them from others.

    Example:
        >>> is_out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"))
        True
        >>> is_out_of_memory(RuntimeError("shapes do not match"))
        False
    """
    if isinstance(error, MemoryError | OutOfMemoryError):
        return True
    told = isinstance(error, RuntimeError | OSError)
    return told and any(words in str(error).lower() for words in SAID)


@contextmanager
def memory_named(remedy: str) -> Iterator[None]:
    """A lack of memory in the block is an OutOfMemoryError with a remedy.

    Raises:
        OutOfMemoryError: There is not enough; one that has a remedy already stays as it is.
    """
    try:
        yield
    except OutOfMemoryError:
        raise
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        reason = " ".join(str(error).split())[:120] or "no more to be had"
        raise OutOfMemoryError(f"out of memory ({reason}); {remedy}") from error
