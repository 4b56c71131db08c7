"""Which tags a step asks for, where not all of them are.

Shapes: B images, T tags, K tags that are asked.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Asked:
    """The tags of a step."""

    #: [K] int64, ascending
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
    occurs = (targets > 0).any(0)
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
