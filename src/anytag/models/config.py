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


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptionerConfig:
    """Sizes of a captioner; both of its halves have the same."""

    #: width D
    hidden: int
    num_layers: int
    num_heads: int
    #: inner width of the feed-forward part
    ffn: int
    #: entries of the vocabulary, the two start marks included
    vocab_size: int
    #: longest text in tokens
    max_positions: int
    #: width of the image tokens
    token_width: int
    #: the first layers of the tag encoder that borrow cross-attention and feed-forward weights
    #: from the tagging decoder (with the captioner's own number of heads)
    num_shared_layers: int
    #: token that fills up short texts; its embedding is not trained
    pad_id: int = 0
    #: LayerNorm epsilon; BERT's value
    layer_norm_eps: float = 1e-12
    #: dropout probability in training
    dropout: float = 0.1

    def __post_init__(self) -> None:
        if min(self.hidden, self.num_layers, self.num_heads, self.ffn, self.token_width) < 1:
            raise ConfigError("captioner: every size must be positive")
        if self.hidden % self.num_heads:
            raise ConfigError(
                f"captioner: hidden {self.hidden} is not divisible by {self.num_heads} heads"
            )
        if not 0 <= self.num_shared_layers <= self.num_layers:
            raise ConfigError(
                f"captioner: num_shared_layers {self.num_shared_layers} is outside "
                f"[0, {self.num_layers}]"
            )
        if not 0 <= self.pad_id < self.vocab_size:
            raise ConfigError(f"captioner: pad_id {self.pad_id} is outside the vocabulary")

    def check_fit(self, encoder: EncoderConfig, decoder: DecoderConfig) -> None:
        """Refuse sizes that a network of this encoder and decoder cannot have.

        Raises:
            ConfigError: another token width, or layers to borrow that are of other sizes
        """
        if encoder.token_width not in (None, self.token_width):
            raise ConfigError(
                f"the captioner reads image tokens of width {self.token_width}, the encoder gives "
                f"{encoder.token_width}"
            )
        if self.num_shared_layers > decoder.num_layers:
            raise ConfigError(
                f"the captioner borrows {self.num_shared_layers} layers from a tagging "
                f"decoder of {decoder.num_layers}"
            )
        if self.num_shared_layers and (self.hidden, self.ffn) != (decoder.hidden, decoder.ffn):
            raise ConfigError(
                f"the captioner (hidden {self.hidden}, ffn {self.ffn}) cannot borrow layers from "
                f"a tagging decoder of other widths (hidden {decoder.hidden}, ffn {decoder.ffn})"
            )


@dataclass(frozen=True, kw_only=True)
class TaggerConfig:
    """A whole tagging network."""

    encoder: EncoderConfig
    decoder: DecoderConfig
    #: width of the text embeddings that become label queries
    text_width: int
    #: None = tags alone
    captioner: CaptionerConfig | None = None
    #: hidden width of `anytag.models.queries.LabelMatch`; None = without it, as RAM
    match_inner: int | None = None

    def __post_init__(self) -> None:
        if self.captioner is not None:
            self.captioner.check_fit(self.encoder, self.decoder)


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
        match_inner=1024,
    )


def nano_captioner(
    vocab_size: int, hidden: int = 256, tagger: TaggerConfig | None = None
) -> CaptionerConfig:
    """A captioner for nano and networks of its kind: three layers, 3.8 M parameters and its words.

    As in RAM, the tag encoder borrows the tagging decoder's layers, where the widths allow it, so
    that captions train the layers that tag.

    Args:
        vocab_size: entries of the vocabulary, the two start marks included
        hidden: width, a multiple of 64
        tagger: the network that gets it; None = `nano`

    Raises:
        ConfigError: the width is no multiple of 64, or the network has no token width of its own
    """
    tagger = tagger or nano()
    decoder, token_width = tagger.decoder, tagger.encoder.token_width
    if hidden < 64 or hidden % 64:
        raise ConfigError(f"captioner: hidden is {hidden}, expected a multiple of 64")
    if token_width is None:
        raise ConfigError("a captioner needs a network with encoder.token_width")
    fits = hidden == decoder.hidden
    return CaptionerConfig(
        hidden=hidden,
        num_layers=3,
        num_heads=hidden // 64,
        ffn=decoder.ffn if fits else 2 * hidden,
        vocab_size=vocab_size,
        max_positions=64,
        token_width=token_width,
        num_shared_layers=min(3, decoder.num_layers) if fits else 0,
    )


def ram(backbone: str = "swin_large", image_size: int = 384) -> TaggerConfig:
    """RAM as released: 512-wide image tokens and CLIP text, 768-wide decoder (paper section 4)."""
    return TaggerConfig(
        encoder=EncoderConfig(backbone=backbone, image_size=image_size, token_width=512),
        decoder=DecoderConfig(hidden=768, num_layers=2, num_heads=4, ffn=3072),
        text_width=512,
    )
