"""The studio's server: files, versions, who may ask; no browser."""

import gzip
import io
import json
import os
import struct
import subprocess
import sys
import time
from shutil import copyfile
from urllib.parse import quote

import numpy as np
import pytest
from PIL import Image as PillowImage
from starlette.testclient import TestClient

from conftest import CLASSES, HEIGHT, TINY_MODEL, WIDTH
from hintseg.data.dataset import Dataset, open_dataset
from hintseg.errors import ConfigError, DataError
from hintseg.hints.labelme import read_labelme
from hintseg.predict.doubt import Doubt
from hintseg.studio.drawings import OWN_KEY, Change, ConflictError, Drawings, read_change
from hintseg.studio.guard import Door
from hintseg.studio.ranking import LOOKS
from hintseg.studio.server import build_app
from hintseg.studio.serving import door_of
from hintseg.studio.session import Session
from hintseg.studio.trainer import Trainer, copy_hints

OWN = {"x-hintseg": "1"}
POINT = {"label": "cow", "points": [[10.0, 12.0]], "shape_type": "point"}
SMALL = ("--device", "cpu", "--crop", "32", "--batch", "2", "--backbone", TINY_MODEL["backbone"])
SMALL += ("--set", "train.weights=random")


@pytest.fixture
def session(data_folder):
    found = Session(data_folder, train_options=(*SMALL, "--set", "train.dim=8"))
    yield found
    found.close()  # it may have begun to rank


@pytest.fixture
def client(session):
    """A browser on this machine; the background work is not started."""
    return TestClient(build_app(session, Door()), base_url="http://127.0.0.1:8765", headers=OWN)


def put(client, name, content, version):
    headers = {"if-match": version}
    return client.put(
        f"/api/hints?name={quote(name)}", content=json.dumps(content), headers=headers
    )


def test_the_list_tells_what_is_known_of_each_image(client):
    images = {image["name"]: image for image in client.get("/api/images").json()["images"]}
    assert len(images) == 8
    assert images["field"]["hints"] == 5
    assert images["field"]["classes"] == ["cow", "grass", "sky"]
    assert images["pond"] == {
        "name": "pond", "hints": 0, "classes": [], "done": False, "problems": 0, "doubt": None,
    }  # fmt: skip


def test_a_drawing_is_saved_where_the_command_line_reads_it(client, dataset):
    opened = client.get("/api/image?name=pond").json()
    assert (opened["width"], opened["height"], opened["version"]) == (WIDTH, HEIGHT, "none")
    content = {"shapes": [POINT], "flags": {"sky": True}, "done": True}
    saved = put(client, "pond", content, "none")
    assert saved.status_code == 200
    assert saved.json()["summary"]["hints"] == 2
    hints, size = read_labelme(dataset.hints_folder / "pond.json", dataset.classes)
    assert size == (HEIGHT, WIDTH)
    assert (hints.shapes[0].kind, hints.shapes[0].points) == ("point", ((9.5, 11.5),))
    assert hints.flags == {2}
    assert client.get("/api/image?name=pond").json()["done"] is True


def test_foreign_keys_survive(client, data_folder):
    path = data_folder / "hints" / "field.json"
    document = json.loads(path.read_text())
    document |= {"author": {"name": "Ada"}, "imageData": "QUJD", OWN_KEY: {"colour": 3}}
    document["shapes"][0] |= {"mood": "good", "group_id": 7}
    path.write_text(json.dumps(document))
    opened = client.get("/api/image?name=field").json()
    content = {"shapes": [*opened["shapes"], POINT], "flags": opened["flags"], "done": True}
    assert put(client, "field", content, opened["version"]).status_code == 200
    after = json.loads(path.read_text())
    assert after["shapes"][:-1] == document["shapes"]
    assert after[OWN_KEY] == {"colour": 3, "done": True}
    assert {k: after[k] for k in ("author", "imageData", "version", "imagePath")} == {
        k: document[k] for k in ("author", "imageData", "version", "imagePath")
    }


def test_a_second_window_is_noticed_and_nothing_is_overwritten(client, data_folder):
    first = client.get("/api/image?name=pond").json()
    assert put(client, "pond", {"shapes": [POINT]}, first["version"]).status_code == 200
    before = (data_folder / "hints" / "pond.json").read_bytes()
    refused = put(client, "pond", {"shapes": []}, first["version"])
    assert refused.status_code == 409
    assert refused.json()["current"]["shapes"] == [POINT]
    assert (data_folder / "hints" / "pond.json").read_bytes() == before


