"""Captions of images whose tags are known or given.

Source: Tag2Text (arXiv 2303.05657), section 3. The tags go into the captioner as one text,
``dog | grass``; the caption is written behind a fixed prompt, which is cut off afterwards.

Shapes: B images, N image tokens, M tag text tokens, L caption tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from anytag.errors import ModelError
from anytag.inference.wordpiece import WordPiece
from anytag.models.generation import Generated, GenerationConfig, generate
from anytag.models.released import ReleasedNetwork, read_tags
from anytag.models.tagging import TaggingNetwork

#: what every caption starts with in training
PROMPT = "a picture of "
SEPARATOR = " | "
#: tokens of a tag text. Shorter ones are filled up, and the decoder sees the filling: the number
#: is part of the released models.
TAG_TEXT_LENGTH = 40


class CaptionWriter:
    """Writes captions with a network that has a captioner.

    Args:
        network: nano, RAM, Tag2Text or another with a captioner, in evaluation mode
        wordpiece: the vocabulary the captioner was trained with

    Raises:
        ModelError: no captioner, or another vocabulary
    """

    def __init__(self, network: TaggingNetwork | ReleasedNetwork, wordpiece: WordPiece) -> None:
        if network.captioner is None:
            raise ModelError("this model has no captioner; use nano, RAM or Tag2Text")
        size = network.captioner.config.vocab_size
        if wordpiece.size != size:
            raise ModelError(
                f"the vocabulary has {wordpiece.size - 2} pieces, the captioner was trained with "
                f"{size - 2}; give its own vocab.txt (bert-base-uncased for released models)"
            )
        self._network = network
        self._decoder = network.captioner.decoder
        self._wordpiece = wordpiece

    @property
    def defaults(self) -> GenerationConfig:
        """Beam search as the released models use it."""
        return GenerationConfig(eos_id=self._wordpiece.end_id, pad_id=self._wordpiece.pad_id)

    def write(
        self,
        tokens: Tensor,
        tags: Sequence[Sequence[str]],
        config: GenerationConfig | None = None,
        generator: torch.Generator | None = None,
    ) -> list[str]:
        """One caption for each image.

        Args:
            tokens: image tokens [B, 1 + N, width] of the network's encoder
            tags: names of the tags of each image; none at all is allowed
            config: how to search; None = `defaults`
            generator: source of randomness for sampling
        """
        with torch.no_grad():
            memory = read_tags(self._network, tokens, *self.encode_tags(tags, tokens.device))
        written = self.generate(memory, config, generator)
        return [self._wordpiece.decode(row)[len(PROMPT) :] for row in written.ids.tolist()]

    def generate(
        self,
        memory: Tensor,
        config: GenerationConfig | None = None,
        generator: torch.Generator | None = None,
    ) -> Generated:
        """Caption tokens and scores from memory [B, M, D]."""
        prompt = self._wordpiece.encode(PROMPT)[:-1]
        prompt[0] = self._wordpiece.decoder_start_id
        config = config or self.defaults
        config = replace(config, max_length=min(config.max_length, self._max_length))
        return generate(self._decoder, memory, torch.tensor(prompt), config, generator)

    def encode_tags(
        self, tags: Sequence[Sequence[str]], device: torch.device | str = "cpu"
    ) -> tuple[Tensor, Tensor]:
        """Tag names to ids [B, M] int64 and mask [B, M] bool."""
        rows = [self._wordpiece.encode(SEPARATOR.join(names), TAG_TEXT_LENGTH) for names in tags]
        ids = torch.tensor(self._wordpiece.pad(rows, TAG_TEXT_LENGTH), device=device)
        mask = ids != self._wordpiece.pad_id
        ids[:, 0] = self._wordpiece.encoder_start_id
        return ids, mask

    @property
    def _max_length(self) -> int:
        return self._decoder.embeddings.positions.num_embeddings
