"""How quick the studio is, in a real browser: strokes, images, tiles, the list, memory.

    python benchmarks/studio.py DATA [--browser /usr/bin/chromium] [--strokes 20] [--opened 200]

DATA is a folder of photographs with a dataset.yaml; it is copied, hints are drawn in the copy.
Needs `pip install playwright` and a Chromium. The server is a process of its own, of one thread.
Prints

- the median time from lifting the pointer to the answer with the new prediction (save included),
- the median time from choosing an image to its picture and to its prediction,
- the same, frames a second while dragging, and the longest wait, of a photograph of 60 megapixels,
- the time to list 500 images and rows in the page then,
- the server's memory at the start and after so many images were opened.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import sync_playwright

FRAMES = """() => new Promise((done) => {
  const times = [];
  const began = performance.now();
  const tick = (now) => {
    times.push(now);
    if (now - began < 3000) requestAnimationFrame(tick);
    else done([times.length / 3, Math.max(...times.slice(1).map((t, i) => t - times[i]))]);
  };
  requestAnimationFrame(tick);
})"""

OPEN = """async (name) => {
  await (await fetch(`/api/picture?name=${name}&side=4096`)).blob();
  await (await fetch(`/api/seen?name=${name}&what=quick`)).blob();
}"""


def memory(pid) -> float:
    """MB that a process holds."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024


def copied(data, folder, count) -> list:
    """The data set with so many images, without hints; a large one among them."""
    shutil.copy(data / "dataset.yaml", folder)
    text = (folder / "dataset.yaml").read_text().splitlines()
    kept = [line for line in text if not line.startswith(("splits", " ", "hints", "masks"))]
    (folder / "dataset.yaml").write_text("\n".join(kept) + "\n")
    images = sorted((data / "images").iterdir())
    (folder / "images").mkdir()
    for number in range(count):
        source = images[number % len(images)]
        shutil.copy(source, folder / "images" / f"i{number:04}{source.suffix}")
    noise = np.random.default_rng(0).integers(0, 256, (158, 237, 3), dtype=np.uint8)
    Image.fromarray(noise).resize((9480, 6320)).save(folder / "images" / "large.jpg")
    return [path.stem for path in sorted((folder / "images").iterdir())]


def answered(page, what, action) -> float:
    """Milliseconds from an action to the end of an answer of the server.

    The page may break a question off and ask it again: only an answer that ends counts.
    """
    with page.expect_request_finished(lambda asked: what in asked.url, timeout=120_000):
        began = time.perf_counter()
        action()
    return 1e3 * (time.perf_counter() - began)


def strokes(page, count) -> list:
    """Draw lines on the open image, by the mouse."""
    box, times = page.locator("canvas").bounding_box(), []
    rng = np.random.default_rng(0)
    for number in range(count):
        page.keyboard.press("123"[number % 3])
        x, y = box["x"] + box["width"] * rng.uniform(0.3, 0.6), box["y"] + box["height"] / 2
        y += rng.uniform(-100, 100)
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(x + 60, y + 10, steps=8)
        times.append(answered(page, "/api/seen", page.mouse.up))
        page.wait_for_selector(".looking", state="detached")
    return times


def opened(page, address, name) -> tuple:
    """Milliseconds until the picture and the prediction of an image are there."""
    page.goto("about:blank")
    picture = answered(page, "/api/picture", lambda: page.goto(f"{address}#{name}"))
    began = time.perf_counter()
    page.wait_for_selector(f"canvas[data-seen='{name}']", timeout=120_000)
    seen = picture + 1e3 * (time.perf_counter() - began)
    return picture, seen


def say(label, value, unit, more="") -> None:
    """One line of the table."""
    print(f"{label:52} {value:8.0f} {unit}  {more}", flush=True)


def report(label, values) -> None:
    """Median, and the range."""
    say(label, statistics.median(values), "ms", f"({min(values):.0f} to {max(values):.0f})")


def measure(page, address, names, options, pid) -> None:
    """Everything, line by line."""
    began = time.perf_counter()
    page.goto(f"{address}#{names[0]}")
    page.wait_for_selector(f"nav small >> text={len(names)} images")
    rows, passed = page.locator(".row").count(), 1e3 * (time.perf_counter() - began)
    say(f"page with the list of {len(names)} images", passed, "ms", f"({rows} rows)")
    page.wait_for_selector("canvas[data-image]")
    say("memory of the server at the start", memory(pid), "MB")
    strokes(page, 3)  # features, the first head
    report("pointer up to new prediction", strokes(page, options.strokes))
    times = [opened(page, address, name) for name in names[10:20]]
    report("page to picture", [one for one, _ in times])
    report("page to prediction", [two for _, two in times])
    picture, seen = opened(page, address, "large")
    say("60 megapixels: page to picture", picture, "ms", f"to prediction {seen:.0f} ms")
    drag(page)
    for name in names[20 : 20 + options.opened]:
        page.evaluate(OPEN, name)
    say(f"memory after {options.opened} more images", memory(pid), "MB")


def drag(page) -> None:
    """Zoom into the large image and move it."""
    page.locator("canvas").hover()
    for _ in range(8):
        page.mouse.wheel(0, -240)
    page.keyboard.press("h")
    box = page.locator("canvas").bounding_box()
    page.evaluate(f"() => {{ window.measured = ({FRAMES})(); }}")
    ended = time.perf_counter() + 3
    page.mouse.move(box["x"] + 200, box["y"] + 200)
    page.mouse.down()
    while time.perf_counter() < ended:
        page.mouse.move(box["x"] + 500, box["y"] + 350, steps=10)
        page.mouse.move(box["x"] + 200, box["y"] + 200, steps=10)
    page.mouse.up()
    rate, longest = page.evaluate("() => window.measured")
    say("60 megapixels, dragged: frames a second", rate, "  ", f"longest wait {longest:.0f} ms")


def main() -> None:
    """Start the server and a browser, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--browser", default="/usr/bin/chromium")
    parser.add_argument("--strokes", type=int, default=20)
    parser.add_argument("--opened", type=int, default=200)
    parser.add_argument("--images", type=int, default=500)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as started:
        names = copied(options.data, Path(folder), options.images)
        words = ["-m", "hintseg", "studio", folder, "--no-browser", "--port", "8799"]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
        server = subprocess.Popen([sys.executable, *words], stdout=subprocess.PIPE, env=environment)
        assert server.stdout is not None
        server.stdout.readline()
        try:
            browser = started.chromium.launch(
                executable_path=options.browser, args=["--no-sandbox", "--disable-gpu"]
            )
            page = browser.new_page(viewport={"width": 1280, "height": 720})
            page.set_default_timeout(120_000)
            time.sleep(2)
            print(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
            measure(page, "http://127.0.0.1:8799/", names, options, server.pid)
        finally:
            server.terminate()


if __name__ == "__main__":
    main()
