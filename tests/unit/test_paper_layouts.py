"""Data sets of papers as their users have them on disk come in, and every recipe starts on them."""

import numpy as np
import pytest
from PIL import Image as PillowImage

from hintseg import cli
from hintseg.data.check.checking import check
from hintseg.data.dataset import open_dataset
from hintseg.errors import DataError, UnknownNameError
from hintseg.formats.importing import import_dataset
from hintseg.formats.sbd import read_segmentation
from layouts import OF_SBD, OF_VOC, VAL, densepose, duts, voc2012, voc_mask


@pytest.fixture(scope="module")
def voc(tmp_path_factory):
    return voc2012(tmp_path_factory.mktemp("voc"))


def imported(format_, source, out, kinds=()):
    result = import_dataset(format_, source, out, kinds=kinds)
    assert not check(out).errors
    return result, open_dataset(out)


def kinds_of(result):
    return {kind for kind, _ in result.counts}


def test_voc_with_sbd_is_the_training_set_of_the_field(voc, tmp_path):
    result, dataset = imported("voc", voc, tmp_path / "out", ["masks"])
    assert dataset.names("train") == tuple(sorted((*OF_VOC, *OF_SBD)))
    assert dataset.names("val") == VAL  # though SBD has a mask of the second one
    assert len(dataset.classes) == 21
    assert result.masks == 10
    assert kinds_of(result) == {"dense"}
    assert not any("several images" in reason for reason in result.left)


def test_voc_counts_before_sbd_and_has_its_void(voc, tmp_path):
    dataset = imported("voc", voc, tmp_path / "out", ["masks"])[1]
    expected = np.where(voc_mask(0) == 255, -2, voc_mask(0).astype(int))
    assert (dataset.truth(OF_VOC[0]) == expected).all()
    assert set(np.unique(dataset.truth(OF_SBD[0]))) == {0, 7}


@pytest.mark.parametrize(
    ("kind", "found"),
    [("scribbles", "scribble"), ("points", "point"), ("boxes", "box"), ("painted", "mask")],
)
def test_one_kind_of_hints_is_taken_without_the_others(voc, tmp_path, kind, found):
    result, dataset = imported("voc", voc, tmp_path / "out", [kind, "masks"])
    assert kinds_of(result) == {found, "dense"}
    assert {*dataset.hinted_names()} == {*OF_VOC, *OF_SBD}
    names = {dataset.classes.names[label] for found, label in result.counts}
    assert names == {"background", "car", "person"}
    assert not any("sky" in reason for reason in result.left)  # of PASCAL-Context


def test_clicks_of_one_person_count_once(voc, tmp_path):
    result = imported("voc", voc, tmp_path / "out", ["points", "masks"])[0]
    assert sum(number for (kind, _), number in result.counts.items() if kind == "point") == 8
    assert any("further clicks" in reason for reason in result.left)


def test_a_list_of_the_augmented_set_counts_before_all_others(voc, tmp_path):
    source = voc2012(tmp_path / "source")
    sets = source / "VOCdevkit" / "VOC2012" / "ImageSets" / "Segmentation"
    lines = [f"/JPEGImages/{n}.jpg /SegmentationClassAug/{n}.png" for n in (*OF_VOC, *OF_SBD[:2])]
    (sets / "train_aug.txt").write_text("\n".join(lines))
    dataset = imported("voc", source, tmp_path / "out", ["masks"])[1]
    assert dataset.names("train") == tuple(sorted((*OF_VOC, *OF_SBD[:2])))


def test_an_unknown_kind_is_named(voc, tmp_path):
    with pytest.raises(UnknownNameError, match="did you mean 'scribbles'"):
        import_dataset("voc", voc, tmp_path / "out", kinds=["scribble"])


@pytest.mark.parametrize("content", [b"", b"MATLAB 5.0", bytes(600)])
def test_a_damaged_mask_of_sbd_is_one_line(tmp_path, content):
    path = tmp_path / "a.mat"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"no mask of SBD, or damaged|cannot be read"):
        read_segmentation(path)


def test_densepose_has_its_points_and_parts_where_they_lie(tmp_path):
    source = densepose(tmp_path / "source")
    result, dataset = imported("densepose", source, tmp_path / "out")
    assert (result.images, result.masks, dict(result.splits)) == (6, 6, {"train": 4, "val": 2})
    assert len(dataset.classes) == 15
    name = next(name for name in dataset.names("train") if name.endswith("2"))
    shown = {
        (dataset.classes.names[shape.label], shape.points[0])
        for shape in dataset.hints(name).shapes
    }
    # (128 of 256 of 32 pixels from 10, 32 of 256 of 40 pixels from 4), pixel centres at 0
    assert shown == {("head", (25.5, 8.5)), ("torso", (17.5, 23.5))}
    truth = dataset.truth(name)
    assert truth[0, 0] == 0
    assert truth[3, 9] == -2  # of the person, and of no part
    assert (truth[4:14, 10:42] == dataset.classes.index("head")).all()
    assert (truth[14:44, 10:42] == dataset.classes.index("torso")).all()


def test_a_person_without_parts_is_void(tmp_path):
    dataset = imported("densepose", densepose(tmp_path / "source"), tmp_path / "out")[1]
    name = next(name for name in dataset.names("train") if name.endswith("1"))
    assert dataset.truth(name)[12, 58] == -2
    assert dataset.truth(name)[29, 52] == 0


def test_soft_masks_of_duts_are_cut_at_half(tmp_path):
    source = duts(tmp_path / "source")
    result, dataset = imported("saliency", source, tmp_path / "out")
    assert dict(result.splits) == {"train": 4, "test": 2}
    assert dataset.classes.names == ("background", "object")
    name = dataset.names("test")[0]
    file = next((source / "DUTS-TE" / "DUTS-TE-Mask").glob(f"*{name[-8:]}.png"))
    grey = np.asarray(PillowImage.open(file))
    assert 0 < (dataset.truth(name) == 1).sum() < (grey > 0).sum()
    assert ((dataset.truth(name) == 1) == (grey >= 128)).all()


def test_duts_as_ldf_has_it(tmp_path):
    source = duts(tmp_path / "source")
    flat = tmp_path / "flat"
    for folder, kind in (("DUTS-TR-Image", "image"), ("DUTS-TR-Mask", "mask")):
        (flat / kind).mkdir(parents=True)
        for file in (source / "DUTS-TR" / folder).iterdir():
            file.rename(flat / kind / file.name)
    names = sorted(file.stem for file in (flat / "image").iterdir())
    (flat / "train.txt").write_text("\n".join(names[:3]))
    (flat / "test.txt").write_text("\n".join(names[3:]))
    result = imported("saliency", flat, tmp_path / "out")[0]
    assert dict(result.splits) == {"train": 3, "test": 1}
    assert result.masks == 4


def test_the_command_takes_what_is_asked_for(voc, tmp_path, monkeypatch, capsys):
    words = ["import", "voc", str(voc), "--only", "scribbles,masks", "--out", str(tmp_path / "out")]
    monkeypatch.setattr("sys.argv", ["hintseg", *words])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert not stop.value.code
    assert "scribble" in capsys.readouterr().out
