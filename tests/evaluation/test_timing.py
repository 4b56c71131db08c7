"""The stages do what the tagger does; how long they take is for no test to say."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from PIL import Image

from anytag import Tagger
from anytag.errors import UsageError
from anytag.evaluation.memory import PeakMemory, process_peak
from anytag.evaluation.timing import (
    made_photos,
    num_together,
    readable,
    stages,
    time_stages,
    time_stream,
    time_tags,
    with_num_tags,
)

FAMILIES = ("tiny", "ram", "ram_plus", "tag2text")


@pytest.fixture(scope="module")
def taggers(tiny_model: Path, released_models: dict[str, Path]) -> dict[str, Tagger]:
    paths = {"tiny": tiny_model, **released_models}
    return {name: Tagger.from_pretrained(path, device="cpu") for name, path in paths.items()}


@pytest.fixture(scope="module")
def photos() -> list[bytes]:
    return made_photos(2, size=(80, 60))


@pytest.mark.parametrize("family", FAMILIES)
def test_the_stages_give_the_taggers_tags(
    family: str, taggers: dict[str, Tagger], photos: list[bytes]
) -> None:
    tagger = taggers[family]
    chain = stages(tagger)
    assert [name for name, _ in chain] == ["read", "preprocess", "encoder", "decoder", "selection"]
    value: Any = photos
    for _, function in chain:
        value = function(value)
    for tags, photo in zip(value, photos, strict=True):
        expected = tagger(photo).tags
        assert [tag.name for tag in tags] == [tag.name for tag in expected]
        assert [tag.score for tag in tags] == pytest.approx(
            [tag.score for tag in expected], abs=1e-5
        )


def test_an_exported_model_is_one_stage(taggers: dict[str, Tagger]) -> None:
    tagger = taggers["tiny"]
    exported = SimpleNamespace(model=object(), labels=tagger.labels, score=tagger.score)
    names = [name for name, _ in stages(cast(Any, exported))]
    assert names == ["read", "network", "selection"]


@pytest.mark.parametrize("family", FAMILIES)
def test_more_tags_are_the_models_own_over_and_over(
    family: str, taggers: dict[str, Tagger], photos: list[bytes]
) -> None:
    tagger = taggers[family]
    num = len(tagger.labels)
    pixels = tagger.load(photos[0]).pixels[None]
    scores = with_num_tags(tagger, 2 * num + 1).score(pixels)[0]
    own = tagger.score(pixels)[0]
    np.testing.assert_allclose(scores, np.concatenate([own, own, own[:1]]), atol=1e-5)
    assert with_num_tags(tagger, 2).score(pixels).shape == (1, 2)


def test_figures(taggers: dict[str, Tagger], photos: list[bytes]) -> None:
    tagger = taggers["tiny"]
    named, total = time_stages(tagger, [*photos, *photos, photos[0]], batch_size=8)
    assert len(named) == 5
    for one in [*named, total]:
        assert 0 < one.p50 <= one.p99
        assert one.rate > 0
        assert one.peak_mb is None or one.peak_mb > 1
    # seconds an image of all stages are the sum of each one's
    assert 1 / total.rate == pytest.approx(sum(1 / one.rate for one in named))
    assert total.p99 >= max(one.p50 for one in named)
    through = time_stream(tagger, photos, batch_size=2, workers=1, rounds=2)
    assert len(through.rates) == 2
    assert min(through.rates) > 0
    counts = time_tags(tagger, photos[0], [1, 7], rounds=1)
    assert [count for count, _ in counts] == [1, 7]
    assert all(milliseconds > 0 for _, milliseconds in counts)


def test_images_together(taggers: dict[str, Tagger]) -> None:
    tagger = taggers["tiny"]
    assert [num_together(tagger, size) for size in (1, 32)] == [1, 4]
    cuda = SimpleNamespace(device=SimpleNamespace(type="cuda"))
    assert num_together(cast(Any, cuda), 32) == 32


def test_broken_images_are_left_out(taggers: dict[str, Tagger], photos: list[bytes]) -> None:
    assert readable(taggers["tiny"], [b"broken", photos[0], Path("missing.jpg")]) == [photos[0]]
    with pytest.raises(UsageError, match="none of the images"):
        readable(taggers["tiny"], [b"broken"])


def test_made_photos_are_different_jpegs_of_this_size() -> None:
    photos = made_photos(2, size=(160, 120))
    images = [Image.open(io.BytesIO(photo)) for photo in photos]
    assert all((image.format, image.size) == ("JPEG", (160, 120)) for image in images)
    assert photos[0] != photos[1]
    assert photos == made_photos(2, size=(160, 120))


@pytest.mark.skipif(sys.platform != "linux", reason="other systems only know the highest of all")
def test_peak_memory_is_of_a_span() -> None:
    watch = PeakMemory(SimpleNamespace(type="cpu"))
    assert watch.mb is None
    watch.begin()
    watch.end()
    before = watch.mb
    assert before is not None
    watch.begin()
    block = np.ones(80_000_000, np.uint8)
    assert block.any()
    watch.end()
    assert watch.mb is not None
    assert watch.mb - before > 60
    lowest = process_peak()
    assert lowest is not None
    assert lowest / 1e6 == pytest.approx(watch.mb, rel=0.05)