def test_another_program_is_noticed(dataset):
    drawings = Drawings()
    version = drawings.read(dataset, "field").version
    path = dataset.json_file("field")
    path.write_text(path.read_text() + "\n")
    with pytest.raises(ConflictError, match="changed elsewhere"):
        drawings.save(dataset, "field", Change([], {}, done=False), version)


def test_a_drawing_of_nothing_leaves_no_file(client, data_folder):
    saved = put(client, "pond", {"shapes": [POINT]}, "none").json()
    emptied = put(client, "pond", {"shapes": [], "flags": {}}, saved["version"])
    assert emptied.json()["version"] == "none"
    assert not (data_folder / "hints" / "pond.json").exists()


@pytest.mark.parametrize(
    "body",
    [
        "[]", "{}", "{", '{"shapes": 3}', '{"shapes": [1]}', '{"shapes": [], "flags": []}',
        '{"shapes": [{"label": "cow", "points": [[NaN, 1]], "shape_type": "point"}]}',
        '{"shapes": [{"label": "horse", "points": [[1, 1]], "shape_type": "point"}]}',
        '{"shapes": [{"label": "cow", "points": [[1, 1]], "shape_type": "spiral"}]}',
        '{"shapes": [{"label": "cow", "points": [[999, 1]], "shape_type": "point"}]}',
    ],
)  # fmt: skip
def test_what_is_no_drawing_is_refused_and_nothing_is_written(client, data_folder, body):
    answer = client.put("/api/hints?name=pond", content=body, headers={"if-match": "none"})
    assert answer.status_code == 422
    assert answer.json()["error"]
    assert sorted(p.name for p in (data_folder / "hints").iterdir()) == [
        "field.json", "herd.json", "hill.json", "meadow.json",
    ]  # fmt: skip


def test_a_file_with_a_mistake_is_shown_and_can_be_mended(client, data_folder):
    path = data_folder / "hints" / "field.json"
    document = json.loads(path.read_text())
    document["shapes"].append({"label": "horse", "points": [[1, 1]], "shape_type": "point"})
    path.write_text(json.dumps(document))
    opened = client.get("/api/image?name=field").json()
    assert "no class named 'horse'" in opened["problems"][0]
    content = {"shapes": [*opened["shapes"], POINT], "flags": opened["flags"]}
    worse = put(client, "field", content, opened["version"])  # saved: the mistake was there before
    assert worse.status_code == 200
    content["shapes"] = [shape for shape in content["shapes"] if shape["label"] != "horse"]
    mended = put(client, "field", content, worse.json()["version"])
    assert mended.json()["problems"] == []


def test_a_file_that_is_no_labelme_file_is_never_overwritten(client, data_folder):
    path = data_folder / "hints" / "field.json"
    path.write_text("{ cut short")
    opened = client.get("/api/image?name=field").json()
    assert opened["readable"] is False
    assert "not JSON" in opened["problems"][0]
    assert put(client, "field", {"shapes": [POINT]}, opened["version"]).status_code == 422
    assert path.read_text() == "{ cut short"


def test_a_coloured_bitmap_becomes_one_that_labelme_reads():
    import base64  # noqa: PLC0415
    from io import BytesIO  # noqa: PLC0415

    pixels = np.zeros((2, 3, 4), np.uint8)
    pixels[..., 3] = 255
    pixels[1, 2] = 255
    buffer = BytesIO()
    PillowImage.fromarray(pixels).save(buffer, format="PNG")
    text = base64.b64encode(buffer.getvalue()).decode()
    change = read_change(json.dumps({"shapes": [{"mask": text}]}).encode())
    with PillowImage.open(BytesIO(base64.b64decode(change.shapes[0]["mask"]))) as image:
        assert image.mode in ("1", "L")
        assert (np.array(image) > 0).tolist() == [[False] * 3, [False, False, True]]


