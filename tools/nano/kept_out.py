"""The photos kept out of training, one in twenty of each source: what they show, and scores.

Thresholds are chosen on them, and so is everything else that is chosen. Scores come from the model
directory as users run it, not from cached features.

Run:  python tools/nano/kept_out.py MODEL... --features DIR --labels DIR --photos DIR
          --detections DIR

prints the mean average precision over the tags that people named, source by source.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from features import read_tar
from targets import HUMAN, Vocabulary, read_vocabulary
from train import gather, load_sources

from anytag import Tagger
from anytag.evaluation.metrics import mean_average_precision

#: less is a guess and no truth
KNOWN = 0.3
COMMON_TAGS = Path(__file__).with_name("common_tags.txt")


@dataclass(frozen=True, eq=False)
class KeptOut:
    """N photos of one source, T training tags."""

    source: str
    photos: list[bytes]
    #: [N, T]
    target: npt.NDArray[np.float32]
    weight: npt.NDArray[np.float32]

    @property
    def truth(self) -> npt.NDArray[np.bool_]:
        """[N, T], by people, teacher or detector."""
        return self.target >= 0.5

    @property
    def known(self) -> npt.NDArray[np.bool_]:
        """[N, T], where anybody knows."""
        return self.weight >= KNOWN

    @property
    def named(self) -> npt.NDArray[np.bool_]:
        """[N, T], by people."""
        return (self.target == 1) & (self.weight == HUMAN)


def read_kept_out(
    features: Path, photos: list[Path], words: Vocabulary, detections: Path, without: set[str]
) -> list[KeptOut]:
    """All sources but those named in ``without``."""
    tars = {tar.stem: tar for place in photos for tar in place.glob("*.tar")}
    found = []
    for source in load_sources(features, photos, words, detections):
        if source.name in without:
            continue
        rows = json.loads((features / f"{source.name}.json").read_text())["rows"]
        wanted = {rows[number]["key"]: int(number) for number in source.held_out}
        pictures = {k: jpeg for k, jpeg, _ in read_tar(tars[source.name]) if k in wanted}
        batch = gather([(source, wanted[key], 0) for key in pictures], words)
        found.append(
            KeptOut(
                source.name,
                list(pictures.values()),
                batch.target.numpy(),
                batch.weight.numpy(),
            )
        )
    return found


def score(tagger: Tagger, photos: list[bytes]) -> npt.NDArray[np.float32]:
    """[N, the model's tags]."""
    rows = [result.scores for result in tagger.stream(photos)]
    return np.stack([row for row in rows if row is not None])


def vocabulary_of(features: Path, labels: Path) -> tuple[Vocabulary, list[dict[str, Any]]]:
    """`read_vocabulary` with the captions of the cached photos."""
    indexes = sorted(features.glob("*.json"))
    annotations = [row for path in indexes for row in json.loads(path.read_text())["rows"]]
    return read_vocabulary(labels, COMMON_TAGS, [row for row in annotations if row.get("captions")])


def main() -> None:
    """Parse arguments and print the figures of each model."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("models", type=Path, nargs="+")
    for name in ("features", "labels", "detections"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--photos", type=Path, nargs="+", required=True)
    parser.add_argument("--without", nargs="*", default=[], help="sources")
    arguments = parser.parse_args()
    words, _ = vocabulary_of(arguments.features, arguments.labels)
    kept = read_kept_out(
        arguments.features, arguments.photos, words, arguments.detections, set(arguments.without)
    )
    print(f"{sum(len(part.photos) for part in kept)} photos")
    for path in arguments.models:
        tagger = Tagger.from_pretrained(path)
        places = [words.names.index(name) for name in tagger.labels.names]
        values = {}
        for part in kept:
            ap = mean_average_precision(score(tagger, part.photos), part.named[:, places])
            values[part.source] = 100 * ap.value
        mean = float(np.nanmean(list(values.values())))
        each = ", ".join(f"{source} {value:.1f}" for source, value in values.items())
        print(f"{path.name}: mean {mean:.2f}; {each}", flush=True)


if __name__ == "__main__":
    main()
