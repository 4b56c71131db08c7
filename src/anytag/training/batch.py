"""`Batch`: what the loader gives and the objective consumes.

Shapes: B images, S side in pixels, T tags, L caption tokens, M tag text tokens.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from itertools import pairwise

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Texts:
    """Captions and the tags they were parsed to, as WordPiece ids."""

    #: captions [B, L] int64, padded; each begins with the decoder's start mark
    caption_ids: Tensor
    #: [B, L] bool, True where there is text
    caption_mask: Tensor
    #: tag texts joined by " | " [B, M] int64; each begins with the encoder's start mark
    tag_ids: Tensor
    #: [B, M] bool
    tag_mask: Tensor


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Examples of one step on one process."""

    #: crops as they were augmented, uint8 [B, 3, S, S]; the teacher sees the same ones. None where
    #: there are features instead
    images: Tensor | None
    #: what the frozen part of the backbone gives for them, float16 [B, ...] (`features.Cut`)
    features: Tensor | None = None
    #: float32 [B, T] in [0, 1]
    targets: Tensor
    #: weight of each answer, float32 [B, T], 0 = not known; None = all are known
    weights: Tensor | None
    #: None where nothing is captioned; pictures without a caption have an all-False mask
    texts: Texts | None
    #: the sampled caption of each picture, "" without; for alignment with a text encoder
    captions: tuple[str, ...]
    #: place of each example in the epoch's order, int64 [B]
    positions: Tensor

    def __len__(self) -> int:
        return len(self.positions)

    def split(self, count: int) -> list[Batch]:
        """``count`` parts of as equal a size as can be, in order; none is empty."""
        bounds = [len(self) * i // count for i in range(count + 1)]
        return [self._slice(slice(a, b)) for a, b in pairwise(bounds) if b > a]

    def _slice(self, part: slice) -> Batch:
        texts = self.texts
        if texts is not None:
            texts = Texts(**{f.name: getattr(texts, f.name)[part] for f in fields(texts)})
        return Batch(
            images=None if self.images is None else self.images[part],
            features=None if self.features is None else self.features[part],
            targets=self.targets[part],
            weights=None if self.weights is None else self.weights[part],
            texts=texts,
            captions=self.captions[part],
            positions=self.positions[part],
        )

    def to(self, device: torch.device) -> Batch:
        """The same batch on another device."""
        texts = self.texts
        if texts is not None:
            texts = Texts(**{f.name: getattr(texts, f.name).to(device) for f in fields(texts)})
        return replace(
            self,
            images=None if self.images is None else self.images.to(device, non_blocking=True),
            features=None if self.features is None else self.features.to(device, non_blocking=True),
            targets=self.targets.to(device, non_blocking=True),
            weights=None if self.weights is None else self.weights.to(device, non_blocking=True),
            texts=texts,
        )

    def pin_memory(self) -> Batch:
        """The same batch in memory from which a GPU copies fast; called by the data loader."""
        texts = self.texts
        if texts is not None:
            texts = Texts(**{f.name: getattr(texts, f.name).pin_memory() for f in fields(texts)})
        return replace(
            self,
            images=None if self.images is None else self.images.pin_memory(),
            features=None if self.features is None else self.features.pin_memory(),
            targets=self.targets.pin_memory(),
            weights=None if self.weights is None else self.weights.pin_memory(),
            texts=texts,
        )
