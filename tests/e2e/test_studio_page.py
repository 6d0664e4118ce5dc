"""The page of the studio in a real browser, by real mouse and keyboard events."""

import json
import shutil
import threading
import time
from contextlib import contextmanager

import numpy as np
import pytest
import uvicorn
from PIL import Image as PillowImage

from conftest import CLASSES, HEIGHT, WIDTH
from hintseg.studio.guard import Door
from hintseg.studio.server import build_app
from hintseg.studio.serving import listen
from hintseg.studio.session import Session

playwright = pytest.importorskip("playwright.sync_api")
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")
pytestmark = pytest.mark.skipif(BROWSER is None, reason="needs chromium")
PATIENCE = 20_000  # ms: the machine may be busy


@contextmanager
def serving(folder, port=0):
    """The studio of a data set, in a thread; gives its address."""
    listening = listen("127.0.0.1", port)
    session = Session(folder)
    server = uvicorn.Server(uvicorn.Config(build_app(session, Door()), log_level="error"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
    finally:
        server.should_exit = True
        thread.join()
        listening.close()


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as started:
        found = started.chromium.launch(
            executable_path=BROWSER, args=["--no-sandbox", "--disable-gpu"]
        )
        yield found
        found.close()


class Hand:
    """What a person does on the page."""

    def __init__(self, page):
        self.page = page
        box = page.locator("canvas").bounding_box()
        self.scale = min((box["width"] - 24) / WIDTH, (box["height"] - 24) / HEIGHT)
        self.left = box["x"] + (box["width"] - WIDTH * self.scale) / 2
        self.top = box["y"] + (box["height"] - HEIGHT * self.scale) / 2

    def at(self, x, y):
        """A place of the image on the screen."""
        return self.left + x * self.scale, self.top + y * self.scale

    def click(self, x, y):
        self.page.mouse.click(*self.at(x, y))

    def stroke(self, *points):
        self.page.mouse.move(*self.at(*points[0]))
        self.page.mouse.down()
        for point in points[1:]:
            self.page.mouse.move(*self.at(*point), steps=6)
        self.page.mouse.up()

    def saved(self):
        self.page.wait_for_selector("footer .saved", timeout=PATIENCE)


@pytest.fixture
def opened(browser):
    """Open the page on an image; errors on the page fail the test."""
    contexts, errors = [], []

    def open_(address, name="pond", **options):
        context = browser.new_context(viewport={"width": 1280, "height": 720}, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(f"{address}#{name}")
        page.wait_for_selector(f"canvas[data-image='{name}']")
        return page

    yield open_
    for context in contexts:
        context.close()
    assert not errors


def drawn(folder, name="pond"):
    """What the file holds; nothing where there is none."""
    path = folder / "hints" / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else {"shapes": [], "flags": {}}


def kinds(folder, name="pond"):
    return [(shape["label"], shape["shape_type"]) for shape in drawn(folder, name)["shapes"]]


def wait_for(condition):
    deadline = time.monotonic() + PATIENCE / 1000
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.05)


def test_every_tool_draws_what_it_says_and_undo_takes_it_back(opened, data_folder):
    with serving(data_folder) as address:
        page = opened(address)
        hand = Hand(page)
        page.keyboard.press("3")
        hand.stroke((4, 4), (30, 8), (48, 5))
        page.keyboard.press("2")
        page.keyboard.press("p")
        hand.click(20, 25)
        page.keyboard.press("b")
        hand.stroke((10, 15), (30, 34))
        page.keyboard.press("1")
        page.keyboard.press("g")
        for corner in ((2, 36), (50, 36), (50, 39), (3, 39)):
            hand.click(*corner)
        page.keyboard.press("Backspace")
        page.keyboard.press("Enter")
        page.keyboard.press("Alt+2")
        expected = [
            ("sky", "linestrip"), ("cow", "point"), ("cow", "rectangle"), ("grass", "polygon"),
        ]  # fmt: skip
        wait_for(lambda: kinds(data_folder) == expected and drawn(data_folder)["flags"])
        document = drawn(data_folder)
        assert document["flags"] == {"cow": True}
        assert document["shapes"][1]["points"][0] == pytest.approx([20, 25], abs=0.2)
        assert document["shapes"][0]["points"][0] == pytest.approx([4, 4], abs=0.2)
        assert len(document["shapes"][3]["points"]) == 3
        for count in (4, 3, 2):
            page.keyboard.press("Control+z")
            wait_for(lambda count=count: len(kinds(data_folder)) == count)
        page.keyboard.press("Control+Shift+z")
        wait_for(lambda: kinds(data_folder) == expected[:3])


def test_the_eraser_cuts_strokes_and_removes_points(opened, data_folder):
    with serving(data_folder) as address:
        page = opened(address)
        hand = Hand(page)
        hand.stroke((5, 10), (50, 10))
        page.keyboard.press("p")
        hand.click(28, 30)
        wait_for(lambda: len(kinds(data_folder)) == 2)
        page.keyboard.press("e")
        hand.stroke((28, 4), (28, 33))
        wait_for(lambda: [kind for _, kind in kinds(data_folder)] == ["linestrip", "linestrip"])
        left, right = (shape["points"] for shape in drawn(data_folder)["shapes"])
        assert max(x for x, _ in left) < 28 < min(x for x, _ in right)
        page.keyboard.press("Control+z")
        wait_for(lambda: [kind for _, kind in kinds(data_folder)] == ["linestrip", "point"])


def test_the_loop_draw_see_accept_correct_done_next(opened, data_folder):
    with serving(data_folder) as address:
        page = opened(address)
        hand = Hand(page)
        page.keyboard.press("3")
        hand.stroke((3, 3), (50, 4))
        page.keyboard.press("1")
        hand.stroke((3, 37), (50, 37))
        page.wait_for_selector("canvas[data-seen='pond']")
        hand.saved()
        page.wait_for_selector(".looking", state="detached")
        page.keyboard.press("a")
        hand.click(25, 2)
        wait_for(lambda: ("sky", "mask") in kinds(data_folder))
        before = Session(data_folder).dataset.hints("pond").shapes[-1].bitmap.sum()
        page.keyboard.press("2")
        page.keyboard.press("s")
        hand.stroke((10, 1), (20, 1))  # a cow in the sky: the accepted area makes room
        wait_for(lambda: ("cow", "linestrip") in kinds(data_folder))
        shapes = Session(data_folder).dataset.hints("pond").shapes
        after = next(shape for shape in shapes if shape.kind == "mask").bitmap.sum()
        assert 0 < after < before
        page.keyboard.press("d")
        wait_for(lambda: drawn(data_folder).get("hintseg") == {"done": True})
        page.wait_for_selector("button[aria-pressed=true] >> text=Done")
        page.wait_for_selector("nav small >> text=doubt known of 8 of 8")
        page.wait_for_selector(".row meter")
        page.keyboard.press("n")
        hinted = ("pond", "field", "herd", "hill", "meadow")
        others = "".join(f":not([data-image={name}])" for name in hinted)
        page.wait_for_selector(f"canvas{others}")
        page.select_option("nav select", "done")
        wait_for(lambda: page.locator(".row").count() == 1)


def test_a_reload_loses_nothing_and_two_windows_are_merged(opened, data_folder):
    with serving(data_folder) as address:
        first, second = opened(address), opened(address)
        Hand(first).stroke((5, 5), (40, 5))
        wait_for(lambda: len(kinds(data_folder)) == 1)
        Hand(second).stroke((5, 30), (40, 30))  # it has not seen the other stroke
        wait_for(lambda: len(kinds(data_folder)) == 2)
        first.reload()
        first.wait_for_selector("footer >> text=2 hints")
        second.wait_for_selector("footer >> text=2 hints")


def test_strokes_drawn_while_the_server_is_away_are_kept(opened, data_folder):
    with serving(data_folder) as address:
        page = opened(address)
        Hand(page).saved()
    Hand(page).stroke((5, 5), (40, 5))
    page.wait_for_selector("footer .unsaved")
    assert kinds(data_folder) == []
    port = int(address.rstrip("/").rpartition(":")[2])
    with serving(data_folder, port):
        page.reload()
        page.wait_for_selector("canvas[data-image='pond']")
        wait_for(lambda: len(kinds(data_folder)) == 1)


def test_names_are_text_not_markup(opened, data_folder):
    evil = "<img src=x onerror=alert(1)>"
    (data_folder / "images" / "pond.png").rename(data_folder / "images" / "it's #1 & 50%.png")
    text = (data_folder / "dataset.yaml").read_text().replace("grass", json.dumps(evil))
    (data_folder / "dataset.yaml").write_text(text)
    for path in (data_folder / "hints").iterdir():
        path.unlink()
    with serving(data_folder) as address:
        page = opened(address, "field")
        page.click("text=it's #1 & 50%")
        page.wait_for_selector("canvas[data-image^=it]")
        Hand(page).stroke((5, 5), (40, 5))
        wait_for(lambda: kinds(data_folder, "it's #1 & 50%") == [(evil, "linestrip")])
        assert page.locator("img[src=x]").count() == 0


def test_a_large_photograph_is_drawn_in_tiles(opened, data_folder):
    rng = np.random.default_rng(0)
    small = PillowImage.fromarray(rng.integers(0, 256, (60, 90, 3), dtype=np.uint8))
    small.resize((4500, 3000)).save(data_folder / "images" / "large.jpg")
    with serving(data_folder) as address:
        page = opened(address, "large")
        tiles = []
        page.on("request", lambda request: tiles.append(request.url))
        page.locator("canvas").hover()
        for _ in range(12):
            page.mouse.wheel(0, -240)
        page.wait_for_load_state("networkidle")
        asked = [url for url in tiles if "/api/tile" in url]
        assert any("level=0" in url for url in asked)
        assert len(asked) < 54  # all tiles of the full size


def test_fingers_zoom_and_draw(opened, data_folder):
    with serving(data_folder) as address:
        page = opened(address, has_touch=True)
        hand = Hand(page)
        page.touchscreen.tap(*hand.at(20, 20))
        wait_for(lambda: kinds(data_folder) == [(CLASSES[0], "point")])


def test_everything_can_be_reached_by_keyboard(opened, data_folder):
    with serving(data_folder) as address:
        page = opened(address)
        page.keyboard.press("?")
        page.wait_for_selector("dialog")
        page.keyboard.press("Escape")
        page.wait_for_selector("dialog", state="detached")
        page.keyboard.press("PageDown")
        page.wait_for_selector("canvas[data-image='ridge']")
        names = page.evaluate(
            "[...document.querySelectorAll('button, input, select, [role]')]"
            ".filter((e) => !(e.getAttribute('aria-label') || e.title || e.textContent.trim()"
            " || e.closest('label'))).length"
        )
        assert names == 0  # whatever can be focused says what it is
