"""The cascade: kept scores unchanged, audits exact, lost tags noticed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image

from anytag import Tagger
from anytag.errors import UsageError
from anytag.inference.cascade import Cascade, CascadeConfig, Guess
from anytag.labels.labelset import LabelSet

CONFIG = CascadeConfig(num_kept=4, warm_up=128, audit_every=4, window=16)
NUM_TAGS, WIDTH = 30, 6


class Linearly:
    """A network whose logits are a linear function of the picture's one token, plus noise."""

    def __init__(self, noise: float) -> None:
        random = np.random.default_rng(1)
        self.matrix = random.normal(size=(WIDTH, NUM_TAGS)).astype(np.float32)
        self.noise = noise
        self.network = self
        self.token_width = WIDTH
        self.asked: list[int] = []

    def images(self, pixels: npt.NDArray[np.uint8]) -> torch.Tensor:
        return torch.from_numpy(pixels.astype(np.float32))

    def encoder(self, images: torch.Tensor) -> torch.Tensor:
        return images.flatten(1)[:, None, :WIDTH] / 64 - 2

    def decode(self, tokens: torch.Tensor, state: State) -> torch.Tensor:
        self.asked.append(len(state.tags))
        logits = tokens[:, 0] @ torch.from_numpy(self.matrix)
        seed = int(tokens.double().sum().item() * 1e4) % 2**31
        bumps = torch.randn(NUM_TAGS, generator=torch.Generator().manual_seed(seed))
        return (logits - 5 + self.noise * bumps)[:, state.tags]


class State:
    def __init__(self, tags: list[int]) -> None:
        self.tags = tags

    def take(self, tags: list[int]) -> State:
        return State(tags)


def pictures(count: int) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (count, 1, 2, 3), np.uint8)


def cascade_of(model: Linearly, labels: LabelSet | None = None) -> Cascade:
    labels = labels or LabelSet.from_names([f"tag {i}" for i in range(NUM_TAGS)], threshold=0.5)
    return Cascade(model, State(list(range(NUM_TAGS))), labels, CONFIG)  # type: ignore[arg-type]


def full_scores(model: Linearly, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    state = State(list(range(NUM_TAGS)))
    logits = [model.decode(model.encoder(model.images(one[None])), state)[0] for one in pixels]
    scores: npt.NDArray[np.float32] = torch.stack(logits).sigmoid().numpy()
    return scores


def test_kept_scores_are_the_full_ones_and_no_tag_is_lost_where_the_guess_is_right() -> None:
    model, pixels = Linearly(0.0), pictures(400)
    cascade = cascade_of(model)
    found = np.concatenate([cascade.score(pixels[start : start + 8]) for start in range(0, 400, 8)])
    expected = full_scores(model, pixels)
    asked = np.isfinite(found)
    np.testing.assert_allclose(found[asked], expected[asked], atol=1e-6)
    assert asked[:128].all(), "the warm-up asks for all tags"
    assert asked[128:].all(1).sum() == 68, "then every fourth picture is audited"
    assert not (expected >= 0.5)[~asked].any()
    report = cascade.report
    assert (report.num_images, report.num_audited) == (400, 128 + 68)
    assert report.recall == 1.0
    assert report.num_tags > 50
    assert 4 <= report.num_kept < NUM_TAGS
    assert min(model.asked[:400]) >= 4


def test_a_missed_tag_raises_the_number_kept() -> None:
    model = Linearly(0.0)
    cascade = cascade_of(model)
    cascade.score(pictures(128))
    before = cascade.num_kept
    assert before < NUM_TAGS
    model.noise = 6.0  # the photos have changed: the guess is no longer right
    cascade.score(pictures(160)[128:])
    report = cascade.report
    assert report.num_missed > 0
    assert report.recall is not None
    assert report.recall < 1
    assert report.num_kept > before


def test_before_the_guess_everything_is_asked() -> None:
    cascade = cascade_of(Linearly(0.0))
    assert cascade.report.recall is None
    assert cascade.num_kept == NUM_TAGS
    assert np.isfinite(cascade.score(pictures(3))).all()


def test_muted_tags_and_thresholds_of_one_are_ranked_last() -> None:
    names = LabelSet.from_names([f"tag {i}" for i in range(NUM_TAGS)], threshold=0.5)
    labels = LabelSet(
        [
            replace(label, muted=label.id == 3, threshold=1.0 if label.id == 7 else 0.5)
            for label in names
        ]
    )
    cascade = cascade_of(Linearly(0.0), labels)
    assert set(cascade.rank(torch.full((NUM_TAGS,), 9.0))[-2:].tolist()) == {3, 7}


def test_the_guess_learns_a_linear_function() -> None:
    torch.manual_seed(0)
    weight, guess = torch.randn(5, 9), Guess(5, 9)
    assert guess(torch.zeros(5)) is None
    for _ in range(400):
        token = torch.randn(5)
        guess.show(token, token @ weight + 1)
    token = torch.randn(5)
    found = guess(token)
    assert found is not None
    torch.testing.assert_close(found, token @ weight + 1, atol=0.2, rtol=0.1)


@pytest.mark.parametrize(
    "wrong", [{"warm_up": 5}, {"num_kept": 0}, {"audit_every": 0}, {"slack": 0.9}]
)
def test_wrong_settings(wrong: dict[str, int]) -> None:
    with pytest.raises(UsageError, match="at least"):
        CascadeConfig(**wrong)


def test_nano_with_a_cascade(monkeypatch: pytest.MonkeyPatch) -> None:
    """Through `Tagger`: the same tags, NaN for what was not asked, and no error."""
    tagger = Tagger.from_pretrained("nano", device="cpu")
    cascaded = tagger.with_cascade(CascadeConfig(num_kept=200, warm_up=128))
    assert tagger.cascade_report is None
    cascade = cascaded._cascade
    assert cascade is not None
    random = np.random.default_rng(0)
    size = tagger.image_size
    photos = [
        np.asarray(
            Image.fromarray(random.integers(0, 256, (4, 4, 3), np.uint8)).resize((size, size))
        )
        for _ in range(2)
    ]
    _, means = tagger.look(np.stack(photos))
    logits = tagger.logits(np.stack(photos))
    for _ in range(40):  # as if these two had come again and again
        for mean, row in zip(means, logits, strict=True):
            cascade._guess.show(torch.from_numpy(mean), torch.from_numpy(row))
    cascade._needed.append(100)
    cascade._seen = 129
    results = list(cascaded.stream(photos))
    plain = list(tagger.stream(photos))
    for found, expected in zip(results, plain, strict=True):
        assert found.error is None
        assert found.scores is not None
        assert expected.scores is not None
        asked = np.isfinite(found.scores)
        assert asked.sum() == 200
        np.testing.assert_allclose(found.scores[asked], expected.scores[asked], atol=1e-5)
        assert [tag.name for tag in found.tags] == [tag.name for tag in expected.tags]
        assert found.record()["tags"] == expected.record()["tags"]
    relabelled = cascaded.with_labels(tagger.labels)
    assert relabelled.cascade_report is not None
    assert relabelled.cascade_report.num_images == 0
    assert cascaded.with_tags(["cat", "dog"]).cascade_report is None
