"""BLIP's image-text matching over a fixed list of tags.

Source: BLIP (arXiv 2201.12086), section 3, through transformers' ``BlipForImageTextRetrieval``
(``pip install 'anytag[clip]'``). Its text encoder reads the sentence of each tag while it looks at
the photo, and a head of two outputs says whether they match: the score is the probability that
they do. So every pair of a photo and a tag is a pass of the text encoder. The photo's keys and
values are the same for all tags. transformers' forward projects them for each pair, which is nine
tenths of the work of a short sentence; here they are projected once for `_TEXTS` tags.

Shapes: B images, S side in pixels, N image tokens, D width, T tags, t tags of a pass, L tokens of
their longest sentence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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
from anytag.evaluation.sentences import TEMPLATE, ask_in_sentences, sentences
from anytag.inference.device import choose_device

FAMILIES = ("blip",)
#: sentences that are matched with a photo in one pass
_TEXTS = 64


@dataclass(frozen=True, eq=False)
class _Sentences:
    """Some tags' sentences, of about the same length."""

    #: columns of these tags [t]
    places: npt.NDArray[np.intp]
    #: int64 [t, L]
    ids: torch.Tensor
    #: 1 where there is a token [t, L]
    mask: torch.Tensor


class ImageTextMatcher:
    """A BLIP model with its matching head.

    Args:
        source: a folder as ``save_pretrained`` writes it, or a hub id
        device: "auto", or anything torch knows

    Raises:
        MissingExtraError: transformers is not installed
        ModelError: no such model, or it has no matching head
    """

    def __init__(self, source: str | Path, device: str = "auto") -> None:
        self.device = choose_device(device)
        folder = model_folder(source)
        network = load_network(source, folder, FAMILIES, "BlipForImageTextRetrieval")
        self.network = network.to(self.device)
        self.preprocessing = Preprocessing.read(folder / "preprocessor_config.json")
        self._tokenizer = load_tokenizer(folder)
        self.name = str(source)
        self._weights = model_mark(folder, FILE_ENDINGS)

    def embed_images(self, pixels: npt.NDArray[np.uint8]) -> torch.Tensor:
        """Image tokens [B, N, D] of pixels uint8 [B, S, S, 3]."""
        images = normalize(pixels, self.preprocessing.normalization).to(self.device)
        with torch.inference_mode():
            tokens: torch.Tensor = self.network.vision_model(pixel_values=images)[0]
        return tokens

    def match(self, tokens: torch.Tensor, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Probability [t] that each sentence is of the photo.

        Args:
            tokens: of one photo [N, D]
            ids: sentences, int64 [t, L]
            mask: 1 where there is a token [t, L]
        """
        with torch.inference_mode():
            states = self.network.text_encoder(
                input_ids=ids,
                attention_mask=mask,
                encoder_hidden_states=tokens[None],  # its keys and values are broadcast
            )[0]
            logits: torch.Tensor = self.network.itm_head(states[:, 0])
            return logits.float().softmax(dim=-1)[:, 1]

    def ask(self, name: str, tags: Sequence[str], template: str = TEMPLATE) -> Asked:
        """Ask for tags, each in its sentence."""
        parts = self._sentences(sentences(tags, template))

        def score(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
            found = np.empty((len(pixels), len(tags)), np.float32)
            for row, tokens in zip(found, self.embed_images(pixels), strict=True):
                for part in parts:
                    row[part.places] = self.match(tokens, part.ids, part.mask).cpu().numpy()
            return found

        return ask_in_sentences(
            name,
            tags,
            template,
            model={"model": self.name, "weights": self._weights},
            how="image-text matching",
            load=self.preprocessing.load,
            score=score,
        )

    def _sentences(self, texts: Sequence[str]) -> list[_Sentences]:
        """All sentences, short ones first, so that little of a pass is padding."""
        length = self.network.config.text_config.max_position_embeddings
        limits = {"truncation": True, "max_length": length}
        sizes = [len(ids) for ids in self._tokenizer(list(texts), **limits)["input_ids"]]
        order = np.argsort(sizes, kind="stable")
        parts = []
        for start in range(0, len(order), _TEXTS):
            places = order[start : start + _TEXTS]
            tokens: Any = self._tokenizer(
                [texts[place] for place in places], padding=True, return_tensors="pt", **limits
            )
            ids, mask = (tokens[key].to(self.device) for key in ("input_ids", "attention_mask"))
            parts.append(_Sentences(places, ids, mask))
        return parts
