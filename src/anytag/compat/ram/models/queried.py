"""RAM and RAM++: tags are asked for by embeddings, which the caller may replace.

Shapes: B images, S side, T tags, K descriptions of a tag, E text width.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from anytag.checkpoints.released_directory import LoadedReleased
from anytag.checkpoints.sizes import ConvertOptions
from anytag.compat.loading import Lists, load
from anytag.compat.ram.models.base import OWN_THRESHOLDS, CompatModel
from anytag.errors import LabelError, ModelError
from anytag.models.released import Ram, RamPlus


class QueriedModel(CompatModel):
    """RAM or RAM++.

    For other tags set ``label_embed`` (RAM [T, E], RAM++ [T * K, E]), ``tag_list``, ``num_class``
    and ``class_threshold``, as with the public package.
    """

    def __init__(
        self,
        loaded: LoadedReleased,
        *,
        threshold: float | None = None,
        delete_tag_index: Sequence[int] | None = None,
        chinese: str | Path | None = None,
    ) -> None:
        super().__init__(
            loaded, threshold=threshold, delete_tag_index=delete_tag_index, chinese=chinese
        )
        if len(self.tag_list_chinese) != self.num_class:
            raise LabelError(
                f"{len(self.tag_list_chinese)} Chinese names for {self.num_class} tags; expected "
                "one a line in the same order"
            )
        rows = cast(Tensor, loaded.label_embeddings)
        self.label_embed = nn.Parameter(rows.flatten(0, -2), requires_grad=False)

    @torch.no_grad()
    def generate_tag(
        self, image: Tensor, threshold: float | None = None, tag_input: object = None
    ) -> tuple[list[str], list[str]]:
        """Tags of each image.

        Args:
            image: [B, 3, S, S] of `get_transform`
            threshold: one for all tags; None or 0.68 = each tag's own
            tag_input: not used, as in the public package

        Returns:
            English and Chinese, one text such as "dog | grass" for each image
        """
        chosen = self._chosen(self._logits(image), threshold)
        chinese = self.tag_list_chinese
        if len(chinese) != len(self.tag_list):  # the caller has set another tag_list
            chinese = self.tag_list
        return self._join(chosen, self.tag_list), self._join(chosen, chinese)

    @torch.no_grad()
    def generate_tag_openset(
        self, image: Tensor, threshold: float | None = None, tag_input: object = None
    ) -> list[str]:
        """Tags of each image in English; the same as `generate_tag` otherwise."""
        return self._join(self._chosen(self._logits(image), threshold), self.tag_list)

    def _logits(self, image: Tensor) -> Tensor:
        images = self._images(image)
        rows = self.label_embed.to(images.device, images.dtype)
        if len(rows) % max(self.num_class, 1) or len(rows) == 0:
            raise ModelError(
                f"label_embed has {len(rows)} rows, which num_class = {self.num_class} does not "
                "divide; set both"
            )
        network = cast(Ram | RamPlus, self.network)
        logits: Tensor
        if isinstance(network, RamPlus):
            descriptions = rows.reshape(self.num_class, -1, rows.shape[-1])
            logits = network(images, network.prepare(descriptions))
        else:
            logits = network(images, network.prepare(rows))
        return logits


def load_queried(
    family: str,
    pretrained: str | Path = "",
    *,
    image_size: int | None = None,
    vit: str | None = None,
    threshold: float | None = None,
    delete_tag_index: Sequence[int] | None = None,
    tag_list: str | Path | None = None,
    tag_list_chinese: str | Path | None = None,
    thresholds: str | Path | None = None,
    options: ConvertOptions | None = None,
) -> QueriedModel:
    """Load RAM or RAM++.

    Args:
        family: "ram" or "ram_plus"
        pretrained: the released checkpoint, or a directory that ``anytag convert`` made of it
        image_size: side of the images; None = the model's
        vit: "swin_b" or "swin_l", checked against the weights; None = the model's
        threshold: one for all tags; None or 0.68 = each tag's own
        delete_tag_index: ids of tags that are never given
        tag_list: with a checkpoint: its tags; None = ``ram_tag_list.txt`` beside it
        tag_list_chinese: likewise; None = ``ram_tag_list_chinese.txt``, which may be missing
        thresholds: likewise; None = ``ram_tag_list_threshold.txt``
        options: what a checkpoint of an unusual size does not say

    Raises:
        ModelError: no such model, another family or size, or a list is missing
        LabelError: a list is wrong
        UsageError: an argument is wrong
    """
    loaded, chinese = load(
        family,
        pretrained,
        image_size=image_size,
        vit=vit,
        lists=Lists(tags=tag_list, chinese=tag_list_chinese, thresholds=thresholds),
        options=options,
        any_threshold=threshold not in (None, OWN_THRESHOLDS),
    )
    return QueriedModel(
        loaded, threshold=threshold, delete_tag_index=delete_tag_index, chinese=chinese
    )
