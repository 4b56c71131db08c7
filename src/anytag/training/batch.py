"""`Batch`: what the loader gives and the objective consumes.

Shapes: B images, S side in pixels, T tags, L caption tokens, M tag text tokens.
"""

from __future__ import annotations

from collections.abc import Callable
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

    def to(self, device: torch.device) -> Batch:
        """The same batch on another device."""
        return self._each(lambda one: one.to(device, non_blocking=True))

    def pin_memory(self) -> Batch:
        """The same batch in memory from which a GPU copies fast; called by the data loader."""
        return self._each(Tensor.pin_memory)

    def _slice(self, part: slice) -> Batch:
        cut = self._each(lambda one: one[part])
        return replace(cut, captions=self.captions[part], positions=self.positions[part])

    def _each(self, change: Callable[[Tensor], Tensor]) -> Batch:
        """With every tensor changed but the positions, which stay on the CPU."""
        texts = self.texts
        if texts is not None:
            texts = Texts(**{f.name: change(getattr(texts, f.name)) for f in fields(texts)})
        return replace(
            self,
            images=None if self.images is None else change(self.images),
            features=None if self.features is None else change(self.features),
            targets=change(self.targets),
            weights=None if self.weights is None else change(self.weights),
            texts=texts,
        )
