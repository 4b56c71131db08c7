"""Images per second and peak memory, beside a plain loop measured in the same run.

::

    python benchmarks/speed.py --json OUT.json            # makes its own 200 photos
    python benchmarks/speed.py ~/Pictures --batch-size 1 8 32 --json OUT.json

Three ways, each for every dtype and tag list:

stream
    ``Tagger.stream`` over JPEG files on disk: files in, tags out
model
    ``Tagger.score`` alone, on pixels that are decoded already
baseline
    what the public research code does: one photo at a time, decoded at full size, and the label
    queries computed anew for each photo. Same network, same thread settings.

Every measurement is a process of its own, so that its peak memory is its own; rounds go through all
cases forwards and backwards in turn, so that a slow minute of the machine meets all of them.
Speed-ups compare stream and baseline of the same round. Nothing else should run meanwhile.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image
from quality import COCO_NAMES, IMAGE_SUFFIXES, machine, today
from rounds import in_turn, run_case, spread

if TYPE_CHECKING:
    from anytag import Tagger

#: photos of scikit-image from which the JPEGs are made
SAMPLES = ("chelsea.png", "coffee.png", "rocket.jpg", "astronaut.png")
SIZE = (1600, 1200)
BUILT_IN = "built-in"
NUM_WARM_UP = 8


@dataclass(frozen=True, kw_only=True)
class Case:
    """One thing that is measured."""

    #: "stream", "model" or "baseline"
    mode: str
    #: "float32" or "bfloat16"
    dtype: str
    #: "built-in", or "80": COCO's names
    tags: str
    #: photos in one call of the model; 1 for the baseline
    batch_size: int


def make_photos(folder: Path, count: int, size: tuple[int, int] = SIZE, quality: int = 90) -> None:
    """JPEGs of different parts of scikit-image's sample photos, with the noise of a camera.

    Without the noise the enlarged photos would be smooth, and decode faster than real ones.
    """
    spec = find_spec("skimage")
    if spec is None or spec.origin is None:
        raise SystemExit("name a folder of photos, or: pip install 'anytag[demo]'")
    data = Path(spec.origin).parent / "data"
    random = np.random.default_rng(0)
    for number in range(count):
        photo = Image.open(data / SAMPLES[number % len(SAMPLES)]).convert("RGB")
        part = random.uniform(0.6, 1.0)
        width, height = (int(side * part) for side in photo.size)
        left = int(random.integers(photo.width - width + 1))
        top = int(random.integers(photo.height - height + 1))
        photo = photo.resize(
            size, Image.Resampling.BICUBIC, box=(left, top, left + width, top + height)
        )
        pixels = np.asarray(photo, np.float32)
        pixels = pixels + random.normal(0, 4, pixels.shape).astype(np.float32)
        noisy = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
        noisy.save(folder / f"{number:04}.jpg", quality=quality, subsampling="4:2:0")


def list_photos(folder: Path) -> list[Path]:
    """Photos in a folder, by name."""
    return sorted(file for file in folder.rglob("*") if file.suffix.lower() in IMAGE_SUFFIXES)


def measure(case: Case, model: str, photos: Sequence[Path]) -> dict[str, Any]:
    """One measurement in this process."""
    import torch

    from anytag import Tagger

    if case.mode == "baseline":
        run, num_tags, name = _baseline(case, model)
    else:
        tagger = Tagger.from_pretrained(model, device="cpu", dtype=case.dtype)
        if case.tags != BUILT_IN:
            tagger = tagger.with_tags(COCO_NAMES)
        run = (_stream if case.mode == "stream" else _model)(tagger, case.batch_size)
        num_tags, name = len(tagger.labels), tagger.model_name
    run(photos[:NUM_WARM_UP])()
    timed = run(photos)
    started = time.perf_counter()
    mean_score = timed()
    seconds = time.perf_counter() - started
    return {
        "images_per_second": len(photos) / seconds,
        "peak_memory_mb": peak_memory_mb(),
        "mean_score": mean_score,  # nearly equal for all modes, else they did not do the same
        "num_tags": num_tags,
        "model": name,
        "threads": torch.get_num_threads(),
    }


#: photos -> what is timed, which gives the mean score
Run = Callable[[Sequence[Path]], Callable[[], float]]


def _stream(tagger: Tagger, batch_size: int) -> Run:
    def run(photos: Sequence[Path]) -> Callable[[], float]:
        def timed() -> float:
            means = []
            for result in tagger.stream(photos, batch_size=batch_size):
                if result.scores is None:
                    raise SystemExit(f"{result.path}: {result.error}")
                means.append(float(result.scores.mean()))
            return float(np.mean(means))

        return timed

    return run


def _model(tagger: Tagger, batch_size: int) -> Run:
    def run(photos: Sequence[Path]) -> Callable[[], float]:
        pixels = np.stack([tagger.load(photo).pixels for photo in photos])
        starts = range(0, len(pixels), batch_size)
        return lambda: float(
            np.concatenate([tagger.score(pixels[i : i + batch_size]) for i in starts]).mean()
        )

    return run


def _baseline(case: Case, model: str) -> tuple[Run, int, str]:
    import torch

    from anytag.checkpoints.directory import find_model, load_directory
    from anytag.inference.device import choose_dtype
    from anytag.inference.static_text import StaticTextEncoder

    loaded = load_directory(find_model(model))
    encoder = loaded.card.network.encoder
    dtype = choose_dtype(case.dtype, torch.device("cpu"))
    network = loaded.network.to(dtype)
    embeddings = loaded.label_embeddings
    if case.tags != BUILT_IN:
        text_encoder = StaticTextEncoder.load(loaded.path / "text_encoder")
        embeddings = torch.from_numpy(text_encoder.encode(COCO_NAMES))
    embeddings = embeddings.to(dtype)
    mean, std = (torch.tensor(values)[:, None, None] for values in (encoder.mean, encoder.std))
    size = (encoder.image_size, encoder.image_size)

    def tag(photo: Path) -> float:
        image = Image.open(photo).convert("RGB").resize(size, Image.Resampling.BILINEAR)
        tensor = torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255
        batch = ((tensor - mean) / std)[None].to(dtype)
        with torch.inference_mode():
            logits = network(batch, network.prepare(embeddings))
            return float(logits.float().sigmoid().numpy().mean())

    def run(photos: Sequence[Path]) -> Callable[[], float]:
        return lambda: float(np.mean([tag(photo) for photo in photos]))

    return run, len(embeddings), loaded.card.version


def peak_memory_mb() -> float:
    """Most memory of this process so far, in millions of bytes (resident, as ``ru_maxrss``).

    Linux hands the parent's ``ru_maxrss`` down to a new process (measured: a child of a 320 MB
    process is never below 320 MB); its own peak stands in /proc.
    """
    status = Path("/proc/self/status")
    if status.exists():
        return int(status.read_text().partition("VmHWM:")[2].split()[0]) * 1024 / 1e6
    import resource  # not on Windows

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024) / 1e6


def measure_apart(case: Case, model: str, folder: Path, num_photos: int) -> dict[str, Any]:
    """`measure` in a new process."""
    return run_case(
        __file__, case, [str(folder), "--model", model, "--num-photos", str(num_photos)]
    )


def list_cases(
    dtypes: Sequence[str], tag_lists: Sequence[str], batch_sizes: Sequence[int]
) -> list[Case]:
    """All cases, the baseline of each dtype and tag list beside what it is compared with."""
    cases = []
    for tags in tag_lists:
        for dtype in dtypes:
            for size in batch_sizes:
                cases.append(Case(mode="stream", dtype=dtype, tags=tags, batch_size=size))
            cases.append(Case(mode="baseline", dtype=dtype, tags=tags, batch_size=1))
            for size in batch_sizes:
                cases.append(Case(mode="model", dtype=dtype, tags=tags, batch_size=size))
    return cases


def measure_all(
    cases: Sequence[Case], repeats: int, measure_one: Callable[[Case], dict[str, Any]]
) -> list[dict[str, Any]]:
    """Medians and spreads of all cases, rounds forwards and backwards in turn."""
    runs: dict[Case, list[dict[str, Any]]] = {case: [] for case in cases}
    for number, case in in_turn(cases, repeats):
        runs[case].append(measure_one(case))
        rate = runs[case][-1]["images_per_second"]
        print(f"round {number + 1} of {repeats}: {rate:7.1f} images/s  {case}", file=sys.stderr)
    rows = []
    for case in cases:
        rates = [run["images_per_second"] for run in runs[case]]
        other = Case(mode="baseline", dtype=case.dtype, tags=case.tags, batch_size=1)
        ratios = [
            rate / run["images_per_second"]
            for rate, run in zip(rates, runs.get(other, []), strict=False)
        ]
        rows.append(
            {
                **asdict(case),
                **{
                    key: runs[case][0][key]
                    for key in ("model", "num_tags", "threads", "mean_score")
                },
                "images_per_second": spread(rates),
                "peak_memory_mb": spread([run["peak_memory_mb"] for run in runs[case]]),
                "speed_up": spread(ratios) if case.mode == "stream" and ratios else None,
            }
        )
    return rows


def describe_photos(photos: Sequence[Path], made: bool) -> dict[str, Any]:
    """What the photos are, for the report."""
    sizes = []
    for photo in photos:
        with Image.open(photo) as image:
            sizes.append(image.size)
    return {
        "count": len(photos),
        "made_by_script": made,
        "median_width": int(median(width for width, _ in sizes)),
        "median_height": int(median(height for _, height in sizes)),
        "mean_bytes": round(sum(photo.stat().st_size for photo in photos) / len(photos)),
    }


def cores_busy(seconds: float = 2.0) -> float | None:
    """Processors that other programs use while this one waits; None where there is no /proc.

    Not the load average: that still counts what this user ran a minute ago.
    """
    stat = Path("/proc/stat")
    if not stat.exists():
        return None

    def used_and_all() -> tuple[int, int]:
        ticks = [int(value) for value in stat.read_text().splitlines()[0].split()[1:9]]
        return sum(ticks) - ticks[3] - ticks[4], sum(ticks)  # less idle and waiting for disks

    used, total = used_and_all()
    time.sleep(seconds)
    used_later, total_later = used_and_all()
    part = (used_later - used) / max(total_later - total, 1)
    return round(part * (os.cpu_count() or 1), 2)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, nargs="?", help="of photos; made if not given")
    parser.add_argument("--num-photos", type=int, default=200, help="the first so many")
    parser.add_argument("--model", default="nano")
    parser.add_argument("--dtype", nargs="+", default=["float32", "bfloat16"])
    parser.add_argument("--tags", nargs="+", default=[BUILT_IN, "80"], choices=[BUILT_IN, "80"])
    parser.add_argument(
        "--batch-size", nargs="+", type=int, default=[32], help="the first is the one in README"
    )
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--case", help=argparse.SUPPRESS)  # one measurement, for measure_apart
    options = parser.parse_args(arguments)
    if options.case:
        photos = list_photos(options.folder)[: options.num_photos]
        print(json.dumps(measure(Case(**json.loads(options.case)), options.model, photos)))
        return
    with tempfile.TemporaryDirectory(prefix="anytag-speed-") as made:
        folder = options.folder or Path(made)
        if options.folder is None:
            make_photos(folder, options.num_photos)
        _run(options, folder)


def _run(options: argparse.Namespace, folder: Path) -> None:
    photos = list_photos(folder)[: options.num_photos]
    if not photos:
        raise SystemExit(f"{folder}: no JPEG or PNG files")
    busy = cores_busy()
    if busy is not None and busy > 0.2:
        print(f"warning: other programs keep {busy:.1f} cores busy", file=sys.stderr)
    cases = list_cases(options.dtype, options.tags, options.batch_size)
    rows = measure_all(
        cases,
        options.repeats,
        lambda case: measure_apart(case, options.model, folder, len(photos)),
    )
    figures = {
        "kind": "speed",
        "model": rows[0]["model"],
        "date": today(),
        "machine": machine(),
        "cores_busy_before": busy,
        "photos": describe_photos(photos, options.folder is None),
        "repeats": options.repeats,
        "cases": rows,
    }
    for row in rows:
        rate = row["images_per_second"]
        print(
            f"{row['mode']:8} {row['dtype']:8} {row['num_tags']:5} tags, batch "
            f"{row['batch_size']:3}: {rate['median']:7.1f} images/s "
            f"({rate['min']:.1f} to {rate['max']:.1f}), {row['peak_memory_mb']['median']:.0f} MB"
            + (f", {row['speed_up']['median']:.1f} x baseline" if row["speed_up"] else "")
        )
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
