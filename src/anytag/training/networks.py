"""New networks of the paper's sizes, before any training.

Sources: RAM (arXiv 2306.03514), section 4; RAM++ (arXiv 2310.15200); Tag2Text (arXiv 2303.05657).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from torch import Tensor, nn

from anytag.checkpoints.checkpoint_file import read_checkpoint
from anytag.checkpoints.convert import check_weights, resize_tables
from anytag.checkpoints.key_map import EXCUSED, TABLES, translate
from anytag.errors import ConfigError, ModelError
from anytag.models.config import CaptionerConfig, TaggerConfig, ram
from anytag.models.layers import CrossAttention
from anytag.models.mobilenet import MobileNetV2, from_timm
from anytag.models.released import ReleasedConfig
from anytag.models.swin import DropPath, Swin, SwinConfig, swin_base, swin_large
from anytag.models.tagging import TaggingNetwork
from anytag.models.text_layers import SelfAttention

#: new networks by name; "nano" is the embedded model's
NETWORKS = ("nano", "ram_swin_base", "ram_swin_large", "ram_plus_swin_large", "tag2text_swin_base")
#: pieces of bert-base-uncased and the two start marks
BERT_VOCABULARY = 30524


def released_config(
    name: str, image_size: int, num_tags: int, vocab_size: int | None
) -> ReleasedConfig:
    """Sizes of a new RAM, RAM++ or Tag2Text.

    Args:
        name: one of `NETWORKS` but nano
        image_size: side in pixels
        num_tags: Tag2Text alone: its tags are part of the network
        vocab_size: of the captioner's WordPiece; None leaves the captioner out
    """
    if name not in NETWORKS[1:]:
        raise ConfigError(f"unknown network {name!r}: expected one of {', '.join(NETWORKS)}")
    family = name.partition("_swin_")[0]
    backbone = name.removeprefix(f"{family}_")
    swin = (swin_base if backbone == "swin_base" else swin_large)(image_size)
    closed = family == "tag2text"
    width = swin.num_features if closed else 512
    tagger = ram(backbone, image_size)
    if closed:
        tagger = replace(tagger, encoder=replace(tagger.encoder, token_width=None))
    captions = vocab_size is not None and family != "ram_plus"
    return ReleasedConfig(
        family=family,
        tagger=tagger,
        swin=swin,
        num_tags=num_tags if closed else None,
        captioner=bert_captioner(width, vocab_size) if captions and vocab_size else None,
    )


def bert_captioner(token_width: int, vocab_size: int) -> CaptionerConfig:
    """The captioner of RAM and Tag2Text: two halves of BERT-base size."""
    return CaptionerConfig(
        hidden=768,
        num_layers=12,
        num_heads=12,
        ffn=3072,
        vocab_size=vocab_size,
        max_positions=512,
        token_width=token_width,
        num_shared_layers=2,
    )


def at_image_size(
    config: ReleasedConfig, state: Mapping[str, Tensor], image_size: int
) -> tuple[ReleasedConfig, dict[str, Tensor]]:
    """The same network for another image size, position biases interpolated (224 -> 384).

    Windows keep their share of the side where they were 1/32 of it, as in the published models.
    """
    old = config.swin
    window = old.window_size
    if window == max(1, old.image_size // 32):
        window = max(1, image_size // 32)
    swin = replace(old, image_size=image_size, window_size=window)
    encoder = replace(config.tagger.encoder, image_size=image_size)
    resized = dict(state)
    resize_tables(resized, swin)
    tagger = replace(config.tagger, encoder=encoder)
    return replace(config, swin=swin, tagger=tagger), resized


def load_backbone(backbone: nn.Module, path: Path) -> None:
    """Put published ImageNet weights into a new network's backbone, strictly.

    Args:
        backbone: `Swin` or `MobileNetV2`
        path: Swin's official checkpoint (``swin_large_patch4_window7_224_22k.pth``), or timm's
            ``mobilenetv2_100``; the classifier in it is left out

    Raises:
        ModelError: the file does not fit
    """
    state = read_checkpoint(path)
    if isinstance(backbone, MobileNetV2):
        try:
            state = from_timm(state)
        except KeyError as error:
            raise ModelError(f"{path}: no weights of timm's mobilenetv2_100: no {error}") from error
    elif isinstance(backbone, Swin):
        state = _from_swin(state, backbone.config, path)
    check_weights(backbone.state_dict(), state, str(path))
    backbone.load_state_dict(state)


def _from_swin(state: Mapping[str, Tensor], config: SwinConfig, path: Path) -> dict[str, Tensor]:
    """Released names of a bare Swin -> ours, as if it stood in a RAM checkpoint."""
    renamed: dict[str, Tensor] = {}
    for key, value in state.items():
        released = f"visual_encoder.{key}"
        if key.startswith("head.") or any(re.fullmatch(rule, released) for rule, _ in EXCUSED):
            continue
        ours = translate(released, TABLES["ram"])
        if ours is None:
            raise ModelError(f"{path}: {key} is no weight of a Swin backbone")
        renamed[ours] = value.float()
    resize_tables(renamed, config)
    return {key.removeprefix("encoder.backbone."): value for key, value in renamed.items()}


def new_nano(config: TaggerConfig, weights: Path | None) -> TaggingNetwork:
    """A network of nano's kind.

    Label queries start at the size of what attention adds to them. From BERT's small random
    numbers, which suit a 12-layer transformer, a two-layer decoder learns several times slower.

    Args:
        config: sizes
        weights: of timm's ``mobilenetv2_100``; None = random
    """
    network = TaggingNetwork(config)
    if weights is not None:
        load_backbone(network.encoder.backbone, weights)
    for name, parameter in network.decoder.named_parameters():
        if parameter.ndim == 2 and "logit" not in name:
            nn.init.normal_(parameter, std=parameter.shape[1] ** -0.5)
    nn.init.normal_(network.queries.projection.weight, std=1.0)
    nn.init.constant_(network.decoder.logit.bias, -3.0)  # few tags are present
    return network


def set_dropout(network: nn.Module, probability: float) -> None:
    """Set the probability of every dropout, stochastic depth included."""
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = probability
        elif isinstance(module, CrossAttention | SelfAttention):
            module.dropout = probability
        elif isinstance(module, DropPath):
            module.rate = probability
