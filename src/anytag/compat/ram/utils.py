"""Label embeddings for other tags, as the public package makes them.

Shapes: T tags, K descriptions of a tag, E text width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from anytag.errors import LabelError, UsageError
from anytag.inference.clip_text import ClipTextEncoder
from anytag.inference.prompts import FingerprintedEncoder, PromptEnsemble
from anytag.inference.text_cache import embed_cached


def build_openset_label_embedding(
    categories: Sequence[str] | None = None, encoder: FingerprintedEncoder | None = None
) -> tuple[Tensor, list[str]]:
    """Embeddings for RAM: the mean over 63 sentences.

    Args:
        categories: T tags (the public package has a list of its own where there are none)
        encoder: None = CLIP ViT-B/16, fetched from the hub

    Returns:
        float32 [T, E], and the tags

    Raises:
        UsageError: no tags
        MissingExtraError: transformers is not installed
    """
    if not categories:
        raise UsageError("give the categories; no tag list is part of anytag")
    names = PromptEnsemble(encoder or ClipTextEncoder.load())
    return torch.from_numpy(embed_cached(categories, names)), list(categories)


def build_openset_llm_label_embedding(
    llm_tag_des: Sequence[Mapping[str, Sequence[str]]],
    encoder: FingerprintedEncoder | None = None,
) -> tuple[Tensor, list[str]]:
    """Embeddings for RAM++: one for each description.

    Args:
        llm_tag_des: the content of a description file, [{tag: [K texts]}, ...]
        encoder: None = CLIP ViT-B/16, fetched from the hub

    Returns:
        float32 [T * K, E], and the tags

    Raises:
        LabelError: tags with different numbers of descriptions, which this interface cannot hold
        MissingExtraError: transformers is not installed
    """
    described = [(tag, texts) for entry in llm_tag_des for tag, texts in entry.items()]
    counts = {len(texts) for _, texts in described}
    if len(counts) != 1 or 0 in counts:
        raise LabelError(
            f"expected equally many descriptions of each tag, found {sorted(counts)}; "
            "Tagger.with_tags takes any number"
        )
    texts = [text for _, own in described for text in own]
    rows = embed_cached(texts, encoder or ClipTextEncoder.load())
    return torch.from_numpy(rows), [tag for tag, _ in described]
