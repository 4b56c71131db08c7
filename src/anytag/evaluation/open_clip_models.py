"""Zero-shot models of the open_clip package: the many that transformers has not.

Sources: OpenCLIP (arXiv 2212.07143), ``pip install 'anytag[open-clip]'``. Scores are those of
`zero_shot`: the cosine with "a photo of a TAG.", or the sigmoid of a model that was trained with
one, which has a bias. The photo is preprocessed by the model's own transform.

Shapes: B images, S side in pixels, T tags, E width.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from anytag.data.images import LoadedImage, open_image
from anytag.data.transforms import Normalization, normalize
from anytag.errors import MissingExtraError, ModelError, UsageError
from anytag.evaluation.asking import Asked
from anytag.evaluation.sentences import TEMPLATE, ask_in_sentences, cosine_scores, sentences
from anytag.inference.device import choose_device

#: names that say where the weights are
_PLACES = ("hf-hub:", "local-dir:")
#: texts in one forward pass
_TEXTS = 256


class OpenClip:
    """A model of open_clip.

    Args:
        source: NAME/PRETRAINED ("ViT-B-32/openai"), where PRETRAINED is a tag of open_clip or a
            file, or hf-hub:ORGANISATION/MODEL, or local-dir:FOLDER
        device: "auto", or anything torch knows

    Raises:
        MissingExtraError: open_clip is not installed
        UsageError: the source is in none of these forms
        ModelError: no such model
    """

    def __init__(self, source: str, device: str = "auto") -> None:
        try:
            open_clip: Any = import_module("open_clip")  # Any: it is an extra
        except ImportError as error:
            raise MissingExtraError("open_clip", "open-clip") from error
        name, slash, pretrained = (source, "/", None)
        if not source.startswith(_PLACES):
            name, slash, pretrained = source.partition("/")
        if not (name and slash and pretrained != ""):
            raise UsageError(
                f"open_clip:{source}: expected NAME/PRETRAINED, for instance ViT-B-32/openai, "
                "hf-hub:ORGANISATION/MODEL or local-dir:FOLDER"
            )
        self.device = choose_device(device)
        try:
            network, self._transform = open_clip.create_model_from_pretrained(
                name, pretrained, device=self.device
            )
            self._tokenizer = open_clip.get_tokenizer(name)
        except (RuntimeError, OSError, ValueError, KeyError) as error:
            raise ModelError(f"open_clip:{source}: cannot be opened ({error})") from error
        self.network = network.eval()
        about = network.visual.preprocess_cfg
        self._normalization = Normalization(mean=tuple(about["mean"]), std=tuple(about["std"]))
        self.name = source
        self._settings = {
            "model": source,
            "weights (SHA-256)": weights_digest(network),
            "preprocessing": dict(about),
        }

    def load(self, path: Path) -> LoadedImage:
        """Decode a photo: what the model's own transform gives, as bytes.

        Raises:
            ImageError: it cannot be read
        """
        image = open_image(path)
        mean, std = (
            torch.tensor(values)[:, None, None]
            for values in (self._normalization.mean, self._normalization.std)
        )
        plain = (self._transform(image) * std + mean) * 255  # whole numbers, up to rounding
        pixels = plain.round().to(torch.uint8).permute(1, 2, 0).contiguous().numpy()
        return LoadedImage(pixels, image.width, image.height, None)

    def embed_texts(self, texts: Sequence[str]) -> torch.Tensor:
        """Unit vectors [T, E]."""
        parts = []
        for start in range(0, len(texts), _TEXTS):
            tokens = self._tokenizer(list(texts[start : start + _TEXTS])).to(self.device)
            with torch.inference_mode():
                parts.append(self.network.encode_text(tokens, normalize=True).float())
        return torch.cat(parts)

    def embed_images(self, pixels: npt.NDArray[np.uint8]) -> torch.Tensor:
        """Unit vectors [B, E] of pixels uint8 [B, S, S, 3]."""
        images = normalize(pixels, self._normalization).to(self.device)
        with torch.inference_mode():
            found: torch.Tensor = self.network.encode_image(images, normalize=True).float()
        return found

    def ask(self, name: str, tags: Sequence[str], template: str = TEMPLATE) -> Asked:
        """Ask for tags, each in its sentence."""
        bias = getattr(self.network, "logit_bias", None)
        sigmoid = None if bias is None else (self.network.logit_scale, bias)
        return ask_in_sentences(
            name,
            tags,
            template,
            model=self._settings,
            how="zero-shot of open_clip",
            load=self.load,
            score=cosine_scores(
                self.embed_images, self.embed_texts(sentences(tags, template)), sigmoid
            ),
        )


def weights_digest(network: torch.nn.Module) -> str:
    """SHA-256 of all parameters and buffers with their names.

    Of the numbers, as a source may be a file, a folder, or a name that open_clip looks up in a
    cache of its own: none of them says which weights are there today.
    """
    digest = hashlib.sha256()
    for name, value in network.state_dict().items():
        if isinstance(value, torch.Tensor):
            digest.update(f"{name} {value.dtype} {list(value.shape)}\n".encode())
            plain = value.detach().cpu().contiguous().reshape(-1)
            digest.update(plain.view(torch.uint8).numpy().data)
    return digest.hexdigest()
