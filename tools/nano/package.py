"""Step 5 of making nano: weights -> calibrated model directory.

Thresholds are those of the best F1 on the photos kept out of training, by the rules of `anytag
calibrate` (`anytag.evaluation.calibrate`), from the scores of the directory itself.

Run:  python tools/nano/package.py --checkpoint nano.pt --features DIR --labels DIR --photos DIR
          --detections DIR --text DIR --out nano --version nano-v1

With --model DIR in place of --checkpoint the weights, and a captioner if it has one, are those of a
model directory, for instance one that `anytag train` made (`train.yaml`).
"""

from __future__ import annotations

import argparse
import shutil
from dataclasses import dataclass, replace
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
from anytag.models.config import TaggerConfig, nano
from anytag.models.tagging import TaggingNetwork

#: share of absent tags that may fire by mistake, for tags given by the user
FALSE_ALARMS = 0.002
#: thresholds outside of these say more of few photos than of the tag
LOWEST, HIGHEST = 0.15, 0.9


@dataclass(frozen=True, kw_only=True)
class Weights:
    """What is packaged."""

    network: TaggingNetwork
    sizes: TaggerConfig
    #: WordPiece vocabulary of the captioner, where there is one
    vocabulary: Path | None = None


def read_weights(checkpoint: Path | None, model: Path | None) -> Weights:
    """Of `train.py`, or of a model directory."""
    if model is not None:
        loaded = load_directory(model)
        words = model / "vocab.txt"
        return Weights(
            network=loaded.network.eval(),
            sizes=loaded.card.network,
            vocabulary=words if loaded.card.network.captioner else None,
        )
    network = TaggingNetwork(nano()).eval()
    network.load_state_dict(torch.load(checkpoint, weights_only=True))
    return Weights(network=network, sizes=nano())


def write(
    folder: Path, weights: Weights, labels: LabelSet, text: Path, version: str, size: int
) -> None:
    """A model directory without README.md, with thresholds of 0.5."""
    sizes = replace(weights.sizes, encoder=replace(weights.sizes.encoder, image_size=size))
    card = ModelCard(
        format=FORMAT,
        name="nano",
        version=version,
        network=sizes,
        open_threshold=0.5,
        text_encoder="static",
    )
    embeddings = torch.from_numpy(StaticTextEncoder.load(text).encode(labels.names))
    save_directory(folder, card, weights.network, labels, embeddings, vocabulary=weights.vocabulary)
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
        vocabulary=folder / "vocab.txt" if loaded.card.network.captioner else None,
    )
    print(
        f"{len(scores)} photos; common threshold {chosen.overall:.2f}, open {open_threshold:.2f}; "
        f"{int((chosen.positives > 0).sum())} of {count} tags have photos"
    )


def main() -> None:
    """Parse arguments, write the model directory, calibrate it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    for name in ("features", "labels", "detections", "text", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--checkpoint", type=Path, help="weights of train.py")
    source.add_argument("--model", type=Path, help="a model directory")
    parser.add_argument("--photos", type=Path, nargs="+", required=True)
    parser.add_argument("--version", required=True)
    parser.add_argument("--image-size", type=int, default=240)
    parser.add_argument("--without", nargs="*", default=[], help="sources kept for tests")
    arguments = parser.parse_args()
    weights = read_weights(arguments.checkpoint, arguments.model)
    words, tags = vocabulary_of(arguments.features, arguments.labels)
    write(
        arguments.out,
        weights,
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
