"""Caption search: against an exhaustive search, against itself, and its rules one by one."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any, cast

import pytest
import torch
from torch import Tensor

from anytag.errors import UsageError
from anytag.models.captioner import DecoderState, TextDecoder
from anytag.models.generation import GenerationConfig, adjust_scores, generate, keep_likely

PAD, EOS, PROMPT = 0, 1, torch.tensor([2, 3])
VOCAB = 4
CONFIG = GenerationConfig(eos_id=EOS, pad_id=PAD, max_length=6, min_length=0)


class TableDecoder:
    """A mock: the next token's logits depend on the last token and the image alone."""

    def __init__(self, table: Tensor) -> None:
        self.table = table  # [images, V, V]

    def start(self, memory: Tensor) -> DecoderState:
        """The memory holds the number of the image."""
        images = memory[:, 0, 0].long()
        return DecoderState((), ((images[:, None, None, None], images[:, None, None, None]),))

    def step(self, ids: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        images = state.past[0][0][:, 0, 0, 0]
        return self.table[images[:, None], ids], state


def run(table: Tensor, config: GenerationConfig, **options: Any) -> tuple[Tensor, Tensor]:
    memory = torch.arange(len(table)).float()[:, None, None]
    decoder = cast(TextDecoder, TableDecoder(table))
    generated = generate(decoder, memory, PROMPT, config, **options)
    return generated.ids, generated.scores


def best_of_all(table: Tensor, config: GenerationConfig) -> tuple[list[int], float]:
    """Score every caption there is."""
    room = config.max_length - len(PROMPT)
    logs = table.log_softmax(-1)
    scored = []
    for length in range(room + 1):
        for body in itertools.product([t for t in range(VOCAB) if t != EOS], repeat=length):
            ended = length < room
            text = [*PROMPT.tolist(), *body, *([EOS] if ended else [])]
            pairs = itertools.pairwise(text[len(PROMPT) - 1 :])
            total = sum(float(logs[a, b]) for a, b in pairs)
            scored.append((total / (len(PROMPT) + length) ** config.length_penalty, text))
    score, text = max(scored)
    return text, score


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("length_penalty", [0.0, 1.0, 2.0])
def test_many_beams_find_the_best_caption(seed: int, length_penalty: float) -> None:
    table = 2 * torch.randn(2, VOCAB, VOCAB, generator=torch.Generator().manual_seed(seed))
    config = replace(CONFIG, num_beams=200, length_penalty=length_penalty)
    ids, scores = run(table, config)
    for image in (0, 1):
        text, score = best_of_all(table[image], config)
        assert ids[image].tolist()[: len(text)] == text
        assert set(ids[image].tolist()[len(text) :]) <= {PAD}
        assert float(scores[image]) == pytest.approx(score, abs=1e-5)


@pytest.mark.parametrize("beams", [1, 2, 3])
def test_a_batch_is_its_images_one_by_one(beams: int) -> None:
    table = torch.randn(5, VOCAB, VOCAB, generator=torch.Generator().manual_seed(3))
    config = replace(CONFIG, num_beams=beams, max_length=12, min_length=5)
    ids, scores = run(table, config)
    for image in range(5):
        own, score = run(table[image : image + 1], config)
        assert ids[image, : own.shape[1]].tolist() == own[0].tolist()
        torch.testing.assert_close(scores[image], score[0])


def test_least_and_greatest_length() -> None:
    table = torch.zeros(1, VOCAB, VOCAB)
    table[..., EOS] = 9.0  # always wants to stop
    for beams in (1, 3):
        ids, _ = run(table, replace(CONFIG, num_beams=beams, min_length=5))
        assert (ids[0] == EOS).nonzero().tolist() == [[5]]
    table[..., EOS] = -9.0  # never
    for beams in (1, 3):
        ids, _ = run(table, replace(CONFIG, num_beams=beams))
        assert ids.shape == (1, 6)
        assert EOS not in ids


def test_sampling() -> None:
    table = torch.randn(3, VOCAB, VOCAB, generator=torch.Generator().manual_seed(0))
    config = replace(CONFIG, sample=True, max_length=20, min_length=20)
    first, _ = run(table, config, generator=torch.Generator().manual_seed(5))
    again, _ = run(table, config, generator=torch.Generator().manual_seed(5))
    other, _ = run(table, config, generator=torch.Generator().manual_seed(6))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    likeliest, _ = run(table, replace(config, top_k=1))
    greedy, _ = run(table, replace(config, sample=False, num_beams=1))
    assert torch.equal(likeliest, greedy)


@pytest.mark.parametrize(
    ("top_k", "top_p", "kept"),
    [
        (0, 1.0, [0, 1, 2, 3]),
        (2, 1.0, [0, 1]),
        (0, 0.49, [0]),
        (0, 0.51, [0, 1]),
        (0, 0.8, [0, 1, 2]),
        (2, 0.7, [0, 1]),  # of the two, the first has 0.625
        (2, 0.6, [0]),
        (0, 1e-9, [0]),
    ],
)
def test_keep_likely(top_k: int, top_p: float, kept: list[int]) -> None:
    logits = torch.tensor([[0.5, 0.3, 0.15, 0.05]]).double().log().flip(1)
    found = keep_likely(logits, top_k, top_p).isfinite().flip(1)[0]
    assert found.nonzero()[:, 0].tolist() == kept


def test_adjust_scores() -> None:
    scores, ids = torch.tensor([[-1.0, 2.0, -3.0, 4.0]]), torch.tensor([[2, 3, 2]])
    config = replace(CONFIG, repetition_penalty=2.0)
    assert adjust_scores(scores, ids, config).tolist() == [[-1.0, 2.0, -6.0, 2.0]]
    config = replace(CONFIG, min_length=4)
    assert adjust_scores(scores, ids, config).tolist() == [[-1.0, -torch.inf, -3.0, 4.0]]
    config = replace(CONFIG, min_length=3)
    assert torch.equal(adjust_scores(scores, ids, config), scores)


@pytest.mark.parametrize(
    "changes",
    [
        {"num_beams": 0},
        {"min_length": 7},
        {"top_p": 0.0},
        {"top_k": -1},
        {"repetition_penalty": 0.0},
    ],
)
def test_wrong_settings_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        replace(CONFIG, **changes)


def test_prompt_without_room_is_refused() -> None:
    with pytest.raises(UsageError, match="no room"):
        run(torch.zeros(1, VOCAB, VOCAB), replace(CONFIG, max_length=2))
