"""Names of weights: the released checkpoints' and ours, in one table that is read both ways.

A row maps one module or tensor to another; ``{}`` stands for a layer number. Whatever is not in
the table must be excused by name, with the reason; nothing is dropped silently.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from anytag.errors import ModelError

Row = tuple[str, str]


def _attention(released: str, ours: str) -> tuple[Row, ...]:
    """Rows of one BERT attention and its norm; the norm of ``x`` is ``x_norm`` here."""
    return (
        *((f"{released}.self.{part}", f"{ours}.{part}") for part in ("query", "key", "value")),
        (f"{released}.output.dense", f"{ours}.output"),
        (f"{released}.output.LayerNorm", f"{ours}_norm"),
    )


def _cross(released: str, ours: str) -> tuple[Row, ...]:
    """Rows of cross-attention and feed-forward part of one BERT layer."""
    return (
        *_attention(f"{released}.crossattention", f"{ours}.cross_attention"),
        (f"{released}.intermediate.dense", f"{ours}.ffn.up"),
        (f"{released}.output.dense", f"{ours}.ffn.down"),
        (f"{released}.output.LayerNorm", f"{ours}.ffn_norm"),
    )


def _text(released: str, ours: str) -> tuple[Row, ...]:
    """Rows of a BERT text model: embeddings and layers."""
    layer, our_layer = f"{released}.encoder.layer.{{}}", f"{ours}.layers.{{}}"
    return (
        (f"{released}.embeddings.word_embeddings", f"{ours}.embeddings.words"),
        (f"{released}.embeddings.position_embeddings", f"{ours}.embeddings.positions"),
        (f"{released}.embeddings.LayerNorm", f"{ours}.embeddings.norm"),
        *_attention(f"{layer}.attention", f"{our_layer}.self_attention"),
        *_cross(layer, f"{our_layer}.cross"),
    )


_ENCODER: tuple[Row, ...] = (("visual_encoder", "encoder.backbone"),)
_HEAD = _cross("tagging_head.encoder.layer.{}", "decoder.layers.{}")
_OPEN: tuple[Row, ...] = (
    ("image_proj", "encoder.projection"),
    ("wordvec_proj", "queries.projection"),
    ("fc", "decoder.logit"),
    ("label_embed", "label_embeddings"),
)
_CAPTIONER: tuple[Row, ...] = (
    *_text("tag_encoder", "captioner.encoder"),
    *_text("text_decoder.bert", "captioner.decoder"),
    ("text_decoder.cls.predictions.transform.dense", "captioner.decoder.transform"),
    ("text_decoder.cls.predictions.transform.LayerNorm", "captioner.decoder.transform_norm"),
    ("text_decoder.cls.predictions.bias", "captioner.decoder.bias"),
)

#: family -> rows (released, ours); "label_embeddings" is stored beside the network
TABLES: dict[str, tuple[Row, ...]] = {
    "ram": (*_ENCODER, *_HEAD, *_OPEN, *_CAPTIONER),
    "ram_plus": (*_ENCODER, *_HEAD, *_OPEN, ("reweight_scale", "reweighting.scale")),
    "tag2text": (
        *_ENCODER,
        *_HEAD,
        ("label_embed.weight", "decoder.queries"),
        ("fc.W", "decoder.weight"),
        ("fc.b", "decoder.bias"),
        *_CAPTIONER,
    ),
}

#: released keys that carry no weight of their own, with the reason
EXCUSED: tuple[tuple[str, str], ...] = (
    (
        r"visual_encoder\..*\.relative_position_index",
        "index table; follows from the window size",
    ),
    (r"visual_encoder\..*\.attn_mask", "shift mask; follows from image and window size"),
    (r".*\.embeddings\.position_ids", "the numbers 0, 1, 2, ..."),
)
CAPTIONER_LEFT_OUT = (
    r"(tag_encoder|text_decoder)\..*",
    "captioner; left out on request, tags do not need it",
)

#: second names of one tensor in released files: (second name, name that is kept, reason)
TIED: tuple[tuple[str, str, str], ...] = (
    (
        "text_decoder.cls.predictions.decoder.weight",
        "text_decoder.bert.embeddings.word_embeddings.weight",
        "the word embeddings again",
    ),
    (
        "text_decoder.cls.predictions.decoder.bias",
        "text_decoder.cls.predictions.bias",
        "the output bias again",
    ),
)
#: parts of a tag encoder layer that are those of the tagging head's layer with the same number
SHARED_LAYER = re.compile(
    r"tag_encoder\.encoder\.layer\.(\d+)\.(crossattention|intermediate|output)\."
)

#: renamed since the first releases: (old prefix, new prefix)
RENAMED = (("vision_multi.", "tagging_head."),)


def translate(key: str, table: Sequence[Row], *, back: bool = False) -> str | None:
    """Our name of a released key, or with ``back`` the released name of ours; None if unknown.

    >>> translate("tagging_head.encoder.layer.1.output.dense.bias", TABLES["ram"])
    'decoder.layers.1.ffn.down.bias'
    """
    for row in table:
        source, target = reversed(row) if back else row
        pattern = re.escape(source).replace(r"\{\}", r"(\d+)")
        if match := re.fullmatch(f"{pattern}(|\\..*)", key):
            *numbers, rest = match.groups()
            return target.format(*numbers) + rest
    return None


def settle_names(state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Bring a released state to one name for each tensor.

    Args:
        state: released names -> tensors

    Returns:
        the state with today's names and without second names, and the excuse of each second name

    Raises:
        ModelError: two names of one tensor hold different numbers
    """
    settled: dict[str, Tensor] = {}
    for key, value in state.items():
        for old, new in RENAMED:
            key = new + key.removeprefix(old) if key.startswith(old) else key
        settled[key] = value
    depth = count_layers(settled, "tagging_head.encoder.layer")
    excuses = {}
    for key, kept, reason in _second_names(settled, depth):
        value = settled.pop(key)
        if kept not in settled:
            settled[kept] = value
        elif not torch.equal(value, settled[kept]):
            raise ModelError(
                f"{key} differs from {kept}, but both name the same weights in released "
                "checkpoints; this file was changed after training"
            )
        else:
            excuses[key] = reason
    return settled, excuses


def count_layers(state: Mapping[str, Tensor], prefix: str) -> int:
    """How many numbered modules stand under ``prefix``."""
    pattern = re.compile(re.escape(prefix) + r"\.(\d+)\.")
    return len({match[1] for key in state if (match := pattern.match(key))})


def _second_names(state: Mapping[str, Tensor], depth: int) -> list[tuple[str, str, str]]:
    found = [row for row in TIED if row[0] in state]
    for key in state:
        match = SHARED_LAYER.match(key)
        if match and int(match[1]) < depth:
            kept = key.replace("tag_encoder.", "tagging_head.", 1)
            found.append((key, kept, "borrowed from the tagging head"))
    return found
