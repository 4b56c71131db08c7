"""A full-size released checkpoint with random weights: does it convert, load and tag, at what cost?

::

    python benchmarks/released.py --json OUT.json                # RAM, Swin-L at 384: 2 GB each way
    python benchmarks/released.py --family tag2text --json OUT.json
    python benchmarks/released.py --small --json OUT.json        # fewer layers, for a test

The checkpoint has every key and shape of the released file (tests/golden/manifests), second names
and tables included, and is written as it is published, a pickle of a dict. Then, each in a process
of its own: ``anytag convert``; loading and tagging in float32 and in bfloat16.

**Memory.** A weight file is mapped, not read: its pages belong to the file cache and can be
dropped at any time. What counts is anonymous memory, ``RssAnon`` of /proc/self/status, read every
two milliseconds in a thread, less what the process had after its imports. ``peak_rss`` is all that
was resident at the end, mapped pages included. ``weights`` are the bytes of parameters and label
embeddings in the type they run in.

**Speed** is of `Tagger.score` on pixels in memory, after one warm-up image; by the clock, and by
processor time of this process, which other work on the machine changes less.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from quality import machine, today

ROOT = Path(__file__).resolve().parents[1]
MANIFESTS = ROOT / "tests/golden/manifests"
#: family -> released backbone and number of tags
FAMILIES = {
    "ram": ("ram_swin_large_384", 4585),
    "ram_plus": ("ram_plus_swin_large_384", 4585),
    "tag2text": ("tag2text_swin_base_384", 3429),
}
#: layers that --small leaves out, and rows of the captioner's vocabulary that it keeps
LEFT_OUT = re.compile(r"(visual_encoder\.layers\.2\.blocks|\w+(\.bert)?\.encoder\.layer)\.(\d+)\.")
SMALL_VOCABULARY = 2000
#: weight files of a model directory
STORED = ("model.safetensors", "label_embeddings.safetensors")


class Memory:
    """Anonymous memory of this process in bytes, watched by a thread."""

    def __init__(self) -> None:
        self.before = self.peak = read_status("RssAnon")
        self._running = True
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while self._running:
            self.peak = max(self.peak, read_status("RssAnon"))
            time.sleep(0.002)

    def stop(self) -> int:
        """The most that was added since the start."""
        self._running = False
        self._thread.join()
        return max(self.peak, read_status("RssAnon")) - self.before


@contextmanager
def watched(figures: dict[str, Any], name: str) -> Iterator[None]:
    """Seconds and added anonymous memory of a block."""
    memory, start = Memory(), time.perf_counter()
    yield
    figures[f"{name}_s"] = round(time.perf_counter() - start, 3)
    figures[f"{name}_peak_anonymous"] = memory.stop()


def read_status(key: str) -> int:
    """A figure of /proc/self/status in bytes."""
    text = Path("/proc/self/status").read_text()
    return int(text.partition(f"{key}:")[2].split()[0]) * 1024


def manifest(family: str, *, small: bool) -> dict[str, list[int]]:
    """Keys and shapes of a released model."""
    path = MANIFESTS / f"{FAMILIES[family][0]}.json"
    shapes: dict[str, list[int]] = json.loads(path.read_text())
    if not small:
        return shapes
    kept = {}
    for key, shape in shapes.items():
        found = LEFT_OUT.match(key)
        if found and int(found[3]) >= 2:
            continue
        kept[key] = [SMALL_VOCABULARY if n == 30524 else n for n in shape]
    return kept


def make(folder: Path, family: str, *, small: bool) -> dict[str, Any]:
    """Write the checkpoint and its lists."""
    import torch

    from anytag.checkpoints.key_map import SHARED_LAYER, TIED

    torch.manual_seed(0)
    state: dict[str, Any] = {}
    shapes = manifest(family, small=small)
    second = {name: kept for name, kept, _ in TIED if name in shapes}
    for key, shape in shapes.items():
        if key.endswith(("index", "position_ids")):
            state[key] = torch.zeros(shape, dtype=torch.int64)
        elif key.endswith("attn_mask"):
            state[key] = torch.zeros(shape)
        elif re.search(r"norm\d?\.weight$", key, re.IGNORECASE):
            state[key] = torch.ones(shape)
        else:
            state[key] = torch.randn(shape) * 0.03
    if "reweight_scale" in state:
        state["reweight_scale"].fill_(2.6593)
    if family != "tag2text":
        state["label_embed"] /= state["label_embed"].norm(dim=-1, keepdim=True)
    for key in state:
        match = SHARED_LAYER.match(key)
        if match and key.replace("tag_encoder.", "tagging_head.", 1) in state:
            second[key] = key.replace("tag_encoder.", "tagging_head.", 1)
    state |= {key: state[kept] for key, kept in second.items()}
    torch.save({"model": state, "epoch": 1}, folder / "released.pth")
    (folder / "tags.txt").write_text("\n".join(f"tag {i}" for i in range(FAMILIES[family][1])))
    return {"keys": len(state), "file": (folder / "released.pth").stat().st_size}


def convert(folder: Path, family: str) -> dict[str, Any]:
    """Convert it."""
    import torch  # noqa: F401 - before memory is watched

    from anytag.checkpoints.released_conversion import TagLists, convert_released

    figures: dict[str, Any] = {}
    with watched(figures, "convert"):
        done = convert_released(
            folder / "released.pth",
            TagLists(tags=folder / "tags.txt"),
            folder / "model",
            family=family,
        )
    return {
        **figures,
        "parameters": done.num_parameters,
        "keys_used": sum(1 for file in STORED for _ in _keys(folder / "model" / file)),
        "keys_excused": dict(done.excused),
    }


def _keys(path: Path) -> Iterator[str]:
    from safetensors import safe_open

    if not path.exists():  # Tag2Text has no label embeddings
        return
    with safe_open(path, framework="pt") as file:
        yield from file.keys()


def tag(folder: Path, dtype: str, num_images: int) -> dict[str, Any]:
    """Load it and tag random pixels."""
    import numpy as np
    import torch

    from anytag import Tagger

    figures: dict[str, Any] = {"dtype": dtype, "threads": torch.get_num_threads()}
    with watched(figures, "load"):
        tagger = Tagger.from_pretrained(folder / "model", device="cpu", dtype=dtype)
    numbers = sum(p.numel() for p in tagger._model.network.parameters())
    rows = folder / "model/label_embeddings.safetensors"
    numbers += rows.stat().st_size // 4 if rows.exists() else 0
    figures["weights"] = numbers * (torch.finfo(tagger.dtype).bits // 8)
    figures["load_ratio"] = round(figures["load_peak_anonymous"] / figures["weights"], 3)
    random = np.random.default_rng(0)
    side = tagger.image_size
    pixels = random.integers(0, 256, (1 + num_images, side, side, 3), np.uint8)
    with watched(figures, "first_image"):
        first = tagger.score(pixels[:1])
    start, cpu_start = time.perf_counter(), time.process_time()
    scores = tagger.score(pixels[1:])
    figures["images_per_s"] = round(num_images / (time.perf_counter() - start), 4)
    figures["images_per_cpu_s"] = round(num_images / (time.process_time() - cpu_start), 4)
    figures["peak_rss"] = read_status("VmHWM")
    assert np.isfinite(scores).all()
    np.save(folder / f"{dtype}.npy", np.concatenate([first, scores]))
    return figures


def compare(folder: Path) -> dict[str, Any]:
    """bfloat16 against float32."""
    import numpy as np

    one, other = (np.load(folder / f"{dtype}.npy") for dtype in ("float32", "bfloat16"))
    changed = (one >= 0.68) != (other >= 0.68)
    return {
        "max_score_difference": float(np.abs(one - other).max()),
        "mean_score_difference": float(np.abs(one - other).mean()),
        "tags_changed": int(changed.sum()),
        "tags_of_float32": int((one >= 0.68).sum()),
    }


def run(step: str, folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """One step in a process of its own."""
    command = [sys.executable, __file__, "--step", step, "--folder", str(folder)]
    command += ["--family", arguments.family, "--images", str(arguments.images)]
    command += ["--small"] * arguments.small
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    figures: dict[str, Any] = json.loads(done.stdout)
    print(step, json.dumps(figures), file=sys.stderr, flush=True)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--images", type=int, default=4, help="that are timed, for each type")
    parser.add_argument("--family", choices=FAMILIES, default="ram")
    parser.add_argument("--small", action="store_true", help="fewer layers")
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--step", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.step:
        folder, name = arguments.folder, arguments.step
        steps = {
            "make": lambda: make(folder, arguments.family, small=arguments.small),
            "convert": lambda: convert(folder, arguments.family),
            "compare": lambda: compare(folder),
        }
        step = steps.get(name, lambda: tag(folder, name, arguments.images))
        print(json.dumps(step()))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        steps_in_order = ("make", "convert", "float32", "bfloat16", "compare")
        figures = {name: run(name, folder, arguments) for name in steps_in_order}
    settings = {"kind": "released", "family": arguments.family, "small": arguments.small}
    figures = {**settings, "date": today(), "machine": machine(), **figures}
    text = json.dumps(figures, indent=2)
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(text + "\n")
    else:
        print(text)


if __name__ == "__main__":
    main()
