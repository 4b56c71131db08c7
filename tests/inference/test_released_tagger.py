"""Tagger on converted RAM, RAM++ and Tag2Text: published tags, own tags, pixels as published."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from anytag import Tagger
from anytag.checkpoints.released_directory import load_released
from anytag.data.transforms import CLIP, IMAGENET, normalize
from anytag.errors import LabelError, ModelError, UsageError
from anytag.inference.prompts import ensemble
from anytag.inference.selection import TagSelector
from anytag.models.reweight import Descriptions

GOLDEN = Path(__file__).parents[1] / "golden"
WIDTH = 56
FAMILIES = ("ram", "ram_plus", "tag2text")


class FakeClip:
    """Texts to unit vectors that depend on the text alone."""

    dim = WIDTH
    fingerprint = "fake"

    def __init__(self) -> None:
        self.calls: list[int] = []

    def encode(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        self.calls.append(len(texts))
        rows = [np.random.default_rng(list(text.encode())).normal(size=WIDTH) for text in texts]
        unit = [row / np.linalg.norm(row) for row in rows]
        return np.array(unit, np.float32)


@pytest.fixture(scope="module")
def pixels() -> npt.NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (3, 128, 128, 3), np.uint8)


@pytest.fixture(scope="module")
def taggers(released_models: dict[str, Path]) -> dict[str, Tagger]:
    return {
        family: Tagger.from_pretrained(
            path, text_encoder=None if family == "tag2text" else FakeClip()
        )
        for family, path in released_models.items()
    }


def golden_pixels(family: str) -> torch.Tensor:
    return load_file(GOLDEN / family / "inputs.safetensors")["image"]


@pytest.mark.parity
@pytest.mark.parametrize("family", FAMILIES)
def test_published_tags(
    family: str, taggers: dict[str, Tagger], released_files: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole way from the pixels that the public code saw: its tags, in both languages."""
    tagger, settings = taggers[family], released_files[family].settings
    images = golden_pixels(family)
    monkeypatch.setattr(type(tagger._model), "images", lambda self, part: images[: len(part)])
    scores = tagger.score(np.zeros((2, 128, 128, 3), np.uint8))
    expected = load_file(GOLDEN / family / "outputs.safetensors")["tag_probs"].numpy()
    np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-4)
    cases = {None: "tag_texts"} if family == "tag2text" else {None: "tags_en", "zh": "tags_zh"}
    for language, key in cases.items():
        select = TagSelector(tagger.labels, language=language)
        tags = [sorted(select(row), key=lambda tag: tag.id) for row in scores]
        texts = [" | ".join(tag.name for tag in row) for row in tags]
        if family == "tag2text":
            cases_out = settings["expected"]["captions_out"]
            assert texts == cases_out["batch2_transformers4_30_beam3"]["tags"]
        else:
            assert texts == [text.strip() for text in _stripped(settings["expected"][key])]


def _stripped(texts: list[str]) -> list[str]:
    """Without the blanks that published Chinese names have at their ends."""
    return [" | ".join(name.strip() for name in text.split(" | ")) for text in texts]


@pytest.mark.parametrize("family", FAMILIES)
def test_pixels_are_prepared_as_published(
    family: str, taggers: dict[str, Tagger], released_models: dict[str, Path], tmp_path: Path
) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (90, 200, 3), np.uint8)
    # large enough that other models decode it at half its size
    Image.fromarray(noise).resize((1200, 700)).save(tmp_path / "photo.jpg")
    photo = Image.open(tmp_path / "photo.jpg").convert("RGB")
    small = photo.resize((128, 128), Image.Resampling.BILINEAR)
    loaded = load_released(released_models[family])
    network: Any = loaded.network
    other = Tagger.from_pretrained(released_models[family], normalization="clip")
    for tagger, statistics in ((taggers[family], IMAGENET), (other, CLIP)):
        with torch.no_grad():
            rows = loaded.label_embeddings
            state = network.prepare() if rows is None else network.prepare(rows)
            images = normalize(np.asarray(small)[None], statistics)
            expected = network(images, state).sigmoid()[0].numpy()
        result = tagger(tmp_path / "photo.jpg")
        np.testing.assert_allclose(result.scores, expected, atol=1e-5)
    assert other.model_name == f"{taggers[family].model_name}+clip"
    with pytest.raises(UsageError, match="unknown normalization 'none': expected imagenet or clip"):
        Tagger.from_pretrained(released_models[family], normalization="none")


