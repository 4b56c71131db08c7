"""Tagger: photos to tags with any list of tags.

The label side (text embeddings, queries, first-layer projection) is computed once per tag list;
each image then costs one encoder and one decoder pass.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, Protocol, overload

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from anytag.checkpoints.directory import ModelCard, find_model, load_directory
from anytag.data.images import ImageLimits, LoadedImage, load_image
from anytag.data.transforms import Normalization, normalize
from anytag.errors import LabelError, ModelError
from anytag.fetch import fetch
from anytag.inference.device import choose_device, choose_dtype
from anytag.inference.results import TagResult
from anytag.inference.selection import TagSelector
from anytag.inference.static_text import StaticTextEncoder
from anytag.inference.stream import Scored, stream
from anytag.labels.labelset import Label, LabelSet, fold_name
from anytag.models.tagging import TaggingNetwork

#: a path or URL, the bytes of an image file, a PIL image, or uint8 [H, W, 3]
ImageSource = str | Path | bytes | Image.Image | npt.NDArray[np.uint8]
#: names, or names with the texts that describe them
Tags = Sequence[str] | Mapping[str, Sequence[str]]

#: images in one forward pass on the CPU; more does not fit its caches and runs at half the speed
CPU_CHUNK = 4


class TextEncoder(Protocol):
    """Texts to unit vectors."""

    @property
    def dim(self) -> int:
        """Width E of the vectors."""

    def encode(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Unit vectors [len(texts), E]."""


