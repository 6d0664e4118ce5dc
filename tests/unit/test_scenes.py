"""Photo scenes: reproducible, complete, exact, and made from installed photographs only."""

import socket
from pathlib import Path

import numpy as np
import pytest
import yaml
from scipy import ndimage

from hintseg.data.scenes import cutouts
from hintseg.data.scenes.composing import (
    GROUNDS,
    OBJECTS,
    SCENE_CLASSES,
    SCENE_RECIPES,
    SPLITS,
    compose_scene,
    write_scenes,
)
from hintseg.data.scenes.cutouts import OUTLINES, coins, cut_out
from hintseg.data.scenes.grounds import PARTS, SKIES
from hintseg.errors import DataError
from hintseg.images.label_maps import read_label_map
from hintseg.images.photographs import read_image
from hintseg.structures import VOID

COUNTS = {"train": 60, "val": 20, "test": 20}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("scenes")
    write_scenes(root, **COUNTS)
    return root


def names_of(root, split):
    return (root / "splits" / f"{split}.txt").read_text().split()


def mask_of(root, name):
    path = root / "masks" / f"{name}.png"
    return read_label_map(path, classes=len(SCENE_CLASSES), undeclared=VOID)


def files_of(root, pattern="*"):
    paths = [path for path in sorted(root.rglob(pattern)) if path.is_file()]
    return {str(path.relative_to(root)): path.read_bytes() for path in paths}


def test_the_description_names_the_classes_and_splits(folder):
    description = yaml.safe_load((folder / "dataset.yaml").read_text())
    assert description["classes"] == list(SCENE_CLASSES)
    assert description.get("background") is None
    assert set(description["splits"]) == set(SPLITS)
    for split, path in description["splits"].items():
        assert len((folder / path).read_text().split()) == COUNTS[split]


def test_every_scene_has_an_image_and_a_full_mask_of_its_size(folder):
    for split in SPLITS:
        for name in names_of(folder, split):
            mask = mask_of(folder, name)
            assert read_image(folder / "images" / f"{name}.png").shape == (120, 160, 3)
            assert mask.shape == (120, 160)
            assert mask.min() >= 0


@pytest.mark.parametrize("split", SPLITS)
def test_every_class_is_seen_in_every_split(folder, split):
    masks = [mask_of(folder, name) for name in names_of(folder, split)]
    pixels = np.bincount(np.stack(masks).ravel(), minlength=len(SCENE_CLASSES))
    assert (pixels > 0.005 * pixels.sum()).all(), dict(zip(SCENE_CLASSES, pixels, strict=True))


def test_no_name_is_in_two_splits(folder):
    names = [name for split in SPLITS for name in names_of(folder, split)]
    assert len(names) == len(set(names)) == sum(COUNTS.values())


def test_the_same_seed_writes_the_same_bytes(tmp_path):
    for run in ("one", "two"):
        write_scenes(tmp_path / run, train=2, val=1, test=1, seed=3)
    assert files_of(tmp_path / "one") == files_of(tmp_path / "two")


def test_another_seed_makes_other_scenes(tmp_path):
    write_scenes(tmp_path / "one", train=1, val=0, test=0, seed=3)
    write_scenes(tmp_path / "two", train=1, val=0, test=0, seed=4)
    first, second = (files_of(tmp_path / run, "*.png") for run in ("one", "two"))
    assert first.keys() == second.keys()
    assert first != second


def test_a_scene_does_not_depend_on_how_many_others_are_made(folder, tmp_path):
    write_scenes(tmp_path, train=1, val=0, test=2)
    paths = list(tmp_path.rglob("*.png"))
    assert len(paths) == 6
    for path in paths:
        assert path.read_bytes() == (folder / path.relative_to(tmp_path)).read_bytes()


def test_a_scene_is_composed_alike_from_the_same_random_numbers():
    one, two = (compose_scene(np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(one[0], two[0])
    np.testing.assert_array_equal(one[1], two[1])


@pytest.mark.parametrize("size", [(8, 8), (33, 200), (200, 33), (240, 320)])
def test_a_scene_has_the_size_asked_for(size):
    image, labels = compose_scene(np.random.default_rng(1), size, split="test")
    assert image.shape == (*size, 3)
    assert labels.shape == size
    assert labels.min() >= 0


def test_an_object_is_mostly_in_one_piece():
    """Coins come in numbers, and an object in front may cut another in two; crumbs are a fault."""
    for seed in range(40):
        labels = compose_scene(np.random.default_rng(seed))[1]
        for name in set(OBJECTS) - {"coin"}:
            mask = labels == SCENE_CLASSES.index(name)
            pieces, count = ndimage.label(mask, structure=np.ones((3, 3)))
            areas = np.sort(np.bincount(pieces.ravel())[1:])
            if count:
                assert areas[-1] >= 0.4 * mask.sum()
                assert areas[-1] >= 20


def test_the_mask_is_where_the_object_is():
    """The orange suit shows against the grounds exactly where the mask says astronaut."""
    reds = []
    for seed in range(60):
        image, labels = compose_scene(np.random.default_rng(seed))
        inside = labels == SCENE_CLASSES.index("astronaut")
        if inside.sum() > 500:
            redness = image[..., 0].astype(float) - image[..., 2]
            reds.append((redness[inside].mean(), redness[labels < len(GROUNDS)].mean()))
    suit, ground = np.mean(reds, axis=0)
    assert suit > ground + 30


def test_the_grounds_of_the_splits_are_disjoint_parts_of_the_photographs():
    for parts in (PARTS, SKIES):
        seen = np.zeros((512, 640), dtype=int)
        for part in parts.values():
            seen[part] += 1
        assert seen.max() == 1


@pytest.mark.parametrize("name", sorted(OUTLINES))
def test_a_cutout_is_solid_inside_clear_outside_and_soft_between(name):
    alpha = cut_out(name)[..., 3] / 255.0
    assert (alpha > 0.95).mean() > 0.3
    soft = ((alpha > 0.05) & (alpha < 0.95)).mean()
    assert 0 < soft < 0.2
    pieces, count = ndimage.label(alpha >= 0.5)
    assert np.bincount(pieces.ravel())[1:].max() > 0.99 * (pieces > 0).sum(), count
    holes = ndimage.binary_fill_holes(alpha >= 0.5).sum() - (alpha >= 0.5).sum()
    assert holes < 0.02 * alpha.size


def test_a_cutout_is_made_once_a_process():
    assert cut_out("cat") is cut_out("cat")
    assert coins() is coins()


def test_there_are_two_dozen_coins_nearly_round():
    assert len(coins()) == 24
    for coin in coins():
        height, width = coin.shape[:2]
        assert (coin[..., 3] >= 128).sum() == pytest.approx(np.pi / 4 * height * width, rel=0.2)


def test_every_object_has_a_cutout_and_a_habit():
    assert set(SCENE_RECIPES) == set(OBJECTS) == set(OUTLINES) | {"coin"}


def test_no_network_is_touched(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("scenes must not use the network")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    assert cut_out.__wrapped__("cup").shape[2] == 4
    compose_scene(np.random.default_rng(0))


def test_a_missing_photograph_is_named_with_a_remedy(monkeypatch):
    monkeypatch.setattr(cutouts, "PHOTOGRAPHS", Path("nowhere"))
    with pytest.raises(
        DataError, match=r"nowhere.cup\.png: no such photograph; reinstall scikit-image"
    ):
        cutouts.photograph("cup.png")
