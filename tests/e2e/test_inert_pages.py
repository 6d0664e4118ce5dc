"""Pages of names that are HTML, in a real browser: no script runs, nothing is fetched."""

from html import unescape

import numpy as np
import pytest
from PIL import Image as PillowImage
from studio_hand import BROWSER, PATIENCE, serving, the_browser  # noqa: F401 - a fixture

from hintseg.compare.choices import HintChoice
from hintseg.compare.page import write_compare_page
from hintseg.compare.plan import Cell, Plan
from hintseg.compare.results import CellResult, Results
from hintseg.data.check.checking import check
from hintseg.data.dataset import open_dataset
from hintseg.engine.run import Run
from hintseg.report.check_page import write_check_page
from hintseg.report.page import write_page
from hintseg.report.run_page import PictureRow, write_report
from hintseg.structures import ClassSet

pytestmark = pytest.mark.skipif(BROWSER is None, reason="needs chromium")
EVIL = '"><img src=x onerror="document.title=`ran`"><script>document.title="ran"</script>'
NAME = "<img src=x onerror=document.title='ran'><svg onload=document.title='ran'>"  # no slash


def opened(browser, path):
    """The title of a page once it is loaded, and what it wanted to fetch."""
    page = browser.new_page()
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(path.as_uri(), timeout=PATIENCE)
    page.wait_for_timeout(300)
    title, text = page.title(), page.inner_text("body")
    page.close()
    return title, text, [url for url in asked if not url.startswith(("data:", path.as_uri()))]


def assert_inert(browser, path, shown):
    title, text, asked = opened(browser, path)
    assert title != "ran"
    assert not asked
    assert shown in text


def test_the_sheet_of_check(browser, tmp_path):
    root = tmp_path / "data"
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    PillowImage.new("RGB", (40, 30)).save(root / "images" / f"{NAME}.png")
    PillowImage.fromarray(np.zeros((30, 40), np.uint8)).save(root / "masks" / f"{NAME}.png")
    (root / "hints").mkdir()
    (root / "hints" / f"{NAME}.json").write_text(
        '{"shapes": [{"label": "<script>x", "points": [[1, 1]], "shape_type": "point"}]}'
    )
    (root / "dataset.yaml").write_text(f"classes: ['{EVIL}', cow]\n")
    write_check_page(check(root), tmp_path / "check.html")
    assert_inert(browser, tmp_path / "check.html", NAME)


def test_the_report_of_a_run(browser, tmp_path):
    run = Run(tmp_path / "run")
    run.record({"method": EVIL, EVIL: EVIL})
    run.log({"stage": EVIL, "step": 1, "loss": 1.0, "losses": {EVIL: 1.0, "$\\frac{": 2.0}})
    (run.root / "config.yaml").write_text(f"data: '{EVIL}'\ntrain: {{'{EVIL}': 3}}\n")
    image = np.zeros((30, 40, 3), np.uint8)
    row = PictureRow(NAME, image, image, np.zeros((30, 40), np.int16), tags=(0,))
    path = write_report(run, classes=ClassSet((EVIL, "cow")), rows=[row])
    assert_inert(browser, path, NAME)


def test_the_page_of_a_comparison(browser, tmp_path):
    cell = Cell("full", HintChoice("masks"), 0)
    figures = {"miou": 0.5, "per_class": {EVIL: 0.5}}
    record = {"cell": EVIL, "commit": EVIL, "commands": [EVIL], "extra_supervision": [EVIL]}
    done = CellResult(cell, "done", "", record, {("test", "plain"): figures})
    failed = CellResult(Cell("spml", HintChoice("points"), 0), "failed", EVIL, {}, {})
    plan = Plan(str(tmp_path / "no data"), "0", (cell, failed.cell), splits=("test",))
    write_compare_page(tmp_path / "page.html", Results(tmp_path, plan, [done, failed]), {})
    assert_inert(browser, tmp_path / "page.html", EVIL)


def test_the_page_of_similar_segments(browser, tmp_path):
    named = {"name": EVIL, "colour": "#000000"}
    card = {"name": NAME, "picture": "", "truth": named, "predicted": named, "agrees": True}
    write_page(
        tmp_path / "page.html",
        "retrieve.html.j2",
        asked=card,
        at=EVIL,
        root=EVIL,
        whole="",
        compared=EVIL,
        summary=[{"count": 1, "name": EVIL}],
        cards=[{**card, "similarity": "0.9"}],
        failed=[EVIL],
    )
    assert_inert(browser, tmp_path / "page.html", NAME)


def test_the_policy_holds_where_escaping_would_fail(browser, tmp_path, monkeypatch):
    """The second lock: scripts, addresses and forms in the page itself do nothing."""
    monkeypatch.setattr("hintseg.report.page.AUTOESCAPE", False)
    picture = {"image": "", "found": [], "truth": "", "name": EVIL}
    values = dict.fromkeys(
        (
            *("crf", "cells", "sentences", "charts", "variants", "rows", "rates", "classes"),
            *("labels", "pairs", "without", "failed", "more"),
        ),
        (),
    )
    write_page(
        tmp_path / "page.html",
        "compare.html.j2",
        data=EVIL,
        root=f'{EVIL}<link rel=stylesheet href="http://127.0.0.1:9/a.css"><iframe src="about:x">',
        split="test",
        pictures=[picture],
        columns=[],
        legend=[],
        made=[],
        **values,
    )
    text = (tmp_path / "page.html").read_text()
    assert '<script>document.title="ran"</script>' in unescape(text)
    page = browser.new_page()
    page.goto((tmp_path / "page.html").as_uri(), timeout=PATIENCE)
    page.wait_for_timeout(300)
    assert page.title() != "ran"
    page.close()


def test_every_page_has_the_policy(tmp_path, dataset):
    write_check_page(check(dataset.root), tmp_path / "check.html")
    text = (tmp_path / "check.html").read_text()
    assert "Content-Security-Policy" in text.partition("<style>")[0]
    assert "default-src 'none'" in text
    assert "script-src" not in text
    assert open_dataset(dataset.root).images


def test_the_studio(browser, tmp_path):
    """Images and classes called as HTML, in the list, in the legend, on the canvas."""
    root = tmp_path / "data"
    (root / "images").mkdir(parents=True)
    PillowImage.new("RGB", (40, 30)).save(root / "images" / f"{NAME}.png")
    (root / "dataset.yaml").write_text(f"classes: ['{EVIL}', cow]\n")
    with serving(root) as address:
        page = browser.new_page()
        page.goto(address, timeout=PATIENCE)
        page.locator(":visible", has_text="onerror").last.wait_for(timeout=PATIENCE)
        page.wait_for_timeout(500)
        assert page.title() != "ran"
        page.close()