@pytest.mark.parametrize("family", FAMILIES)
def test_a_subset_has_the_same_scores(
    family: str, taggers: dict[str, Tagger], pixels: npt.NDArray[np.uint8]
) -> None:
    tagger = taggers[family]
    names = [tagger.labels[i].name for i in (7, 2, 19, 0)]
    # Tag2Text's list has names twice; both are asked for
    ids = [label.id for name in names for label in tagger.labels.find_all(name)]
    assert len(ids) == (5 if family == "tag2text" else 4)
    some = tagger.with_tags(names)
    assert some.labels.names == [tagger.labels[i].name for i in ids]
    assert [label.threshold for label in some.labels] == [tagger.labels[i].threshold for i in ids]
    assert not any(label.muted for label in some.labels)  # asked for by name
    np.testing.assert_allclose(some.score(pixels), tagger.score(pixels)[:, ids], atol=2e-6)


@pytest.mark.parametrize("family", ["ram", "ram_plus"])
def test_own_tags_beside_built_in_ones(
    family: str, taggers: dict[str, Tagger], pixels: npt.NDArray[np.uint8]
) -> None:
    tagger = taggers[family]
    own = {
        "forklift": ["a yellow machine", "a truck with a fork", "it lifts pallets"],
        "red panda": [],
        "okapi": ["a striped animal"],
        "dog": [],
    }
    both = tagger.with_tags(own, extend=True)
    assert both.labels.names == [*tagger.labels.names, "forklift", "red panda", "okapi"]
    assert {label.threshold for label in both.labels[20:]} == {0.5}
    scores = both.score(pixels)
    np.testing.assert_allclose(scores[:, :20], tagger.score(pixels), atol=2e-6)
    for number, name in enumerate(["forklift", "red panda", "okapi"], 20):
        alone = tagger.with_tags({name: own[name]})
        np.testing.assert_allclose(scores[:, number], alone.score(pixels)[:, 0], atol=2e-6)
    mixed = tagger.with_tags({"okapi": own["okapi"], "cat": [], "forklift": own["forklift"]})
    np.testing.assert_allclose(mixed.score(pixels), scores[:, [22, 3, 20]], atol=2e-6)
    assert mixed.with_tags(["cat", "okapi"]).score(pixels).shape == (3, 2)


def test_ram_averages_63_sentences(released_models: dict[str, Path]) -> None:
    clip = FakeClip()
    tagger = Tagger.from_pretrained(released_models["ram"], text_encoder=clip)
    own = tagger.with_tags(["red panda", "okapi"])
    assert clip.calls == [2 * 63]
    given = tagger.with_tags(
        dict(zip(["a", "b"], ensemble(["red panda", "okapi"], clip), strict=True))
    )
    image = np.zeros((1, 128, 128, 3), np.uint8)
    np.testing.assert_allclose(own.score(image), given.score(image), atol=1e-6)


