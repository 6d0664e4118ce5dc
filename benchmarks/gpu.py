"""What a GPU gives: one call, a Markdown table for docs/results.md.

    python benchmarks/gpu.py [--minutes 8] [--skip tests step ...]

Runs the tests marked `gpu`, then times on the GPU: the contrastive loss against the dense form, the
dense CRF, the random walk and k-means against the CPU, a training step of `spml` at the preset
voc-scribble (crop 512, ResNet-101, random weights) with its peak memory, in 32 bit and in bf16, and
`predict`. Regions are made on the CPU while the GPU trains: their speed says whether they keep up.
Data are photo scenes of 500 x 375 made on the spot; nothing is downloaded. A part that would begin
after the given minutes is left out. Without a GPU it says so and measures nothing.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

import hintseg

hintseg.use_cores()

import torch  # noqa: E402 - how threads wait is said before torch is there
import torch.nn.functional as F  # noqa: E402
from contrastive import SIZES, dense, make_case, ours  # noqa: E402
from shared_cores import CRF_CLASSES, CRF_SIZE, step_seconds  # noqa: E402

from hintseg.data.dataset import Dataset, open_dataset  # noqa: E402
from hintseg.data.scenes.composing import write_scenes  # noqa: E402
from hintseg.data.simulated import simulate_dataset  # noqa: E402
from hintseg.losses import sweep  # noqa: E402
from hintseg.predict.folders.photographs import predict_files  # noqa: E402
from hintseg.predict.predictor import load  # noqa: E402
from hintseg.refine.crf import dense_crf  # noqa: E402
from hintseg.refine.walks import embedding_walk  # noqa: E402
from hintseg.regions.partition import image_regions  # noqa: E402
from hintseg.segments.prototypes import find_segments  # noqa: E402
from hintseg.training import train  # noqa: E402

TESTS = Path(__file__).resolve().parents[1] / "tests"
BATCH, STEPS = 8, 15
Row = tuple[str, str, str]  # what, figure, beside it


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=8)
    parser.add_argument("--skip", nargs="*", default=[], choices=PARTS)
    options = parser.parse_args()
    if not torch.cuda.is_available():
        print("no GPU is visible to torch: nothing is measured")
        return
    began = time.perf_counter()
    print(f"| {torch.cuda.get_device_name()}, torch {torch.__version__} | figure | beside |")
    print("|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        dataset = make_data(Path(folder))
        for name in (part for part in PARTS if part not in options.skip):
            if time.perf_counter() - began > 60 * options.minutes - 60:
                print(f"| {name} | left out | no time left |", flush=True)
                continue
            for what, figure, beside in PARTS[name](dataset):
                print(f"| {what} | {figure} | {beside} |", flush=True)


def make_data(folder: Path) -> Dataset:
    """Photo scenes with scribbles."""
    write_scenes(folder / "scenes", train=32, val=0, test=40, size=CRF_SIZE)
    simulate_dataset(open_dataset(folder / "scenes"), folder / "data", kinds=["scribbles"])
    return open_dataset(folder / "data")


def seconds(call: Callable[[], object], *, repeats: int = 5) -> float:
    """Median of a call that was made once before, the GPU's work included."""
    taken = []
    for _ in range(repeats + 1):
        torch.cuda.synchronize()
        began = time.perf_counter()
        call()
        torch.cuda.synchronize()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken[1:])


def megabytes(call: Callable[[], object]) -> float:
    """Peak memory of a call beyond that before it."""
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    call()
    return (torch.cuda.max_memory_allocated() - before) / 1e6


def tests(_: Dataset) -> Iterator[Row]:
    """The tests that need a GPU."""
    words = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", str(TESTS)]
    done = subprocess.run(words, check=False, capture_output=True, text=True, cwd=TESTS.parent)
    lines = [line for line in done.stdout.splitlines() if line.strip()]
    if done.returncode:
        print(done.stdout[-4000:], done.stderr[-2000:], file=sys.stderr)
    yield "tests marked gpu", lines[-1] if lines else "did not start", ""


def loss(_: Dataset) -> Iterator[Row]:
    """The GPU's own kernels, tiles, and pixels x segments."""
    for size, (pixels, segments) in SIZES.items():
        case = tuple(
            part.detach().cuda().requires_grad_(part.requires_grad)
            for part in make_case(pixels, segments)
        )
        own = cost(lambda case=case: ours(case))
        with mock.patch.object(sweep, "_kernels", return_value=None):
            other = f"in tiles {cost(lambda case=case: ours(case))}"
        try:
            other += f"; dense {cost(lambda case=case: dense(case))}"
        except torch.cuda.OutOfMemoryError:
            other += "; dense: out of memory"
        yield f"contrastive loss {size}, forward and backward", own, other


def cost(call: Callable[[], object]) -> str:
    """Time and memory of a call."""
    return f"{1000 * seconds(call):.1f} ms, {megabytes(call):.0f} MB"


