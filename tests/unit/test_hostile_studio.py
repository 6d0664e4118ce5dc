"""The studio's server, asked by somebody who wants it to fail, on a data set made to hurt."""

import json
from urllib.parse import quote

import pytest
from starlette.testclient import TestClient

from hintseg.data.dataset import open_dataset
from hintseg.errors import DataError, RunError
from hintseg.studio.drawings import Change, Drawings
from hintseg.studio.guard import Door
from hintseg.studio.server import build_app
from hintseg.studio.session import Session

OWN = {"x-hintseg": "1"}
POINT = {"label": "cow", "points": [[10.0, 12.0]], "shape_type": "point"}


@pytest.fixture
def session(data_folder):
    found = Session(data_folder)
    found.trainer.start = lambda *_, **__: None
    yield found
    found.close()


@pytest.fixture
def client(session):
    """Errors that are no answer are raised here: none may be."""
    return TestClient(build_app(session, Door()), base_url="http://127.0.0.1:8765", headers=OWN)


def save(client, body, name="pond"):
    headers = {"if-match": "none"}
    return client.put(f"/api/hints?name={quote(name)}", content=body, headers=headers)


DEEP = '{"shapes": [{"label": "cow", "points": [[1, 1]], "shape_type": "point", "x": %s}]}'


@pytest.mark.parametrize(
    "body",
    [
        b"", b"\xff", b"[]", b"null", b"[" * 100_000, b"9" * 5000, b'{"shapes": 3}',
        b'{"shapes": [3]}', b'{"shapes": [], "flags": []}', b'{"shapes": [{}]}',
        b'{"shapes": [{"label": "cow", "points": [[1e999, 1]], "shape_type": "point"}]}',
        b'{"shapes": [{"label": "cow", "points": [[NaN, 1]], "shape_type": "point"}]}',
        b'{"shapes": [{"label": "cow", "points": [[1, 1]], "shape_type": "point", "x": NaN}]}',
        json.dumps({"shapes": [{**POINT, "label": "x" * 10**6}]}).encode(),
        json.dumps({"shapes": [{**POINT, "mask": "AAAA" * 100}] * 3}).encode(),
        json.dumps({"shapes": [POINT] * 20_001}).encode(),
    ],
    ids=lambda body: body[:60].decode("latin-1"),
)  # fmt: skip
def test_what_is_no_drawing_is_refused_in_a_sentence(client, data_folder, body):
    answer = save(client, body)
    assert answer.status_code == 422 or b'"mask"' in body
    if answer.status_code == 422:
        assert 0 < len(answer.json()["error"]) < 1000
        assert not (data_folder / "hints" / "pond.json").exists()


def test_half_a_surrogate_pair_is_saved_and_shown(client):
    answer = save(client, json.dumps({"shapes": [{**POINT, "description": "\ud800"}]}).encode())
    assert answer.status_code == 200
    assert client.get("/api/image?name=pond").json()["shapes"][0]["description"] == "\ud800"


@pytest.mark.parametrize(
    "text",
    [
        '{"shapes": [{"label": "cow", "points": [[NaN, 1]], "shape_type": "point"}]}',
        '{"shapes": [{"label": "cow", "points": [[1e999, 1]]}]}',
        '{"shapes": [{"label": "\\ud800", "points": [[1, 1]], "shape_type": "point"}]}',
        DEEP % ("[" * 900 + "]" * 900),
        "[" * 100_000,
        '{"shapes": [], "flags": {"\\ud800": true}}',
    ],
    ids=range(6),
)
def test_a_file_that_hurts_is_shown_with_its_problem(client, data_folder, text):
    (data_folder / "hints" / "field.json").write_text(text)
    answer = client.get("/api/image?name=field")
    assert answer.status_code in (200, 422)
    assert client.get("/api/images").status_code == 200


@pytest.mark.parametrize(
    "value", ["", "x", "-1", "1e3", "٣", "9" * 5000, "000000000000999999", "²"]
)
@pytest.mark.parametrize("key", ["side", "level", "x"])
def test_numbers_of_an_address_are_checked(client, key, value):
    route = {"side": "picture", "level": "tile", "x": "piece"}[key]
    query = {"name": "pond", "side": "30", "level": "0", "row": "0", "column": "0", "x": "nan"}
    answer = client.get(f"/api/{route}", params={**query, "y": "nan", key: value})
    assert answer.status_code == 422
    assert len(answer.json()["error"]) < 200


@pytest.mark.parametrize(
    "body",
    [
        {"method": []}, {"method": {}}, {"method": "x" * 5000}, {"steps": True}, {"steps": 10**30},
        {"steps": 1.5}, {"steps": [3]},
    ],
    ids=str,
)  # fmt: skip
def test_a_training_is_not_started_by_nonsense(client, body):
    answer = client.post("/api/train/start", json=body)
    assert answer.status_code == 400
    assert len(answer.json()["error"]) < 200


