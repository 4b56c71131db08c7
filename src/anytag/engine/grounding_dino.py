"""Grounding DINO as a detector, by transformers.

Source: Grounding DINO (arXiv 2303.05499), with which the paper cleans its data. The text is the
tags with full stops between, "cat. traffic light."; a box's score for a tag is the mean over the
tag's word pieces of the sigmoid of the box's similarity to them.

Shapes: Q boxes, L text tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from anytag.engine.ground import Region
from anytag.errors import MissingExtraError, ModelError

#: least score of a box, as the published demo has it
BOX_THRESHOLD = 0.35
#: word pieces of one question; the text encoder takes 256
_MAX_TOKENS = 240


class GroundingDino:
    """Finds tags with a Grounding DINO model.

    Args:
        model: a folder or hub id in transformers' format
        tags: names of all tags that will be asked for
        device: where it runs
        threshold: least score of a box

    Raises:
        MissingExtraError: transformers is not installed
        ModelError: the model cannot be read
    """

    def __init__(
        self,
        model: str | Path,
        tags: Sequence[str],
        *,
        device: str = "cpu",
        threshold: float = BOX_THRESHOLD,
    ) -> None:
        # Any: transformers is optional, and its types are not known where it is missing
        try:
            transformers: Any = import_module("transformers")
        except ImportError as error:
            raise MissingExtraError("transformers", "engine") from error
        try:
            self._network = transformers.AutoModelForZeroShotObjectDetection.from_pretrained(model)
            self._tokenizer = transformers.AutoTokenizer.from_pretrained(model)
            self._pixels = transformers.AutoImageProcessor.from_pretrained(model)
        except (OSError, ValueError) as error:
            raise ModelError(f"Grounding DINO {str(model)!r} cannot be read: {error}") from error
        self._network.eval().to(device)
        self._device = device
        self._threshold = threshold
        self.name = f"grounding-dino:{model} >= {threshold}"
        self._tags = [" ".join(tag.lower().replace(".", " ").split()) for tag in tags]
        self._pieces = [self._encode(tag) for tag in self._tags]
        self._stop = self._encode(".")

    def detect(self, image: Image.Image, tags: Sequence[int]) -> list[Region]:
        """See `anytag.engine.ground.Detector.detect`."""
        pixels = self._pixels(images=image, return_tensors="pt").to(self._device)
        regions = []
        for part in self._questions(tags):
            regions += self._ask(pixels, part)
        return regions

    def _ask(self, pixels: Any, tags: Sequence[int]) -> list[Region]:
        ids = [self._tokenizer.cls_token_id]
        spans = []
        for tag in tags:
            spans.append(slice(len(ids), len(ids) + len(self._pieces[tag])))
            ids += self._pieces[tag] + self._stop
        text = torch.tensor([[*ids, self._tokenizer.sep_token_id]], device=self._device)
        with torch.inference_mode():
            found = self._network(**pixels, input_ids=text, attention_mask=torch.ones_like(text))
        similarity = found.logits[0].float().sigmoid().cpu()  # [Q, L]
        boxes = found.pred_boxes[0].float().cpu()  # centre and size, fractions
        regions = []
        for tag, span in zip(tags, spans, strict=True):
            scores = similarity[:, span].mean(dim=1)
            for query in torch.nonzero(scores >= self._threshold).flatten().tolist():
                x, y, width, height = boxes[query].tolist()
                corners = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
                left, top, right, bottom = (min(max(value, 0.0), 1.0) for value in corners)
                regions.append(Region(tag, (left, top, right, bottom), float(scores[query])))
        return regions

    def _questions(self, tags: Sequence[int]) -> list[list[int]]:
        """The tags in groups whose text fits the text encoder."""
        groups: list[list[int]] = []
        room = 0
        for tag in tags:
            needed = len(self._pieces[tag]) + len(self._stop)
            if needed > room or not groups:
                groups.append([])
                room = _MAX_TOKENS
            groups[-1].append(tag)
            room -= needed
        return groups

    def _encode(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False)
        return ids
