"""A data set with masks becomes one with hints that shares its images."""

import numpy as np
import pytest
import yaml
from PIL import Image as PillowImage

from hintseg.data.dataset import open_dataset
from hintseg.data.simulated import KINDS, simulate_dataset
from hintseg.errors import ConfigError, DataError
from hintseg.images.label_maps import write_label_map
from hintseg.images.photographs import write_png
from hintseg.structures import VOID

TRAIN = ("field", "herd", "hill", "meadow")


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def kinds_of(dataset, name):
    hints = dataset.hints(name)
    return {shape.kind for shape in hints.shapes} | ({"tag"} if hints.flags else set())


def test_the_new_data_set_shares_images_masks_splits_and_classes(dataset, out):
    assert simulate_dataset(dataset, out, kinds=["points"]) == 4
    made = open_dataset(out)
    assert made.classes == dataset.classes
    assert made.splits == dataset.splits
    assert tuple(made.images) == tuple(dataset.images)
    for name in dataset.images:
        assert np.array_equal(made.image(name), dataset.image(name))
        assert np.array_equal(made.truth(name), dataset.truth(name))
    assert {path.name for path in out.iterdir()} == {"dataset.yaml", "hints", "splits"}


def test_only_the_train_split_gets_hints(dataset, out):
    simulate_dataset(dataset, out, kinds=["tags"])
    made = open_dataset(out)
    assert tuple(name for name in made.images if made.has_hints(name)) == TRAIN


@pytest.mark.parametrize(
    ("kind", "drawn"),
    [("tags", {"tag"}), ("boxes", {"box"}), ("points", {"point"}), ("scribbles", {"scribble"})],
)
def test_every_kind_can_be_drawn(dataset, out, kind, drawn):
    simulate_dataset(dataset, out, kinds=[kind])
    made = open_dataset(out)
    for name in TRAIN:
        assert kinds_of(made, name) == drawn
        assert made.hints(name).tags == {0, 1, 2}


def test_all_kinds_are_drawn_on_every_image_unless_they_are_mixed(dataset, tmp_path):
    simulate_dataset(dataset, tmp_path / "all", kinds=KINDS)
    simulate_dataset(dataset, tmp_path / "mixed", kinds=KINDS, mix=True, seed=1)
    together, mixed = open_dataset(tmp_path / "all"), open_dataset(tmp_path / "mixed")
    for name in TRAIN:
        assert kinds_of(together, name) == {"tag", "box", "point", "scribble"}
        assert len(kinds_of(mixed, name)) == 1
    assert len({kind for name in TRAIN for kind in kinds_of(mixed, name)}) > 1


def test_points_and_strokes_lie_on_their_class(dataset, out):
    simulate_dataset(dataset, out, kinds=["points", "scribbles"])
    made = open_dataset(out)
    for name in TRAIN:
        truth = made.truth(name)
        for shape in made.hints(name).shapes:
            for x, y in shape.points:
                assert truth[round(y), round(x)] == shape.label


def test_a_fraction_of_zero_makes_strokes_points(dataset, out):
    simulate_dataset(dataset, out, kinds=["scribbles"], fraction=0.0)
    assert kinds_of(open_dataset(out), "field") == {"point"}


def test_the_seed_decides_everything(dataset, tmp_path):
    def files(folder, seed):
        simulate_dataset(dataset, tmp_path / folder, kinds=KINDS, mix=True, seed=seed)
        return [path.read_bytes() for path in sorted((tmp_path / folder / "hints").iterdir())]

    first = files("a", 0)
    assert files("b", 0) == first
    assert files("c", 1) != first


def test_the_background_is_neither_tagged_nor_boxed(data_folder, out):
    with (data_folder / "dataset.yaml").open("a") as file:
        file.write("background: grass\n")
    simulate_dataset(open_dataset(data_folder), out, kinds=["tags", "boxes"])
    made = open_dataset(out)
    assert made.classes.background == 0
    assert all(made.hints(name).tags == {1, 2} for name in TRAIN)


def test_without_splits_every_image_with_a_mask_gets_hints(data_folder, out):
    path = data_folder / "dataset.yaml"
    path.write_text(yaml.safe_dump({"classes": ["grass", "cow", "sky"]}))
    (data_folder / "masks" / "pond.png").unlink()
    assert simulate_dataset(open_dataset(data_folder), out, kinds=["points"]) == 7
    made = open_dataset(out)
    assert made.splits == {}
    assert set(made.names("train")) == set(made.images) - {"pond"}


def test_a_data_set_can_be_simulated_into_a_folder_of_its_own(dataset):
    out = dataset.root / "points"
    simulate_dataset(dataset, out, kinds=["points"])
    assert yaml.safe_load((out / "dataset.yaml").read_text())["images"] == "../images"
    assert open_dataset(out).hints("field").shapes


def test_a_relative_path_can_be_given(dataset, monkeypatch):
    monkeypatch.chdir(dataset.root.parent)
    here = open_dataset("data")
    simulate_dataset(here, here.root.parent / "out", kinds=["points"])
    assert open_dataset("out").image("field").shape == (40, 56, 3)


def test_the_hints_can_be_opened_in_labelme(dataset, out):
    simulate_dataset(dataset, out, kinds=["points"])
    document = yaml.safe_load((out / "hints" / "field.json").read_text())
    assert document["imagePath"] == "../../data/images/field.png"
    assert (document["imageHeight"], document["imageWidth"]) == (40, 56)


def test_an_image_that_is_void_altogether_gets_empty_hints(data_folder, out):
    write_label_map(data_folder / "masks" / "field.png", np.full((40, 56), VOID), classes=3)
    assert simulate_dataset(open_dataset(data_folder), out, kinds=KINDS) == 4
    assert not open_dataset(out).hints("field").tags


