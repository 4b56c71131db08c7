"""``anytag eval`` at the size of OpenImages-common: seconds and memory, with scores from files.

::

    python benchmarks/eval_scale.py --json benchmarks/results/1-eval-scale.json

57,224 images and 214 classes, 1.18 tags an image, in the form of the released annotation file and
its list of classes; a score for every image and class. The command line runs in a process of its
own, from its start to its end, with ``-o``, so that report, table of classes and JSON are part of
it. Seconds are of the clock and of the processors (all threads of the process); memory is the most
that was resident. No photo is read: what a model costs is measured elsewhere. One run of every
format warms the file cache and is not counted.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from quality import machine, today
from rounds import in_turn, spread
from speed import cores_busy

NUM_IMAGES, NUM_CLASSES = 57_224, 214
#: part of all pairs of image and class that are true
SHARE = 0.0055
FORMATS = ("npz", "csv", "parquet")
ANNOTATIONS = "openimages_common_214_ram_annots.txt"
TAG_LIST = "openimages_common_214_ram_taglist.txt"


def write_set(folder: Path, num_images: int) -> npt.NDArray[np.float32]:
    """Annotations and their list of classes; scores [N, T] that are above chance."""
    random = np.random.default_rng(0)
    truth = random.random((num_images, NUM_CLASSES)) < SHARE
    truth[:NUM_CLASSES] |= np.eye(num_images, NUM_CLASSES, dtype=bool)[:NUM_CLASSES]
    names = class_names()
    (folder / TAG_LIST).write_text("\n".join(names) + "\n", encoding="utf-8")
    with (folder / ANNOTATIONS).open("w", encoding="utf-8") as file:
        for image, row in zip(image_names(num_images), truth, strict=True):
            file.write(",".join((image, *(names[i] for i in np.flatnonzero(row)))) + "\n")
    scores: npt.NDArray[np.float32] = random.random(truth.shape, np.float32)
    return np.where(truth, scores**0.25, scores**8).astype(np.float32)


def class_names() -> list[str]:
    """[T]."""
    return [f"class {number}" for number in range(NUM_CLASSES)]


def image_names(count: int) -> list[str]:
    """[N], as the released file has them."""
    return [f"test/{number:016x}" for number in range(count)]


def write_scores(path: Path, scores: npt.NDArray[np.float32]) -> None:
    """In the format of the ending."""
    images, classes = [f"{name}.jpg" for name in image_names(len(scores))], class_names()
    if path.suffix == ".npz":
        np.savez(path, scores=scores, images=np.array(images), classes=np.array(classes))
    elif path.suffix == ".parquet":
        import pyarrow
        from pyarrow import parquet

        columns = {"image": images, **dict(zip(classes, scores.T, strict=True))}
        parquet.write_table(pyarrow.table(columns), path)
    else:
        with path.open("w", encoding="utf-8") as file:
            file.write(",".join(("image", *classes)) + "\n")
            for image, row in zip(images, scores.tolist(), strict=True):
                file.write(image + "," + ",".join(f"{score:.6f}" for score in row) + "\n")


def run(folder: Path, scores: str) -> dict[str, Any]:
    """One evaluation in a process of its own."""
    command = [sys.executable, "-m", "anytag", "eval", "--set", "openimages-common"]
    command += ["--annotations", ANNOTATIONS, "--scores", f"made={scores}", "-o", "out"]
    started = time.perf_counter()
    with (folder / "output.txt").open("wb") as output:
        process = subprocess.Popen(command, cwd=folder, stdout=output, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit((folder / "output.txt").read_text(encoding="utf-8"))
    results = json.loads((folder / "out" / "results.json").read_text(encoding="utf-8"))
    return {
        "seconds": seconds,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "peak_memory_mb": usage.ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3 / 1.024),
        "images": results["images"],
        "map": results["systems"][0]["map"],
    }


def measure(num_images: int, repeats: int) -> dict[str, Any]:
    """All formats in turn."""
    busy = cores_busy()
    with tempfile.TemporaryDirectory(prefix="anytag-eval-") as name:
        folder = Path(name)
        scores = write_set(folder, num_images)
        for form in FORMATS:
            write_scores(folder / f"scores.{form}", scores)
            run(folder, f"scores.{form}")
        runs: dict[str, list[dict[str, Any]]] = {form: [] for form in FORMATS}
        for _, form in in_turn(FORMATS, repeats):
            runs[form].append(run(folder, f"scores.{form}"))
        sizes = {form: (folder / f"scores.{form}").stat().st_size for form in FORMATS}
    rows = [
        {
            "format": form,
            "bytes": sizes[form],
            **{
                key: spread([one[key] for one in found])
                for key in ("seconds", "cpu_seconds", "peak_memory_mb")
            },
            "map": found[0]["map"],
        }
        for form, found in runs.items()
    ]
    return {
        "kind": "eval-scale",
        "date": today(),
        "machine": machine(),
        "cores_busy_before": busy,
        "images": runs[FORMATS[0]][0]["images"],
        "classes": NUM_CLASSES,
        "repeats": repeats,
        "rows": rows,
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=NUM_IMAGES, help="fewer, for a test")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    figures = measure(options.images, options.repeats)
    for row in figures["rows"]:
        print(
            f"{row['format']:8} {row['seconds']['median']:.1f} s, of the processors "
            f"{row['cpu_seconds']['median']:.1f} s, {row['peak_memory_mb']['max']:,.0f} MB, "
            f"mAP {100 * row['map']:.1f}"
        )
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
