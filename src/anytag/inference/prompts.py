"""The prompt ensemble with which RAM's tags were embedded: 63 sentences for each tag.

Source: RAM (arXiv 2306.03514), section 4, "open-vocabulary recognition", which takes the sentences
of ViLD (arXiv 2104.13921). The rules are those of the released embeddings, quirks included, for
another text would give another embedding.

Shapes: T tags, P = 63 prompts, E width.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Protocol

import numpy as np
import numpy.typing as npt

from anytag.errors import LabelError
from anytag.files import sha256_bytes

#: stands for "a" or "an"
ARTICLE = "{article}"
#: names that are embedded together: bounds the memory of a long list
CHUNK = 64

_LOOKS = ("nice", "cool", "weird", "small", "large", "clean", "dirty", "hard to see")
_PICTURES = (
    "bright",
    "dark",
    "low resolution",
    "cropped",
    "close-up",
    "jpeg corrupted",
    "blurry",
    "pixelated",
    "black and white",
)
_MAKES = ("plastic", "toy", "plushie", "cartoon")

#: each sentence holds "{name}", and "{article}" where that depends on the name
TEMPLATES: tuple[str, ...] = (
    *(f"There is {word} {{name}} in the scene." for word in (ARTICLE, "the")),
    *(f"a photo of {word} {{name}} in the scene." for word in (ARTICLE, "the", "one")),
    *(f"itap of {word} {{name}}." for word in (ARTICLE, "my", "the")),
    *(f"a photo of {word} {{name}}." for word in (ARTICLE, "my", "the", "one", "many")),
    *(f"a {x} photo of {y} {{name}}." for x, y in product(("good", "bad"), (ARTICLE, "the"))),
    *(f"a photo of {x} {y} {{name}}." for x, y in product(("a", "the"), _LOOKS)),
    *(f"a {x} photo of {y} {{name}}." for x, y in product(_PICTURES, (ARTICLE, "the"))),
    *(f"{x} {y} {{name}}." for x, y in product(("a", "the"), _MAKES)),
    *(f"{word} embroidered {{name}}." for word in ("an", "the")),
    *(f"a painting of {word} {{name}}." for word in ("the", "a")),
)


class Encoder(Protocol):
    """Texts to unit vectors."""

    @property
    def dim(self) -> int: ...

    def encode(self, texts: Sequence[str]) -> npt.NDArray[np.float32]: ...


class FingerprintedEncoder(Encoder, Protocol):
    """An encoder that can tell its weights from others."""

    @property
    def fingerprint(self) -> str: ...


def clean_name(name: str) -> str:
    """A tag as it stands in a sentence.

    >>> clean_name("Hot_Air/Gas Balloon.")
    'hot air or gas balloon'

    Raises:
        LabelError: nothing is left
    """
    cleaned = name.replace("_", " ").replace("/", " or ").lower().rstrip(".")
    cleaned = " ".join(cleaned.split())
    if not cleaned:
        raise LabelError(f"tag {name!r} has no letters to embed; give it a name")
    return cleaned


def fill(name: str) -> list[str]:
    """The 63 sentences of one tag.

    The article follows the first letter of the name as it is given, and only lower-case vowels
    count. So "apple" is "an apple", and "Apple" is "a apple": wrong English, but this is how the
    released embeddings were made. Give names in lower case for good sentences.

    >>> fill("Apple")[0]
    'There is a apple in the scene.'
    >>> fill("apple")[3]
    'This is a photo of the apple in the scene.'

    Raises:
        LabelError: the name is empty
    """
    cleaned = clean_name(name)
    article = "an" if name[0] in "aeiou" else "a"
    texts = (template.format(article=article, name=cleaned) for template in TEMPLATES)
    return [f"This is {text}" if text.startswith(("a", "the")) else text for text in texts]


def ensemble(names: Sequence[str], encoder: Encoder) -> npt.NDArray[np.float32]:
    """Embeddings of tags: the mean over their sentences, at unit length.

    Args:
        names: T tags
        encoder: CLIP ViT-B/16 for the released models

    Returns:
        float32 [T, E]

    Raises:
        LabelError: a name is empty
    """
    rows = np.empty((len(names), encoder.dim), np.float32)
    for start in range(0, len(names), CHUNK):
        part = names[start : start + CHUNK]
        vectors = encoder.encode([text for name in part for text in fill(name)])
        means = vectors.reshape(len(part), len(TEMPLATES), -1).mean(axis=1)
        rows[start : start + len(part)] = means / np.linalg.norm(means, axis=1, keepdims=True)
    return rows


class PromptEnsemble:
    """An encoder of tag names: each becomes its 63 sentences.

    Args:
        encoder: of sentences

    Example:
        >>> names = PromptEnsemble(ClipTextEncoder.load())  # doctest: +SKIP
        >>> names.encode(["red panda"]).shape  # doctest: +SKIP
        (1, 512)
    """

    def __init__(self, encoder: FingerprintedEncoder) -> None:
        self._encoder = encoder

    @property
    def dim(self) -> int:
        """Width E of the vectors."""
        return self._encoder.dim

    @property
    def fingerprint(self) -> str:
        """Differs from that of the encoder, and where the sentences change."""
        return sha256_bytes("\n".join((self._encoder.fingerprint, *TEMPLATES)).encode())

    def encode(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Unit vectors [T, E] of tag names.

        Raises:
            LabelError: a name is empty
        """
        return ensemble(texts, self._encoder)
