"""WordPiece: text to BERT tokens and back, with a vocabulary file that the user gives.

Source: Devlin et al. 2018, "BERT" (arXiv 1810.04805), uncased; the greedy longest-match-first
pieces of Wu et al. 2016 (arXiv 1609.08144). The captioners of RAM and Tag2Text use the vocabulary
of bert-base-uncased (``vocab.txt``, 30,522 lines) with two start marks behind it.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from anytag.errors import ModelError

#: in front of a piece that continues a word
CONTINUES = "##"
#: longer words are not searched for pieces
MAX_WORD_LENGTH = 100
#: blocks of Chinese characters, each a word of its own
IDEOGRAPHS = (
    (0x4E00, 0x9FFF),
    (0x3400, 0x4DBF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B820, 0x2CEAF),
    (0xF900, 0xFAFF),
    (0x2F800, 0x2FA1F),
)
#: spaces that decoding takes out again
CLEAN_UP = (
    (" .", "."),
    (" ?", "?"),
    (" !", "!"),
    (" ,", ","),
    (" ' ", "'"),
    (" n't", "n't"),
    (" 'm", "'m"),
    (" 's", "'s"),
    (" 've", "'ve"),
    (" 're", "'re"),
)


@dataclass(frozen=True)
class WordPiece:
    """A vocabulary and its rules.

    Example:
        >>> words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "dog", "##s"]
        >>> wordpiece = WordPiece(tuple(words))
        >>> wordpiece.encode("Dogs")
        [2, 5, 6, 3]
        >>> wordpiece.decode([7, 5, 6, 3, 0])
        'dogs'
    """

    #: pieces in id order
    pieces: tuple[str, ...]
    _ids: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        ids = {piece: number for number, piece in enumerate(self.pieces)}
        if len(ids) != len(self.pieces):
            raise ModelError("the WordPiece vocabulary has a piece twice")
        missing = [mark for mark in ("[PAD]", "[UNK]", "[CLS]", "[SEP]") if mark not in ids]
        if missing:
            raise ModelError(f"the WordPiece vocabulary lacks {', '.join(missing)}")
        object.__setattr__(self, "_ids", ids)

    @classmethod
    def load(cls, path: Path) -> WordPiece:
        """Read a ``vocab.txt``, one piece a line.

        Raises:
            ModelError: it cannot be read or is no WordPiece vocabulary
        """
        try:
            lines = path.read_text(encoding="utf-8").split("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise ModelError(f"{path}: cannot be read ({error})") from error
        if lines[-1] == "":
            lines.pop()
        try:
            return cls(tuple(line.rstrip("\r") for line in lines))
        except ModelError as error:
            raise ModelError(f"{path}: {error}") from error

    @property
    def pad_id(self) -> int:
        """Fills up."""
        return self._ids["[PAD]"]

    @property
    def start_id(self) -> int:
        """Stands in front of a text."""
        return self._ids["[CLS]"]

    @property
    def end_id(self) -> int:
        """Stands behind a text."""
        return self._ids["[SEP]"]

    @property
    def decoder_start_id(self) -> int:
        """Stands in front of a caption instead ("[DEC]", the first id behind the vocabulary)."""
        return len(self.pieces)

    @property
    def encoder_start_id(self) -> int:
        """Stands in front of a tag text instead ("[ENC]", the second id behind)."""
        return len(self.pieces) + 1

    @property
    def size(self) -> int:
        """Number of ids, the two start marks included."""
        return len(self.pieces) + 2

    def encode(self, text: str, max_length: int | None = None) -> list[int]:
        """Ids of a text between start and end mark, cut to ``max_length`` ids with these."""
        ids = [number for word in split_words(text) for number in self._encode_word(word)]
        if max_length is not None:
            ids = ids[: max(0, max_length - 2)]
        return [self.start_id, *ids, self.end_id]

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ids; marks and padding are left out."""
        marks = {self._ids[mark] for mark in ("[PAD]", "[UNK]", "[CLS]", "[SEP]")}
        marks.add(self._ids.get("[MASK]", self.pad_id))
        words = [self.pieces[i] for i in ids if i < len(self.pieces) and i not in marks]
        text = " ".join(words).replace(f" {CONTINUES}", "").strip()
        for spaced, joined in CLEAN_UP:
            text = text.replace(spaced, joined)
        return text

    def pad(self, rows: Sequence[Sequence[int]], length: int) -> list[list[int]]:
        """Fill rows up to ``length``."""
        return [[*row, *[self.pad_id] * (length - len(row))] for row in rows]

    def _encode_word(self, word: str) -> list[int]:
        unknown = [self._ids["[UNK]"]]
        if len(word) > MAX_WORD_LENGTH:
            return unknown
        found: list[int] = []
        start = 0
        while start < len(word):
            prefix = CONTINUES if start else ""
            for end in range(len(word), start, -1):
                number = self._ids.get(prefix + word[start:end])
                if number is not None:
                    found.append(number)
                    start = end
                    break
            else:
                return unknown
        return found


def split_words(text: str) -> list[str]:
    """Lower-case words without accents; punctuation and Chinese characters stand alone.

    >>> split_words("A café, two-storey")
    ['a', 'cafe', ',', 'two', '-', 'storey']
    """
    spaced = []
    for char in text:
        if char in "\t\n\r" or unicodedata.category(char) == "Zs":
            spaced.append(" ")
        elif ord(char) in (0, 0xFFFD) or unicodedata.category(char).startswith("C"):
            continue
        elif any(first <= ord(char) <= last for first, last in IDEOGRAPHS):
            spaced.append(f" {char} ")
        else:
            spaced.append(char)
    words: list[str] = []
    for word in unicodedata.normalize("NFC", "".join(spaced)).split():
        plain = unicodedata.normalize("NFD", word.lower())
        plain = "".join(char for char in plain if unicodedata.category(char) != "Mn")
        words.extend(_split_punctuation(plain))
    return words


def _split_punctuation(word: str) -> list[str]:
    marked = "".join(f" {char} " if _is_punctuation(char) else char for char in word)
    return marked.split()


def _is_punctuation(char: str) -> bool:
    """All of ASCII that is no letter, digit or control, and what Unicode calls punctuation."""
    ascii_mark = char.isascii() and char.isprintable() and not char.isalnum() and char != " "
    return ascii_mark or unicodedata.category(char).startswith("P")
