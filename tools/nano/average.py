"""Weighted mean of models of one family (after step 4).

Trainings that began from the same weights know different things; the mean keeps most of all. The
shares are chosen on kept-out photos (`kept_out.py`). The comparison of texts with the mean token,
which v0 has not, is summed and not averaged: a model without it counts as one with zeros there.

Run:  python tools/nano/average.py OUT MODEL=SHARE MODEL=SHARE...

MODEL is a model directory or a file of `train.py`. OUT is such a file if it ends in .pt, else a
model directory: that of the last MODEL with the mean's weights.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from anytag.checkpoints.directory import load_directory, save_directory

#: of the comparison, what its products are proportional to
PROPORTIONAL = "match.reduce."


def read_weights(path: Path) -> dict[str, Tensor]:
    """The state dict of a model directory or of a file."""
    if path.is_dir():
        return load_directory(path).network.state_dict()
    state: dict[str, Tensor] = torch.load(path, weights_only=True)
    return state


def average(models: Sequence[tuple[Mapping[str, Tensor], float]]) -> dict[str, Tensor]:
    """The mean of state dicts, each with its share; shares sum to 1.

    >>> whole, part = {"a": torch.ones(1), "match.reduce.bias": torch.ones(1)}, {"a": torch.ones(1)}
    >>> mean = average([(whole, 0.5), (part, 0.5)])
    >>> mean["a"].item(), mean["match.reduce.bias"].item()
    (1.0, 0.5)
    """
    names = dict.fromkeys(name for state, _ in models for name in state)
    mean = {}
    for name in names:
        known = [(state[name].float(), share) for state, share in models if name in state]
        total = 1.0 if name.startswith(PROPORTIONAL) else sum(share for _, share in known)
        mean[name] = sum((value * (share / total) for value, share in known), torch.zeros(()))
    return mean


def write_directory(out: Path, like: Path, weights: Mapping[str, Tensor]) -> None:
    """A model directory with other weights."""
    shutil.copytree(like, out, dirs_exist_ok=True)
    model = load_directory(like)
    model.network.load_state_dict(dict(weights))
    words = like / "vocab.txt" if model.card.network.captioner else None
    save_directory(
        out,
        model.card,
        model.network,
        model.labels,
        model.label_embeddings,
        torch.float32,
        vocabulary=words,
    )


def main() -> None:
    """Write the mean of the models on the command line."""
    out, *given = sys.argv[1:]
    pairs = [text.rpartition("=") for text in given]
    shares = [float(share) for _, _, share in pairs]
    if abs(sum(shares) - 1) > 1e-6:
        raise SystemExit(f"the shares sum to {sum(shares):g}, expected 1")
    models = [
        (read_weights(Path(path)), share) for (path, _, _), share in zip(pairs, shares, strict=True)
    ]
    mean = average(models)
    if out.endswith(".pt"):
        torch.save(mean, out)
    else:
        write_directory(Path(out), Path(pairs[-1][0]), mean)


if __name__ == "__main__":
    main()
