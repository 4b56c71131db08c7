"""Captions to words: a caption is cut at spaces, and every distinct piece is cut further only once.

Pieces keep their letters as written, so that offsets are those of the caption whatever its
characters are: lower-casing may change the length of a text.
"""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple

from anytag.labels.words import JUNK

#: between two words, not a character of a word
_WORD = re.compile(
    r"&(?:amp|quot|lt|gt|apos|nbsp|\#\d+);"
    r"|w/o\b|w/(?!\w)"
    r"|['’](?:s|re|ve|ll|m|d)\b|n['’]t\b"
    r"|[^\W_]+(?:['’\-‐‑][^\W_]+)*"
    r"|[^\s]",
    re.IGNORECASE,
)
_LINK = re.compile(r"^\W*(?:[a-z]{2,8}://|www\.|@\w)", re.IGNORECASE)
_FILE = re.compile(r"\.(?:jpe?g|png|gif|webp|tiff?|bmp|heic|html?)\b", re.IGNORECASE)
_CODE = re.compile(r"[a-z]*[_-]?\d[\w-]*", re.IGNORECASE)
_TIMES = re.compile(r"(\d+)x", re.IGNORECASE)
_BREAKS = frozenset('.!?:;|/\\()[]{}"“”*=~<>–—•#_…^')


class Piece(NamedTuple):
    """One word or mark of a caption."""

    #: in lower case, ``’`` as ``'``; "." for every mark that ends a clause, "," for a comma,
    #: "" for what is no word (links, file names, emoji)
    word: str
    #: as written
    text: str
    #: offset in the piece of caption that was cut
    start: int
    end: int


def cut(text: str) -> list[Piece]:
    """Words and marks of a text without losing their places.

    >>> [piece.word for piece in cut("dog's can't, w/o")]
    ['dog', "'s", 'ca', "n't", ',', 'w/o']
    """
    if len(text) < 2000 and _LINK.match(text):
        return [Piece("", text, 0, len(text))]
    is_file = len(text) < 200 and _FILE.search(text)
    pieces: list[Piece] = []
    for match in _WORD.finditer(text):
        word, start, end = match[0].lower().replace("’", "'"), match.start(), match.end()
        if is_file and (word in JUNK or word.isdigit()):
            pieces.append(Piece("", match[0], start, end))
        elif len(word) > 3 and "'" in word[1:]:
            pieces += _contraction(word, match[0], start)
        else:
            pieces.append(Piece(_normal(word), match[0], start, end))
    return pieces


def _normal(word: str) -> str:
    if not word.isascii():  # "café" is "cafe"
        marks = unicodedata.normalize("NFKD", word)
        word = "".join(char for char in marks if not unicodedata.combining(char)) or word
    if word[0].isalnum():
        if word.isdigit() or word.isalpha():
            return word
        if times := _TIMES.fullmatch(word):
            return times[1]
        return "" if _CODE.fullmatch(word) or word[0].isdigit() else word  # "DSC_0042", "60th"
    if word in ("&amp;", "&", "+"):
        return "and"
    if word in ("w/o", "w/"):
        return word
    if word in (",", "-", "'") or (word[0] == "'" and len(word) > 1):
        return word
    return "." if word[0] in _BREAKS or word.startswith("&") else ""


def _contraction(word: str, text: str, start: int) -> list[Piece]:
    for ending in ("n't", "'s", "'re", "'ve", "'ll", "'m", "'d"):
        if word.endswith(ending) and len(word) > len(ending):
            split = len(word) - len(ending)
            if len(text) != len(word):
                break
            middle, end = start + split, start + len(text)
            return [
                Piece(word[:split], text[:split], start, middle),
                Piece(ending, text[split:], middle, end),
            ]
    return [Piece(word, text, start, start + len(text))]
