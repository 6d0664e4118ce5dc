"""The loop of the studio with a training in it: draw, train, see, correct, accept, export."""

import pytest
from studio_hand import (  # noqa: F401 - two are fixtures
    BROWSER,
    Hand,
    drawn,
    kinds,
    opened_pages,
    serving,
    the_browser,
    wait_for,
)

from conftest import TINY_MODEL
from hintseg.images.label_maps import read_label_map

pytestmark = pytest.mark.skipif(BROWSER is None, reason="needs chromium")
OPTIONS = ("--device", "cpu", "--crop", "32", "--batch", "2", "--backbone", TINY_MODEL["backbone"])
OPTIONS += ("--set", "train.weights=random", "--set", "train.validate_images=0")


def test_draw_train_see_correct_accept_export(opened, data_folder):
    with serving(data_folder, train_options=OPTIONS) as address:
        page = opened(address)
        hand = Hand(page)
        page.keyboard.press("3")
        hand.stroke((3, 3), (50, 4))
        page.keyboard.press("1")
        hand.stroke((3, 37), (50, 37))
        wait_for(lambda: len(kinds(data_folder)) == 2)
        page.get_by_label("Method").select_option("partial")
        page.get_by_label("Steps").fill("6")
        page.get_by_role("button", name="Train", exact=True).click()
        page.wait_for_selector(".state.running")
        page.reload()  # it goes on without the window
        page.wait_for_selector("canvas[data-image='pond']")
        page.wait_for_selector(".state.finished", timeout=240_000)
        page.wait_for_selector("text=model: run 1")
        sheet = page.get_by_label("Pictures of the training").locator("img")
        wait_for(lambda: sheet.evaluate("picture => picture.naturalWidth") > 100)
        page.get_by_text("trained model").click()
        page.wait_for_selector(".looking", state="detached")
        page.wait_for_selector("canvas[data-seen='pond']")
        page.keyboard.press("a")
        hand.click(25, 20)
        wait_for(lambda: len(kinds(data_folder)) == 3)
        accepted = drawn(data_folder)["shapes"][-1]
        assert accepted["shape_type"] == "mask"
        page.keyboard.press("s")
        page.keyboard.press("2")
        hand.stroke((20, 24), (30, 24))  # what was accepted makes room
        wait_for(lambda: ("cow", "linestrip") in kinds(data_folder))
        page.keyboard.press("d")
        wait_for(lambda: drawn(data_folder).get("hintseg") == {"done": True})
        page.get_by_role("button", name="Export").click()
        page.wait_for_selector("text=Download")
        with page.expect_popup() as report:
            page.get_by_role("link", name="Report").click()
        assert "hintseg" in report.value.content()
    mask = read_label_map(data_folder / "studio" / "masks" / "pond.png", classes=3, undeclared=-1)
    assert (mask >= 0).all()
