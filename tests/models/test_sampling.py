"""Sampled captions against the distribution written out by hand, in numpy and float64.

The published way: of the raw next-token scores those of tokens that occurred are made smaller
(divided by the penalty where positive, else multiplied), the end mark is left out below the least
length, then the 50 likeliest tokens stay, then the fewest of these that together reach 0.9.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from anytag.models.captioner import DecoderState, TextDecoder
from anytag.models.generation import GenerationConfig, generate, keep_likely

PAD, EOS, PROMPT = 0, 1, [2, 3]
VOCAB = 9
CONFIG = GenerationConfig(
    eos_id=EOS,
    pad_id=PAD,
    sample=True,
    max_length=5,
    min_length=4,
    top_k=5,
    top_p=0.8,
    repetition_penalty=1.3,
)
TABLE = 2 * np.random.default_rng(5).standard_normal((VOCAB, VOCAB))


class TableDecoder:
    """A mock: the next token's scores depend on the last token alone."""

    def start(self, memory: Tensor) -> DecoderState:
        return DecoderState(())

    def step(self, ids: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        return torch.from_numpy(TABLE).float()[ids], state


def next_probabilities(text: list[int], config: GenerationConfig) -> npt.NDArray[np.float64]:
    """Of each token after ``text``, one step after the other and one token after the other."""
    scores = [float(value) for value in TABLE[text[-1]]]
    for token in set(text):
        penalty = config.repetition_penalty
        scores[token] = scores[token] / penalty if scores[token] > 0 else scores[token] * penalty
    candidates = list(range(VOCAB))
    if len(text) < config.min_length:
        candidates.remove(EOS)
    candidates.sort(key=lambda token: -scores[token])
    candidates = candidates[: config.top_k or None]
    weights = [math.exp(scores[token]) for token in candidates]
    reached, kept = 0.0, []
    for token, weight in zip(candidates, weights, strict=True):
        kept.append(token)
        reached += weight / sum(weights)
        if reached >= config.top_p:
            break
    probabilities = np.zeros(VOCAB)
    probabilities[kept] = [math.exp(scores[token]) for token in kept]
    return probabilities / probabilities.sum()


def all_captions(config: GenerationConfig) -> dict[tuple[int, ...], float]:
    """Every caption that can be drawn, with its probability."""
    running, ended = {tuple(PROMPT): 1.0}, {}
    for length in range(len(PROMPT), config.max_length):
        longer: dict[tuple[int, ...], float] = {}
        for text, chance in running.items():
            for token, one in enumerate(next_probabilities(list(text), config)):
                if one > 0:
                    padding = (PAD,) * (config.max_length - length - 1)
                    target, rest = (ended, padding) if token == EOS else (longer, ())
                    target[(*text, token, *rest)] = chance * one
        running = longer
    return {**ended, **running}


def draw(count: int, config: GenerationConfig, seed: int) -> list[tuple[int, ...]]:
    memory = torch.zeros(count, 1, 1)
    random = torch.Generator().manual_seed(seed)
    decoder = cast(TextDecoder, TableDecoder())
    return [
        tuple(row)
        for row in generate(decoder, memory, torch.tensor(PROMPT), config, random).ids.tolist()
    ]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"top_k": 50, "top_p": 0.9, "repetition_penalty": 1.1},  # as published
        {"top_k": 0, "top_p": 1.0, "repetition_penalty": 1.0, "min_length": 0},
        {"top_k": 2, "top_p": 1.0},
        {"top_k": 0, "top_p": 0.5},
        {"repetition_penalty": 3.0},
        {"repetition_penalty": 0.5, "min_length": 3},
    ],
)
def test_support_and_frequencies(changes: dict[str, Any]) -> None:
    config = replace(CONFIG, **changes)
    expected = all_captions(config)
    assert sum(expected.values()) == pytest.approx(1)
    count = 20_000
    drawn = draw(count, config, seed=1)
    assert set(drawn) <= set(expected)
    assert {text for text, chance in expected.items() if chance * count > 20} <= set(drawn)
    for text, chance in expected.items():
        deviation = math.sqrt(count * chance * (1 - chance)) + 1
        assert abs(drawn.count(text) - count * chance) < 5 * deviation


def test_one_caption_is_certain() -> None:
    config = replace(CONFIG, top_k=1)
    (text,) = all_captions(config)
    assert set(draw(50, config, seed=0)) == {text}


@pytest.mark.parametrize("seed", range(3))
def test_seeded_draws(seed: int) -> None:
    """The same random numbers, spent on probabilities that were computed by hand."""
    random = torch.Generator().manual_seed(seed)
    texts = [list(PROMPT) for _ in range(40)]
    for _ in range(CONFIG.max_length - len(PROMPT)):
        rows = np.stack([next_probabilities(text, CONFIG) for text in texts])
        tokens = torch.multinomial(torch.from_numpy(rows).float(), 1, generator=random)
        for text, token in zip(texts, tokens[:, 0].tolist(), strict=True):
            text.append(PAD if EOS in text else token)
    assert draw(40, CONFIG, seed) == [tuple(text) for text in texts]


@pytest.mark.parametrize(("top_k", "top_p"), [(50, 0.9), (7, 0.9), (0, 0.3), (3, 0.01), (0, 1.0)])
def test_which_tokens_are_kept(top_k: int, top_p: float) -> None:
    """Against a loop, on a vocabulary in which 50 tokens are few."""
    logits = np.random.default_rng(0).standard_normal((20, 300)) * 3
    kept = keep_likely(torch.from_numpy(logits), top_k, top_p).isfinite().numpy()
    for row, found in zip(logits, kept, strict=True):
        order = np.argsort(-row)[: top_k or None]
        chances = np.exp(row[order]) / np.exp(row[order]).sum()
        number = next((n for n in range(1, len(order)) if chances[:n].sum() >= top_p), len(order))
        assert set(found.nonzero()[0]) == set(order[:number])
