"""CLIP and SigLIP over a fixed list of tags: what people use who do not use a tagger.

Sources: CLIP (arXiv 2103.00020), SigLIP (arXiv 2303.15343), both through transformers
(``pip install 'anytag[clip]'``). A photo's score for a tag is the cosine between its vector and
that of "a photo of a TAG." (CLIP), or the sigmoid of the scaled cosine (SigLIP). There is no
softmax over the list: it would make a tag's score depend on which others are asked for.

Shapes: B images, S side in pixels, T tags, E width.
"""

from __future__ import annotations

import json
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from anytag.data.images import LoadedImage, open_image
from anytag.data.transforms import Normalization, normalize
from anytag.errors import ConfigError, MissingExtraError, ModelError
from anytag.evaluation.asking import Asked
from anytag.evaluation.score_store import fingerprint
from anytag.inference.device import choose_device

TEMPLATE = "a photo of a {}."
FAMILIES = ("clip", "siglip", "siglip2")
#: texts in one forward pass
_TEXTS = 256


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


class ZeroShot:
    """A CLIP or SigLIP model.

    Args:
        source: a folder as ``save_pretrained`` writes it, or a hub id
        device: "auto", or anything torch knows

    Raises:
        MissingExtraError: transformers is not installed
        ModelError: no such model, or it is of another family
    """

    def __init__(self, source: str | Path, device: str = "auto") -> None:
        try:
            self._transformers: Any = import_module("transformers")
        except ImportError as error:
            raise MissingExtraError("transformers", "clip") from error
        self.device = choose_device(device)
        folder = self._folder(source)
        try:
            # Any: transformers has no types that say which class comes
            network: Any = self._transformers.AutoModel.from_pretrained(
                folder, use_safetensors=True
            )
        except (OSError, ValueError, KeyError) as error:
            raise ModelError(f"{source}: cannot be read as a model ({error})") from error
        self.family: str = network.config.model_type
        if self.family not in FAMILIES:
            raise ModelError(
                f"{source}: is of the family {self.family!r}, expected {', '.join(FAMILIES)}"
            )
        self.network = network.to(self.device).eval()
        self.preprocessing = Preprocessing.read(folder / "preprocessor_config.json")
        self._tokenizer = self._load_tokenizer(folder)
        self.name = str(source)
        self._weights = fingerprint(folder / "model.safetensors")

    def _folder(self, source: str | Path) -> Path:
        if Path(source).is_dir():
            return Path(source)
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError

        wanted = ["*.json", "*.txt", "*.model", "model*.safetensors"]
        try:
            return Path(snapshot_download(str(source), allow_patterns=wanted))
        except (HfHubHTTPError, HFValidationError, OSError) as error:
            reason = " ".join(str(error).split())
            raise ModelError(f"model {source} could not be downloaded: {reason}") from error

    def _load_tokenizer(self, folder: Path) -> Any:
        fast = folder / "tokenizer.json"
        try:
            if self.family != "clip" and fast.is_file():
                return self._transformers.PreTrainedTokenizerFast.from_pretrained(folder)
            return self._transformers.AutoTokenizer.from_pretrained(folder)
        except (OSError, ValueError, KeyError, ImportError) as error:
            raise ModelError(f"{folder}: its tokenizer cannot be read ({error})") from error

    def embed_texts(self, texts: Sequence[str]) -> torch.Tensor:
        """Unit vectors [T, E]."""
        length = self.network.config.text_config.max_position_embeddings
        if self.family != "clip":  # as in training: lower case, no punctuation, always full length
            table = str.maketrans("", "", string.punctuation)
            texts = [" ".join(text.translate(table).lower().split()) for text in texts]
        parts = []
        for start in range(0, len(texts), _TEXTS):
            tokens = self._tokenizer(
                list(texts[start : start + _TEXTS]),
                padding=True if self.family == "clip" else "max_length",
                truncation=True,
                max_length=length,
                return_tensors="pt",
            )
            names = ("input_ids", "attention_mask") if self.family == "clip" else ("input_ids",)
            inputs = {name: tokens[name].to(self.device) for name in names}
            with torch.inference_mode():
                parts.append(_unit(self.network.get_text_features(**inputs)))
        return torch.cat(parts)

    def embed_images(self, pixels: npt.NDArray[np.uint8]) -> torch.Tensor:
        """Unit vectors [B, E] of pixels uint8 [B, S, S, 3]."""
        images = normalize(pixels, self.preprocessing.normalization).to(self.device)
        with torch.inference_mode():
            return _unit(self.network.get_image_features(pixel_values=images))

    def ask(self, name: str, tags: Sequence[str], template: str = TEMPLATE) -> Asked:
        """Ask for tags, each in its sentence."""
        texts = self.embed_texts([template.replace("{}", tag) for tag in tags])

        def score(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
            cosine = self.embed_images(pixels) @ texts.T
            if self.family != "clip":
                with torch.inference_mode():
                    cosine = cosine * self.network.logit_scale.exp() + self.network.logit_bias
                    cosine = cosine.sigmoid()
            found: npt.NDArray[np.float32] = cosine.float().cpu().numpy()
            return found

        return Asked(
            name=name,
            settings={
                "model": self.name,
                "weights": self._weights,
                "tags": list(tags),
                "template": template,
            },
            load=self.preprocessing.load,
            score=score,
            num_columns=len(tags),
            columns=tuple((place,) for place in range(len(tags))),
            notes=(f"{name}: zero-shot, {template!r}",),
        )


def _unit(output: Any) -> torch.Tensor:
    """Vectors of unit length; transformers 5 gives them inside of an output object."""
    vectors: torch.Tensor = getattr(output, "pooler_output", output)
    return torch.nn.functional.normalize(vectors.float(), dim=-1)
