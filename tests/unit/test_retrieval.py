"""Retrieval: nearest known segments by brute force, their votes, and the file they come from."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as PillowImage
from safetensors.numpy import load_file, save_file

from conftest import TINY_MODEL
from hintseg.errors import ConfigError, RunError
from hintseg.models.saved import ModelDescription, save_model
from hintseg.predict.folders.photographs import predict_files
from hintseg.predict.options import PredictOptions
from hintseg.predict.predictor import Predictor, load
from hintseg.predict.retrieval.index import (
    PROTOTYPES,
    PrototypeIndex,
    read_prototypes,
    save_prototypes,
)
from hintseg.predict.retrieval.votes import (
    build_prototypes,
    cell_boxes,
    embed,
    segment_labels,
    segment_whole,
    vote_shares,
)
from hintseg.resize import resize_image, resize_labels
from hintseg.structures import UNLABELLED, VOID

GOLDEN = Path(__file__).parents[1] / "golden" / "spml.npz"

BY_RETRIEVAL = PredictOptions(by="retrieval")


def directions(count, dim=6, seed=0):
    vectors = np.random.default_rng(seed).normal(size=(count, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def index_of(vectors, label=None, image=None, **more):
    count = len(vectors)
    label = np.zeros(count) if label is None else label
    image = np.zeros(count) if image is None else image
    names = tuple(f"image{n}" for n in range(int(np.max(image, initial=-1)) + 1))
    return PrototypeIndex(
        vectors,
        np.asarray(label, np.int32),
        np.asarray(image, np.int32),
        np.zeros((count, 4), np.int32),
        **{"names": names, **more},
    )


def photograph(height, width, seed=0):
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    return resize_image(coarse, height, width)


def train_samples(dataset):
    """(name, image, labels) of the train images."""
    for name in dataset.names("train"):
        yield name, dataset.image(name), dataset.truth(name)


@pytest.fixture
def known(segmenter, dataset):
    return build_prototypes(segmenter, train_samples(dataset), grid=6)


@pytest.fixture
def predictor(segmenter, classes, known):
    return Predictor(segmenter, classes, prototypes=lambda: known)


# Nearest


def by_hand(index, query, k, exclude):
    """Every dot product, sorted; of equals the first."""
    similarity = index.vectors @ query
    places = [j for j in range(len(index)) if exclude is None or index.image[j] != exclude]
    return sorted(places, key=lambda j: (-similarity[j], j))[:k]


@pytest.mark.parametrize("k", [1, 3, 20])
@pytest.mark.parametrize("exclude", [None, 0, 2])
def test_the_nearest_are_those_of_brute_force(k, exclude):
    image = np.random.default_rng(1).integers(0, 4, 60)
    index = index_of(directions(60), image=image)
    queries = directions(9, seed=5)
    similarity, place = index.nearest(queries, k, exclude_image=exclude)
    assert place.tolist() == [by_hand(index, query, k, exclude) for query in queries]
    expected = np.take_along_axis(queries @ index.vectors.T, place, axis=1)
    np.testing.assert_allclose(similarity, expected, atol=1e-6)


def test_chunks_of_queries_do_not_matter(monkeypatch):
    index, queries = index_of(directions(50)), directions(23, seed=1)
    whole = index.nearest(queries, 5)
    monkeypatch.setattr("hintseg.predict.retrieval.index.QUERIES", 4)
    for found, expected in zip(index.nearest(queries, 5), whole, strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_more_neighbours_than_prototypes_gives_all_of_them():
    index = index_of(directions(7), image=[0, 0, 0, 1, 1, 1, 1])
    assert sorted(index.nearest(directions(1, seed=3), 100)[1][0]) == list(range(7))
    assert sorted(index.nearest(directions(1, seed=3), 100, exclude_image=1)[1][0]) == [0, 1, 2]
    assert index.nearest(directions(2), 100, exclude_image=5)[1].shape == (2, 7)


def test_nothing_to_find_or_nothing_asked_is_an_empty_answer():
    only = index_of(directions(4))
    assert only.nearest(directions(3), 5, exclude_image=0)[1].shape == (3, 0)
    assert index_of(directions(0)).nearest(directions(3), 5)[1].shape == (3, 0)
    assert only.nearest(directions(0), 3)[1].shape == (0, 3)


@pytest.mark.parametrize("queries", [1, 30])
def test_of_equals_the_first_are_found(queries):
    index = index_of(np.repeat(directions(2), 20, axis=0))
    place = index.nearest(np.repeat(index.vectors[:1], queries, axis=0), 5)[1]
    assert place.tolist() == [[0, 1, 2, 3, 4]] * queries


def test_images_are_known_by_name():
    index = index_of(directions(3), image=[0, 1, 1])
    assert (index.number("image1"), index.number("elsewhere"), index.number(None)) == (
        1,
        None,
        None,
    )


# Votes


def test_votes_are_those_of_the_published_code():
    if not GOLDEN.is_file():
        pytest.skip(f"{GOLDEN} is not there")
    golden = np.load(GOLDEN)
    index = index_of(golden["vote_memory"], label=golden["vote_label"])
    _, place = index.nearest(golden["vote_query"], 20)
    found = index.label[place]
    assert np.array_equal(found, golden["vote_top"])
    shares = vote_shares(found, 7)
    assert np.array_equal(shares.argmax(axis=1), golden["vote_majority"])


def test_shares_are_counts_over_neighbours():
    shares = vote_shares(np.array([[0, 2, 2, 1], [1, 1, 1, 1]]), 4)
    assert shares.tolist() == [[0.25, 0.25, 0.5, 0], [0, 1, 0, 0]]
    assert vote_shares(np.zeros((2, 0), np.int64), 4).tolist() == [[0.25] * 4] * 2
    assert vote_shares(np.zeros((0, 5), np.int64), 4).shape == (0, 4)


# Segments


def test_a_segment_has_the_label_of_most_of_its_labelled_cells():
    cells = {
        0: [1, 1, 0],
        1: [2, UNLABELLED, UNLABELLED, UNLABELLED],  # labelled wins
        2: [UNLABELLED, UNLABELLED],
        3: [VOID, VOID, 1],
        4: [VOID, 1],
        5: [2, 0, VOID],  # a tie
        6: [VOID, UNLABELLED],
    }
    member = [number for number, values in cells.items() for _ in values]
    labels = torch.tensor([value for values in cells.values() for value in values])
    found = segment_labels(labels, torch.tensor(member), 8)
    assert found.tolist() == [1, 2, VOID, VOID, 1, 0, VOID, VOID]


def test_boxes_hold_the_cells_of_their_segments():
    member = np.array([[0, 0, 1, 1, 1], [0, 2, 2, 2, 1]])
    assert cell_boxes(member, 3).tolist() == [[0, 0, 2, 2], [2, 0, 5, 2], [1, 1, 4, 2]]


def test_one_segment_can_fill_an_image():
    embeddings = torch.ones(1, 8, 6, 10)
    segments, vectors = segment_whole(embeddings, grid=1, iterations=10)
    assert len(segments) == 1
    torch.testing.assert_close(vectors, torch.full((1, 8), 8**-0.5))


# Building


def test_every_prototype_is_the_mean_direction_of_the_cells_of_a_segment(segmenter, dataset, known):
    image = dataset.image("field")
    embeddings = embed(segmenter, image)
    with torch.inference_mode():
        padded = torch.from_numpy(image.transpose(2, 0, 1).copy())[None]
        torch.testing.assert_close(embeddings, segmenter.embedder(padded))
    segments, vectors = segment_whole(embeddings, grid=6, iterations=10)
    cells = torch.nn.functional.normalize(embeddings)[0].flatten(1).T
    for number, vector in enumerate(vectors):
        mean = cells[segments.member == number].mean(dim=0)
        torch.testing.assert_close(vector, mean / mean.norm())
    mine = known.vectors[known.image == known.number("field")]
    nearness = mine @ vectors.numpy().T
    np.testing.assert_allclose(nearness.max(axis=1), 1, atol=1e-5)


def test_prototypes_know_class_image_and_place(known, dataset):
    assert known.names == dataset.names("train")
    assert set(known.image) == {0, 1, 2, 3}
    assert set(known.label) <= {0, 1, 2}
    assert (known.labelled_by, known.grid) == ("hints", 6)
    np.testing.assert_allclose(np.linalg.norm(known.vectors, axis=1), 1, atol=1e-5)
    assert (known.box[:, :2] >= 0).all()
    assert (known.box[:, 2] <= 56).all()
    assert (known.box[:, 3] <= 40).all()
    assert (known.box[:, :2] < known.box[:, 2:]).all()
    right = [
        label in dataset.truth(known.names[image])[top:bottom, left:end]
        for label, image, (left, top, end, bottom) in zip(
            known.label, known.image, known.box, strict=True
        )
    ]
    assert all(right)


def test_boxes_are_in_pixels_of_the_image_on_disk(segmenter, dataset):
    image = dataset.image("field")
    labels = resize_labels(dataset.truth("field"), 80, 112)
    index = build_prototypes(segmenter, [("field", image, labels)], grid=6)
    assert index.box[:, 2].max() <= 56
    assert index.box[:, 2].max() > 50
    assert index.box[:, 3].max() == 40


def test_what_has_no_label_gives_no_prototype(segmenter, dataset):
    image = dataset.image("field")
    for value in (VOID, UNLABELLED):
        labels = np.full(image.shape[:2], value, np.int16)
        index = build_prototypes(segmenter, [("field", image, labels)])
        assert (len(index), index.vectors.shape, index.names) == (0, (0, 8), ("field",))
    assert len(build_prototypes(segmenter, [])) == 0


def test_the_mode_of_the_model_stays(segmenter, dataset):
    segmenter.train()
    first = build_prototypes(segmenter, train_samples(dataset))
    assert segmenter.training
    segmenter.eval()
    again = build_prototypes(segmenter, train_samples(dataset))
    assert not segmenter.training
    assert np.array_equal(first.vectors, again.vectors)


def test_one_pixel_is_an_image(segmenter, classes):
    image, labels = np.full((1, 1, 3), 9, np.uint8), np.ones((1, 1), np.int16)
    index = build_prototypes(segmenter, [("dot", image, labels)])
    assert (len(index), index.label.tolist(), index.box.tolist()) == (1, [1], [[0, 0, 1, 1]])
    prediction = Predictor(segmenter, classes, prototypes=lambda: index).predict(
        image, by="retrieval", scales=(0.5, 1.0), flip=True
    )
    assert prediction.labels.tolist() == [[1]]


# Predicting


def test_cells_sum_to_one_and_every_pixel_gets_a_class(predictor):
    for size in ((1, 1), (3, 7), (1, 90), (33, 31)):
        prediction = predictor.predict(photograph(*size), by="retrieval")
        assert prediction.labels.shape == size
        assert set(np.unique(prediction.labels)) <= {0, 1, 2}
        torch.testing.assert_close(
            prediction.scores.sum(dim=0), torch.ones_like(prediction.scores[0])
        )


def test_cells_of_a_segment_have_the_votes_of_its_neighbours(predictor, segmenter, known):
    image = photograph(40, 56)
    scores = predictor.predict(image, by="retrieval").scores
    segments, vectors = segment_whole(embed(segmenter, image), grid=6, iterations=10)
    for number, vector in enumerate(vectors.numpy()):
        votes = np.bincount(known.label[by_hand(known, vector, 20, None)], minlength=3) / 20
        cells = scores.flatten(1)[:, segments.member == number]
        np.testing.assert_allclose(cells, np.repeat(votes[:, None], cells.shape[1], 1), atol=1e-6)


def test_a_known_image_finds_itself_unless_it_is_excluded(segmenter, classes):
    images = {name: photograph(40, 56, seed) for seed, name in enumerate(("a", "b"))}
    samples = [
        (name, image, np.full((40, 56), label, np.int16))
        for label, (name, image) in enumerate(images.items())
    ]
    index = build_prototypes(segmenter, samples, grid=3)
    predictor = Predictor(segmenter, classes, prototypes=lambda: index)
    for label, (name, image) in enumerate(images.items()):
        excluded = predictor.predict(image, by="retrieval", exclude=name)
        assert (excluded.labels == 1 - label).all()
        near = index.nearest(index.vectors[index.label == label], 1)
        assert (index.label[near[1]] == label).all()


def test_with_flip_a_mirrored_image_gets_mirrored_labels(predictor):
    image = photograph(40, 56)
    labels = predictor.predict(image, by="retrieval", flip=True).labels
    mirrored = predictor.predict(image[:, ::-1], by="retrieval", flip=True).labels
    assert (mirrored[:, ::-1] == labels).mean() > 0.99  # the rest are ties


def test_views_and_tiles_work_as_with_the_classifier(predictor):
    image = photograph(260, 420)
    whole = predictor.predict(image, by="retrieval", scales=(0.5, 1.0))
    tiled = predictor.predict(image, by="retrieval", tile=224)
    assert tiled.scores.shape == whole.scores.shape == (3, 65, 105)
    for scores in (tiled.scores, whole.scores):
        torch.testing.assert_close(scores.sum(dim=0), torch.ones_like(scores[0]))


def test_the_classifier_never_asks_for_prototypes(segmenter, classes):
    predictor = Predictor(segmenter, classes, prototypes=pytest.fail)
    predictor.predict(photograph(8, 8))


def test_another_way_to_label_is_refused(predictor):
    with pytest.raises(
        ConfigError, match="by: choose classifier, retrieval, both or best, got 'magic'"
    ):
        predictor.predict(photograph(8, 8), by="magic")


def test_nothing_to_retrieve_is_an_error(segmenter, classes):
    image = photograph(8, 8)
    with pytest.raises(RunError, match="no prototypes; load it from its run folder"):
        Predictor(segmenter, classes).predict(image, by="retrieval")
    empty = Predictor(segmenter, classes, prototypes=lambda: index_of(directions(0, dim=8)))
    with pytest.raises(RunError, match="no segment of the train images has a label"):
        empty.predict(image, by="retrieval")


@pytest.mark.parametrize("index", [{"dim": 9, "label": 0}, {"dim": 8, "label": 3}])
def test_prototypes_of_another_model_are_an_error(segmenter, classes, index):
    other = index_of(directions(4, dim=index["dim"]), label=[index["label"]] * 4)
    predictor = Predictor(segmenter, classes, prototypes=lambda: other)
    with pytest.raises(RunError, match="belong to another model; train again"):
        predictor.predict(photograph(8, 8), by="retrieval")


def test_label_maps_of_other_prototypes_do_not_mix(segmenter, classes, known, dataset, tmp_path):
    files, out = {"pond": dataset.images["pond"]}, tmp_path / "out"
    predict_files(
        Predictor(segmenter, classes, prototypes=lambda: known), files, out, options=BY_RETRIEVAL
    )
    for change in ({"label": (known.label + 1) % 3}, {"grid": 7}):
        other = Predictor(segmenter, classes, prototypes=lambda: replace(known, **change))  # noqa: B023
        with pytest.raises(ConfigError, match="another model or other options"):
            predict_files(other, files, out, options=BY_RETRIEVAL)


def test_label_maps_by_retrieval_and_by_the_classifier_do_not_mix(predictor, dataset, tmp_path):
    files = {"pond": dataset.images["pond"]}
    predict_files(predictor, files, tmp_path / "out", options=BY_RETRIEVAL)
    assert json.loads((tmp_path / "out" / "predict.json").read_text())["by"] == "retrieval"
    with pytest.raises(ConfigError, match="another model or other options"):
        predict_files(predictor, files, tmp_path / "out")
    with pytest.raises(ConfigError, match="by: choose"):
        PredictOptions(by="magic")


# The file


@pytest.fixture
def run(segmenter, classes, known, tmp_path):
    save_model(tmp_path, segmenter, ModelDescription(classes.names, **TINY_MODEL))
    save_prototypes(tmp_path, known)
    return tmp_path


def test_prototypes_come_back_as_they_were_saved(tmp_path):
    index = index_of(
        directions(5),
        [1, 0, 2, 2, 1],
        [0, 0, 1, 1, 2],
        names=("a", "ü \udcff", "c/d"),
        grid=24,
        best="classifier",
    )
    save_prototypes(tmp_path, index)
    again = read_prototypes(tmp_path)
    for name in ("vectors", "label", "image", "box"):
        assert np.array_equal(getattr(again, name), getattr(index, name))
    facts = ("names", "labelled_by", "grid", "iterations", "best")
    assert all(getattr(again, name) == getattr(index, name) for name in facts)
    assert [path.name for path in tmp_path.iterdir()] == [PROTOTYPES]


def test_an_empty_memory_can_be_saved(tmp_path):
    save_prototypes(tmp_path, index_of(directions(0)))
    assert len(read_prototypes(tmp_path)) == 0


def test_a_run_on_disk_retrieves_as_the_one_in_memory(run, predictor):
    image = photograph(40, 56)
    found = load(run).predict(image, by="retrieval")
    assert torch.equal(found.scores, predictor.predict(image, by="retrieval").scores)


def test_a_run_without_prototypes_names_the_remedy(run):
    (run / PROTOTYPES).unlink()
    with pytest.raises(RunError, match=r"has no prototypes .*use --by classifier, or train with"):
        load(run).predict(photograph(8, 8), by="retrieval")


def damaged(arrays, facts):
    """Ways in which a file can be wrong: (arrays, facts) of each."""
    short = {**arrays, "label": arrays["label"][:-1]}
    yield short, facts
    yield {**arrays, "vectors": arrays["vectors"] * np.float32(np.nan)}, facts
    yield {**arrays, "image": arrays["image"] + 9}, facts
    yield {**arrays, "label": arrays["label"] - 9}, facts
    yield {**arrays, "label": arrays["label"].astype(np.int64)}, facts
    yield {**arrays, "box": arrays["box"][:, :3]}, facts
    yield {name: values for name, values in arrays.items() if name != "box"}, facts
    yield arrays, {key: value for key, value in facts.items() if key != "names"}
    yield arrays, {**facts, "names": "3"}
    yield arrays, {**facts, "names": "{"}
    yield arrays, {**facts, "format": "2"}
    yield arrays, None


def test_a_damaged_file_is_an_error_that_names_it(run, known):
    path = run / PROTOTYPES
    whole = path.read_bytes()
    for content in (b"", whole[:100], whole[:-9]):
        path.write_bytes(content)
        with pytest.raises(RunError, match=rf"{PROTOTYPES}: cannot be loaded \(.*train again"):
            read_prototypes(run)
    path.write_bytes(whole)
    facts = {"format": 1, "names": known.names, "labelled_by": "hints", "grid": 6, "iterations": 10}
    facts = {key: json.dumps(value) for key, value in facts.items()}
    for arrays, wrong in damaged(load_file(path), facts):
        save_file({k: np.ascontiguousarray(v) for k, v in arrays.items()}, path, metadata=wrong)
        with pytest.raises(RunError, match=rf"{PROTOTYPES}: .*train again"):
            read_prototypes(run)


def test_both_is_the_mean_of_classifier_and_votes(predictor, dataset):
    image = dataset.image("pond")
    scores = {by: predictor.predict(image, by=by).scores for by in ("classifier", "retrieval")}
    mean = torch.stack(list(scores.values())).mean(dim=0)
    torch.testing.assert_close(predictor.predict(image, by="both").scores, mean)
    views = {"flip": True, "scales": (0.5, 1.0)}
    assert predictor.predict(image, by="both", **views).labels.shape == image.shape[:2]


@pytest.mark.parametrize("best", ["classifier", "retrieval"])
def test_best_is_what_was_better_on_val(segmenter, classes, known, run, best):
    save_prototypes(run, replace(known, best=best))
    image = photograph(40, 56)
    found = load(run).predict(image, by="best")
    assert torch.equal(found.scores, load(run).predict(image, by=best).scores)
    files = {"one": run / "one.png"}
    PillowImage.fromarray(image).save(files["one"])
    predict_files(load(run), files, run / "maps", options=PredictOptions(by="best"))
    assert json.loads((run / "maps" / "predict.json").read_text())["by"] == best


def test_best_of_a_run_without_known_segments_is_its_classifier(segmenter, classes, run):
    (run / PROTOTYPES).unlink()
    image = photograph(40, 56)
    expected = load(run).predict(image).scores
    assert torch.equal(load(run).predict(image, by="best").scores, expected)


def test_both_needs_prototypes_too(segmenter, classes, dataset):
    with pytest.raises(RunError, match="no prototypes"):
        Predictor(segmenter, classes).predict(dataset.image("pond"), by="both")
