"""The captioner's two halves: what may influence what, and borrowed layers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from anytag.errors import ModelError
from anytag.models.captioner import Captioner
from anytag.models.config import CaptionerConfig
from anytag.models.layers import DecoderLayer


def small(**changes: Any) -> CaptionerConfig:
    sizes: dict[str, Any] = {
        "hidden": 16,
        "num_layers": 2,
        "num_heads": 4,
        "ffn": 24,
        "vocab_size": 11,
        "max_positions": 9,
        "token_width": 10,
        "num_shared_layers": 0,
    }
    return CaptionerConfig(**{**sizes, **changes})


@pytest.fixture
def captioner() -> Captioner:
    torch.manual_seed(0)
    model = Captioner(small()).eval()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)
    return model


def test_words_do_not_see_what_follows(captioner: Captioner) -> None:
    memory, ids = torch.randn(1, 5, 16), torch.randint(1, 11, (1, 6))
    other = ids.clone()
    other[0, 4] = (ids[0, 4] + 1) % 11
    with torch.no_grad():
        logits, changed = captioner.decoder(ids, memory), captioner.decoder(other, memory)
    torch.testing.assert_close(logits[:, :4], changed[:, :4])
    assert not torch.allclose(logits[:, 4], changed[:, 4])
    assert not torch.allclose(logits[:, 5], changed[:, 5])


def test_padding_of_tag_texts_is_not_seen(captioner: Captioner) -> None:
    tokens, ids = torch.randn(1, 7, 10), torch.randint(1, 11, (1, 6))
    mask = torch.tensor([[1, 1, 1, 1, 0, 0]])
    other = ids.clone()
    other[0, 4:] = 0
    with torch.no_grad():
        memory = captioner.encoder(ids, mask, tokens)
        changed = captioner.encoder(other, mask, tokens)
        short = captioner.encoder(ids[:, :4], mask[:, :4], tokens)
    torch.testing.assert_close(memory[:, :4], changed[:, :4])
    torch.testing.assert_close(memory[:, :4], short)


def test_reordered_rows_go_on_from_their_own_past(captioner: Captioner) -> None:
    decoder, memory = captioner.decoder, torch.randn(1, 5, 16).expand(3, -1, -1)
    ids, rows = torch.randint(1, 11, (3, 4)), torch.tensor([2, 2, 0])
    new = torch.randint(1, 11, (3, 1))
    with torch.no_grad():
        _, state = decoder.step(ids, decoder.start(memory))
        logits, _ = decoder.step(new, state.reorder(rows))
        expected = decoder(torch.cat([ids[rows], new], 1), memory)[:, -1:]
    torch.testing.assert_close(logits, expected)


def test_borrowed_layers_equal_own_ones_with_the_same_weights(captioner: Captioner) -> None:
    borrower = Captioner(small(num_shared_layers=1)).eval()
    own = captioner.state_dict()
    borrower.load_state_dict({key: own[key] for key in borrower.state_dict()})
    lender = DecoderLayer(16, 10, 2, 24, 1e-12, 0.1).eval()  # another number of heads
    lender.load_state_dict(captioner.encoder.layers[0].cross.state_dict())
    tokens, ids = torch.randn(2, 7, 10), torch.randint(0, 11, (2, 6))
    mask = torch.ones(2, 6)
    with torch.no_grad():
        expected = captioner.encoder(ids, mask, tokens)
        actual = borrower.encoder(ids, mask, tokens, [lender, lender])
        torch.testing.assert_close(actual, expected)
        with pytest.raises(ModelError, match="borrows"):
            borrower.encoder(ids, mask, tokens)


def test_gradient_reaches_every_parameter() -> None:
    model = Captioner(small()).train()
    tokens, ids = torch.randn(2, 7, 10), torch.randint(0, 11, (2, 9))
    memory = model.encoder(ids, torch.ones(2, 9), tokens)
    model.decoder(ids, memory).square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        # a constant added to every key changes no softmax
        assert parameter.grad.abs().sum() > 0 or name.endswith("key.bias"), name
    padding = model.encoder.embeddings.words.weight.grad
    assert padding is not None
    assert padding[0].abs().sum() == 0
