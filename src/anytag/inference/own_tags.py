"""What a model of each family makes of tags that are not its own.

Needs no torch before a CLIP text encoder is asked for a text: exported models use it too.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from anytag.inference.prompts import fill
from anytag.inference.vocabulary import Embed, TagEmbedder, TextEncoder, closed_vocabulary

#: where a model keeps its text encoder
TEXT_ENCODER = "text_encoder"

_NO_TEXT_ENCODER = (
    "and own tags need the text encoder that it was trained with, CLIP ViT-B/16: give "
    "Tagger.from_pretrained(..., text_encoder=ClipTextEncoder.load()) of "
    "anytag.inference.clip_text, or save it as text_encoder/ in the model directory; or give "
    "embeddings, {name: array}"
)


def embedder(
    family: str, text_encoder: TextEncoder | None, width: int, *, arrays: bool = False
) -> Embed:
    """Makes rows of new tags.

    Args:
        family: "plain" (nano and models of its kind), "ram", "ram_plus" or "tag2text"
        text_encoder: None where there is none; given embeddings then still work
        width: E of the text embeddings
        arrays: rows of an exported model
    """
    if family == "tag2text":
        return closed_vocabulary
    if family == "plain":
        return TagEmbedder(text_encoder, width, describe=lambda name: [name], arrays=arrays)
    separate = family == "ram_plus"
    describe = _first_description if separate else fill
    return TagEmbedder(text_encoder, width, describe, separate, _NO_TEXT_ENCODER, arrays)


def _first_description(name: str) -> list[str]:
    """What stands first among the 51 descriptions of each of RAM++'s own tags."""
    return [f"a photo of a {name}."]


class SavedClip:
    """A CLIP text encoder of a model directory, read when it is first needed; texts are kept.

    Args:
        folder: see `ClipTextEncoder.load`
        device: where it runs
    """

    def __init__(self, folder: Path, device: str) -> None:
        self._folder = folder
        self._device = device

    @cached_property
    def _encoder(self) -> TextEncoder:
        from anytag.inference.clip_text import ClipTextEncoder
        from anytag.inference.text_cache import CachedTextEncoder

        return CachedTextEncoder(ClipTextEncoder.load(self._folder, self._device))

    @property
    def dim(self) -> int:
        """Width E of the vectors."""
        return self._encoder.dim

    def encode(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Unit vectors [len(texts), E]."""
        return self._encoder.encode(texts)
