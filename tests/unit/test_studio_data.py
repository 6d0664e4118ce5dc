"""The studio and the data set itself: new folders, classes, painted hints, masks, broken files."""

import json
import os
import time
from urllib.parse import quote

import numpy as np
import pytest
import yaml
from PIL import Image as PillowImage
from starlette.testclient import TestClient

from conftest import HEIGHT, WIDTH, room_for
from hintseg.data.dataset import open_dataset
from hintseg.errors import DataError, WriteError
from hintseg.images.label_maps import read_label_map, write_label_map
from hintseg.images.photographs import read_image, read_small
from hintseg.resize import resize_image
from hintseg.structures import UNLABELLED
from hintseg.studio import classes as class_changes
from hintseg.studio.guard import Door
from hintseg.studio.opening import data_set_of
from hintseg.studio.painted import PAINTED
from hintseg.studio.server import build_app
from hintseg.studio.session import Session
from hintseg.studio.studio import Studio

OWN = {"x-hintseg": "1"}
POINT = {"label": "cow", "points": [[10.0, 12.0]], "shape_type": "point"}


def browser(served, **headers):
    return TestClient(
        build_app(served, Door()), base_url="http://127.0.0.1:8765", headers={**OWN, **headers}
    )


@pytest.fixture
def session(data_folder):
    found = Session(data_folder)
    yield found
    found.close()  # it may have begun to rank


@pytest.fixture
def client(session):
    return browser(session)


def put(client, name, content, version="none"):
    return client.put(
        f"/api/hints?name={quote(name)}", content=json.dumps(content), headers={"if-match": version}
    )


def labels_of(folder):
    """Label -> number of shapes, over all files."""
    found = {}
    for path in sorted((folder / "hints").glob("*.json")):
        for shape in json.loads(path.read_text())["shapes"]:
            found[shape["label"]] = found.get(shape["label"], 0) + 1
    return found


# --- a folder of photographs becomes a data set


def photographs(folder, count=3):
    folder.mkdir(parents=True)
    for number in range(count):
        pixels = np.full((20, 30, 3), 60 * number, np.uint8)
        PillowImage.fromarray(pixels).save(folder / f"p{number}.jpg")
    return folder


def test_a_bare_folder_becomes_a_data_set_beside_it(tmp_path):
    folder = photographs(tmp_path / "photos")
    client = browser(Studio(folder))
    facts = client.get("/api/facts").json()
    assert (facts["state"], facts["images"], facts["names"]) == ("new", 3, ["p0", "p1", "p2"])
    assert client.get("/api/images").status_code == 404
    for wrong in ({"classes": []}, {"classes": ["a", "a"]}, {"classes": "a"}, {"classes": [3]}):
        assert client.post("/api/begin", content=json.dumps(wrong)).status_code == 422
    wrong = {"classes": ["a"], "background": "b"}
    assert client.post("/api/begin", content=json.dumps(wrong)).status_code == 422
    begun = client.post("/api/begin", content='{"classes": ["soil", " crop "]}').json()
    assert begun["state"] == "ready"
    text = (tmp_path / "photos-hintseg" / "dataset.yaml").read_text()
    assert yaml.safe_load(text) == {"classes": ["soil", "crop"], "images": "../photos"}
    assert sorted(path.name for path in folder.iterdir()) == ["p0.jpg", "p1.jpg", "p2.jpg"]
    shape = {"label": "crop", "points": [[3, 3]], "shape_type": "point"}
    assert put(client, "p1", {"shapes": [shape]}).status_code == 200
    assert open_dataset(tmp_path / "photos-hintseg").hints("p1").shapes[0].label == 1
    assert data_set_of(folder) == tmp_path / "photos-hintseg"  # `hintseg studio photos` again
    assert client.post("/api/begin", content='{"classes": ["a"]}').status_code == 422


def test_images_in_their_folder_stay_there(tmp_path):
    photographs(tmp_path / "farm" / "images")
    client = browser(Studio(tmp_path / "farm"))
    body = '{"classes": ["sky", "rest"], "background": "rest"}'
    assert client.post("/api/begin", content=body).json()["images"] == 3
    assert yaml.safe_load((tmp_path / "farm" / "dataset.yaml").read_text()) == {
        "classes": ["sky", "rest"], "background": "rest",
    }  # fmt: skip


