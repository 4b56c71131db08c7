"""The 63 sentences, known from the description of the released models."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest

from anytag.errors import LabelError
from anytag.files import sha256_bytes
from anytag.inference.prompts import TEMPLATES, PromptEnsemble, clean_name, ensemble, fill


class CountingEncoder:
    """A vector for each text, from its hash; not of unit length when summed."""

    dim = 8
    fingerprint = "counting"

    def __init__(self) -> None:
        self.num_texts = 0

    def encode(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        self.num_texts += len(texts)
        rows = np.array([list(bytes.fromhex(sha256_bytes(text.encode())[:16])) for text in texts])
        vectors = (rows - 127.5).astype(np.float32)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_there_are_63_different_sentences() -> None:
    assert len(TEMPLATES) == 63
    assert len(set(fill("dog"))) == 63


@pytest.mark.parametrize(
    ("family", "count"),
    [
        ("There is ", 2),
        (" in the scene.", 5),
        ("itap of ", 3),
        ("painting", 2),
        ("embroidered", 2),
        ("hard to see", 2),
        ("black and white photo", 2),
        ("good photo", 2),
        ("plushie", 2),
        ("many dog", 1),
    ],
)
def test_families(family: str, count: int) -> None:
    assert sum(family in text for text in fill("dog")) == count


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("dog", "itap of a dog."),
        ("apple", "itap of an apple."),
        ("Apple", "itap of a apple."),  # capitals do not count, as released
        ("hour", "itap of a hour."),
        ("hot_dog", "itap of a hot dog."),
        ("sofa/Couch", "itap of a sofa or couch."),
        ("U.S.A..", "itap of a u.s.a."),
    ],
)
def test_article_and_cleaning(name: str, expected: str) -> None:
    assert expected in fill(name)


def test_this_is_stands_before_sentences_that_begin_with_an_article() -> None:
    texts = fill("owl")
    assert "This is a photo of an owl." in texts
    assert "This is the toy owl." in texts
    assert "This is an embroidered owl." in texts
    assert "There is an owl in the scene." in texts
    starts = {text.split()[0] for text in texts}
    assert starts == {"This", "There", "itap"}
    assert sum(text.startswith("This is ") for text in texts) == 63 - 2 - 3


@pytest.mark.parametrize("name", ["", "...", " _ "])
def test_empty_names(name: str) -> None:
    with pytest.raises(LabelError, match="no letters"):
        clean_name(name)


def test_ensemble_is_the_unit_mean_of_unit_vectors() -> None:
    names = [f"tag {number}" for number in range(70)]  # more than one chunk
    encoder = CountingEncoder()
    rows = ensemble(names, encoder)
    assert (rows.shape, rows.dtype) == ((70, 8), np.float32)
    for position in (0, 63, 64, 69):
        mean = encoder.encode(fill(names[position])).mean(0)
        np.testing.assert_allclose(rows[position], mean / np.linalg.norm(mean), rtol=1e-5)


def test_prompt_ensemble_is_an_encoder_of_names() -> None:
    encoder = CountingEncoder()
    names = PromptEnsemble(encoder)
    np.testing.assert_array_equal(names.encode(["cat"]), ensemble(["cat"], encoder))
    assert names.dim == 8
    assert names.fingerprint != encoder.fingerprint
    assert ensemble([], encoder).shape == (0, 8)
