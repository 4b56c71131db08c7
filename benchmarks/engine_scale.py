"""The machinery of the data engine at scale: records a second and memory, without a real model.

::

    python benchmarks/engine_scale.py --records 100000 --json benchmarks/out/engine-100k.json

Records over 200 small pictures, three random tags of a hundred each, and a stand-in for the model
whose scores are functions of the mean colour: what is measured is reading, decoding, merging,
cutting out, clustering and writing. Of each step: records a second, and how the memory of the
process grows with the records in the step's second half. Seconds are processor seconds of this
process, all threads together, so that other programs on the machine matter little.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from quality import machine, today

from anytag.config import from_plain
from anytag.data.images import LoadedImage, load_image
from anytag.engine.config import EngineConfig
from anytag.engine.pipeline import Engine
from anytag.labels.labelset import LabelSet

#: of the stand-in's tags: four a picture reach it
THRESHOLD = 0.7


class Colours:
    """A stand-in for a model: its tags are ranges of the mean colour."""

    image_size = 16
    model_name = "colours"
    device = SimpleNamespace(type="cpu")
    dtype = "float32"

    def __init__(self, labels: LabelSet) -> None:
        self.labels = labels
        self._weights = np.stack(
            [
                np.random.default_rng(int.from_bytes(label.name.encode(), "little") % 2**32).normal(
                    size=3
                )
                for label in labels
            ]
        )

    def with_tags(self, names: list[str]) -> Colours:
        return Colours(LabelSet.from_names(names, THRESHOLD))

    def load(self, source: Any) -> LoadedImage:
        return load_image(source, size=self.image_size)

    def look(self, pixels: npt.NDArray[np.uint8]) -> tuple[Any, Any]:
        colours = pixels.reshape(len(pixels), -1, 3).mean(axis=1) / 128 - 1
        scores = 1 / (1 + np.exp(-3 * colours @ self._weights.T))
        return scores.astype(np.float32), np.tile(colours, (1, 16)).astype(np.float32) + 0.1

    def score(self, pixels: npt.NDArray[np.uint8]) -> Any:
        return self.look(pixels)[0]


def throughput(num_records: int) -> dict[str, Any]:
    """Records a second, and memory by records, of each step."""
    random = np.random.default_rng(0)
    names = [f"tag {number}" for number in range(100)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number in range(200):
            pixels = random.integers(0, 256, (4, 4, 3)).astype(np.uint8)
            Image.fromarray(pixels).resize((64, 48)).save(folder / f"{number}.jpg")
        with (folder / "given.jsonl").open("w") as file:
            for _ in range(num_records):
                tags = random.choice(names, 3, replace=False).tolist()
                image = folder / f"{random.integers(200)}.jpg"
                file.write(json.dumps({"image": str(image), "tags": tags}) + "\n")
        config = from_plain(
            EngineConfig,
            {
                "output": str(folder / "out"),
                "data": [{"path": str(folder / "given.jsonl")}],
                "clean": {"rules": ["outlier", "crop", "unseen", "unsure"]},
            },
        )
        seen: dict[str, list[tuple[float, int, int]]] = {}

        def report(step: str, done: int, total: int) -> None:
            seen.setdefault(step, []).append((time.process_time(), done, resident_bytes()))

        start = time.process_time()
        tagger: Any = Colours(LabelSet.from_names(names, THRESHOLD))
        result = Engine(config, report=report, tagger=tagger).run()
        seconds = time.process_time() - start
    return {
        "kind": "engine-throughput",
        "date": today(),
        "machine": machine(),
        "records": num_records,
        "processor_seconds": seconds,
        "records_per_second": num_records / seconds,
        "steps": {step: step_figures(points, num_records) for step, points in seen.items()},
        "counts": {step: dict(counts) for step, counts in result.counts.items()},
    }


def step_figures(points: Sequence[tuple[float, int, int]], num_records: int) -> dict[str, float]:
    """Of (time, shards or categories done, bytes resident) after each."""
    times, done, memory = (np.array(column, float) for column in zip(*points, strict=True))
    half = len(points) // 2
    records = done * num_records / done[-1]
    slope = np.polyfit(records[half:], memory[half:], 1)[0] if len(points) > 3 else float("nan")
    return {
        "records_per_second": float((records[-1] - records[0]) / max(times[-1] - times[0], 1e-9)),
        "bytes_per_record": float(slope),
        "peak_mb": float(memory.max() / 1e6),
    }


def resident_bytes() -> int:
    """Memory of this process now (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args(arguments)
    text = json.dumps(throughput(args.records), indent=1)
    if args.json is not None:
        args.json.write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
