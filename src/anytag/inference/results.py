"""What tagging returns: plain frozen values that every writer, server and report consumes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True, kw_only=True)
class Tag:
    """One tag of one image."""

    name: str
    #: sigmoid probability in [0, 1]; tags are independent, scores do not sum to one
    score: float
    #: the score from which this tag counts as present
    threshold: float
    #: index in the label set; names may be translated, ids never change
    id: int
    #: "object", "scene", "action" or "attribute"; None for a tag given by the user
    kind: str | None = None
    #: more general tags, nearest first ("dog", "animal"); for hierarchical keywords
    parents: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemError:
    """Why one input has no tags."""

    #: a stable word, see `anytag.errors.ImageError`
    type: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TagResult:
    """Tags of one image, or the reason why there are none.

    ``tags`` are sorted by score, highest first. ``scores`` is float32 [num_tags] over the whole
    label set in id order, or None when ``error`` is set. With a cascade, tags that the model was
    not asked for have NaN there and are never among ``tags``.
    """

    path: str | None
    sha256: str | None
    width: int | None
    height: int | None
    model: str
    tags: tuple[Tag, ...] = ()
    scores: npt.NDArray[np.float32] | None = None
    caption: str | None = None
    error: ItemError | None = None

    def record(self) -> dict[str, Any]:
        """The JSONL record of docs/design.md (without the full score vector)."""
        return {
            "path": self.path,
            "sha256": self.sha256,
            "width": self.width,
            "height": self.height,
            "model": self.model,
            "tags": [
                {
                    "name": tag.name,
                    "score": round(tag.score, 4),
                    "threshold": round(tag.threshold, 4),
                    "id": tag.id,
                    "kind": tag.kind,
                }
                for tag in self.tags
            ],
            "caption": self.caption,
            "error": None
            if self.error is None
            else {"type": self.error.type, "message": self.error.message},
        }
