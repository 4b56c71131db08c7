"""The released networks of any size, written plainly under their released names.

One line for one equation, no caches, windows cut one by one: an oracle for sizes of which there are
no golden numbers. Shapes: B images, R tokens along a side, w window, C width.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

State = dict[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Of a tiny model."""

    family: str = "ram"
    size: int = 64
    patch: int = 4
    embed: int = 12
    depths: tuple[int, ...] = (2, 2, 6, 2)
    swin_heads: tuple[int, ...] = (1, 2, 3, 6)
    window: int = 2
    ratio: float = 4.0
    hidden: int = 24
    layers: int = 2
    heads: int = 3
    ffn: int = 40
    tags: int = 3
    descriptions: int = 7
    text: int = 512
    #: layers of the captioner; 0 = none
    captioner: int = 0
    caption_heads: int = 6
    vocabulary: int = 70
    positions: int = 50

    def side(self, stage: int) -> int:
        return self.size // (self.patch * 2**stage)

    @property
    def key_width(self) -> int:
        wide = self.embed * 2 ** (len(self.depths) - 1)
        return wide if self.family == "tag2text" else self.text


class Maker:
    """Random weights, by name."""

    def __init__(self, seed: int = 0) -> None:
        self.state: State = {}
        self._random = torch.Generator().manual_seed(seed)

    def add(self, name: str, *shape: int, scale: float = 0.2) -> None:
        self.state[name] = torch.randn(*shape, generator=self._random) * scale

    def linear(self, name: str, rows: int, columns: int, *, bias: bool = True) -> None:
        self.add(f"{name}.weight", rows, columns, scale=columns**-0.5)
        if bias:
            self.add(f"{name}.bias", rows)

    def norm(self, name: str, width: int) -> None:
        self.add(f"{name}.weight", width)
        self.state[f"{name}.weight"] += 1
        self.add(f"{name}.bias", width)

    def bert(self, name: str, sizes: Sizes, width: int, parts: dict[str, int]) -> None:
        hidden = sizes.hidden
        for part, source in parts.items():
            self.linear(f"{name}.{part}.self.query", hidden, hidden)
            for what in ("key", "value"):
                self.linear(f"{name}.{part}.self.{what}", hidden, source or width)
            self.linear(f"{name}.{part}.output.dense", hidden, hidden)
            self.norm(f"{name}.{part}.output.LayerNorm", hidden)
        self.linear(f"{name}.intermediate.dense", sizes.ffn, hidden)
        self.linear(f"{name}.output.dense", hidden, sizes.ffn)
        self.norm(f"{name}.output.LayerNorm", hidden)


def make(sizes: Sizes) -> State:
    """A released checkpoint."""
    maker = Maker()
    _make_swin(maker, sizes)
    for number in range(sizes.layers):
        name = f"tagging_head.encoder.layer.{number}"
        maker.bert(name, sizes, sizes.key_width, {"crossattention": 0})
    if sizes.family == "tag2text":
        maker.add("label_embed.weight", sizes.tags, sizes.hidden, scale=1.0)
        maker.add("fc.W", 1, sizes.tags, sizes.hidden)
        maker.add("fc.b", 1, sizes.tags)
    else:
        plus = sizes.family == "ram_plus"
        maker.add("label_embed", sizes.tags * (sizes.descriptions if plus else 1), sizes.text)
        maker.state["label_embed"] = F.normalize(maker.state["label_embed"], dim=-1)
        maker.linear("image_proj", sizes.text, sizes.embed * 2 ** (len(sizes.depths) - 1))
        if sizes.hidden != 512:
            maker.linear("wordvec_proj", sizes.hidden, sizes.text)
            maker.state["wordvec_proj.weight"] *= 20
        maker.linear("fc", 1, sizes.hidden)
        if plus:
            maker.state["reweight_scale"] = torch.tensor(2.6593)
    if sizes.captioner:
        _make_captioner(maker, sizes)
    return maker.state


