"""What a comparison may choose from: hints and how they come to be, variants of prediction."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hintseg.data.dataset import Dataset
from hintseg.data.simulated import KINDS, simulate_dataset
from hintseg.errors import ConfigError, UnknownNameError
from hintseg.predict.options import PredictOptions

OWN, MIX, MASKS = "own", "mix", "masks"
SCALES = (0.75, 1.0, 1.25)
DEFAULT_CRF = "deeplab"
PARTS = ("plain", "scales", "crf", "retrieval")
DEFAULT_VARIANTS = PARTS


@dataclass(frozen=True, slots=True)
class HintChoice:
    """Which hints a cell learns from.

    Attributes:
        name: A kind, several with "+" between them, "mix", "own" (those of the data set), or
            "masks" for a method that looks at no hint.
        fraction: Share of every stroke that is kept.
    """

    name: str
    fraction: float = 1.0

    @property
    def label(self) -> str:
        """As it is written: "scribbles", "scribbles 30 %".

        >>> HintChoice("scribbles", 0.3).label
        'scribbles 30 %'
        """
        return self.name if self.fraction == 1 else f"{self.name} {100 * self.fraction:g} %"

    @property
    def slug(self) -> str:
        """As it is in names of folders.

        >>> HintChoice("scribbles", 0.3).slug
        'scribbles0.3'
        """
        return self.name if self.fraction == 1 else f"{self.name}{self.fraction:g}"

    @property
    def kinds(self) -> tuple[str, ...]:
        """What is drawn on an image; of a mix, one of them."""
        return KINDS if self.name == MIX else tuple(self.name.split("+"))

    @property
    def is_drawn(self) -> bool:
        """Whether the hints are simulated."""
        return self.name not in (OWN, MASKS)

    def draw(self, dataset: Dataset, out: Path, *, seed: int) -> None:
        """Write the data set with these hints, drawn from its masks."""
        mix = self.name == MIX
        simulate_dataset(dataset, out, kinds=self.kinds, fraction=self.fraction, mix=mix, seed=seed)

    def options(self) -> list[str]:
        """The words of `hintseg simulate` that draw the same.

        >>> HintChoice("scribbles", 0.3).options()
        ['--hints', 'scribbles', '--fraction', '0.3']
        """
        mix = ["--mix"] if self.name == MIX else []
        fraction = [] if self.fraction == 1 else ["--fraction", f"{self.fraction:g}"]
        return ["--hints", ",".join(self.kinds), *mix, *fraction]


def hint_choices(names: Sequence[str], fractions: Sequence[float]) -> list[HintChoice]:
    """Every kind; those with strokes once for every share that is kept of them.

    Raises:
        ConfigError: No or unknown kinds, or a fraction outside [0, 1].

    Example:
        >>> [choice.slug for choice in hint_choices(["tags", "scribbles"], [1.0, 0.5])]
        ['tags', 'scribbles', 'scribbles0.5']
    """
    if not names:
        raise ConfigError(f"--hints: none given; choose from {', '.join((*KINDS, MIX, OWN))}")
    wrong = [fraction for fraction in fractions if not 0 <= fraction <= 1]
    if wrong or not fractions:
        raise ConfigError(f"--fractions: must lie between 0 and 1, got {wrong or 'nothing'}")
    found = []
    for name in dict.fromkeys(names):
        for kind in name.split("+"):
            if kind not in KINDS and name not in (MIX, OWN):
                raise UnknownNameError("kind of hint", kind, (*KINDS, MIX, OWN))
        strokes = name != OWN and "scribbles" in HintChoice(name).kinds
        shares = dict.fromkeys(map(float, fractions)) if strokes else (1.0,)
        found += [HintChoice(name, share) for share in shares]
    return found


def checked_variants(names: Sequence[str]) -> list[str]:
    """Variants of prediction, each once, the plain one always and first.

    Raises:
        UnknownNameError: One that is none.

    Example:
        >>> checked_variants(["crf", "scales+crf", "crf"])
        ['plain', 'crf', 'scales+crf']
    """
    for name in names:
        for part in name.split("+"):
            if part not in PARTS:
                raise UnknownNameError("variant of prediction", part, PARTS)
    return list(dict.fromkeys(["plain", *names]))


def variant_options(name: str, crf: str) -> PredictOptions:
    """How a variant predicts: "scales" by three sizes and their mirror images, "crf", "retrieval".

    Example:
        >>> variant_options("scales+crf", "deeplab").record()["scales"]
        [0.75, 1.0, 1.25]
    """
    parts = name.split("+")
    return PredictOptions(
        scales=SCALES if "scales" in parts else (1.0,),
        flip="scales" in parts,
        by="retrieval" if "retrieval" in parts else "classifier",
        crf=crf if "crf" in parts else None,
    )


def variant_words(name: str, crf: str) -> list[str]:
    """The words of `hintseg evaluate` for a variant.

    >>> variant_words("crf", "deeplab")
    ['--crf', 'deeplab']
    """
    options, words = variant_options(name, crf), []
    if options.flip:
        words += ["--scales", ",".join(f"{scale:g}" for scale in options.scales), "--flip"]
    if options.retrieves:
        words += ["--by", options.by]
    return words if options.crf is None else [*words, "--crf", options.crf]
