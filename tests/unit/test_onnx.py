"""A run as an ONNX file: what it computes, what it says of itself, who can use it."""

import json
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image as PillowImage

from conftest import CLASSES, TINY_MODEL
from hintseg.errors import ConfigError, DataError, NotFiniteError, RunError
from hintseg.images.label_maps import palette, read_label_map
from hintseg.images.photographs import write_png
from hintseg.models.embedder import Embedder
from hintseg.models.saved import ModelDescription, save_model
from hintseg.predict.predictor import Predictor, load
from hintseg.resize import fit_size, resize_image
from hintseg.structures import VOID, ClassSet

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

from hintseg.export import onnx_check  # noqa: E402 - the extra
from hintseg.export.onnx import OnnxOptions, export_onnx  # noqa: E402
from hintseg.export.onnx_check import Agreement, check_agreement, drawn_images  # noqa: E402
from hintseg.export.onnx_graph import prediction_graph  # noqa: E402
from hintseg.predict.folders.inputs import find_inputs  # noqa: E402
from hintseg.predict.folders.onnx import predict_files  # noqa: E402
from hintseg.predict.onnx_model import (  # noqa: E402
    OnnxDescription,
    OnnxPredictor,
    label_by_cells,
)

ROOT = Path(__file__).parents[2]
DESCRIPTION = ModelDescription(CLASSES, background=0, **TINY_MODEL, size=64, zoom=1.4)
NAMED = ["onnxruntime", "numpy", "PIL", "tifffile", "typer", "rich", "jaxtyping", "safetensors"]
THEIRS = ["click", "shellingham", "annotated_doc", "pygments", "markdown_it", "mdurl"]
THEIRS += ["pydantic", "pydantic_core", "annotated_types", "typing_inspection"]
THEIRS += ["wadler_lindig", "typing_extensions", "flatbuffers", "google", "packaging"]
NEEDED = ["hintseg", *NAMED, *THEIRS]
ONLY_NEEDED = f"""
import importlib.machinery
import sys
class Needed:
    finders = list(sys.meta_path)
    find_distributions = staticmethod(importlib.machinery.PathFinder.find_distributions)
    def find_spec(self, name, path=None, target=None):
        first = name.split(".")[0]
        known = first in sys.stdlib_module_names or first.startswith("_sysconfigdata")
        if not known and first not in {NEEDED}:
            return None  # as if it were not installed
        found = (finder.find_spec(name, path, target) for finder in self.finders)
        return next((spec for spec in found if spec is not None), None)
sys.meta_path[:] = [Needed()]
"""


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def run(segmenter, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    save_model(folder, segmenter, DESCRIPTION)
    return folder


@pytest.fixture(scope="module")
def exported(run, tmp_path_factory):
    return export_onnx(run, tmp_path_factory.mktemp("onnx") / "model.onnx")


@pytest.fixture(scope="module")
def by_onnx(exported):
    return OnnxPredictor(exported.file, device="cpu")


@pytest.fixture(scope="module")
def by_torch(run):
    return load(run)


def without_the_rest(code, *words, folder):
    """Run Python in a process in which only the packages of the documents can be imported."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-c", ONLY_NEEDED + textwrap.dedent(code), *map(str, words)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )


def test_the_file_is_checked_against_torch_when_it_is_written(exported):
    assert exported.agreement.images == len(list(drawn_images()))
    assert exported.agreement.equal >= 0.9999
    assert 0 < exported.agreement.largest < 1e-3
    assert exported.bytes == exported.file.stat().st_size


def test_the_file_is_a_valid_model_of_the_asked_opset(exported):
    model = onnx.load(exported.file)
    onnx.checker.check_model(model, full_check=True)
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 18)]
    assert not model.metadata_props[0].value.startswith("/")


@settings(max_examples=25)
@given(height=st.integers(1, 150), width=st.integers(1, 150))
@example(height=70, width=90)
@example(height=1, width=1)
@example(height=90, width=64)  # as large as the working size: nothing is resized
@example(height=3, width=700)
def test_images_of_any_size_have_the_scores_of_torch(by_onnx, by_torch, height, width):
    image = noise(height, width)
    found, wanted = by_onnx.cells(image), by_torch.predict(image)
    assert found.shape == tuple(wanted.scores.shape)
    np.testing.assert_allclose(found, wanted.scores.numpy(), atol=1e-4)
    scores = by_onnx.scores(image)
    assert scores.shape == (len(CLASSES), height, width)
    np.testing.assert_allclose(scores.sum(axis=0), 1, atol=1e-4)
    for labels in (by_onnx.predict(image), wanted.labels):
        chosen = np.take_along_axis(scores, labels[None].astype(np.int64), axis=0)
        assert (chosen >= scores.max(axis=0) - 1e-4).all()  # equal, but for ties


@settings(max_examples=25)
@given(height=st.integers(1, 300), width=st.integers(1, 300))
@example(height=1000, width=37)
@example(height=100, width=20)
@example(height=101, width=50)
@example(height=89, width=10)
@example(height=37, width=1000)
def test_the_graph_resizes_bit_for_bit_as_pillow_does(resizing, height, width):
    image = noise(height, width, seed=1)
    (planes,) = resizing.run(["planes"], {"image": image})
    fitted = fit_size(height, width, DESCRIPTION.size, zoom=DESCRIPTION.zoom)
    np.testing.assert_array_equal(planes.transpose(1, 2, 0), resize_image(image, *fitted))


@pytest.fixture(scope="module")
def resizing(exported):
    model = onnx.load(exported.file)
    model.graph.output.append(
        onnx.helper.make_tensor_value_info("planes", onnx.TensorProto.UINT8, None)
    )
    return onnxruntime.InferenceSession(model.SerializeToString())


@pytest.mark.parametrize("zoom", [1.0, 0.5])
def test_a_model_without_a_size_sees_images_as_they_are_or_zoomed(segmenter, zoom, tmp_path):
    save_model(tmp_path, segmenter, ModelDescription(CLASSES, **TINY_MODEL, zoom=zoom))
    done = export_onnx(tmp_path, tmp_path / "as_is.onnx")
    found = OnnxPredictor(done.file).cells(noise(50, 71))
    assert found.shape[1:] == ((13, 18) if zoom == 1 else (7, 9))


@pytest.mark.parametrize("opset", [20, 21, 24])
def test_newer_operators_give_the_same(segmenter, by_onnx, opset):
    if opset > onnx.defs.onnx_opset_version():
        pytest.skip(f"onnx {onnx.__version__} knows no operators {opset}")
    model = prediction_graph(segmenter, DESCRIPTION, opset=opset)
    assert model.opset_import[0].version == opset
    session = onnxruntime.InferenceSession(model.SerializeToString())
    image = noise(48, 80)
    (cells,) = session.run(["cells"], {"image": image})
    np.testing.assert_allclose(cells, by_onnx.cells(image), atol=1e-5)


def test_in_half_precision_the_file_is_half_as_large_and_labels_nearly_all_the_same(
    run, exported, tmp_path
):
    done = export_onnx(run, tmp_path / "half.onnx", OnnxOptions(half=True))
    assert done.bytes < 0.6 * exported.bytes
    assert done.agreement.equal >= 0.999


def test_a_graph_for_one_size_takes_that_size_only(run, by_onnx, tmp_path):
    done = export_onnx(run, tmp_path / "fixed.onnx", OnnxOptions(fixed=(70, 90)))
    fixed = OnnxPredictor(done.file)
    image = noise(70, 90)
    np.testing.assert_allclose(fixed.cells(image), by_onnx.cells(image), atol=1e-4)
    used = {node.op_type for node in onnx.load(done.file).graph.node}
    assert not used & {"Shape", "Range", "Round"}
    with pytest.raises(ConfigError, match=r"70 x 90 pixels .* only, got 90 x 70"):
        fixed.predict(noise(90, 70))


def test_names_colours_and_size_stand_in_the_file(exported, by_onnx):
    about = onnxruntime.InferenceSession(exported.file).get_modelmeta().custom_metadata_map
    assert tuple(json.loads(about["hintseg.classes"])) == CLASSES
    assert json.loads(about["hintseg.background"]) == 0
    assert json.loads(about["hintseg.palette"]) == palette(3).tolist()
    assert (json.loads(about["hintseg.size"]), json.loads(about["hintseg.zoom"])) == (64, 1.4)
    assert by_onnx.classes == ClassSet(CLASSES, background=0)
    assert OnnxDescription.of_metadata(by_onnx.description.metadata()) == by_onnx.description


@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    rows=st.integers(1, 6),
    columns=st.integers(1, 6),
)
def test_labels_are_made_of_cells_as_torch_makes_them(height, width, rows, columns):
    import torch  # noqa: PLC0415 - beside what needs none

    from hintseg.predict.tiles import label_at_resolution  # noqa: PLC0415

    cells = np.random.default_rng(0).random((3, rows, columns), dtype=np.float32)
    covered = (4 * rows - 1, 4 * columns - 3)
    wanted = label_at_resolution(torch.from_numpy(cells), height, width, covered=covered)
    found = label_by_cells(cells, height, width, covered=covered)
    assert (found == wanted).mean() > 0.99


def test_predict_needs_neither_torch_nor_any_package_that_the_page_does_not_name(
    exported, by_torch, tmp_path
):
    for seed, name in enumerate(("cow", "barn/kälbchen")):
        write_png(tmp_path / "photos" / f"{name}.png", PillowImage.fromarray(noise(50, 64, seed)))
    (tmp_path / "photos" / "broken.png").write_bytes(b"no image")
    code = """
        import sys
        from hintseg.cli import main
        sys.argv = ["hintseg", "predict", sys.argv[1], "photos", "--out", "masks", "--overlays"]
        main()
    """
    done = without_the_rest(code, exported.file, folder=tmp_path)
    assert done.stdout == "masks: 2 label maps written\n"
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "broken.png: not an image file" in done.stderr
    mask = read_label_map(tmp_path / "masks" / "cow.png", classes=3, undeclared=VOID)
    assert (mask == by_torch.predict(noise(50, 64)).labels).mean() > 0.999
    assert (tmp_path / "masks" / "overlays" / "barn" / "kälbchen.png").is_file()
    again = without_the_rest(code, exported.file, folder=tmp_path)
    assert again.stdout == "masks: 0 label maps written, 2 finished before\n"


@pytest.mark.parametrize("package", ["torch", "torchvision", "timm", "lightning_fabric"])
def test_the_process_of_these_tests_has_no(package, tmp_path):
    done = without_the_rest(f"import {package}", folder=tmp_path)
    assert f"No module named '{package}'" in done.stderr


def test_the_example_of_the_page_runs_without_hintseg(exported, by_torch, tmp_path):
    text = (ROOT / "docs" / "onnx.md").read_text(encoding="utf-8")
    code = re.search(r"```python\n(import json.*?)```", text, re.S).group(1)
    assert len(code.splitlines()) <= 40
    image = noise(37, 52, seed=3)
    PillowImage.fromarray(image).save(tmp_path / "cow.png")
    refuses_hintseg = "import sys; sys.modules['hintseg'] = None\n"
    (tmp_path / "use.py").write_text(refuses_hintseg + code, encoding="utf-8")
    call = "import runpy; runpy.run_path('use.py', run_name='__main__')"
    done = without_the_rest(call, exported.file, "cow.png", "mask.png", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert re.search(r"(grass|cow|sky): [\d.]+% of the pixels", done.stdout)
    mask = np.array(PillowImage.open(tmp_path / "mask.png"))
    assert (mask == by_torch.predict(image).labels).mean() > 0.99


def test_a_folder_of_another_model_is_refused(exported, by_onnx, data_folder, tmp_path):
    images = find_inputs([str(data_folder / "images")]).images
    out = tmp_path / "masks"
    assert len(predict_files(by_onnx, images, out).written) == 8
    assert len(predict_files(by_onnx, images, out).skipped) == 8
    other = tmp_path / "other.onnx"
    model = onnx.load(exported.file)
    model.doc_string = "another"
    onnx.save(model, other)
    with pytest.raises(ConfigError, match="another model or other options"):
        predict_files(OnnxPredictor(other), images, out)


def test_an_image_of_another_size_than_the_fixed_one_does_not_stop_the_rest(run, tmp_path):
    done = export_onnx(run, tmp_path / "fixed.onnx", OnnxOptions(fixed=(40, 56)))
    for name, size in (("fits", (40, 56)), ("large", (41, 56))):
        write_png(tmp_path / "photos" / f"{name}.png", PillowImage.fromarray(noise(*size)))
    images = find_inputs([str(tmp_path / "photos")]).images
    outcome = predict_files(OnnxPredictor(done.file), images, tmp_path / "masks")
    assert [path.name for path in outcome.written] == ["fits.png"]
    assert "takes images of 40 x 56" in outcome.failed[images["large"]]


def damaged(file, path):
    path.write_bytes(file.read_bytes()[:1000])


def foreign(_, path):
    text = '<ir_version: 8, opset_import: ["": 18]> g (float[N] x) => (float[N] y) { y = Relu(x) }'
    onnx.save(onnx.parser.parse_model(text), path)


def of_the_future(file, path):
    model = onnx.load(file)
    next(p for p in model.metadata_props if p.key == "hintseg.format").value = "2"
    onnx.save(model, path)


def with_wrong_metadata(file, path):
    model = onnx.load(file)
    next(p for p in model.metadata_props if p.key == "hintseg.palette").value = "[[1, 2]]"
    onnx.save(model, path)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (damaged, "no ONNX model that can be run here"),
        (foreign, "no model that `hintseg export onnx` has written"),
        (of_the_future, "update hintseg"),
        (with_wrong_metadata, "no model that `hintseg export onnx` has written"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(exported, spoil, message, tmp_path):
    file = tmp_path / "bad.onnx"
    spoil(exported.file, file)
    with pytest.raises(RunError, match=message) as caught:
        OnnxPredictor(file)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_score_that_is_no_number_is_reported(exported, tmp_path, monkeypatch):
    model = onnx.load(exported.file)
    std = next(value for value in model.graph.initializer if value.name == "std")
    std.CopyFrom(onnx.numpy_helper.from_array(np.full((1, 3, 1, 1), np.nan, np.float32), "std"))
    onnx.save(model, tmp_path / "nan.onnx")
    broken = OnnxPredictor(tmp_path / "nan.onnx")
    for most in (2**26, 0):  # the graph enlarges the scores, or the predictor does
        monkeypatch.setattr("hintseg.predict.onnx_model.MOST_SCORES", most)
        with pytest.raises(NotFiniteError, match="NaN or infinity"):
            broken.predict(noise(40, 50))


def test_many_scores_are_enlarged_in_bands_to_the_same_labels(by_onnx, monkeypatch):
    image = noise(150, 90)
    at_once = by_onnx.predict(image)
    monkeypatch.setattr("hintseg.predict.onnx_model.MOST_SCORES", 0)
    monkeypatch.setattr("hintseg.predict.onnx_model.BAND_VALUES", 3 * 90 * 7)
    assert (by_onnx.predict(image) == at_once).mean() > 0.999


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(RunError, match="no such file"):
        OnnxPredictor(tmp_path / "none.onnx")


def test_a_file_that_labels_otherwise_is_not_written(run, tmp_path, monkeypatch):
    """As if the file had the weights of another model."""
    scores = OnnxPredictor.scores
    monkeypatch.setattr(OnnxPredictor, "scores", lambda self, image: scores(self, 255 - image))
    with pytest.raises(RunError, match=r"not written, since only \d+\.\d+% of the labels"):
        export_onnx(run, tmp_path / "wrong.onnx")
    assert not list(tmp_path.iterdir())


def test_the_least_agreement_is_lower_in_half_precision(tmp_path):
    found = Agreement(1, 0.01, 0.9995)
    check_agreement(found, tmp_path, half=True)
    with pytest.raises(RunError, match=r"99\.9500% of the labels"):
        check_agreement(found, tmp_path, half=False)
    with pytest.raises(RunError):
        check_agreement(Agreement(1, 0.0, float("nan")), tmp_path, half=False)


def test_photographs_to_check_with_are_read_as_the_model_reads_them(run, data_folder, tmp_path):
    done = export_onnx(run, tmp_path / "m.onnx", check=[str(data_folder / "images")])
    assert done.agreement.images == 8
    with pytest.raises(DataError, match="no such file or folder"):
        export_onnx(run, tmp_path / "n.onnx", check=["nowhere/"])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: OnnxOptions(opset=17), "opset: must be 18 to 24"),
        (lambda: OnnxOptions(opset=99), "opset: must be 18 to 24"),
        (lambda: OnnxOptions(fixed=(0, 5)), "fixed: must be height and width"),
    ],
)
def test_options_that_cannot_work_are_refused(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


def test_the_name_ends_in_onnx(run, tmp_path):
    with pytest.raises(ConfigError, match=r"ends in \.onnx"):
        export_onnx(run, tmp_path / "model.pt")


def test_a_model_of_another_kind_is_refused(segmenter):
    assert isinstance(segmenter.embedder, Embedder)
    with pytest.raises(RunError, match="'segmenter' cannot be exported"):
        prediction_graph(segmenter.embedder, DESCRIPTION)


def test_the_drawn_images_are_always_the_same_and_of_many_sizes():
    first, second = list(drawn_images()), list(drawn_images())
    assert [image.shape[:2] for image in first] == list(onnx_check.SIZES)
    assert all((a == b).all() for a, b in zip(first, second, strict=True))
    assert isinstance(Predictor, type)