@pytest.mark.parametrize(
    "name", ["../dataset", "/etc/passwd", "..%2F..%2Fetc/passwd", "pond.png", "", "x" * 5000]
)
def test_names_are_never_paths(client, name):
    for path in ("image", "thumb", "picture", "seen", "piece", "tile"):
        answer = client.get(
            f"/api/{path}?name={quote(name)}&side=64&level=0&row=0&column=0&x=1&y=1"
        )
        assert answer.status_code == 422, path
    assert put(client, name, {"shapes": []}, "none").status_code == 422


@pytest.mark.parametrize("path", ["/../pyproject.toml", "/%2e%2e/session.py", "/assets/../../x"])
def test_files_outside_the_page_are_not_served(client, path):
    assert client.get(path).status_code == 404


def test_pictures_are_whole_or_in_tiles(client, data_folder, session):
    rng = np.random.default_rng(0)
    large = rng.integers(0, 256, (700, 1100, 3), dtype=np.uint8)
    PillowImage.fromarray(large).save(data_folder / "images" / "large.png")
    session.images()
    whole = _image(client.get("/api/picture?name=large&side=550"))
    assert whole.size == (550, 350)
    sizes = {
        (level, row, column): _image(
            client.get(f"/api/tile?name=large&level={level}&row={row}&column={column}")
        ).size
        for level, row, column in [(0, 0, 0), (0, 1, 2), (1, 0, 1), (2, 0, 0)]
    }
    assert sizes == {
        (0, 0, 0): (512, 512), (0, 1, 2): (76, 188), (1, 0, 1): (38, 350), (2, 0, 0): (275, 175),
    }  # fmt: skip
    for wrong in ("level=3&row=0&column=0", "level=0&row=2&column=0", "level=0&row=-1&column=0"):
        assert client.get(f"/api/tile?name=large&{wrong}").status_code == 422
    assert max(_image(client.get("/api/thumb?name=large")).size) == 96


def _image(answer):
    from io import BytesIO  # noqa: PLC0415

    assert answer.status_code == 200
    return PillowImage.open(BytesIO(answer.content))


def test_an_image_that_vanishes_is_an_error_of_one_line(client, data_folder):
    (data_folder / "images" / "pond.png").unlink()
    for path in ("image", "thumb", "seen"):
        answer = client.get(f"/api/{path}?name=pond")
        assert answer.status_code in (422, 500), path
        assert "pond.png" in answer.json()["error"]


# --- who may ask


def test_other_names_of_the_server_are_refused(client):
    for host in ("evil.example", "evil.example:8765", "127.0.0.1.evil.example", ""):
        assert client.get("/api/facts", headers={"host": host}).status_code == 403, host
    for host in ("localhost:8765", "127.0.0.1:9", "[::1]:8765"):
        assert client.get("/api/facts", headers={"host": host}).status_code == 200, host


@pytest.mark.parametrize(
    "headers",
    [
        {"x-hintseg": ""},
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:9999"},
        {"sec-fetch-site": "cross-site"},
    ],
)
def test_other_pages_change_nothing(session, headers):
    app = build_app(session, Door())
    own = {k: v for k, v in {**OWN, **headers}.items() if v}
    client = TestClient(app, base_url="http://127.0.0.1:8765", headers=own)
    assert put(client, "pond", {"shapes": [POINT]}, "none").status_code == 403
    assert client.post("/api/train/start").status_code == 403
    assert not (session.dataset.hints_folder / "pond.json").exists()


def test_its_own_page_may(session):
    headers = {**OWN, "origin": "http://127.0.0.1:8765", "sec-fetch-site": "same-origin"}
    client = TestClient(
        build_app(session, Door()), base_url="http://127.0.0.1:8765", headers=headers
    )
    assert put(client, "pond", {"shapes": [POINT]}, "none").status_code == 200


def test_large_bodies_are_refused_by_their_length(client):
    headers = {"if-match": "none", "content-length": str(10**9)}
    answer = client.put("/api/hints?name=pond", content=b"{}", headers=headers)
    assert answer.status_code == 413


def test_another_host_needs_a_token():
    with pytest.raises(ConfigError, match=r"--host 0\.0\.0\.0: .* add --token"):
        door_of("0.0.0.0", None)
    with pytest.raises(ConfigError, match="8 characters"):
        door_of("127.0.0.1", "short")
    assert door_of("127.0.0.1", None) == Door()
    assert door_of("lab.example", "long enough").knows("LAB.example:80")


