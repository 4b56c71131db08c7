"""Why a tag was given: a heatmap of the places that speak for it, and a box around the strongest.

    explainer = Explainer(tagger, ["dog", "ball"])
    for explanation in explainer("photo.jpg"):
        print(explanation.tag, explanation.score, explanation.box)

The four methods are those of `anytag.models.evidence`. Places that speak against a tag count as 0,
and the strongest place as 1: a map says where, and the tag's score how much. The box is the
smallest around the connected part with a fifth of the maximum or more that holds the maximum.

Shapes: S side that the network sees, N image tokens in rows x columns, T tags.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from torch import Tensor

from anytag.errors import ModelError, UsageError
from anytag.inference.heatmap import Box, Grid, stretch, strongest_box
from anytag.models.evidence import (
    Decoding,
    attention,
    gradient,
    occlusion,
    open_decoding,
    relevance,
)

if TYPE_CHECKING:
    from anytag.data.images import LoadedImage
    from anytag.inference.scorer import ImageSource, Scorer
    from anytag.inference.vocabulary import Tags

#: by name: decoding of one image, columns of its grid -> [T, N]
METHODS: dict[str, Callable[[Decoding, int], Tensor]] = {
    "occlusion": occlusion,
    "gradient": lambda decoding, columns: gradient(decoding),
    "relevance": lambda decoding, columns: relevance(decoding),
    "attention": lambda decoding, columns: attention(decoding),
}


@dataclass(frozen=True, kw_only=True, eq=False)  # eq: arrays have no single truth value
class Explanation:
    """Where a picture shows a tag, as far as the network can tell."""

    tag: str
    #: of the tag, in [0, 1]
    score: float
    #: one of `METHODS`
    method: str
    #: [rows, columns] in [0, 1]: one cell for each token of the network
    grid: Grid
    #: (left, top, right, bottom) as fractions of the picture
    box: Box
    #: of the picture, in pixels
    width: int
    height: int

    @property
    def heatmap(self) -> Grid:
        """The grid at the size of the picture, [height, width] in [0, 1]."""
        return stretch(self.grid, self.width, self.height)

    @property
    def pixel_box(self) -> tuple[int, int, int, int]:
        """The box in pixels."""
        left, top, right, bottom = self.box
        return (
            math.floor(left * self.width),
            math.floor(top * self.height),
            math.ceil(right * self.width),
            math.ceil(bottom * self.height),
        )


class Explainer:
    """Explains some tags of any number of pictures.

    Args:
        tagger: a model that torch runs
        tags: as `Tagger.with_tags` takes them
        method: one of `METHODS`

    Raises:
        UsageError: no such method
        ModelError: the model is an exported one, or has no text encoder for a tag of your own
        LabelError: no tags, a name is empty, or the model is Tag2Text and has no such tag
    """

    def __init__(self, tagger: Scorer, tags: Tags, method: str = "occlusion") -> None:
        if method not in METHODS:
            raise UsageError(f"unknown method {method!r}: expected {', '.join(METHODS)}")
        if not hasattr(tagger.model, "network"):
            raise ModelError(
                f"{tagger.card.name}: exported models give no explanations; use the model that it "
                "was exported from"
            )
        self._method = method
        self._tagger = tagger.with_tags(tags)

    def __call__(self, image: ImageSource) -> list[Explanation]:
        """One explanation for each tag, in their order.

        A name that is two tags of the model gives the one with the higher score.

        Raises:
            ImageError: the image cannot be read
            FetchError: its URL was refused or failed
            ModelError: the network's tokens are no square grid
        """
        return self.explain(self._tagger.load(image))

    def explain(self, loaded: LoadedImage) -> list[Explanation]:
        """The same for a picture that is loaded already, at the network's size."""
        model = cast(Any, self._tagger.model)  # an OpenModel: it has a network
        decoding = open_decoding(
            model.network, self._tagger.label_state, model.images(loaded.pixels[None])
        )
        num_tokens = decoding.tokens.shape[1] - 1
        side = math.isqrt(num_tokens)
        if side * side != num_tokens:
            raise ModelError(
                f"{self._tagger.card.name}: expected image tokens in a square, found {num_tokens}"
            )
        evidence = METHODS[self._method](decoding, side).float().cpu().numpy()
        scores = decoding.logits()[0].float().sigmoid().tolist()
        found: dict[str, Explanation] = {}
        for label, score, row in zip(self._tagger.labels, scores, evidence, strict=True):
            if label.name in found and found[label.name].score >= score:
                continue
            grid = scale(row.reshape(side, side))
            found[label.name] = Explanation(
                tag=label.name,
                score=score,
                method=self._method,
                grid=grid,
                box=strongest_box(grid),
                width=loaded.width,
                height=loaded.height,
            )
        return list(found.values())


def scale(evidence: Grid) -> Grid:
    """Evidence of either sign to [0, 1]: nothing below 0, the maximum at 1; all 0 if none is above.

    >>> scale(np.array([[-1.0, 2.0, 4.0]], np.float32)).tolist()
    [[0.0, 0.5, 1.0]]
    """
    positive = np.clip(evidence, 0, None)
    largest = positive.max()
    return positive if largest == 0 else positive / largest
