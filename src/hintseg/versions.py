"""Which version of a package is in use."""

from importlib.metadata import PackageNotFoundError, version


def version_of(package: str) -> str | None:
    """Version of an installed package; None for one that runs from a folder without installation.

    >>> version_of("no such package") is None
    True
    """
    try:
        return version(package)
    except PackageNotFoundError:
        return None
