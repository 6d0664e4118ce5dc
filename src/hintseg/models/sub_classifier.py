"""A classifier of tags that also tells kinds of each class apart (SC-CAM)."""

from collections.abc import Sequence

from jaxtyping import Float, UInt8
from torch import Tensor, nn

from hintseg.models.backbone import Backbone
from hintseg.models.tag_classifier import TagClassifier, tag_scores
from hintseg.structures import ClassSet


class SubClassifier(TagClassifier):
    """Maps of the tags, and scores of the sub-categories of each (Chang et al. 2020, section 3.1).

    Both heads are 1 x 1 convolutions without bias on the same features; the maps of the tags alone
    are used later. `parents[i]` is the map whose class sub-category i is a part of.
    """

    def __init__(
        self,
        backbone: Backbone,
        classes: ClassSet,
        kinds: Sequence[int],
        *,
        dropout: float = 0.5,
    ) -> None:
        super().__init__(backbone, classes, dropout=dropout)
        self.parents = [parent for parent, count in enumerate(kinds) for _ in range(count)]
        self.tell = nn.Conv2d(backbone.channels[-1], len(self.parents), 1, bias=False)

    def take_over(self, other: TagClassifier) -> None:
        """The weights of another classifier of the same classes; those of the kinds stay new."""
        known = other.state_dict()
        self.load_state_dict(
            {
                name: known[name] if name in known and name[:5] != "tell." else weights
                for name, weights in self.state_dict().items()
            }
        )

    def scores(
        self, images: UInt8[Tensor, "batch 3 height width"] | Float[Tensor, "batch 3 height width"]
    ) -> tuple[Float[Tensor, "batch maps"], Float[Tensor, "batch kinds"]]:
        """Log-odds of the tags, and of the sub-categories."""
        stages = self._features(images)
        maps = self._maps(stages[-1], images)
        rows, columns = maps.shape[-2:]
        kinds = self.tell(self.dropout(stages[-1]))[..., :rows, :columns]
        return tag_scores(maps), tag_scores(kinds)
