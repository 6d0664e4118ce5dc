"""The page of the studio in a real browser, by real mouse and keyboard events."""

import json

import pytest
from studio_hand import (  # noqa: F401 - fixtures
    BROWSER,
    Hand,
    drawn,
    kinds,
    opened_pages,
    serving,
    the_browser,
    wait_for,
)

from conftest import CLASSES
from hintseg.studio.session import Session

pytestmark = pytest.mark.skipif(BROWSER is None, reason="needs chromium")


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
        wait_for(lambda: page.locator(".row meter").count() == 8)
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


def test_a_finger_draws(opened, data_folder):
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
