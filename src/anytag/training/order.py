"""The order of an epoch: a permutation that takes no memory.

A Feistel network (Luby and Rackoff 1988) over the next power of four above the number of examples
permutes; what falls outside is permuted again until it is inside ("cycle walking", Black and
Rogaway 2002). So place -> example is a pure function of (seed, epoch): nothing is held, stored or
passed to worker processes, and an epoch can begin anywhere.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

_ROUNDS = 6
Places = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """Which example comes at which place of an epoch.

    With blocks, neighbours in the data set are read at nearly the same time, as files of many
    pictures on slow disks need it: blocks of ``block`` neighbours come in random order, and the
    examples of ``window`` blocks that follow one another are mixed. Where the blocks begin differs
    from epoch to epoch.

    >>> sorted(Order(num=5, seed=0, epoch=3).at(np.arange(5)).tolist())
    [0, 1, 2, 3, 4]
    """

    num: int
    seed: int
    epoch: int
    #: neighbours in a block; 1 = all are mixed with all
    block: int = 1
    #: blocks that are mixed with one another
    window: int = 1

    def at(self, places: Places) -> Places:
        """Examples at places from 0 to below ``num``, both int64 [K]."""
        if self.block == 1:
            return permute(places, self.num, self._keys(0))
        num_blocks = self.num // self.block
        in_blocks = num_blocks * self.block
        size = self.block * self.window
        found = np.array(places, np.int64)  # behind the last whole block all stay
        for window in np.unique(places // size):
            inside = (places // size == window) & (places < in_blocks)
            here = min(size, in_blocks - int(window) * size)
            if here <= 0 or not inside.any():
                continue
            mixed = permute(places[inside] - window * size, here, self._keys(2, int(window)))
            slots = window * self.window + mixed // self.block
            blocks = permute(slots, num_blocks, self._keys(1))
            found[inside] = blocks * self.block + mixed % self.block
        shift = int(self._keys(3)[0] % np.uint64(self.num))
        return (found + shift) % self.num

    def _keys(self, *use: int) -> npt.NDArray[np.uint64]:
        sequence = np.random.SeedSequence([self.seed, self.epoch, *use])
        return sequence.generate_state(_ROUNDS, np.uint64).astype(np.uint64)


def permute(places: Places, num: int, keys: npt.NDArray[np.uint64]) -> Places:
    """Each of 0 to ``num`` - 1 to another one; int64 [K] to int64 [K]."""
    half = max(1, ((num - 1).bit_length() + 1) // 2)
    found = _feistel(places.astype(np.uint64), half, keys)
    while (outside := found >= num).any():
        found[outside] = _feistel(found[outside], half, keys)
    return found.astype(np.int64)


def _feistel(
    values: npt.NDArray[np.uint64], half: int, keys: npt.NDArray[np.uint64]
) -> npt.NDArray[np.uint64]:
    """A permutation of the numbers of 2 x ``half`` bits."""
    mask = np.uint64((1 << half) - 1)
    left, right = values >> np.uint64(half), values & mask
    for key in keys:
        left, right = right, left ^ (_mix(right ^ key) & mask)
    return (left << np.uint64(half)) | right


def _mix(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """The finaliser of SplitMix64 (Steele, Lea and Flood 2014)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
