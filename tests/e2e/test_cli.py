"""The commands as a user runs them: exit codes, files, messages; never a traceback."""

import json
import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image as PillowImage

from conftest import draw_data, room_for
from hintseg import cli
from hintseg.data.dataset import open_dataset
from hintseg.engine.monitor import TrainingMonitor
from hintseg.engine.run import Run
from hintseg.predict.predictor import load
from hintseg.predict.retrieval.index import save_prototypes
from hintseg.predict.retrieval.votes import build_prototypes

TINY = ["--steps", "4", "--crop", "32", "--batch", "2", "--device", "cpu"]
USUAL = [*TINY, "--set", "train.weights=random", "--set", "train.dim=8", "--set", "train.width=16"]
SMALL = [*USUAL, "--backbone", "test_efficientnet"]  # a network of a tenth of the time


@pytest.fixture
def hintseg(monkeypatch, capsys):
    """Run a command in this process; gives exit code, standard output, standard error."""

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["hintseg", *map(str, words)])
        try:
            cli.main()
            code = 0
        except SystemExit as stop:
            code = stop.code
            if isinstance(code, str):
                print(code, file=sys.stderr)  # as the interpreter does
                code = 1
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return code or 0, out, err

    return run


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of `full` as by SMALL, made once; no test may change it."""
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        words = ["train", draw_data(folder / "data"), "--method", "full", "--out", folder / "run"]
        patch.setattr(sys, "argv", ["hintseg", *map(str, [*words, *SMALL])])
        with suppress(SystemExit):
            cli.main()
    return folder / "run"


@pytest.fixture
def run_folder(trained, tmp_path):
    """The test's own copy of it."""
    return Path(shutil.copytree(trained, tmp_path / "run"))


def test_importing_the_package_is_cheap():
    code = "import sys, hintseg; print('torch' in sys.modules, 'numpy' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.split() == ["False", "False"]


def test_every_public_name_is_there():
    code = "import hintseg; print(all(getattr(hintseg, n) is not None for n in hintseg.__all__))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "True"


