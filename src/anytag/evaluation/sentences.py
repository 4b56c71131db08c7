"""Tags asked in sentences: what `zero_shot`, `open_clip_models` and `text_matching` share.

Shapes: B images, S side in pixels, T tags, E width.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from anytag.data.images import LoadedImage
from anytag.evaluation.asking import Asked

TEMPLATE = "a photo of a {}."

Pixels = npt.NDArray[np.uint8]
Scoring = Callable[[Pixels], npt.NDArray[np.float32]]


def sentences(tags: Sequence[str], template: str) -> list[str]:
    """Each tag in its sentence [T]."""
    return [template.replace("{}", tag) for tag in tags]


def cosine_scores(
    embed_images: Callable[[Pixels], torch.Tensor],
    texts: torch.Tensor,
    sigmoid: tuple[torch.Tensor, torch.Tensor] | None,
) -> Scoring:
    """Scores [B, T] of pixels uint8 [B, S, S, 3].

    Args:
        embed_images: gives unit vectors [B, E]
        texts: unit vectors [T, E]
        sigmoid: logarithm of the scale, and bias, of a model that was trained with a sigmoid
            (SigLIP, arXiv 2303.15343, section 3.2); None = the cosine itself
    """

    def score(pixels: Pixels) -> npt.NDArray[np.float32]:
        cosine = embed_images(pixels) @ texts.T
        if sigmoid is not None:
            scale, bias = sigmoid
            with torch.inference_mode():
                cosine = (cosine * scale.exp() + bias).sigmoid()
        found: npt.NDArray[np.float32] = cosine.float().cpu().numpy()
        return found

    return score


def ask_in_sentences(
    name: str,
    tags: Sequence[str],
    template: str,
    *,
    model: Mapping[str, Any],
    how: str,
    load: Callable[[Path], LoadedImage],
    score: Scoring,
) -> Asked:
    """One column a tag.

    Args:
        name: of the model, in tables
        tags: asked for
        template: the sentence
        model: what tells the weights apart
        how: for the note under tables
        load: decodes a photo
        score: gives [B, T]
    """
    return Asked(
        name=name,
        settings={**model, "tags": list(tags), "template": template},
        load=load,
        score=score,
        num_columns=len(tags),
        columns=tuple((place,) for place in range(len(tags))),
        notes=(f"{name}: {how}, {template!r}",),
    )
