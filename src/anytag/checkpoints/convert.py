"""Released checkpoints of RAM, RAM++ and Tag2Text -> our networks, strictly.

Every key of the checkpoint is used or excused with a reason, and every weight of ours is filled.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from anytag.checkpoints.empty import without_numbers
from anytag.checkpoints.key_map import (
    CAPTIONER_LEFT_OUT,
    EXCUSED,
    TABLES,
    settle_names,
    translate,
)
from anytag.checkpoints.sizes import TABLE_KEY, ConvertOptions, check_ranks, read_config
from anytag.errors import ModelError
from anytag.models.released import ReleasedConfig, ReleasedNetwork, build_released
from anytag.models.swin import SwinConfig
from anytag.models.windows import interpolate_relative_position_table

#: width of the text embeddings with which RAM and RAM++ are trained
CLIP_WIDTH = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvertedCheckpoint:
    """A released checkpoint under our names."""

    config: ReleasedConfig
    #: weights of the network
    state: dict[str, Tensor]
    #: text embeddings [T, E] of RAM's tags, or [T, K, E] of RAM++'s descriptions; Tag2Text: None
    label_embeddings: Tensor | None
    #: released key -> why it was not used
    excused: dict[str, str]

    @property
    def num_tags(self) -> int:
        """T."""
        if self.label_embeddings is not None:
            return len(self.label_embeddings)
        return self.config.num_tags or 0


def detect_family(state: Mapping[str, Tensor]) -> str:
    """ "ram", "ram_plus" or "tag2text".

    Raises:
        ModelError: none of them
    """
    if "visual_encoder.patch_embed.proj.weight" not in state:
        start = ", ".join(sorted(state)[:3])
        raise ModelError(
            f"not a RAM, RAM++ or Tag2Text checkpoint: no visual_encoder.* (Swin) among its "
            f"{len(state)} keys, which begin with {start}"
        )
    if "reweight_scale" in state:
        return "ram_plus"
    return "tag2text" if "fc.W" in state else "ram"


def convert_checkpoint(
    released: Mapping[str, Tensor], options: ConvertOptions | None = None
) -> ConvertedCheckpoint:
    """Rename, check and resize the weights of a released checkpoint; nothing is copied.

    Args:
        released: its state dict, from `anytag.checkpoints.checkpoint_file.read_checkpoint`
        options: what it does not say

    Raises:
        ModelError: another architecture, keys that are missing or not known, or sizes that do
            not fit the options
    """
    options = options or ConvertOptions()
    settled, excused = settle_names(released)
    family = detect_family(settled)
    check_ranks(settled)
    table = TABLES[family]
    rules = (*EXCUSED, *(() if options.captioner else (CAPTIONER_LEFT_OUT,)))
    state: dict[str, Tensor] = {}
    unknown = []
    for key, value in settled.items():
        reason = next((why for pattern, why in rules if re.fullmatch(pattern, key)), None)
        ours = translate(key, table)
        if reason is not None:
            excused[key] = reason
        elif ours is None:
            unknown.append(key)
        else:
            state[ours] = value
    if unknown:
        raise ModelError(
            f"{len(unknown)} keys are not known to {family} ({', '.join(sorted(unknown)[:3])}); "
            "the checkpoint has another architecture"
        )
    if family != "tag2text":
        _fill_projection(state)
    config = read_config(family, settled, state, options)
    for key in ("decoder.weight", "decoder.bias") if family == "tag2text" else ():
        if key in state:  # else `check_complete` says so
            state[key] = state[key].squeeze(0)
    labels = _take_labels(family, state, options)
    resize_tables(state, config.swin)
    converted = ConvertedCheckpoint(
        config=config, state=state, label_embeddings=labels, excused=excused
    )
    if options.num_tags not in (None, converted.num_tags):
        raise ModelError(
            f"this {family} checkpoint has {converted.num_tags} tags, the tag list has "
            f"{options.num_tags}; give the list that was published with it"
        )
    return converted


def build_network(converted: ConvertedCheckpoint) -> ReleasedNetwork:
    """The network with these weights, in evaluation mode; the weights are taken, not copied.

    Raises:
        ModelError: a weight is missing, not known, or has another shape
    """
    with without_numbers():
        network = build_released(converted.config)
    expected = network.state_dict()
    check_weights(expected, converted.state, "the checkpoint")
    network.load_state_dict(converted.state, assign=True)
    return network.eval()


def check_complete(converted: ConvertedCheckpoint) -> None:
    """Every weight of the network must be there, with its shape.

    Raises:
        ModelError: one is missing, not known, or has another shape, by its released name
    """
    table = TABLES[converted.config.family]
    with without_numbers():
        expected = build_released(converted.config).state_dict()
    rows = converted.label_embeddings
    if rows is not None and not rows.is_floating_point():
        raise ModelError(f"label_embed holds {rows.dtype}, expected floating numbers")
    check_weights(
        {translate(key, table, back=True) or key: value for key, value in expected.items()},
        {translate(key, table, back=True) or key: value for key, value in converted.state.items()},
        "the checkpoint is cut short or has another architecture",
    )


def check_weights(expected: Mapping[str, Tensor], found: Mapping[str, Tensor], where: str) -> None:
    """Names and shapes must be the same.

    Raises:
        ModelError: they are not; the message names the first differences
    """
    missing = sorted(expected.keys() - found.keys())
    unknown = sorted(found.keys() - expected.keys())
    problems = [
        f"{len(keys)} weights {what} ({', '.join(keys[:3])})"
        for what, keys in (("missing", missing), ("not known", unknown))
        if keys
    ]
    if problems:
        raise ModelError(f"{where}: {', '.join(problems)}")
    for key, value in expected.items():
        if not found[key].is_floating_point():
            raise ModelError(f"{where}: {key} holds {found[key].dtype}, expected floating numbers")
        if found[key].shape != value.shape:
            raise ModelError(
                f"{where}: {key} has shape {list(found[key].shape)}, expected {list(value.shape)}"
            )


def release_state(converted: ConvertedCheckpoint) -> dict[str, Tensor]:
    """The way back: weights under released names, without those that were excused.

    Raises:
        ModelError: a weight has no released name
    """
    state = dict(converted.state)
    family = converted.config.family
    if converted.label_embeddings is not None:
        width = converted.label_embeddings.shape[-1]
        state["label_embeddings"] = converted.label_embeddings.reshape(-1, width)
    if family == "tag2text":
        state["decoder.weight"] = state["decoder.weight"][None]
        state["decoder.bias"] = state["decoder.bias"][None]
    released = {}
    for key, value in state.items():
        name = translate(key, TABLES[family], back=True)
        if name is None:
            raise ModelError(f"{key} has no name in released {family} checkpoints")
        released[name] = value
    return released


def _fill_projection(state: dict[str, Tensor]) -> None:
    """A tagging decoder as wide as CLIP's vectors has no query projection: the identity is one."""
    key = "decoder.layers.0.cross_attention.query.weight"
    width = len(state[key]) if key in state else 0
    if width == CLIP_WIDTH and not any(name.startswith("queries.") for name in state):
        state["queries.projection.weight"] = torch.eye(width, dtype=state[key].dtype)
        state["queries.projection.bias"] = torch.zeros(width, dtype=state[key].dtype)


