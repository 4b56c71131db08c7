"""Where a pass of full-size RAM goes: multiplications by part, and what this machine could do.

::

    python benchmarks/floor.py --json OUT.json

**Ceilings** are the fastest of ten products [2304, 768] x [768, 3072], the shape of the decoder's
feed-forward part, by type: plain `torch.nn.functional.linear`, the packed weights of
`anytag.models.linear`, and 8-bit integers through oneDNN (a product alone, without the rounding
around it). The **floor** of a part is its multiplications at the packed ceiling. Random weights,
one picture.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median

import torch
from quality import machine, today
from torch.nn import functional as F

from anytag.models.config import DecoderConfig, ram
from anytag.models.linear import Linear, can_pack
from anytag.models.swin import SwinConfig, swin_large
from anytag.models.tagging import TaggingNetwork

NUM_TAGS, ROUNDS = 4585, 5
SHAPE = (2304, 768, 3072)


def swin_macs(config: SwinConfig) -> dict[str, float]:
    """Multiplications of the backbone in 10^9, by part."""
    found = dict.fromkeys(("projections", "attention", "MLP", "patches and merging"), 0.0)
    tokens, width = config.resolution(0) ** 2, config.width(0)
    found["patches and merging"] += tokens * 3 * config.patch_size**2 * width
    for stage, depth in enumerate(config.depths):
        tokens, width = config.resolution(stage) ** 2, config.width(stage)
        found["projections"] += depth * 4 * tokens * width**2
        found["attention"] += depth * 2 * tokens * config.window(stage) ** 2 * width
        found["MLP"] += depth * 2 * config.mlp_ratio * tokens * width**2
        if stage + 1 < len(config.depths):
            found["patches and merging"] += tokens / 4 * 4 * width * 2 * width
    return {name: value / 1e9 for name, value in found.items()}


def head_macs(
    config: DecoderConfig, num_tags: int, num_tokens: int, token_width: int, text_width: int
) -> dict[str, float]:
    """Multiplications of the decoder in 10^9, by part, as the public code does them."""
    hidden, layers = config.hidden, config.num_layers
    found = {
        "label projection": num_tags * text_width * hidden,
        "queries": layers * num_tags * hidden**2,
        "keys and values": layers * 2 * num_tokens * token_width * hidden,
        "scores and mix": layers * 2 * num_tags * num_tokens * hidden,
        "output": layers * num_tags * hidden**2,
        "feed-forward": layers * 2 * num_tags * hidden * config.ffn,
    }
    return {name: value / 1e9 for name, value in found.items()}


def folded_macs(
    config: DecoderConfig, num_tags: int, num_tokens: int, token_width: int
) -> dict[str, float]:
    """The same as `anytag.models.decoder.label_states` does them."""
    hidden, heads, layers = config.hidden, config.num_heads, config.num_layers
    wide = num_tags * heads * num_tokens * hidden
    found = {
        "keys and values": layers * 2 * num_tokens * token_width * hidden
        + (2 * layers - 1) * num_tokens * hidden**2,
        "scores and mix": num_tags * num_tokens * hidden + (2 * layers - 1) * wide,
        "feed-forward": layers * 2 * num_tags * hidden * config.ffn,
    }
    return {name: value / 1e9 for name, value in found.items()}


def best(run: Callable[[], object], times: int = 10) -> float:
    """Seconds of the fastest run."""
    run()
    found = []
    for _ in range(times):
        started = time.perf_counter()
        run()
        found.append(time.perf_counter() - started)
    return min(found)


def ceilings() -> dict[str, float]:
    """10^9 multiplications a second, by type."""
    rows, width, outputs = SHAPE
    work = rows * width * outputs / 1e9
    layer, x = Linear(width, outputs), torch.randn(rows, width)
    found = {}
    with torch.inference_mode():
        for dtype in (torch.float32, torch.bfloat16):
            name = str(dtype).removeprefix("torch.")
            weight, bias, part = layer.weight.to(dtype), layer.bias.to(dtype), x.to(dtype)
            found[f"{name}, plain"] = work / best(partial(F.linear, part, weight, bias))
            if can_pack(dtype):
                packed = Linear(width, outputs).to(dtype)
                found[f"{name}, packed"] = work / best(partial(packed, part))
        one = torch.ops.onednn
        scale, zero = torch.ones(outputs), torch.zeros(outputs, dtype=torch.int64)
        weight = one.qlinear_prepack((layer.weight * 1000).to(torch.int8), None)
        levels = (x * 20 + 128).clamp(0, 255).to(torch.uint8)
        form = (None, 1.0, 0, torch.float32, "none", [], "none")
        run = one.qlinear_pointwise
        found["int8"] = work / best(lambda: run(levels, 1.0, 128, weight, scale, zero, *form))
    return found


def timed(dtype: torch.dtype) -> dict[str, float]:
    """Seconds of encoder and decoder, medians."""
    torch.manual_seed(0)
    network = TaggingNetwork(ram()).eval().to(dtype)
    images = torch.randn(1, 3, 384, 384).to(dtype).contiguous(memory_format=torch.channels_last)
    found: dict[str, list[float]] = {"encoder": [], "decoder": []}
    with torch.inference_mode():
        labels = network.prepare(torch.randn(NUM_TAGS, 512).to(dtype))
        for number in range(ROUNDS + 1):
            started = time.perf_counter()
            tokens = network.encoder(images)
            between = time.perf_counter()
            network.decoder(labels, tokens)
            if number:  # the first pass packs the weights
                found["encoder"].append(between - started)
                found["decoder"].append(time.perf_counter() - between)
    return {name: median(values) for name, values in found.items()}


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    swin, decoder = swin_large(384), ram().decoder
    num_tokens = 1 + swin.num_tokens
    encoder = swin_macs(swin)
    encoder["token projection"] = num_tokens * swin.num_features * 512 / 1e9
    head = head_macs(decoder, NUM_TAGS, num_tokens, 512, 512)
    folded = folded_macs(decoder, NUM_TAGS, num_tokens, 512)
    speeds = ceilings()
    times = []
    for dtype in (torch.float32, torch.bfloat16):
        name = str(dtype).removeprefix("torch.")
        ceiling = speeds.get(f"{name}, packed", speeds[f"{name}, plain"])
        for part, seconds in timed(dtype).items():
            work = sum((encoder if part == "encoder" else folded).values())
            floor = work / ceiling
            row = {"dtype": name, "part": part, "gmac": work, "seconds": seconds}
            times.append(row | {"floor": floor, "share_of_ceiling": floor / seconds})
    figures = {
        "kind": "floor",
        "date": today(),
        "machine": machine(),
        "threads": options.threads,
        "encoder_gmac": encoder,
        "head_gmac": head,
        "folded_head_gmac": folded,
        "ceilings_gmac_per_s": speeds,
        "times": times,
    }
    print(json.dumps(figures, indent=1))
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
