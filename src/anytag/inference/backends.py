"""What runs a model: torch, or what ``anytag export`` wrote with ONNX Runtime or OpenVINO.

One protocol, `Backend`, with two sides: `anytag.inference.open_model` (torch) and
`anytag.inference.exported`, whose graphs are run by `anytag.inference.graphs`. Torch is imported
only where it runs.

Shapes: B images, S side in pixels, T tags, D token width.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from anytag.checkpoints.find import EMBEDDED, find_model
from anytag.errors import ModelError, UsageError
from anytag.inference.vocabulary import Embed, TextEncoder, Vocabulary

#: what each backend needs in the model directory
FILES = {"torch": "model.safetensors", "onnx": "model.onnx", "openvino": "model.xml"}


class Device(Protocol):
    """`torch.device`, or what looks like one."""

    @property
    def type(self) -> str:
        """ "cpu", or another."""


class Card(Protocol):
    """Contents of config.json or export.json that every model has."""

    @property
    def name(self) -> str: ...

    @property
    def open_threshold(self) -> float:
        """Threshold of tags that are not in labels.json."""


class Backend(Protocol):
    """All of a model but its tags."""

    @property
    def path(self) -> Path:
        """The model directory."""

    @property
    def card(self) -> Card: ...

    @property
    def version(self) -> str:
        """Of the weights, and of what changes their scores; part of every result."""

    @property
    def device(self) -> Device: ...

    @property
    def dtype(self) -> object:
        """In which it computes; for people to read."""

    @property
    def image_size(self) -> int:
        """S."""

    @property
    def token_width(self) -> int:
        """D."""

    @property
    def exact_pixels(self) -> bool:
        """Decode JPEGs at full size, as the published code of this model does."""

    @property
    def embed(self) -> Embed:
        """Makes rows of tags that are not the model's own."""

    @property
    def writes_captions(self) -> bool:
        """Whether this model does."""

    @property
    def caption_writer(self) -> object:
        """Writes captions.

        Raises:
            ModelError: this model does not
        """

    def prepare(self, vocabulary: Vocabulary) -> object:
        """What the network needs of a tag list, computed once."""

    def logits(self, pixels: npt.NDArray[np.uint8], labels: object) -> npt.NDArray[np.float32]:
        """[B, T] of images uint8 [B, S, S, 3]; ``labels`` is from `prepare`."""

    def score(self, pixels: npt.NDArray[np.uint8], labels: object) -> npt.NDArray[np.float32]:
        """The same as probabilities."""

    def look(
        self, pixels: npt.NDArray[np.uint8], labels: object
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Probabilities [B, T] and mean tokens [B, D]."""

    def attention(self, pixels: npt.NDArray[np.uint8], labels: object) -> npt.NDArray[np.float32]:
        """Cross-attention [B, T, rows, columns], mean over layers and heads.

        Raises:
            ModelError: this model gives none
        """


def open_backend(
    model: str | Path,
    *,
    backend: str,
    device: str,
    dtype: str,
    normalization: str | None,
    text_encoder: TextEncoder | None,
) -> tuple[Backend, Vocabulary]:
    """A model and the tags that it knows; arguments as in `Tagger.from_pretrained`.

    Raises:
        ModelError: no such model, it cannot be read, or not run by this backend
        UsageError: unknown backend, device, dtype or normalisation
        MissingExtraError: the backend's package is not installed
    """
    if backend not in ("auto", *FILES):
        raise UsageError(f"unknown backend {backend!r}: expected auto, {', '.join(FILES)}")
    path = _find(model)
    if choose_backend(path, backend) == "torch":
        from anytag.inference.open_model import open_model

        return open_model(
            path,
            device=device,
            dtype=dtype,
            normalization=normalization,
            text_encoder=text_encoder,
        )
    from anytag.inference.exported import open_exported

    return open_exported(
        path, device=device, dtype=dtype, normalization=normalization, text_encoder=text_encoder
    )


def choose_backend(path: Path, backend: str) -> str:
    """The backend that runs a model directory.

    Args:
        path: the directory
        backend: one of `FILES`; or "auto": torch where its weights are there and it is installed,
            else what the directory was exported for

    Raises:
        ModelError: the directory was not made for it, or torch is needed and not installed
    """
    there = [name for name, file in FILES.items() if (path / file).is_file()]
    if backend == "auto":
        usable = [name for name in there if name != "torch" or torch_installed()]
        backend = usable[0] if usable else "torch"  # torch's reader says what is missing
    if backend != "torch" and backend not in there:
        name = path.name if path.name in EMBEDDED else path
        raise ModelError(
            f"{path}: no {FILES[backend]}, so {backend} cannot run it; export it once: "
            f"anytag export {name} --to {backend} -o DIR"
        )
    if backend == "torch" and there and "torch" not in there:
        raise ModelError(
            f"{path}: exported for {there[0]} and without {FILES['torch']}, so torch cannot run "
            "it; use the model that it was exported from"
        )
    if backend == "torch" and not torch_installed():
        raise ModelError(
            f"{path}: needs torch, which is not installed (pip install torch); or export it where "
            "torch is, anytag export MODEL --to onnx -o DIR, and use DIR here"
        )
    return backend


def torch_installed() -> bool:
    """Whether torch can be imported; it is not."""
    return find_spec("torch") is not None


def _find(model: str | Path) -> Path:
    """The directory of any model; torch is only imported where a checkpoint may be converted."""
    if str(model) in EMBEDDED or Path(model).is_dir() or not torch_installed():
        return find_model(model)
    from anytag.inference.converted import locate

    return locate(model)
