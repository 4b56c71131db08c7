"""How many final tags a cascade loses, on real photos and with real weights: nano's.

::

    python benchmarks/cascade.py --choose training-photos/ \\
        --measure imagenet-sample-images/ coco128/ coco-heldout/ voc-heldout/ \\
        --json benchmarks/results/11-cascade.json

`CascadeConfig.slack` is chosen on photos that nano was trained with (``--choose``): the smallest
that keeps `TARGET` of the final tags in all orders together, and `WORST` in every one. Then the
default is measured on others (``--measure``), photos in random orders. What counts are the tags of
the photos that the cascade did not audit. Intervals are Clopper and Pearson's, 95 %, of one order:
as if all tags were independent, though a photo has several.

The network sees every photo once. Then mean tokens and logits are played back to the cascade of the
package, so that many orders cost little: labels do not interact, so a tag that is asked has the
score it has among all (tests/inference/test_cascade.py). RAM's own recall needs its weights:
`Tagger.cascade_report` tells it on a user's photos.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, lgamma, log
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from quality import machine, today
from speed import list_photos

from anytag import Tagger
from anytag.inference.cascade import Cascade, CascadeConfig
from anytag.inference.selection import TagSelector

BATCH = 32
SLACKS = (1.0, 1.1, 1.25, 1.5, 1.75, 2.0)
#: orders of the photos on which the slack is chosen
NUM_CHOOSING = 10
TARGET, WORST = 0.9995, 0.999


@dataclass(frozen=True)
class Tags:
    """Which tags the replayed decoder is asked for."""

    ids: Sequence[int] | slice

    def take(self, ids: Sequence[int]) -> Tags:
        """As the states of the networks."""
        return Tags(ids)


class Replay:
    """Stands where the network stands: what it said of each photo, which is named by its number."""

    def __init__(self, means: torch.Tensor, logits: torch.Tensor) -> None:
        self.token_width = means.shape[1]
        self.network = self
        self.means, self.logits = means, logits

    def images(self, numbers: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """The numbers themselves."""
        return numbers

    def encoder(self, numbers: npt.NDArray[np.int64]) -> torch.Tensor:
        """Two tokens [B, 2, D]: the mean one, and one that holds the number."""
        tokens = torch.zeros(len(numbers), 2, self.token_width)
        tokens[:, 0] = self.means[numbers]
        tokens[:, 1, 0] = torch.from_numpy(numbers)
        return tokens

    def decode(self, tokens: torch.Tensor, tags: Tags) -> torch.Tensor:
        """Logits [1, t] of one photo."""
        return self.logits[int(tokens[0, 1, 0])][None, tags.ids]


def look(tagger: Tagger, photos: Sequence[Path]) -> Replay:
    """All photos through the network."""
    model: Any = tagger.model
    means, logits = [], []
    for start in range(0, len(photos), BATCH):
        loaded = [tagger.load(photo) for photo in photos[start : start + BATCH]]
        with torch.inference_mode():
            tokens = model.network.encoder(model.images(np.stack([one.pixels for one in loaded])))
            means.append(tokens[:, 0].float())
            logits.append(model.decode(tokens, tagger.label_state).float())
    return Replay(torch.cat(means), torch.cat(logits))


def final_tags(tagger: Tagger, replay: Replay) -> list[set[int]]:
    """Of each photo, with all tags asked."""
    select = TagSelector(tagger.labels)
    scores = replay.logits.sigmoid().numpy()
    return [{tag.id for tag in select(row)} for row in scores]


@dataclass(frozen=True)
class Seen:
    """One photo in an order, where the cascade did not audit it."""

    #: worst place of a final tag among the last audited photos; None before the first
    worst: int | None
    #: where its final tags stand in the guess's ranking
    places: npt.NDArray[np.int64]


def watch(
    tagger: Tagger,
    replay: Replay,
    finals: Sequence[set[int]],
    order: npt.NDArray[np.int64],
    config: CascadeConfig,
) -> tuple[list[Seen], Cascade]:
    """The cascade over photos in an order: what it knew of each that it did not audit.

    What it learns comes from audited photos alone, so none of this depends on the slack.
    """
    model: Any = replay
    cascade = Cascade(model, Tags(slice(None)), tagger.labels, config)
    seen = []
    for number in order:
        guessed = cascade._guess(replay.means[number])
        worst = max(cascade._needed, default=None)
        audited = cascade.report.num_audited
        cascade.score(number[None])
        if cascade.report.num_audited == audited:
            assert guessed is not None
            places = cascade.rank(guessed).argsort()[sorted(finals[number])]
            seen.append(Seen(worst, places.numpy()))
    return seen, cascade


def figures_of(
    seen: Sequence[Seen], num_tags: int, config: CascadeConfig, slack: float
) -> dict[str, Any]:
    """What is lost with a slack."""
    kept = [
        num_tags
        if one.worst is None
        else min(num_tags, max(config.num_kept, round(slack * one.worst)))
        for one in seen
    ]
    tags = sum(len(one.places) for one in seen)
    lost = sum(int((one.places >= most).sum()) for one, most in zip(seen, kept, strict=True))
    return {
        "tags": tags,
        "lost": lost,
        "recall": 1 - lost / max(tags, 1),
        "mean_kept": float(np.mean(kept)) if kept else None,
    }


def clopper_pearson(lost: int, tags: int, outside: float = 0.05) -> list[float]:
    """Interval of the part that is kept.

    >>> [round(bound, 4) for bound in clopper_pearson(0, 100)]  # 0.025 ** (1 / 100)
    [0.9638, 1.0]
    """

    def at_most(count: int, part: float) -> float:
        """Probability of that many losses or fewer, where so large a part is lost."""
        if part in (0.0, 1.0):
            return float(part == 0.0 or count >= tags)
        ways = (lgamma(tags + 1) - lgamma(k + 1) - lgamma(tags - k + 1) for k in range(count + 1))
        return sum(
            exp(way + k * log(part) + (tags - k) * log(1 - part)) for k, way in enumerate(ways)
        )

    def part_where(count: int, wanted: float) -> float:
        """The part at which `at_most` falls below a value."""
        low, high = 0.0, 1.0
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if at_most(count, middle) > wanted else (low, middle)
        return low

    most = 1.0 if lost == tags else part_where(lost, outside / 2)
    least = 0.0 if lost == 0 else part_where(lost - 1, 1 - outside / 2)
    return [1 - most, 1 - least]


def orders(count: int, num_orders: int, seed: int) -> list[npt.NDArray[np.int64]]:
    """Random orders of so many photos."""
    random = np.random.default_rng(seed)
    return [random.permutation(count) for _ in range(num_orders)]


def choose(tagger: Tagger, replay: Replay, num_orders: int) -> list[dict[str, Any]]:
    """What each slack keeps of the photos it is chosen on."""
    finals, config = final_tags(tagger, replay), CascadeConfig()
    watched = [
        watch(tagger, replay, finals, order, config)[0]
        for order in orders(len(finals), num_orders, seed=0)
    ]
    found = []
    for slack in SLACKS:
        rows = [figures_of(seen, len(tagger.labels), config, slack) for seen in watched]
        tags, lost = (sum(row[name] for row in rows) for name in ("tags", "lost"))
        recall, worst = 1 - lost / max(tags, 1), min(row["recall"] for row in rows)
        found.append(
            {
                "slack": slack,
                "orders": num_orders,
                "photos": len(finals),
                "tags": tags,
                "lost": lost,
                "recall": recall,
                "worst": worst,
                "mean_kept": float(np.mean([row["mean_kept"] for row in rows])),
                "enough": recall >= TARGET and worst >= WORST,
            }
        )
    return found


def measure(tagger: Tagger, replay: Replay, num_orders: int) -> list[dict[str, Any]]:
    """What the default loses of other photos, order by order."""
    finals, config = final_tags(tagger, replay), CascadeConfig()
    rows = []
    for order in orders(len(finals), num_orders, seed=1):
        seen, cascade = watch(tagger, replay, finals, order, config)
        row = figures_of(seen, len(tagger.labels), config, config.slack)
        rows.append(
            {
                "photos": len(order),
                "audited": cascade.report.num_audited,
                **row,
                "interval": clopper_pearson(row["lost"], row["tags"]) if row["tags"] else None,
                "recall_by_audit": cascade.report.recall,
                "last_kept": cascade.report.num_kept,
            }
        )
    return rows


def photos_in(folders: Sequence[Path]) -> list[Path]:
    """All photos of some folders."""
    return [photo for folder in folders for photo in list_photos(folder)]


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--choose", type=Path, nargs="+", default=[], metavar="DIR")
    parser.add_argument("--measure", type=Path, nargs="+", default=[], metavar="DIR")
    parser.add_argument("--orders", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    if not options.choose and not options.measure:
        parser.error("name folders of photos: --choose DIR, --measure DIR")
    tagger = Tagger.from_pretrained("nano", device="cpu")
    chosen, rows = [], []
    if options.choose:
        chosen = choose(tagger, look(tagger, photos_in(options.choose)), NUM_CHOOSING)
    if options.measure:
        rows = measure(tagger, look(tagger, photos_in(options.measure)), options.orders)
    figures = {
        "kind": "cascade",
        "date": today(),
        "machine": machine(),
        "model": tagger.model_name,
        "num_tags": len(tagger.labels),
        "target": TARGET,
        "worst": WORST,
        "chosen": chosen,
        "slack": CascadeConfig().slack,
        "sets": [folder.name for folder in options.measure],
        "rows": rows,
    }
    for row in (*chosen, *rows):
        print(row)
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