def test_the_token_moves_into_a_cookie(session):
    door = door_of("0.0.0.0", "correct horse")
    client = TestClient(build_app(session, door), base_url="http://lab:8765", headers=OWN)
    assert client.get("/api/facts").status_code == 401
    assert client.get("/?token=wrong").status_code == 401
    entered = client.get("/?token=correct%20horse", follow_redirects=False)
    assert entered.status_code == 303
    assert "token" not in entered.headers["location"]
    cookie = entered.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert client.get("/api/facts").status_code == 200


def test_answers_keep_browsers_strict(client):
    for path in ("/", "/api/facts", "/nothing"):
        headers = client.get(path).headers
        assert "default-src 'self'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"


# --- classes


def test_a_class_is_added_behind_the_others(client, data_folder):
    facts = client.post("/api/classes", content='{"name": "tree"}').json()
    assert [one["name"] for one in facts["classes"]] == [*CLASSES, "tree"]
    reread = open_dataset(data_folder)
    assert reread.classes.names == (*CLASSES, "tree")
    assert reread.names("val") == ("pond", "ridge")
    for wrong in ('{"name": "cow"}', '{"name": "  "}', '{"name": 3}', "[]"):
        assert client.post("/api/classes", content=wrong).status_code == 422


# --- predictions


def _label_map(answer):
    assert answer.status_code == 200
    content = answer.content
    content = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
    height, width, size, quick = struct.unpack("<4I", content[:16])
    count = height * width
    assert len(content) == 16 + count * (size + 1)
    return np.frombuffer(content, np.uint8, count, 16).reshape(height, width), bool(quick)


def test_a_prediction_follows_the_strokes_before_any_training(client):
    assert client.get("/api/seen?name=pond").status_code == 204  # nobody has drawn anything
    shapes = [
        {"label": "sky", "points": [[3, 3], [50, 3]], "shape_type": "linestrip"},
        {"label": "grass", "points": [[3, 37], [50, 37]], "shape_type": "linestrip"},
    ]
    assert put(client, "pond", {"shapes": shapes}, "none").status_code == 200
    labels, quick = _label_map(client.get("/api/seen?name=pond"))
    assert quick
    assert labels.shape == (HEIGHT, WIDTH)
    assert (labels[:6] == 2).mean() > 0.9
    assert (labels[-4:] == 0).mean() > 0.9
    piece = client.get("/api/piece?name=pond&x=20&y=2").json()
    assert (piece["label"], piece["shape_type"]) == ("sky", "mask")
    version = client.get("/api/image?name=pond").json()["version"]
    assert put(client, "pond", {"shapes": [*shapes, piece]}, version).status_code == 200
    assert client.get("/api/piece?name=pond&x=2000&y=2").status_code == 422


def test_what_was_just_drawn_teaches_the_next_image_that_is_opened(session):
    """At once: the round of all images would come to it in seconds."""
    assert session.seeing.shown(session.dataset, "ridge", "quick") is None
    shapes = [
        {"label": label, "points": [[3, row], [50, row]], "shape_type": "linestrip"}
        for label, row in (("sky", 3), ("grass", 37))
    ]
    session.save("pond", Change(shapes, {}, done=False), session.read("pond").version)
    assert session.seeing.shown(session.dataset, "ridge", "quick").quick


def test_hints_of_other_images_teach_too_and_images_are_ranked(session):
    assert session.seeing.learn(session.dataset, "field")
    assert not session.seeing.learn(session.dataset, "field")  # no news
    shown = session.seeing.shown(session.dataset, "pond", "quick")
    assert shown.quick
    assert set(np.unique(shown.labels)) <= {0, 1, 2}
    assert 0 < session.seeing.doubt(session.dataset, "pond").mean < 1
    session.start()
    deadline = time.monotonic() + 60
    while session.ranking.known < 8 and time.monotonic() < deadline:
        time.sleep(0.1)
    session.close()
    assert all(image["doubt"] is not None for image in session.images())


def test_the_work_of_a_round_grows_with_the_images_and_not_with_their_square(
    data_folder, monkeypatch
):
    for number in range(192):
        copyfile(data_folder / "images" / "pond.png", data_folder / "images" / f"{number}.png")
    session = Session(data_folder)
    looks = []
    has_hints = Dataset.has_hints
    monkeypatch.setattr(Dataset, "has_hints", lambda *which: looks.append(1) or has_hints(*which))
    monkeypatch.setattr(session.seeing, "doubt", lambda *_: Doubt(0.5, 0.5, 0.5))
    session.ranking.follow(session.dataset)
    while session.ranking.step() or session.ranking.step():
        pass
    assert session.ranking.known == 200
    assert len(looks) < LOOKS * 200


