"""A layer imports only from the layers above it; functions and files stay short."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "hintseg"
LAYERS = [
    "errors",
    "lazy",
    "plain",
    "versions",
    "structures",
    "documents",
    "files",
    "seals",
    "locks",
    "memory",
    "progress",
    "console",
    "cores",
    "distributed",
    "shares",
    "launch",
    "images",
    "resize",
    "pooling",
    "hints",
    "regions",
    "data",
    "formats",
    "filters",
    "models",
    "seeds",
    "segments",
    "losses",
    "refine",
    "saliency",
    "predict",
    "metrics",
    "bootstrap",
    "counts",
    "evaluation",
    "engine",
    "methods",
    "recipes",
    "report",
    "export",
    "training",
    "demo",
    "sharing",
    "compare",
    "studio",
    "cli",
    "__main__",
]
MODULES = sorted(SOURCE.rglob("*.py"))
SHARED = {"terms", "localise"}
METHODS = {p.parent.name for p in SOURCE.glob("methods/*/__init__.py")} - SHARED
FORBIDDEN_NAMES = {"utils", "common", "base", "registry", "helpers", "misc", "core"}


def layer_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imported_layers(tree: ast.Module) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("hintseg."):
            yield node.module.split(".")[1], node.lineno
        if isinstance(node, ast.ImportFrom) and node.module == "hintseg":
            for name in node.names:
                yield name.name, node.lineno
        if isinstance(node, ast.Import):
            for name in node.names:
                if name.name.startswith("hintseg."):
                    yield name.name.split(".")[1], node.lineno


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    yield from (n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef))


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    first = function.body[0]
    is_docstring = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    start = first.end_lineno if is_docstring else first.lineno - 1
    return (function.end_lineno or 0) - (start or 0)


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_a_layer_imports_only_from_the_layers_above_it(path):
    layer = layer_of(path)
    if layer == "__init__":
        return
    assert layer in LAYERS, f"{layer} has no place in the order of layers"
    allowed = set(LAYERS[: LAYERS.index(layer) + 1])
    for other, line in imported_layers(ast.parse(path.read_text(encoding="utf-8"))):
        assert other in allowed, f"{path}:{line}: {layer} may not import {other}"


def test_there_is_something_to_test():
    assert len(MODULES) > 100
    assert {"spml", "sec", "regularized", "cross_entropy"} <= METHODS


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_a_method_imports_no_other_method(path):
    """Shared are the files of `methods/`, `terms`, `localise` and `cross_entropy`."""
    parts = path.relative_to(SOURCE).parts
    if parts[0] != "methods" or parts[1] == "__init__.py":
        return  # other rooms may not import from below, and METHODS lists all
    own = parts[1] if len(parts) > 2 else None
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        module = (getattr(node, "module", None) or "").split(".")
        if module[:2] == ["hintseg", "methods"] and len(module) > 2 and module[2] in METHODS:
            shared = module[2] == "cross_entropy" and own in METHODS
            assert module[2] == own or shared, f"{path}:{node.lineno}: imports {module[2]}"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_functions_and_files_stay_short(path):
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) < 500
    for function in functions(ast.parse(text)):
        assert body_lines(function) <= 60, f"{path}:{function.lineno}: {function.name} is too long"


def test_most_functions_are_very_short():
    lengths = sorted(
        body_lines(f) for path in MODULES for f in functions(ast.parse(path.read_text("utf-8")))
    )
    assert lengths[len(lengths) // 2] <= 10
    assert lengths[int(len(lengths) * 0.9)] <= 35


def test_no_module_is_named_after_nothing():
    assert not {path.stem for path in MODULES} & FORBIDDEN_NAMES


def test_the_library_never_prints():
    for path in MODULES:
        calls = [
            node
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id == "print"
        ]
        assert not calls, f"{path}: print() in the library"
