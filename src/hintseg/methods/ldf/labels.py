"""What the branches learn: made of masks for the first stage, by its network for the second."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from hintseg.data.dataset import Dataset
from hintseg.data.grouped import GroupedDataset
from hintseg.data.samples import Loader
from hintseg.errors import ConfigError, RunError
from hintseg.hints.decoupling import body_and_detail, edge_of
from hintseg.images.grey import read_grey, write_grey
from hintseg.images.label_maps import write_label_map
from hintseg.methods.job import Job
from hintseg.methods.ldf.settings import LDFSettings
from hintseg.models.two_branch import TwoBranch
from hintseg.predict.predictor import Predictor, load
from hintseg.predict.tiles import scores_at_resolution, tiled_scores
from hintseg.progress import progress
from hintseg.resize import fit_size, resize_labels
from hintseg.structures import UNLABELLED, ImageMap, Sample

FIRST, SECOND = "first", "second"  # names of the maps that travel with the images
LABELS = "labels"  # folder of label maps
TILE = 1024  # pixels of the side of what is predicted at once
SURE = 0.5  # probability from which an unlabelled pixel is taken for an object

Shares = Float[np.ndarray, "height width"]
LabelMapTable = Int[np.ndarray, " classes"]
Objects = Callable[[str], Bool[np.ndarray, "_ _"]]  # of an image by name, at the working size
Finder = Callable[[Sample], Float[Tensor, "3 _ _"]]  # first, second, object; at the working size


@dataclass(frozen=True)
class Maps:
    """How a mask becomes what the two branches learn."""

    settings: LDFSettings
    foreground: int  # class index of the objects

    @property
    def names(self) -> tuple[str, str]:
        """What the branches learn, in words."""
        first, second = self.settings.auxiliary.split("+")
        return first, second

    def of(self, mask: Bool[np.ndarray, "height width"]) -> tuple[Shares, Shares]:
        """The maps of the first and of the second branch."""
        own = self.settings
        body, detail = body_and_detail(
            mask, gamma=own.gamma, released=own.released, per_component=own.per_component
        )
        first, second = self.names
        return (
            body if first == "body" else mask.astype(np.float32),
            detail if second == "detail" else edge_of(mask),
        )


def with_maps(load: Loader, maps: Maps) -> Loader:
    """The same samples with the maps of their masks; void is taken for background in them."""

    def get(name: str) -> Sample:
        sample = load(name)
        first, second = maps.of(sample.weak.labels == maps.foreground)
        return _with(sample, first, second)

    return get


def with_found_maps(load: Loader, folder: Path, maps: Maps) -> Loader:
    """The same samples with the maps that `write_maps` has written.

    The loader raises RunError for a sample without: the maps of its mask never take their place
    unnoticed.
    """

    def get(name: str) -> Sample:
        sample = load(name)
        found = [_found(folder / what / f"{name}.png") for what in maps.names]
        return _with(sample, *found)

    return get


def write_maps(job: Job, folder: Path, names: tuple[str, ...], find: Finder, maps: Maps) -> None:
    """What the network finds in the images for either branch, as PNG files of 8 bits."""
    for name in _remaining(job, folder, names, maps.names):
        found = find(job.masked(name, zoom=job.zoom))
        for what, shares in zip(maps.names, found[:2], strict=True):
            write_grey(folder / what / f"{name}.png", shares.numpy())


def write_labels(
    job: Job, folder: Path, names: tuple[str, ...], objects: Objects, maps: Maps
) -> None:
    """Label maps of images with hints: labelled pixels as they are, the others by `objects`."""
    for name in _remaining(job, folder, names, (LABELS,)):
        known = job.weak(name).labels
        labels = np.where(objects(name), maps.foreground, 1 - maps.foreground)
        labels = np.where(known == UNLABELLED, labels, known).astype(np.int16)
        write_label_map(folder / LABELS / f"{name}.png", labels, classes=2)


def objects_of_network(job: Job, find: Finder) -> Objects:
    """Where a network of this run finds objects in an image, by its name."""
    return lambda name: find(job.hinted(name, zoom=job.zoom))[2].numpy() >= SURE


def objects_of_run(job: Job, run: str, maps: Maps) -> Objects:
    """Where the classifier of another run finds objects in an image, by its name.

    Raises:
        RunError: The folder holds no trained model.
        ConfigError: Its classes are not those of the data set.
    """
    predictor, table = teacher_of(job.dataset, run, device=job.fabric.device)
    dataset = job.dataset.read_as(predictor.reading)

    def find(name: str) -> Bool[np.ndarray, "height width"]:
        found = table[predictor.predict(dataset.image(name)).labels]
        labels = resize_labels(found, *job.weak(name).labels.shape)
        objects: Bool[np.ndarray, "height width"] = labels == maps.foreground
        return objects

    return find


def teacher_of(
    dataset: Dataset, run: str, *, device: torch.device | str = "cpu"
) -> tuple[Predictor, LabelMapTable]:
    """The model of a run, and what its classes are in a data set of objects; errors as above."""
    predictor = load(run, device=device)
    names, own = predictor.classes.names, dataset.classes
    if names == own.names:
        return predictor, np.arange(2, dtype=np.int16)
    if isinstance(dataset, GroupedDataset) and names == dataset.member_names:
        return predictor, np.array(dataset.group, dtype=np.int16)
    raise ConfigError(
        f"ldf.teacher={run}: its classes ({', '.join(names)}) are not those of {dataset.root}; "
        "give a run that was trained on it"
    )


def finder(job: Job, model: TwoBranch) -> Finder:
    """Finds the three maps of a sample that is as large as the network sees images."""
    model.eval()

    @torch.inference_mode()
    def score(part: Tensor) -> Tensor:
        last = model.rounds(part.to(job.fabric.device))[-1]
        return torch.stack(last, dim=1).float().sigmoid()

    def find(sample: Sample) -> Tensor:
        seen = (sample.image.shape[0], sample.image.shape[1])
        height, width = fit_size(*job.dataset.size(sample.name), job.settings.size)
        scores = tiled_scores(score, sample.image, tile=TILE)
        return scores_at_resolution(scores, height, width, covered=seen)

    return find


def _remaining(
    job: Job, folder: Path, names: tuple[str, ...], kinds: Sequence[str]
) -> Iterator[str]:
    """This rank's images without these files: an interrupted run has some already."""
    own = job.for_this_rank(names)
    left = [n for n in own if not all((folder / kind / f"{n}.png").exists() for kind in kinds)]
    with progress(
        f"{folder.name}: {' and '.join(kinds)}", len(own), done=len(own) - len(left)
    ) as advance:
        for name in left:
            yield name
            advance(name)


def _with(sample: Sample, first: Shares, second: Shares) -> Sample:
    maps = {FIRST: ImageMap(first, "linear", 0.0), SECOND: ImageMap(second, "linear", 0.0)}
    return replace(sample, maps={**sample.maps, **maps})


def _found(path: Path) -> Shares:
    if not path.exists():
        raise RunError(
            f"{path}: no such map; delete the folder {path.parents[1]} and continue with --resume "
            "to have them made again"
        )
    return read_grey(path)
