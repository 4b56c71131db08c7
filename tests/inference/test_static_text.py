"""StaticTextEncoder on a tiny encoder that the test writes in the real file format."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

from anytag.errors import LabelError
from anytag.inference.static_text import StaticTextEncoder, fold_text, singulars

DIM = 16
WORDS = ["dog", "hot", "hot dog", "cup", "of", "coffee", "berry", "glass", "glasses", "balloon"]
PIECES = ["a", "##a", "##b", "ab", "##ba"]


def write_encoder(folder: Path, **changes: object) -> Path:
    """Random rows; ``changes`` go into config.json."""
    random = np.random.default_rng(0)
    tensors = {}
    for part, names in (("vocabulary", WORDS), ("pieces", PIECES)):
        tensors[f"{part}.values"] = random.integers(-127, 128, (len(names), DIM), dtype=np.int8)
        tensors[f"{part}.scales"] = random.uniform(0.001, 0.002, len(names)).astype(np.float32)
        tensors[f"{part}.weights"] = np.ones(len(names), dtype=np.float16)
    save_file(tensors, folder / "encoder.safetensors")
    (folder / "vocabulary.txt").write_text("\n".join(WORDS) + "\n", encoding="utf-8")
    (folder / "pieces.txt").write_text("\n".join(PIECES) + "\n", encoding="utf-8")
    config = {"format": 1, "dim": DIM, "head_weight": 2.0, **changes}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> StaticTextEncoder:
    return StaticTextEncoder.load(write_encoder(tmp_path_factory.mktemp("encoder")))


def row(encoder: StaticTextEncoder, text: str) -> np.ndarray:
    return encoder.encode([text])[0]


def test_shape_and_known_row(encoder: StaticTextEncoder, tmp_path: Path) -> None:
    assert encoder.dim == DIM
    assert encoder.encode([]).shape == (0, DIM)
    stored = np.random.default_rng(0).integers(-127, 128, (len(WORDS), DIM), dtype=np.int8)[0]
    expected = stored / np.linalg.norm(stored.astype(np.float64))
    np.testing.assert_allclose(row(encoder, "dog"), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Hot_Dog", "hot dog"),
        ("  hot   dog ", "hot dog"),
        ("hot-dog!", "hot dog"),
        ("hót dög", "hot dog"),
        ("dogs", "dog"),
        ("hot dogs", "hot dog"),
        ("berries", "berry"),
        ("DOG'S", "dogs"),
    ],
)
def test_spellings_of_one_text(encoder: StaticTextEncoder, one: str, other: str) -> None:
    np.testing.assert_array_equal(row(encoder, one), row(encoder, other))


def test_an_entry_wins_over_its_singular_and_a_phrase_over_its_words(
    encoder: StaticTextEncoder,
) -> None:
    assert not np.allclose(row(encoder, "glasses"), row(encoder, "glass"))
    words = row(encoder, "hot") + 2 * row(encoder, "dog")
    assert not np.allclose(row(encoder, "hot dog"), words / np.linalg.norm(words), atol=1e-3)


def test_the_head_counts_more(encoder: StaticTextEncoder) -> None:
    """ "hot balloon" is about a balloon, "cup of coffee" about a cup."""
    for text, head, other in (
        ("hot balloon", "balloon", "hot"),
        ("cup of coffee", "cup", "coffee"),
    ):
        swapped = " ".join(reversed(text.split()))
        assert row(encoder, text) @ row(encoder, head) > row(encoder, swapped) @ row(encoder, head)
        assert row(encoder, text) @ row(encoder, other) < row(encoder, swapped) @ row(
            encoder, other
        )


def test_unknown_words_take_their_longest_pieces(encoder: StaticTextEncoder) -> None:
    assert not np.allclose(row(encoder, "abba"), row(encoder, "aba"))
    np.testing.assert_array_equal(row(encoder, "abba"), row(encoder, "ABBA"))


@pytest.mark.parametrize("text", ["", " ", "\t\n", "_", " _ "])
def test_blank_text_is_refused(encoder: StaticTextEncoder, text: str) -> None:
    with pytest.raises(LabelError, match="text 1 is empty"):
        encoder.encode(["dog", text])


@given(st.text(min_size=1).filter(lambda text: text.strip(" \t\r\n_")))
def test_any_text_gives_one_finite_unit_vector(encoder: StaticTextEncoder, text: str) -> None:
    first = encoder.encode([text])
    assert first.dtype == np.float32
    assert np.isfinite(first).all()
    assert np.linalg.norm(first) == pytest.approx(1, abs=1e-5)
    np.testing.assert_array_equal(first, encoder.encode([text]))


@given(st.lists(st.sampled_from(["dog", "hot dog", "xyz", "日本", "a cup of dogs"]), max_size=6))
def test_rows_do_not_depend_on_the_batch(encoder: StaticTextEncoder, texts: list[str]) -> None:
    together = encoder.encode(texts)
    backwards = encoder.encode(texts[::-1])[::-1]
    np.testing.assert_array_equal(together, backwards)
    for position, text in enumerate(texts):
        np.testing.assert_array_equal(together[position], row(encoder, text))


def test_threads_share_one_encoder(encoder: StaticTextEncoder) -> None:
    texts = [f"{word} number {i}" for i in range(50) for word in WORDS]
    expected = encoder.encode(texts)
    with ThreadPoolExecutor(4) as pool:
        for result in pool.map(lambda _: encoder.encode(texts), range(8)):
            np.testing.assert_array_equal(result, expected)


def test_fold_text_and_singulars() -> None:
    assert fold_text("Jack-o'-lantern_2, Café") == "jack o lantern 2 cafe"
    assert "bus" in singulars("buses")
    assert "knife" in singulars("knives")
    assert list(singulars("glass")) == []
    assert list(singulars("bus")) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 2}, "format 2"),
        ({"dim": DIM + 1}, "10 names in vocabulary.txt, vectors .10, 16., width 17"),
    ],
)
def test_files_that_do_not_fit(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    with pytest.raises(LabelError, match=message):
        StaticTextEncoder.load(write_encoder(tmp_path, **changes))


@pytest.mark.parametrize("name", ["config.json", "vocabulary.txt", "encoder.safetensors"])
def test_missing_or_broken_files(tmp_path: Path, name: str) -> None:
    write_encoder(tmp_path)
    (tmp_path / name).write_bytes(b"{}")
    with pytest.raises(LabelError):
        StaticTextEncoder.load(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(LabelError, match="not a text encoder"):
        StaticTextEncoder.load(tmp_path)
