"""Pretrained vision-language models, as transformers' ``save_pretrained`` writes them to a folder.

What `zero_shot` (CLIP, SigLIP) and `text_matching` (BLIP) share: where the folder is, its weights,
its tokenizer, and how a photo becomes the network's square. Needs ``pip install 'anytag[clip]'``.
How tags are asked in sentences is `sentences`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from anytag.data.images import LoadedImage, open_image
from anytag.data.transforms import Normalization
from anytag.errors import ConfigError, MissingExtraError, ModelError

_FILES = ["*.json", "*.txt", "*.model", "model*.safetensors"]
#: endings of the files on which scores depend
FILE_ENDINGS = (".json", ".txt", ".model", ".safetensors")
#: missing weights that a message names
_NUM_SHOWN = 3


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """How a photo becomes the network's square; of ``preprocessor_config.json``."""

    #: side of the square
    size: int
    #: scale the shorter side to this and cut out the middle; None = press the whole photo into it
    shortest: int | None
    normalization: Normalization
    resample: int = Image.Resampling.BICUBIC

    @classmethod
    def read(cls, path: Path) -> Preprocessing:
        """Read the file.

        Raises:
            ModelError: it is missing or of another kind
        """
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            size = values["size"]
            sides = dict(size) if isinstance(size, Mapping) else {"shortest_edge": size}
            shortest = sides.get("shortest_edge")
            crop = values.get("crop_size", shortest)
            square = sides["height"] if shortest is None else crop
            if isinstance(square, Mapping):
                square = square["height"]
            return cls(
                size=int(square),
                shortest=None if shortest is None else int(shortest),
                normalization=Normalization(
                    mean=tuple(values["image_mean"]), std=tuple(values["image_std"])
                ),
                resample=int(values.get("resample", Image.Resampling.BICUBIC)),
            )
        except (OSError, ValueError, KeyError, TypeError, ConfigError) as error:
            raise ModelError(f"{path}: no preprocessing that is known ({error!r})") from error

    def load(self, path: Path) -> LoadedImage:
        """Decode a photo.

        Raises:
            ImageError: it cannot be read
        """
        image = open_image(path)
        width, height = image.size
        if self.shortest is None:
            square = image.resize((self.size, self.size), self.resample)
        else:
            scale = self.shortest / min(image.size)
            sides = (
                max(self.shortest, int(width * scale)),
                max(self.shortest, int(height * scale)),
            )
            scaled = image.resize(sides, self.resample)
            left, top = (sides[0] - self.size) // 2, (sides[1] - self.size) // 2
            square = scaled.crop((left, top, left + self.size, top + self.size))
        return LoadedImage(np.array(square, np.uint8), width, height, None)


def import_transformers() -> Any:  # Any: it is an extra
    """transformers.

    Raises:
        MissingExtraError: it is not installed
    """
    try:
        return import_module("transformers")
    except ImportError as error:
        raise MissingExtraError("transformers", "clip") from error


def model_folder(source: str | Path) -> Path:
    """The folder itself, or a hub model's files.

    Raises:
        MissingExtraError: transformers, which could read it, is not installed
        ModelError: it could not be downloaded
    """
    import_transformers()
    if Path(source).is_dir():
        return Path(source)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        return Path(snapshot_download(str(source), allow_patterns=_FILES))
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        reason = " ".join(str(error).split())
        raise ModelError(f"model {source} could not be downloaded: {reason}") from error


def load_network(
    source: str | Path, folder: Path, families: Sequence[str], class_name: str = "AutoModel"
) -> Any:  # Any: transformers has no types that say which class comes
    """A network in evaluation mode, all of whose weights are in the folder.

    transformers fills up weights that are missing with random ones; scores of such a network mean
    nothing, so it is refused.

    Args:
        source: what the user named
        folder: of its files
        families: what ``model_type`` in config.json may be
        class_name: of transformers

    Raises:
        MissingExtraError: transformers is not installed
        ModelError: it cannot be read, is of another family or kind, or lacks weights
    """
    transformers = import_transformers()
    try:
        family = transformers.AutoConfig.from_pretrained(folder).model_type
        if family not in families:
            raise ModelError(
                f"{source}: is of the family {family!r}, expected {', '.join(families)}"
            )
        network, about = getattr(transformers, class_name).from_pretrained(
            folder, use_safetensors=True, output_loading_info=True
        )
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"{source}: cannot be read as a model ({error})") from error
    parameters = dict(network.named_parameters())
    missing = sorted(set(about["missing_keys"]) & set(parameters))
    if missing:
        raise ModelError(
            f"{source}: lacks {len(missing)} of the {len(parameters)} weights of "
            f"{type(network).__name__}, for instance {', '.join(missing[:_NUM_SHOWN])}; is it a "
            "model for another task?"
        )
    return network.eval()


def load_tokenizer(folder: Path, class_name: str = "AutoTokenizer") -> Any:  # Any: as above
    """The tokenizer in a folder.

    Raises:
        MissingExtraError: transformers is not installed
        ModelError: it cannot be read
    """
    try:
        return getattr(import_transformers(), class_name).from_pretrained(folder)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise ModelError(f"{folder}: its tokenizer cannot be read ({error})") from error