# --- training


def _wait(trainer, *states):
    deadline = time.monotonic() + 240
    while trainer.progress().state not in states and time.monotonic() < deadline:
        time.sleep(0.2)
    return trainer.progress()


def test_without_hints_there_is_nothing_to_train(data_folder, dataset, tmp_path):
    for path in (data_folder / "hints").iterdir():
        path.unlink()
    with pytest.raises(DataError, match="no image has a hint"):
        copy_hints(dataset, tmp_path / "copy")


def test_the_copy_of_the_hints_is_the_same_data_set(dataset, tmp_path):
    assert copy_hints(dataset, tmp_path / "copy") == 4
    copied = open_dataset(tmp_path / "copy")
    assert copied.digest == dataset.digest
    assert copied.images.keys() == dataset.images.keys()


def test_training_beside_the_browser(client, session):
    """Start, progress, a model that is seen with, and a server that was started anew."""
    answer = client.post("/api/train/start", content='{"method": "partial", "steps": 12}')
    assert answer.json()["state"] == "running"
    assert client.post("/api/train/start", content="{}").status_code == 400  # one at a time
    again = Trainer(session.root, session.trainer._options)  # a server after a crash
    assert again.progress().state == "running"
    done = _wait(session.trainer, "finished", "failed")
    assert (done.state, done.message) == ("finished", "")
    assert done.step == done.steps == 12
    assert client.get("/api/facts").json()["run"] == "1"
    labels, quick = _label_map(client.get("/api/seen?name=pond&what=model"))
    assert not quick
    assert labels.max() < 3
    assert client.post("/api/train/resume").status_code == 400
    _pictures_are_of_the_run(client, done.pictures, session.trainer.run(1))
    assert Session(session.root).seeing.run == session.trainer.run(1)


def _pictures_are_of_the_run(client, pictures, run):
    """What the network sees at the last step, and nothing that lies elsewhere."""
    name, written = pictures[0]
    assert name.endswith("/seen.png")
    shown = client.get(f"/api/sheet?run=1&name={name}&written={written}")
    assert shown.headers["content-type"] == "image/png"
    with PillowImage.open(io.BytesIO(shown.content)) as picture:
        assert picture.width > 2 * WIDTH  # the hints, and beside them what is seen
    (run / name).with_name("x.png").symlink_to(run.parents[2] / "images" / "pond.png")
    for other in (name.replace("seen", "x"), "../../images/pond.png", "model.json"):
        assert client.get(f"/api/sheet?run=1&name={other}").status_code == 422


def test_a_training_stops_and_goes_on(session):
    session.trainer.start(session.dataset, method="partial", steps=4000)
    run = session.trainer.run(1)
    deadline = time.monotonic() + 120
    while not (run / "log.jsonl").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    while session.trainer.progress().step < 2 and time.monotonic() < deadline:
        time.sleep(0.1)
    session.trainer.stop()
    stopped = _wait(session.trainer, "stopped", "failed")
    assert stopped.state == "stopped"
    assert list(run.glob("checkpoint/*"))
    session.trainer.resume()
    assert session.trainer.progress().state == "running"
    session.trainer.stop()
    assert _wait(session.trainer, "stopped", "failed").state == "stopped"


def test_a_training_that_fails_says_why(session):
    trainer = Trainer(session.root, ("--set", "train.lr=-1"))
    trainer.start(session.dataset, method="partial", steps=5)
    failed = _wait(trainer, "failed", "finished")
    assert failed.state == "failed"
    assert "train.lr" in failed.message
    assert "Traceback" not in failed.message


def test_the_command_refuses_in_one_line(data_folder):
    words = [sys.executable, "-m", "hintseg", "studio", str(data_folder), "--no-browser"]
    env = {**os.environ}
    done = subprocess.run(
        [*words, "--host", "0.0.0.0"], capture_output=True, text=True, check=False, env=env
    )
    assert done.returncode == 1
    assert done.stderr.startswith("hintseg: --host 0.0.0.0:")
    assert done.stderr.count("\n") == 1
