"""How fast a model is here: images per second, latency and memory, stage by stage.

    read        file to pixels at the network's size: reading, decoding, resizing
    preprocess  pixels to the normalised tensor, on the device
    encoder     tensor to image tokens
    decoder     image tokens to scores of every tag
    selection   scores to tags

An exported model is one graph from pixels to scores, so its three middle stages are one: network.

Three measurements: one image at a time (latency of each stage); as many together as the tagger
takes (rate and peak memory of each stage); and all images through `Tagger.stream`, where decoding
overlaps with the network (what ``anytag tag`` does).
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from PIL import Image

from anytag.errors import ImageError, UsageError
from anytag.evaluation.memory import PeakMemory
from anytag.inference.selection import TagSelector
from anytag.inference.tagger import CPU_CHUNK, Tagger
from anytag.inference.vocabulary import Vocabulary
from anytag.labels.labelset import Label, LabelSet

#: size of the pictures that are made where none are given
MADE_SIZE = (1600, 1200)
#: passes before anything is timed
WARM_UP = 2

Source = Path | bytes
#: name, and what turns the last stage's result into its own
Stage = tuple[str, Callable[[Any], Any]]


@dataclass(frozen=True, kw_only=True)
class StageFigures:
    """One stage, for one image at a time and for some together."""

    name: str
    #: median and 99th percentile for one image, in milliseconds
    p50: float
    p99: float
    #: images per second with several together
    rate: float
    #: highest memory of the process in this stage, in MB; None where the system does not tell
    peak_mb: float | None


@dataclass(frozen=True, kw_only=True)
class StreamFigures:
    """All images from files to tags."""

    batch_size: int
    #: images per second of each round
    rates: tuple[float, ...]
    peak_mb: float | None


def made_photos(num: int, size: tuple[int, int] = MADE_SIZE) -> list[bytes]:
    """JPEGs of coarse shapes under fine noise, which makes them about as large as photos."""
    random = np.random.default_rng(0)
    photos = []
    for _ in range(num):
        shapes = Image.fromarray(random.integers(0, 256, (9, 12, 3), np.uint8))
        pixels = np.asarray(shapes.resize(size, Image.Resampling.BICUBIC)).astype(np.int16)
        noise = random.integers(-12, 13, pixels.shape[:2], np.int16)[..., None]
        buffer = io.BytesIO()
        noisy = (pixels + noise).clip(0, 255).astype(np.uint8)
        Image.fromarray(noisy).save(buffer, "JPEG", quality=90)
        photos.append(buffer.getvalue())
    return photos


def readable(tagger: Tagger, sources: Sequence[Source]) -> list[Source]:
    """Those that can be decoded.

    Raises:
        UsageError: none
    """
    found = []
    for source in sources:
        try:
            tagger.load(source)
        except ImageError:
            continue
        found.append(source)
    if not found:
        raise UsageError("none of the images can be read")
    return found


def stages(tagger: Tagger) -> list[Stage]:
    """From a list of sources to their tags, step by step."""
    select = TagSelector(tagger.labels)

    def read(sources: Sequence[Source]) -> npt.NDArray[np.uint8]:
        return np.stack([tagger.load(source).pixels for source in sources])

    def choose(scores: npt.NDArray[np.float32]) -> list[Any]:
        return [select(row) for row in scores]

    middle: list[Stage] = [("network", tagger.score)]
    if hasattr(tagger.model, "network"):
        middle = _torch_stages(tagger)
    return [("read", read), *middle, ("selection", choose)]


def _torch_stages(tagger: Tagger) -> list[Stage]:
    import torch

    model = cast(Any, tagger.model)  # an OpenModel: it has a network
    wait = _waiter(tagger)

    def preprocess(pixels: npt.NDArray[np.uint8]) -> Any:
        return wait(model.images(pixels))

    def encode(images: Any) -> Any:
        with torch.inference_mode():
            return wait(model.network.encoder(images))

    def decode(tokens: Any) -> npt.NDArray[np.float32]:
        with torch.inference_mode():
            logits = model.decode(tokens, tagger.label_state)
            scores: npt.NDArray[np.float32] = logits.float().sigmoid().cpu().numpy()
            return scores

    return [("preprocess", preprocess), ("encoder", encode), ("decoder", decode)]


def _waiter(tagger: Tagger) -> Callable[[Any], Any]:
    """Waits until the device has computed a tensor: without it, only its launch is timed."""
    import torch

    kind = str(tagger.device.type)

    def wait(tensor: Any) -> Any:
        if kind == "cuda":
            torch.cuda.synchronize(tensor.device)
        elif kind == "mps":
            torch.mps.synchronize()
        return tensor

    return wait


def num_together(tagger: Tagger, batch_size: int) -> int:
    """Images in one forward pass of the network when the tagger is given so many."""
    return min(batch_size, CPU_CHUNK) if tagger.device.type == "cpu" else batch_size


def time_stages(
    tagger: Tagger, sources: Sequence[Source], batch_size: int
) -> tuple[list[StageFigures], StageFigures]:
    """Every stage, and all of them together.

    Args:
        tagger: the model
        sources: readable images, 1 or more
        batch_size: images together, where the rate is measured
    """
    chain = stages(tagger)
    for _ in range(WARM_UP):
        _times(chain, sources[:1])
    single = np.array([_times(chain, [source]) for source in sources])
    size = num_together(tagger, batch_size)
    groups = [sources[start : start + size] for start in range(0, len(sources), size)]
    _times(chain, groups[0])
    peaks = [PeakMemory(tagger.device) for _ in chain]
    several = np.array([_times(chain, group, peaks) for group in groups]).sum(axis=0)

    def figures(name: str, times: Any, spent: float, peak: float | None) -> StageFigures:
        p50, p99 = (1000 * float(np.quantile(times, q)) for q in (0.5, 0.99))
        return StageFigures(name=name, p50=p50, p99=p99, rate=len(sources) / spent, peak_mb=peak)

    named = [
        figures(name, single[:, column], float(several[column]), peaks[column].mb)
        for column, (name, _) in enumerate(chain)
    ]
    known = [peak.mb for peak in peaks if peak.mb is not None]
    highest = max(known, default=None)
    return named, figures("total", single.sum(axis=1), float(several.sum()), highest)


def _times(
    chain: Sequence[Stage], sources: Sequence[Source], peaks: Sequence[PeakMemory] = ()
) -> list[float]:
    """Seconds of each stage, one after the other."""
    value: Any = sources
    spent = []
    for number, (_, function) in enumerate(chain):
        if peaks:
            peaks[number].begin()
        start = time.perf_counter()
        value = function(value)
        spent.append(time.perf_counter() - start)
        if peaks:
            peaks[number].end()
    return spent


def time_stream(
    tagger: Tagger, sources: Sequence[Source], *, batch_size: int, workers: int | None, rounds: int
) -> StreamFigures:
    """All images through `Tagger.stream`, some times over."""
    peak = PeakMemory(tagger.device)
    rates = []
    for _ in range(rounds):
        peak.begin()
        start = time.perf_counter()
        for _ in tagger.stream(sources, batch_size=batch_size, workers=workers):
            pass
        rates.append(len(sources) / (time.perf_counter() - start))
        peak.end()
    return StreamFigures(batch_size=batch_size, rates=tuple(rates), peak_mb=peak.mb)


def tag_counts(most: int) -> list[int]:
    """100, 1,000, 10,000, ... and ``most`` itself.

    >>> tag_counts(4585)
    [100, 1000, 4585]
    """
    counts, count = [], 100
    while count < most:
        counts.append(count)
        count *= 10
    return [*counts, most]


def with_num_tags(tagger: Tagger, num: int) -> Tagger:
    """The same model asked for so many tags: its own, over and over.

    What a tag is called does not change what it costs, so this also tells of a closed vocabulary.
    """
    labels = tagger.labels
    names = [
        replace(labels[place % len(labels)], id=place, name=f"tag {place}", synonyms=(), parents=())
        for place in range(num)
    ]
    ids = [place % len(labels) for place in range(num)]
    rows = Vocabulary(labels, tagger.rows).take(ids)
    return type(tagger)(tagger.model, Vocabulary(LabelSet(cast("list[Label]", names)), rows))


def time_tags(
    tagger: Tagger, source: Source, counts: Sequence[int], rounds: int = 5
) -> list[tuple[int, float]]:
    """Number of tags, and the median milliseconds from one image's pixels to all scores."""
    pixels = tagger.load(source).pixels[None]
    found = []
    for count in counts:
        asked = with_num_tags(tagger, count)
        asked.score(pixels)
        spent = []
        for _ in range(rounds):
            start = time.perf_counter()
            asked.score(pixels)
            spent.append(time.perf_counter() - start)
        found.append((count, 1000 * float(np.median(spent))))
    return found