@pytest.mark.parametrize("shape", [(1, 1), (1, 60), (60, 1)])
def test_images_of_one_pixel_or_one_row_get_hints(tmp_path, out, shape):
    root = tmp_path / "thin"
    write_png(root / "images" / "a.png", PillowImage.fromarray(np.zeros((*shape, 3), np.uint8)))
    write_label_map(root / "masks" / "a.png", np.zeros(shape, np.int16), classes=1)
    (root / "dataset.yaml").write_text("classes: [stone]\n")
    simulate_dataset(open_dataset(root), out, kinds=KINDS)
    assert kinds_of(open_dataset(out), "a") >= {"tag", "box", "point"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kinds": []}, "--hints: nothing is no kind of hint; choose from tags, boxes, points"),
        ({"kinds": ["points", "dots"]}, "--hints: 'dots' is no kind of hint"),
        ({"kinds": ["points"], "fraction": 1.5}, "--fraction: must lie between 0 and 1, got 1.5"),
        ({"kinds": ["points"], "fraction": -0.1}, "--fraction: must lie"),
        ({"kinds": ["points"], "fraction": float("nan")}, "--fraction: must lie"),
    ],
)
def test_options_that_cannot_work_are_refused_before_anything_is_written(
    dataset, out, options, message
):
    with pytest.raises(ConfigError, match=message):
        simulate_dataset(dataset, out, **options)
    assert not out.exists()


def test_a_folder_with_content_is_not_touched(dataset, out):
    out.mkdir()
    (out / "note.txt").touch()
    for taken in (out, out / "note.txt", dataset.root):
        with pytest.raises(DataError, match="exists already; choose another --out or delete it"):
            simulate_dataset(dataset, taken, kinds=["points"])
    assert [path.name for path in out.iterdir()] == ["note.txt"]


def test_an_empty_folder_may_be_used(dataset, out):
    out.mkdir()
    assert simulate_dataset(dataset, out, kinds=["points"]) == 4


def test_without_masks_nothing_can_be_simulated(dataset, out):
    for name in TRAIN:
        (dataset.root / "masks" / f"{name}.png").unlink()
    with pytest.raises(DataError, match="masks: no mask for any train image; hints can be"):
        simulate_dataset(dataset, out, kinds=["points"])
    assert not out.exists()


def test_what_values_and_colours_mean_goes_along(data_folder, out):
    with (data_folder / "dataset.yaml").open("a") as file:
        file.write("values: {9: cow, 7: void}\ncolors: {grass: [0, 0, 0], cow: [128, 0, 0], ")
        file.write("sky: [[0, 128, 0], [0, 9, 0]], void: [224, 224, 224]}\n")
    dataset = open_dataset(data_folder)
    simulate_dataset(dataset, out, kinds=["points"])
    made = open_dataset(out)
    assert made.coding == dataset.coding
    assert np.array_equal(made.truth("pond"), dataset.truth("pond"))


@pytest.mark.parametrize(
    "keys", [{"intensity": [0, 4095], "channels": [0, 2]}, {"intensity": "auto"}]
)
def test_how_images_are_read_goes_along(data_folder, out, keys):
    with (data_folder / "dataset.yaml").open("a") as file:
        file.write(yaml.safe_dump(keys))
    dataset = open_dataset(data_folder)
    assert dataset.stored
    simulate_dataset(dataset, out, kinds=["points"])
    assert open_dataset(out).stored == dataset.stored


def test_keys_that_say_nothing_are_not_written(data_folder, out):
    simulate_dataset(open_dataset(data_folder), out, kinds=["points"])
    assert "null" not in (out / "dataset.yaml").read_text()


def test_a_kind_can_be_drawn_on_every_second_image_only(dataset, out):
    simulate_dataset(dataset, out, kinds=["tags", "points:2"])
    made = open_dataset(out)
    drawn = [kinds_of(made, name) for name in made.train_names()]
    assert drawn == [{"tag", "point"}, {"tag"}, {"tag", "point"}, {"tag"}]


@pytest.mark.parametrize("word", ["points:0", "points:x", "points:-2", "clicks:2"])
def test_every_how_many_images_is_a_number_above_zero(dataset, out, word):
    with pytest.raises(ConfigError, match="--hints"):
        simulate_dataset(dataset, out, kinds=[word])


def test_wrong_tags_exchange_one_class_for_one_that_is_not_there(dataset, tmp_path):
    for name in TRAIN[:2]:  # two images without class 2
        mask = dataset.truth(name)
        write_label_map(dataset.mask_path(name), np.where(mask == 2, 1, mask), classes=3)
    simulate_dataset(dataset, tmp_path / "right", kinds=["tags"], seed=3)
    simulate_dataset(dataset, tmp_path / "wrong", kinds=["tags"], seed=3, wrong_tags=1.0)
    right, wrong = open_dataset(tmp_path / "right"), open_dataset(tmp_path / "wrong")
    for name in TRAIN:
        before, after = right.hints(name).flags, wrong.hints(name).flags
        if len(before) == 3:  # there is no class that is not there
            assert after == before
        else:
            assert len(before - after) == 1
            assert after - before == {2}
    with pytest.raises(ConfigError, match="--wrong-tags"):
        simulate_dataset(dataset, tmp_path / "no", kinds=["tags"], wrong_tags=1.5)


def test_an_image_that_gets_no_kind_has_no_hints(dataset, out):
    assert simulate_dataset(dataset, out, kinds=["points:3"]) == 2
    made = open_dataset(out)
    assert [made.has_hints(name) for name in TRAIN] == [True, False, False, True]