def crf(dataset: Dataset) -> Iterator[Row]:
    """Images a second."""
    pictures = [dataset.image(name) for name in dataset.names("test")[:BATCH]]
    images = torch.stack([torch.from_numpy(p).permute(2, 0, 1) for p in pictures])
    coarse = torch.randn(BATCH, CRF_CLASSES, 12, 16, generator=torch.Generator().manual_seed(0))
    scores = F.interpolate(coarse * 3, size=CRF_SIZE, mode="bicubic").softmax(dim=1)
    there = images.cuda(), scores.cuda()
    gpu = BATCH / seconds(lambda: dense_crf(*there, preset="psa"))
    cpu = BATCH / seconds(lambda: dense_crf(images, scores, preset="psa"), repeats=2)
    what = f"dense CRF, {CRF_SIZE[1]} x {CRF_SIZE[0]}, {CRF_CLASSES} classes"
    yield what, f"{gpu:.1f} images/s", f"CPU {cpu:.1f} images/s"


def walk(_: Dataset) -> Iterator[Row]:
    """The exact walk of 64 steps."""
    generator = torch.Generator().manual_seed(0)
    knots = torch.randn(1, 64, 12, 16, generator=generator)
    embeddings = F.interpolate(knots, size=(94, 125), mode="bilinear")
    scores = torch.rand(CRF_CLASSES, 94, 125, generator=generator)
    there = embeddings.cuda(), scores.cuda()
    gpu = seconds(lambda: embedding_walk(*there))
    began = time.perf_counter()
    embedding_walk(embeddings, scores)  # so long that nothing has to be warm
    cpu = time.perf_counter() - began
    yield "random walk, 94 x 125 cells", f"{1000 * gpu:.0f} ms", f"CPU {1000 * cpu:.0f} ms"


def segments(_: Dataset) -> Iterator[Row]:
    """K-means and cutting of a batch."""
    generator = torch.Generator().manual_seed(0)
    embeddings = torch.randn(BATCH, 64, 128, 128, generator=generator)
    labels = torch.randint(-1, 3, (BATCH, 128, 128), generator=generator)
    region = torch.arange(128)[:, None] // 16 * 8 + torch.arange(128) // 16
    given = embeddings, labels, region.expand_as(labels).contiguous()
    there = tuple(part.cuda() for part in given)
    gpu = seconds(lambda: find_segments(*there, grid=6))
    cpu = seconds(lambda: find_segments(*given, grid=6), repeats=2)
    what = f"segments of {BATCH} crops of 512"
    yield what, f"{1000 * gpu:.0f} ms", f"CPU {1000 * cpu:.0f} ms"


def cut(dataset: Dataset) -> Iterator[Row]:
    """Regions, one process of the CPU."""
    image = dataset.image(dataset.names("test")[0])
    yield "regions", f"{1 / seconds(lambda: image_regions(image, count=50)):.1f} images/s", "CPU"


def step(dataset: Dataset) -> Iterator[Row]:
    """A step of spml as published, in both precisions."""
    for precision in ("32", "bf16"):
        chosen = {"weights": "random", "device": "cuda", "precision": precision, "steps": STEPS}
        quiet = {"validate_images": 0, "checkpoint_every": 10**6}
        settings = {"train": {**chosen, **quiet}, "spml": {"relabel": {"rounds": []}}}
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        taken = step_seconds(dataset.root, settings=settings, method="spml", preset="voc-scribble")
        memory = torch.cuda.max_memory_allocated() / 1e9
        yield f"step of spml, voc-scribble, {precision}", f"{taken:.3f} s", f"{memory:.1f} GB"


def predict(dataset: Dataset) -> Iterator[Row]:
    """From files to files."""
    files = {name: dataset.images[name] for name in dataset.names("test")}
    train_settings = {"weights": "random", "steps": 2, "crop": 64, "batch": 2, "validate_images": 0}
    with tempfile.TemporaryDirectory() as folder:
        run = train(
            dataset, Path(folder) / "run", method="partial", settings={"train": train_settings}
        )
        speeds = {}
        for device in ("cuda", "cpu"):
            predictor = load(run, device=device)
            few = dict(list(files.items())[:2])
            predict_files(predictor, few, Path(folder) / f"{device}-warm")
            began = time.perf_counter()
            predict_files(predictor, files, Path(folder) / device)
            speeds[device] = len(files) / (time.perf_counter() - began)
    yield "predict", f"{speeds['cuda']:.1f} images/s", f"CPU {speeds['cpu']:.1f} images/s"


PARTS: dict[str, Callable[[Dataset], Iterator[Row]]] = {
    "tests": tests,
    "loss": loss,
    "crf": crf,
    "walk": walk,
    "segments": segments,
    "regions": cut,
    "step": step,
    "predict": predict,
}

if __name__ == "__main__":
    main()