def _make_swin(maker: Maker, sizes: Sizes) -> None:
    root = "visual_encoder"
    maker.add(f"{root}.patch_embed.proj.weight", sizes.embed, 3, sizes.patch, sizes.patch)
    maker.add(f"{root}.patch_embed.proj.bias", sizes.embed)
    maker.norm(f"{root}.patch_embed.norm", sizes.embed)
    for stage, (depth, heads) in enumerate(zip(sizes.depths, sizes.swin_heads, strict=True)):
        width, side = sizes.embed * 2**stage, sizes.side(stage)
        window = min(sizes.window, side)
        for number in range(depth):
            name = f"{root}.layers.{stage}.blocks.{number}"
            maker.norm(f"{name}.norm1", width)
            maker.norm(f"{name}.norm2", width)
            table = f"{name}.attn.relative_position_bias_table"
            maker.add(table, (2 * window - 1) ** 2, heads, scale=1.0)
            if number % 2 and side > sizes.window:
                maker.add(f"{name}.attn_mask", (side // window) ** 2, window**2, window**2)
            maker.linear(f"{name}.attn.qkv", 3 * width, width)
            maker.linear(f"{name}.attn.proj", width, width)
            maker.linear(f"{name}.mlp.fc1", int(width * sizes.ratio), width)
            maker.linear(f"{name}.mlp.fc2", width, int(width * sizes.ratio))
        if stage + 1 < len(sizes.depths):
            name = f"{root}.layers.{stage}.downsample"
            maker.linear(f"{name}.reduction", 2 * width, 4 * width, bias=False)
            maker.norm(f"{name}.norm", 4 * width)
    maker.norm(f"{root}.norm", width)


def _make_captioner(maker: Maker, sizes: Sizes) -> None:
    both = {"attention": sizes.hidden, "crossattention": 0}
    for root, width in (("tag_encoder", sizes.key_width), ("text_decoder.bert", sizes.hidden)):
        maker.add(f"{root}.embeddings.word_embeddings.weight", sizes.vocabulary, sizes.hidden)
        maker.add(f"{root}.embeddings.position_embeddings.weight", sizes.positions, sizes.hidden)
        maker.norm(f"{root}.embeddings.LayerNorm", sizes.hidden)
        for number in range(sizes.captioner):
            maker.bert(f"{root}.encoder.layer.{number}", sizes, width, both)
    root = "text_decoder.cls.predictions"
    maker.linear(f"{root}.transform.dense", sizes.hidden, sizes.hidden)
    maker.norm(f"{root}.transform.LayerNorm", sizes.hidden)
    maker.add(f"{root}.bias", sizes.vocabulary)
    state = maker.state
    for key in [key for key in state if key.startswith("tag_encoder.encoder.layer.")]:
        state[key] = state.get(key.replace("tag_encoder", "tagging_head"), state[key])
    state[f"{root}.decoder.bias"] = state[f"{root}.bias"]
    state[f"{root}.decoder.weight"] = state["text_decoder.bert.embeddings.word_embeddings.weight"]


def linear(state: State, name: str, x: Tensor) -> Tensor:
    return F.linear(x, state[f"{name}.weight"], state.get(f"{name}.bias"))


def norm(state: State, name: str, x: Tensor, epsilon: float) -> Tensor:
    weight, bias = state[f"{name}.weight"], state[f"{name}.bias"]
    return F.layer_norm(x, x.shape[-1:], weight, bias, epsilon)


def window_attention(state: State, name: str, grid: Tensor, heads: int, shift: int) -> Tensor:
    """One window [B, w, w, C]; where it was shifted, ``grid`` has the old places as channel C."""
    batch, window, _, width = grid.shape
    place, grid = grid[0, :, :, -1].flatten(), grid[..., :-1]
    width -= 1
    tokens = grid.reshape(batch, window**2, width)
    y, x = (axis.flatten() for axis in torch.meshgrid(*2 * [torch.arange(window)], indexing="ij"))
    rows = (y[:, None] - y + window - 1) * (2 * window - 1) + (x[:, None] - x + window - 1)
    bias = state[f"{name}.relative_position_bias_table"][rows].permute(2, 0, 1)
    parts = linear(state, f"{name}.qkv", tokens).reshape(batch, -1, 3, heads, width // heads)
    query, key, value = parts.permute(2, 0, 3, 1, 4)
    scores = query * (width // heads) ** -0.5 @ key.transpose(-1, -2) + bias
    scores = scores - 100.0 * (place[:, None] != place)
    mixed = (scores.softmax(-1) @ value).transpose(1, 2).reshape(batch, -1, width)
    return linear(state, f"{name}.proj", mixed).reshape(batch, window, window, width)


def swin_tokens(state: State, images: Tensor, sizes: Sizes) -> Tensor:
    """[B, 3, S, S] -> mean token and tokens [B, 1 + N, C]."""
    root = "visual_encoder"
    weight, bias = (state[f"{root}.patch_embed.proj.{part}"] for part in ("weight", "bias"))
    x = F.conv2d(images, weight, bias, stride=sizes.patch).flatten(2).transpose(1, 2)
    x = norm(state, f"{root}.patch_embed.norm", x, 1e-5)
    for stage, depth in enumerate(sizes.depths):
        side = sizes.side(stage)
        for number in range(depth):
            name = f"{root}.layers.{stage}.blocks.{number}"
            x = x + _attend(state, name, x, sizes, stage, shifted=number % 2 == 1)
            hidden = linear(state, f"{name}.mlp.fc1", norm(state, f"{name}.norm2", x, 1e-5))
            x = x + linear(state, f"{name}.mlp.fc2", F.gelu(hidden))
        if stage + 1 < len(sizes.depths):
            grid = x.reshape(len(x), side, side, -1)
            corners = [grid[:, row::2, column::2] for column in (0, 1) for row in (0, 1)]
            name = f"{root}.layers.{stage}.downsample"
            x = norm(state, f"{name}.norm", torch.cat(corners, -1).flatten(1, 2), 1e-5)
            x = linear(state, f"{name}.reduction", x)
    x = norm(state, f"{root}.norm", x, 1e-5)
    return torch.cat([x.mean(1, keepdim=True), x], 1)


def _attend(
    state: State, name: str, x: Tensor, sizes: Sizes, stage: int, *, shifted: bool
) -> Tensor:
    side = sizes.side(stage)
    window = min(sizes.window, side)
    shift = window // 2 if shifted and side > sizes.window else 0
    grid = norm(state, f"{name}.norm1", x, 1e-5).reshape(len(x), side, side, -1)
    # Rows and columns that come from the other side are strangers in their window.
    band = torch.zeros(side)
    band[side - window : side - shift] = 1
    band[side - shift :] = 2
    place = (3 * band[:, None] + band).expand(len(x), side, side)[..., None]
    rolled = torch.cat([grid.roll((-shift, -shift), (1, 2)), place * bool(shift)], -1)
    output = torch.empty_like(grid)
    for row in range(0, side, window):
        for column in range(0, side, window):
            part = (slice(None), slice(row, row + window), slice(column, column + window))
            heads = sizes.swin_heads[stage]
            output[part] = window_attention(state, f"{name}.attn", rolled[part], heads, shift)
    return output.roll((shift, shift), (1, 2)).flatten(1, 2)


def attention(
    state: State, name: str, h: Tensor, source: Tensor, heads: int, mask: Tensor | float = 0.0
) -> Tensor:
    query, key, value = (
        linear(state, f"{name}.self.{part}", x).unflatten(-1, (heads, -1)).transpose(1, 2)
        for part, x in (("query", h), ("key", source), ("value", source))
    )
    scores = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1]) + mask
    mixed = (scores.softmax(-1) @ value).transpose(1, 2).flatten(2)
    output = linear(state, f"{name}.output.dense", mixed) + h
    return norm(state, f"{name}.output.LayerNorm", output, 1e-12)


def feed_forward(state: State, name: str, h: Tensor) -> Tensor:
    hidden = F.gelu(linear(state, f"{name}.intermediate.dense", h))
    output = linear(state, f"{name}.output.dense", hidden) + h
    return norm(state, f"{name}.output.LayerNorm", output, 1e-12)


def image_tokens(state: State, images: Tensor, sizes: Sizes) -> Tensor:
    """What tagging head and captioner look at."""
    tokens = swin_tokens(state, images, sizes)
    return tokens if sizes.family == "tag2text" else linear(state, "image_proj", tokens)


def tag_logits(state: State, tokens: Tensor, sizes: Sizes) -> Tensor:
    """Logits [B, T]."""
    if sizes.family == "tag2text":
        h = state["label_embed.weight"].expand(len(tokens), -1, -1)
    else:
        rows = state["label_embed"].reshape(sizes.tags, -1, sizes.text)
        weights = torch.ones(len(tokens), sizes.tags, 1)
        if sizes.family == "ram_plus":
            image = tokens[:, 0] / tokens[:, 0].norm(dim=-1, keepdim=True)
            scores = torch.stack([rows @ one for one in image])
            weights = (state["reweight_scale"].exp() * scores).softmax(-1)
        h = (weights[..., None] * rows).sum(2)
        h = (linear(state, "wordvec_proj", h) if "wordvec_proj.weight" in state else h).relu()
    for number in range(sizes.layers):
        name = f"tagging_head.encoder.layer.{number}"
        h = attention(state, f"{name}.crossattention", h, tokens, sizes.heads)
        h = feed_forward(state, name, h)
    if sizes.family == "tag2text":
        return (h * state["fc.W"]).sum(-1) + state["fc.b"]
    return linear(state, "fc", h)[..., 0]


def caption_logits(
    state: State, tokens: Tensor, tags: Tensor, mask: Tensor, text: Tensor, sizes: Sizes
) -> Tensor:
    """Logits [B, L, V] of each next token, for tag texts [B, M] and captions [B, L]."""
    hidden_tags = -10_000.0 * (1 - mask.float())[:, None, None]
    memory = _text_model(state, "tag_encoder", tags, tokens, hidden_tags, sizes)
    later = torch.full((text.shape[1], text.shape[1]), -10_000.0).triu(1)
    h = _text_model(state, "text_decoder.bert", text, memory, later, sizes)
    root = "text_decoder.cls.predictions"
    h = F.gelu(linear(state, f"{root}.transform.dense", h))
    return linear(state, f"{root}.decoder", norm(state, f"{root}.transform.LayerNorm", h, 1e-12))


def _text_model(
    state: State, root: str, ids: Tensor, source: Tensor, mask: Tensor, sizes: Sizes
) -> Tensor:
    words = state[f"{root}.embeddings.word_embeddings.weight"][ids]
    places = state[f"{root}.embeddings.position_embeddings.weight"][: ids.shape[1]]
    h = norm(state, f"{root}.embeddings.LayerNorm", words + places, 1e-12)
    for number in range(sizes.captioner):
        name = f"{root}.encoder.layer.{number}"
        h = attention(state, f"{name}.attention", h, h, sizes.caption_heads, mask)
        h = attention(state, f"{name}.crossattention", h, source, sizes.caption_heads)
        h = feed_forward(state, name, h)
    return h