def _take_labels(family: str, state: dict[str, Tensor], options: ConvertOptions) -> Tensor | None:
    """Take the label embeddings out of the network's weights: [T, E] or [T, K, E].

    Raises:
        ModelError: RAM++'s rows are no multiple of the number of tags or descriptions
    """
    rows = state.pop("label_embeddings", None)
    if rows is None or family != "ram_plus":
        return rows
    if options.num_tags is not None:
        if len(rows) % options.num_tags:
            raise ModelError(
                f"RAM++ has {len(rows)} description embeddings, which {options.num_tags} tags do "
                "not divide; give the tag list that was published with it"
            )
        return rows.reshape(options.num_tags, -1, rows.shape[1])
    if len(rows) % options.descriptions_per_tag:
        raise ModelError(
            f"RAM++ has {len(rows)} description embeddings, which are not "
            f"{options.descriptions_per_tag} for each tag; give the tag list"
        )
    return rows.reshape(-1, options.descriptions_per_tag, rows.shape[1])


def resize_tables(state: dict[str, Tensor], swin: SwinConfig) -> None:
    """Interpolate the relative-position tables of a network's weights to other windows."""
    for key in [key for key in state if key.endswith(TABLE_KEY)]:
        stage = int(key.split(".layers.")[1].split(".")[0])
        state[key] = interpolate_relative_position_table(state[key], swin.window(stage))
