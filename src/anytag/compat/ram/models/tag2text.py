"""Tag2Text under its public name: tags, and captions that are made with them.

Shapes: B images, S side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from anytag.checkpoints.released_directory import LoadedReleased
from anytag.checkpoints.sizes import ConvertOptions
from anytag.compat.loading import Lists, load
from anytag.compat.ram.models.base import CompatModel
from anytag.errors import ModelError, UsageError
from anytag.inference.captioning import CaptionWriter
from anytag.inference.wordpiece import WordPiece
from anytag.models import released

#: of sampled captions in the public package, whatever is asked for
SAMPLING_PENALTY = 1.1


class Tag2Text(CompatModel):
    """Tag2Text."""

    def __init__(
        self,
        loaded: LoadedReleased,
        *,
        threshold: float | None = None,
        delete_tag_index: Sequence[int] | None = None,
    ) -> None:
        super().__init__(loaded, threshold=threshold, delete_tag_index=delete_tag_index)
        self._vocabulary = loaded.vocabulary

    def generate(
        self,
        image: Tensor,
        sample: bool = False,
        num_beams: int = 3,
        max_length: int = 30,
        min_length: int = 10,
        top_p: float = 0.9,
        repetition_penalty: float | None = None,
        tag_input: Sequence[str] | None = None,
        return_tag_predict: bool = False,
    ) -> list[str] | tuple[list[str], list[str]]:
        """Captions; each image of a batch gets its own.

        Args:
            image: [B, 3, S, S] of `get_transform`
            sample: draw words instead of searching the best caption
            num_beams: hypotheses of the search
            max_length: tokens, the 4 of the prompt included
            min_length: likewise
            top_p: when sampling: share of the likeliest words
            repetition_penalty: None = 1.0, and 1.1 when sampling, as published
            tag_input: "dog | grass" for each image; None = the predicted tags
            return_tag_predict: also return the tags that were used

        Raises:
            ModelError: the model has no captioner or no vocabulary
        """
        predicted, captions = self.tag_and_caption(
            image, tag_input, sample=sample, num_beams=num_beams, max_length=max_length,
            min_length=min_length, top_p=top_p, repetition_penalty=repetition_penalty,
        )  # fmt: skip
        used = predicted if tag_input is None else list(tag_input)
        return (captions, used) if return_tag_predict else captions

    @torch.no_grad()
    def tag_and_caption(
        self,
        image: Tensor,
        tag_input: Sequence[str] | None = None,
        *,
        sample: bool = False,
        num_beams: int = 3,
        max_length: int = 30,
        min_length: int = 10,
        top_p: float = 0.9,
        repetition_penalty: float | None = None,
    ) -> tuple[list[str], list[str]]:
        """Predicted tags, and captions with them or with those given; as `generate`."""
        network = cast(released.Tag2Text, self.network)
        writer = self._writer
        tokens = network.encoder(self._images(image))
        logits = network.decoder(network.prepare(), tokens)
        predicted = self._join(self._chosen(logits), self.tag_list)
        texts = predicted if tag_input is None else list(tag_input)
        if len(texts) != len(image):
            raise UsageError(f"{len(texts)} tag texts for {len(image)} images")
        if repetition_penalty is None:
            repetition_penalty = SAMPLING_PENALTY if sample else 1.0
        config = replace(
            writer.defaults, sample=sample, num_beams=num_beams, max_length=max_length,
            min_length=min_length, top_p=top_p, repetition_penalty=repetition_penalty,
        )  # fmt: skip
        return predicted, writer.write(tokens, [[text] for text in texts], config)

    @torch.no_grad()
    def generate_tag(self, image: Tensor, threshold: float | None = None) -> list[str]:
        """Tags of each image, without a caption (an addition of ours)."""
        network = cast(released.Tag2Text, self.network)
        logits = network(self._images(image), network.prepare())
        return self._join(self._chosen(logits, threshold), self.tag_list)

    @cached_property
    def _writer(self) -> CaptionWriter:
        if self._vocabulary is None:
            raise ModelError(
                "captions need the vocabulary of bert-base-uncased: give vocabulary=vocab.txt "
                "with a checkpoint, or --vocab to anytag convert"
            )
        network = cast(released.Tag2Text, self.network)
        return CaptionWriter(network, WordPiece.load(self._vocabulary))


def tag2text(
    pretrained: str | Path = "",
    *,
    image_size: int | None = None,
    vit: str | None = None,
    threshold: float | None = None,
    delete_tag_index: Sequence[int] | None = None,
    tag_list: str | Path | None = None,
    vocabulary: str | Path | None = None,
    options: ConvertOptions | None = None,
) -> Tag2Text:
    """Load Tag2Text.

    Args:
        pretrained: the released checkpoint, or a directory that ``anytag convert`` made of it
        image_size: side of the images; None = the model's
        vit: "swin_b" or "swin_l", checked against the weights; None = the model's
        threshold: one for all tags; None or 0.68 = as published (0.68, but 0.7 for three tags)
        delete_tag_index: ids of tags that are never given; None = the seven of the public package
        tag_list: with a checkpoint: its tags; None = ``tag2text_ori_tag_list.txt`` beside it
        vocabulary: likewise, for captions: ``vocab.txt`` of bert-base-uncased
        options: what a checkpoint of an unusual size does not say

    Raises:
        ModelError: no such model, another family or size, or a list is missing
        LabelError: a list is wrong
        UsageError: an argument is wrong
    """
    loaded, _ = load(
        "tag2text",
        pretrained,
        image_size=image_size,
        vit=vit,
        lists=Lists(tags=tag_list, vocabulary=vocabulary),
        options=options,
        any_threshold=True,
    )
    return Tag2Text(loaded, threshold=threshold, delete_tag_index=delete_tag_index)
