"""Captions and tag texts as WordPiece ids, as RAM and Tag2Text learn them.

Source: the captioner's data of recognize-anything (Apache-2.0; after BLIP, arXiv 2201.12086). A
caption is lower case, without ``. ! " ( ) * # : ; ~``, of 30 words at most, and follows the prompt.

Shapes: B images, L caption tokens, M tag text tokens.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from anytag.inference.captioning import PROMPT, SEPARATOR
from anytag.inference.wordpiece import WordPiece
from anytag.training.batch import Texts

MAX_WORDS = 30
_MARKS = re.compile(r"[.!\"()*#:;~]")
_BLANKS = re.compile(r"\s+")


def clean_caption(caption: str, max_words: int = MAX_WORDS) -> str:
    """A caption as it is learned.

    >>> clean_caption("A man, riding a (small) horse!")
    'a man, riding a small horse'
    """
    text = _BLANKS.sub(" ", _MARKS.sub(" ", caption.lower())).strip()
    return " ".join(text.split(" ")[:max_words])


@dataclass(frozen=True, slots=True)
class TextMaker:
    """Turns texts into `Texts`."""

    wordpiece: WordPiece
    #: most tokens of a caption, and tokens of every tag text; part of the released models
    max_tokens: int = 40

    def make(self, captions: Sequence[str], tags: Sequence[Sequence[str]]) -> Texts:
        """Ids of cleaned captions, "" for none, and of the names of their tags.

        A picture without a caption has a caption mask that is all False.
        """
        words = self.wordpiece
        rows = [words.encode(PROMPT + text, self.max_tokens) if text else [] for text in captions]
        length = max(map(len, rows), default=0) or 1
        caption_ids = torch.tensor(words.pad(rows, length))
        caption_mask = torch.tensor([[place < len(row) for place in range(length)] for row in rows])
        caption_ids[:, 0] = words.decoder_start_id
        tag_rows = [words.encode(SEPARATOR.join(names), self.max_tokens) for names in tags]
        tag_ids = torch.tensor(words.pad(tag_rows, self.max_tokens))
        tag_mask = tag_ids != words.pad_id
        tag_ids[:, 0] = words.encoder_start_id
        return Texts(
            caption_ids=caption_ids, caption_mask=caption_mask, tag_ids=tag_ids, tag_mask=tag_mask
        )
