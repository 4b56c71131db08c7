"""Step 3 of making nano: weights -> calibrated model directory.

Thresholds come from photos kept out of training: the one with the best F1 for each tag, pulled
towards the one that is best over all tags where a tag has few such photos.

Run:  python tools/nano/package.py --checkpoint nano.pt --features DIR... --labels DIR --photos DIR
          --text DIR --out src/anytag/assets/nano --version nano-v0
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from targets import Vocabulary, read_vocabulary
from train import gather, load_sources, top_of

from anytag.checkpoints.directory import FORMAT, ModelCard, save_directory
from anytag.inference.static_text import StaticTextEncoder
from anytag.labels.labelset import Label, LabelSet, fold_name
from anytag.models.config import nano
from anytag.models.tagging import TaggingNetwork

Floats = npt.NDArray[np.float32]
GRID = np.arange(0.10, 0.905, 0.01, dtype=np.float32)
#: positives at which a tag's own best threshold and the common one count equally
PRIOR = 8
#: share of absent tags that may fire by mistake, for tags given by the user
FALSE_ALARMS = 0.002


def held_out_scores(
    network: TaggingNetwork,
    folders: list[Path],
    photos: list[Path],
    words: Vocabulary,
    text: Floats,
) -> tuple[Floats, Floats, Floats]:
    """Scores, targets and weights [N, T] of photos that were not trained on."""
    parts: list[list[Floats]] = [[], [], []]
    with torch.inference_mode():
        labels = network.prepare(torch.from_numpy(text))
        for folder in folders:
            for source in load_sources(folder, photos, words):
                # Single-view folders hold nothing but kept-out photos.
                everything = np.concatenate([source.train, source.held_out])
                numbers = source.held_out if source.views > 1 else everything
                for start in range(0, len(numbers), 16):
                    picked = [(source, int(n), 0) for n in numbers[start : start + 16]]
                    batch = gather(picked, words)
                    tokens = top_of(network, batch.middle.float())
                    scores = network.decoder(labels, tokens).sigmoid()
                    for part, value in zip(
                        parts, (scores, batch.target, batch.weight), strict=True
                    ):
                        part.append(value.numpy())
    scores, target, weight = (np.concatenate(part) for part in parts)
    return scores, target, weight


def f1_curve(scores: Floats, truth: npt.NDArray[np.bool_], use: npt.NDArray[np.bool_]) -> Floats:
    """F1 at every threshold of `GRID`, [G] or [G, T] for scores [N] or [N, T]."""
    rows = []
    for threshold in GRID:
        fired = (scores >= threshold) & use
        hits = (fired & truth).sum(0)
        rows.append(2 * hits / np.maximum(fired.sum(0) + (truth & use).sum(0), 1))
    return np.array(rows, np.float32)


def calibrate(scores: Floats, target: Floats, weight: Floats) -> tuple[Floats, float, float]:
    """Threshold of each tag [T], the common one, and the one for unknown tags."""
    use, truth = weight >= 0.3, target >= 0.5
    common = float(GRID[f1_curve(scores.ravel(), truth.ravel(), use.ravel()).argmax()])
    best = GRID[f1_curve(scores, truth, use).argmax(0)]
    count = (truth & use).sum(0)
    thresholds = (count * best + PRIOR * common) / (count + PRIOR)
    absent = scores[use & (target < 0.1)]
    open_threshold = max(common, float(np.quantile(absent, 1 - FALSE_ALARMS)))
    return np.clip(thresholds, 0.15, 0.9).astype(np.float32), common, open_threshold


def to_labels(tags: list[dict[str, Any]], thresholds: Floats) -> LabelSet:
    """The rows of tags.json with their thresholds; a synonym that is a name is left to it."""
    names = {fold_name(tag["name"]) for tag in tags}
    return LabelSet(
        Label(
            id=position,
            name=tag["name"],
            synonyms=tuple(s for s in tag["synonyms"] if fold_name(s) not in names),
            threshold=round(float(thresholds[position]), 3),
            kind=tag["kind"],
            parents=tuple(tag["parents"]),
        )
        for position, tag in enumerate(tags)
    )


def main() -> None:
    """Parse arguments, calibrate, write the model directory."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("checkpoint", "labels", "text", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    for name in ("features", "photos"):
        parser.add_argument(f"--{name}", type=Path, nargs="+", required=True)
    parser.add_argument("--version", required=True)
    arguments = parser.parse_args()
    network = TaggingNetwork(nano()).eval()
    network.load_state_dict(torch.load(arguments.checkpoint, weights_only=True))
    annotations = [json.loads(p.read_text())["rows"] for p in arguments.features[0].glob("*.json")]
    words, tags = read_vocabulary(
        arguments.labels,
        Path(__file__).with_name("common_tags.txt"),
        [row for rows in annotations for row in rows if row.get("captions")],
    )
    text = StaticTextEncoder.load(arguments.text).encode([tag["name"] for tag in tags])
    every = StaticTextEncoder.load(arguments.text).encode([texts[0] for texts in words.texts])
    scores, target, weight = held_out_scores(
        network, arguments.features, arguments.photos, words, every
    )
    count = len(tags)
    thresholds, common, open_threshold = calibrate(
        scores[:, :count], target[:, :count], weight[:, :count]
    )
    print(f"{len(scores)} photos; common threshold {common:.2f}, open {open_threshold:.2f}")
    card = ModelCard(
        format=FORMAT,
        name="nano",
        version=arguments.version,
        network=nano(),
        open_threshold=round(open_threshold, 3),
        text_encoder="static",
    )
    labels = to_labels(tags, thresholds)
    save_directory(arguments.out, card, network, labels, torch.from_numpy(text))
    destination = arguments.out / "text_encoder"
    shutil.rmtree(destination, ignore_errors=True)
    shutil.copytree(arguments.text, destination)
    size = sum(p.stat().st_size for p in arguments.out.rglob("*") if p.is_file())
    print(f"{arguments.out}: {count} tags, {size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
