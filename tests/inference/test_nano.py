"""The embedded model: what the package promises of it."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from anytag import Tagger
from anytag.checkpoints.directory import find_model, load_directory
from anytag.inference.static_text import StaticTextEncoder

skimage = pytest.importorskip("skimage", reason="its sample photos come with anytag[demo]")
SAMPLES = Path(skimage.__file__).parent / "data"


@pytest.fixture(scope="module")
def nano() -> Tagger:
    return Tagger.from_pretrained("nano")


def test_it_fits_the_package() -> None:
    size = sum(path.stat().st_size for path in find_model("nano").rglob("*") if path.is_file())
    assert size < 30_000_000


@pytest.mark.parametrize(
    ("photo", "expected"),
    [
        ("chelsea.png", {"cat"}),
        ("coffee.png", {"cup", "mug", "coffee", "espresso"}),
        ("rocket.jpg", {"rocket", "missile"}),
    ],
)
def test_sample_photos(nano: Tagger, photo: str, expected: set[str]) -> None:
    names = [tag.name for tag in nano(SAMPLES / photo, top_k=15).tags]
    assert expected & set(names), names


def test_own_tags_offline(nano: Tagger) -> None:
    """Tags outside the list of 1,000s are ranked sensibly by their text alone."""
    own = nano.with_tags(["house cat", "office building", "freight train", "kitchen sink"])
    assert own(SAMPLES / "chelsea.png", top_k=1).tags[0].name == "house cat"


def test_it_captions_offline(nano: Tagger) -> None:
    """A sentence of words, of the length that was asked for; what it says is another matter."""
    assert nano.writes_captions
    caption = nano.caption(SAMPLES / "astronaut.png")
    assert isinstance(caption, str)
    assert re.fullmatch(r"[a-z][a-z0-9' ,-]+", caption), caption
    assert len(caption.split()) >= 3
    beams = nano.caption([SAMPLES / "chelsea.png", SAMPLES / "rocket.jpg"], num_beams=1)
    assert len(beams) == 2
    assert nano.with_tags(["cat"]).caption(SAMPLES / "astronaut.png", ["cat"])


def test_captions_do_not_change_what_is_tagged(nano: Tagger, silent_nano: Path) -> None:
    """The captioner stands beside the tagger: without it every score is the same, bit by bit."""
    silent = Tagger.from_pretrained(silent_nano)
    assert not silent.writes_captions
    photo = nano.load(SAMPLES / "coffee.png").pixels[None]
    expected = nano.score(photo)
    nano.captioner()(photo)
    np.testing.assert_array_equal(silent.score(photo), expected)
    np.testing.assert_array_equal(nano.score(photo), expected)


def test_built_in_embeddings_are_the_text_encoders() -> None:
    """So that a tag asked by name and the same built-in tag have one score."""
    loaded = load_directory(find_model("nano"))
    encoder = StaticTextEncoder.load(loaded.path / "text_encoder")
    stored = loaded.label_embeddings.numpy()
    np.testing.assert_allclose(encoder.encode(loaded.labels.names), stored, atol=2e-3)
    assert encoder.dim == loaded.card.network.text_width


def test_label_list_is_everyday_and_complete(nano: Tagger) -> None:
    labels = nano.labels
    assert len(labels) >= 1000
    for name in ("dog", "person", "beach", "car", "pizza", "golden retriever", "couch"):
        assert labels.find(name) is not None, name
    assert {label.kind for label in labels} == {"object", "scene", "action", "attribute"}
    golden = labels.find("golden retriever")
    assert golden is not None
    assert {"dog", "animal"} <= set(golden.parents)
    assert all(0.1 <= label.threshold <= 0.95 for label in labels)


def test_model_card_says_what_it_must() -> None:
    card = (find_model("nano") / "README.md").read_text(encoding="utf-8")
    for part in ("Training data", "Licence", "cannot do", "captions", "Measured"):
        assert part in card, part
