"""Step 3 of making nano: what a small detector finds in every photo, as probabilities.

Few sources name all the things of a photo; the detector knows COCO's 80 kinds, what is there and
what is not. The model is YOLOX-nano (arXiv 2107.08430, Apache-2.0, 0.9 M weights, trained on COCO
train2017) as ONNX: input "images" float32 [1, 3, 416, 416], BGR 0 to 255, the photo at the upper
left of a grey square; output [1, 3549, 85], boxes, objectness and classes.

Run:  python tools/nano/detect.py --photos DIR --model yolox_nano.onnx --labelled coco2017-mix
          --out DIR

Writes NAME.npy, the best score of each class [N, 80], NAME.keys.json, and calibration.json, with
which scores become probabilities: slope and offset of the log-odds, fitted on the photos of the
source that names all 80 categories (in NAME.categories.txt, in the detector's order).
"""

from __future__ import annotations

import argparse
import io
import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime
from features import read_tar
from PIL import Image

SIDE, GREY = 416, 114
#: scores outside of these are all the same to the calibration
LEAST = 1e-4

Scores = npt.NDArray[np.float32]


def prepare(jpeg: bytes) -> Scores:
    """A photo as the detector takes it, [1, 3, 416, 416]."""
    image = Image.open(io.BytesIO(jpeg)).convert("RGB")
    ratio = min(SIDE / image.width, SIDE / image.height)
    size = (max(1, int(image.width * ratio)), max(1, int(image.height * ratio)))
    square = np.full((SIDE, SIDE, 3), GREY, np.float32)
    square[: size[1], : size[0]] = np.asarray(image.resize(size, Image.Resampling.BILINEAR))
    pixels: Scores = square[:, :, ::-1].transpose(2, 0, 1)[None]
    return np.ascontiguousarray(pixels)


def detect(session: onnxruntime.InferenceSession, jpeg: bytes) -> Scores:
    """The best score of each class, [80]."""
    boxes = session.run(None, {"images": prepare(jpeg)})[0][0]
    best: Scores = (boxes[:, 4:5] * boxes[:, 5:]).max(0)
    return best


def log_odds(scores: Scores) -> npt.NDArray[np.float64]:
    """Of scores in [0, 1]."""
    clipped = np.clip(scores.astype(np.float64), LEAST, 1 - LEAST)
    odds: npt.NDArray[np.float64] = np.log(clipped) - np.log1p(-clipped)
    return odds


def probabilities(scores: Scores, calibration: tuple[float, float]) -> Scores:
    """Scores [N, 80] as probabilities."""
    slope, offset = calibration
    return (1 / (1 + np.exp(-(slope * log_odds(scores) + offset)))).astype(np.float32)


def fit(scores: Scores, truth: npt.NDArray[np.bool_]) -> tuple[float, float]:
    """Slope and offset of a logistic regression, by Newton's method; arguments [N, 80]."""
    rows = np.stack([log_odds(scores).ravel(), np.ones(scores.size)], axis=1)
    answers, weights = truth.ravel(), np.array([1.0, 0.0])
    for _ in range(25):
        expected = 1 / (1 + np.exp(-rows @ weights))
        slopes = rows.T @ (answers - expected)
        curvature = (rows * (expected * (1 - expected))[:, None]).T @ rows
        weights = weights + np.linalg.solve(curvature, slopes)
    return float(weights[0]), float(weights[1])


def main() -> None:
    """Parse arguments and look at every tar; those that are done are left out."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--photos", type=Path, nargs="+", required=True, help="folders or tars")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--labelled", required=True, help="source that names all categories")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    session = onnxruntime.InferenceSession(arguments.model, providers=["CPUExecutionProvider"])
    for place in arguments.photos:
        for tar in sorted(place.glob("*.tar")) if place.is_dir() else [place]:
            target = arguments.out / f"{tar.stem}.npy"
            if not target.exists():
                found = {key: detect(session, jpeg) for key, jpeg, _ in read_tar(tar)}
                target.with_suffix(".keys.json").write_text(json.dumps(list(found)))
                np.save(target, np.stack(list(found.values())).astype(np.float16))
                print(f"{tar.stem}: {len(found)} photos", flush=True)
            if tar.stem == arguments.labelled:
                names = tar.with_name(f"{tar.stem}.categories.txt").read_text().split("\n")
                rows = [set(row["labels"]) for _, _, row in read_tar(tar)]
                truth = np.array([[name.strip() in row for name in names if name] for row in rows])
                calibration = fit(np.load(target).astype(np.float32), truth)
                (arguments.out / "calibration.json").write_text(json.dumps(calibration))
                print(f"slope and offset {calibration[0]:.3f} {calibration[1]:.3f}")


if __name__ == "__main__":
    main()
