"""The two sides of the log-ratio of a block of pixels: sums of exponentials and gradients."""

import math

import torch
from torch import Tensor


class OtherSegments:
    """One side of a block of pixels: all segments that are related to a pixel's group."""

    def __init__(self, prototypes: Tensor, related: Tensor, row_group: Tensor, left_out: Tensor):
        self.columns = related.any(0).nonzero()[:, 0]
        self.width = len(self.columns)
        self.prototypes = prototypes.index_select(0, self.columns)
        self.gradient = torch.zeros_like(self.prototypes)
        self.row_group, self.bias = row_group, None
        if len(related) > 1:  # groups that differ: -inf where a group is not related
            unrelated = ~related.index_select(1, self.columns)
            bias = prototypes.new_zeros(unrelated.shape)
            self.bias = bias.masked_fill_(unrelated, -math.inf)
        place = self.columns.new_full((len(prototypes) + 1,), -1)  # the last is that of "none"
        place[self.columns] = torch.arange(self.width, device=place.device)
        self.left_out = place[left_out]

    def log_sum(self, scaled: Tensor, rows: slice, cells: Tensor) -> Tensor:
        """Logarithm of each row's sum of exponentials; the exponentials stay in `cells`."""
        size = len(scaled) * self.width
        terms = cells[:size].view(len(scaled), self.width)
        if self.bias is None:
            torch.mm(scaled, self.prototypes.T, out=terms)
        else:
            torch.index_select(self.bias, 0, self.row_group[rows], out=terms)
            terms.addmm_(scaled, self.prototypes.T)
        place = self.left_out[rows]
        cell = torch.arange(len(scaled), device=place.device) * self.width + place
        cell = cell.where(place >= 0, size)  # a spare cell, for rows without one to leave out
        cells[: size + 1].index_fill_(0, cell, -math.inf)
        self.terms = terms
        peak = terms.amax(1) if self.width else scaled.new_full((len(scaled),), -math.inf)
        peak.clamp_(min=torch.finfo(terms.dtype).min)  # finite, so that nothing but -inf is exp(0)
        sums = terms.sub_(peak[:, None]).exp_().sum(1)
        self.sums = sums.clamp(min=1)[:, None]  # below 1 only where the sum has no terms
        return sums.log_().add_(peak)

    def mean(self) -> Tensor:
        """Mean of the prototypes, weighted with the exponentials; 0 where there are none."""
        return torch.mm(self.terms, self.prototypes).div_(self.sums)

    def collect(self, pulls: Tensor) -> None:
        """Add each row's pull to the gradients of its segments, in parts given by the terms."""
        self.gradient.addmm_(self.terms.T, pulls / self.sums)

    def hand_over(self, gradient: Tensor) -> None:
        """Add what was collected to the gradient of all prototypes."""
        gradient.index_add_(0, self.columns, self.gradient)


class OwnSegment:
    """The side of a block of pixels on which each has its own segment alone."""

    width = 0

    def __init__(self, prototypes: Tensor, own: Tensor):
        self.own, self.prototypes = own, prototypes.index_select(0, own)
        self.gradient = torch.zeros_like(self.prototypes)

    def log_sum(self, scaled: Tensor, rows: slice, cells: Tensor) -> Tensor:
        """Logarithm of the only exponential, which needs no cells."""
        self.rows = rows
        return (scaled * self.prototypes[rows]).sum(1)

    def mean(self) -> Tensor:
        """The own prototype."""
        return self.prototypes[self.rows]

    def collect(self, pulls: Tensor) -> None:
        """Keep each row's pull for its segment."""
        self.gradient[self.rows] = pulls

    def hand_over(self, gradient: Tensor) -> None:
        """Add what was collected to the gradient of all prototypes."""
        gradient.index_add_(0, self.own, self.gradient)
