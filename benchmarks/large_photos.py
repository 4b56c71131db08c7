"""Photos of 12 megapixels: files to tags beside "Pillow, then the model", on one core and more.

::

    python benchmarks/large_photos.py --json OUT.json             # makes its own 32 photos
    python benchmarks/large_photos.py ~/Pictures --cores 1 2 4 8 --json OUT.json

speed
    ``Tagger.stream`` beside a plain loop: one photo at a time is decoded at full size and resized
    with Pillow, and goes through the same network with the same label queries, computed once. Each
    measurement is a process of its own that may use so many processors. Rounds go through all
    cases forwards and backwards in turn; a ratio compares two of one round, type and core count.
steps
    processor milliseconds of each step of reading one photo, on one thread
tags
    what decoding at reduced size changes of the tags that full decoding gives, on these photos and
    on those of ``--compare FOLDER`` (such as real ones)
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from quality import machine, today
from rounds import in_turn, run_case, spread
from speed import cores_busy, describe_photos, list_photos, make_photos

SIZE = (4000, 3000)
#: with the noise that make_photos adds, files as large as those of cameras
QUALITY = 95
NUM_WARM_UP = 4


@dataclass(frozen=True, kw_only=True)
class Case:
    """One thing that is measured."""

    #: "stream" or "plain"
    mode: str
    #: "float32" or "bfloat16"
    dtype: str
    cores: int


def measure(case: Case, model: str, photos: Sequence[Path]) -> dict[str, Any]:
    """Images per second in this process, which has ``case.cores`` processors."""
    from anytag import Tagger

    tagger = Tagger.from_pretrained(model, device="cpu", dtype=case.dtype, backend="torch")
    run = _stream if case.mode == "stream" else _plain
    run(tagger, photos[:NUM_WARM_UP], case.cores)
    started = time.perf_counter()
    mean = run(tagger, photos, case.cores)
    seconds = time.perf_counter() - started
    return {"images_per_second": len(photos) / seconds, "mean_score": mean}


def _stream(tagger: Any, photos: Sequence[Path], cores: int) -> float:
    found = list(tagger.stream(photos, workers=cores))
    return float(np.mean([result.scores.mean() for result in found]))


def _plain(tagger: Any, photos: Sequence[Path], cores: int) -> float:
    size = (tagger.image_size, tagger.image_size)
    means = []
    for photo in photos:
        image = Image.open(photo).convert("RGB").resize(size, Image.Resampling.BILINEAR)
        scores = tagger.model.score(np.array(image)[None], tagger.label_state)
        means.append(float(scores.mean()))
    return float(np.mean(means))


def measure_apart(case: Case, model: str, folder: Path, num_photos: int) -> dict[str, Any]:
    """`measure` in a new process."""
    arguments = [str(folder), "--model", model, "--num-photos", str(num_photos)]
    return run_case(__file__, case, arguments, {"OMP_NUM_THREADS": str(case.cores)})


def measure_all(
    cases: Sequence[Case], repeats: int, measure_one: Callable[[Case], dict[str, Any]]
) -> list[dict[str, Any]]:
    """Rates of all cases, and for streams how many times the plain loop's of the same round."""
    rates: dict[Case, list[float]] = {case: [] for case in cases}
    means: dict[Case, float] = {}
    for number, case in in_turn(cases, repeats):
        found = measure_one(case)
        rates[case].append(found["images_per_second"])
        means[case] = found["mean_score"]
        print(f"round {number + 1}: {rates[case][-1]:6.1f} images/s  {case}", file=sys.stderr)
    rows = []
    for case in cases:
        plain = rates[Case(mode="plain", dtype=case.dtype, cores=case.cores)]
        ratios = [one / other for one, other in zip(rates[case], plain, strict=True)]
        rows.append(
            {
                **asdict(case),
                "mean_score": means[case],
                "images_per_second": spread(rates[case]),
                "times_plain": spread(ratios) if case.mode == "stream" else None,
            }
        )
    return rows


def measure_steps(photos: Sequence[Path], size: int, repeats: int = 3) -> dict[str, float]:
    """Processor milliseconds of one photo; the least of some passes over all of them."""
    from anytag.data.images import DRAFT_FACTOR, load_image

    content = {photo: photo.read_bytes() for photo in photos}
    square, bilinear = (size, size), Image.Resampling.BILINEAR

    def decode(photo: Path, side: int | None = None) -> Image.Image:
        image = Image.open(io.BytesIO(content[photo]))
        if side is not None:
            image.draft(None, (side, side))
        image.load()
        return image

    full = decode(photos[0])
    draft = decode(photos[0], DRAFT_FACTOR * size)
    steps: dict[str, Callable[[Path], object]] = {
        "reading the file": lambda photo: photo.read_bytes(),
        "SHA-256": lambda photo: hashlib.sha256(content[photo]).digest(),
        "decoding, full size": decode,
        "decoding, reduced": lambda photo: decode(photo, DRAFT_FACTOR * size),
        "resizing, from full size": lambda photo: full.resize(square, bilinear),
        "resizing, from reduced": lambda photo: draft.resize(square, bilinear),
        "all of it, full size": lambda photo: load_image(photo, size=size, exact=True),
        "all of it, reduced": lambda photo: load_image(photo, size=size),
    }
    found = {}
    for name, step in steps.items():
        passes = []
        for _ in range(repeats):
            started = time.process_time()
            for photo in photos:
                step(photo)
            passes.append((time.process_time() - started) / len(photos))
        found[name] = round(1000 * min(passes), 2)
    return found


