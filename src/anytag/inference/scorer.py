"""Photos to the scores of any list of tags: the half of `Tagger` that knows the network.

The label side (text embeddings, queries, first-layer projection) is computed once per tag list;
each image then costs one encoder and one decoder pass. Torch or an exported graph does that, see
`anytag.inference.backends`; nothing here imports torch.

Shapes: B images, S side in pixels, T tags, K descriptions of a tag, E text width.
"""

from __future__ import annotations

from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast

import numpy as np
import numpy.typing as npt
from PIL import Image

from anytag.data.images import ImageLimits, LoadedImage, load_image
from anytag.errors import LabelError, ModelError
from anytag.fetch import fetch
from anytag.inference.backends import Backend, open_backend
from anytag.inference.vocabulary import Rows, TagEmbedder, Tags, TextEncoder, Vocabulary
from anytag.labels.labelset import LabelSet

if TYPE_CHECKING:
    from anytag.inference.cascade import Cascade, CascadeConfig, CascadeReport
    from anytag.inference.open_model import OpenModel

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

    def __init__(self, model: Backend, vocabulary: Vocabulary) -> None:
        #: the model directory
        self.path = model.path
        #: contents of its config.json (export.json of an exported model)
        self.card = model.card
        self.labels = vocabulary.labels
        self.device = model.device
        self.dtype = model.dtype
        self._model = model
        self._vocabulary = vocabulary
        self._label_state = model.prepare(vocabulary)
        self._cascade: Cascade | None = None

    @classmethod
    def from_pretrained(
        cls: type[Self],
        model: str | Path = "nano",
        *,
        device: str = "auto",
        dtype: str = "auto",
        normalization: str | None = None,
        text_encoder: TextEncoder | None = None,
        backend: str = "auto",
    ) -> Self:
        """Load a model.

        Args:
            model: "nano" (part of the package), a model directory (of ``anytag convert`` too), or
                a hub id; also a released checkpoint with its lists beside it, ``file.pth`` or
                ``hf:org/name/file.pth``, which is converted once, into the user's cache folder
            device: "auto", or anything torch knows: "cpu", "cuda", "cuda:1", "mps"; for exported
                models "auto", "cpu", "cuda" (onnx) or "gpu" (openvino)
            dtype: "auto" (bfloat16 on CUDA, else float32), "float32", "bfloat16" or "float16";
                exported models have the one they were exported with, but OpenVINO can compute
                in "bfloat16" and "float16" too
            normalization: "imagenet" or "clip" statistics of the pixels; None = the model's own.
                RAM, RAM++ and Tag2Text were published with ImageNet's and trained with CLIP's
            text_encoder: embeds own tags; None = the one in the model directory
            backend: "torch"; "onnx" or "openvino" for what ``anytag export`` wrote; "auto" is torch
                where the directory has weights for it and it is installed

        Raises:
            ModelError: no such model, it cannot be read, or not run by this backend
            UsageError: unknown backend, device, dtype or normalisation
            MissingExtraError: the backend's package is not installed
        """
        return cls(
            *open_backend(
                model,
                backend=backend,
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
    def writes_captions(self) -> bool:
        """Whether the model has a captioner, so that `Tagger.caption` works."""
        return self._model.writes_captions

    @property
    def model(self) -> Backend:
        """All but the tags."""
        return self._model

    @property
    def rows(self) -> Rows:
        """What the model keeps of each tag, in the order of ``labels``."""
        return self._vocabulary.rows

    @property
    def label_state(self) -> object:
        """What the network prepared of the tags."""
        return self._label_state

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
        return clone if self._cascade is None else clone.with_cascade(self._cascade.config)

    def with_cascade(self: Self, config: CascadeConfig | None = None) -> Self:
        """A tagger that asks the decoder for the likely tags of an image alone.

        Scores of tags that were not asked are NaN, and such tags are never given. All other scores
        are those of this tagger. How many final tags may be lost is watched on the user's own
        photos, see `anytag.inference.cascade` and `cascade_report`. ``with_tags`` leaves the
        cascade; `look`, `logits` and captions always ask for all tags.

        Args:
            config: settings; None = as they are by default

        Raises:
            ModelError: the model is an exported one
        """
        if not hasattr(self._model, "network"):
            raise ModelError(f"{self.path}: exported models have no cascade; use backend='torch'")
        from anytag.inference.cascade import Cascade, CascadeConfig

        clone = copy(self)
        model = cast("OpenModel", self._model)
        clone._cascade = Cascade(model, self._label_state, self.labels, config or CascadeConfig())
        return clone

    @property
    def cascade_report(self) -> CascadeReport | None:
        """What the cascade did so far, its recall with it; None without one."""
        return None if self._cascade is None else self._cascade.report

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
            float32 [B, num_tags] in [0, 1]; with a cascade, NaN for tags that were not asked
        """
        parts = [np.empty((0, len(self.labels)), np.float32)]
        for part in self._chunks(pixels):
            if self._cascade is None:
                parts.append(self._model.score(part, self._label_state))
            else:
                parts.append(self._cascade.score(part))
        return np.concatenate(parts)

    def score_many(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """As `score`, for many images: a small network on the CPU takes several parts at a time.

        Scores may differ from those of `score` in their last bits.
        """
        if self._cascade is None and hasattr(self._model, "network"):
            from anytag.inference.parallel import map_batches, runs_apart

            model = cast("OpenModel", self._model)
            if len(pixels) and runs_apart(model.network, self.device.type):
                return np.concatenate(
                    map_batches(
                        lambda part: model.score(part, self._label_state), self._chunks(pixels)
                    )
                )
        return self.score(pixels)

    def logits(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Logits float32 [B, num_tags], of which `score` gives the sigmoid."""
        parts = [np.empty((0, len(self.labels)), np.float32)]
        parts += [self._model.logits(part, self._label_state) for part in self._chunks(pixels)]
        return np.concatenate(parts)

    def look(
        self, pixels: npt.NDArray[np.uint8]
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Probabilities of every tag, and what the network sees as one vector: its mean token.

        Args:
            pixels: uint8 [B, S, S, 3] with S = `image_size`

        Returns:
            float32 [B, num_tags] in [0, 1], and float32 [B, token width]
        """
        scores = [np.empty((0, len(self.labels)), np.float32)]
        means = [np.empty((0, self._model.token_width), np.float32)]
        for part in self._chunks(pixels):
            found, mean = self._model.look(part, self._label_state)
            scores.append(found)
            means.append(mean)
        return np.concatenate(scores), np.concatenate(means)

    def attention(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Where the network looks for every tag: cross-attention, mean over layers and heads.

        Args:
            pixels: uint8 [B, S, S, 3] with S = `image_size`

        Returns:
            float32 [B, num_tags, rows, columns]; weights of the image tokens, without the mean
            token's

        Raises:
            ModelError: the decoder gives no attention maps (Tag2Text), its queries depend on the
                image (RAM++), or the model is an exported one
        """
        return self._model.attention(pixels, self._label_state)

    def _chunks(self, pixels: npt.NDArray[np.uint8]) -> list[npt.NDArray[np.uint8]]:
        step = CPU_CHUNK if self.device.type == "cpu" else max(1, len(pixels))
        return [pixels[start : start + step] for start in range(0, len(pixels), step)]
