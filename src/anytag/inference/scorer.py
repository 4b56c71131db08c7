"""Photos to the scores of any list of tags: the half of `Tagger` that knows the network.

The label side (text embeddings, queries, first-layer projection) is computed once per tag list;
each image then costs one encoder and one decoder pass.

Shapes: B images, S side in pixels, T tags, K descriptions of a tag, E text width.
"""

from __future__ import annotations

import math
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from anytag.data.images import ImageLimits, LoadedImage, load_image
from anytag.errors import LabelError, ModelError
from anytag.fetch import fetch
from anytag.inference.open_model import OpenModel, open_model
from anytag.inference.vocabulary import TagEmbedder, Tags, TextEncoder, Vocabulary
from anytag.labels.labelset import LabelSet
from anytag.models.decoder import LabelState

#: a path or URL, the bytes of an image file, a PIL image, or uint8 [H, W, 3]
ImageSource = str | Path | bytes | Image.Image | npt.NDArray[np.uint8]

#: images in one forward pass on the CPU; more does not fit its caches and runs at half the speed
CPU_CHUNK = 4

Self = TypeVar("Self", bound="Scorer")


class Scorer:
    """A model and a list of tags.

    Args:
        model: all but the tags
        vocabulary: the tags
    """

    def __init__(self, model: OpenModel, vocabulary: Vocabulary) -> None:
        #: the model directory
        self.path = model.path
        #: contents of its config.json
        self.card = model.card
        self.labels = vocabulary.labels
        self.device = model.device
        self.dtype = model.dtype
        self._model = model
        self._vocabulary = vocabulary
        with torch.inference_mode():
            rows = vocabulary.on(model.device, model.dtype)
            # Any: each family's network prepares rows of its own kind
            self._label_state: Any = cast(Any, model.network).prepare(rows)

    @classmethod
    def from_pretrained(
        cls: type[Self],
        model: str | Path = "nano",
        *,
        device: str = "auto",
        dtype: str = "auto",
        normalization: str | None = None,
        text_encoder: TextEncoder | None = None,
    ) -> Self:
        """Load a model.

        Args:
            model: "nano" (part of the package), a model directory (of ``anytag convert`` too), or
                a hub id; also a released checkpoint with its lists beside it, ``file.pth`` or
                ``hf:org/name/file.pth``, which is converted once, into the user's cache folder
            device: "auto", or anything torch knows: "cpu", "cuda", "cuda:1", "mps"
            dtype: "auto" (bfloat16 on CUDA, else float32), "float32", "bfloat16" or "float16"
            normalization: "imagenet" or "clip" statistics of the pixels; None = the model's own.
                RAM, RAM++ and Tag2Text were published with ImageNet's and trained with CLIP's
            text_encoder: embeds own tags; None = the one in the model directory

        Raises:
            ModelError: no such model, or it cannot be read
            UsageError: unknown device, dtype or normalisation
        """
        return cls(
            *open_model(
                model,
                device=device,
                dtype=dtype,
                normalization=normalization,
                text_encoder=text_encoder,
            )
        )

    @property
    def model_name(self) -> str:
        """Name and version of the weights; part of every result."""
        return self._model.version

    @property
    def own_tags(self) -> Literal["any", "no text encoder", "none"]:
        """Which tags a user may add: any; any with their embeddings; or none."""
        embed = self._model.embed
        if isinstance(embed, TagEmbedder):
            return "any" if embed.text_encoder is not None else "no text encoder"
        return "none"

    @property
    def image_size(self) -> int:
        """Side of the square that the network sees, in pixels."""
        return self._model.image_size

    def with_tags(self: Self, tags: Tags, *, extend: bool = False) -> Self:
        """A tagger that asks for other tags; it shares the network with this one.

        Names that this tagger knows keep their threshold, kind and parents; new ones get the
        model's threshold for open vocabulary.

        Args:
            tags: names, or {name: [descriptions]}, or {name: embedding [E] or [K, E]}. RAM++
                weighs the descriptions for each image; other models average their embeddings
            extend: keep the present tags in front

        Raises:
            LabelError: no tags, a name is empty, or the model is Tag2Text and has no such tag
            ModelError: the model has no text encoder
        """
        vocabulary = replace(self._vocabulary, labels=self.labels).with_tags(
            tags,
            extend=extend,
            embed=self._model.embed,
            open_threshold=self.card.open_threshold,
        )
        return type(self)(self._model, vocabulary)

    def with_labels(self: Self, labels: LabelSet) -> Self:
        """The same tags with other thresholds, translations or synonyms.

        Raises:
            LabelError: other names or another order
        """
        if labels.names != self.labels.names:
            raise LabelError("expected the same tags in the same order; use with_tags")
        clone = copy(self)
        clone.labels = labels
        return clone

    def load(self, source: ImageSource, limits: ImageLimits | None = None) -> LoadedImage:
        """Decode one image to the network's size; URLs are fetched.

        Raises:
            ImageError: it cannot be read
            FetchError: its URL was refused or failed
        """
        data: Any = source
        if isinstance(source, str) and source.lower().startswith(("http://", "https://")):
            data = fetch(source, allow_octet_stream=True)
        return load_image(
            data,
            size=self.image_size,
            limits=limits or ImageLimits(),
            exact=self._model.exact_pixels,
        )

    def score(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Probabilities of every tag.

        Args:
            pixels: uint8 [B, S, S, 3] with S = `image_size`

        Returns:
            float32 [B, num_tags] in [0, 1]
        """
        chunk = CPU_CHUNK if self.device.type == "cpu" else len(pixels)
        parts = [torch.empty(0, len(self.labels))]
        with torch.inference_mode():
            for start in range(0, len(pixels), chunk):
                images = self._model.images(pixels[start : start + chunk])
                logits = self._model.network(images, self._label_state)
                parts.append(logits.float().sigmoid().cpu())
        scores: npt.NDArray[np.float32] = torch.cat(parts).numpy()
        return scores

    def look(
        self, pixels: npt.NDArray[np.uint8]
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Probabilities of every tag, and what the network sees as one vector: its mean token.

        Args:
            pixels: uint8 [B, S, S, 3] with S = `image_size`

        Returns:
            float32 [B, num_tags] in [0, 1], and float32 [B, token width]
        """
        # Any: each family has a decoder of its own kind
        network: Any = self._model.network
        decode = network.tag if hasattr(network, "tag") else lambda x, y: network.decoder(y, x)
        chunk = CPU_CHUNK if self.device.type == "cpu" else max(1, len(pixels))
        scores = [torch.empty(0, len(self.labels))]
        means = [torch.empty(0, network.encoder.token_width)]
        with torch.inference_mode():
            for start in range(0, len(pixels), chunk):
                tokens = network.encoder(self._model.images(pixels[start : start + chunk]))
                scores.append(decode(tokens, self._label_state).float().sigmoid().cpu())
                means.append(tokens[:, 0].float().cpu())
        return torch.cat(scores).numpy(), torch.cat(means).numpy()

    def attention(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Where the network looks for every tag: cross-attention, mean over layers and heads.

        Args:
            pixels: uint8 [B, S, S, 3] with S = `image_size`

        Returns:
            float32 [B, num_tags, rows, columns]; weights of the image tokens, without the mean
            token's

        Raises:
            ModelError: the decoder gives no attention maps (Tag2Text), or its queries depend on the
                image (RAM++)
        """
        decoder: Any = self._model.network.decoder
        if not isinstance(self._label_state, LabelState) or not hasattr(decoder, "attention_maps"):
            raise ModelError(f"{self.card.name} gives no attention maps; nano and RAM do")
        with torch.inference_mode():
            tokens = self._model.network.encoder(self._model.images(pixels))
            maps = decoder.attention_maps(self._label_state, tokens).float().mean(dim=(0, 2))
        side = math.isqrt(maps.shape[-1] - 1)
        grid: npt.NDArray[np.float32] = maps[..., 1:].unflatten(-1, (side, side)).cpu().numpy()
        return grid
