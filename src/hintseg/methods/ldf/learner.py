"""The losses of LDF (Wei et al. 2020, arXiv:2008.11048, section 3.4)."""

from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hintseg.losses.overlap import iou_loss, soft_cross_entropy
from hintseg.methods.fitting import Stateless
from hintseg.methods.ldf.labels import FIRST, SECOND, Maps
from hintseg.models.embedder import upsample
from hintseg.models.two_branch import Round, TwoBranch
from hintseg.structures import Batch

MULTIPLE = 32  # pixels of which the sides of batches are multiples


class Decoupled(Stateless):
    """A network of two branches; it learns their maps where the batch brings them.

    The mean over the iterations k of

        BCE(b_k, first) + BCE(d_k, second) + BCE(s_k, mask) + IoU(s_k, mask)
    """

    def __init__(self, model: TwoBranch, maps: Maps, *, seed: int) -> None:
        self.model, self.maps, self.seed = model, maps, seed
        self.pretrained: nn.Module = model.backbone

    def losses(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """The four terms at full resolution, of the pixels with a label."""
        images, labels, wanted = self._resized(batch, self.factor(step))
        rounds = [self._terms(found, labels, wanted) for found in self.model.rounds(images)]
        return {name: torch.stack([r[name] for r in rounds]).mean() for name in rounds[0]}

    def _terms(
        self, found: Round, labels: Tensor, wanted: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """Of one iteration."""
        counted, mask = labels >= 0, (labels == self.maps.foreground).float()
        whole = _at(found.object, labels)
        terms = {}
        for branch, what in zip((FIRST, SECOND), self.maps.names, strict=True):
            logits = _at(found.first if branch == FIRST else found.second, labels)
            given = wanted.get(branch)  # without, a 0 that still reaches the head (on all ranks)
            known = torch.zeros_like(counted) if given is None else counted
            target = mask if given is None else given
            name = f"{branch} {what}" if what == "saliency" else what
            terms[name] = soft_cross_entropy(logits, target, counted=known)
        terms["saliency"] = soft_cross_entropy(whole, mask, counted=counted)
        terms["iou"] = iou_loss(whole, mask, counted=counted)
        return terms

    def factor(self, step: int) -> float:
        """The size of the batch of a step, the same on every rank, whatever came before."""
        sizes = self.maps.settings.sizes
        return sizes[int(np.random.default_rng((self.seed, 2, step)).integers(len(sizes)))]

    def _resized(self, batch: Batch, factor: float) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Images, labels and maps at `factor` times their size."""
        side = max(MULTIPLE, round(batch.images.shape[-1] * factor / MULTIPLE) * MULTIPLE)
        size = (side, side)
        if batch.images.shape[-2:] == size:
            return batch.images, batch.labels, dict(batch.maps)
        images = F.interpolate(batch.images.float(), size=size, mode="bilinear", antialias=True)
        labels = F.interpolate(batch.labels[:, None].float(), size=size, mode="nearest-exact")
        maps = {
            name: F.interpolate(values[:, None], size=size, mode="bilinear", antialias=True)[:, 0]
            for name, values in batch.maps.items()
        }
        return images, labels[:, 0].long(), {n: m.clamp(0, 1) for n, m in maps.items()}


def _at(logits: Tensor, labels: Tensor) -> Tensor:
    """Logits of cells, at the pixels of the labels."""
    return upsample(logits[:, None].float(), *labels.shape[-2:])[:, 0]
