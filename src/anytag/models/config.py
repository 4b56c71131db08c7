"""Sizes of a tagging network. The same modules serve the embedded and the full-size models."""

from __future__ import annotations

from dataclasses import dataclass

from anytag.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class EncoderConfig:
    """Image encoder: backbone, mean token in front, projection."""

    #: "mobilenet_v2", "swin_base", "swin_large", or "timm:NAME" (needs ``anytag[timm]``)
    backbone: str
    #: side of the square input in pixels
    image_size: int
    #: width of the projected tokens; None keeps the backbone's width and has no projection
    token_width: int | None
    #: per-channel mean and standard deviation of RGB in [0, 1]
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)

    def __post_init__(self) -> None:
        if self.image_size < 32:
            raise ConfigError(f"image_size is {self.image_size} pixels, expected at least 32")
        if len(self.mean) != 3 or len(self.std) != 3:
            raise ConfigError("mean and std need three values (RGB)")


@dataclass(frozen=True, kw_only=True)
class DecoderConfig:
    """Tagging decoder: cross-attention + FFN layers, one shared logit layer."""

    #: width of the label queries
    hidden: int
    num_layers: int
    num_heads: int
    #: inner width of the feed-forward part
    ffn: int
    #: LayerNorm epsilon; BERT's value
    layer_norm_eps: float = 1e-12
    #: dropout probability in training
    dropout: float = 0.1

    def __post_init__(self) -> None:
        if self.hidden % self.num_heads:
            raise ConfigError(f"hidden {self.hidden} is not divisible by {self.num_heads} heads")


@dataclass(frozen=True, kw_only=True)
class TaggerConfig:
    """A whole tagging network."""

    encoder: EncoderConfig
    decoder: DecoderConfig
    #: width of the text embeddings that become label queries
    text_width: int


def nano(image_size: int = 240) -> TaggerConfig:
    """The embedded model: MobileNetV2 and a two-layer decoder, about 4 M parameters."""
    return TaggerConfig(
        encoder=EncoderConfig(
            backbone="mobilenet_v2",
            image_size=image_size,
            token_width=256,
            mean=(0.5, 0.5, 0.5),
            std=(0.5, 0.5, 0.5),
        ),
        decoder=DecoderConfig(hidden=256, num_layers=2, num_heads=4, ffn=512),
        text_width=128,
    )


def ram(backbone: str = "swin_large", image_size: int = 384) -> TaggerConfig:
    """RAM as released: 512-wide image tokens and CLIP text, 768-wide decoder (paper section 4)."""
    return TaggerConfig(
        encoder=EncoderConfig(backbone=backbone, image_size=image_size, token_width=512),
        decoder=DecoderConfig(hidden=768, num_layers=2, num_heads=4, ffn=3072),
        text_width=512,
    )
