"""Tagger on a tiny real model directory."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from anytag import Tagger
from anytag.checkpoints.directory import load_directory
from anytag.data.images import ImageLimits
from anytag.errors import ImageError, LabelError, UsageError
from anytag.inference.tagger import CPU_CHUNK


@pytest.fixture(scope="module")
def tagger(tiny_model: Path) -> Tagger:
    return Tagger.from_pretrained(tiny_model)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("photos")
    random = np.random.default_rng(0)
    paths = []
    for number in range(5):
        pixels = random.integers(0, 256, (6, 9, 3), np.uint8)
        paths.append(folder / f"{number}.png")
        Image.fromarray(pixels).resize((90, 60), Image.Resampling.BICUBIC).save(paths[-1])
    return paths


def test_every_kind_of_source_gives_the_same_scores(tagger: Tagger, photos: list[Path]) -> None:
    path = photos[0]
    picture = Image.open(path)
    results = [
        tagger(source)
        for source in (path, str(path), path.read_bytes(), picture, np.asarray(picture))
    ]
    for result in results:
        assert result.scores is not None
        np.testing.assert_array_equal(result.scores, results[0].scores)
        assert (result.width, result.height, result.model) == (90, 60, "tiny-1")
    assert results[0].path == str(path)
    assert results[3].path is None


def test_scores_are_the_networks_sigmoid(tagger: Tagger, photos: list[Path]) -> None:
    """The whole path by hand: resize, normalise, network, sigmoid."""
    picture = Image.open(photos[1]).convert("RGB").resize((64, 64), Image.Resampling.BILINEAR)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    image = (torch.from_numpy(np.array(picture)) / 255 - mean) / std
    loaded = load_directory(tagger.path)
    with torch.inference_mode():
        logits = loaded.network(
            image.permute(2, 0, 1)[None], loaded.network.prepare(loaded.label_embeddings)
        )
    result = tagger(photos[1])
    np.testing.assert_allclose(result.scores, logits.sigmoid()[0].numpy(), atol=1e-5)


def test_tags_are_sorted_and_above_their_thresholds(tagger: Tagger, photos: list[Path]) -> None:
    for photo in photos:
        result = tagger(photo)
        assert result.scores is not None
        expected = {
            label.name
            for label in tagger.labels
            if label.threshold < 1 and result.scores[label.id] >= label.threshold
        }
        assert {tag.name for tag in result.tags} == expected
        scores = [tag.score for tag in result.tags]
        assert scores == sorted(scores, reverse=True)
    assert len(tagger(photos[0], top_k=2).tags) == 2
    assert tagger(photos[0], threshold=1.0).tags == ()


def test_a_list_gives_a_list_and_errors_are_results(tagger: Tagger, photos: list[Path]) -> None:
    results = tagger([photos[0], "missing.jpg", photos[1]])
    assert [result.error and result.error.type for result in results] == [None, "missing", None]
    with pytest.raises(ImageError, match=r"missing\.jpg"):
        tagger("missing.jpg")


def test_stream_is_lazy_ordered_and_does_not_depend_on_batches(
    tagger: Tagger, photos: list[Path]
) -> None:
    def endless() -> Iterator[Path]:
        while True:
            yield from photos

    taken = []
    for result in tagger.stream(endless(), batch_size=3, workers=2):
        taken.append(result)
        if len(taken) == 12:
            break
    assert [result.path for result in taken] == [str(photos[i % 5]) for i in range(12)]
    for number, result in enumerate(taken):
        alone = tagger(photos[number % 5])
        np.testing.assert_allclose(result.scores, alone.scores, atol=1e-5)


def test_score_of_more_images_than_one_chunk(tagger: Tagger) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (2 * CPU_CHUNK + 1, 64, 64, 3), np.uint8)
    whole = tagger.score(pixels)
    assert whole.shape == (2 * CPU_CHUNK + 1, 5)
    np.testing.assert_allclose(whole[-1:], tagger.score(pixels[-1:]), atol=1e-5)
    assert tagger.score(pixels[:0]).shape == (0, 5)


def test_other_tags(tagger: Tagger, photos: list[Path]) -> None:
    other = tagger.with_tags(["red_panda", "Puppy", "cat"])
    assert [label.name for label in other.labels] == ["red panda", "Puppy", "cat"]
    assert [label.threshold for label in other.labels] == [0.4, 0.5, 0.3]  # open, dog's, cat's
    assert other.labels[2].parents == ("animal",)
    theirs, ours = other(photos[0]).scores, tagger(photos[0]).scores
    np.testing.assert_allclose(theirs[1:], ours[[1, 0]], atol=1e-6)  # a known tag keeps its score


def test_own_tags_beside_built_in_ones(tagger: Tagger, photos: list[Path]) -> None:
    both = tagger.with_tags(["forklift", "dog", "puppy", "forklift"], extend=True)
    assert [label.name for label in both.labels] == [*tagger.labels.names, "forklift"]
    alone = tagger.with_tags(["forklift"])
    for photo in photos:
        scores = both(photo).scores
        np.testing.assert_allclose(scores[:5], tagger(photo).scores, atol=1e-6)
        np.testing.assert_allclose(scores[5:], alone(photo).scores, atol=1e-6)


def test_descriptions_are_averaged(tagger: Tagger, photos: list[Path]) -> None:
    one = tagger.with_tags({"pet": ["a dog", "a cat on a tree"]})
    same = tagger.with_tags(
        {
            "pet": [
                "a cat on a tree",
                "a dog",
            ]
        }
    )
    other = tagger.with_tags(["pet"])
    np.testing.assert_allclose(one(photos[0]).scores, same(photos[0]).scores, atol=1e-6)
    assert abs(one(photos[0]).scores[0] - other(photos[0]).scores[0]) > 1e-4


@pytest.mark.parametrize(("tags", "message"), [([], "no tags given"), (["dog", " "], "empty")])
def test_wrong_tags(tagger: Tagger, tags: list[str], message: str) -> None:
    with pytest.raises(LabelError, match=message):
        tagger.with_tags(tags)


def test_classify_has_the_shape_of_transformers_pipelines(
    tagger: Tagger, photos: list[Path]
) -> None:
    answer = tagger.classify(str(photos[0]), top_k=2)
    assert [sorted(entry) for entry in answer] == [["label", "score"]] * 2
    assert answer[0]["score"] >= answer[1]["score"]
    many = tagger.classify(photos[:2], candidate_labels=["dog", "red panda", "sofa"])
    assert [len(one) for one in many] == [3, 3]
    assert {entry["label"] for entry in many[0]} == {"dog", "red panda", "sofa"}


def test_with_labels_changes_thresholds_only(tagger: Tagger, photos: list[Path]) -> None:
    strict = tagger.with_labels(tagger.labels.with_thresholds({"animal": 1.0}))
    assert "animal" not in [tag.name for tag in strict(photos[0]).tags]
    np.testing.assert_array_equal(strict(photos[0]).scores, tagger(photos[0]).scores)
    with pytest.raises(LabelError, match="same tags"):
        tagger.with_labels(tagger.with_tags(["dog"]).labels)


def test_limits_are_kept(tagger: Tagger) -> None:
    file = io.BytesIO()
    Image.new("RGB", (200, 200)).save(file, "PNG")
    (result,) = tagger.stream([file.getvalue()], limits=ImageLimits(max_pixels=100))
    assert result.error is not None
    assert result.error.type == "too_many_pixels"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"device": "gpu"}, "unknown device 'gpu'"),
        ({"device": "cuda:99"}, "this machine has"),
        ({"dtype": "int8"}, "unknown dtype 'int8'"),
    ],
)
def test_wrong_options(tiny_model: Path, options: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Tagger.from_pretrained(tiny_model, **options)


def test_bfloat16_stays_close(tiny_model: Path, tagger: Tagger, photos: list[Path]) -> None:
    half = Tagger.from_pretrained(tiny_model, dtype="bfloat16")
    for photo in photos:
        assert np.abs(half(photo).scores - tagger(photo).scores).max() < 0.05
