"""With what a figure was made: code, packages, machine."""

import hashlib
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

from hintseg.versions import version_of

PACKAGES = ("hintseg", "torch", "torchvision", "timm", "lightning-fabric", "numpy", "scipy")
SOURCE = Path(__file__).parents[1]


def commit() -> str | None:
    """The commit of the code that runs, with "+" behind it where files of the code differ from it.

    None where the code lies in no git checkout; then its version and `source_hash` stand for it.
    """
    found = _git("rev-parse", "--short=12", "HEAD")
    if found is None or _git("ls-files", "--error-unmatch", "__init__.py") is None:
        return None
    return found + ("+" if _git("status", "--porcelain", "--", ".") else "")


def source_hash() -> str:
    """Hash of all Python files of the package: equal where the code is the same, commit or not."""
    digest = hashlib.sha256()
    for path in sorted(SOURCE.rglob("*.py")):
        digest.update(path.relative_to(SOURCE).as_posix().encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


def machine(gpu: str | None = None) -> dict[str, Any]:
    """System, processor, threads and GPU; equal where bit-equal results are to be expected."""
    return ({} if gpu is None else {"gpu": gpu}) | {
        "system": platform.platform(),
        "processor": _processor(),
        "threads": os.environ.get("OMP_NUM_THREADS"),
    }


def versions() -> dict[str, str | None]:
    """Of Python and of the packages that compute."""
    return {"python": platform.python_version()} | {name: version_of(name) for name in PACKAGES}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _git(*words: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(SOURCE), *words],
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
