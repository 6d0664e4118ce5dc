"""The prototypes of known segments: nearest ones by direction, and their file."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from hintseg.documents.from_json import parse_json
from hintseg.errors import RunError
from hintseg.files import replacing
from hintseg.seals import SEAL, check_seal, sealed

PROTOTYPES = "prototypes.safetensors"
FORMAT = 1
QUERIES = 4096  # searched at once
ARRAYS = {"vectors": np.float32, "label": np.int32, "image": np.int32, "box": np.int32}


@dataclass(frozen=True)
class PrototypeIndex:
    """Segments of images whose labels are known, each by its prototype.

    `grid` and `iterations` say how the images were cut, so that others are cut alike.
    """

    vectors: Float[np.ndarray, "segments dim"]  # float32, unit length
    label: Int[np.ndarray, " segments"]  # class index
    image: Int[np.ndarray, " segments"]  # index in `names`
    box: Int[np.ndarray, "segments 4"]  # left, top, right, bottom in pixels, the last two outside
    names: tuple[str, ...]
    labelled_by: str = "hints"  # what the labels are: hints, pseudo labels, masks
    grid: int = 12
    iterations: int = 10
    best: str = "retrieval"  # or "classifier", where that was better on the val split of the run

    def __len__(self) -> int:
        return len(self.label)

    def number(self, name: str | None) -> int | None:
        """Index of an image in `names`; None if no prototype can be of it."""
        return self._numbers.get(name) if name is not None else None

    def nearest(
        self, queries: Float[np.ndarray, "queries dim"], k: int, *, exclude_image: int | None = None
    ) -> tuple[Float[np.ndarray, "queries found"], Int[np.ndarray, "queries found"]]:
        """Dot products with the k nearest prototypes, largest first, and their places.

        Exact. Fewer than k where there are fewer; of equals those that come first.

        Args:
            queries: Unit vectors, float32.
            k: Number of neighbours, at least 1.
            exclude_image: Prototypes of this image are passed over.
        """
        own = np.zeros(len(self), bool) if exclude_image is None else self.image == exclude_image
        count = min(k, int((~own).sum()))
        if count == 0 or not len(queries):
            nothing = np.zeros((len(queries), count), np.float32)
            return nothing, nothing.astype(np.int64)
        wanted = min(len(self), count + int(own.sum()))
        chunks = [
            self._nearest_of(queries[first : first + QUERIES], wanted, own, count)
            for first in range(0, len(queries), QUERIES)
        ]
        similarity, place = zip(*chunks, strict=True)
        return np.concatenate(similarity), np.concatenate(place)

    def _nearest_of(
        self, queries: np.ndarray, wanted: int, own: np.ndarray, count: int
    ) -> tuple[np.ndarray, np.ndarray]:
        similarity, place = self._searched.search(np.ascontiguousarray(queries), wanted)
        order = np.lexsort((place, -similarity, own[place]), axis=1)[:, :count]
        return np.take_along_axis(similarity, order, 1), np.take_along_axis(place, order, 1)

    @cached_property
    def _searched(self) -> Any:  # noqa: ANN401 - faiss has no types
        import faiss  # noqa: PLC0415 - costs time that only retrieval needs

        index = faiss.IndexFlatIP(self.vectors.shape[1])
        index.add(np.ascontiguousarray(self.vectors))
        return index

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {name: number for number, name in enumerate(self.names)}


def save_prototypes(folder: Path, index: PrototypeIndex) -> None:
    """Write `prototypes.safetensors` under a temporary name, then rename it."""
    arrays = {
        name: np.ascontiguousarray(getattr(index, name), dtype=kind)
        for name, kind in ARRAYS.items()
    }
    facts = {
        "format": FORMAT,
        "names": index.names,
        "labelled_by": index.labelled_by,
        "best": index.best,
        "grid": index.grid,
        "iterations": index.iterations,
    }
    with replacing(folder / PROTOTYPES) as temporary:
        sealed(
            temporary,
            lambda metadata: save_file(arrays, temporary, metadata=metadata),
            {key: json.dumps(v) for key, v in facts.items()},
        )


def read_prototypes(folder: Path) -> PrototypeIndex:
    """Read the prototypes that `save_prototypes` wrote.

    Raises:
        RunError: The run has none, or the file is damaged or of another hintseg.
    """
    path = folder / PROTOTYPES
    if not path.is_file():
        raise RunError(
            f"{folder}: has no prototypes ({PROTOTYPES} is missing), so nothing can be retrieved; "
            "use --by classifier, or train with --method spml"
        )
    try:
        check_seal(path)
        with safe_open(path, framework="numpy") as file:
            said = file.metadata() or {}
            facts = {key: parse_json(value) for key, value in said.items() if key != SEAL}
            arrays = {name: file.get_tensor(name) for name in ARRAYS}
    except (OSError, SafetensorError, ValueError) as error:
        reason = " ".join(str(error).split())[:160]
        raise RunError(f"{path}: cannot be loaded ({reason}); train again") from error
    if facts.get("format") != FORMAT:
        raise RunError(f"{path}: written by another version of hintseg; train again or update")
    try:
        if not _fit(arrays, len(facts["names"])):
            raise RunError(f"{path}: damaged (its arrays do not fit each other); train again")
        return PrototypeIndex(
            vectors=arrays["vectors"],
            label=arrays["label"],
            image=arrays["image"],
            box=arrays["box"],
            names=tuple(facts["names"]),
            labelled_by=str(facts["labelled_by"]),
            best=str(facts.get("best", "retrieval")),
            grid=int(facts["grid"]),
            iterations=int(facts["iterations"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise RunError(f"{path}: damaged ({error!r:.120}); train again") from error


def _fit(arrays: Mapping[str, np.ndarray], images: int) -> bool:
    """Whether what was read can be an index: shapes, types, finite numbers, images that exist."""
    vectors, label, image, box = (arrays[name] for name in ARRAYS)
    count = len(label) if label.ndim == 1 else -1
    return (
        all(arrays[name].dtype == kind for name, kind in ARRAYS.items())
        and vectors.ndim == 2
        and len(vectors) == count
        and image.shape == (count,)
        and box.shape == (count, 4)
        and bool(np.isfinite(vectors).all())
        and min(label.min(initial=0), image.min(initial=0)) >= 0
        and int(image.max(initial=-1)) < images
    )