def test_help_needs_no_torch_and_shows_an_example():
    code = (
        "import sys; from hintseg import cli; sys.argv = ['hintseg', 'train', '--help']\n"
        "try: cli.main()\nexcept SystemExit: pass\nprint('torch' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "Example" in out.stdout
    assert out.stdout.split()[-1] == "False"


@pytest.mark.parametrize(
    "command",
    [
        *("demo", "check", "simulate", "train", "label", "predict", "evaluate", "retrieve"),
        *("methods", "compare", "export masks", "export coco", "export yolo", "export cvat"),
        *("export labelstudio", "export labelme", "export geojson"),
    ],
)
def test_every_command_has_help_with_an_example(hintseg, command):
    code, out, _ = hintseg(*command.split(), "--help")
    assert code == 0
    assert f"Example: hintseg {command}" in " ".join(out.replace("`", "").split())


@pytest.mark.report
def test_from_masks_to_masks(hintseg, data_folder, tmp_path):
    hinted, run, masks = tmp_path / "hinted", tmp_path / "run", tmp_path / "masks"
    code, out, _ = hintseg("simulate", data_folder, "--hints", "points,scribbles", "--out", hinted)
    assert (code, "hints for 4 images" in out) == (0, True)
    assert hintseg("check", hinted)[0] == 0
    assert (hinted / "check.html").stat().st_size > 1000
    assert hintseg("train", hinted, "--out", run, "--method", "partial", *USUAL)[0] == 0
    assert (run / "report.html").stat().st_size > 1000
    images = data_folder / "images"
    code, out, _ = hintseg("predict", run, images, "--out", masks, "--overlays", "--flip")
    assert (code, "8 label maps written" in out) == (0, True)
    assert len(list((masks / "overlays").glob("*.png"))) == 8
    with PillowImage.open(masks / "pond.png") as picture:
        assert (picture.mode, picture.size) == ("P", (56, 40))
        assert picture.getpalette()[3:6] == [128, 0, 0]  # class 1 in the VOC palette
    by_run, by_masks = tmp_path / "a.json", tmp_path / "b.json"
    assert hintseg("evaluate", run, hinted, "--flip", "--json", by_run)[0] == 0
    assert hintseg("evaluate", masks, hinted, "--json", by_masks)[0] == 0
    a, b = json.loads(by_run.read_text()), json.loads(by_masks.read_text())
    assert a["per_class"] == b["per_class"]
    assert (a["split"], a["by"], a["scales"], a["flip"], a["crf"]) == (
        "val",
        "classifier",
        [1],
        True,
        False,
    )
    assert {"miou", "pixel_accuracy", "per_class", "absent_classes", "images"} <= a.keys()


@pytest.mark.parametrize(("words", "preset"), [(["--crf"], "deeplab"), (["--crf", "psa"], "psa")])
def test_the_crf_is_the_same_for_predict_and_evaluate(
    hintseg, run_folder, data_folder, tmp_path, words, preset
):
    masks, plain = tmp_path / "masks", tmp_path / "plain"
    photos, by_run, by_masks = data_folder / "images", tmp_path / "a.json", tmp_path / "b.json"
    assert hintseg("predict", run_folder, photos, "--out", plain)[0] == 0
    assert hintseg("predict", *words, run_folder, photos, "--out", masks)[0] == 0
    assert hintseg("predict", run_folder, photos, "--out", masks)[0] == 1
    code, out, _ = hintseg("evaluate", run_folder, data_folder, *words, "--json", by_run)
    assert (code, f"dense CRF ({preset})" in out) == (0, True)
    assert hintseg("evaluate", masks, data_folder, "--json", by_masks)[0] == 0
    a, b = json.loads(by_run.read_text()), json.loads(by_masks.read_text())
    assert (a["per_class"], a["crf"], b["crf"]) == (b["per_class"], preset, False)
    names = ("pond.png", "ridge.png")
    assert any((plain / n).read_bytes() != (masks / n).read_bytes() for n in names)


def test_the_longer_side_is_remembered_and_masks_come_at_the_images_own_size(
    hintseg, data_folder, tmp_path
):
    run = tmp_path / "run"
    words = ["train", data_folder, "--method", "full", "--size", "32", "--out", run]
    assert hintseg(*words, *SMALL)[0] == 0
    assert json.loads((run / "model.json").read_text())["size"] == 32
    assert (
        hintseg("predict", run, data_folder / "images" / "pond.png", "--out", tmp_path / "m")[0]
        == 0
    )
    with PillowImage.open(tmp_path / "m" / "pond.png") as picture:
        assert picture.size == (56, 40)


@pytest.fixture
def run_with_prototypes(run_folder, data_folder):
    """A run that can retrieve."""
    dataset = open_dataset(data_folder)
    samples = ((n, dataset.image(n), dataset.truth(n)) for n in dataset.names("train"))
    index = build_prototypes(load(run_folder).model, samples, labelled_by="masks")
    save_prototypes(run_folder, index)
    return run_folder


def test_labels_by_retrieval(hintseg, run_with_prototypes, data_folder, tmp_path):
    run, masks = run_with_prototypes, tmp_path / "masks"
    words = ["predict", run, data_folder / "images", "--out", masks, "--by", "retrieval"]
    code, out, _ = hintseg(*words)
    assert (code, "8 label maps written" in out) == (0, True)
    code, _, err = hintseg(*words[:-1], "classifier")
    assert (code, "other options" in err) == (1, True)
    a, b = tmp_path / "a.json", tmp_path / "b.json"
    code, out, _ = hintseg("evaluate", run, data_folder, "--by", "retrieval", "--json", a)
    assert (code, "by retrieval among segments labelled by masks" in out) == (0, True)
    assert hintseg("evaluate", masks, data_folder, "--json", b)[0] == 0
    figures, of_masks = json.loads(a.read_text()), json.loads(b.read_text())
    assert (figures["by"], figures["prototypes"]) == ("retrieval", "masks")
    assert (of_masks["by"], "prototypes" in of_masks) == ("masks", False)
    assert figures["per_class"] == of_masks["per_class"]


def test_a_run_without_prototypes_says_how_else_to_label(
    hintseg, run_folder, data_folder, tmp_path
):
    images, out = data_folder / "images", tmp_path / "m"
    for words in (
        ["predict", run_folder, images, "--out", out],
        ["evaluate", run_folder, data_folder],
    ):
        code, _, err = hintseg(*words, "--by", "retrieval")
        assert (code, len(err.strip().splitlines())) == (1, 1)
        assert "has no prototypes" in err
        assert "use --by classifier, or train with --method spml" in err
    assert not out.exists()


def test_pseudo_labels_of_the_images_with_hints(
    hintseg, run_with_prototypes, data_folder, tmp_path
):
    run, out = run_with_prototypes, tmp_path / "labels"
    (data_folder / "hints" / "herd.json").unlink()
    words = ["label", run, data_folder, "--out", out, "--confidence", "0.6", "--overlays"]
    code, text, _ = hintseg(*words)
    assert (code, "3 label maps written, 1 images without hints" in text) == (0, True)
    assert len(list((out / "overlays").glob("*.png"))) == 3
    with PillowImage.open(out / "hill.png") as picture:
        assert (picture.mode, picture.size) == ("P", (56, 40))
    code, text, _ = hintseg(*words)
    assert (code, "0 label maps written, 3 finished before" in text) == (0, True)
    code, _, err = hintseg(*words, "--by", "retrieval")
    assert (code, "other options" in err, len(err.strip().splitlines())) == (1, True, 1)
    assert hintseg(*words[:4], tmp_path / "other", "--by", "retrieval")[0] == 0


def test_hints_are_labelled_as_wide_as_the_run_drew_them(hintseg, data_folder, tmp_path):
    run, out = tmp_path / "run", tmp_path / "labels"
    wide = ["--set", "train.point_radius=0.1", "--set", "train.scribble_width=0.1"]
    words = ["train", data_folder, "--method", "partial", "--out", run, *SMALL, *wide]
    assert hintseg(*words)[0] == 0
    assert hintseg("label", run, data_folder, "--out", out)[0] == 0
    record = json.loads((out / "label.json").read_text())
    assert (record["point_radius"], record["scribble_width"]) == (0.1, 0.1)


def test_segments_like_the_one_under_a_pixel(hintseg, run_folder, data_folder, tmp_path):
    page = tmp_path / "like.html"
    words = ["retrieve", run_folder, data_folder, "--image", "pond", "--at", "30,25", "--out", page]
    code, out, _ = hintseg(*words, "--top", "4")
    assert (code, "4 segments of 7 other images" in out) == (0, True)
    assert page.read_text().count("<img") == 6
    (data_folder / "images" / "herd.png").write_bytes(b"broken")
    code, out, err = hintseg(*words)
    assert (code, "10 segments of 6 other images" in out, "herd.png" in err) == (1, True, True)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"--image": "pnd"}, "no image named 'pnd'; did you mean 'pond'?"),
        ({"--at": "56,0"}, "at 56,0: lies outside image 'pond' of 56 x 40 pixels"),
        ({"--at": "5"}, "--at 5: must be two numbers"),
        ({"--at": "a,b"}, "--at a,b: must be numbers"),
        ({"--top": "0"}, "top: must be at least 1, got 0"),
    ],
)
def test_a_mistake_of_retrieve_is_told(
    hintseg, run_folder, data_folder, tmp_path, changed, message
):
    options = {"--image": "pond", "--at": "5,5", "--out": tmp_path / "x.html", **changed}
    words = [word for option in options.items() for word in option]
    code, _, err = hintseg("retrieve", run_folder, data_folder, *words)
    assert (code, message in err, len(err.strip().splitlines())) == (1, True, 1)
    assert not (tmp_path / "x.html").exists()


