"""RAM under its public name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from anytag.checkpoints.sizes import ConvertOptions
from anytag.compat.loading import Lists, find_chinese, load
from anytag.compat.ram.models.base import OWN_THRESHOLDS
from anytag.compat.ram.models.queried import QueriedModel


def ram(
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
    """Load RAM.

    Args:
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
    loaded = load(
        "ram",
        pretrained,
        image_size=image_size,
        vit=vit,
        lists=Lists(tags=tag_list, chinese=tag_list_chinese, thresholds=thresholds),
        options=options,
        any_threshold=threshold not in (None, OWN_THRESHOLDS),
    )
    return QueriedModel(
        loaded,
        threshold=threshold,
        delete_tag_index=delete_tag_index,
        chinese=find_chinese(pretrained, tag_list_chinese),
    )