def test_images_come_from_the_browser(tmp_path):
    jpeg = (photographs(tmp_path / "elsewhere") / "p0.jpg").read_bytes()
    client = browser(Studio(tmp_path / "farm"))  # no such folder yet
    assert client.get("/api/facts").json()["images"] == 0
    assert client.post("/api/begin", content='{"classes": ["a"]}').status_code == 422
    sent = client.put("/api/upload?name=..%2F..%2Fx%3A.jpg", content=jpeg)
    assert sent.json() == {"file": "x_.jpg"}
    assert (tmp_path / "farm" / "images" / "x_.jpg").read_bytes() == jpeg
    assert client.put("/api/upload?name=x_.jpg", content=jpeg).status_code == 200  # the same
    for name, content in [
        ("x_.jpg", jpeg + b"."), ("a.exe", jpeg), ("b.jpg", b"no image"), ("..", jpeg),
        (".hidden.jpg", jpeg), ("", jpeg), ("dataset.yaml", b"classes: [a]"),
    ]:  # fmt: skip
        refused = client.put(f"/api/upload?name={quote(name)}", content=content)
        assert refused.status_code == 422, name
    assert [path.name for path in (tmp_path / "farm" / "images").iterdir()] == ["x_.jpg"]
    assert client.post("/api/begin", content='{"classes": ["a"]}').json()["images"] == 1


def test_a_broken_dataset_yaml_is_shown_and_mended(data_folder):
    file = data_folder / "dataset.yaml"
    sound = file.read_text()
    file.write_text(sound + "colour: red\n")
    client = browser(Studio(data_folder))
    facts = client.get("/api/facts").json()
    assert facts["state"] == "broken"
    assert "'colour'" in facts["error"]
    assert facts["text"] == file.read_text()
    refused = client.post("/api/settings", content=json.dumps({"text": "classes: 3"}))
    assert refused.status_code == 422
    assert file.read_text() == sound + "colour: red\n"
    assert client.post("/api/settings", content=json.dumps({"text": sound})).status_code == 200
    assert client.get("/api/facts").json()["state"] == "ready"
    file.write_text("classes: [")  # under an open page
    assert client.get("/api/images").status_code == 422
    assert "not a YAML file" in client.get("/api/facts").json()["broken"]
    assert client.get("/api/settings").json()["text"] == "classes: ["


# --- classes


def test_hints_follow_a_class_to_its_new_name(client, data_folder):
    before = labels_of(data_folder)
    masks = {p.name: p.read_bytes() for p in (data_folder / "masks").iterdir()}
    assert client.get("/api/classes/uses?name=cow").json() == {"uses": 4}
    renamed = client.post("/api/classes/rename", content='{"name": "cow", "to": "ox"}')
    assert renamed.json()["changed"] == 4
    assert [one["name"] for one in renamed.json()["classes"]] == ["grass", "ox", "sky"]
    assert labels_of(data_folder) == {
        {"cow": "ox"}.get(label, label): count for label, count in before.items()
    }
    assert {p.name: p.read_bytes() for p in (data_folder / "masks").iterdir()} == masks
    # a page that does not know yet
    assert put(client, "pond", {"shapes": [POINT], "flags": {"cow": True}}).status_code == 200
    assert open_dataset(data_folder).hints("pond").tags == {1}
    for wrong in ({"name": "cow", "to": "x"}, {"name": "ox", "to": "sky"}, {"name": "ox"}):
        answer = client.post("/api/classes/rename", content=json.dumps(wrong))
        assert answer.status_code == 422


def test_settings_that_name_a_class_follow_too(data_folder):
    file = data_folder / "dataset.yaml"
    file.write_text(
        file.read_text()
        + "background: grass\nvalues: {0: grass, 7: cow}\ncolors: {grass: [1,2,3]}\n"
    )
    class_changes.rename_class(open_dataset(data_folder), "grass", "ground")
    content = yaml.safe_load(file.read_text())
    assert content["background"] == "ground"
    assert content["values"] == {0: "ground", 7: "cow"}
    assert content["colors"] == {"ground": [1, 2, 3]}
    assert content["splits"]["val"] == "splits/val.txt"