@pytest.mark.parametrize("name", ["a\nb", "a\x1b[2J", "\ud800", "", " ", "cow"])
def test_a_class_needs_a_name_of_letters(client, name):
    answer = client.post("/api/classes", content=json.dumps({"name": name}).encode())
    assert answer.status_code == 422


@pytest.mark.parametrize(
    "headers",
    [
        {"content-length": "²"},
        {"content-length": "9" * 5000},
        {"content-length": "-1"},
        {"origin": "http://[::1"},
        {"host": "["},
        {"cookie": "=;;;=" * 100, "origin": "null"},
    ],
    ids=str,
)
def test_odd_headers_are_refused(client, headers):
    sent = {name: value.encode("latin-1") for name, value in headers.items()}
    answer = client.post("/api/train/stop", headers=sent)
    assert answer.status_code in (403, 413)


def test_nothing_is_written_outside_of_the_data_set(data_folder, tmp_path):
    """A dataset.yaml can name folders anywhere; they are read only."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    file = data_folder / "dataset.yaml"
    file.write_text(f"{file.read_text()}hints: ../elsewhere\n")
    dataset = open_dataset(data_folder)
    with pytest.raises(DataError, match="lies outside of the data set"):
        Drawings().save(dataset, "pond", Change([POINT], {}, False), "none")
    (data_folder / "linked").symlink_to(elsewhere)
    file.write_text(file.read_text().replace("../elsewhere", "linked"))
    with pytest.raises(DataError, match="set hints: to a folder in it"):
        Drawings().save(open_dataset(data_folder), "pond", Change([POINT], {}, False), "none")
    assert not list(elsewhere.iterdir())


def test_hints_beside_photographs_elsewhere_are_saved_here(data_folder, tmp_path):
    """They are read where they are, changed in the data set's own folder, which counts first."""
    images = tmp_path / "photographs"
    (data_folder / "images").rename(images)
    file = data_folder / "dataset.yaml"
    file.write_text(f"{file.read_text()}images: ../photographs\n")
    beside = images / "pond.json"
    beside.write_text(json.dumps({"shapes": [POINT]}))
    before = beside.read_bytes()
    dataset, drawings = open_dataset(data_folder), Drawings()
    version = drawings.read(dataset, "pond").version
    saved = drawings.save(dataset, "pond", Change([POINT, POINT], {}, False), version)
    assert len(saved.shapes) == 2
    assert len(dataset.hints("pond").shapes) == 2
    saved = drawings.save(dataset, "pond", Change([], {}, False), saved.version)
    assert beside.read_bytes() == before


@pytest.mark.parametrize(
    "change",
    [
        {"run": "../../../evil"}, {"run": 0}, {"run": True}, {"images": "x"}, {"pid": "1"},
        {"options": "x"}, {"options": ["--out", "/tmp/evil"]}, {"options": ["--steps"]},
        {"options": ["--set", "train.weights=/tmp/evil.pth"]}, {"options": ["--steps", "x"]},
        {"options": ["--method", "../x"]}, {"options": [3, 4]}, {"options": ["--resume"]},
    ],
    ids=str,
)  # fmt: skip
def test_a_data_set_brings_no_words_for_a_command(session, data_folder, change):
    """`resume` gives the words of studio/training.json to `hintseg train`."""
    record = {"run": 1, "images": 3, "pid": 1, "options": ["--method", "spml", "--steps", "5"]}
    file = data_folder / "studio" / "training.json"
    file.parent.mkdir()
    file.write_text(json.dumps(record))
    assert session.trainer.progress().state == "failed"
    file.write_text(json.dumps({**record, **change}))
    for ask in (session.trainer.progress, session.trainer.resume):
        with pytest.raises(RunError, match=r"training\.json: not written by the studio"):
            ask()


def test_a_log_that_hurts_is_passed_over(session, data_folder):
    studio = data_folder / "studio"
    (studio / "runs" / "1").mkdir(parents=True)
    (studio / "training.json").write_text(json.dumps({"run": 1, "images": 3}))
    lines = ['{"step": 1, "loss": NaN}', '{"loss": "x", "step": 2}', '{"val": 3}', '{"loss": 1}']
    lines += ['{"val": {"miou": "x"}}', '{"step": 3, "loss": 0.5, "steps_per_second": "x"}']
    (studio / "runs" / "1" / "log.jsonl").write_text("\n".join(lines))
    progress = session.trainer.progress()
    assert (progress.step, progress.loss, progress.miou) == (4, 0.5, None)
    json.dumps(progress.record(), allow_nan=False)
