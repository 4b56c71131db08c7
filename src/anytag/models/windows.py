"""Attention in windows: cutting, shifting, relative position bias, resizing of bias tables.

Sources: Liu et al. 2021, arXiv 2103.14030, section 3.2; the resizing of bias tables follows the
geometric grid that BEiT introduced for fine-tuning at another resolution (arXiv 2106.08254), as
used for the released RAM, RAM++ and Tag2Text weights.

Shapes: B images, R tokens along one side of a grid, W windows of an image, w window side,
L = w * w tokens of a window, C width, H heads,
D = C / H head width.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from anytag.errors import ModelError
from anytag.models.linear import Linear

#: added to the score of two tokens that only the cyclic shift made neighbours (section 3.2). A
#: finite number, as in the released models: such pairs keep a weight of about e^-100.
SHIFT_PENALTY = -100.0
#: bounds and precision of the search for the ratio between the steps of the geometric grid
RATIO_RANGE = (1.01, 1.5)
RATIO_PRECISION = 1e-6


def partition_windows(grid: Tensor, window: int) -> Tensor:
    """Cut a token grid [B, R, R, C] into its windows [B, W, L, C], row by row."""
    batch, resolution, _, width = grid.shape
    count = resolution // window
    cells = grid.reshape(batch, count, window, count, window, width).transpose(2, 3)
    return cells.reshape(batch, count * count, window * window, width)


def join_windows(windows: Tensor, window: int) -> Tensor:
    """Put windows [B, W, L, C] back into their grid [B, R, R, C]."""
    batch, number, _, width = windows.shape
    count = math.isqrt(number)
    cells = windows.reshape(batch, count, count, window, window, width).transpose(2, 3)
    return cells.reshape(batch, count * window, count * window, width)


def relative_position_index(window: int) -> Tensor:
    """For each pair of tokens of a window, the row of the bias table [L, L], int64.

    With (dy, dx) = position of the query minus position of the key, the row is
    (dy + w - 1) * (2w - 1) + (dx + w - 1).
    """
    # An explicit device: buffers must be real also when the model is built on "meta".
    axis = torch.arange(window, device="cpu")
    place = torch.cartesian_prod(axis, axis)
    offset = place[:, None, :] - place[None, :, :] + window - 1
    index: Tensor = offset[..., 0] * (2 * window - 1) + offset[..., 1]
    return index


def shifted_strangers(resolution: int, window: int, shift: int) -> Tensor:
    """Which pairs of tokens of a shifted window are not neighbours in the image: bool [W, L, L].

    After the cyclic shift the last ``shift`` rows and columns hold what came from the other side.
    """
    axis = torch.arange(resolution, device="cpu")
    band = (axis >= resolution - window).long() + (axis >= resolution - shift).long()
    region = 3 * band[:, None] + band[None, :]
    labels = partition_windows(region[None, :, :, None], window)[0, :, :, 0]
    return labels[:, :, None] != labels[:, None, :]


class WindowAttention(nn.Module):
    """Multi-head self-attention in windows with a relative position bias (section 3.2, eq. 4)."""

    relative_position_index: Tensor
    strangers: Tensor | None

    def __init__(self, dim: int, num_heads: int, window: int, strangers: Tensor | None) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.relative_position_bias_table = nn.Parameter(
            torch.empty((2 * window - 1) ** 2, num_heads)
        )
        self.qkv = Linear(dim, 3 * dim)
        self.proj = Linear(dim, dim)
        index = relative_position_index(window)
        self.register_buffer("relative_position_index", index, persistent=False)
        self.register_buffer("strangers", strangers, persistent=False)
        self._bias: Tensor | None = None
        self._bias_key: tuple[object, ...] = ()
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)

    def forward(self, windows: Tensor) -> Tensor:
        """Attend within each window: [B, W, L, C] -> [B, W, L, C]."""
        batch, count = windows.shape[:2]
        heads = self.qkv(windows).reshape(*windows.shape[:3], 3, self.num_heads, -1)
        queries, keys, values = heads.permute(3, 0, 1, 4, 2, 5)  # each [B, W, H, L, D]
        # Fused kernels want four axes. A mask that differs between windows makes windows behave
        # like heads; without one, and for a single image, they are just more images: no copies.
        bias, first = self._get_bias(), 0
        if self.strangers is not None:
            # A graph that is exported holds for any number of images.
            if not torch.compiler.is_compiling() and batch == 1:
                bias = bias.reshape(count, self.num_heads, *bias.shape[2:])
            else:
                first = 1
        queries, keys, values = (x.flatten(first, first + 1) for x in (queries, keys, values))
        mixed = F.scaled_dot_product_attention(queries, keys, values, attn_mask=bias)
        mixed = mixed.reshape(batch, count, self.num_heads, *mixed.shape[2:])
        output: Tensor = self.proj(mixed.transpose(2, 3).flatten(3))
        return output

    def make_bias(self) -> Tensor:
        """What is added to the scores: [1, H, L, L], or [1, W * H, L, L] with a shift."""
        bias = self.relative_position_bias_table[self.relative_position_index].permute(2, 0, 1)
        if self.strangers is None:
            return bias[None]
        penalty = self.strangers.to(bias.dtype)[:, None] * SHIFT_PENALTY
        return (penalty + bias[None]).flatten(0, 1)[None]

    def _get_bias(self) -> Tensor:
        """`make_bias`, kept while no gradient is wanted and the table stays what it was."""
        table = self.relative_position_bias_table
        if torch.is_grad_enabled() or torch.compiler.is_compiling():
            return self.make_bias()
        version = 0 if table.is_inference() else table._version
        key = (version, table.data_ptr(), table.device, table.dtype)
        if self._bias is None or self._bias_key != key:
            self._bias, self._bias_key = self.make_bias().contiguous(), key
        return self._bias


def interpolate_relative_position_table(table: Tensor, window: int) -> Tensor:
    """Resize a bias table [(2v - 1)^2, H] of window side v to [(2w - 1)^2, H].

    The rows are put on a geometric grid (steps 1, q, q^2, ... away from the centre, so that near
    offsets stay apart) which is read at whole offsets by a cubic interpolating spline in each
    direction. Two properties of the released weights are kept on purpose: q stays within
    `RATIO_RANGE`, so going to a smaller window crops the centre, and outside the grid the border
    value counts. The same window returns the table itself.

    Raises:
        ModelError: the number of rows is no squared odd number.
    """
    side = math.isqrt(table.shape[0])
    if table.ndim != 2 or side * side != table.shape[0] or side % 2 == 0:
        raise ModelError(
            f"a relative position table has shape {list(table.shape)}; expected [(2w - 1)^2, heads]"
        )
    target = 2 * window - 1
    if side == target:
        return table
    read = _spline_matrix(_geometric_grid(side // 2, target // 2), target // 2)
    grid = table.detach().to("cpu", torch.float64).reshape(side, side, -1)
    resized = torch.einsum("yi,xj,ijh->yxh", read, read, grid)
    return resized.reshape(target * target, -1).to(table.device, table.dtype)


def _geometric_grid(source: int, target: int) -> Tensor:
    """Offsets 0, ±1, ±(1 + q), ... of ``source`` steps that reach about ``target``; ascending."""
    low, high = RATIO_RANGE
    ratio = low
    # The last midpoint tried is the ratio, not a bound: the released numbers depend on it.
    while high - low > RATIO_PRECISION:
        ratio = (low + high) / 2
        if (1 - ratio**source) / (1 - ratio) > target:
            high = ratio
        else:
            low = ratio
    steps = torch.pow(
        torch.tensor(ratio, dtype=torch.float64), torch.arange(source, dtype=torch.float64)
    )
    right = steps.cumsum(0)
    return torch.cat([-right.flip(0), torch.zeros(1, dtype=torch.float64), right])


def _spline_matrix(knots: Tensor, reach: int) -> Tensor:
    """Matrix [2 * reach + 1, K] that reads a spline through values at K knots at -reach..reach.

    Cubic not-a-knot spline, written with the second derivatives m at the knots: with h the knot
    distances, h[i-1] m[i-1] + 2 (h[i-1] + h[i]) m[i] + h[i] m[i+1] = 6 (slope[i] - slope[i-1])
    inside, and an equal third derivative on both sides of the second and the last but one knot.
    """
    count = len(knots)
    points = torch.arange(-reach, reach + 1, dtype=torch.float64)
    points = points.clamp(float(knots[0]), float(knots[-1]))
    if count < 4:  # windows of 1 or 2 tokens: the polynomial through all knots
        powers = torch.arange(count)
        polynomial: Tensor = (points[:, None] ** powers) @ torch.linalg.inv(
            knots[:, None] ** powers
        )
        return polynomial
    h = knots.diff()
    left, right = torch.zeros(2, count, count, dtype=torch.float64)
    for i in range(1, count - 1):
        left[i, i - 1 : i + 2] = torch.stack([h[i - 1], 2 * (h[i - 1] + h[i]), h[i]])
        right[i, i - 1 : i + 2] = 6 * torch.stack(
            [1 / h[i - 1], -1 / h[i - 1] - 1 / h[i], 1 / h[i]]
        )
    for row, i in ((0, 0), (-1, count - 3)):
        left[row, i : i + 3] = torch.stack([h[i + 1], -h[i] - h[i + 1], h[i]])
    moments = torch.linalg.solve(left, right)
    piece = torch.bucketize(points, knots[1:-1], right=True)
    width = h[piece][:, None]
    b = ((points - knots[piece]) / h[piece])[:, None]
    a = 1 - b
    unit = torch.eye(count, dtype=torch.float64)
    curve = (a**3 - a) * moments[piece] + (b**3 - b) * moments[piece + 1]
    spline: Tensor = a * unit[piece] + b * unit[piece + 1] + curve * width**2 / 6
    return spline
