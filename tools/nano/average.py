"""Mean of two checkpoints of one training, which keeps what both learned (after step 2).

nano is trained twice over: with the backbone's upper part released, then frozen with injected
classes; the mean is better on both sides than either is on the other's.

Run:  python tools/nano/average.py FIRST.pt SECOND.pt OUT.pt
"""

from __future__ import annotations

import sys

import torch


def main() -> None:
    """Write the mean of two state dicts."""
    first, second = (torch.load(path, weights_only=True) for path in sys.argv[1:3])
    torch.save({key: (value + second[key]) / 2 for key, value in first.items()}, sys.argv[3])


if __name__ == "__main__":
    main()
