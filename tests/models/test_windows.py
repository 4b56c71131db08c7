"""Windows: cutting and joining, who attends to whom, tables read at another resolution."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from anytag.errors import ModelError
from anytag.models.windows import (
    interpolate_relative_position_table,
    join_windows,
    partition_windows,
    relative_position_index,
    shifted_strangers,
)

GOLDEN = Path(__file__).parents[1] / "golden"


def test_joining_undoes_partition() -> None:
    grid = torch.arange(2 * 6 * 6 * 5).reshape(2, 6, 6, 5)
    windows = partition_windows(grid, 3)
    assert windows.shape == (2, 4, 9, 5)
    assert torch.equal(windows[0, 1, 0], grid[0, 0, 3])
    assert torch.equal(join_windows(windows, 3), grid)


def test_index_is_a_function_of_the_offset_alone() -> None:
    index = relative_position_index(3)
    offsets = {}
    for query in range(9):
        for key in range(9):
            offset = (query // 3 - key // 3, query % 3 - key % 3)
            assert offsets.setdefault(offset, int(index[query, key])) == index[query, key]
    assert sorted(offsets.values()) == list(range(25))
    assert offsets[0, 0] == 12
    assert offsets[-2, -2] == 0


def test_strangers_are_pairs_that_the_shift_brought_together() -> None:
    """Known another way: shift a grid of true coordinates and look at distances."""
    resolution, window, shift = 12, 4, 2
    axis = torch.arange(resolution)
    places = torch.stack(torch.meshgrid(axis, axis, indexing="ij"), -1)
    shifted = places.roll((-shift, -shift), (0, 1))[None]
    pairs = partition_windows(shifted, window)[0]
    distance = (pairs[:, :, None] - pairs[:, None, :]).abs().amax(-1)
    assert torch.equal(shifted_strangers(resolution, window, shift), distance >= window)


@pytest.mark.parametrize("name", ["w7_to_w12", "w12_to_w7", "w4_to_w6", "w6_to_w12", "w7_to_w7"])
def test_interpolation_equals_golden(name: str) -> None:
    table = load_file(GOLDEN / "relpos_interp/inputs.safetensors")[name]
    expected = load_file(GOLDEN / "relpos_interp/outputs.safetensors")[name]
    actual = interpolate_relative_position_table(table, int(name.rpartition("w")[2]))
    torch.testing.assert_close(actual, expected, rtol=0, atol=2e-7)


@pytest.mark.parametrize("source", [1, 2, 3, 5, 7])
@pytest.mark.parametrize("window", [1, 2, 4, 8])
def test_interpolation_keeps_constants_and_symmetry(source: int, window: int) -> None:
    side = 2 * source - 1
    constant = torch.full((side * side, 2), 0.25)
    resized = interpolate_relative_position_table(constant, window)
    assert resized.shape == ((2 * window - 1) ** 2, 2)
    torch.testing.assert_close(resized, torch.full_like(resized, 0.25))
    table = torch.randn(side, side, 2)
    even = (table + table.flip(0)).reshape(-1, 2)
    resized = interpolate_relative_position_table(even, window)
    square = resized.reshape(2 * window - 1, 2 * window - 1, 2)
    torch.testing.assert_close(square, square.flip(0))


def test_same_window_keeps_the_table() -> None:
    table = torch.randn(49, 3)
    assert interpolate_relative_position_table(table, 4) is table


def test_half_precision_stays_half_precision() -> None:
    table = torch.randn(49, 3, dtype=torch.bfloat16)
    assert interpolate_relative_position_table(table, 6).dtype == torch.bfloat16


@pytest.mark.parametrize("shape", [(50, 3), (16, 3), (49,)])
def test_what_is_no_table_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ModelError, match="relative position table"):
        interpolate_relative_position_table(torch.zeros(shape), 6)
