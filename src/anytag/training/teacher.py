"""Frozen image encoders that a student's mean token is distilled from.

Source: RAM (arXiv 2306.03514), section 4: the image feature of CLIP, not normalised. A teacher gets
the very crops that the student sees (the published fine-tuning draws another crop for it). Specs:

    clip:ID           picture side of a CLIP, projected      (pip install 'anytag[clip]')
    transformers:ID   pooled output of any picture model     (pip install 'anytag[clip]')
    timm:NAME         pooled features                        (pip install 'anytag[timm]')
    model:DIR         mean token of an anytag model directory, an embedded model or a hub id

ID is a folder as ``save_pretrained`` writes it, or a hub id, "org/name[@revision]"; weights are
safetensors alone. timm also knows folders: ``timm:local-dir:FOLDER``.

Shapes: B images, S side of the crops, W width of the feature.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from anytag.data.transforms import CLIP, IMAGENET, Normalization, normalize
from anytag.errors import ConfigError, MissingExtraError, ModelError
from anytag.inference.open_model import open_model
from anytag.training.blocks import in_chunks, put_channels_last

KINDS = ("clip", "timm", "transformers", "model")

_HUB_FILES = ["config.json", "preprocessor_config.json", "model*.safetensors*"]


class ImageTeacher(Protocol):
    """Crops to features that are learned from."""

    @property
    def width(self) -> int:
        """W."""

    def __call__(self, images: Tensor) -> Tensor:
        """uint8 [B, 3, S, S] -> float32 [B, W], without gradients."""


class FrozenEncoder:
    """A teacher made of any network.

    It is no module on purpose: wrappers, optimisers and saved states of what is trained do not see
    it. It moves to where its images are.

    Args:
        network: what is frozen
        feature: normalised images [B, 3, s, s] -> [B, W]
        size: side of its input s in pixels
        normalization: the statistics that it expects
    """

    def __init__(
        self,
        network: nn.Module,
        feature: Callable[[Tensor], Tensor],
        size: int,
        normalization: Normalization,
    ) -> None:
        self.network = network.eval().requires_grad_(False)
        put_channels_last(self.network)
        self._feature = feature
        self._size = size
        self._normalization = normalization
        self._device = next(network.parameters()).device
        found = self(torch.zeros(1, 3, 8, 8, dtype=torch.uint8))
        if found.ndim != 2:
            raise ModelError(f"the teacher gives {list(found.shape)}, expected one vector an image")
        self._width = found.shape[1]

    @property
    def width(self) -> int:
        """W."""
        return self._width

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """uint8 [B, 3, S, S] -> float32 [B, W]."""
        if self._device != images.device:
            self.network.to(images.device)
            self._device = images.device
        pixels = resize(images, self._size).permute(0, 2, 3, 1)
        return in_chunks(self._feature, normalize(pixels, self._normalization)).float()


def resize(images: Tensor, size: int) -> Tensor:
    """uint8 [B, 3, S, S] to another side, bicubic with antialiasing, still uint8."""
    if images.shape[-2:] == (size, size):
        return images
    resized = F.interpolate(
        images.float(), (size, size), mode="bicubic", antialias=True, align_corners=False
    )
    return resized.round().clamp(0, 255).to(torch.uint8)


def open_teacher(spec: str) -> ImageTeacher:
    """The teacher that a spec names.

    Raises:
        ConfigError: no such kind
        MissingExtraError: its library is not installed
        ModelError: no such model, or it has no safetensors weights
    """
    kind, separator, name = spec.partition(":")
    if not separator or kind not in KINDS or not name:
        raise ConfigError(
            f"unknown teacher {spec!r}: expected clip:ID, transformers:ID, timm:NAME or model:DIR"
        )
    if kind == "model":
        return _load_own(name)
    # Random numbers of networks that are built and then filled are no business of the run.
    with torch.random.fork_rng(devices=[]):
        if kind == "timm":
            return _load_timm(name)
        return (_load_clip if kind == "clip" else _load_transformers)(name)


def _load_own(name: str) -> ImageTeacher:
    opened, _ = open_model(name, device="cpu", dtype="float32")
    encoder = opened.network.encoder
    return FrozenEncoder(
        encoder, lambda images: encoder(images)[:, 0], opened.image_size, opened.normalization
    )


def _load_timm(name: str) -> ImageTeacher:
    try:
        timm = import_module("timm")
    except ImportError as error:
        raise MissingExtraError("timm", "timm") from error
    try:
        network = timm.create_model(name, pretrained=True, num_classes=0)
    except Exception as error:  # what timm and the hub raise for a wrong name is not defined
        raise ModelError(f"teacher timm:{name}: {' '.join(str(error).split())}") from error
    values = network.pretrained_cfg
    statistics = Normalization(mean=tuple(values["mean"]), std=tuple(values["std"]))
    return FrozenEncoder(network, network, int(values["input_size"][-1]), statistics)


def _load_clip(name: str) -> ImageTeacher:
    network, folder = _load_pretrained("CLIPVisionModelWithProjection", name, _clip_config)

    def feature(images: Tensor) -> Tensor:
        vectors: Tensor = network(pixel_values=images).image_embeds
        return vectors

    return FrozenEncoder(network, feature, *_read_preprocessing(folder, network, CLIP))


def _load_transformers(name: str) -> ImageTeacher:
    network, folder = _load_pretrained("AutoModel", name)
    preprocessing = _read_preprocessing(folder, network, IMAGENET)
    network = getattr(network, "vision_model", network)  # CLIP and its kind: the picture side

    def feature(images: Tensor) -> Tensor:
        output = network(pixel_values=images)
        pooled: Tensor | None = getattr(output, "pooler_output", None)
        if pooled is not None:
            return pooled.flatten(1)
        hidden: Tensor = output.last_hidden_state  # [B, N, W], or [B, W, h, w]
        return hidden.mean((2, 3)) if hidden.ndim == 4 else hidden.mean(1)

    return FrozenEncoder(network, feature, *preprocessing)


def _clip_config(transformers: Any, folder: Path) -> dict[str, Any]:
    """Sizes of the picture side; the width of its projection is a number of the whole model."""
    values = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config = transformers.CLIPVisionConfig.from_pretrained(folder)
    config.projection_dim = values.get("projection_dim", config.projection_dim)
    return {"config": config}


def _load_pretrained(
    kind: str, name: str, options: Callable[[Any, Path], dict[str, Any]] = lambda *_: {}
) -> tuple[Any, Path]:
    """A network of transformers and the folder that it came from.

    Any: transformers is optional, and its types are not known where it is missing.
    """
    try:
        transformers = import_module("transformers")
    except ImportError as error:
        raise MissingExtraError("transformers", "clip") from error
    folder = _find(name)
    try:
        with _quiet(transformers.utils.logging):
            network, found = getattr(transformers, kind).from_pretrained(
                folder,
                use_safetensors=True,
                local_files_only=True,
                output_loading_info=True,
                **options(transformers, folder),
            )
    except Exception as error:  # what transformers raises for a wrong folder is not defined
        raise ModelError(f"teacher {name}: {' '.join(str(error).split())}") from error
    missing = sorted(found["missing_keys"])
    if missing and all(key.startswith("pooler.") for key in missing):
        network.pooler, missing = None, []  # saved without one: the mean token is pooled instead
    if missing:  # they would be random
        raise ModelError(
            f"teacher {name}: {len(missing)} weights missing ({', '.join(missing[:3])})"
        )
    return network, folder


def _find(name: str) -> Path:
    """The folder of a model; hub models are downloaded once."""
    path = Path(name)
    if path.is_dir():
        return path
    if path.exists() or name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise ModelError(f"no teacher {name!r}: expected a folder, or a hub id such as org/name")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    repository, _, revision = name.partition("@")
    try:
        return Path(
            snapshot_download(repository, revision=revision or None, allow_patterns=_HUB_FILES)
        )
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        reason = " ".join(str(error).split())
        raise ModelError(f"teacher {name!r} could not be downloaded: {reason}") from error


@contextmanager
def _quiet(logging: Any) -> Iterator[None]:
    """Without the report on weights of a part that is not wanted, and without progress bars."""
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def _read_preprocessing(
    folder: Path, network: Any, default: Normalization
) -> tuple[int, Normalization]:
    """Side in pixels and statistics, from preprocessor_config.json and the network's sizes."""
    path = folder / "preprocessor_config.json"
    try:
        values = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        statistics = Normalization(
            mean=_three(values.get("image_mean", default.mean)),
            std=_three(values.get("image_std", default.std)),
        )
        sizes = getattr(network.config, "vision_config", network.config)
        size = getattr(sizes, "image_size", None) or values.get("crop_size") or values.get("size")
        return _side(size), statistics
    except (OSError, ValueError, TypeError, AttributeError, ConfigError) as error:
        raise ModelError(f"{path}: cannot be read ({error})") from error


def _three(values: Any) -> tuple[float, float, float]:
    red, green, blue = map(float, values)
    return red, green, blue


def _side(size: Any) -> int:
    """Transformers writes sizes as a number, [h, w], {"height": h} or {"shortest_edge": s}."""
    if isinstance(size, Mapping):
        size = size.get("height") or size.get("shortest_edge")
    if isinstance(size, list | tuple):
        size = size[0]
    side = 224 if size is None else int(size)
    if side < 1:
        raise ValueError(f"image size {side}")
    return side
