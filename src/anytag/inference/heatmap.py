"""A grid of numbers over a picture: the box around its strongest part, and its size in pixels.

Boxes are (left, top, right, bottom) as fractions of the picture in [0, 1].
"""

from __future__ import annotations

from collections import deque
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

Box: TypeAlias = tuple[float, float, float, float]
Grid: TypeAlias = npt.NDArray[np.float32]


def attended_box(attention: Grid) -> tuple[Box, float]:
    """Box of the largest 4-connected part of a map that has half of its maximum or more.

    Of parts of equal size the one that comes first by rows.

    Args:
        attention: [rows, columns], not negative

    Returns:
        the box, and which share of the whole map's weight lies in that part

    >>> attended_box(np.array([[0.0, 0.4], [0.0, 0.4]], np.float32))
    ((0.5, 0.0, 1.0, 1.0), 1.0)
    """
    rows, columns = attention.shape
    waiting = {(int(y), int(x)) for y, x in np.argwhere(attention >= attention.max() / 2)}
    largest: set[tuple[int, int]] = set()
    for start in sorted(waiting):
        if start in waiting:
            part = _connected(start, waiting)
            largest = part if len(part) > len(largest) else largest
    inside = sum(float(attention[place]) for place in sorted(largest))
    return _around(largest, rows, columns), min(1.0, inside / max(float(attention.sum()), 1e-12))


def strongest_box(grid: Grid, share: float = 0.2) -> Box:
    """Box of the 4-connected part with this share of the maximum or more that holds the maximum.

    A fifth of the maximum is the rule of class activation maps (Zhou et al. 2016, arXiv
    1512.04150), which take the largest part instead; a box without the strongest place misleads.

    Args:
        grid: [rows, columns], not negative
        share: of the maximum, in (0, 1]

    >>> strongest_box(np.array([[0.1, 0.1, 0.0, 0.8]], np.float32))
    (0.75, 0.0, 1.0, 1.0)
    """
    rows, columns = grid.shape
    waiting = {(int(y), int(x)) for y, x in np.argwhere(grid >= grid.max() * share)}
    y, x = divmod(int(grid.argmax()), columns)
    return _around(_connected((y, x), waiting), rows, columns)


def _around(part: set[tuple[int, int]], rows: int, columns: int) -> Box:
    ys, xs = [y for y, _ in part], [x for _, x in part]
    return (min(xs) / columns, min(ys) / rows, (max(xs) + 1) / columns, (max(ys) + 1) / rows)


def _connected(start: tuple[int, int], waiting: set[tuple[int, int]]) -> set[tuple[int, int]]:
    """Takes a connected part out of ``waiting``."""
    waiting.discard(start)
    found, queue = {start}, deque([start])
    while queue:
        y, x = queue.popleft()
        for place in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
            if place in waiting:
                waiting.discard(place)
                found.add(place)
                queue.append(place)
    return found


def peak(grid: Grid) -> tuple[float, float]:
    """The middle (x, y) of the strongest cell, as fractions; of equal ones the first by rows.

    >>> peak(np.array([[0.0, 1.0]], np.float32))
    (0.75, 0.5)
    """
    y, x = divmod(int(grid.argmax()), grid.shape[1])
    return (x + 0.5) / grid.shape[1], (y + 0.5) / grid.shape[0]


def stretch(grid: Grid, width: int, height: int) -> Grid:
    """The grid in another size, float32 [height, width]; linear between the cells' middles."""
    image = Image.fromarray(grid.astype(np.float32))
    return np.array(image.resize((width, height), Image.Resampling.BILINEAR))
