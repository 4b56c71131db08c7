"""Sizes of a released network, read from the shapes of its weights.

Only the numbers of attention heads in the text layers leave no trace there.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from anytag.checkpoints.key_map import TABLES, count_layers, translate
from anytag.errors import ConfigError, ModelError
from anytag.models.config import CaptionerConfig, DecoderConfig, EncoderConfig, TaggerConfig
from anytag.models.released import ReleasedConfig
from anytag.models.swin import SwinConfig

#: last part of the names of Swin's bias tables
TABLE_KEY = "relative_position_bias_table"
#: released keys that tell sizes -> their number of dimensions; the first pattern that fits counts
_RANKS: tuple[tuple[str, int], ...] = (
    (r"visual_encoder\.patch_embed\.proj\.weight", 4),
    (r"visual_encoder\..*\.attn_mask", 3),
    (r"fc\.W", 3),
    (r"fc\.b", 2),
    (r"(?i).*norm\d?\.weight", 1),
    (rf".*\.{TABLE_KEY}|label_embed|.*\.weight", 2),
)


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


def check_ranks(released: Mapping[str, Tensor]) -> None:
    """Refuse weights whose shapes say nothing.

    Args:
        released: the checkpoint under released names

    Raises:
        ModelError: a weight is empty, or has another number of dimensions
    """
    for key, value in released.items():
        rank = next((rank for pattern, rank in _RANKS if re.fullmatch(pattern, key)), value.ndim)
        if value.ndim != rank or value.numel() == 0:
            raise ModelError(
                f"{key} has shape {list(value.shape)}, expected {rank} dimensions; the checkpoint "
                "is damaged or has another architecture"
            )


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
        missing = translate(error.args[0], TABLES[family], back=True) or error.args[0]
        raise ModelError(
            f"this {family} checkpoint lacks {missing}; it is cut short or has another architecture"
        ) from error
    except ConfigError as error:
        hint = "; give the numbers it was trained with: --heads, --caption-heads"
        raise ModelError(
            f"this {family} checkpoint: {error}{hint if 'heads' in str(error) else ''}"
        ) from error


def _read_swin(released: Mapping[str, Tensor], image_size: int | None) -> SwinConfig:
    name = "visual_encoder.layers.{}.blocks.{}.{}"
    num_stages = count_layers(released, "visual_encoder.layers")
    embed_dim, _, patch_size, _ = released["visual_encoder.patch_embed.proj.weight"].shape
    tables = [released[name.format(i, 0, f"attn.{TABLE_KEY}")] for i in range(num_stages)]
    hidden = [len(released[name.format(i, 0, "mlp.fc1.weight")]) for i in range(num_stages)]
    windows = [(math.isqrt(len(table)) + 1) // 2 for table in tables]
    window = max(windows)
    depths = [
        count_layers(released, f"visual_encoder.layers.{i}.blocks") for i in range(num_stages)
    ]
    trained = _trained_size(released, windows, depths, patch_size)
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
        depths=tuple(depths),
        num_heads=tuple(table.shape[1] for table in tables),
        window_size=size * window // trained,
        # Widths are rounded down in every stage, so that the largest quotient is nearest.
        mlp_ratio=max(rows / (embed_dim * 2**i) for i, rows in enumerate(hidden)),
    )


def _trained_size(
    released: Mapping[str, Tensor], windows: list[int], depths: list[int], patch_size: int
) -> int:
    """Side of the training images in pixels.

    A shift mask has one entry for each window of its stage, and a stage whose window is smaller
    than the others' is one window. Where a checkpoint shows neither, the last stage is taken to be
    one window, as in all released models.
    """
    for stage, (window, depth) in enumerate(zip(windows, depths, strict=True)):
        step = patch_size * 2**stage
        for block in range(1, depth, 2):
            mask = released.get(f"visual_encoder.layers.{stage}.blocks.{block}.attn_mask")
            if mask is not None:
                return int(step * window * math.isqrt(len(mask)))
        if window < max(windows):
            return int(step * window)
    return int(step * windows[-1])


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
