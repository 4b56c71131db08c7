"""Captions of photos: the public code's with its tags, given tags, mixed tags, and refusals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file

from anytag import Tagger
from anytag.errors import AnytagError, ImageError, ModelError, UsageError

GOLDEN = Path(__file__).parents[1] / "golden"
CASES: dict[str, Any] = json.loads((GOLDEN / "tag2text/config.json").read_text())["expected"][
    "captions_out"
]


@pytest.fixture(scope="module")
def tag2text(released_models: dict[str, Path]) -> Tagger:
    return Tagger.from_pretrained(released_models["tag2text"])


@pytest.fixture
def golden_images(tag2text: Tagger, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Two stand-ins for the images that the public code saw."""
    images = load_file(GOLDEN / "tag2text/inputs.safetensors")["image"]

    def prepared(self: Any, pixels: Any) -> Any:
        return images[pixels[:, 0, 0, 0].tolist()]

    monkeypatch.setattr(type(tag2text._model), "images", prepared)
    return [np.full((128, 128, 3), number, np.uint8) for number in (0, 1)]


@pytest.mark.parity
def test_published_captions(tag2text: Tagger, golden_images: list[Any]) -> None:
    assert tag2text.caption(golden_images) == [
        CASES[f"beam3_default_pred.{number}"]["caption"] for number in (0, 1)
    ]
    results = list(tag2text.caption_stream(golden_images))
    assert [result.caption for result in results] == tag2text.caption(golden_images)
    for number, result in enumerate(results):
        names = [tag.name for tag in sorted(result.tags, key=lambda tag: tag.id)]
        assert " | ".join(names) == CASES[f"beam3_default_pred.{number}"]["tags"]


@pytest.mark.parity
def test_published_captions_with_given_tags(tag2text: Tagger, golden_images: list[Any]) -> None:
    cases = {name: case for name, case in CASES.items() if "user" in name and "caption" in case}
    assert cases
    for name, case in cases.items():
        options = {key: value for key, value in case["args"].items() if key != "tag_input"}
        image = golden_images[int(name.rpartition(".")[2])]
        assert tag2text.caption(image, case["tags"].split(" | "), **options) == case["caption"]


def test_given_and_found_tags(tag2text: Tagger, golden_images: list[Any]) -> None:
    """Mixed: the given ones first, then what is found, none twice."""
    image = golden_images[0]
    found = CASES["beam3_default_pred.0"]["tags"].split(" | ")
    asked: list[Any] = []
    writer = tag2text._model.caption_writer
    write = writer.write
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writer, "write", lambda t, names, *a: asked.append(names) or write(t, names))
        tag2text.caption(image, ["red panda", found[1]], mix=True)
        tag2text.caption(image, ["red  panda"])
        tag2text.caption(image, [])
        tag2text.caption(image)
    others = [name for name in found if name != found[1]]
    assert asked == [[["red panda", found[1], *others]], [["red panda"]], [[]], [found]]


def test_sampling(tag2text: Tagger, golden_images: list[Any]) -> None:
    image = golden_images[0]
    first = tag2text.caption(image, sample=True, seed=3)
    assert first == tag2text.caption(image, sample=True, seed=3)
    assert len({tag2text.caption(image, sample=True) for _ in range(8)}) > 1


def test_rams_own_caption_branch(released_models: dict[str, Path]) -> None:
    ram = Tagger.from_pretrained(released_models["ram"])
    photo = Image.new("RGB", (40, 30), "green")
    assert isinstance(ram.caption(photo), str)
    own = ram.with_tags({"okapi": np.ones(56)}, extend=True)
    assert isinstance(own.caption([photo], ["okapi"], mix=True), list)


def test_bfloat16_writes_captions(released_models: dict[str, Path]) -> None:
    half = Tagger.from_pretrained(released_models["tag2text"], dtype="bfloat16")
    assert isinstance(half.caption(Image.new("RGB", (40, 30), "green")), str)


def test_unreadable_images_are_results(tag2text: Tagger, tmp_path: Path) -> None:
    photo = Image.new("RGB", (40, 30), "green")
    results = list(tag2text.caption_stream([photo, tmp_path / "missing.jpg", photo], batch_size=2))
    assert [result.error and result.error.type for result in results] == [None, "missing", None]
    assert results[0].caption == results[2].caption
    assert results[1].caption is None
    assert results[0].record()["caption"] == results[0].caption
    with pytest.raises(ImageError):
        tag2text.caption(tmp_path / "missing.jpg")


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"num_beam": 2}, UsageError, "unknown caption option 'num_beam': expected num_beams"),
        ({"num_beams": 0}, UsageError, "must be at least 1"),
        ({"min_length": 40}, UsageError, "min_length 40 is above max_length 30"),
        ({"mix": True}, UsageError, "give tags"),
        ({"tags": "dog, cat"}, UsageError, "must be a list of names"),
    ],
)
def test_wrong_arguments(
    tag2text: Tagger, arguments: dict[str, Any], error: type[AnytagError], message: str
) -> None:
    with pytest.raises(error, match=message):
        tag2text.caption(Image.new("RGB", (40, 30)), **arguments)


def test_models_without_captioner(
    released_models: dict[str, Path], tiny_model: Path, released_files: Any, tmp_path: Path
) -> None:
    photo = Image.new("RGB", (40, 30))
    for path in (released_models["ram_plus"], tiny_model):
        with pytest.raises(ModelError, match="writes no captions: nano, RAM and Tag2Text do"):
            Tagger.from_pretrained(path).caption(photo)
    files = released_files["ram"]
    files.convert(tmp_path / "mute", vocabulary=None)
    with pytest.raises(ModelError, match=r"captions need .*vocab\.txt"):
        Tagger.from_pretrained(tmp_path / "mute").caption(photo)