def compare_tags(model: str, photos: Sequence[Path]) -> dict[str, Any]:
    """Tags at each one's own threshold after decoding at full and at reduced size.

    Only photos that are decoded at reduced size are compared.
    """
    from anytag import Tagger
    from anytag.data.images import load_image

    tagger = Tagger.from_pretrained(model, device="cpu", dtype="float32", backend="torch")
    limits = np.array([label.threshold for label in tagger.labels], np.float32)
    given = changed = images = compared = 0
    largest, pixel_sum = 0.0, 0.0
    for photo in photos:
        exact = load_image(photo, size=tagger.image_size, exact=True).pixels
        draft = load_image(photo, size=tagger.image_size).pixels
        if np.array_equal(exact, draft):
            continue
        one, other = tagger.score(np.stack([exact, draft]))
        differs = (one >= limits) != (other >= limits)
        compared += 1
        given += int((one >= limits).sum())
        changed += int(differs.sum())
        images += int(differs.any())
        largest = max(largest, float(np.abs(one - other).max()))
        pixel_sum += float(np.abs(exact.astype(np.float32) - draft).mean())
    return {
        "photos": len(photos),
        "compared": compared,
        "given": given,
        "changed": changed,
        "photos_changed": images,
        "max_score_difference": largest,
        "mean_pixel_difference": pixel_sum / max(compared, 1),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, nargs="?", help="of photos; made if not given")
    parser.add_argument("--num-photos", type=int, default=32, help="the first so many")
    parser.add_argument("--model", default="nano")
    parser.add_argument("--dtype", nargs="+", default=["float32", "bfloat16"])
    parser.add_argument("--cores", nargs="+", type=int, default=[1, os.cpu_count() or 1])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--compare", type=Path, help="folder of large photos, for their tags")
    parser.add_argument("--made", action="store_true", help="the folder's are of make_photos")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--case", help=argparse.SUPPRESS)  # one measurement, for measure_apart
    options = parser.parse_args(arguments)
    if options.case:
        case = Case(**json.loads(options.case))
        if hasattr(os, "sched_setaffinity"):  # before torch starts its threads
            os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: case.cores])
        photos = list_photos(options.folder)[: options.num_photos]
        print(json.dumps(measure(case, options.model, photos)))
        return
    with tempfile.TemporaryDirectory(prefix="anytag-large-") as made:
        folder = options.folder or Path(made)
        if options.folder is None:
            make_photos(folder, options.num_photos, SIZE, QUALITY)
        figures = _run(options, folder)
    for row in figures["cases"]:
        rate, times = row["images_per_second"], row["times_plain"]
        print(
            f"{row['mode']:6} {row['dtype']:8} {row['cores']} cores: {rate['median']:6.1f} images/s"
            + (f", {times['median']:.1f} x the plain loop" if times else "")
        )
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(figures, indent=1) + "\n")


def _run(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    photos = list_photos(folder)[: options.num_photos]
    if not photos:
        raise SystemExit(f"{folder}: no JPEG or PNG files")
    busy = cores_busy()
    if busy is not None and busy > 0.2:
        print(f"warning: other programs keep {busy:.1f} cores busy", file=sys.stderr)
    cases = [
        Case(mode=mode, dtype=dtype, cores=cores)
        for cores in dict.fromkeys(options.cores)
        for dtype in options.dtype
        for mode in ("stream", "plain")
    ]
    rows = measure_all(
        cases,
        options.repeats,
        lambda case: measure_apart(case, options.model, folder, len(photos)),
    )
    from anytag import Tagger

    tagger = Tagger.from_pretrained(options.model, device="cpu", backend="torch")
    sets = {"these": photos}
    if options.compare is not None:
        sets["compare"] = list_photos(options.compare)
    return {
        "kind": "speed-large",
        "model": tagger.model_name,
        "num_tags": len(tagger.labels),
        "date": today(),
        "machine": machine(),
        "cores_busy_before": busy,
        "photos": describe_photos(photos, options.made or options.folder is None),
        "repeats": options.repeats,
        "cases": rows,
        "steps_ms": measure_steps(photos[:8], tagger.image_size),
        "tags": {name: compare_tags(options.model, found) for name, found in sets.items()},
    }


if __name__ == "__main__":
    main()
