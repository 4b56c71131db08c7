"""RAM++'s queries: each image weighs the descriptions of each tag.

Source: RAM++ (arXiv 2310.15200), section 3.3, "automatic weighting of multiple descriptions".
A tag's embedding is the softmax-weighted sum of its descriptions' embeddings, with the similarity
to the image's mean token as the score.

Shapes: B images, T tags, K descriptions of a tag, G tags with equally many descriptions, E width.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from anytag.errors import ModelError
from anytag.models.linear import in_inference

#: the released models start from CLIP's temperature, 0.07
INITIAL_SCALE = math.log(1 / 0.07)
#: descriptions that are weighed together in inference: they are read twice, so they should still
#: lie in a cache, and the weights of all of them [B, T * K] never exist
ROWS = 4096


@dataclass(frozen=True, slots=True)
class Descriptions:
    """Description embeddings of T tags, each tag with any number of them.

    Tags with equally many descriptions are kept together, so that a tag with more of them does not
    cost memory for all others.
    """

    #: for each number of descriptions: embeddings [G, K, E]
    groups: tuple[Tensor, ...]
    #: [T] int64: where tag t stands when the groups are put one after the other
    order: Tensor

    @classmethod
    def from_rows(cls, rows: Tensor, counts: Sequence[int]) -> Descriptions:
        """Group embeddings that are listed tag by tag.

        Args:
            rows: [R, E], the descriptions of tag 0, then those of tag 1, ...
            counts: number of descriptions of each of T tags; R in sum, each at least 1

        Raises:
            ModelError: the counts do not fit the rows
        """
        if sum(counts) != len(rows) or min(counts, default=0) < 1:
            raise ModelError(
                f"{len(rows)} description embeddings for {len(counts)} tags with {sum(counts)} "
                "descriptions; expected one embedding for each, and at least one for each tag"
            )
        if len(set(counts)) == 1:  # as released: nothing to copy
            group = rows.reshape(len(counts), counts[0], -1)
            return cls((group,), torch.arange(len(counts), device=rows.device))
        size = torch.tensor(counts)
        start = size.cumsum(0) - size
        groups, members = [], []
        for count in sorted(set(counts)):
            tags = (size == count).nonzero()[:, 0]
            places = start[tags][:, None] + torch.arange(count)
            groups.append(rows[places.to(rows.device)])
            members.append(tags)
        order = torch.empty_like(size)
        order[torch.cat(members)] = torch.arange(len(counts))
        return cls(tuple(groups), order.to(rows.device))

    @property
    def num_tags(self) -> int:
        """T."""
        return len(self.order)

    def take(self, tags: Sequence[int]) -> Descriptions:
        """Those of some tags, in this order."""
        places = self.order[torch.tensor(tags, dtype=torch.int64, device=self.order.device)]
        groups, members, start = [], [], 0
        for group in self.groups:
            chosen = ((places >= start) & (places < start + len(group))).nonzero()[:, 0]
            if len(chosen):
                groups.append(group[places[chosen] - start])
                members.append(chosen)
            start += len(group)
        order = torch.empty_like(places)
        order[torch.cat([*members, places[:0]])] = torch.arange(len(tags), device=places.device)
        return Descriptions(tuple(groups), order)

    def join(self, other: Descriptions) -> Descriptions:
        """Those of this and then of the other; nothing is copied."""
        order = torch.cat([self.order, other.order + self.num_tags])
        return Descriptions((*self.groups, *other.groups), order)

    def to(self, device: torch.device, dtype: torch.dtype) -> Descriptions:
        """The same on a device, as a floating type."""
        groups = tuple(group.to(device, dtype) for group in self.groups)
        return Descriptions(groups, self.order.to(device))


class Reweighting(nn.Module):
    """Mean image token and descriptions -> tag embeddings of each image."""

    def __init__(self) -> None:
        super().__init__()
        #: logarithm of the factor on the similarities
        self.scale = nn.Parameter(torch.tensor(INITIAL_SCALE))

    def forward(self, image: Tensor, descriptions: Descriptions) -> Tensor:
        """Embeddings [B, T, E] of mean tokens [B, E]; they are not normalised."""
        mixed = [self.mix(image, group) for group in descriptions.groups]
        if len(mixed) == 1:
            return mixed[0]
        return torch.cat(mixed, 1)[:, descriptions.order]

    def mix(self, image: Tensor, group: Tensor, present: Tensor | None = None) -> Tensor:
        """Tag embeddings: [B, E] and [G, K, E] -> [B, G, E]; ``present`` as in `weights`."""
        step = max(1, ROWS // group.shape[1])
        if in_inference() and present is None and len(group) > step:
            parts = torch.split(group, step)
            return torch.cat([self.mix(image, part) for part in parts], 1)
        return torch.einsum("bgk,gke->bge", self.weights(image, group, present), group)

    def weights(self, image: Tensor, group: Tensor, present: Tensor | None = None) -> Tensor:
        """Softmax over a tag's descriptions: [B, E] and [G, K, E] -> [B, G, K].

        Only the image is normalised: the descriptions come as unit vectors from their encoder.

        Args:
            image: mean tokens [B, E]
            group: descriptions [G, K, E]
            present: bool [G, K], false for padding; None = all are there
        """
        direction = F.normalize(image, dim=-1)
        similarity = torch.einsum("be,gke->bgk", direction, group)
        if present is not None:
            similarity = similarity.masked_fill(~present, float("-inf"))
        weights: Tensor = (self.scale.exp() * similarity).softmax(-1)
        return weights