def test_a_renaming_that_was_interrupted_is_finished(data_folder, monkeypatch):
    written = class_changes.write_document
    calls = []

    def dying(path, document):
        if len(calls) == 2:
            raise KeyboardInterrupt
        calls.append(path)
        written(path, document)

    monkeypatch.setattr(class_changes, "write_document", dying)
    with pytest.raises(KeyboardInterrupt):
        class_changes.rename_class(open_dataset(data_folder), "cow", "ox")
    half = open_dataset(data_folder)  # sound at any moment
    assert sum(len(half.hints(name).shapes) for name in half.images) == 16
    assert {"cow", "ox"} <= set(labels_of(data_folder))
    monkeypatch.setattr(class_changes, "write_document", written)
    assert Session(data_folder).dataset.classes.names == ("grass", "ox", "sky")
    assert "cow" not in labels_of(data_folder)
    assert not (data_folder / "studio" / "renaming.json").exists()


def test_a_class_is_removed_with_its_hints_or_into_another(client, data_folder):
    refused = client.post("/api/classes/remove", content='{"name": "cow", "into": null}')
    assert refused.status_code == 422
    assert "masks number the classes" in refused.json()["error"]
    for path in (data_folder / "masks").iterdir():
        path.unlink()
    painted = np.full((HEIGHT, WIDTH), UNLABELLED, np.int16)
    painted[0, :3] = (0, 1, 2)
    write_label_map(data_folder / "hints" / "pond.png", painted, classes=3)
    before = labels_of(data_folder)
    moved = client.post("/api/classes/remove", content='{"name": "cow", "into": "sky"}')
    assert moved.status_code == 200
    after = labels_of(data_folder)
    assert after["sky"] == before["sky"] + before["cow"]
    labels = open_dataset(data_folder).hints("pond").partial
    assert labels[0, :4].tolist() == [0, 1, 1, UNLABELLED]  # sky is number 1 now
    gone = client.post("/api/classes/remove", content='{"name": "grass", "into": null}')
    assert [one["name"] for one in gone.json()["classes"]] == ["sky"]
    assert set(labels_of(data_folder)) == {"sky"}
    grass = {**POINT, "label": "grass"}  # of a page that does not know yet
    assert put(client, "ridge", {"shapes": [grass, POINT]}).json()["shapes"] == [
        {**POINT, "label": "sky"}
    ]
    last = client.post("/api/classes/remove", content='{"name": "sky", "into": null}')
    assert "the last class" in last.json()["error"]


# --- painted hints


def paint(folder, name="pond"):
    labels = np.full((HEIGHT, WIDTH), UNLABELLED, np.int16)
    labels[2:6, 3:9], labels[20:30, 10:12] = 2, 1
    write_label_map(folder / "hints" / f"{name}.png", labels, classes=3)
    return labels


def test_painted_hints_are_shown_and_go_back_into_their_file(client, data_folder):
    labels = paint(data_folder)
    opened = client.get("/api/image?name=pond").json()
    assert [(one["label"], one[PAINTED]) for one in opened["shapes"]] == [
        ("cow", True), ("sky", True),
    ]  # fmt: skip
    before = (data_folder / "hints" / "pond.png").read_bytes()
    added = put(client, "pond", {"shapes": [*opened["shapes"], POINT]}, opened["version"]).json()
    assert (data_folder / "hints" / "pond.png").read_bytes() == before
    file = json.loads((data_folder / "hints" / "pond.json").read_text())
    assert file["shapes"] == [POINT]  # not twice
    shapes = [one for one in added["shapes"] if one["label"] != "cow" or PAINTED not in one]
    erased = put(client, "pond", {"shapes": shapes}, added["version"]).json()
    labels[labels == 1] = UNLABELLED
    path = data_folder / "hints" / "pond.png"
    assert np.array_equal(read_label_map(path, classes=3, undeclared=UNLABELLED), labels)
    none = put(client, "pond", {"shapes": [POINT]}, erased["version"])
    assert none.status_code == 200
    assert not path.exists()


