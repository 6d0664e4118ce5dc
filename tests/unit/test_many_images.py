"""Very many images: folders are listed once, and the answers are those of a look at each file."""

import json

import pytest

from hintseg.data import dataset as module
from hintseg.data.dataset import open_dataset
from hintseg.images.names import NamedFiles, sized_files


@pytest.fixture
def many(monkeypatch):
    """Every data set is one of very many images."""
    monkeypatch.setattr(module, "MANY", 0)


def answers(data):
    dataset = open_dataset(data)
    names = tuple(dataset.images)
    return dataset.hinted_names(), dataset.with_masks(names), dataset.with_masks(names[::-1])


def plain(data):
    del data


def sub_folders_and_capitals(data):
    for folder, ending in (("images", "png"), ("masks", "png"), ("hints", "json")):
        (data / folder / "north").mkdir()
        (data / folder / f"herd.{ending}").rename(data / folder / "north" / f"herd.{ending}")
    (data / "hints" / "hill.json").rename(data / "hints" / "hill.JSON")
    train = data / "splits" / "train.txt"
    train.write_text(train.read_text().replace("herd", "north/herd"))


def some_without(data):
    (data / "hints" / "herd.json").unlink()
    (data / "masks" / "hill.png").unlink()


def painted(data):
    (data / "hints" / "herd.json").unlink()
    (data / "masks" / "herd.png").rename(data / "hints" / "herd.png")


def links(data):
    (data / "hints" / "herd.json").rename(data / "elsewhere.json")
    (data / "hints" / "herd.json").symlink_to(data / "elsewhere.json")
    (data / "masks" / "hill.png").unlink()
    (data / "masks" / "hill.png").symlink_to(data / "nowhere.png")


def beside_the_photographs(data):
    for file in (data / "hints").iterdir():
        file.rename(data / "images" / file.name)


def masks_among_the_photographs(data):
    file = data / "dataset.yaml"
    file.write_text(file.read_text() + "masks: images\n")


def no_splits(data):
    file = data / "dataset.yaml"
    file.write_text(file.read_text().split("splits:")[0])


CASES = (
    plain,
    sub_folders_and_capitals,
    some_without,
    painted,
    links,
    beside_the_photographs,
    masks_among_the_photographs,
    no_splits,
)


@pytest.mark.parametrize("case", CASES)
def test_a_listing_and_looks_agree(case, data_folder, monkeypatch):
    case(data_folder)
    looked = answers(data_folder) if case is not no_splits else hinted(data_folder)
    monkeypatch.setattr(module, "MANY", 0)
    listed = answers(data_folder) if case is not no_splits else hinted(data_folder)
    assert listed == looked


def hinted(data):
    dataset = open_dataset(data)
    return dataset.names("train")


def test_files_are_found_by_one_walk(data_folder, monkeypatch):
    files = NamedFiles(data_folder / "hints")
    monkeypatch.setattr(NamedFiles, "find", None)  # a look would fail
    assert files.having(["hill", "pond", "herd"], ".json") == {"hill", "herd"}
    assert NamedFiles(data_folder / "none").having(["hill"], ".json") == set()


def test_sizes_of_files_are_listed_in_one_order(data_folder):
    found = sized_files(data_folder / "hints")
    assert [name for name, _ in found] == [
        f"./{n}.json" for n in ("field", "herd", "hill", "meadow")
    ]
    assert found[0][1] == (data_folder / "hints" / "field.json").stat().st_size
    assert sized_files(data_folder / "none") == []


def longer(file):
    file.write_text(file.read_text() + " ")


def same_size(file):
    content = json.loads(file.read_text())
    content["shapes"][1]["points"] = [[1, 1]]
    file.write_text(json.dumps(content).ljust(len(file.read_text())))


@pytest.mark.parametrize("change", [longer, same_size])
@pytest.mark.usefixtures("many")
def test_the_digest_of_many_images_changes_with_their_labels(change, data_folder):
    before = open_dataset(data_folder).digest
    assert open_dataset(data_folder).digest == before
    change(data_folder / "hints" / "herd.json")
    assert open_dataset(data_folder).digest != before


@pytest.mark.usefixtures("many")
def test_a_new_file_of_labels_changes_the_digest(data_folder, monkeypatch):
    monkeypatch.setattr(module, "READ", 1)
    before = open_dataset(data_folder).digest
    (data_folder / "hints" / "pond.json").write_text((data_folder / "hints/herd.json").read_text())
    assert open_dataset(data_folder).digest != before
