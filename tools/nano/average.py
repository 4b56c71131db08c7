"""Mean of the model that training went on from and of what it gave (after step 4).

Long training on the old targets and short training on the new ones know different things; the mean
keeps most of both. What the old model has not is taken from the new one, the comparison of texts
with the mean token at three quarters of its size. Both shares were chosen on kept-out photos.

Run:  python tools/nano/average.py START NEW.pt OUT.pt
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from anytag.checkpoints.directory import load_directory

#: share of the comparison where the old model has none
MATCH = 0.75


def main() -> None:
    """Write the mean of a model directory's weights and a state dict."""
    start, new, out = map(Path, sys.argv[1:])
    old = load_directory(start).network.state_dict()
    state = torch.load(new, weights_only=True)
    for key, value in state.items():
        if key in old:
            state[key] = (value + old[key]) / 2
        elif key.startswith("match.reduce."):
            state[key] = MATCH * value
    torch.save(state, out)


if __name__ == "__main__":
    main()
