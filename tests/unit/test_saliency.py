"""Measures of saliency maps: those of pysodmetrics, and at their extremes.

The golden values were made by pysodmetrics 1.4.2; where it is installed it is asked again.
"""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from hintseg.errors import ConfigError
from hintseg.saliency import SaliencyTotals, error_by_distance, normalised, saliency_figures

GOLDEN = Path(__file__).parents[1] / "golden" / "saliency.json"


def scene(seed):
    """A map of 8 bits and a mask that have something to do with each other."""
    rng = np.random.default_rng(seed)
    height, width = rng.integers(20, 70, 2)
    rows, columns = np.mgrid[:height, :width]
    centre, radius = rng.uniform(0.3, 0.7, 2) * (height, width), rng.uniform(4, 14)
    distance = np.hypot(rows - centre[0], columns - centre[1])
    seen = 1 / (1 + np.exp((distance - radius + rng.normal(0, 2)) / rng.uniform(0.5, 3)))
    noisy = np.clip(seen + rng.normal(0, rng.uniform(0, 0.2), seen.shape), 0, 1)
    return (255 * noisy).round().astype(np.uint8), distance < radius


def special():
    """Empty and full masks, flat maps, objects in a corner."""
    rng = np.random.default_rng(1)
    noise = rng.integers(0, 256, (12, 15)).astype(np.uint8)
    nothing, everything = np.zeros((12, 15), dtype=bool), np.ones((12, 15), dtype=bool)
    corner = nothing.copy()
    corner[:3, :4] = True
    yield noise, nothing
    yield noise, everything
    yield np.zeros_like(noise), corner
    yield np.full_like(noise, 255), corner
    yield (255 * corner).astype(np.uint8), corner
    yield (255 * ~corner).astype(np.uint8), corner


def oracle(pairs):
    sod = pytest.importorskip("py_sod_metrics")
    measures = [sod.MAE(), sod.Fmeasure(), sod.Emeasure(), sod.Smeasure(), sod.WeightedFmeasure()]
    for values, mask in pairs:
        for measure in measures:
            measure.step(pred=values, gt=(255 * mask).astype(np.uint8))
    mae, f, e, s, weighted = (measure.get_results() for measure in measures)
    f, e = f["fm"], e["em"]
    return {
        "mae": mae["mae"],
        "max_f": f["curve"].max(),
        "mean_f": f["curve"].mean(),
        "adaptive_f": f["adp"],
        "max_e": e["curve"].max(),
        "mean_e": e["curve"].mean(),
        "adaptive_e": e["adp"],
        "s": s["sm"],
        "weighted_f": weighted["wfm"],
    }


def ours(pairs):
    return saliency_figures((normalised(v / 255), mask) for v, mask in pairs).record()


CASES = {
    "scenes": lambda: [scene(seed) for seed in range(12)],
    **{f"scene {seed}": lambda seed=seed: [scene(seed)] for seed in range(4)},
    **{f"special {n}": lambda n=n: [list(special())[n]] for n in range(6)},
}


@pytest.mark.parametrize("case", CASES)
def test_figures_are_the_golden_ones(case):
    expected = json.loads(GOLDEN.read_text())[case]
    assert ours(CASES[case]()) == pytest.approx(expected, abs=1e-6)


@pytest.mark.filterwarnings("ignore:This class will be removed")  # of newer versions
@pytest.mark.parametrize("case", CASES)
def test_figures_are_those_of_pysodmetrics(case):
    assert ours(CASES[case]()) == pytest.approx(oracle(CASES[case]()), abs=1e-6)


MASKS = arrays.arrays(bool, arrays.array_shapes(min_dims=2, max_dims=2, max_side=9))


@given(mask=MASKS, seed=st.integers(0, 99))
def test_figures_are_finite_shares_whatever_the_mask(mask, seed):
    saliency = np.random.default_rng(seed).random(mask.shape)
    for name, value in saliency_figures([(saliency, mask)]).record().items():
        most = mask.size / max(mask.size - 1, 1) if name.endswith("_e") else 1
        assert 0 <= value <= most + 1e-9, name


@given(mask=MASKS)
def test_the_mask_itself_has_no_error(mask):
    figures = saliency_figures([(mask.astype(float), mask)])
    assert figures.mae == 0
    if 0 < mask.sum() < mask.size:
        assert figures.max_f == figures.adaptive_f == pytest.approx(1)
        assert figures.s == pytest.approx(1)
        assert figures.weighted_f == pytest.approx(1)


def test_normalising_makes_a_find_of_nothing():
    faint, mask = np.array([[0.0, 0.01, 0.0]]), np.array([[True, False, False]])
    assert saliency_figures([(faint, mask)]).mae == pytest.approx(0.337, abs=1e-3)
    assert saliency_figures([(normalised(faint), mask)]).mae == pytest.approx(2 / 3)
    flat = np.full((2, 2), 0.3)
    assert normalised(flat) is flat


def test_error_is_counted_by_distance_on_both_sides_of_the_edge():
    mask = np.zeros((9, 20), dtype=bool)
    mask[:, 10:] = True
    saliency = mask.astype(float)
    saliency[:, 9], saliency[:, 11] = 1.0, 0.5  # touching outside; second inside
    errors, pixels = error_by_distance(saliency, mask, reach=4)
    assert errors.tolist() == [[1, 0, 0, 0], [0, 0.5, 0, 0]]
    assert (pixels == 9).all()


@pytest.mark.parametrize("mask", [np.zeros((4, 4), bool), np.ones((4, 4), bool)])
def test_a_mask_without_edge_has_no_distances(mask):
    errors, pixels = error_by_distance(np.full((4, 4), 0.5), mask)
    assert not errors.any()
    assert not pixels.any()


def test_distances_add_up_over_images():
    totals = SaliencyTotals(reach=3)
    mask = np.array([[False, False, True, True, True]])
    for value in (0.0, 1.0):
        totals.add(np.full(mask.shape, value), mask)
    errors, pixels = totals.by_distance
    assert pixels.tolist() == [[2, 2, 0], [2, 2, 2]]
    assert np.array_equal(errors, [[0.5, 0.5, np.nan], [0.5, 0.5, 0.5]], equal_nan=True)


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(ConfigError, match="no image to compare"):
        saliency_figures([])
    with pytest.raises(ConfigError, match=r"map is \(2, 3\), mask is \(3, 2\)"):
        saliency_figures([(np.zeros((2, 3)), np.zeros((3, 2), dtype=bool))])