class Tagger:
    """Tags photos.

    Example:
        >>> tagger = Tagger.from_pretrained("nano")
        >>> result = tagger("photo.jpg")  # doctest: +SKIP
        >>> [tag.name for tag in result.tags]  # doctest: +SKIP
        ['cat', 'animal', 'tabby']
    """

    def __init__(
        self,
        network: TaggingNetwork,
        card: ModelCard,
        labels: LabelSet,
        label_embeddings: npt.NDArray[np.float32],
        text_encoder: TextEncoder,
        device: torch.device,
        dtype: torch.dtype,
        path: Path,
    ) -> None:
        #: the model directory
        self.path = path
        self.card = card
        self.labels = labels
        self.device = device
        self.dtype = dtype
        self._network = network
        self._embeddings = label_embeddings
        self._text_encoder = text_encoder
        encoder = card.network.encoder
        self._normalization = Normalization(mean=encoder.mean, std=encoder.std)
        with torch.inference_mode():
            embeddings = torch.from_numpy(label_embeddings).to(device, dtype)
            self._label_state = network.prepare(embeddings)

    @classmethod
    def from_pretrained(
        cls, model: str | Path = "nano", *, device: str = "auto", dtype: str = "auto"
    ) -> Tagger:
        """Load a model.

        Args:
            model: "nano" (part of the package), a model directory, or a hub id
            device: "auto", or anything torch knows: "cpu", "cuda", "cuda:1", "mps"
            dtype: "auto" (bfloat16 on CUDA, else float32), "float32", "bfloat16" or "float16"

        Raises:
            ModelError: no such model, or it cannot be read
            UsageError: unknown device or dtype
        """
        loaded = load_directory(find_model(model))
        if loaded.card.text_encoder != "static":
            raise ModelError(
                f"{loaded.path}: text encoder {loaded.card.text_encoder!r} is not known"
            )
        chosen = choose_device(device)
        kind = choose_dtype(dtype, chosen)
        network = loaded.network.to(chosen, kind)
        for parameter in network.parameters():
            if parameter.ndim == 4:  # convolutions run faster with channels last
                parameter.data = parameter.contiguous(memory_format=torch.channels_last)
        return cls(
            network,
            loaded.card,
            loaded.labels,
            loaded.label_embeddings.numpy(),
            StaticTextEncoder.load(loaded.path / "text_encoder"),
            chosen,
            kind,
            loaded.path,
        )

    @property
    def model_name(self) -> str:
        """Name and version of the weights; part of every result."""
        return self.card.version

    @property
    def image_size(self) -> int:
        """Side of the square that the network sees, in pixels."""
        return self.card.network.encoder.image_size

    def with_tags(self, tags: Tags, *, extend: bool = False) -> Tagger:
        """A tagger that asks for other tags; it shares the network with this one.

        Names that this tagger knows keep their threshold, kind and parents; new ones get the
        model's threshold for open vocabulary.

        Args:
            tags: names, or {name: [descriptions]} whose embeddings are averaged
            extend: keep the present tags in front

        Raises:
            LabelError: no tags, or a name is empty
        """
        described = tags if isinstance(tags, Mapping) else dict.fromkeys(tags, ())
        labels = list(self.labels) if extend else []
        rows = [self._embeddings] if extend else []
        seen = {fold_name(label.name) for label in labels}
        for name, texts in described.items():
            known = self.labels.find(name)
            if fold_name(name) in seen or (extend and known is not None and not texts):
                continue
            seen.add(fold_name(name))
            labels.append(self._label(len(labels), name, known))
            rows.append(self._embed(name, texts, known))
        if not labels:
            raise LabelError("no tags given; name at least one")
        return Tagger(
            self._network,
            self.card,
            LabelSet(labels),
            np.concatenate(rows),
            self._text_encoder,
            self.device,
            self.dtype,
            self.path,
        )

    def with_labels(self, labels: LabelSet) -> Tagger:
        """The same tags with other thresholds, translations or synonyms.

        Raises:
            LabelError: other names or another order
        """
        if labels.names != self.labels.names:
            raise LabelError("expected the same tags in the same order; use with_tags")
        clone = object.__new__(Tagger)
        clone.__dict__.update(self.__dict__, labels=labels)
        return clone

    def _label(self, position: int, name: str, known: Label | None) -> Label:
        name = " ".join(name.replace("_", " ").split())
        if known is None:
            return Label(id=position, name=name, threshold=self.card.open_threshold)
        synonyms = () if fold_name(name) == fold_name(known.name) else known.synonyms
        return replace(known, id=position, name=name, synonyms=synonyms)

    def _embed(
        self, name: str, texts: Sequence[str], known: Label | None
    ) -> npt.NDArray[np.float32]:
        if known is not None and not texts:
            return self._embeddings[known.id : known.id + 1]
        mean = self._text_encoder.encode(list(texts) or [name]).mean(axis=0, keepdims=True)
        unit: npt.NDArray[np.float32] = mean / np.linalg.norm(mean)
        return unit

    def load(self, source: ImageSource, limits: ImageLimits | None = None) -> LoadedImage:
        """Decode one image to the network's size; URLs are fetched.

        Raises:
            ImageError: it cannot be read
            FetchError: its URL was refused or failed
        """
        data: Any = source
        if isinstance(source, str) and source.lower().startswith(("http://", "https://")):
            data = fetch(source, allow_octet_stream=True)
        return load_image(data, size=self.image_size, limits=limits or ImageLimits())

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
                part = torch.from_numpy(pixels[start : start + chunk]).to(self.device)
                images = normalize(part, self._normalization).to(self.dtype)
                images = images.contiguous(memory_format=torch.channels_last)
                parts.append(self._network(images, self._label_state).float().sigmoid().cpu())
        scores: npt.NDArray[np.float32] = torch.cat(parts).numpy()
        return scores

    def stream(
        self,
        sources: Iterable[ImageSource],
        *,
        batch_size: int = 32,
        workers: int | None = None,
        threshold: float | Literal["auto"] | None = None,
        top_k: int | None = None,
        exclude: Collection[str] = (),
        limits: ImageLimits | None = None,
    ) -> Iterator[TagResult]:
        """Tag any number of images in bounded memory.

        Args:
            sources: paths, URLs, bytes, PIL images or arrays; may be endless
            batch_size: images that are decoded and scored together
            workers: decoding threads beside the model; None takes one for each processor
            threshold: for all tags, or "auto" for each tag's own
            top_k: most tags of an image; without ``threshold`` the best K however low they score
            exclude: tags that never come
            limits: larger images are refused

        Yields:
            results in the order of ``sources``; an unreadable image gives a result with ``error``

        Raises:
            UsageError: threshold or top_k is out of range
        """
        select = TagSelector(self.labels, threshold=threshold, top_k=top_k, exclude=exclude)
        scored = stream(
            sources,
            load=lambda source: self.load(source, limits),
            score=self.score,
            batch_size=batch_size,
            workers=workers or os.cpu_count() or 1,
        )
        for item in scored:
            yield item.result(_path_of(item.item), self.model_name, select)

    @overload
    def __call__(
        self,
        images: ImageSource,
        *,
        threshold: float | Literal["auto"] | None = None,
        top_k: int | None = None,
    ) -> TagResult: ...

    @overload
    def __call__(
        self,
        images: list[ImageSource] | tuple[ImageSource, ...],
        *,
        threshold: float | Literal["auto"] | None = None,
        top_k: int | None = None,
    ) -> list[TagResult]: ...

    def __call__(
        self,
        images: ImageSource | list[ImageSource] | tuple[ImageSource, ...],
        *,
        threshold: float | Literal["auto"] | None = None,
        top_k: int | None = None,
    ) -> TagResult | list[TagResult]:
        """Tag one image, or a list of them.

        Args:
            images: a path, URL, bytes of an image file, PIL image or uint8 [H, W, 3]; or a list
            threshold: for all tags, or "auto" (as None) for each tag's own
            top_k: most tags; without ``threshold`` the best K however low they score

        Returns:
            one result, or a list in the same order (there, an unreadable image has ``error`` set)

        Raises:
            ImageError: the one image cannot be read
            FetchError: its URL was refused or failed
        """
        if isinstance(images, list | tuple):
            return list(self.stream(images, threshold=threshold, top_k=top_k))
        select = TagSelector(self.labels, threshold=threshold, top_k=top_k)
        loaded = self.load(images)
        scores = self.score(loaded.pixels[None])[0]
        item = Scored(
            item=images,
            width=loaded.width,
            height=loaded.height,
            sha256=loaded.sha256,
            scores=scores,
        )
        return item.result(_path_of(images), self.model_name, select)

    def classify(
        self,
        images: ImageSource | list[ImageSource],
        *,
        candidate_labels: Sequence[str] | None = None,
        top_k: int = 5,
    ) -> list[dict[str, Any]] | list[list[dict[str, Any]]]:
        """The shape of transformers' image-classification and zero-shot pipelines.

        Scores are sigmoid probabilities: each label for itself, they do not sum to one.

        Args:
            images: one image or a list
            candidate_labels: ask for these tags instead of the model's
            top_k: most labels of an image

        Returns:
            [{"label", "score"}] sorted by score, or a list of these for a list of images

        Raises:
            ImageError: an image cannot be read (the first one, in a list)
        """
        tagger = self.with_tags(candidate_labels) if candidate_labels else self
        many = images if isinstance(images, list) else [images]
        answers = [
            [{"label": tag.name, "score": tag.score} for tag in tagger(image, top_k=top_k).tags]
            for image in many
        ]
        return answers if isinstance(images, list) else answers[0]


def _path_of(source: object) -> str | None:
    return str(source) if isinstance(source, str | Path) else None