def test_a_broken_image_is_reported_at_the_end_and_the_rest_is_done(
    hintseg, run_folder, data_folder, tmp_path
):
    (data_folder / "images" / "aaa.png").write_bytes(b"\x89PNG broken")
    code, out, err = hintseg("predict", run_folder, data_folder / "images", "--out", tmp_path / "m")
    assert code == 1
    assert "8 label maps written" in out
    assert "aaa.png" in err
    code, out, _ = hintseg("predict", run_folder, data_folder / "images", "--out", tmp_path / "m")
    assert "0 label maps written, 8 finished before" in out


def test_a_run_can_be_repeated_from_its_configuration(hintseg, run_folder, data_folder, tmp_path):
    words = [
        "train",
        data_folder,
        "--config",
        run_folder / "config.yaml",
        "--out",
        tmp_path / "again",
    ]
    assert hintseg(*words)[0] == 0
    first, again = (folder / "model.safetensors" for folder in (run_folder, tmp_path / "again"))
    assert first.read_bytes() == again.read_bytes()


def test_the_record_of_a_run_says_what_made_it(run_folder):
    record = json.loads((run_folder / "run.json").read_text())
    assert record["hints"] == {"images": 0}  # a run of `full`
    assert record["extra_supervision"] == [
        "dense masks of 4 images (what it learns from)",
        "dense masks of 2 images (validation: they choose the best step)",
    ]
    assert record["init"]["weights"] == "random"
    assert len(record["data"]["sha256"]) == 64
    assert {"torch", "timm", "hintseg", "python"} <= record["versions"].keys()
    config = yaml.safe_load((run_folder / "config.yaml").read_text())
    assert config["train"]["steps"] == 4
    assert config["train"]["momentum"] == 0.9


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train", "nowhere", "--out", "x"], "nowhere: no such folder"),
        (["train", "{data}", "--out", "x", "--method", "ful"], "did you mean 'full'"),
        (["train", "{data}", "--out", "x", "--backbone", "resnet19"], "did you mean 'resnet1"),
        (["train", "{data}", "--out", "x", "--steps", "0"], "train.steps"),
        (["train", "{data}", "--out", "x", "--precision", "8"], "train.precision"),
        (["train", "{data}", "--out", "x", "--set", "train.foo=1"], "no setting named 'train.foo'"),
        (["train", "{data}", "--out", "x", "--set", "nonsense"], "write section.key=value"),
        (["train", "{data}", "--out", "x", "--config", "no.yaml"], "no.yaml"),
        (["train", "{data}", "--out", "x", "--device", "cuda"], "--device"),
        (
            ["train", "{data}", "--out", "x", "--set", "train.weights=no.pth"],
            "no.pth: no such file",
        ),
        (["predict", "nowhere", "{data}/images", "--out", "x"], "no trained model here"),
        (["predict", "{data}", "{data}/images", "--out", "x"], "no trained model here"),
        (["label", "nowhere", "{data}", "--out", "x"], "no trained model here"),
        (["evaluate", "nowhere", "{data}"], "nowhere: no such folder"),
        (["evaluate", "{data}/masks", "{data}", "--by", "retrieval"], "masks is no run folder"),
        (["evaluate", "{data}/masks", "{data}", "--crf"], "--crf deeplab: {data}/masks is no run"),
        (["evaluate", "{data}/masks", "{data}", "--crf", "pas"], "did you mean 'psa'?"),
        (["evaluate", "{data}/masks", "{data}", "--split", "tset"], "no split 'tset'"),
        (["evaluate", "{data}/masks", "{data}", "--trimap", "x"], "--trimap x: must be numbers"),
        (["evaluate", "{data}/masks", "{data}", "--trimap", "0"], "1 pixel or more"),
        (["simulate", "{data}", "--hints", "dots", "--out", "x"], "'dots' is no kind of hint"),
        (
            ["simulate", "{data}", "--hints", "points", "--fraction", "2", "--out", "x"],
            "--fraction",
        ),
        (["simulate", "{data}", "--hints", "points", "--out", "{data}"], "exists already"),
        (["demo", "--out", "{data}"], "exists already"),
    ],
)
def test_a_mistake_is_answered_in_one_or_two_lines(
    hintseg, data_folder, tmp_path, words, message, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    code, _, err = hintseg(*(word.replace("{data}", str(data_folder)) for word in words))
    assert code == 1
    assert message.replace("{data}", str(data_folder)) in " ".join(err.split())
    assert len(err.strip().splitlines()) <= 2


@pytest.mark.parametrize("option", ["train.weights=no.pth", "train.freeze=9", "train.scale=[2, 1]"])
def test_a_run_that_could_not_start_leaves_no_folder_behind(hintseg, data_folder, tmp_path, option):
    code, _, _ = hintseg("train", data_folder, "--out", tmp_path / "run", *TINY, "--set", option)
    assert code == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("words", [["train"], ["nonsense"], ["train", "x", "--steps", "many"]])
def test_a_wrong_call_exits_with_two(hintseg, words):
    assert hintseg(*words)[0] == 2


def test_check_lists_every_problem_and_exits_with_one(hintseg, data_folder):
    (data_folder / "masks" / "pond.png").write_bytes(b"")
    (data_folder / "hints" / "herd.json").write_text("{")
    (data_folder / "splits" / "val.txt").write_text("pond\nfield\nghost\n")
    code, out, _ = hintseg("check", data_folder)
    assert code == 1
    for part in ("pond.png", "herd.json", "ghost", "field"):
        assert part in out


def test_training_on_a_set_with_a_broken_hint_names_the_file(hintseg, data_folder, tmp_path):
    (data_folder / "hints" / "herd.json").write_text("{")
    code, _, err = hintseg("train", data_folder, "--out", tmp_path / "run", *SMALL)
    assert code == 1
    assert "herd.json" in err


def in_sub_folders(root):
    """The data set with every image in a sub-folder, splits as lists of files, one hint beside."""
    for split in ("train", "val", "test"):
        file = root / "splits" / f"{split}.txt"
        names = file.read_text().split()
        for path in (p for n in names for p in root.glob(f"*/{n}.*")):
            (path.parent / split).mkdir(exist_ok=True)
            path.rename(path.parent / split / path.name)
        file.write_text("\ufeff" + "".join(f"images/{split}/{name}.png\r\n" for name in names))
    (root / "hints" / "train" / "herd.json").rename(root / "images" / "train" / "herd.json")
    return root


@pytest.mark.parametrize("method", ["partial", "spml"])
def test_sub_folders_go_the_whole_way(hintseg, data_folder, tmp_path, method):
    in_sub_folders(data_folder)
    run, masks, labels = tmp_path / "run", tmp_path / "masks", tmp_path / "labels"
    code, out, _ = hintseg("check", data_folder)
    assert (code, "no problems" in out) == (0, True)
    words = ["--set", "spml.relabel.rounds=[classifier]"] if method == "spml" else []
    assert hintseg("train", data_folder, "--method", method, "--out", run, *SMALL, *words)[0] == 0
    assert hintseg("predict", run, data_folder / "images", "--out", masks, "--overlays")[0] == 0
    assert (masks / "val" / "pond.png").is_file()
    assert (masks / "overlays" / "val" / "pond.png").is_file()
    assert hintseg("evaluate", masks, data_folder)[0] == 0
    code, out, _ = hintseg("label", run, data_folder, "--out", labels)
    assert "4 label maps written" in out
    assert (labels / "train" / "herd.png").is_file()
    hinted = tmp_path / "hinted"
    assert hintseg("simulate", data_folder, "--hints", "tags,boxes", "--out", hinted)[0] == 0
    code, out, _ = hintseg("check", hinted)
    assert (code, "warning" in out) == (0, False)
    if method == "spml":  # tags and boxes: seeds, too, lie in sub-folders
        seeded = tmp_path / "seeded"
        stages = ("localise", "localise.agreement", "classify")
        few = [word for stage in stages for word in ("--set", f"spml.{stage}.steps=2")]
        assert hintseg("train", hinted, "--out", seeded, *SMALL, *few)[0] == 0
        assert len(list(seeded.glob("localise/seeds/train/*.png"))) == 4
        page = tmp_path / "pond.html"
        words = ["--image", "images/val/pond.png", "--at", "9,9", "--out", page]
        assert hintseg("retrieve", seeded, hinted, *words)[0] == 0


def test_predict_names_what_it_does_not_use(hintseg, run_folder, data_folder, tmp_path):
    (data_folder / "images" / "x.psd").touch()
    code, out, err = hintseg("predict", run_folder, data_folder / "images", "--out", tmp_path / "m")
    assert (code, "8 label maps written" in out) == (0, True)
    assert "1 file (x.psd) not used: .psd is no format that is read; convert to" in err


@pytest.mark.parametrize("coding", ["cp1252", "ascii"])
def test_names_that_the_console_cannot_show_are_no_error(data_folder, coding):
    text = (data_folder / "dataset.yaml").read_text().replace("sky", "'空 [red]'")
    (data_folder / "dataset.yaml").write_text(text, encoding="utf-8")
    for path in (data_folder / "hints").glob("*.json"):
        path.write_text(path.read_text().replace("sky", "空 [red]"), encoding="utf-8")
    (data_folder / "images" / "牛.psd").touch()
    environment = {**os.environ, "PYTHONIOENCODING": coding, "PYTHONUTF8": "0"}
    for words in (["check"], ["evaluate", data_folder / "masks"]):
        command = [sys.executable, "-m", "hintseg.cli", *words, data_folder]
        done = subprocess.run(command, capture_output=True, check=False, env=environment)
        assert (done.returncode, done.stderr) == (0, b"")
        assert rb"\u7a7a [red]" in done.stdout
        assert (rb"\u725b.psd" in done.stdout) == (words == ["check"])


@pytest.mark.parametrize("command", ["train", "check", "evaluate"])
def test_masks_of_0_and_255_are_said_with_the_remedy(hintseg, data_folder, tmp_path, command):
    (data_folder / "dataset.yaml").write_text(
        "classes: [rest, cow]\nsplits: {train: splits/train.txt, val: splits/val.txt}\n"
    )
    for path in (data_folder / "masks").iterdir():
        cow = np.asarray(PillowImage.open(path)) == 1
        PillowImage.fromarray((cow * 255).astype(np.uint8)).save(path)
    words = {
        "train": ["train", data_folder, "--method", "full", "--out", tmp_path / "run", *SMALL],
        "check": ["check", data_folder],
        "evaluate": ["evaluate", data_folder / "masks", data_folder],
    }[command]
    _, out, err = hintseg(*words)
    (line,) = [line for line in (out + err).splitlines() if "0 and 255" in line]
    assert "warning: " in line
    assert "write values: {0: rest, 255: cow} in dataset.yaml" in line
    assert (line in err) == (command == "train")
    with (data_folder / "dataset.yaml").open("a") as file:
        file.write("values: {0: rest, 255: cow}\n")
    _, out, err = hintseg(*(tmp_path / "again" if w == tmp_path / "run" else w for w in words))
    assert "0 and 255" not in out + err


def test_ctrl_c_says_how_to_go_on(hintseg, data_folder, tmp_path, monkeypatch):
    original = TrainingMonitor.on_step

    def on_step(self, step, losses, waited, *, advance):
        if step == 1:
            signal.raise_signal(signal.SIGINT)
        original(self, step, losses, waited, advance=advance)

    monkeypatch.setattr(TrainingMonitor, "on_step", on_step)
    words = ["train", data_folder, "--method", "full", "--out", tmp_path / "run", *SMALL]
    code, _, err = hintseg(*words)
    assert (code, err.strip()) == (
        1,
        "hintseg: interrupted; continue with the same command and --resume",
    )
    monkeypatch.undo()
    assert hintseg_again(words) == 0


@pytest.mark.parametrize(
    "settings", [["relabel.steps=0"], ["relabel.sharpness=2", "relabel.crf=psa"]]
)
def test_label_does_what_the_stage_of_the_run_did(hintseg, data_folder, tmp_path, settings):
    words = ["train", data_folder, *SMALL, "--out", "{run}"]
    for setting in ("train.zoom=1", "spml.relabel.confidence=0.4", "spml.classify.steps=0"):
        words += ["--set", setting]
    for setting in settings:
        words += ["--set", f"spml.{setting}"]
    run, out = tmp_path / "run", tmp_path / "labels"
    assert hintseg(*(run if word == "{run}" else word for word in words))[0] == 0
    assert hintseg("label", run, data_folder, "--confidence", "0.4", "--out", out)[0] == 0
    for file in (run / "relabel" / "labels").iterdir():
        stage, mine = (np.asarray(PillowImage.open(path)) for path in (file, out / file.name))
        assert len(np.unique(stage)) > 1
        assert np.array_equal(stage, mine)
    plain = tmp_path / "plain"
    (run / "config.yaml").unlink()  # nothing is known of the run: the defaults
    assert hintseg("label", run, data_folder, "--confidence", "0.4", "--out", plain)[0] == 0
    maps = [[(f / f"{n}.png").read_bytes() for n in ("herd", "hill")] for f in (out, plain)]
    assert maps[0] != maps[1]


def test_a_disk_that_is_full_during_training_is_one_line_and_the_run_goes_on(
    hintseg, data_folder, tmp_path
):
    words = ["train", data_folder, "--method", "full", *SMALL]
    words += ["--set", "train.checkpoint_every=2", "--set", "train.log_every=1"]
    words += ["--set", "train.validate_images=0", "--out"]
    assert hintseg(*words, tmp_path / "whole")[0] == 0
    with room_for(100_000):
        code, _, err = hintseg(*words, tmp_path / "run")
    assert (code, len(err.strip().splitlines())) == (1, 1)
    assert "run/checkpoint/train.safetensors: cannot be written (File too large); make room" in err
    assert err.strip().endswith("then continue with the same command and --resume")
    assert not [path for path in (tmp_path / "run" / "checkpoint").iterdir()]
    assert hintseg(*words, tmp_path / "run", "--resume")[0] == 0
    models = [(tmp_path / run / "model.safetensors").read_bytes() for run in ("run", "whole")]
    assert models[0] == models[1]


@pytest.mark.parametrize(
    ("words", "file"),
    [
        (["predict", "{run}", "{data}/images", "--out", "m"], "m/predict.json"),
        (["label", "{run}", "{data}", "--out", "m"], "m/label.json"),
        (["simulate", "{data}", "--hints", "points", "--out", "m"], "m/hints/field.json"),
        (["check", "{data}", "--out", "m.html"], "m.html"),
        (["evaluate", "{run}", "{data}", "--json", "m.json"], "m.json"),
        (
            ["retrieve", "{run}", "{data}", *["--image", "pond", "--at", "9,9", "--out", "m.html"]],
            "m.html",
        ),
        (["demo", "--out", "m"], "m/scenes/images/train_0000.png"),
    ],
)
def test_what_a_command_could_not_write_is_one_line(
    hintseg, run_folder, data_folder, tmp_path, monkeypatch, words, file
):
    monkeypatch.chdir(tmp_path)
    places = {"run": run_folder, "data": data_folder}
    with room_for(20):
        code, _, err = hintseg(*(word.format(**places) for word in words))
    assert (code, len(err.strip().splitlines())) == (1, 1)
    assert f"hintseg: {file}: cannot be written (File too large); make room there or" in err
    assert not [path for path in tmp_path.glob("m*/**/*") if path.is_file()]


def hintseg_again(words):
    command = [sys.executable, "-m", "hintseg.cli", *map(str, words), "--resume"]
    return subprocess.run(command, check=False, capture_output=True).returncode


def test_two_processes_of_one_command_or_of_torchrun_stopped_train_the_same(data_folder, tmp_path):
    """All stages of spml; rank 1 alone is told to stop, and both do, when all is saved."""
    words = [data_folder, "--method", "spml", *SMALL, "--batch", "4"]
    for key, value in TINY_SPML.items():
        words += ["--set", f"{key}={value}"]
    stopped = tmp_path / "stopped"
    stop = ["-c", STOP_RANK_1, "train", *words, "--out", stopped]
    assert "continue with the same command and --resume" in torchrun(*stop, code=1).stderr
    assert (stopped / "checkpoint" / "embed.safetensors").is_file()
    again = ["-m", "hintseg.cli", "train", *words, "--out"]
    whole = finished([*again, tmp_path / "whole", "--devices", "2"])
    done = [torchrun(*again, stopped, "--resume"), whole]
    assert [one.stdout.count("finished; report") for one in done] == [1, 1]
    runs = [Run(stopped), Run(tmp_path / "whole")]
    models = [(run.root / "model.safetensors").read_bytes() for run in runs]
    assert models[0] == models[1]
    logs = [
        [(line["stage"], line["step"], line.get("loss")) for line in run.read_log()] for run in runs
    ]
    assert logs[0] == logs[1]
    assert len(logs[0]) == len(set(logs[0]))
    assert len(list((stopped / "relabel" / "labels").glob("*.png"))) == 4
    assert len(list((stopped / "regions").glob("*.png"))) == 4


TINY_SPML = {
    "train.log_every": 1,
    "train.validate_images": 0,
    "spml.localise.steps": 2,
    "spml.localise.agreement.steps": 2,
    "spml.classify.steps": 2,
    "spml.relations.affinity": 0.1,
}
STOP_RANK_1 = """
import os, signal, sys
from hintseg.cli import main
from hintseg.engine.monitor import TrainingMonitor
on_step = TrainingMonitor.on_step
def stop(self, step, *values, **named):
    if (os.environ["RANK"], self.stage, step) == ("1", "embed", 1):
        signal.raise_signal(signal.SIGTERM)
    on_step(self, step, *values, **named)
TrainingMonitor.on_step = stop
main()
"""


def torchrun(*words, code=0):
    """Two processes of a program; a failing one ends the other."""
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", "--no-python"]
    return finished([*launch, sys.executable, *words], code=code)


def finished(words, *, code=0):
    """A process of Python that has ended with this code."""
    done = subprocess.run(
        [sys.executable, *map(str, words)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == code, done.stderr[-3000:]
    return done


def test_the_library_does_what_the_commands_do(data_folder, tmp_path):
    import hintseg  # noqa: PLC0415 - the fixture of this name is the command line

    settings = {"train": {"steps": 2, "crop": 32, "batch": 2, "weights": "random", "device": "cpu"}}
    run = hintseg.train(data_folder, tmp_path / "run", method="full", settings=settings)
    image = open_dataset(data_folder).image("pond")
    prediction = hintseg.load(run).predict(image, flip=True)
    assert prediction.labels.shape == image.shape[:2]
    total = prediction.scores.sum(dim=0).numpy()
    assert total == pytest.approx(np.ones_like(total), abs=1e-5)
    figures = hintseg.evaluate(Path(run), hintseg.open_dataset(data_folder))
    assert 0 <= figures.miou <= 1


def test_import_says_what_it_took_and_what_it_left(hintseg, data_folder, tmp_path):
    """From a COCO file to a data set without errors; a second time it refuses."""
    content = {
        "images": [{"id": 1, "file_name": "field.png", "height": 40, "width": 56}],
        "annotations": [
            {"image_id": 1, "category_id": 1, "bbox": [2, 3, 10, 20]},
            {"image_id": 1, "category_id": 1, "bbox": [2, 3, 0, 20]},
        ],
        "categories": [{"id": 1, "name": "cow"}],
    }
    source = tmp_path / "coco.json"
    source.write_text(json.dumps(content))
    words = ["import", "coco", source, "--images", data_folder / "images", "--out", tmp_path / "in"]
    code, out, err = hintseg(*words)
    assert (code, err) == (0, "")
    assert "1 images (no splits), 1 with hints" in out
    assert "left: 1 x an empty box, 0 wide and 20 high" in out
    assert "annotations[1]" in out
    assert hintseg("check", tmp_path / "in")[0] == 0
    code, _, err = hintseg(*words)
    assert code == 1
    assert "exists already" in err
    assert hintseg("import", "coca", source, "--out", tmp_path / "x")[2].count("\n") == 1


def test_objects_from_training_to_figures(hintseg, data_folder, tmp_path):
    run, out, figures = tmp_path / "run", tmp_path / "out", tmp_path / "figures.json"
    more = ["--method", "ldf", "--set", "ldf.foreground=cow", "--set", "ldf.fine_steps=2"]
    assert hintseg("train", data_folder, "--out", run, *more, *SMALL)[0] == 0
    code, text, _ = hintseg("evaluate", run, data_folder, "--json", figures, "--normalise")
    assert code == 0
    assert "saliency maps, normalised: MAE 0." in text
    written = json.loads(figures.read_text())
    assert written["normalised"] is True
    assert 0 <= written["saliency"]["mae"] <= 1
    words = ["predict", run, data_folder / "images", "--threshold", "0.5", "--out", out]
    assert hintseg(*words)[0] == 0
    assert len(list((out / "saliency").glob("*.png"))) == len(list(out.glob("*.png"))) == 8
    code, _, error = hintseg("train", data_folder, "--method", "ldf", "--out", tmp_path / "no")
    assert code == 1
    assert "or the class of the objects by --set ldf.foreground=NAME" in error
