"""Exported models beside eager torch: speed, logits, tags and mAP.

::

    python benchmarks/export.py --json OUT.json                  # makes its own photos
    python benchmarks/export.py ~/Pictures --num-photos 1000 --yolo coco128/ --json OUT.json
    OMP_NUM_THREADS=1 python benchmarks/export.py --json OUT.json        # one thread each

For ONNX Runtime and OpenVINO in float, and ONNX Runtime with an encoder of 8 bits:

speed
    ``Tagger.score`` on pixels that are decoded already, the model's own tags, in this process; all
    engines have as many threads. Rounds go through the engines forwards and backwards in turn, and
    a ratio compares an engine and torch in the same round. Nothing else should run meanwhile
tags
    the largest difference of logits, and what changes of the tags that torch gives, on all photos;
    in 8 bits on every second one, as the others have calibrated
mAP
    of a folder of photos with YOLO labels (COCO128, see quality.py)
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from quality import machine, read_yolo, score_photos, today
from rounds import in_turn, spread
from speed import cores_busy, describe_photos, list_photos, make_photos

from anytag import Tagger
from anytag.evaluation.metrics import mean_average_precision
from anytag.inference.export import ExportOptions, export_model
from anytag.inference.export_parity import measure_parity
from anytag.inference.graphs import num_threads

Pixels = npt.NDArray[np.uint8]

#: (backend, 8 bits)
EXPORTS = (("onnx", False), ("openvino", False), ("onnx", True))
NUM_WARM_UP = 8


def name_of(backend: str, int8: bool) -> str:
    """onnx, onnx int8, ..."""
    return f"{backend} int8" if int8 else backend


def export_all(tagger: Tagger, photos: Pixels, folder: Path) -> dict[str, Tagger]:
    """Torch and every exported form, by name."""
    engines = {"torch": tagger}
    for backend, int8 in EXPORTS:
        name = name_of(backend, int8)
        target = folder / name.replace(" ", "-")
        print(f"exporting {name}", file=sys.stderr)
        options = ExportOptions(backend=backend, int8=int8, max_changed=1.0)  # reported here
        export_model(tagger, target, options, photos)
        engines[name] = Tagger.from_pretrained(target, backend=backend, device="cpu")
    return engines


def measure_speed(
    engines: dict[str, Tagger], pixels: Pixels, batch_size: int, repeats: int
) -> dict[str, dict[str, Any]]:
    """Images per second of every engine, and its ratio to torch, round by round."""
    rates: dict[str, list[float]] = {name: [] for name in engines}
    for tagger in engines.values():
        tagger.score(pixels[:NUM_WARM_UP])
    for number, name in in_turn(engines, repeats):
        started = time.perf_counter()
        for start in range(0, len(pixels), batch_size):
            engines[name].score(pixels[start : start + batch_size])
        rates[name].append(len(pixels) / (time.perf_counter() - started))
        print(f"round {number + 1}: {rates[name][-1]:7.1f} images/s  {name}", file=sys.stderr)
    ratios = {
        name: [one / base for one, base in zip(found, rates["torch"], strict=True)]
        for name, found in rates.items()
    }
    return {
        name: {"images_per_second": spread(rates[name]), "ratio_to_torch": spread(ratios[name])}
        for name in engines
    }


def measure(options: argparse.Namespace, photos: Sequence[Path], folder: Path) -> dict[str, Any]:
    """All figures as JSON values."""
    busy = cores_busy()
    if busy is not None and busy > 0.2:
        print(f"warning: other programs keep {busy:.1f} cores busy", file=sys.stderr)
    tagger = Tagger.from_pretrained(options.model, device="cpu", dtype="float32", backend="torch")
    pixels = np.stack([tagger.load(photo).pixels for photo in photos])
    engines = export_all(tagger, pixels, folder)
    timed = pixels[: options.num_timed]
    rows = measure_speed(engines, timed, options.batch_size, options.repeats)
    for name, engine in engines.items():
        # every second photo has calibrated the 8 bits
        others = pixels[1::2] if engine.dtype == "int8" and len(pixels) > 1 else pixels
        rows[name]["model"] = engine.model_name
        rows[name]["parity"] = asdict(measure_parity(tagger, engine, others, "photos"))
        if options.yolo is not None:
            scores, truth, _ = score_photos(engine, read_yolo(options.yolo))
            rows[name]["map"] = mean_average_precision(scores, truth).value
            rows[name]["map_photos"] = len(scores)
    return {
        "kind": "export",
        "model": tagger.model_name,
        "num_tags": len(tagger.labels),
        "date": today(),
        "machine": machine(),
        "cores_busy_before": busy,
        "threads": num_threads(),
        "photos": describe_photos(photos, options.folder is None),
        "photos_timed": len(timed),
        "batch_size": options.batch_size,
        "repeats": options.repeats,
        "engines": rows,
    }


def summary(figures: dict[str, Any]) -> str:
    """The figures for people, a line for each engine."""
    lines = []
    for name, row in figures["engines"].items():
        rate, ratio, parity = row["images_per_second"], row["ratio_to_torch"], row["parity"]
        lines.append(
            f"{name:14} {rate['median']:7.1f} images/s, {ratio['median']:.2f} x torch "
            f"({ratio['min']:.2f} to {ratio['max']:.2f}); logits differ by "
            f"{parity['max_logit_difference']:.2g}, {parity['num_tags_changed']} of "
            f"{parity['num_given']} tags changed on {parity['num_images']} photos"
            + (f"; mAP {100 * row['map']:.2f}" if "map" in row else "")
        )
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, nargs="?", help="of photos; made if not given")
    parser.add_argument("--num-photos", type=int, default=200, help="the first so many")
    parser.add_argument("--num-timed", type=int, default=64, help="photos in a timed round")
    parser.add_argument("--model", default="nano")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--yolo", type=Path, help="folder of labelled photos, for mAP")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="anytag-export-") as made:
        folder = options.folder or Path(made) / "photos"
        if options.folder is None:
            folder.mkdir()
            make_photos(folder, options.num_photos)
        photos = list_photos(folder)[: options.num_photos]
        if not photos:
            raise SystemExit(f"{folder}: no JPEG or PNG files")
        figures = measure(options, photos, Path(made) / "exports")
    print(summary(figures))
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
