"""Opening a model of any family: network, labels, and what own tags and captions need.

Shapes: B images, S side in pixels, N image tokens, T tags, D token width.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, cast

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
from anytag.inference.own_tags import TEXT_ENCODER as TEXT_ENCODER
from anytag.inference.own_tags import SavedClip, embedder
from anytag.inference.static_text import StaticTextEncoder
from anytag.inference.vocabulary import Embed, Rows, TextEncoder, Vocabulary
from anytag.inference.wordpiece import WordPiece
from anytag.models.config import TaggerConfig
from anytag.models.decoder import LabelState
from anytag.models.released import RamPlus, ReleasedNetwork
from anytag.models.tagging import TaggingNetwork

#: names of `from_pretrained`'s ``normalization``
NORMALIZATIONS = {"imagenet": IMAGENET, "clip": CLIP}


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
    def sizes(self) -> TaggerConfig:
        """Of encoder and decoder."""
        network = self.card.network
        return network if isinstance(network, TaggerConfig) else network.tagger

    @property
    def image_size(self) -> int:
        """S."""
        return self.sizes.encoder.image_size

    def images(self, pixels: npt.NDArray[np.uint8]) -> Tensor:
        """uint8 [B, S, S, 3] -> what the network takes, [B, 3, S, S]."""
        part = torch.from_numpy(pixels).to(self.device)
        images = normalize(part, self.normalization).to(self.dtype)
        return images.contiguous(memory_format=torch.channels_last)

    def prepare(self, vocabulary: Vocabulary) -> object:
        """What the network needs of a tag list, computed once."""
        # Any: each family's network prepares rows of its own kind
        network = cast(Any, self.network)
        with torch.inference_mode():
            state: object = network.prepare(vocabulary.on(self.device, self.dtype))
        return state

    def logits(self, pixels: npt.NDArray[np.uint8], labels: object) -> npt.NDArray[np.float32]:
        """[B, T] of images uint8 [B, S, S, 3]; ``labels`` is from `prepare`."""
        with torch.inference_mode():
            logits: Tensor = cast(Any, self.network)(self.images(pixels), labels)
            return cast("npt.NDArray[np.float32]", logits.float().cpu().numpy())

    def score(self, pixels: npt.NDArray[np.uint8], labels: object) -> npt.NDArray[np.float32]:
        """The same as probabilities."""
        with torch.inference_mode():
            logits: Tensor = cast(Any, self.network)(self.images(pixels), labels)
            return cast("npt.NDArray[np.float32]", logits.float().sigmoid().cpu().numpy())

    def look(
        self, pixels: npt.NDArray[np.uint8], labels: object
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Probabilities [B, T] and mean tokens [B, D]."""
        with torch.inference_mode():
            tokens = self.network.encoder(self.images(pixels))
            scores = self.decode(tokens, labels).float().sigmoid().cpu().numpy()
            return scores, tokens[:, 0].float().cpu().numpy()

    def decode(self, tokens: Tensor, labels: object) -> Tensor:
        """Logits [B, T] of what the encoder gave, [B, 1 + N, D]."""
        # Any: each family has a decoder of its own kind
        network: Any = self.network
        if hasattr(network, "tag"):
            return cast(Tensor, network.tag(tokens, labels))
        return cast(Tensor, network.decoder(labels, tokens))

    def attention(self, pixels: npt.NDArray[np.uint8], labels: object) -> npt.NDArray[np.float32]:
        """Cross-attention [B, T, rows, columns], mean over layers and heads.

        Raises:
            ModelError: the decoder gives no attention maps (Tag2Text), or its queries depend on the
                image (RAM++)
        """
        decoder: Any = self.network.decoder
        if not isinstance(labels, LabelState) or not hasattr(decoder, "attention_maps"):
            raise ModelError(f"{self.card.name} gives no attention maps; nano and RAM do")
        with torch.inference_mode():
            tokens = self.network.encoder(self.images(pixels))
            maps = decoder.attention_maps(labels, tokens).float().mean(dim=(0, 2))
        side = math.isqrt(maps.shape[-1] - 1)
        grid: npt.NDArray[np.float32] = maps[..., 1:].unflatten(-1, (side, side)).cpu().numpy()
        return grid

    @property
    def token_width(self) -> int:
        """D."""
        return self.network.encoder.token_width

    @property
    def writes_captions(self) -> bool:
        """Whether there is a captioner, and its vocabulary."""
        return self.network.captioner is not None and self.wordpiece is not None

    @cached_property
    def caption_writer(self) -> CaptionWriter:
        """Writes captions.

        Raises:
            ModelError: the model has no captioner, or no vocabulary for it
        """
        if getattr(self.network, "captioner", None) is None:
            raise ModelError(
                f"{self.card.name} writes no captions: nano, RAM and Tag2Text do, unless they were "
                "converted with --no-captioner or trained further without loss.captioning, and "
                "models that were trained to"
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
        embed=embedder("plain", encoder, sizes.text_width),
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
    known: Rows
    if rows is None:
        known = torch.arange(len(loaded.labels))
    else:
        known = network.prepare(rows) if isinstance(network, RamPlus) else rows
    opened = OpenModel(
        path=path,
        card=loaded.card,
        version=loaded.card.version,
        network=network,
        normalization=Normalization(mean=sizes.encoder.mean, std=sizes.encoder.std),
        embed=embedder(config.family, text_encoder, sizes.text_width),
        exact_pixels=True,
        wordpiece=loaded.vocabulary,
    )
    return opened, Vocabulary(loaded.labels, known)
