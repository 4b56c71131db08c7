"""What an exported model changes: logits, and the tags that are given.

Shapes: N images, S side in pixels, T tags.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from anytag.inference.export_card import Parity
from anytag.inference.exported import sigmoid
from anytag.inference.scorer import Scorer

#: images that are compared at a time
_STEP = 16


def measure_parity(
    before: Scorer, after: Scorer, pixels: npt.NDArray[np.uint8], images: str
) -> Parity:
    """Compare two models of the same tags at each tag's own threshold.

    Args:
        before: as trained, in torch
        after: exported
        pixels: uint8 [N, S, S, 3], N at least 1
        images: what they are, for the report
    """
    limits = np.array([label.threshold for label in before.labels], np.float32)
    logit_difference = score_difference = 0.0
    num_given = num_tags = num_images = 0
    for start in range(0, len(pixels), _STEP):
        part = pixels[start : start + _STEP]
        one, other = before.logits(part), after.logits(part)
        logit_difference = max(logit_difference, _largest(one - other))
        scores, others = sigmoid(one), sigmoid(other)
        score_difference = max(score_difference, _largest(scores - others))
        changed = (scores >= limits) != (others >= limits)
        num_given += int((scores >= limits).sum())
        num_tags += int(changed.sum())
        num_images += int(changed.any(axis=1).sum())
    return Parity(
        images=images,
        num_images=len(pixels),
        num_tags=len(limits),
        max_logit_difference=logit_difference,
        max_score_difference=score_difference,
        num_given=num_given,
        num_tags_changed=num_tags,
        num_images_changed=num_images,
    )


def made_pictures(count: int, size: int) -> npt.NDArray[np.uint8]:
    """Pictures of coloured patches and noise, the same at each call: uint8 [count, size, size, 3].

    For measuring float parity where no photos are given; for tags they mean nothing.
    """
    random = np.random.default_rng(0)
    pictures = np.empty((count, size, size, 3), np.uint8)
    for picture in pictures:
        cells = int(random.integers(2, 9))
        patches = random.uniform(0, 255, (cells, cells, 3))
        place = np.arange(size) * cells // size
        noise = random.normal(0, random.uniform(2, 30), (size, size, 3))
        picture[:] = (patches[place][:, place] + noise).clip(0, 255).astype(np.uint8)
    return pictures


def _largest(differences: npt.NDArray[np.float32]) -> float:
    """The largest size; NaN counts as infinite, so that it fails every tolerance."""
    found = float(np.abs(differences).max(initial=0.0))
    return float("inf") if np.isnan(found) else found
