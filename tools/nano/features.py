"""Step 2 of making nano: photos -> cached middle features and the teacher's predictions.

The lower part of MobileNetV2 (up to the 96-channel stage, stride 16) stays frozen, so its output
is computed once for every view of every photo; training then costs little. The teacher is the
same network's ImageNet classifier, asked for the whole picture and for nine overlapping windows,
which finds several objects in one photo.

Run:  python tools/nano/features.py --photos DIR --weights F.safetensors --out DIR

DIR holds webdataset tars: KEY.jpg beside KEY.json with "label" or "labels", "captions",
"exhaustive", and NAME.categories.txt beside NAME.tar where a source labels exhaustively.
"""

from __future__ import annotations

import argparse
import io
import json
import tarfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn

from anytag.models.mobilenet import MobileNetV2, from_timm

#: blocks of `MobileNetV2.blocks` that stay frozen: up to the 96-channel stage
NUM_FROZEN = 13
SIZE = 256
#: windows of 4 x 4 final cells with stride 2 on the 8 x 8 final map
WINDOW, STRIDE = 4, 2


def read_tar(path: Path) -> Iterator[tuple[str, bytes, dict[str, Any]]]:
    """(key, JPEG bytes, annotation) of every photo."""
    pending: dict[str, dict[str, bytes]] = {}
    with tarfile.open(path) as archive:
        for member in archive:
            if not member.isfile():
                continue
            key, _, kind = member.name.rpartition(".")
            handle = archive.extractfile(member)
            assert handle is not None
            pending.setdefault(key, {})[kind] = handle.read()
            parts = pending[key]
            if "jpg" in parts and "json" in parts:
                del pending[key]
                yield key, parts["jpg"], json.loads(parts["json"])


def views(jpeg: bytes, seed: int, num_views: int) -> list[np.ndarray]:
    """The whole photo squeezed to a square, then random crops, flipped half of the time."""
    rng = np.random.default_rng(seed)
    image = Image.open(io.BytesIO(jpeg)).convert("RGB")
    width, height = image.size
    out = [np.asarray(image.resize((SIZE, SIZE), Image.Resampling.BILINEAR))]
    for _ in range(num_views - 1):
        area = width * height * rng.uniform(0.45, 1.0)
        ratio = np.exp(rng.uniform(np.log(3 / 4), np.log(4 / 3))) * width / height
        w = min(width, max(32, round(np.sqrt(area * ratio))))
        h = min(height, max(32, round(np.sqrt(area / ratio))))
        x, y = rng.integers(0, width - w + 1), rng.integers(0, height - h + 1)
        crop = image.resize((SIZE, SIZE), Image.Resampling.BILINEAR, box=(x, y, x + w, y + h))
        pixels = np.asarray(crop)
        out.append(pixels[:, ::-1] if rng.random() < 0.5 else pixels)
    return out


class Teacher(nn.Module):
    """Frozen network cut in two, with its classifier."""

    def __init__(self, weights: Path) -> None:
        super().__init__()
        state = load_file(weights)
        self.network = MobileNetV2()
        self.network.load_state_dict(from_timm(state))
        self.classifier = nn.Linear(1280, 1001)
        self.classifier.weight.data = state["classifier.weight"].float()
        self.classifier.bias.data = state["classifier.bias"].float()

    def lower(self, images: Tensor) -> Tensor:
        """[B, 3, S, S] -> [B, 96, S/16, S/16]."""
        features: Tensor = self.network.blocks[:NUM_FROZEN](self.network.stem(images))
        return features

    def upper(self, features: Tensor) -> Tensor:
        """[B, 96, S/16, S/16] -> [B, 10, 1000] probabilities: whole picture, nine windows."""
        top = self.network.head(self.network.blocks[NUM_FROZEN:](features))
        windows = nn.functional.avg_pool2d(top, WINDOW, STRIDE).flatten(2).mT
        pooled = torch.cat([top.mean((2, 3))[:, None], windows], dim=1)
        logits: Tensor = self.classifier(pooled)
        return logits.float().softmax(-1)[..., 1:]  # class 0 is "background"


def extract(tar: Path, out: Path, teacher: Teacher, num_views: int) -> None:
    """Write features, predictions and annotations of one tar; skipped when already there."""
    name = tar.stem
    if (out / f"{name}.json").exists():
        return
    rows, middle, predictions = [], [], []

    def decode(item: tuple[str, bytes, dict[str, Any]]) -> Any:
        key, jpeg, annotation = item
        try:
            seed = int.from_bytes(key.encode()[-8:], "little")
            return key, views(jpeg, seed, num_views), annotation
        except (OSError, ValueError) as error:
            print(f"  {key}: skipped ({error})")
            return None

    with ThreadPoolExecutor(2) as pool, torch.inference_mode():
        items = list(read_tar(tar))
        for start in range(0, len(items), 64):
            done = [d for d in pool.map(decode, items[start : start + 64]) if d]
            pixels = np.stack([view for _, vs, _ in done for view in vs])
            # Small batches: the activations stay in cache and in malloc's arenas.
            for chunk in torch.from_numpy(pixels).split(8):
                images = chunk.permute(0, 3, 1, 2).to(torch.bfloat16) / 127.5 - 1
                features = teacher.lower(images.contiguous(memory_format=torch.channels_last))
                middle.append(features.to(torch.float16).contiguous().numpy())
                predictions.append(teacher.upper(features).to(torch.float16).numpy())
            rows += [{"key": key, **annotation} for key, _, annotation in done]
    np.save(out / f"{name}.middle.npy", np.concatenate(middle))
    np.save(out / f"{name}.teacher.npy", np.concatenate(predictions))
    temporary = out / f"{name}.json.tmp"
    temporary.write_text(json.dumps({"views": num_views, "rows": rows}))
    temporary.rename(out / f"{name}.json")
    print(f"{name}: {len(rows)} photos, {num_views} views each", flush=True)


def main() -> None:
    """Parse arguments and extract every tar of the folders."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path, nargs="+", required=True, help="folders or tars")
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--views", type=int, default=2)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    teacher = Teacher(arguments.weights).eval().to(torch.bfloat16)
    teacher = teacher.to(memory_format=torch.channels_last)
    for place in arguments.photos:
        for tar in sorted(place.glob("*.tar")) if place.is_dir() else [place]:
            extract(tar, arguments.out, teacher, arguments.views)


if __name__ == "__main__":
    main()
