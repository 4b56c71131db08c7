"""Which tags a step asks for, where not all of them are.

Shapes: B images, T tags, K tags that are asked.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

#: a tag occurs from this answer on: another tagger's scores are seldom 0
OCCURS = 0.3
#: one in so many of a picture's own tags is a likely one
_LIKELY_EVERY = 3


@dataclass(frozen=True, slots=True)
class Asked:
    """The tags of a step."""

    #: [K] int64, ascending; or [B, K], those of each picture
    ids: Tensor
    #: weight of each one's loss [K]: 1 where it occurs in the batch, else how many it stands for
    weights: Tensor


def choose_tags(targets: Tensor, number: int | None) -> Asked | None:
    """All tags that a picture of the batch has, and a random choice of the others.

    The expected loss is that of all tags: each tag that was drawn stands for as many as were not.
    At least as many tags are drawn as occur, up to ``number`` in all; so a crowded batch asks more.

    Args:
        targets: [B, T]
        number: K; None = every tag

    Returns:
        None where all tags are asked
    """
    num_tags = targets.shape[1]
    if number is None or number >= num_tags:
        return None
    occurs = (targets >= OCCURS).any(0)
    others = (~occurs).nonzero()[:, 0]
    num_occurring = num_tags - len(others)
    num_drawn = min(len(others), max(number - num_occurring, num_occurring, 1))
    # drawn on the CPU, so that every device draws the same
    drawn = others[torch.randperm(len(others))[:num_drawn].to(others.device)]
    asked = occurs.clone()
    asked[drawn] = True
    ids = asked.nonzero()[:, 0]
    weights = torch.where(occurs[ids], 1.0, len(others) / max(1, num_drawn))
    return Asked(ids, weights)


def choose_own_tags(targets: Tensor, number: int | None) -> Asked | None:
    """The tags with each picture's highest answers, and a random choice of the others.

    With another tagger's scores the first are what it has and what it may be mistaken for; with
    yes and no alone they are what it has, and random ones. The expected loss is that of all tags
    here too.

    Args:
        targets: [B, T]
        number: K; None = every tag

    Returns:
        ids [B, K]; None where all tags are asked
    """
    num_images, num_tags = targets.shape
    if number is None or number >= num_tags:
        return None
    num_likely = number // _LIKELY_EVERY
    num_drawn = number - num_likely
    # drawn on the CPU, so that every device draws the same
    ties, chance = torch.rand(2, num_images, num_tags).to(targets.device)
    likely = (targets + 1e-6 * ties).topk(num_likely, dim=1).indices
    drawn = chance.scatter(1, likely, -1.0).topk(num_drawn, dim=1).indices
    weights = torch.ones(number, device=targets.device)
    weights[num_likely:] = (num_tags - num_likely) / num_drawn
    return Asked(torch.cat([likely, drawn], dim=1), weights)
