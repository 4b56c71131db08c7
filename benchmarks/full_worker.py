"""One process of `full_model.py`: a full-size model that answers every line with one timed pass.

A pass goes from decoded pixels, uint8 [1, S, S, 3] in ``pixels.npy``, to the names of the tags. The
line says which picture; the answer has the seconds, and the logits go to ``NAME.npy``.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from step_worker import _import_reference, _write_vocabulary, peak_memory_mb

#: pixels [1, S, S, 3] -> logits [T] (NaN: not asked), and names of the tags
Pass = Callable[[npt.NDArray[np.uint8]], tuple[npt.NDArray[np.float32], Sequence[str]]]
THRESHOLD = 0.5
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def make_anytag(folder: Path, dtype: str, kept: int | None) -> Pass:
    """anytag; with ``kept``, its cascade asks for so many tags of each picture."""
    from anytag import Tagger
    from anytag.inference.selection import TagSelector

    tagger = Tagger.from_pretrained(folder / "model", device="cpu", dtype=dtype)
    select = TagSelector(tagger.labels, threshold=THRESHOLD)
    if kept is not None:
        tagger = _with_cascade(tagger, kept)

    def run(pixels: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.float32], Sequence[str]]:
        scores = tagger.score(pixels)[0]
        names = [tag.name for tag in select(scores)]
        with np.errstate(divide="ignore"):
            return np.log(scores / (1 - scores)), names

    return run


def _with_cascade(tagger: Any, kept: int) -> Any:
    """A cascade past its warm-up that audits no picture: its speed, on weights without meaning."""
    from anytag.inference.cascade import CascadeConfig

    tagger = tagger.with_cascade(CascadeConfig(num_kept=kept, audit_every=10**9))
    cascade = tagger._cascade
    random = torch.Generator().manual_seed(0)
    for _ in range(64):
        token = torch.randn(tagger.model.token_width, generator=random)
        cascade._guess.show(token, torch.randn(len(tagger.labels), generator=random))
    cascade._needed.append(1)
    cascade._seen = cascade.config.warm_up + 1
    return tagger


def make_reference(folder: Path, code: Path, family: str, dtype: str) -> Pass:
    """The public code's network, called as its ``generate_tag`` does."""
    models = _import_reference(code)
    with tempfile.TemporaryDirectory(prefix="anytag-full-") as name:
        _write_vocabulary(Path(name))
        network = getattr(models, family)(
            image_size=384,
            vit="swin_l",
            text_encoder_type=name,
            pretrained=str(folder / "released.pth"),
        ).eval()
    mean, std = (torch.tensor(values)[:, None, None] for values in (MEAN, STD))
    names = (folder / "tags.txt").read_text(encoding="utf-8").splitlines()
    found: list[torch.Tensor] = []
    network.fc.register_forward_hook(lambda *call: found.append(call[2]))
    network.class_threshold = torch.full((len(names),), THRESHOLD)

    def run(pixels: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.float32], Sequence[str]]:
        images = (torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255 - mean) / std
        found.clear()
        half = torch.autocast("cpu", torch.bfloat16, enabled=dtype == "bfloat16")
        with torch.inference_mode(), half:
            tags, _ = network.generate_tag(images)
        return found[0].squeeze(-1)[0].float().numpy(), tags[0].split(" | ")

    return run


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("name")
    parser.add_argument("--family", default="ram")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--kept", type=int)
    parser.add_argument("--reference", type=Path)
    options = parser.parse_args(arguments)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the public code prints is no answer
    torch.set_num_threads(options.threads)
    folder, dtype = options.folder, options.dtype
    pictures = np.load(folder / "pixels.npy")
    with contextlib.redirect_stdout(sys.stderr):
        if options.reference is None:
            run = make_anytag(folder, dtype, options.kept)
        else:
            run = make_reference(folder, options.reference, options.family, dtype)
    answers.write("{}\n")
    answers.flush()
    for line in sys.stdin:
        pixels = pictures[int(line)][None]
        started, used = time.perf_counter(), time.process_time()
        logits, tags = run(pixels)
        answer = {
            "seconds": time.perf_counter() - started,
            "cpu_seconds": time.process_time() - used,
            "num_tags": len(tags),
            "peak_memory_mb": peak_memory_mb(),
        }
        np.save(folder / f"{options.name}.npy", logits)
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
