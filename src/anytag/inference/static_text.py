"""Static text encoder: words and phrases of a vocabulary -> one vector for any text.

Made by ``tools/nano/build_text_encoder.py`` from all-MiniLM-L6-v2; numpy is all it needs. A text is
cut into the longest phrases that the vocabulary holds ("hot air balloon"), other words into
subword pieces; the vector is the weighted mean of theirs, the head noun counting more.

Folder: ``config.json``, ``vocabulary.txt`` and ``pieces.txt`` (one entry a line, row by row),
``encoder.safetensors``: int8 rows with one scale a row, and the weight of each row in a phrase.
Shapes: T texts, V vocabulary rows, P pieces, E width of the vectors.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from anytag.errors import LabelError

Vector = NDArray[np.float32]

FORMAT = 1
#: words that end the part of a phrase in which its head noun stands: "cup of coffee"
_AFTER_HEAD = frozenset(
    [
        "of",
        "with",
        "without",
        "in",
        "on",
        "at",
        "under",
        "over",
        "near",
        "from",
        "for",
        "by",
        "and",
        "or",
    ]
)


def fold_text(text: str) -> str:
    """Lower-case words without accents, apostrophes and punctuation, one space between them.

    >>> fold_text("Jack-o'-lantern_2, Café")
    'jack o lantern 2 cafe'
    """
    text = unicodedata.normalize("NFKD", text).casefold()
    text = "".join(char for char in text if not unicodedata.combining(char))
    return " ".join(re.findall(r"[^\W_]+", re.sub(r"['’]", "", text)))


def singulars(word: str) -> Iterator[str]:
    """Forms of which ``word`` may be the regular plural, the likeliest first.

    >>> list(singulars("berries"))
    ['berry', 'berrie', 'berri']
    """
    if word.endswith("ies") and len(word) > 4:
        yield word[:-3] + "y"
    if word.endswith("ves"):
        yield word[:-3] + "f"
        yield word[:-3] + "fe"
    if word.endswith("s") and not word.endswith(("ss", "us", "is")) and len(word) > 3:
        yield word[:-1]
        if word.endswith("es"):
            yield word[:-2]


@dataclass(frozen=True, slots=True)
class _Table:
    """Quantised vectors [N, E] found by name."""

    rows: dict[str, int]
    values: NDArray[np.int8]
    scales: Vector
    weights: Vector

    def vector(self, row: int) -> Vector:
        vector: Vector = self.values[row].astype(np.float32) * self.scales[row]
        return vector


class StaticTextEncoder:
    """Texts -> unit vectors [T, E]. Holds no state that calls change: safe to share by threads."""

    def __init__(self, vocabulary: _Table, pieces: _Table, head_weight: float) -> None:
        self._vocabulary, self._pieces, self._head_weight = vocabulary, pieces, head_weight
        self._max_words = max((name.count(" ") + 1 for name in vocabulary.rows), default=1)
        self._max_piece = max(map(len, pieces.rows), default=1)

    @classmethod
    def load(cls, folder: Path) -> StaticTextEncoder:
        """Read the folder that ``build_text_encoder.py`` wrote.

        Raises:
            LabelError: a file is missing, or the files do not fit one another
        """
        try:
            config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
            tensors = load_file(folder / "encoder.safetensors")
            tables = []
            for part in ("vocabulary", "pieces"):
                names = (folder / f"{part}.txt").read_text(encoding="utf-8").splitlines()
                values = tensors[f"{part}.values"]
                scales, weights = (tensors[f"{part}.{key}"] for key in ("scales", "weights"))
                if config["format"] != FORMAT or values.shape != (len(names), config["dim"]):
                    raise ValueError(
                        f"format {config['format']}, {len(names)} names in {part}.txt, "
                        f"vectors {values.shape}, width {config['dim']}"
                    )
                rows = {name: row for row, name in enumerate(names)}
                tables.append(_Table(rows, values, scales.astype("f4"), weights.astype("f4")))
            head_weight = float(config["head_weight"])
        except (OSError, ValueError, KeyError, SafetensorError) as error:
            raise LabelError(
                f"{folder}: not a text encoder of format {FORMAT} ({error})"
            ) from error
        return cls(tables[0], tables[1], head_weight)

    @property
    def dim(self) -> int:
        """Width E of the vectors."""
        return int(self._vocabulary.values.shape[1])

    def encode(self, texts: Sequence[str]) -> Vector:
        """Unit vectors float32 [T, E], one for each text and independent of the others.

        Upper and lower case, ``_`` and space, and punctuation make no difference.

        Raises:
            LabelError: a text is blank
        """
        result = np.empty((len(texts), self.dim), dtype=np.float32)
        for position, text in enumerate(texts):
            if not text.strip(" \t\r\n_"):
                raise LabelError(f"text {position} is empty; there is nothing to embed")
            result[position] = self._encode_one(text)
        return result

    def _encode_one(self, text: str) -> Vector:
        words = fold_text(text).split()
        parts = list(self._segment(words))
        head = next(
            (i - 1 for i, (name, _, _) in enumerate(parts) if i and name in _AFTER_HEAD),
            len(parts) - 1,
        )
        total = np.zeros(self.dim, dtype=np.float32)
        for position, (_, vector, weight) in enumerate(parts):
            total += vector * (weight * self._head_weight if position == head else weight)
        return self._unit(total, text)  # no parts where the text is only signs

    def _segment(self, words: list[str]) -> Iterator[tuple[str, Vector, float]]:
        """Longest vocabulary phrases from left to right, then pieces: (name, vector, weight)."""
        start = 0
        while start < len(words):
            for length in range(min(self._max_words, len(words) - start), 0, -1):
                row = self._find(words[start : start + length])
                if row is not None:
                    name = " ".join(words[start : start + length])
                    yield name, self._vocabulary.vector(row), float(self._vocabulary.weights[row])
                    break
            else:
                length = 1
                yield words[start], self._unknown(words[start]), 1.0
            start += length

    def _find(self, words: list[str]) -> int | None:
        """Row of a phrase, or of its singular."""
        *front, last = words
        names = (" ".join([*front, word]) for word in (last, *singulars(last)))
        rows = (self._vocabulary.rows.get(name) for name in names)
        return next((row for row in rows if row is not None), None)

    def _unknown(self, word: str) -> Vector:
        """A unit vector for a word outside the vocabulary, from its longest pieces."""
        total = np.zeros(self.dim, dtype=np.float32)
        start = 0
        while start < len(word):
            mark = "##" if start else ""
            for end in range(min(len(word), start + self._max_piece), start, -1):
                row = self._pieces.rows.get(mark + word[start:end])
                if row is not None:
                    total += self._pieces.vector(row) * self._pieces.weights[row]
                    break
            else:
                end = start + 1
                total += self._noise(word[start]) * np.float32(0.1)
            start = end
        return self._unit(total, word)

    def _unit(self, vector: Vector, text: str) -> Vector:
        """The vector at unit length; where it is nothing, one made from the text's letters."""
        norm = np.linalg.norm(vector)
        return self._noise(text) if norm < 1e-6 else vector / norm

    def _noise(self, text: str) -> Vector:
        """A unit vector that depends on nothing but the text: no meaning, but always the same."""
        digest = hashlib.shake_128(text.encode("utf-8", "surrogatepass")).digest(self.dim)
        vector = np.frombuffer(digest, dtype=np.uint8).astype(np.float32) - np.float32(127.5)
        return vector / np.float32(np.linalg.norm(vector))
