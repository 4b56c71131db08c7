"""Captions from tags: what the public code's numbers do not cover (see tests/parity)."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from anytag.errors import ModelError
from anytag.inference.captioning import PROMPT, TAG_TEXT_LENGTH, CaptionWriter
from anytag.inference.wordpiece import WordPiece
from anytag.models.config import CaptionerConfig, DecoderConfig, EncoderConfig, TaggerConfig
from anytag.models.released import ReleasedConfig, ReleasedNetwork, build_released
from anytag.models.swin import SwinConfig

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "picture", "of", "dog", "cat", "|"]
WORDPIECE = WordPiece(tuple(WORDS))


def network(*, captioner: bool = True, max_positions: int = TAG_TEXT_LENGTH) -> ReleasedNetwork:
    torch.manual_seed(0)
    sizes = CaptionerConfig(
        hidden=8,
        num_layers=1,
        num_heads=2,
        ffn=8,
        vocab_size=WORDPIECE.size,
        max_positions=max_positions,
        token_width=4,
        num_shared_layers=1,
    )
    swin = SwinConfig(image_size=32, embed_dim=4, depths=(1,), num_heads=(1,), window_size=8)
    config = ReleasedConfig(
        family="ram",
        tagger=TaggerConfig(
            encoder=EncoderConfig(backbone="swin", image_size=32, token_width=4),
            decoder=DecoderConfig(hidden=8, num_layers=1, num_heads=2, ffn=8),
            text_width=4,
        ),
        swin=swin,
        num_tags=None,
        captioner=sizes if captioner else None,
    )
    return build_released(config).eval()


def test_one_caption_for_each_image_without_the_prompt() -> None:
    writer = CaptionWriter(network(), WORDPIECE)
    captions = writer.write(torch.randn(3, 65, 4), [["dog"], [], ["cat", "dog"]])
    assert len(captions) == 3
    assert not any(caption.startswith(PROMPT) for caption in captions)


def test_sampling_can_be_repeated() -> None:
    writer, tokens = CaptionWriter(network(), WORDPIECE), torch.randn(2, 65, 4)
    config = replace(writer.defaults, sample=True)
    first, again = (
        writer.write(tokens, [["dog"]] * 2, config, torch.Generator().manual_seed(1))
        for _ in range(2)
    )
    assert first == again


def test_no_longer_than_the_captioner_has_positions() -> None:
    writer = CaptionWriter(network(), WORDPIECE)
    config = replace(writer.defaults, max_length=100)
    writer.write(torch.randn(1, 65, 4), [["dog"]], config)


@pytest.mark.parametrize(
    ("net", "words", "message"),
    [
        (network(captioner=False), WORDPIECE, "no captioner"),
        (network(), WordPiece((*WORDS, "extra")), "11 pieces, the captioner was trained with 10"),
    ],
)
def test_what_cannot_write_is_refused(net: ReleasedNetwork, words: WordPiece, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        CaptionWriter(net, words)
