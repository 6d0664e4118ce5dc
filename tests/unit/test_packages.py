"""What the wheel and the source archive hold, and what they do not."""

import re
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "hintseg"


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Names in the wheel and in the source archive (there without the first folder)."""
    pytest.importorskip("hatchling")
    from hatchling.builders.sdist import SdistBuilder  # noqa: PLC0415
    from hatchling.builders.wheel import WheelBuilder  # noqa: PLC0415

    folder = tmp_path_factory.mktemp("dist")
    (wheel,) = WheelBuilder(str(ROOT)).build(directory=str(folder), versions=["standard"])
    (source,) = SdistBuilder(str(ROOT)).build(directory=str(folder))
    with zipfile.ZipFile(wheel) as archive, tarfile.open(source) as tar:
        inside = {name.partition("/")[2] for name in tar.getnames()}
        return Path(wheel), set(archive.namelist()), inside


def kept(folder):
    files = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    return {name for name in files if "__pycache__" not in name}


def test_the_wheel_is_the_package_with_all_its_files_and_nothing_else(built):
    _, wheel, _ = built
    beside = {name for name in wheel if ".dist-info/" in name}
    assert {name.removeprefix("hintseg/") for name in wheel - beside} == kept(PACKAGE)
    for name in ("py.typed", "report/templates/base.html.j2", "studio/static/assets/studio.js"):
        assert f"hintseg/{name}" in wheel
    assert f"hintseg/recipes/{next(PACKAGE.glob('recipes/*/*.yaml')).parent.name}/" in str(wheel)


def test_the_wheel_has_the_licences_and_the_command(built):
    path, wheel, _ = built
    with zipfile.ZipFile(path) as archive:
        (info,) = {name.partition("/")[0] for name in wheel if ".dist-info/" in name}
        assert "Jason Miller" in archive.read(
            f"{info}/licenses/src/hintseg/studio/licenses/preact.txt"
        ).decode("utf-8")
        assert f"{info}/licenses/LICENSE" in wheel
        assert b"hintseg = hintseg.cli:main" in archive.read(f"{info}/entry_points.txt")
        about = archive.read(f"{info}/METADATA").decode("utf-8")
    version = re.search(r"^Version: (.+)$", about, re.MULTILINE)[1]
    import hintseg  # noqa: PLC0415

    assert version == hintseg.__version__


def test_the_bundled_page_has_a_licence_for_each_package_in_it():
    package = ROOT / "studio" / "package.json"
    if not package.is_file():
        pytest.skip("the sources of the page are not here")
    bundled = yaml.safe_load(package.read_text(encoding="utf-8"))["dependencies"]
    licensed = {path.stem for path in (PACKAGE / "studio" / "licenses").glob("*.txt")}
    assert set(bundled) == licensed


def test_the_source_archive_has_what_tests_and_the_page_need_and_no_stray_files(built):
    _, wheel, inside = built
    assert {name.removesuffix("/") for name in inside} >= {
        f"src/{name}" for name in wheel if ".dist-info/" not in name
    }
    for name in ("tests/conftest.py", "tests/golden/spml.npz", "studio/src/app.tsx", "Makefile"):
        assert name in inside
    assert not [n for n in inside if re.search(r"node_modules|__pycache__|\.venv|\.git/", n)]
    tops = {name.partition("/")[0] for name in inside if "/" in name}
    assert tops <= {"src", "tests", "docs", "benchmarks", "examples", "studio", "constraints"}


def test_the_lowest_versions_that_are_tested_are_those_that_are_asked_for():
    """constraints/lowest.txt holds a pin for each bound of pyproject.toml, at that bound."""
    file = ROOT / "constraints" / "lowest.txt"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    tested = [*project["dependencies"], *(line for e in ("heic", "dev") for line in extras[e])]
    tested += [line for name in ("formats", "onnx", "studio") for line in extras[name]]
    pairs = [line.split("==") for line in file.read_text().splitlines() if "==" in line]
    pins = {name: parts(pin) for name, pin in pairs}
    for line in tested:
        name, _, bound = line.partition(">=")
        if name.startswith("hintseg["):
            continue
        assert bound, f"{line}: has no lowest version"
        pin, least = pins[name.lower()], parts(bound)
        assert pin[: len(least)] == least, f"{line}: lowest.txt has {pins[name.lower()]}"
    assert len(pins) == len({line.partition(">=")[0].lower() for line in tested}) - 1


def parts(version):
    return [int(part) for part in version.split(".")]
