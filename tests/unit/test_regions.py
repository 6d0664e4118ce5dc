"""Regions are connected, numbered in reading order, nested, and end where colours do."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as PillowImage
from scipy import ndimage
from skimage.measure import label as components

from hintseg.errors import ConfigError, DataError, RunError
from hintseg.regions import merging
from hintseg.regions import partition as module
from hintseg.regions.demand import regions_on_demand
from hintseg.regions.files import load_regions, read_edges, read_regions
from hintseg.regions.partition import edge_map, image_regions, regions_from_edges

SIDES = st.integers(1, 40)


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def smooth(height, width, seed=0):
    field = ndimage.gaussian_filter(noise(height, width, seed).astype(float), (3, 3, 0))
    span = max(1e-9, float(np.ptp(field)))
    return ((field - field.min()) * (255 / span)).astype(np.uint8)


def check(found, size):
    """A partition of 4-connected regions in reading order."""
    assert found.shape == size
    assert found.dtype == np.int32
    used, first = np.unique(found, return_index=True)
    assert used.tolist() == list(range(len(used)))
    assert (np.diff(first) > 0).all()
    assert components(found + 1, connectivity=1).max() == len(used)


@given(height=SIDES, width=SIDES, count=st.integers(1, 50), seed=st.integers(0, 3))
@settings(max_examples=60, deadline=None)
def test_regions_partition_the_image(height, width, count, seed):
    for image in (noise(height, width, seed), smooth(height, width, seed)):
        found = image_regions(image, count=count)
        check(found, (height, width))
        assert found.max() < count


def test_the_count_is_met_when_there_are_enough_basins():
    image = noise(60, 70)
    for count in (1, 2, 17, 100):
        assert image_regions(image, count=count).max() + 1 == count


def test_fewer_regions_are_unions_of_more():
    image = smooth(60, 70)
    fine, coarse = image_regions(image, count=30), image_regions(image, count=8)
    assert all(len(np.unique(coarse[fine == region])) == 1 for region in range(30))


def test_two_colours_are_two_regions():
    image = np.zeros((20, 30, 3), dtype=np.uint8)
    image[:, 12:] = (200, 30, 40)
    assert np.array_equal(image_regions(image), np.repeat((np.arange(30) >= 12)[None], 20, axis=0))


def test_four_squares_are_numbered_in_reading_order():
    image = np.zeros((20, 20, 3), dtype=np.uint8)
    image[:10, 10:], image[10:, :10], image[10:, 10:] = 255, (255, 0, 0), (0, 0, 255)
    quarter = (np.arange(20) >= 10).astype(int)
    found = image_regions(image, count=4)
    check(found, (20, 20))
    wrong = found != 2 * quarter[:, None] + quarter[None]
    assert not np.delete(np.delete(wrong, (9, 10), axis=0), (9, 10), axis=1).any()


@pytest.mark.parametrize("size", [(1, 1), (1, 2), (2, 1), (1, 9), (9, 1), (2, 2), (300, 400)])
def test_a_flat_image_is_one_region(size):
    assert not image_regions(np.full((*size, 3), 77, dtype=np.uint8)).any()


def test_more_regions_than_basins_gives_the_basins():
    image = smooth(40, 40)
    assert np.array_equal(image_regions(image, count=10_000), image_regions(image, count=None))


def ward(image, count):
    """Brute force: the pair of neighbours whose union adds least to the squares, until few."""
    values = image.reshape(-1, 1).astype(float)
    label = np.arange(len(values)).reshape(image.shape)
    while len(used := np.unique(label)) > count:
        best = (np.inf, 0, 0)
        pairs = np.concatenate(
            [
                np.stack([label[1:].ravel(), label[:-1].ravel()], 1),
                np.stack([label[:, 1:].ravel(), label[:, :-1].ravel()], 1),
            ]
        )
        for one, other in np.unique(np.sort(pairs[pairs[:, 0] != pairs[:, 1]], 1), axis=0):
            parts = [values[label.ravel() == which] for which in (one, other)]
            both = np.concatenate(parts)
            cost = both.var() * len(both) - sum(part.var() * len(part) for part in parts)
            best = min(best, (cost, one, other))
        label[label == best[2]] = best[1]
    return used, label


def test_merges_follow_the_sum_of_squares(monkeypatch):
    """With lightness alone and every pixel a basin, regions are those of brute force."""
    monkeypatch.setattr(module, "region_features", lambda lab: [lab[..., 0]])
    monkeypatch.setattr(module, "_edges_of", lambda lab: np.ones(lab.shape[:2], dtype=np.float32))
    monkeypatch.setattr(merging.hg, "oriented_watershed", pixels_as_basins)
    image = np.repeat(noise(5, 6)[..., :1], 3, axis=2)
    lightness = module.lab_colours(image)[..., 0]
    for count in (1, 2, 5, 12, 30):
        _, expected = ward(lightness, count)
        expected = module.numbered(expected.ravel()).reshape(5, 6)
        assert np.array_equal(image_regions(image, count=count), expected)


def pixels_as_basins(graph, weights, shape):
    pixels = np.arange(shape[0] * shape[1])
    rag = merging.hg.make_region_adjacency_graph_from_labelisation(graph, pixels)
    return rag, weights


def stripes():
    """Edges of strengths 0.2, 0.5 and 0.9 between four stripes of flat ground."""
    edges = np.zeros((20, 40), dtype=np.float32)
    edges[:, 9:11], edges[:, 19:21], edges[:, 29:31] = 0.2, 0.5, 0.9
    return edges


def test_given_edges_are_cut_from_the_weakest():
    for count, last in ((4, 3), (3, 2), (2, 1), (1, 0), (None, 3), (99, 3)):
        found = regions_from_edges(stripes(), count=count)
        check(found, (20, 40))
        assert found.max() == last
    two = regions_from_edges(stripes(), count=2)
    assert np.array_equal(two[0], (np.arange(40) >= 30).astype(int))


def test_specks_do_not_use_up_the_count():
    edges = stripes()
    edges[2:17:3, 2:5], edges[3:17:3, 2:5] = 1.0, 0.0
    assert regions_from_edges(edges, count=4)[0, [0, 12, 25, 35]].tolist() == [0, 1, 2, 3]


@given(height=SIDES, width=SIDES, count=st.integers(1, 50), seed=st.integers(0, 3))
@settings(max_examples=40, deadline=None)
def test_any_edges_partition_the_image(height, width, count, seed):
    strength = np.random.default_rng(seed).random((height, width), dtype=np.float32)
    for edges in (strength, np.zeros_like(strength), (strength > 0.7).astype(np.float32)):
        found = regions_from_edges(edges, count=count)
        check(found, (height, width))
        assert found.max() < count


def test_ten_thousand_regions_of_noise():
    found = image_regions(noise(200, 300), count=10_000)
    check(found, (200, 300))
    assert 5_000 < found.max() < 10_000


@pytest.mark.parametrize("count", [0, -3])
def test_no_region_at_all_is_an_error(count):
    with pytest.raises(ConfigError, match=f"count must be at least 1, got {count}"):
        image_regions(noise(4, 5), count=count)
    with pytest.raises(ConfigError, match="count"):
        regions_from_edges(np.zeros((4, 5)), count=count)


@pytest.mark.parametrize("value", [np.nan, np.inf, -0.1])
def test_strengths_are_numbers_from_zero_up(value):
    with pytest.raises(ConfigError, match="finite"):
        regions_from_edges(np.full((4, 5), value))


def test_edges_are_strengths():
    for image in (noise(30, 40), smooth(30, 40), noise(1, 1), noise(1, 7)):
        edges = edge_map(image)
        assert edges.shape == image.shape[:2]
        assert edges.dtype == np.float32
        assert (edges >= 0).all()
        assert (edges <= 1).all()
    assert not edge_map(np.full((9, 9, 3), 200, dtype=np.uint8)).any()


def test_a_strong_edge_far_away_changes_nothing():
    image = smooth(40, 80)
    other = image.copy()
    other[:, 60:] = noise(40, 20)
    assert np.array_equal(edge_map(image)[:, :45], edge_map(other)[:, :45])


def test_edges_turn_with_the_image():
    image = smooth(30, 40)
    turned = edge_map(np.ascontiguousarray(np.rot90(image)))
    np.testing.assert_allclose(turned, np.rot90(edge_map(image)), atol=1e-4)


def save(path, values):
    PillowImage.fromarray(values).save(path)
    return path


def test_edges_are_read_from_8_and_16_bit(tmp_path):
    eight = save(tmp_path / "8.png", np.array([[0, 51, 255]], dtype=np.uint8))
    sixteen = save(tmp_path / "16.png", np.array([[0, 13107, 65535]], dtype=np.uint16))
    for path in (eight, sixteen):
        np.testing.assert_allclose(read_edges(path, (1, 3)), [[0, 0.2, 1]], rtol=1e-6)


def test_regions_are_read_from_8_and_16_bit_and_indexed(tmp_path):
    eight = np.array([[7, 7, 255], [0, 7, 255]], dtype=np.uint8)
    indexed = PillowImage.fromarray(eight)
    indexed.putpalette(list(range(256)) * 3)
    indexed.save(tmp_path / "indexed.png")
    save(tmp_path / "8.png", eight)
    save(tmp_path / "16.png", eight.astype(np.uint16) * 257)
    for name in ("8.png", "16.png", "indexed.png"):
        assert read_regions(tmp_path / name, (2, 3)).tolist() == [[0, 0, 1], [2, 0, 1]]


@pytest.mark.parametrize("read", [read_edges, read_regions])
def test_what_cannot_be_read_names_the_file(tmp_path, read):
    grey = save(tmp_path / "grey.png", np.zeros((4, 6), dtype=np.uint8))
    with pytest.raises(DataError, match=r"grey.png: 6 x 4 pixels, its image is 5 x 4"):
        read(grey, (4, 5))
    with pytest.raises(DataError, match=r"colour.png: holds RGB"):
        read(save(tmp_path / "colour.png", noise(4, 5)), (4, 5))
    with pytest.raises(DataError, match=r"none.png: no such file"):
        read(tmp_path / "none.png", (4, 5))
    (tmp_path / "text.png").write_text("text")
    with pytest.raises(DataError, match=r"text.png: not an image file"):
        read(tmp_path / "text.png", (4, 5))
    damaged = tmp_path / "damaged.png"
    whole = save(tmp_path / "whole.png", noise(40, 60)[..., 0]).read_bytes()
    damaged.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"damaged.png: damaged image"):
        read(damaged, (40, 60))


class Album:
    """Images by name; counts how often one is read."""

    def __init__(self):
        self.read = []

    def __call__(self, name):
        self.read.append(name)
        return smooth(30, 40, seed=len(name))


def make_regions(names, read, folder, *, workers=1, **options):
    """Ask for the regions of each of the images."""
    with (
        regions_on_demand(read, folder, workers=workers, **options) as regions,
        ThreadPoolExecutor(workers) as pool,
    ):
        list(pool.map(regions, names))


def test_regions_are_kept(tmp_path):
    folder, album = tmp_path / "a" / "regions", Album()
    make_regions(["x", "yy"], album, folder, count=12)
    assert np.array_equal(load_regions(folder, "x"), image_regions(smooth(30, 40, 1), count=12))
    assert load_regions(folder, "x").dtype == np.int32
    make_regions(["x", "yy", "zzz"], album, folder, count=12)
    assert album.read == ["x", "yy", "zzz"]
    assert sorted(path.name for path in folder.iterdir()) == ["x.png", "yy.png", "zzz.png"]


def test_other_settings_and_damaged_files_are_made_again(tmp_path):
    album = Album()
    make_regions(["x"], album, tmp_path, count=12)
    make_regions(["x"], album, tmp_path, count=5)
    assert load_regions(tmp_path, "x").max() + 1 == 5
    make_regions(["x"], album, tmp_path, count=5, longer_side=20)
    assert load_regions(tmp_path, "x").shape == (15, 20)
    whole = (tmp_path / "x.png").read_bytes()
    (tmp_path / "x.png").write_bytes(whole[: len(whole) - 40])
    with pytest.raises(RunError, match=r"x.png: cannot be read"):
        load_regions(tmp_path, "x")
    make_regions(["x"], album, tmp_path, count=5, longer_side=20)
    assert (tmp_path / "x.png").read_bytes() == whole
    assert len(album.read) == 4


def test_an_image_that_cannot_be_read_leaves_the_others(tmp_path):
    def read(name):
        if name == "bad":
            raise DataError("bad: damaged")
        return smooth(20, 20)

    with pytest.raises(DataError, match="damaged"):
        make_regions(["good", "bad"], read, tmp_path)
    assert load_regions(tmp_path, "good").shape == (20, 20)
    with pytest.raises(RunError, match=r"bad.png"):
        load_regions(tmp_path, "bad")


def test_processes_give_the_same(tmp_path):
    names = ["x", "yy", "zzz"]
    make_regions(names, Album(), tmp_path / "one", count=9)
    make_regions(names, Album(), tmp_path / "two", count=9, workers=2)
    for name in names:
        assert np.array_equal(
            load_regions(tmp_path / "one", name), load_regions(tmp_path / "two", name)
        )


@pytest.mark.parametrize("count", [0, 65537])
def test_a_count_that_no_file_can_hold(tmp_path, count):
    with pytest.raises(ConfigError, match=f"65536 to be stored, got {count}"):
        make_regions([], Album(), tmp_path, count=count)


# On demand


def test_regions_on_demand_are_those_made_before_and_made_once(tmp_path):
    album = Album()
    make_regions(["x", "yy"], album, tmp_path / "before", count=12)
    with regions_on_demand(album, tmp_path / "now", count=12) as regions:
        assert list((tmp_path / "now").iterdir()) == []  # nothing is made before it is asked for
        for _ in range(2):
            assert np.array_equal(regions("x"), load_regions(tmp_path / "before", "x"))
    assert album.read == ["x", "yy", "x"]
    assert [file.name for file in (tmp_path / "now").iterdir()] == ["x.png"]
    same = (tmp_path / "now" / "x.png").read_bytes()
    assert same == (tmp_path / "before" / "x.png").read_bytes()


def test_regions_on_demand_are_made_anew_for_other_settings_and_damage(tmp_path):
    album = Album()
    make_regions(["x", "yy"], album, tmp_path, count=12)
    (tmp_path / "yy.png").write_bytes((tmp_path / "yy.png").read_bytes()[:60])
    with regions_on_demand(album, tmp_path, count=5) as regions:
        assert regions("x").max() < 5
    with regions_on_demand(album, tmp_path, count=12) as regions:
        regions("yy")
    assert album.read == ["x", "yy", "x", "yy"]


def test_threads_that_ask_at_once_have_processes_of_their_own(tmp_path):
    album = Album()
    make_regions(["x", "yy", "zzz"], album, tmp_path / "before", count=12)
    with (
        regions_on_demand(album, tmp_path / "now", count=12, workers=2) as regions,
        ThreadPoolExecutor(2) as pool,
    ):
        found = list(pool.map(regions, ["x", "yy", "zzz", "x"]))
    for name, own in zip(["x", "yy", "zzz", "x"], found, strict=True):
        assert np.array_equal(own, load_regions(tmp_path / "before", name))
