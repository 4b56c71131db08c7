"""Fits of nano's text encoder: weights of words in a phrase, vectors of the pieces of words.

Both make sums of vectors come near the teacher's vector of the whole. Shapes: V vocabulary
entries, P pieces, B texts that are composed, E width.
"""

from __future__ import annotations

import random

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from anytag.inference.static_text import _AFTER_HEAD

Matrix = NDArray[np.float32]
#: factor of the head noun, before a word weight is learned
HEAD_WEIGHT = 1.6
STOP_WORDS = frozenset("a an the of with in on at and to from by is are for its his her".split())  # noqa: SIM905


def unit(matrix: Matrix) -> Matrix:
    """Rows at unit length."""
    return matrix / np.maximum(np.linalg.norm(matrix, axis=1, keepdims=True), 1e-9)


def head_of(words: list[str]) -> int:
    """Index of the head word: the last one before "of", "with" and the like."""
    return next(
        (i - 1 for i, word in enumerate(words) if i and word in _AFTER_HEAD), len(words) - 1
    )


def pieces_of(word: str, pieces: dict[str, int]) -> list[int]:
    """Rows of the longest pieces of a word."""
    rows, start = [], 0
    while start < len(word):
        mark = "##" if start else ""
        for end in range(len(word), start, -1):
            if mark + word[start:end] in pieces:
                rows.append(pieces[mark + word[start:end]])
                break
        else:
            end = start + 1
        start = end
    return rows


def fit_sum(
    bags: list[list[int]],
    scale: list[list[float]],
    targets: Matrix,
    start: Matrix,
    learn_vectors: bool,
    epochs: int,
) -> tuple[Matrix, Matrix]:
    """Fit vectors [N, E], or only a weight [N] of each, so that sums over bags meet the targets.

    Args:
        bags: rows that each target is made of
        scale: a fixed factor beside each row of the bags
        targets: unit vectors [B, E]
        start: vectors [N, E] to start from
        learn_vectors: fit the vectors, else the weights
        epochs: passes over the bags
    """
    torch.manual_seed(0)
    vectors = torch.tensor(start, requires_grad=learn_vectors)
    logs = torch.zeros(len(start), requires_grad=not learn_vectors)
    optimizer = torch.optim.Adam(
        [vectors if learn_vectors else logs], lr=0.01 if learn_vectors else 0.05
    )
    width = max(map(len, bags))
    ids = torch.tensor([bag + [0] * (width - len(bag)) for bag in bags])
    factors = torch.tensor([one + [0.0] * (width - len(one)) for one in scale])
    wanted = torch.tensor(targets)
    for _ in range(epochs):
        for rows in torch.randperm(len(bags)).split(1024):
            weight = factors[rows] * logs[ids[rows]].exp()
            made = (weight[..., None] * vectors[ids[rows]]).sum(1)
            loss = 1 - F.cosine_similarity(made, wanted[rows]).mean()
            # a word seen in few phrases keeps its weight
            loss = loss + (0 if learn_vectors else 0.02 * logs[ids[rows]].pow(2).mean())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return vectors.detach().numpy(), logs.detach().exp().numpy()


def fit_pieces(
    entries: list[str], vectors: Matrix, minilm_words: list[str], epochs: int
) -> tuple[list[str], Matrix]:
    """Pieces and vectors [P, E] that give words outside MiniLM's vocabulary."""
    known = set(minilm_words)
    every = {
        word: row for row, word in enumerate(minilm_words) if word.removeprefix("##").isalnum()
    }
    words = [row for row, name in enumerate(entries) if " " not in name and name not in known]
    used = {row for word in words for row in pieces_of(entries[word], every)}
    # single letters and short starts must stay: they catch all that is left
    kept = [word for word, row in every.items() if row in used or len(word.removeprefix("##")) == 1]
    kept = [word for word in kept if word.isascii()]
    index = {word: row for row, word in enumerate(kept)}
    by_name = {name: row for row, name in enumerate(entries)}
    start = np.stack([0.3 * vectors[by_name[w]] if w in by_name else 0 * vectors[0] for w in kept])
    bags = [pieces_of(entries[word], index) for word in words]
    start, _ = fit_sum(
        bags,
        [[1.0] * len(bag) for bag in bags],
        vectors[words],
        start.astype(np.float32),
        True,
        epochs,
    )
    return kept, start


def fit_weights(
    entries: list[str], vectors: Matrix, epochs: int
) -> tuple[NDArray[np.float32], NDArray[np.float32], dict[str, float]]:
    """Weight of each entry in a phrase [V]; cosine of each phrase to its composition [V]."""
    singles = {name: row for row, name in enumerate(entries) if " " not in name}
    prior = np.array([0.15 if name in STOP_WORDS else 1.0 for name in entries], dtype=np.float32)
    phrases, bags, scales = [], [], []
    for row, name in enumerate(entries):
        words = name.split()
        if len(words) > 1 and all(word in singles for word in words):
            head = head_of(words)
            phrases.append(row)
            bags.append([singles[word] for word in words])
            scales.append(
                [
                    float(prior[singles[w]]) * (HEAD_WEIGHT if i == head else 1.0)
                    for i, w in enumerate(words)
                ]
            )
    order = random.Random(0).sample(range(len(phrases)), len(phrases))
    fold = set(order[: len(order) // 10])
    train = [i for i in range(len(phrases)) if i not in fold]
    pick = lambda rows, which: [rows[i] for i in which]  # noqa: E731
    targets = vectors[phrases]
    _, trial = fit_sum(
        pick(bags, train), pick(scales, train), targets[train], vectors, False, epochs
    )
    before = compose(bags, scales, vectors, np.ones_like(trial))
    after = compose(bags, scales, vectors, trial)
    held = sorted(fold)
    report = {
        "held_out_phrases": len(held),
        "cosine_fixed_weights": float((before * targets)[held].sum(1).mean()),
        "cosine_learned_weights": float((after * targets)[held].sum(1).mean()),
        "retrieval_at_1": retrieval(after[held], targets[held]),
    }
    _, learned = fit_sum(bags, scales, targets, vectors, False, epochs)
    cosine = np.full(len(entries), -1.0, dtype=np.float32)
    cosine[phrases] = (compose(bags, scales, vectors, learned) * targets).sum(1)
    return prior * learned, cosine, report


def compose(
    bags: list[list[int]], scales: list[list[float]], vectors: Matrix, weights: Matrix
) -> Matrix:
    """Unit weighted sums [B, E]."""
    return unit(
        np.stack(
            [
                (vectors[bag] * (weights[bag] * np.float32(scale))[:, None]).sum(0)
                for bag, scale in zip(bags, scales, strict=True)
            ]
        )
    )


def retrieval(made: Matrix, targets: Matrix) -> float:
    """Share of rows whose nearest target is their own."""
    return float(((made @ targets.T).argmax(1) == np.arange(len(made))).mean())
