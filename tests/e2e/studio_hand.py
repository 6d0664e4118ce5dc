"""The studio's page in a real browser: a server, a hand, and what the files hold."""

import json
import shutil
import threading
import time
from contextlib import contextmanager

import pytest
import uvicorn

from conftest import HEIGHT, WIDTH
from hintseg.studio.guard import Door
from hintseg.studio.server import build_app
from hintseg.studio.serving import listen
from hintseg.studio.session import Session
from hintseg.studio.studio import Studio

playwright = pytest.importorskip("playwright.sync_api")
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")
PATIENCE = 60_000  # ms: the machine may be busy


@contextmanager
def serving(folder, port=0, train_options=()):
    """The studio of a data set, in a thread; gives its address."""
    listening = listen("127.0.0.1", port)
    session = Session(folder, train_options=train_options) if train_options else None
    studio = Studio(folder, session=session)
    config = uvicorn.Config(
        build_app(studio, Door()), log_level="error", timeout_graceful_shutdown=3
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
    finally:
        server.should_exit = True
        thread.join()
        listening.close()


@pytest.fixture(scope="module", name="browser")
def the_browser():
    with playwright.sync_playwright() as started:
        found = started.chromium.launch(
            executable_path=BROWSER, args=["--no-sandbox", "--disable-gpu"]
        )
        yield found
        found.close()


class Hand:
    """What a person does on the page."""

    def __init__(self, page, width=WIDTH, height=HEIGHT):
        self.page = page
        box = page.locator("canvas").bounding_box()
        self.scale = min((box["width"] - 24) / width, (box["height"] - 24) / height)
        self.left = box["x"] + (box["width"] - width * self.scale) / 2
        self.top = box["y"] + (box["height"] - height * self.scale) / 2

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


@pytest.fixture(name="opened")
def opened_pages(browser):
    """Open the page on an image; errors on the page fail the test."""
    contexts, errors = [], []

    def open_(address, name="pond", **options):
        context = browser.new_context(viewport={"width": 1280, "height": 720}, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(f"{address}#{name}")
        page.wait_for_selector(f"canvas[data-image='{name}']" if name else ".start")
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
