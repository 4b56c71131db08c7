"""Sizes of a released network, read from the shapes of its weights.

Only the numbers of attention heads in the text layers leave no trace there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from anytag.checkpoints.key_map import count_layers
from anytag.errors import ConfigError, ModelError
from anytag.models.config import DecoderConfig, EncoderConfig, TaggerConfig
from anytag.models.released import ReleasedConfig
from anytag.models.swin import SwinConfig
from anytag.models.text_layers import CaptionerConfig

#: last part of the names of Swin's bias tables
TABLE_KEY = "relative_position_bias_table"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvertOptions:
    """What a checkpoint does not say."""

    #: number of tags, if a tag list is at hand; None = as the family was released
    num_tags: int | None = None
    #: side of the image in pixels; None = as trained; tables are resized to another
    image_size: int | None = None
    #: heads of the tagging decoder
    num_heads: int = 4
    #: heads of the captioner
    num_caption_heads: int = 12
    #: leave the captioner out: half of RAM's weights, not needed for tags
    captioner: bool = True
    #: RAM++: descriptions of each tag
    descriptions_per_tag: int = 51


def read_config(
    family: str,
    released: Mapping[str, Tensor],
    state: Mapping[str, Tensor],
    options: ConvertOptions,
) -> ReleasedConfig:
    """Read all sizes.

    Args:
        family: one of `anytag.models.released.FAMILIES`
        released: the checkpoint under released names, masks included
        state: its weights under our names
        options: what the weights do not say

    Raises:
        ModelError: a key that tells a size is missing, or sizes contradict each other
    """
    try:
        swin = _read_swin(released, options.image_size)
        hidden, token_width = state["decoder.layers.0.cross_attention.key.weight"].shape
        decoder = DecoderConfig(
            hidden=hidden,
            num_layers=count_layers(state, "decoder.layers"),
            num_heads=options.num_heads,
            ffn=len(state["decoder.layers.0.ffn.up.weight"]),
        )
        closed = family == "tag2text"
        encoder = EncoderConfig(
            backbone={128: "swin_base", 192: "swin_large"}.get(swin.embed_dim, "swin"),
            image_size=swin.image_size,
            token_width=None if closed else token_width,
        )
        text_width = hidden if closed else state["label_embeddings"].shape[1]
        return ReleasedConfig(
            family=family,
            tagger=TaggerConfig(encoder=encoder, decoder=decoder, text_width=text_width),
            swin=swin,
            num_tags=len(state["decoder.queries"]) if closed else None,
            captioner=_read_captioner(state, options, token_width, decoder.num_layers),
        )
    except KeyError as error:
        raise ModelError(
            f"this {family} checkpoint lacks {error.args[0]}; it is cut short or has another "
            "architecture"
        ) from error
    except ConfigError as error:
        raise ModelError(f"this {family} checkpoint: {error}") from error


def _read_swin(released: Mapping[str, Tensor], image_size: int | None) -> SwinConfig:
    name = "visual_encoder.layers.{}.blocks.{}.{}"
    num_stages = count_layers(released, "visual_encoder.layers")
    embed_dim, _, patch_size, _ = released["visual_encoder.patch_embed.proj.weight"].shape
    tables = [released[name.format(i, 0, f"attn.{TABLE_KEY}")] for i in range(num_stages)]
    windows = [(math.isqrt(len(table)) + 1) // 2 for table in tables]
    window = max(windows)
    # A stage's shift mask has one entry for each window. Without masks, the last stage is taken
    # to be one window, as in all released models.
    mask = released.get(name.format(0, 1, "attn_mask"))
    last = patch_size * 2 ** (num_stages - 1)
    trained = last * windows[-1]
    if mask is not None:
        trained = patch_size * window * math.isqrt(len(mask))
    size = trained if image_size is None else image_size
    if size * window % trained:
        raise ModelError(
            f"image_size {size} does not fit: windows are {window} tokens at {trained} pixels; "
            f"choose a multiple of {trained // math.gcd(trained, window)}"
        )
    return SwinConfig(
        image_size=size,
        patch_size=patch_size,
        embed_dim=embed_dim,
        depths=tuple(
            count_layers(released, f"visual_encoder.layers.{i}.blocks") for i in range(num_stages)
        ),
        num_heads=tuple(table.shape[1] for table in tables),
        window_size=size * window // trained,
        mlp_ratio=len(released[name.format(0, 0, "mlp.fc1.weight")]) / embed_dim,
    )


def _read_captioner(
    state: Mapping[str, Tensor], options: ConvertOptions, token_width: int, num_shared: int
) -> CaptionerConfig | None:
    if not any(key.startswith("captioner.") for key in state):
        return None
    vocab_size, hidden = state["captioner.decoder.embeddings.words.weight"].shape
    num_layers = count_layers(state, "captioner.decoder.layers")
    return CaptionerConfig(
        hidden=hidden,
        num_layers=num_layers,
        num_heads=options.num_caption_heads,
        ffn=len(state["captioner.decoder.layers.0.cross.ffn.up.weight"]),
        vocab_size=vocab_size,
        max_positions=len(state["captioner.decoder.embeddings.positions.weight"]),
        token_width=token_width,
        num_shared_layers=min(num_shared, num_layers),
    )
