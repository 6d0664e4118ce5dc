"""Which version of a package is in use, and what to do where two do not fit."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version

from hintseg.errors import InstallationError


def version_of(package: str) -> str | None:
    """Version of an installed package; None for one that runs from a folder without installation.

    >>> version_of("no such package") is None
    True
    """
    try:
        return version(package)
    except PackageNotFoundError:
        return None


@contextmanager
def importing_torchvision() -> Iterator[None]:
    """Says what helps where torchvision is absent or was built for another torch.

    Every network needs it, since timm imports it. Its builds hold compiled code that only the torch
    of the same place and release can load: a torch for CPUs with the torchvision of PyPI, which is
    built for CUDA, fails with "operator torchvision::nms does not exist".

    Raises:
        InstallationError: It cannot be imported.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name != "torchvision":
            raise
        raise InstallationError(
            f"torchvision is not installed, and the networks need it: {_remedy()}"
        ) from error
    except (ImportError, RuntimeError, OSError) as error:
        raise InstallationError(
            f"torchvision {version_of('torchvision')} does not fit torch {version_of('torch')} "
            f"({error}): {_remedy()}"
        ) from error


def _remedy() -> str:
    return (
        "install both with one `pip install --force-reinstall torch torchvision`; on a computer "
        "without a GPU with the --index-url that pytorch.org names for CPU"
    )
