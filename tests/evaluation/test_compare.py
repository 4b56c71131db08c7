"""Systems side by side: figures, files and the page."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

from anytag.errors import AnnotationError, UsageError
from anytag.evaluation.annotation_text import read_names
from anytag.evaluation.annotations import Annotations
from anytag.evaluation.compare import Comparison, compare
from anytag.evaluation.comparison_files import (
    HEADER,
    percent,
    results,
    table_rows,
    text_table,
    write_comparison,
)
from anytag.evaluation.comparison_page import comparison_page
from anytag.evaluation.metrics import mean_average_precision, precision_recall
from anytag.evaluation.operating import Rule, best_overall_f1
from anytag.evaluation.published import published_figures
from anytag.evaluation.score_files import SystemScores

NUM_PHOTOS, CLASSES = 60, ("cat", "dog", "tree", "nothing")


def make_annotations(known: bool = False) -> Annotations:
    random = np.random.default_rng(0)
    truth = random.random((NUM_PHOTOS, 4)) < 0.3
    truth[:, 3] = False
    return Annotations(
        images=tuple(f"{i}.png" for i in range(NUM_PHOTOS)),
        classes=CLASSES,
        truth=truth,
        known=random.random(truth.shape) < 0.9 if known else None,
    )


def system(name: str, seed: int, **changes: Any) -> SystemScores:
    random = np.random.default_rng(seed)
    scores = np.clip(random.random((NUM_PHOTOS, 4)) * 0.7 + 0.3 * make_annotations().truth, 0, 1)
    values: dict[str, Any] = {
        "name": name,
        "scores": scores.astype(np.float32),
        "supported": np.ones(4, bool),
        "scored": np.ones(NUM_PHOTOS, bool),
    }
    return SystemScores(**(values | changes))


def test_every_figure_is_that_of_the_metrics() -> None:
    annotations, one = make_annotations(known=True), system("one", 1)
    found = compare(annotations, [one], num_resamples=50)
    figures, known = found.figures[0], annotations.known
    truth, scores = annotations.truth, one.scores
    expected = mean_average_precision(scores, truth, known=known)
    np.testing.assert_array_equal(figures.per_class, expected.per_class)
    assert figures.map == expected.value
    assert figures.interval[0] < figures.map < figures.interval[1]
    assert figures.threshold == best_overall_f1(scores, truth, known)
    at = precision_recall(scores, truth, figures.threshold, known=known)
    assert figures.at_threshold.macro_f1 == at.macro_f1
    assert (figures.own, figures.unsupported) == (None, ())
    assert found.without_positives == ("nothing",)
    assert figures.reference["map"] == pytest.approx(figures.map * 3 / 4, abs=1e-6)


def test_unsupported_classes_are_left_out_and_marked() -> None:
    scores = system("x", 1).scores.copy()
    scores[:, 1] = np.nan
    part = system("part", 1, scores=scores, supported=np.array([True, False, True, True]))
    whole = system("whole", 1)
    found = compare(make_annotations(), [part, whole], num_resamples=10)
    first, second = found.figures
    assert first.unsupported == ("dog",)
    assert np.isnan(first.per_class[1])
    assert first.map == pytest.approx(np.nanmean(second.per_class[[0, 2]]))
    rows = table_rows(found, published_figures({"coco-80": ""}))
    assert rows[0][1] == percent(first.map) + "†"
    assert "†" not in rows[1][1]
    published = next(row for row in rows if row[0].startswith("published: Tag2Text-4M"))
    assert (published[1], published[3]) == ("78.3†", "80.5†")


def test_photos_without_scores_are_left_out_for_all() -> None:
    scored = np.ones(NUM_PHOTOS, bool)
    scored[:7] = False
    broken = np.where(scored[:, None], system("x", 2).scores, np.nan).astype(np.float32)
    systems = [system("one", 1), system("two", 2, scores=broken, scored=scored)]
    found = compare(make_annotations(), systems, num_resamples=10)
    assert len(found.annotations.images) == NUM_PHOTOS - 7
    assert "7 images without scores are left out for every system" in found.notes
    expected = mean_average_precision(systems[0].scores[7:], make_annotations().truth[7:])
    assert found.figures[0].map == expected.value


@pytest.mark.parametrize("text", ["best-f1", "precision=0.6", "like=two", "0.5"])
def test_rules(text: str) -> None:
    systems = [system("one", 1), system("two", 2)]
    annotations = make_annotations()
    found = compare(annotations, systems, rule=Rule.parse(text), num_resamples=5)
    one, two = (figures.at_threshold.macro_precision for figures in found.figures)
    if text == "precision=0.6":
        assert min(one, two) >= 0.6
    elif text == "like=two":
        threshold = best_overall_f1(systems[1].scores, annotations.truth)
        assert (
            two == precision_recall(systems[1].scores, annotations.truth, threshold).macro_precision
        )
        assert one >= two
    elif text == "0.5":
        assert [figures.threshold for figures in found.figures] == [0.5, 0.5]
    assert found.rule


def test_what_cannot_be_compared() -> None:
    one, annotations = system("one", 1), make_annotations()
    with pytest.raises(UsageError, match="like=three: no such system; there are one"):
        compare(annotations, [one], rule=Rule("like", name="three"))
    none = system("two", 2, scored=np.zeros(NUM_PHOTOS, bool))
    with pytest.raises(AnnotationError, match="no image has scores of every system"):
        compare(annotations, [one, none])
    empty = annotations.take_classes([3, 3, 3, 3])
    with pytest.raises(AnnotationError, match="no image has any of the classes"):
        compare(empty, [one])
    scores = one.scores.copy()
    scores[np.flatnonzero(~annotations.truth[:, 0])[0], 0] = 1.0  # the surest cat is none
    wrong = system("one", 1, scores=scores)
    far = compare(annotations, [wrong], rule=Rule("precision", 1.0), num_resamples=5)
    highest = far.figures[0].at_threshold.macro_precision
    assert highest < 1
    assert f"macro precision of 1.000; its highest is {highest:.3f}" in far.notes[-1]


def test_the_public_codes_numbers_are_the_reference_figures(tmp_path: Path) -> None:
    golden = Path(__file__).parents[1] / "golden" / "metrics"
    names = json.loads((golden / "config.json").read_text())["plain"]["taglist"]
    (tmp_path / "tags.txt").write_text("\n".join(names))
    annotations = read_names(golden / "plain.gt.txt", tmp_path / "tags.txt")
    num_photos = len(annotations.images)
    one = SystemScores(
        name="golden",
        scores=load_file(golden / "inputs.safetensors")["plain.scores"].astype(np.float32),
        supported=np.ones(len(names), bool),
        scored=np.ones(num_photos, bool),
    )
    expected = load_file(golden / "outputs.safetensors")
    found = compare(annotations, [one], num_resamples=5).figures[0]
    assert found.reference["map"] == pytest.approx(float(expected["plain.mAP"]), abs=1e-7)
    given = read_names(golden / "plain.pred.txt", tmp_path / "tags.txt").truth
    decided = SystemScores(
        name="given", scores=given.astype(np.float32), supported=one.supported, scored=one.scored
    )
    figures = compare(annotations, [decided], rule=Rule("fixed", 0.5), num_resamples=5).figures[0]
    for name, key in (("precision", "plain.CP"), ("recall", "plain.CR")):
        assert figures.reference[name] == pytest.approx(float(expected[key]), abs=1e-8)
    assert figures.at_threshold.macro_precision != pytest.approx(figures.reference["precision"])


def make_comparison() -> Comparison:
    systems = [
        system("one", 1, thresholds=np.full(4, 0.5, np.float32)),
        system("<two>", 2, notes=("two: a note",)),
    ]
    return compare(make_annotations(), systems, num_resamples=5)


def test_files(tmp_path: Path) -> None:
    found, published = make_comparison(), published_figures({"openimages-common": ""})
    write_comparison(tmp_path, found, {"set": "mine"}, published)
    plain = json.loads((tmp_path / "results.json").read_text())
    assert plain == json.loads(json.dumps(results(found, {"set": "mine"}, published)))
    assert plain["systems"][0]["map"] == found.figures[0].map
    assert plain["systems"][0]["own_thresholds"]["macro_precision"] > 0
    assert plain["systems"][1]["own_thresholds"] is None
    assert plain["systems"][0]["classes_counted"] == 3
    assert (plain["without_positives"], plain["notes"]) == (["nothing"], ["two: a note"])
    assert any(one["method"] == "RAM++" and one["map"] == 0.866 for one in plain["published"])
    rows = list(csv.DictReader((tmp_path / "per_class.csv").read_text().splitlines()))
    assert [row["class"] for row in rows] == list(CLASSES)
    assert float(rows[0]["one AP"]) == pytest.approx(found.figures[0].per_class[0], abs=1e-4)
    assert (rows[3]["one AP"], rows[3]["positives"]) == ("", "0")
    assert sum(int(row["positives"]) for row in rows) == found.annotations.truth.sum()


def test_the_page_has_plots_and_the_worst_photos(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    found = make_comparison()
    scores, truth = found.scores[0], found.annotations.truth
    for image in found.annotations.images[1:]:
        Image.new("RGB", (9, 9)).save(tmp_path / image)
    published = published_figures({"coco-80": ""})
    html = comparison_page("Mine", found, published, lambda name: tmp_path / name).html()
    assert html.count("<svg") >= 6
    assert "&lt;two&gt;" in html
    assert "<two>" not in html
    assert "arXiv 2306.03514" in html
    place = np.where(~truth[1:, 0], scores[1:, 0], -1).argmax() + 1
    wrong = [f"{CLASSES[i]} {np.where(~truth[:, i], scores[:, i], -1).max():.3f}" for i in range(3)]
    assert place
    assert sum(text in html for text in wrong) >= 2  # one may be the photo that is not there
    assert "classes have no photo and are left out: nothing" in html
    without = comparison_page("Mine", found, []).html()
    assert "is most wrong" not in without
    assert not re.search(r"<img", without)


def test_text_tables() -> None:
    rows = [["a", "1.0", ""], ["long name", "10.0", ""]]
    assert (
        text_table(["n", "mAP", "none"], rows)
        == "n           mAP\na           1.0\nlong name  10.0"
    )
    assert len(HEADER) == len(table_rows(make_comparison(), published_figures({"hico": ""}))[-1])


def test_a_system_of_which_nothing_can_be_measured(tmp_path: Path) -> None:
    """It supports only the class that no photo has."""
    pytest.importorskip("matplotlib")
    scores = system("x", 1).scores.copy()
    scores[:, :3] = np.nan
    none = system("none", 1, scores=scores, supported=np.array([False, False, False, True]))
    found = compare(make_annotations(), [none, system("one", 1)], num_resamples=5)
    assert np.isnan(found.figures[0].map)
    assert table_rows(found, [])[0][1:3] == ["†", ""]
    plain = results(found, {}, [])
    assert plain["systems"][0]["map"] is None
    json.dumps(plain, allow_nan=False)
    assert "none does not support: cat, dog, tree" in comparison_page("x", found, []).html()


def test_scores_that_are_missing_may_be_minus_infinity(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    scores = system("x", 1).scores - 2
    scores[scores < -1.7] = -np.inf
    found = compare(make_annotations(), [system("logits", 1, scores=scores)], num_resamples=5)
    figures = found.figures[0]
    assert figures.reliability is None
    assert 0 < figures.map < 1
    json.dumps(results(found, {}, []), allow_nan=False)
    assert "<svg" in comparison_page("x", found, [], lambda name: tmp_path / name).html()
