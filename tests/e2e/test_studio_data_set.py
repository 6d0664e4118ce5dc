"""The studio's page and the data set: new folders, areas, classes, similar places, trouble."""

import json
import time

import numpy as np
import pytest
from PIL import Image as PillowImage
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

from conftest import HEIGHT, WIDTH, draw_data, room_for
from hintseg.data.dataset import open_dataset
from hintseg.images.label_maps import read_label_map, write_label_map
from hintseg.structures import UNLABELLED

pytestmark = pytest.mark.skipif(BROWSER is None, reason="needs chromium")


def test_from_a_bare_folder_to_masks_without_a_mouse(opened, tmp_path, data_folder):
    """Name the classes, draw, see, done, export: by keyboard alone."""
    photographs = (data_folder / "images").rename(tmp_path / "photos")
    with serving(photographs) as address:
        page = opened(address, "")
        page.get_by_label("What is to be told apart?").focus()
        page.keyboard.type("ground\nsky")
        page.get_by_role("button", name="Begin").focus()
        page.keyboard.press("Enter")
        page.wait_for_selector("canvas[data-image='field']")
        for keys in (
            ["2", "k", *["Shift+ArrowUp"] * 5, *["Shift+ArrowLeft"] * 7, "Enter"],
            [*["Shift+ArrowRight"] * 14, "Enter"],
            ["1", *["Shift+ArrowDown"] * 11, "Enter", *["Shift+ArrowLeft"] * 14, "Enter", "Escape"],
        ):
            for key in keys:
                page.keyboard.press(key)
        folder = tmp_path / "photos-hintseg"
        expected = [("sky", "linestrip"), ("ground", "linestrip")]
        wait_for(lambda: kinds(folder, "field") == expected)
        page.wait_for_selector("canvas[data-seen='field']")
        page.keyboard.press("d")
        wait_for(lambda: drawn(folder, "field").get("hintseg") == {"done": True})
        page.get_by_role("button", name="Export").focus()
        page.keyboard.press("Enter")
        page.wait_for_selector("text=Download")
    mask = read_label_map(folder / "studio" / "masks" / "field.png", classes=2, undeclared=-1)
    assert (mask[:6] == 1).mean() > 0.9
    assert (mask[-6:] == 0).mean() > 0.9
    assert sorted(path.name for path in photographs.iterdir())[0] == "field.png"  # as it was


def test_the_brush_paints_areas_and_painted_files_are_edited(opened, data_folder):
    painted = np.full((HEIGHT, WIDTH), UNLABELLED, np.int16)
    painted[30:36, 5:50] = 0
    write_label_map(data_folder / "hints" / "pond.png", painted, classes=3)
    with serving(data_folder) as address:
        page = opened(address)
        hand = Hand(page)
        page.wait_for_selector("text=1 hint")
        page.keyboard.press("f")
        page.keyboard.press("3")
        hand.stroke((10, 5), (40, 5))
        hand.stroke((25, 5), (25, 15))  # joins the first
        wait_for(lambda: kinds(data_folder) == [("sky", "mask")])
        page.keyboard.press("2")
        hand.stroke((25, 1), (25, 20))  # takes its place
        wait_for(lambda: sorted(kinds(data_folder)) == [("cow", "mask"), ("sky", "mask")])
        page.keyboard.press("e")
        hand.stroke((20, 33), (45, 33))
        wait_for(lambda: (open_dataset(data_folder).hints("pond").partial >= 0).sum() < 220)
        page.keyboard.press("w")  # both panes show and take the same
        page.keyboard.press("p")
        box = page.locator("canvas").bounding_box()
        page.mouse.click(box["x"] + 0.75 * box["width"], box["y"] + box["height"] / 2)
        wait_for(lambda: kinds(data_folder)[-1] == ("cow", "point"))
        assert drawn(data_folder)["shapes"][-1]["points"][0] == pytest.approx([28, 20], abs=0.5)
    hints = open_dataset(data_folder).hints("pond")
    areas = {shape.label: shape for shape in hints.shapes if shape.kind == "mask"}
    assert areas[2].points[0][0] == pytest.approx(9, abs=1.5)  # round ends of the brush
    assert not overlap(areas[1], areas[2])


def overlap(one, other):
    both = np.zeros((2, HEIGHT, WIDTH), bool)
    for layer, shape in zip(both, (one, other), strict=True):
        (left, top), (right, bottom) = ((int(x), int(y)) for x, y in shape.points)
        layer[top : bottom + 1, left : right + 1] = shape.bitmap
    return (both[0] & both[1]).any()


