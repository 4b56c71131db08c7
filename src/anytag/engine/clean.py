"""Which tags are wrong: rules over regions and scores. Arrays in, verdicts out.

Rules, by name; the first of a run's list that applies removes the tag:

outlier   The paper's (RAM, section 3.3). The embeddings of a category's regions are clustered by
          K-means with K-means++ starts; a region's distance to the centre of its cluster is divided
          by the mean distance in that cluster, so that wide and narrow clusters are treated alike;
          the 10 % with the largest ratio are outlying. A tag goes if all its regions are outlying.
crop      The paper's. The baseline does not predict the tag on any of its regions: the score there
          is below the tag's threshold (by ``crop_margin`` in log-odds).
unseen    Ours, for given tags. The tag's joint score, which is the mean of picture and best crop in
          log-odds, is not above its mean over the background pictures that lack the tag: the
          picture looks no more like the tag than any picture. The limit is that of confident
          learning (Northcutt et al., arXiv 1911.00068) for "absent", for each tag by itself.
unsure    Ours, for tags that were generated only. The joint score is below the one threshold at
          which joint scores agree best (F1) with the given tags on the background pictures, after
          those that are unseen were taken out.

A tag without a region has its picture's score as joint score; "outlier" and "crop" do not apply.

Shapes: R regions of a category, D width, K clusters, C categories, N background pairs.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from anytag.engine.config import CleanConfig
from anytag.errors import MissingExtraError
from anytag.evaluation.metrics import best_f1_threshold

Floats = npt.NDArray[np.float64]
#: clusters are made from this many starts, of which the tightest is taken
_NUM_STARTS = 3
_BATCH = 4096
#: scores of 0 and 1 have log-odds like these
_EPSILON = 1e-6
#: background pictures without a tag that its limit is made from, at least
_MIN_ABSENT = 5


@dataclass(frozen=True, slots=True)
class Clusters:
    """A category's regions in clusters."""

    #: cluster of each region, int [R]
    cluster: npt.NDArray[np.int32]
    #: distance to its centre, float [R]
    distance: Floats
    #: distance over the mean of the cluster, float [R]; 1 is usual
    relative: Floats
    #: bool [R]
    outlier: npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Limits:
    """What the background pictures say."""

    #: [C] joint score that a picture without the tag has on average; NaN where too few are known
    absent: Floats
    #: joint score that separates given tags from others best; NaN where nothing is known
    separating: float


