"""What RAM's decoder costs by number of tags: time and memory, with and without parts.

::

    python benchmarks/tags_cost.py --json OUT.json --plot OUT.svg

The decoder of the released sizes (hidden 768, two layers, 145 image tokens of width 512) with
random weights, one image. "In parts" is what inference does (`anytag.models.decoder.label_states`);
"at once" is the plain path that training takes. Each is a process of its own, so that its memory is
its own: what the pass adds to the process with its weights, label state and image tokens, after a
first pass with 100 tags.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from quality import machine, today

COUNTS = (100, 1000, 4585, 10_000, 100_000)
#: the plain path with more tags needs gigabytes
MOST_AT_ONCE = 10_000
NUM_TOKENS, ROUNDS = 145, 3


def measure(num_tags: int, dtype: str, *, parts: bool, batch_size: int) -> dict[str, Any]:
    """One case in this process."""
    import torch
    from released import read_status

    from anytag.evaluation.memory import PeakMemory
    from anytag.models.config import ram
    from anytag.models.decoder import TaggingDecoder

    config = ram()
    kind = {"float32": torch.float32, "bfloat16": torch.bfloat16}[dtype]
    torch.manual_seed(0)
    decoder = TaggingDecoder(config.decoder, 512).eval().to(kind)
    tokens = torch.randn(batch_size, NUM_TOKENS, 512).to(kind)
    mode = torch.inference_mode if parts else torch.no_grad
    with mode():
        few, many = (decoder.prepare(torch.randn(n, 768).to(kind)) for n in (100, num_tags))
        decoder(few, tokens)
        peak = PeakMemory(tokens.device)
        before = read_status("VmRSS") / 1e6
        peak.begin()
        seconds = []
        for _ in range(ROUNDS):
            started = time.perf_counter()
            decoder(many, tokens)
            seconds.append(time.perf_counter() - started)
        peak.end()
    return {
        "tags": num_tags,
        "parts": parts,
        "batch_size": batch_size,
        "seconds_per_image": median(seconds) / batch_size,
        "added_mb": None if peak.mb is None else round(peak.mb - before, 1),
        "label_state_mb": round(2 * many.queries.nbytes / 1e6, 1),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--counts", type=int, nargs="+", default=COUNTS)
    parser.add_argument("--dtype", default="bfloat16", choices=["float32", "bfloat16"])
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path, help="an SVG; needs matplotlib")
    parser.add_argument("--case", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.case:
        print(json.dumps(measure(**options.case)))
        return
    cases = [
        {"num_tags": count, "parts": parts, "batch_size": 1}
        for parts in (True, False)
        for count in options.counts
        if parts or count <= MOST_AT_ONCE
    ]
    typical = min(options.counts, key=lambda count: abs(count - 4585))
    cases += [{"num_tags": typical, "parts": True, "batch_size": size} for size in (4, 16)]
    rows = []
    for case in cases:
        command = [sys.executable, __file__, "--case", json.dumps({**case, "dtype": options.dtype})]
        threads = str(options.threads)
        environment = {**os.environ, "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True, env=environment)
        rows.append(json.loads(done.stdout))
        print(rows[-1], file=sys.stderr)
    figures = {
        "kind": "tags_cost",
        "date": today(),
        "machine": machine(),
        "dtype": options.dtype,
        "threads": options.threads,
        "rows": rows,
    }
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    if options.plot:
        options.plot.write_text(plot(rows), encoding="utf-8")


def plot(rows: Sequence[dict[str, Any]]) -> str:
    """Seconds and memory by number of tags, as SVG."""
    from anytag.evaluation.report import line_plot

    curves = {}
    for name, parts in (("in parts", True), ("at once", False)):
        for key, unit, factor in (("seconds_per_image", "ms", 1000), ("added_mb", "MB added", 1)):
            chosen = [
                (row["tags"], max(factor * (row[key] or 0), 0.1))
                for row in rows
                if row["parts"] == parts and row["batch_size"] == 1
            ]
            if chosen:
                xs, ys = zip(*chosen, strict=True)
                curves[f"{name}, {unit}"] = (xs, ys)
    return line_plot(curves, x_label="tags", log_x=True, log_y=True, title="RAM's decoder")


if __name__ == "__main__":
    main()
