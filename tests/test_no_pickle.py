"""Nothing that is read can run anything: no pickle, no eval, no unsafe loader, anywhere."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted([*ROOT.glob("src/**/*.py"), *ROOT.glob("benchmarks/*.py")])
MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "jsonpickle"}
CALLS = {"eval", "exec", "compile", "__import__"}
SAFE_YAML = {"safe_load", "safe_dump", "SafeLoader", "YAMLError", "Token", "AliasEvent", "nodes"}
SHELLS = {"os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput"}


def faults(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and fault of everything that may run what a file says."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for name in node.names:
                if name.name.split(".")[0] in MODULES:
                    yield node.lineno, f"import {name.name}"
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in MODULES:
            yield node.lineno, f"from {node.module}"
        if isinstance(node, ast.Attribute) and _dotted(node).startswith("yaml."):
            part = _dotted(node).split(".")[1]
            if part not in SAFE_YAML:
                yield node.lineno, _dotted(node)
        if isinstance(node, ast.Call):
            yield from _call_faults(node)


def _call_faults(node: ast.Call) -> Iterator[tuple[int, str]]:
    name = _dotted(node.func)
    words = {word.arg: word.value for word in node.keywords}
    if name in CALLS or name in SHELLS:
        yield node.lineno, name
    if name == "torch.load" and not _is(words.get("weights_only"), True):
        yield node.lineno, "torch.load without weights_only=True"
    if name in ("np.load", "numpy.load") and not _is(words.get("allow_pickle"), False):
        yield node.lineno, "np.load without allow_pickle=False"
    if "allow_pickle" in words and not _is(words["allow_pickle"], False):
        yield node.lineno, "allow_pickle"
    if "shell" in words and not _is(words["shell"], False):
        yield node.lineno, "shell=True"


def _is(node: ast.expr | None, value: bool) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


def _dotted(node: ast.expr) -> str:
    """`a.b.c` of an expression; of others only the end."""
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_nothing_that_is_read_can_run_anything(path):
    found = list(faults(ast.parse(path.read_text(encoding="utf-8"))))
    assert not found, "; ".join(f"{path}:{line}: {what}" for line, what in found)


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "import pickle as p",
        "from pickle import loads",
        "import joblib.memory",
        "torch.load(f)",
        "torch.load(f, weights_only=False)",
        "torch.load(f, weights_only=flag)",
        "np.load(f)",
        "np.load(f, allow_pickle=True)",
        "np.save(f, a, allow_pickle=True)",
        "yaml.load(f, Loader=yaml.Loader)",
        "yaml.unsafe_load(f)",
        "yaml.full_load(f)",
        "class L(yaml.Loader): pass",
        "eval(x)",
        "exec(x)",
        "os.system(x)",
        "subprocess.run(x, shell=True)",
    ],
)
def test_the_guard_sees_it(code):
    assert list(faults(ast.parse(code)))


@pytest.mark.parametrize(
    "code",
    [
        "torch.load(f, weights_only=True)",
        "np.load(f, mmap_mode='r', allow_pickle=False)",
        "yaml.safe_load(f)",
        "model.eval()",
        "re.compile(x)",
        "torch.compile(m)",
    ],
)
def test_the_guard_leaves_alone_what_is_safe(code):
    assert not list(faults(ast.parse(code)))


def test_yaml_and_json_of_strangers_have_one_reader_each():
    """Bounds hold only where everybody asks `hintseg.documents`."""
    own = {"from_json.py", "from_yaml.py"}
    for path in SOURCES:
        if path.name in own or "src" not in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            called = _dotted(node.func) if isinstance(node, ast.Call) else ""
            assert called not in ("yaml.safe_load", "json.load"), f"{path}:{node.lineno}: {called}"
            if called != "json.loads":
                continue
            is_own_text = "json.loads(json.dumps" in ast.unparse(node)
            worker = path.name == "files.py" and path.parent.name == "regions"
            if not (is_own_text or worker):
                raise AssertionError(f"{path}:{node.lineno}: json.loads; use parse_json")


def test_pillow_opens_files_in_one_place():
    """Only there the decoders are those of photographs, and bombs are told."""
    for path in SOURCES:
        if "src" not in path.parts or path.name == "photographs.py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            called = _dotted(node.func) if isinstance(node, ast.Call) else ""
            assert called not in ("PillowImage.open", "Image.open"), f"{path}:{node.lineno}"
