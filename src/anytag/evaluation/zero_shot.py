"""CLIP and SigLIP over a fixed list of tags: what people use who do not use a tagger.

Sources: CLIP (arXiv 2103.00020), SigLIP (arXiv 2303.15343), both through transformers
(``pip install 'anytag[clip]'``). A photo's score for a tag is the cosine between its vector and
that of "a photo of a TAG." (CLIP), or the sigmoid of the scaled cosine (SigLIP). There is no
softmax over the list: it would make a tag's score depend on which others are asked for.

Shapes: B images, S side in pixels, T tags, E width.
"""

from __future__ import annotations

import string
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from anytag.data.transforms import normalize
from anytag.evaluation.asking import Asked
from anytag.evaluation.pretrained import (
    FILE_ENDINGS,
    Preprocessing,
    load_network,
    load_tokenizer,
    model_folder,
)
from anytag.evaluation.score_store import model_mark
from anytag.evaluation.sentences import TEMPLATE, ask_in_sentences, cosine_scores, sentences
from anytag.inference.device import choose_device

FAMILIES = ("clip", "siglip", "siglip2")
#: texts in one forward pass
_TEXTS = 256


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
        self.device = choose_device(device)
        folder = model_folder(source)
        network = load_network(source, folder, FAMILIES)
        self.family: str = network.config.model_type
        self.network = network.to(self.device)
        self.preprocessing = Preprocessing.read(folder / "preprocessor_config.json")
        fast = self.family != "clip" and (folder / "tokenizer.json").is_file()
        kind = "PreTrainedTokenizerFast" if fast else "AutoTokenizer"
        self._tokenizer = load_tokenizer(folder, kind)
        self.name = str(source)
        self._weights = model_mark(folder, FILE_ENDINGS)

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
        network = self.network
        sigmoid = None if self.family == "clip" else (network.logit_scale, network.logit_bias)
        return ask_in_sentences(
            name,
            tags,
            template,
            model={"model": self.name, "weights": self._weights},
            how="zero-shot",
            load=self.preprocessing.load,
            score=cosine_scores(
                self.embed_images, self.embed_texts(sentences(tags, template)), sigmoid
            ),
        )


def _unit(output: Any) -> torch.Tensor:
    """Vectors of unit length; transformers 5 gives them inside of an output object."""
    vectors: torch.Tensor = getattr(output, "pooler_output", output)
    return torch.nn.functional.normalize(vectors.float(), dim=-1)