def test_a_painted_file_that_another_program_changes_is_noticed(client, data_folder):
    paint(data_folder)
    opened = client.get("/api/image?name=pond").json()
    write_label_map(
        data_folder / "hints" / "pond.png", np.zeros((HEIGHT, WIDTH), np.int16), classes=3
    )
    refused = put(client, "pond", {"shapes": []}, opened["version"])
    assert refused.status_code == 409
    assert refused.json()["current"]["shapes"][0]["label"] == "grass"


def test_bitmaps_that_do_not_fit_are_refused(client, data_folder):
    before = paint(data_folder)
    opened = client.get("/api/image?name=pond").json()
    first = opened["shapes"][0]
    for wrong in (
        {"points": [[50, 20], [51, 29]], "label": "horse"}, {"points": [[0, 0], [9, 9]]},
        {"points": [[WIDTH - 1, 20], [WIDTH, 29]]}, {"mask": "AAAA"}, {"points": "x"},
    ):  # fmt: skip
        shapes = [{**first, **wrong}]
        assert put(client, "pond", {"shapes": shapes}, opened["version"]).status_code == 422
    assert np.array_equal(open_dataset(data_folder).hints("pond").partial, before)


# --- mending


def test_a_hint_file_that_is_none_is_set_aside(client, data_folder):
    path = data_folder / "hints" / "field.json"
    for text in ("{ cut short", "[]"):
        path.write_text(text)
        assert client.get("/api/image?name=field").json()["readable"] is False
        done = client.post("/api/aside", content='{"name": "field"}')
        assert (done.json()["readable"], done.json()["shapes"]) == (True, [])
    aside = data_folder / "studio" / "aside"
    assert (aside / "field.json").read_text() == "{ cut short"
    assert (aside / "field.1.json").read_text() == "[]"
    assert put(client, "field", {"shapes": [POINT]}).status_code == 200
    client.post("/api/aside", content='{"name": "herd"}')  # sound: it stays
    assert (data_folder / "hints" / "herd.json").exists()


def test_what_check_finds_is_told_with_its_image(client, data_folder):
    (data_folder / "hints" / "field.json").write_text("{ cut short")
    found = client.get("/api/problems").json()["problems"]
    assert found[0]["severity"] == "error"
    assert (found[0]["name"], "not JSON" in found[0]["text"]) == ("field", True)


def test_no_room_is_an_answer_after_which_the_page_tries_again(client, data_folder):
    before = (data_folder / "hints" / "field.json").read_bytes()
    opened = client.get("/api/image?name=field").json()
    content = {"shapes": [*opened["shapes"], POINT], "flags": opened["flags"]}
    with room_for(100):
        refused = put(client, "field", content, opened["version"])
    assert refused.status_code == 507
    assert "field.json" in refused.json()["error"]
    assert (data_folder / "hints" / "field.json").read_bytes() == before
    assert put(client, "field", content, opened["version"]).status_code == 200


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_told(client, data_folder):
    (data_folder / "hints").chmod(0o500)
    assert client.get("/api/facts").json()["writable"] is False
    assert put(client, "pond", {"shapes": [POINT]}).status_code == 507


def test_a_page_of_another_data_set_changes_nothing(session, data_folder):
    stale = browser(session, **{"x-hintseg": "0123456789abcdef"})
    assert put(stale, "pond", {"shapes": [POINT]}).status_code == 410
    assert not (data_folder / "hints" / "pond.json").exists()
    own = browser(session, **{"x-hintseg": session.id})
    assert put(own, "pond", {"shapes": [POINT]}).status_code == 200


# --- masks and similar places