def num_clusters(num_regions: int, config: CleanConfig) -> int:
    """One for every ``regions_per_cluster`` regions, at least one, at most ``max_clusters``."""
    return max(1, min(config.max_clusters, num_regions // config.regions_per_cluster))


def find_outliers(embeddings: npt.NDArray[Any], config: CleanConfig) -> Clusters:
    """Cluster the regions of one category, and find those that lie farthest out.

    Args:
        embeddings: float [R, D]; may be a memory map, which is then read in parts
        config: how many clusters, and how much of them is outlying

    Raises:
        MissingExtraError: scikit-learn is not installed
    """
    num = len(embeddings)
    if num < config.min_regions:
        return Clusters(np.zeros(num, np.int32), np.zeros(num), np.ones(num), np.zeros(num, bool))
    centres = _centres(embeddings, config)
    cluster, distance = np.empty(num, np.int32), np.empty(num)
    for start in range(0, num, _BATCH):
        part = np.asarray(embeddings[start : start + _BATCH], np.float64)
        squares = (part**2).sum(1)[:, None] - 2 * part @ centres.T + (centres**2).sum(1)
        cluster[start : start + _BATCH] = squares.argmin(axis=1)
        distance[start : start + _BATCH] = np.sqrt(np.maximum(squares.min(axis=1), 0))
    sizes = np.maximum(np.bincount(cluster, minlength=len(centres)), 1)
    means = np.bincount(cluster, weights=distance, minlength=len(centres)) / sizes
    relative = distance / np.maximum(means[cluster], 1e-9)
    outlier = np.zeros(num, bool)
    outlier[np.argsort(-relative, kind="stable")[: round(config.outlier_share * num)]] = True
    return Clusters(cluster, distance, relative, outlier)


def _centres(embeddings: npt.NDArray[Any], config: CleanConfig) -> Floats:
    try:
        from sklearn.cluster import KMeans, MiniBatchKMeans
        from sklearn.exceptions import ConvergenceWarning
    except ImportError as error:
        raise MissingExtraError("scikit-learn", "engine") from error
    num = num_clusters(len(embeddings), config)
    with warnings.catch_warnings():  # fewer different points than clusters: no harm here
        warnings.simplefilter("ignore", ConvergenceWarning)
        if len(embeddings) < config.minibatch_from:
            model = KMeans(num, init="k-means++", n_init=_NUM_STARTS, random_state=config.seed)
            model.fit(np.asarray(embeddings, np.float64))
        else:
            model = MiniBatchKMeans(num, init="k-means++", n_init=1, random_state=config.seed)
            order = np.random.default_rng(config.seed).permutation(len(embeddings))
            for start in range(0, len(order) - _BATCH + 1, _BATCH):
                rows = np.sort(order[start : start + _BATCH])
                model.partial_fit(np.asarray(embeddings[rows], np.float64))
    return np.asarray(model.cluster_centers_, np.float64)


def joint_score(whole: npt.ArrayLike, crop: npt.ArrayLike) -> Floats:
    """Mean of two probabilities in log-odds, as a probability; the first where there is no second.

    >>> joint_score([0.5, 0.9], [0.5, float("nan")])
    array([0.5, 0.9])
    """
    first, second = _log_odds(whole), _log_odds(crop)
    joint: Floats = 1 / (1 + np.exp(-np.where(np.isnan(second), first, (first + second) / 2)))
    return joint


def _log_odds(probability: npt.ArrayLike) -> Floats:
    bounded = np.clip(np.asarray(probability, np.float64), _EPSILON, 1 - _EPSILON)
    odds: Floats = np.log(bounded / (1 - bounded))
    return odds


def learn_limits(
    category: npt.NDArray[np.integer[Any]],
    joint: Floats,
    given: npt.NDArray[np.bool_],
    present: npt.NDArray[np.bool_],
    num_categories: int,
) -> Limits:
    """The limits of "unseen" and "unsure".

    Args:
        category: [N]
        joint: joint score of the category on the picture, [N]
        given: the picture was given with the tag, [N]
        present: it was given or generated, [N]
        num_categories: C
    """
    absent_from = category[~present]
    counts = np.bincount(absent_from, minlength=num_categories)
    sums = np.bincount(absent_from, weights=joint[~present], minlength=num_categories)
    absent = np.where(counts >= _MIN_ABSENT, sums / np.maximum(counts, 1), np.nan)
    believed = given & ~(joint <= absent[category])
    separating = best_f1_threshold(joint, believed).threshold if len(joint) else float("nan")
    return Limits(absent=absent, separating=separating)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What is known of one tag of one picture."""

    #: given by people, as a tag or in a caption
    is_given: bool
    #: the tag's threshold in the model
    threshold: float
    #: score of the picture
    whole: float
    #: highest score of its crops; NaN without a region
    crop: float
    #: smallest relative distance of its regions; NaN where nothing was clustered
    relative: float
    #: all of its regions are outlying
    all_outlying: bool
    #: of `Limits`
    absent: float
    separating: float


def reason_to_remove(seen: Evidence, config: CleanConfig) -> dict[str, Any] | None:
    """The first rule that removes the tag, with its figures; None keeps it."""
    has_region = not np.isnan(seen.crop)
    joint = float(joint_score(seen.whole, seen.crop))
    figures = {"score": seen.whole, "crop_score": seen.crop if has_region else None}
    if not has_region and config.drop_without_region:
        return {"reason": "no region", **figures}
    for rule in config.rules:
        match rule:
            case "outlier":
                applies = has_region and seen.all_outlying
                figures = {**figures, "relative_distance": seen.relative}
            case "crop":
                # a threshold of 1 can never be reached, and says nothing of this picture
                limit = float(_log_odds(seen.threshold)) - config.crop_margin
                applies = has_region and seen.threshold < 1 and float(_log_odds(seen.crop)) < limit
                figures = {**figures, "threshold": seen.threshold}
            case "unseen":
                applies = seen.is_given and joint <= seen.absent
                figures = {**figures, "joint_score": joint, "limit": seen.absent}
            case _:
                applies = not seen.is_given and joint < seen.separating
                figures = {**figures, "joint_score": joint, "limit": seen.separating}
        if applies:
            return {"reason": rule, **figures}
    return None
