"""Step 5 of making nano: weights -> calibrated model directory.

Thresholds are those of the best F1 on the photos kept out of training, by the rules of `anytag
calibrate` (`anytag.evaluation.calibrate`), from the scores of the directory itself.

Run:  python tools/nano/package.py --checkpoint nano.pt --features DIR --labels DIR --photos DIR
          --detections DIR --text DIR --out nano --version nano-v1
"""

from __future__ import annotations

import argparse
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from kept_out import KeptOut, read_kept_out, score, vocabulary_of
from targets import to_labels

from anytag import Tagger
from anytag.checkpoints.directory import FORMAT, ModelCard, load_directory, save_directory
from anytag.evaluation.calibrate import Aim, choose_thresholds
from anytag.inference.static_text import StaticTextEncoder
from anytag.labels.labelset import LabelSet
from anytag.models.config import nano
from anytag.models.tagging import TaggingNetwork

#: share of absent tags that may fire by mistake, for tags given by the user
FALSE_ALARMS = 0.002
#: thresholds outside of these say more of few photos than of the tag
LOWEST, HIGHEST = 0.15, 0.9


def write(
    folder: Path, network: TaggingNetwork, labels: LabelSet, text: Path, version: str, size: int
) -> None:
    """A model directory without README.md, with thresholds of 0.5."""
    card = ModelCard(
        format=FORMAT,
        name="nano",
        version=version,
        network=nano(size),
        open_threshold=0.5,
        text_encoder="static",
    )
    embeddings = torch.from_numpy(StaticTextEncoder.load(text).encode(labels.names))
    save_directory(folder, card, network, labels, embeddings)
    shutil.rmtree(folder / "text_encoder", ignore_errors=True)
    shutil.copytree(text, folder / "text_encoder")


def calibrate(folder: Path, kept: list[KeptOut]) -> None:
    """Choose the thresholds of a model directory and write them into it.

    Args:
        folder: whose tags are the first ones of the training tags
        kept: photos, all of them with the same training tags
    """
    tagger = Tagger.from_pretrained(folder)
    count = len(tagger.labels)
    scores = np.concatenate([score(tagger, part.photos) for part in kept])
    truth = np.concatenate([part.truth[:, :count] for part in kept])
    known = np.concatenate([part.known[:, :count] for part in kept])
    chosen = choose_thresholds(scores, truth, Aim(), known)
    # absent for sure, so that a doubtful answer does not count as a false alarm
    absent = np.concatenate([part.target[:, :count] < 0.1 for part in kept]) & known
    open_threshold = max(chosen.overall, float(np.quantile(scores[absent], 1 - FALSE_ALARMS)))
    loaded = load_directory(folder)
    limits = np.clip(chosen.values, LOWEST, HIGHEST).round(3)
    save_directory(
        folder,
        replace(loaded.card, open_threshold=round(open_threshold, 3)),
        loaded.network,
        loaded.labels.with_threshold_list(limits.tolist()),
        loaded.label_embeddings,
    )
    print(
        f"{len(scores)} photos; common threshold {chosen.overall:.2f}, open {open_threshold:.2f}; "
        f"{int((chosen.positives > 0).sum())} of {count} tags have photos"
    )


def main() -> None:
    """Parse arguments, write the model directory, calibrate it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    for name in ("checkpoint", "features", "labels", "detections", "text", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--photos", type=Path, nargs="+", required=True)
    parser.add_argument("--version", required=True)
    parser.add_argument("--image-size", type=int, default=240)
    parser.add_argument("--without", nargs="*", default=[], help="sources kept for tests")
    arguments = parser.parse_args()
    network = TaggingNetwork(nano(arguments.image_size)).eval()
    network.load_state_dict(torch.load(arguments.checkpoint, weights_only=True))
    words, tags = vocabulary_of(arguments.features, arguments.labels)
    write(
        arguments.out,
        network,
        to_labels(tags),
        arguments.text,
        arguments.version,
        arguments.image_size,
    )
    kept = read_kept_out(
        arguments.features,
        arguments.photos,
        words,
        arguments.detections,
        set(arguments.without),
    )
    calibrate(arguments.out, kept)
    size = sum(p.stat().st_size for p in arguments.out.rglob("*") if p.is_file())
    print(f"{arguments.out}: {len(tags)} tags, {size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