@pytest.mark.parity
@pytest.mark.parametrize("family", ["ram", "ram_plus"])
def test_published_open_vocabulary(
    family: str, released_models: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Embeddings that are given need no text encoder, and give the public code's numbers."""
    tagger = Tagger.from_pretrained(released_models[family])
    rows = load_file(GOLDEN / family / "inputs.safetensors")["openset_label_embed"].numpy()
    rows = rows.reshape(7, -1, WIDTH) if family == "ram_plus" else rows
    own = tagger.with_tags({f"own {i}": row for i, row in enumerate(rows)})
    both = tagger.with_tags({f"own {i}": row for i, row in enumerate(rows)}, extend=True)
    images = golden_pixels(family)
    monkeypatch.setattr(type(tagger._model), "images", lambda self, part: images[: len(part)])
    expected = load_file(GOLDEN / family / "outputs.safetensors")["openset_logits"]
    zeros = np.zeros((2, 128, 128, 3), np.uint8)
    np.testing.assert_allclose(own.score(zeros), expected.sigmoid().numpy(), atol=1e-4)
    np.testing.assert_allclose(both.score(zeros)[:, 20:], own.score(zeros), atol=2e-6)


def test_extending_copies_no_descriptions(taggers: dict[str, Tagger]) -> None:
    tagger = taggers["ram_plus"]
    both = tagger.with_tags({"okapi": ["striped"]}, extend=True)
    before, after = tagger._vocabulary.rows, both._vocabulary.rows
    assert isinstance(before, Descriptions)
    assert isinstance(after, Descriptions)
    assert after.groups[0].data_ptr() == before.groups[0].data_ptr()


def test_tag2text_refuses_own_tags(taggers: dict[str, Tagger]) -> None:
    for tags in (["dog", "okapi"], {"dog": ["a barking animal"]}):
        with pytest.raises(LabelError, match="Tag2Text knows no others"):
            taggers["tag2text"].with_tags(tags)


@pytest.mark.parametrize(
    ("tags", "error", "message"),
    [
        (["okapi"], ModelError, "'okapi' is not among this model's tags, and own tags need"),
        ({"okapi": np.zeros(9)}, LabelError, r"shape \[9\], expected \[56\]"),
        ({"okapi": np.zeros(WIDTH)}, LabelError, "no row all zero"),
        ({"okapi": np.full(WIDTH, np.nan)}, LabelError, "finite"),
        ({"okapi": np.ones((2, 2, WIDTH))}, LabelError, r"shape \[2, 2, 56\]"),
        ([" "], LabelError, "empty name"),
    ],
)
@pytest.mark.parametrize("family", ["ram", "ram_plus"])
def test_wrong_own_tags(
    family: str, tags: Any, error: type[Exception], message: str, released_models: dict[str, Path]
) -> None:
    tagger = Tagger.from_pretrained(released_models[family])
    with pytest.raises(error, match=message) as caught:
        tagger.with_tags(tags)
    assert "\n" not in str(caught.value)


def test_another_text_encoder_is_refused(released_models: dict[str, Path]) -> None:
    clip = FakeClip()
    clip.dim = 12
    tagger = Tagger.from_pretrained(released_models["ram"], text_encoder=clip)
    with pytest.raises(ModelError, match="vectors of 12 numbers, this model was trained with 56"):
        tagger.with_tags(["okapi"])


def test_text_encoder_of_the_directory(
    released_models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "model"
    shutil.copytree(released_models["ram"], folder)
    (folder / "text_encoder").mkdir()
    asked: list[Any] = []

    def load(source: Path, device: str) -> FakeClip:
        asked.append((source, device))
        return FakeClip()

    monkeypatch.setattr("anytag.inference.clip_text.ClipTextEncoder.load", load)
    tagger = Tagger.from_pretrained(folder)
    assert asked == []  # read when it is needed
    tagger.with_tags(["okapi"])
    tagger.with_tags(["red panda"])
    assert asked == [(folder / "text_encoder", "cpu")]


def test_converted_models_on_the_hub(
    released_models: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "huggingface_hub.snapshot_download", lambda name, **_: str(released_models[name[4:]])
    )
    tagger = Tagger.from_pretrained("org/ram_plus")
    assert tagger.model_name.startswith("ram_plus-")
    assert tagger.path == released_models["ram_plus"]


@pytest.mark.parametrize("family", FAMILIES)
def test_bfloat16_stays_close(
    family: str,
    taggers: dict[str, Tagger],
    released_models: dict[str, Path],
    pixels: npt.NDArray[np.uint8],
) -> None:
    half = Tagger.from_pretrained(released_models[family], dtype="bfloat16")
    assert np.abs(half.score(pixels) - taggers[family].score(pixels)).max() < 0.1
