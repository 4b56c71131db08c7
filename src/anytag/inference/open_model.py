"""Opening a model of any family: network, labels, and what own tags and captions need.

Shapes: B images, S side in pixels, N image tokens, T tags.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from anytag.checkpoints.directory import ModelCard, load_directory
from anytag.checkpoints.released_directory import ReleasedCard, is_released, load_released
from anytag.data.transforms import CLIP, IMAGENET, Normalization, normalize
from anytag.errors import ModelError, UsageError
from anytag.inference.captioning import CaptionWriter
from anytag.inference.converted import locate
from anytag.inference.device import choose_device, choose_dtype
from anytag.inference.prompts import fill
from anytag.inference.static_text import StaticTextEncoder
from anytag.inference.vocabulary import (
    Embed,
    Rows,
    TagEmbedder,
    TextEncoder,
    Vocabulary,
    closed_vocabulary,
)
from anytag.inference.wordpiece import WordPiece
from anytag.models.config import TaggerConfig
from anytag.models.released import RamPlus, ReleasedNetwork
from anytag.models.tagging import TaggingNetwork

#: names of `from_pretrained`'s ``normalization``
NORMALIZATIONS = {"imagenet": IMAGENET, "clip": CLIP}
#: where a released model keeps its text encoder, a folder of `ClipTextEncoder`
TEXT_ENCODER = "text_encoder"

_NO_TEXT_ENCODER = (
    "and own tags need the text encoder that it was trained with, CLIP ViT-B/16: give "
    "Tagger.from_pretrained(..., text_encoder=ClipTextEncoder.load()) of "
    "anytag.inference.clip_text, or save it as text_encoder/ in the model directory; or give "
    "embeddings, {name: array}"
)


@dataclass(frozen=True, kw_only=True)
class OpenModel:
    """All of a model but its tags."""

    path: Path
    card: ModelCard | ReleasedCard
    #: of the weights, and of what changes their scores; part of every result
    version: str
    #: in evaluation mode, on ``device``, in ``dtype``
    network: TaggingNetwork | ReleasedNetwork
    normalization: Normalization
    #: makes rows of tags that are not the model's own
    embed: Embed
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    dtype: torch.dtype = torch.float32
    #: decode JPEGs at full size, as the published code of this model does
    exact_pixels: bool = False
    #: WordPiece vocabulary of the captioner
    wordpiece: Path | None = None

    @property
    def image_size(self) -> int:
        """S."""
        network = self.card.network
        sizes = network if isinstance(network, TaggerConfig) else network.tagger
        return sizes.encoder.image_size

    def images(self, pixels: npt.NDArray[np.uint8]) -> Tensor:
        """uint8 [B, S, S, 3] -> what the network takes, [B, 3, S, S]."""
        part = torch.from_numpy(pixels).to(self.device)
        images = normalize(part, self.normalization).to(self.dtype)
        return images.contiguous(memory_format=torch.channels_last)

    @cached_property
    def caption_writer(self) -> CaptionWriter:
        """Writes captions.

        Raises:
            ModelError: the model has no captioner, or no vocabulary for it
        """
        if getattr(self.network, "captioner", None) is None:
            raise ModelError(
                f"{self.card.name} writes no captions: RAM and Tag2Text do, unless they were "
                "converted with --no-captioner, and models that were trained to"
            )
        if self.wordpiece is None:
            raise ModelError(
                f"{self.path}: captions need the vocabulary of bert-base-uncased: put its "
                "vocab.txt there, or give it to anytag convert --vocab"
            )
        return CaptionWriter(self.network, WordPiece.load(self.wordpiece))


def open_model(
    model: str | Path,
    *,
    device: str = "auto",
    dtype: str = "auto",
    normalization: str | None = None,
    text_encoder: TextEncoder | None = None,
) -> tuple[OpenModel, Vocabulary]:
    """A model and the tags that it knows; arguments as in `Tagger.from_pretrained`.

    Raises:
        ModelError: no such model, or it cannot be read
        UsageError: unknown device, dtype or normalisation
    """
    if normalization is not None and normalization not in NORMALIZATIONS:
        raise UsageError(
            f"unknown normalization {normalization!r}: expected {' or '.join(NORMALIZATIONS)}"
        )
    chosen = choose_device(device)
    kind = choose_dtype(dtype, chosen)
    path = locate(model)
    read = _read_released if is_released(path) else _read_plain
    opened, vocabulary = read(path, text_encoder, str(chosen))
    network = opened.network.to(chosen, kind)
    for parameter in network.parameters():
        if parameter.ndim == 4:  # convolutions run faster with channels last
            parameter.data = parameter.contiguous(memory_format=torch.channels_last)
    opened = replace(opened, network=network, device=chosen, dtype=kind)
    statistics = NORMALIZATIONS.get(normalization or "", opened.normalization)
    if statistics != opened.normalization:
        version = f"{opened.version}+{normalization}"
        opened = replace(opened, normalization=statistics, version=version)
    return opened, vocabulary


def _read_plain(
    path: Path, text_encoder: TextEncoder | None, device: str
) -> tuple[OpenModel, Vocabulary]:
    """nano and models of its kind."""
    loaded = load_directory(path)
    if loaded.card.text_encoder != "static":
        raise ModelError(f"{path}: text encoder {loaded.card.text_encoder!r} is not known")
    sizes = loaded.card.network
    encoder = text_encoder or StaticTextEncoder.load(path / TEXT_ENCODER)
    opened = OpenModel(
        path=path,
        card=loaded.card,
        version=loaded.card.version,
        network=loaded.network,
        normalization=Normalization(mean=sizes.encoder.mean, std=sizes.encoder.std),
        embed=TagEmbedder(encoder, sizes.text_width, describe=lambda name: [name]),
        wordpiece=loaded.vocabulary,
    )
    return opened, Vocabulary(loaded.labels, loaded.label_embeddings)


def _read_released(
    path: Path, text_encoder: TextEncoder | None, device: str
) -> tuple[OpenModel, Vocabulary]:
    """RAM, RAM++ and Tag2Text."""
    loaded = load_released(path)
    config, network, rows = loaded.card.network, loaded.network, loaded.label_embeddings
    sizes = config.tagger
    folder = path / TEXT_ENCODER
    if text_encoder is None and folder.is_dir():
        text_encoder = SavedClip(folder, device)
    embed: Embed
    known: Rows
    if rows is None:
        known, embed = torch.arange(len(loaded.labels)), closed_vocabulary
    elif isinstance(network, RamPlus):
        known = network.prepare(rows)
        embed = TagEmbedder(
            text_encoder, sizes.text_width, _first_description, True, _NO_TEXT_ENCODER
        )
    else:
        known = rows
        embed = TagEmbedder(text_encoder, sizes.text_width, fill, False, _NO_TEXT_ENCODER)
    opened = OpenModel(
        path=path,
        card=loaded.card,
        version=loaded.card.version,
        network=network,
        normalization=Normalization(mean=sizes.encoder.mean, std=sizes.encoder.std),
        embed=embed,
        exact_pixels=True,
        wordpiece=loaded.vocabulary,
    )
    return opened, Vocabulary(loaded.labels, known)


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
