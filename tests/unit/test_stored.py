"""A data set of deep or many-channel images is read alike wherever its images go."""

import numpy as np
import pytest
import tifffile
import yaml

from hintseg.data.check.checking import check
from hintseg.data.dataset import open_dataset
from hintseg.errors import DataError
from hintseg.evaluation import evaluate
from hintseg.images.reading import AS_STORED
from hintseg.predict.folders.hinted import label_files
from hintseg.predict.folders.photographs import predict_files
from hintseg.predict.predictor import load
from hintseg.training import train

SHORT = {
    "backbone": "test_efficientnet",
    "weights": "random",
    "steps": 2,
    "batch": 2,
    "crop": 32,
    "device": "cpu",
    "validate_images": 0,
}


def deepened(root, scale=16, kind="uint16"):
    """The same data set from a camera of 12 bits."""
    dataset = open_dataset(root)
    for name, file in dataset.images.items():
        values = dataset.image(name).astype(kind) * scale
        file.unlink()
        tifffile.imwrite(file.with_suffix(".tif"), values, photometric="rgb")
    return open_dataset(root)


def say(root, **keys):
    file = root / "dataset.yaml"
    file.write_text(yaml.safe_dump({**yaml.safe_load(file.read_text()), **keys}))
    return open_dataset(root)


def test_photographs_are_read_as_they_are(dataset):
    assert dataset.reading == AS_STORED


@pytest.mark.parametrize("kind", ["uint16", "float32", "int16"])
def test_deep_images_share_one_range(data_folder, kind):
    before = open_dataset(data_folder)
    name = next(iter(before.images))
    image = before.image(name)
    dataset = deepened(data_folder, kind=kind)
    low, high = dataset.reading.intensity
    assert 0 <= low < 64 * 16 < 192 * 16 < high <= 255 * 16
    expected = ((image * 16.0).clip(low, high) - low) * (255 / (high - low))
    assert np.abs(dataset.image(name) - expected).max() <= 0.51
    assert not check(data_folder).errors


def test_the_range_can_be_said(data_folder):
    before = open_dataset(data_folder)
    name = next(iter(before.images))
    image = before.image(name)
    deepened(data_folder)
    dataset = say(data_folder, intensity=[0, 255 * 16])
    assert np.array_equal(dataset.image(name), image)
    assert dataset.digest != before.digest


def test_auto_stretches_photographs_too(data_folder):
    dataset = say(data_folder, intensity="auto")
    assert dataset.reading.every_depth


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"intensity": "bright"}, r"intensity: must be auto or \[low, high\]"),
        ({"intensity": [5, 5]}, r"intensity: \[5.0, 5.0\] is no range"),
        ({"channels": 2}, "channels: must be a list"),
        ({"channels": [0, 1, 2, 3]}, "channels: 1 to 3 can be chosen, got 4"),
        ({"channels": [0, -1]}, "channels: are counted from 0"),
    ],
)
def test_a_wrong_key_is_named_with_the_remedy(data_folder, keys, message):
    with pytest.raises(DataError, match=f"dataset.yaml: {message}"):
        say(data_folder, **keys)
    assert any(keys.keys() & set(str(p.text).split(":")) for p in check(data_folder).errors)


def test_the_model_keeps_how_its_images_were_read(data_folder, tmp_path):
    dataset = deepened(data_folder)
    dataset = say(data_folder, channels=[2, 1, 0])
    run = train(dataset, tmp_path / "run", method="partial", settings={"train": SHORT})
    predictor = load(run)
    assert predictor.reading == dataset.reading
    assert predictor.reading.channels == (2, 1, 0)
    name = dataset.hinted_names()[0]
    file = dataset.images[name]
    expected = predictor.predict(dataset.image(name)).labels
    assert np.array_equal(predictor.predict(file).labels, expected)
    one = predict_files(predictor, {name: file}, tmp_path / "masks")
    assert not one.failed
    other = say(data_folder, channels=None)  # another data set, read as the model's
    assert not label_files(predictor, other, tmp_path / "labels").failed
    assert np.array_equal(other.read_as(predictor.reading).image(name), dataset.image(name))
    figures = evaluate(run, other, split=next(s for s in other.splits if s != "train"))
    assert figures.images > 0


def test_a_broken_image_has_no_say(data_folder):
    dataset = deepened(data_folder)
    first = next(iter(dataset.images.values()))
    first.write_bytes(first.read_bytes()[:60])
    assert open_dataset(data_folder).reading.intensity is not None
