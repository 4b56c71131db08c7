"""The audit measured: how well planted faults are ranked, beside cleanlab's ranking.

::

    pip install -e '.[engine]' cleanlab
    python benchmarks/audit.py audit coco128/ --json benchmarks/out/audit-coco128.json
    python benchmarks/audit.py audit coco128/ coco2017-mix-heldout.tar \\
        --categories coco2017-mix.categories.txt --limit 400 --json benchmarks/out/audit-coco.json

The faults are those of ``engine.py planted``: of a set whose labels are complete, 30 % are dropped
and 10 % as many wrong ones are added, drawn by seed. Every decision (each tag of each photo) is
ranked by each method, from the same scores of the same model:

audit      `anytag.engine.audit.find_faults`
cleanlab   `multilabel_classification.rank.get_label_quality_scores_per_class`, from the lowest
           quality up: as it is by default (self-confidence), and with its adjustment for how
           frequent a class is

Figures: average precision, and precision of the first K, of finding dropped labels among those that
are not given, added ones among those that are, and both in one list; means over seeds, with the
lowest and highest. And how many faults the audit expects, beside how many there are.

Scores are kept in ``--scores FILE.npz`` and read from there if it exists. Sets: see quality.py.
"""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from quality import machine, today

from anytag import Tagger
from anytag.engine.audit import find_faults
from anytag.evaluation.metrics import average_precision
from engine import plant, read_sets

Floats = npt.NDArray[np.float64]
Matrix = npt.NDArray[np.bool_]
DEPTHS = {"missing": (50, 100), "wrong": (20, 50), "both": (50, 100)}


def cleanlab_confidence(scores: Floats, given: Matrix, *, adjust: bool) -> Floats:
    """One less cleanlab's quality of each label, [N, T]."""
    from cleanlab.multilabel_classification.rank import get_label_quality_scores_per_class

    labels = [np.flatnonzero(row).tolist() for row in given]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # classes of which no label is left
        quality = get_label_quality_scores_per_class(labels, scores, adjust_pred_probs=adjust)
    found = np.asarray(quality, np.float64)
    return 1 - (found if found.shape == given.shape else found.T)


METHODS: dict[str, Callable[[Floats, Matrix], Floats]] = {
    "audit": lambda scores, given: find_faults(scores, given).confidence,
    "cleanlab": lambda scores, given: cleanlab_confidence(scores, given, adjust=False),
    "cleanlab, adjusted": lambda scores, given: cleanlab_confidence(scores, given, adjust=True),
}


def measure(confidence: Floats, faulty: Matrix, given: Matrix) -> dict[str, dict[str, float]]:
    """Average precision and precision at depths, of both kinds and of one list.

    Args:
        confidence: of a fault, [N, T]
        faulty: [N, T]
        given: [N, T]
    """
    measured = {}
    for name, chosen in (("missing", ~given), ("wrong", given), ("both", np.ones_like(given))):
        own, right = confidence[chosen], faulty[chosen]
        order = np.argsort(-own, kind="stable")
        measured[name] = {
            "average_precision": average_precision(own, right),
            **{f"precision_at_{most}": float(right[order[:most]].mean()) for most in DEPTHS[name]},
        }
    return measured


def score_photos(args: argparse.Namespace, photos: Sequence[Any], tags: Sequence[str]) -> Floats:
    """Scores of the model, [N, T]; from the file if there is one."""
    if args.scores is not None and args.scores.exists():
        stored = np.load(args.scores)
        if stored["tags"].tolist() != list(tags) or len(stored["scores"]) != len(photos):
            raise SystemExit(f"{args.scores}: of other photos or tags; remove it")
        found: Floats = stored["scores"].astype(np.float64)
        return found
    tagger = Tagger.from_pretrained(args.model, device="cpu").with_tags(list(tags))
    scores = np.stack([one.scores for one in tagger.stream(photos)])  # type: ignore[misc]
    if args.scores is not None:
        np.savez(args.scores, scores=scores, tags=np.array(tags))
    return scores.astype(np.float64)


def audit(args: argparse.Namespace) -> dict[str, Any]:
    """All figures."""
    photo_set = read_sets(args.paths, args.categories)
    truth = photo_set.truth[: args.limit]
    scores = score_photos(args, list(islice(photo_set.photos(), args.limit)), photo_set.tags)
    found: dict[str, list[dict[str, dict[str, float]]]] = {name: [] for name in METHODS}
    counts: list[dict[str, float]] = []
    for seed in range(args.seeds):
        given = plant(truth, seed)
        faults = find_faults(scores, given)
        counts.append(
            {
                "dropped": int((truth & ~given).sum()),
                "expected_missing": faults.expected_missing,
                "added": int((given & ~truth).sum()),
                "expected_wrong": faults.expected_wrong,
            }
        )
        for name, method in METHODS.items():
            found[name].append(measure(method(scores, given), given != truth, given))
    return {
        "kind": "engine-audit",
        "model": args.model,
        "date": today(),
        "machine": machine(),
        "photos": len(truth),
        "tags": len(photo_set.tags),
        "labels": int(truth.sum()),
        "seeds": args.seeds,
        "counts": {name: float(np.mean([one[name] for one in counts])) for name in counts[0]},
        "methods": {name: _summary(figures) for name, figures in found.items()},
    }


def _summary(figures: Sequence[dict[str, dict[str, float]]]) -> dict[str, Any]:
    return {
        kind: {
            name: {
                "mean": float(np.mean(values)),
                "range": [float(np.min(values)), float(np.max(values))],
            }
            for name in figures[0][kind]
            for values in [[one[kind][name] for one in figures]]
        }
        for kind in figures[0]
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("audit")
    one.add_argument("paths", nargs="+", type=Path, help="COCO128's folder, or tars")
    one.add_argument("--categories", type=Path, help="names of the tags of the tars")
    one.add_argument("--model", default="nano")
    one.add_argument("--limit", type=int, default=400, help="photos")
    one.add_argument("--seeds", type=int, default=5)
    one.add_argument("--scores", type=Path, help="where the scores are kept")
    one.add_argument("--json", type=Path, help="write the figures there too")
    one.set_defaults(run=audit)
    args = parser.parse_args(arguments)
    text = json.dumps(args.run(args), indent=1)
    if args.json is not None:
        args.json.write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
