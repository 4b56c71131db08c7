"""Captions of models that are no RAM and no Tag2Text."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from anytag import Tagger
from anytag.checkpoints.directory import load_directory, save_directory
from anytag.errors import ModelError
from anytag.inference.wordpiece import WordPiece
from anytag.models.config import nano_captioner
from anytag.models.tagging import TaggingNetwork

PIECES = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "picture", "of", "cat", "dog", "red", "##s")


@pytest.fixture
def model(tiny_model: Path, tmp_path: Path) -> Path:
    """The tiny model, and a captioner that has learned one caption for each of two tags."""
    plain = load_directory(tiny_model)
    words = tmp_path / "vocab.txt"
    words.write_text("\n".join(PIECES) + "\n")
    captioner = replace(
        nano_captioner(len(PIECES) + 2, hidden=64, tagger=plain.card.network), num_layers=1
    )
    card = replace(plain.card, network=replace(plain.card.network, captioner=captioner))
    torch.manual_seed(0)
    network = TaggingNetwork(card.network)
    network.load_state_dict(plain.network.state_dict(), strict=False)
    learn(network, WordPiece.load(words))
    folder = tmp_path / "model"
    (folder / "text_encoder").mkdir(parents=True)
    for file in (tiny_model / "text_encoder").iterdir():
        (folder / "text_encoder" / file.name).write_bytes(file.read_bytes())
    save_directory(
        folder,
        card,
        network,
        plain.labels,
        plain.label_embeddings,
        torch.float32,
        vocabulary=words,
    )
    return folder


def learn(network: TaggingNetwork, words: WordPiece) -> None:
    captioner = network.captioner
    assert captioner is not None
    captioner.eval()  # no dropout
    tags = torch.tensor(words.pad([words.encode("cat", 40), words.encode("dog", 40)], 40))
    mask = tags != words.pad_id
    tags[:, 0] = words.encoder_start_id
    texts = ("a picture of a red cat", "a picture of two dogs")
    ids = torch.tensor(words.pad([words.encode(text) for text in texts], 8))
    ids[:, 0] = words.decoder_start_id
    tokens = torch.zeros(2, 5, 24)
    optimizer = torch.optim.Adam(captioner.parameters(), lr=1e-2)
    for _ in range(30):
        logits = captioner.decoder(ids, captioner.encoder(tags, mask, tokens))
        loss = nn.functional.cross_entropy(
            logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten(), ignore_index=words.pad_id
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.1


def test_captions_of_given_tags(model: Path) -> None:
    tagger = Tagger.from_pretrained(model, device="cpu")
    image = np.full((64, 64, 3), 127, np.uint8)
    assert tagger.caption(image, tags=["cat"], min_length=5) == "a red cat"
    assert tagger.caption(image, tags=["dog"], min_length=5).endswith("dogs")
    assert tagger(image).tags  # and tags as before


def test_models_without_a_captioner_say_so(tiny_model: Path) -> None:
    tagger = Tagger.from_pretrained(tiny_model, device="cpu")
    with pytest.raises(ModelError, match="tiny writes no captions"):
        tagger.caption(np.zeros((64, 64, 3), np.uint8))