def test_similar_places_classes_and_problems(opened, data_folder):
    broken = data_folder / "hints" / "herd.json"
    broken.write_text(broken.read_text().replace('"label": "cow"', '"label": "horse"'))
    with serving(data_folder) as address:
        page = opened(address)
        hand = Hand(page)
        page.wait_for_selector("nav small >> text=doubt known of 8 of 8")
        page.keyboard.press("r")
        page.keyboard.press("3")
        hand.click(25, 3)
        page.wait_for_selector(".kin li >> nth=4")
        page.click("section.kin >> text=None")
        for place in range(3):
            page.locator(".kin li input").nth(place).check()
        page.click("text=Label 3 as sky")
        wait_for(lambda: kinds(data_folder) == [("sky", "mask")])
        page.click("text=Take back")
        wait_for(lambda: kinds(data_folder) == [])
        page.click(".kin button[aria-label=Close]")
        page.locator("button[aria-label='Rename or remove sky']").click()
        page.wait_for_selector("text=in 4 images")
        page.get_by_label("New name").fill("heaven")
        page.get_by_role("button", name="Rename", exact=True).click()
        page.wait_for_selector("dialog", state="detached")
        assert ("heaven", "linestrip") in kinds(data_folder, "field")
        page.select_option("nav select", "problems")
        page.click(".row >> text=herd")
        page.wait_for_selector("text=horse is no class")
        for number in (2, 3):
            page.get_by_label(f"Class of hint {number}").select_option("cow")
        page.wait_for_selector("ul.problems", state="detached")
        wait_for(lambda: ("horse", "point") not in kinds(data_folder, "herd"))


def test_two_fingers_zoom_and_draw_nothing(opened, data_folder):
    with serving(data_folder) as address:
        page = opened(address, has_touch=True)
        hand = Hand(page)
        touch = page.context.new_cdp_session(page)

        def fingers(kind, *places):
            points = [{"x": x, "y": y, "id": i} for i, (x, y) in enumerate(places)]
            touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

        first, second = hand.at(20, 20), hand.at(30, 20)
        fingers("touchStart", first)
        fingers("touchStart", first, second)
        for step in range(1, 6):
            fingers(
                "touchMove", (first[0] - 10 * step, first[1]), (second[0] + 10 * step, second[1])
            )
        fingers("touchEnd")
        page.keyboard.press("p")
        middle = ((first[0] + second[0]) / 2, first[1])
        page.touchscreen.tap(middle[0] + 100, middle[1])
        wait_for(lambda: kinds(data_folder) == [("grass", "point")])
        x = drawn(data_folder)["shapes"][0]["points"][0][0]
        moved = 100 / hand.scale  # pixels of the image that 100 of the screen were before
        assert 25 < x < 25 + 0.8 * moved


def test_trouble_is_told_and_work_is_kept(opened, data_folder, tmp_path):
    with serving(data_folder) as address:
        page = opened(address)
        hand = Hand(page)
        hand.saved()
        with room_for(50):  # a full disk
            hand.stroke((5, 5), (40, 5))
            page.wait_for_selector("footer .unsaved")
            page.wait_for_selector(".banner >> text=pond.json")
        wait_for(lambda: len(kinds(data_folder)) == 1)
        page.wait_for_selector(".banner", state="detached")
        (data_folder / "images" / "ridge.png").unlink()  # an image that vanishes
        page.keyboard.press("PageDown")
        page.wait_for_selector("[role=alert] >> text=ridge")
        settings = (data_folder / "dataset.yaml").read_text()
        (data_folder / "dataset.yaml").write_text("classes: [")
        page.wait_for_selector(".banner >> text=not a YAML file")
        page.click("text=Edit dataset.yaml")
        page.wait_for_selector("textarea.code")
        assert page.locator("textarea.code").input_value() == "classes: ["
        page.locator("textarea.code").fill(settings)
        page.click("text=Save and open")
        page.wait_for_selector(".banner", state="detached")
    port = int(address.rstrip("/").rpartition(":")[2])
    other = draw_data(tmp_path / "other")
    hand.stroke((5, 10), (40, 10))  # drawn while the server is away
    with serving(other, port):  # which comes back with another data set
        page.wait_for_selector("text=0 hints", timeout=60_000)
        time.sleep(0.5)
        assert kinds(other) == []


def test_five_hundred_images_in_the_list(opened, data_folder):
    image = (data_folder / "images" / "pond.png").read_bytes()
    for number in range(500):
        (data_folder / "images" / f"z{number:03}.png").write_bytes(image)
    with serving(data_folder) as address:
        page = opened(address)
        page.wait_for_selector("nav small >> text=508 images")
        assert page.locator(".row").count() < 40  # those in sight
        page.locator(".rows").evaluate("box => box.scrollTo(0, box.scrollHeight)")
        page.click(".row >> text=z499")
        page.wait_for_selector("canvas[data-image='z499']")
        page.fill("input[type=search]", "z12")
        wait_for(lambda: page.locator(".row").count() == 10)


def test_sixty_megapixels_are_opened_in_pieces(opened, data_folder):
    small = PillowImage.fromarray(
        np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)
    )
    small.resize((9500, 6320)).save(data_folder / "images" / "large.jpg", quality=80)
    with serving(data_folder) as address:
        page = opened(address, "large")
        hand = Hand(page, 9500, 6320)
        tiles = []
        page.on("request", lambda request: tiles.append(request.url))
        page.locator("canvas").hover()
        for _ in range(14):
            page.mouse.wheel(0, -240)
        page.wait_for_load_state("networkidle")
        asked = [url for url in tiles if "/api/tile" in url]
        assert any("level=0" in url for url in asked)
        assert len(asked) < 120  # of 247 of the full size
        page.keyboard.press("0")
        hand.stroke((1000, 1000), (8000, 1200))
        wait_for(lambda: kinds(data_folder, "large") == [("grass", "linestrip")])
        last = json.loads((data_folder / "hints" / "large.json").read_text())["shapes"][0]["points"]
        assert last[-1] == pytest.approx([8000, 1200], abs=15)
