"""How much a model multiplies for one image, part by part, and how fast this machine could do it.

    encoder     tensor to image tokens
    decoder     image tokens to scores of every tag
    labels      what is computed once for a list of tags

Work is counted in GMAC: 10^9 multiplications, each with an addition (2 GFLOP). torch counts it
(`torch.utils.flop_counter`) while the network runs on tensors that have a shape and no content,
which takes seconds at most and no memory. Counted are the products of the plain network, as
published; on a CPU inference reorders them, which saves 7 % of RAM's decoder
(`anytag.models.layers.CrossAttention.fold`).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from anytag.inference.tagger import Tagger
from anytag.inference.vocabulary import Vocabulary
from anytag.models.linear import Linear

#: last part of a module's name -> what it is part of. A cross-attention's query is a call of its
#: own, because the first layer's is among the labels
KINDS = {
    "ffn": "feed_forward",
    "mlp": "feed_forward",
    "attn": "attention",
    "cross_attention": "attention",
    "query": "attention",
}
#: rows, inputs and outputs of the product that is timed: that of a decoder's feed-forward part with
#: half of RAM's tags, and one that fills a GPU
CPU_PRODUCT, OTHER_PRODUCT = (2304, 768, 3072), (8192, 8192, 8192)
_TIMES = 10


@dataclass(frozen=True, kw_only=True)
class Work:
    """GMAC of one part."""

    total: float
    #: of it, in feed-forward layers
    feed_forward: float
    #: of it, in attention, its projections included
    attention: float


@dataclass(frozen=True, kw_only=True)
class Ceiling:
    """The fastest of ten bare products."""

    gmac_per_s: float
    #: rows, inputs, outputs
    product: tuple[int, int, int]


class _Pass(nn.Module):
    """All parts of a pass, one after the other, with a call after each."""

    def __init__(self, model: Any, after: Callable[[str], None]) -> None:
        super().__init__()
        self.network: nn.Module = model.network
        self._decode, self._after = model.decode, after

    def forward(self, images: Tensor, rows: Any) -> None:
        network = cast(Any, self.network)  # each family prepares rows of its own kind
        labels = network.prepare(rows)
        self._after("labels")
        tokens = network.encoder(images)
        self._after("encoder")
        self._decode(tokens, labels)
        self._after("decoder")


def count_work(model: Any, rows: Any) -> dict[str, Work]:
    """The work of one image.

    Args:
        model: an `anytag.inference.open_model.OpenModel`
        rows: of the tags, as its network's ``prepare`` takes them, on the device "meta"

    Returns:
        of "labels", "encoder" and "decoder"
    """
    counter = FlopCounterMode(display=False)
    parts: dict[str, dict[str, int]] = {}
    found = dict.fromkeys(("total", *KINDS.values()), 0)
    open_modules: list[int] = []

    def before(module: nn.Module, inputs: Any) -> None:
        open_modules.append(counter.get_total_flops())

    def close(kind: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            begun = open_modules.pop()
            if not open_modules:  # what is inside of another part is that part's
                found[kind] += counter.get_total_flops() - begun

        return hook

    def after(part: str) -> None:
        known = {name: sum(one[name] for one in parts.values()) for name in found}
        now = found | {"total": counter.get_total_flops()}
        parts[part] = {name: now[name] - known[name] for name in now}

    whole = _Pass(model, after)
    handles = []
    for name, module in whole.named_modules():
        kind = KINDS.get(name.rpartition(".")[2])
        if kind is not None:
            handles += [
                module.register_forward_pre_hook(before),
                module.register_forward_hook(close(kind)),
            ]
    tensors = [*whole.named_parameters(), *whole.named_buffers()]
    shapes = {name: tensor.to("meta") for name, tensor in tensors}
    side = model.image_size
    images = torch.empty(1, 3, side, side, dtype=model.dtype, device="meta")
    try:
        with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), counter:
            functional_call(whole, shapes, (images, rows))
    finally:
        for handle in handles:
            handle.remove()
    return {
        part: Work(**{name: flops / 2e9 for name, flops in counts.items()})
        for part, counts in parts.items()
    }


def tagger_work(tagger: Tagger) -> dict[str, Work] | None:
    """The work of a tagger's network for one image; None where it is an exported graph."""
    if not hasattr(tagger.model, "network"):
        return None
    vocabulary = Vocabulary(tagger.labels, tagger.rows)
    dtype = cast(torch.dtype, tagger.dtype)
    return count_work(tagger.model, vocabulary.on(torch.device("meta"), dtype))


def tagger_ceiling(tagger: Tagger) -> Ceiling:
    """How fast products of a tagger's type are, on its device."""
    return ceiling(cast(torch.device, tagger.device), cast(torch.dtype, tagger.dtype))


def ceiling(device: torch.device, dtype: torch.dtype) -> Ceiling:
    """How fast this machine multiplies matrices, as the model's layers do it."""
    product = CPU_PRODUCT if device.type == "cpu" else OTHER_PRODUCT
    rows, inputs, outputs = product
    layer = Linear(inputs, outputs).to(device, dtype)
    x = torch.randn(rows, inputs, device=device, dtype=dtype)
    spent = []
    with torch.inference_mode():
        for _ in range(_TIMES + 1):
            start = time.perf_counter()
            layer(x)[0, 0].item()  # waits for the device
            spent.append(time.perf_counter() - start)
    # the first one puts the weight in order
    return Ceiling(gmac_per_s=rows * inputs * outputs / 1e9 / min(spent[1:]), product=product)
