"""Exported models: directories of ``anytag export``, run without torch.

export.json                     `ExportCard`
model.onnx or model.xml + .bin  images and the label side to logits
labels.onnx or labels.xml, .bin nano and RAM: text embeddings to the label side
labels.json                     `anytag.labels.labelset.LabelSet`
label_embeddings.safetensors    "label_embeddings": [T, E]; RAM++ [T, K, E] and "num_descriptions"
label_inputs.safetensors        Tag2Text: the label side of its tags
text_encoder/                   as in the model that was exported
config.json                     of the model that was exported; not read here

Inputs of the graph ``model``, by family:

    all             pixels uint8 [B, S, S, 3], RGB; scaling and normalisation are inside
    nano, RAM       queries and projected [T, D] (nano [T, D + W + 1], see
                    `anytag.inference.export_graph.pack`), what the graph ``labels`` makes of
                    embeddings [T, E]
    RAM++           descriptions [T, K, E], num_descriptions int64 [T]
    Tag2Text        queries, projected, weight [T, D], bias [T]

Outputs: logits [B, T] (probabilities are their sigmoid), embedding [B, W]: the mean image token.

Shapes: B images, S side in pixels, T tags, K descriptions of a tag, E text width, D query width,
W token width.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load_file

from anytag.checkpoints.find import read_card
from anytag.errors import ModelError, UsageError
from anytag.inference.backends import torch_installed
from anytag.inference.description_arrays import DescriptionArrays
from anytag.inference.export_card import CARD, SUFFIXES, ExportCard
from anytag.inference.graphs import Graph, GraphDevice, OnnxGraph, OpenVinoGraph
from anytag.inference.own_tags import TEXT_ENCODER, SavedClip, embedder
from anytag.inference.static_text import StaticTextEncoder
from anytag.inference.vocabulary import (
    ArrayRows,
    Embed,
    TextEncoder,
    Vocabulary,
)
from anytag.labels.labelset import LabelSet

Scores = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class ExportedModel:
    """All of an exported model but its tags; see `anytag.inference.backends.Backend`."""

    path: Path
    card: ExportCard
    graph: Graph
    #: makes the label side of text embeddings; None for RAM++ and Tag2Text
    label_graph: Graph | None
    #: Tag2Text: the label side of its tags
    label_inputs: dict[str, npt.NDArray[np.float32]]
    embed: Embed
    dtype: str

    @property
    def version(self) -> str:
        """Part of every result."""
        return self.card.version

    @property
    def device(self) -> GraphDevice:
        """Where the graphs run."""
        return self.graph.device

    @property
    def image_size(self) -> int:
        """S."""
        return self.card.image_size

    @property
    def token_width(self) -> int:
        """W."""
        return self.card.token_width

    @property
    def exact_pixels(self) -> bool:
        """See `ExportCard`."""
        return self.card.exact_pixels

    @property
    def writes_captions(self) -> bool:
        """Exported models do not."""
        return False

    @property
    def caption_writer(self) -> object:
        """None.

        Raises:
            ModelError: always
        """
        raise ModelError(
            f"{self.card.name} was exported for {self.card.backend}, and exported models write no "
            "captions; use the model that it was exported from"
        )

    def prepare(self, vocabulary: Vocabulary) -> object:
        """The label side, where the graph runs."""
        rows = vocabulary.arrays
        if isinstance(rows, DescriptionArrays):
            return self.graph.hold({"descriptions": rows.values, "num_descriptions": rows.counts})
        if self.label_graph is None:
            return self.graph.hold({name: one[rows] for name, one in self.label_inputs.items()})
        names = ("queries", "projected")
        found = self.label_graph.run(names, {"embeddings": rows})
        return self.graph.hold(dict(zip(names, found, strict=True)))

    def logits(self, pixels: npt.NDArray[np.uint8], labels: object) -> Scores:
        """[B, T] of images uint8 [B, S, S, 3]; ``labels`` is from `prepare`."""
        self._check(pixels)
        return cast(Scores, self.graph.run(["logits"], {"pixels": pixels}, labels)[0])

    def score(self, pixels: npt.NDArray[np.uint8], labels: object) -> Scores:
        """The same as probabilities."""
        return sigmoid(self.logits(pixels, labels))

    def look(self, pixels: npt.NDArray[np.uint8], labels: object) -> tuple[Scores, Scores]:
        """Probabilities [B, T] and mean tokens [B, W]."""
        self._check(pixels)
        logits, means = self.graph.run(["logits", "embedding"], {"pixels": pixels}, labels)
        return sigmoid(logits), means

    def attention(self, pixels: npt.NDArray[np.uint8], labels: object) -> Scores:
        """None.

        Raises:
            ModelError: always
        """
        raise ModelError(
            f"{self.card.name} was exported for {self.card.backend}, and exported models give no "
            "attention maps; use the model that it was exported from"
        )

    def _check(self, pixels: npt.NDArray[np.uint8]) -> None:
        size = self.card.image_size
        if pixels.dtype != np.uint8 or pixels.shape[1:] != (size, size, 3):
            raise UsageError(
                f"expected pixels uint8 [images, {size}, {size}, 3], "
                f"found {pixels.dtype} {list(pixels.shape)}"
            )


def sigmoid(logits: Scores) -> Scores:
    """1 / (1 + e^-x), without overflow."""
    small = np.exp(-np.abs(logits))
    scores: Scores = np.where(logits >= 0, np.float32(1), small) / (1 + small)
    return scores


def open_exported(
    path: Path,
    *,
    device: str = "auto",
    dtype: str = "auto",
    normalization: str | None = None,
    text_encoder: TextEncoder | None = None,
) -> tuple[ExportedModel, Vocabulary]:
    """An exported model and the tags that it knows; arguments as in `Tagger.from_pretrained`.

    Raises:
        ModelError: a file is missing or damaged, or they do not fit together
        LabelError: labels.json is wrong
        UsageError: unknown device or dtype, or other pixel statistics
        MissingExtraError: the runtime is not installed
    """
    card = read_card(path / CARD, ExportCard, "a directory of anytag export")
    if normalization is not None:
        raise UsageError(
            f"{path}: the pixel statistics are inside an exported graph (mean {list(card.mean)}, "
            f"std {list(card.std)}); export a tagger that was opened with "
            f"normalization={normalization!r}"
        )
    if card.backend == "onnx" and dtype not in ("auto", "float32"):
        raise UsageError(f"dtype {dtype!r}: models exported for onnx compute in float32 or int8")
    labels = LabelSet.load(path / "labels.json", repeated_names=True)
    rows = _read_rows(path, card, labels)
    has_labels = card.family in ("plain", "ram")
    model = ExportedModel(
        path=path,
        card=card,
        graph=_open_graph(path, "model", card, device, dtype),
        label_graph=_open_graph(path, "labels", card, "cpu", "auto") if has_labels else None,
        label_inputs=_read_inputs(path, labels) if card.family == "tag2text" else {},
        embed=embedder(
            card.family, text_encoder or _text_encoder(path, card), card.text_width, arrays=True
        ),
        dtype="int8" if card.int8 else "float32" if dtype == "auto" else dtype,
    )
    return model, Vocabulary.of_arrays(labels, rows)


def _open_graph(path: Path, name: str, card: ExportCard, device: str, dtype: str) -> Graph:
    file = path / f"{name}{SUFFIXES[card.backend]}"
    if not file.is_file():
        raise ModelError(f"{file}: missing from the model directory")
    if card.backend == "onnx":
        return OnnxGraph(file, device)
    return OpenVinoGraph(file, device, dtype)


def _text_encoder(path: Path, card: ExportCard) -> TextEncoder | None:
    folder = path / TEXT_ENCODER
    if card.text_encoder == "static":
        return StaticTextEncoder.load(folder)
    return SavedClip(folder, "cpu") if card.text_encoder == "clip" and torch_installed() else None


def _read_rows(path: Path, card: ExportCard, labels: LabelSet) -> ArrayRows:
    if card.family == "tag2text":
        return np.arange(len(labels))
    file = path / "label_embeddings.safetensors"
    found = _read_arrays(file)
    rows = found.get("label_embeddings")
    num_axes = 3 if card.family == "ram_plus" else 2
    if (
        rows is None
        or rows.ndim != num_axes
        or rows.shape[0] != len(labels)
        or rows.shape[-1] != card.text_width
    ):
        expected = [len(labels), *(["descriptions"] if num_axes == 3 else []), card.text_width]
        raise ModelError(
            f"{file}: expected 'label_embeddings' {expected}, "
            f"found {None if rows is None else list(rows.shape)}"
        )
    rows = rows.astype(np.float32)
    if card.family != "ram_plus":
        return rows
    counts = found.get("num_descriptions")
    if counts is None or counts.shape != (len(labels),) or counts.max() > rows.shape[1]:
        raise ModelError(
            f"{file}: expected 'num_descriptions' [{len(labels)}] of at most {rows.shape[1]}"
        )
    return DescriptionArrays(rows, counts.astype(np.int64))


def _read_inputs(path: Path, labels: LabelSet) -> dict[str, npt.NDArray[np.float32]]:
    file = path / "label_inputs.safetensors"
    found = _read_arrays(file)
    names = ("queries", "projected", "weight", "bias")
    wrong = [name for name in names if name not in found or len(found[name]) != len(labels)]
    if wrong:
        raise ModelError(f"{file}: expected {wrong[0]!r} with {len(labels)} rows, one for each tag")
    return {name: found[name].astype(np.float32) for name in names}


def _read_arrays(file: Path) -> dict[str, npt.NDArray[Any]]:
    try:
        return load_file(file)
    except FileNotFoundError as error:
        raise ModelError(f"{file}: missing from the model directory") from error
    except (OSError, SafetensorError, ValueError) as error:
        raise ModelError(f"{file}: damaged or no safetensors file ({error})") from error