def test_done_images_become_masks_that_respect_the_hints(client, session, data_folder):
    refused = client.post("/api/export", content='{"which": "done"}')
    assert refused.status_code == 400  # none is done
    assert client.get("/api/export/masks.zip").status_code == 400
    opened = client.get("/api/image?name=field").json()
    content = {"shapes": opened["shapes"], "flags": opened["flags"], "done": True}
    assert put(client, "field", content, opened["version"]).status_code == 200
    assert client.post("/api/export", content='{"which": "done"}').json()["total"] == 1
    deadline = time.monotonic() + 60
    while session.exporter.progress.state != "finished" and time.monotonic() < deadline:
        time.sleep(0.05)
    assert session.exporter.progress.errors == ()
    masks = data_folder / "studio" / "masks"
    assert sorted(p.name for p in masks.iterdir()) == ["classes.txt", "field.png"]
    labels = read_label_map(masks / "field.png", classes=3, undeclared=UNLABELLED)
    assert labels.shape == (HEIGHT, WIDTH)
    truth = open_dataset(data_folder).truth("field")
    assert (labels == truth)[truth >= 0].mean() > 0.9
    assert client.get("/api/export/masks.zip").content[:2] == b"PK"


def test_similar_places_are_found_labelled_and_taken_back(client, session, data_folder):
    session.start()
    deadline = time.monotonic() + 60
    while session.seeing.relatives.known < 8 and time.monotonic() < deadline:
        time.sleep(0.1)
    session.close()
    answer = client.get("/api/similar?name=pond&x=20&y=3").json()
    places = answer["places"]
    assert answer["images"] == 8
    assert places[0]["name"] == "pond"
    dataset = open_dataset(data_folder)
    truths = [dataset.truth(p["name"]) for p in places[:8]]
    found = [
        truth[int(p["y"] * HEIGHT), int(p["x"] * WIDTH)]
        for truth, p in zip(truths, places, strict=False)
    ]
    assert np.mean([label == 2 for label in found]) > 0.8  # sky
    before = labels_of(data_folder)
    body = json.dumps({"places": places[:4], "label": "sky"})
    added = client.post("/api/similar/label", content=body).json()["added"]
    assert sum(len(one["shapes"]) for one in added) == 4
    assert labels_of(data_folder)["sky"] == before["sky"] + 4
    assert not open_dataset(data_folder).hints(places[1]["name"]).partial
    client.post("/api/similar/undo", content=json.dumps({"added": added}))
    assert labels_of(data_folder) == before
    wrong = [{"label": "x", "places": places}, {"label": "sky", "places": []}, {"label": "sky"},
             {"label": "sky", "places": [{"name": "../x", "region": 0}]},
             {"label": "sky", "places": [{"name": "pond", "region": 10**6}]}]  # fmt: skip
    for body in wrong:
        answer = client.post("/api/similar/label", content=json.dumps(body))
        assert answer.status_code in (400, 422), body
    assert labels_of(data_folder) == before
    crop = client.get("/api/crop?name=pond&left=0&top=0&right=0.5&bottom=0.2")
    assert crop.headers["content-type"] == "image/jpeg"
    assert client.get("/api/similar?name=pond&x=2000&y=3").status_code == 422


def test_a_file_where_the_data_set_should_be_is_refused(tmp_path):
    file = tmp_path / "photo.jpg"
    file.write_bytes(b"")
    with pytest.raises(DataError, match="not a folder"):
        Studio(file)


def test_writing_painted_hints_without_room_leaves_the_file(client, data_folder, session):
    paint(data_folder)
    before = (data_folder / "hints" / "pond.png").read_bytes()
    drawing = session.read("pond")
    change = drawing.shapes[:1]
    with room_for(20), pytest.raises(WriteError):
        session.drawings.take_away(session.dataset, "pond", change)
    assert (data_folder / "hints" / "pond.png").read_bytes() == before


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_large_photograph_is_read_small_and_upright(tmp_path, orientation):
    path = tmp_path / "large.jpg"
    noise = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    exif = PillowImage.Exif()
    exif[0x0112] = orientation
    PillowImage.fromarray(noise).resize((4000, 3000)).save(path, quality=95, exif=exif)
    small, whole = read_small(path, 400), read_image(path)
    assert max(small.shape) in range(400, 801)
    at_same = resize_image(whole, *small.shape[:2])
    assert np.abs(at_same.astype(int) - small).mean() < 3
    assert read_small(path, 3000) is None  # nothing to save
    PillowImage.fromarray(noise).save(tmp_path / "x.png")
    assert read_small(tmp_path / "x.png", 2) is None
