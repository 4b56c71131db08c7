"""The audit: confidences, the table of decisions, a run with a real model, and its page."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given as cases
from hypothesis import settings
from hypothesis import strategies as st
from PIL import Image
from tests.pages import BROWSER, Elements, data_of, run_in_browser

from anytag.data.records import Record
from anytag.data.sources import open_source
from anytag.engine import audit_set
from anytag.engine.audit import Faults, alternatives, find_faults, fit, limits, log_odds
from anytag.engine.audit_page import audit_page
from anytag.engine.audit_run import Audit, AuditOptions, judge, rank, run_audit, summary
from anytag.engine.audit_set import LabelledSet, gather
from anytag.engine.audit_table import Suspect, cells, read_decisions, to_csv
from anytag.engine.records import Names
from anytag.errors import UsageError
from anytag.inference.tagger import Tagger
from anytag.labels.labelset import Label, LabelSet


def made_labels(
    num: int = 400, num_tags: int = 12, seed: int = 0, noise: float = 1.2
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores, labels with faults, and the true ones; scores of each tag are shifted."""
    random = np.random.default_rng(seed)
    share = np.linspace(0.02, 0.4, num_tags)
    truth = random.random((num, num_tags)) < share
    odds = np.where(truth, 2.0, -2.0) + random.normal(0, noise, truth.shape)
    scores = 1 / (1 + np.exp(-(odds + random.normal(0, 0.3, num_tags))))
    given = truth.copy()
    given[truth & (random.random(truth.shape) < 0.3)] = False
    given[~truth & (random.random(truth.shape) < 0.01)] = True
    return scores, given, truth


def precision_at(confidence: np.ndarray, faulty: np.ndarray, most: int) -> float:
    return float(faulty[np.argsort(-confidence, kind="stable")[:most]].mean())


def test_planted_faults_come_first() -> None:
    scores, given, truth = made_labels()
    faults = find_faults(scores, given)
    for labels, most in ((~given, 100), (given, 15)):
        faulty = (given != truth)[labels]
        found = precision_at(faults.confidence[labels], faulty, most)
        assert found > 3 * faulty.mean()
        assert found > 0.6
    assert faults.judged.all()


def test_confidences_are_probabilities_whose_sum_is_what_is_expected() -> None:
    scores, given, truth = made_labels(num=2000)
    faults = find_faults(scores, given)
    assert (faults.confidence >= 0).all()
    assert (faults.confidence <= 1).all()
    assert faults.confidence[~given].sum() == pytest.approx(faults.expected_missing)
    assert faults.confidence[given].sum() == pytest.approx(faults.expected_wrong)
    missing, wrong = int((truth & ~given).sum()), int((given & ~truth).sum())
    assert 0.6 * missing < faults.expected_missing < 1.6 * missing
    assert 0.5 * wrong < faults.expected_wrong < 2.5 * wrong


def test_right_labels_are_not_suspected() -> None:
    scores, _, truth = made_labels(noise=0.5)
    faults = find_faults(scores, truth)
    assert faults.expected_missing < 0.02 * truth.sum()
    assert faults.expected_wrong < 0.02 * truth.sum()


def test_a_higher_score_makes_missing_likelier_and_wrong_less_likely() -> None:
    scores, given, _ = made_labels(num=60)
    confidence = find_faults(scores, given).confidence
    for tag in range(scores.shape[1]):
        order = np.argsort(scores[:, tag])
        wrong = confidence[order, tag][given[order, tag]]
        assert (np.diff(wrong) <= 1e-12).all()


def test_limits_are_drawn_to_the_mean_of_all_tags() -> None:
    scores = np.array([[0.9, 0.2], [0.7, 0.4], [0.1, 0.3]])
    given = np.array([[True, False], [True, False], [False, True]])
    present, absent = limits(scores, given)
    mean_present, mean_absent = (0.9 + 0.7 + 0.3) / 3, (0.1 + 0.2 + 0.4) / 3
    assert present == pytest.approx([(1.6 + 5 * mean_present) / 7, (0.3 + 5 * mean_present) / 6])
    assert absent == pytest.approx([(0.1 + 5 * mean_absent) / 6, (0.6 + 5 * mean_absent) / 7])


def test_the_regression_is_that_of_scikit_learn() -> None:
    random = np.random.default_rng(3)
    odds = random.normal(0, 2, (300, 1))
    given = random.random((300, 1)) < 1 / (1 + np.exp(-(0.8 * odds - 1)))
    shift, slope, offsets = fit(odds, given)
    # LogisticRegression(C=1e6) of scikit-learn 1.9.1 on these
    assert slope == pytest.approx(0.7729, abs=0.02)
    assert shift + offsets[0] == pytest.approx(-0.8557, abs=0.05)


def test_a_tag_that_the_model_does_not_see_is_not_judged() -> None:
    scores, given, _ = made_labels()
    scores[:, 5] = np.where(given[:, 5], 0.01, 0.6)
    faults = find_faults(scores, given)
    assert not faults.judged[5]
    assert faults.judged.sum() == 11
    assert not faults.confidence[:, 5].any()


@settings(max_examples=40, deadline=None)
@cases(st.integers(0, 12), st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_any_small_set(num: int, num_tags: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    scores = random.choice([0.0, 0.2, 0.5, 1.0], (num, num_tags))
    given = random.random((num, num_tags)) < random.random()
    faults = find_faults(scores, given)
    assert faults.confidence.shape == given.shape
    assert np.isfinite(faults.confidence).all()
    assert ((faults.confidence >= 0) & (faults.confidence <= 1)).all()


def test_shapes_must_agree() -> None:
    with pytest.raises(ValueError, match=r"scores are \[2, 3\], labels \[2, 2\]"):
        find_faults(np.zeros((2, 3)), np.zeros((2, 2), bool))


def test_alternatives() -> None:
    shares = alternatives(np.array([[0.5, 0.5], [0.8, 0.2]]))
    assert shares[0] == pytest.approx([0.5, 0.5])
    assert shares[1] == pytest.approx([16 / 17, 1 / 17])  # odds of 4 and 1/4
    assert np.isfinite(log_odds([0.0, 1.0])).all()


def test_a_set_as_a_matrix() -> None:
    records = [
        Record(image="a", tags=("Hot Dog", "cat")),
        Record(image="b"),
        Record(image="a", tags=("hot_dog", "")),
    ]
    made = gather(records)
    assert (made.images, made.tags) == (("a", "b"), ("Hot Dog", "cat"))
    assert made.given.tolist() == [[True, True], [False, False]]
    assert not made.is_exclusive
    assert gather([Record(image="a", tags=("x",)), Record(image="b", tags=("y",))]).is_exclusive
    assert not gather([Record(image="a", tags=("x",))]).is_exclusive


def test_a_synonym_of_a_given_tag_is_not_missing() -> None:
    made = LabelledSet(
        images=("1", "2", "3"),
        tags=("couch", "cat", "sofa"),
        given=np.array([[True, False, False], [False, True, False], [False, False, False]]),
    )
    confidence = np.array([[0.1, 0.1, 0.9], [0.3, 0.2, 0.8], [0.0, 0.0, 0.0]])
    faults = Faults(confidence, np.ones(3, bool), 1.0, 1.0)
    names = Names(LabelSet([Label(id=0, name="couch", synonyms=("sofa",))]))
    found = rank(made, np.full((3, 3), 0.5, np.float32), faults, names, least=0.2)
    assert [(one.image, one.tag, one.kind, one.confidence) for one in found] == [
        ("2", "sofa", "missing", 0.8),
        ("2", "couch", "missing", 0.3),
        ("2", "cat", "wrong", 0.2),
    ]


def test_of_one_tag_a_picture_the_best_other_is_missing_beside_a_wrong_one() -> None:
    made = LabelledSet(
        images=("1", "2"), tags=("a", "b", "c"), given=np.array([[True, False, False]] * 2)
    )
    faults = Faults(np.array([[0.7, 0.1, 0.3], [0.1, 0.9, 0.3]]), np.ones(3, bool), 1.0, 1.0)
    found = rank(made, np.zeros((2, 3), np.float32), faults, Names(LabelSet([])), least=0.2)
    assert [(one.image, one.tag, one.kind) for one in found] == [
        ("1", "a", "wrong"),
        ("1", "c", "missing"),
    ]


def test_a_model_that_repeats_the_labels_is_told_of() -> None:
    random = np.random.default_rng(0)
    given = random.random((50, 3)) < 0.3
    made = LabelledSet(images=tuple(map(str, range(50))), tags=("a", "b", "c"), given=given)
    scores = np.where(given, 0.9, 0.1).astype(np.float32)
    _, notes = judge(made, scores, np.ones(3, bool))
    assert any("was trained on them" in note for note in notes)
    _, notes = judge(made, random.random((50, 3)).astype(np.float32), np.ones(3, bool))
    assert not any("trained" in note for note in notes)


SUSPECTS = [
    Suspect(image="b/1.jpg", tag='a "b", </script><b>', kind="missing", confidence=0.91234,
            score=0.5, box=(0.25, 0.0, 0.5, 1.0)),
    Suspect(image="b/2, x.jpg", tag="dog", kind="wrong", confidence=0.5, score=0.01),
    Suspect(image="b/1.jpg", tag="dog", kind="missing", confidence=0.25, score=0.4),
]  # fmt: skip


def decided(*words: str) -> bytes:
    rows = [cells(one) for one in SUSPECTS]
    for row, word in zip(rows, words, strict=True):
        row[5] = word
    return to_csv(rows)


def test_decisions_are_those_with_yes(tmp_path: Path) -> None:
    path = tmp_path / "decisions.csv"
    path.write_bytes(decided("yes", "Y", "unsure"))
    first, second = read_decisions(path)
    assert (first.line, first.image, first.tag) == (2, "b/1.jpg", 'a "b", </script><b>')
    assert (first.kind, first.box) == ("missing", (0.25, 0.0, 0.5, 1.0))
    assert (second.line, second.image, second.kind, second.box) == (3, "b/2, x.jpg", "wrong", None)
    rows = list(csv.reader(io.StringIO(decided("yes", "no", "").decode())))
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=";", lineterminator="\r\n").writerows([*rows, ["", ""]])
    path.write_bytes(b"\xef\xbb\xbf" + text.getvalue().encode())  # as spreadsheets write it
    assert [one.line for one in read_decisions(path)] == [2]
    path.write_bytes(text.getvalue().encode("utf-16"))
    assert [one.line for one in read_decisions(path)] == [2]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: no column 'image'"),
        ("image,tag,kind\n", "line 1: no column 'decision'"),
        ("image,tag,kind,decision\na,b,missing,yes,1\n", "line 2: 4 columns expected, found 5"),
        (
            "image,tag,kind,decision\na,b,missing,\na,b,wrong,perhaps\n",
            "line 3: decision 'perhaps'",
        ),
        ("image,tag,kind,decision\na,b,lost,no\n", "line 2: kind 'lost'"),
        ('image,tag,kind,decision\na,"b,missing,yes\n', "is no CSV row"),
        ("image,tag,kind,decision,box\na,b,missing,yes,1 2 3\n", "line 2: box '1 2 3'"),
        ("image,tag,kind,decision,box\na,b,missing,yes,0.5 0 0.2 1\n", "left < right"),
    ],
)
def test_tables_that_are_wrong(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "decisions.csv"
    path.write_text(text)
    with pytest.raises(UsageError, match=re.escape(message)):
        read_decisions(path)


@settings(max_examples=50, deadline=None)
@cases(st.lists(st.tuples(st.text(min_size=1), st.text(min_size=1)), max_size=4))
def test_any_name_comes_back(tmp_path_factory: pytest.TempPathFactory, names: Any) -> None:
    clean = [
        tuple(part.encode("utf-8", "replace").decode().replace("\0", "0") for part in pair)
        for pair in names
    ]
    rows = [
        cells(Suspect(image=image, tag=tag, kind="wrong", confidence=1.0, score=0.0))
        for image, tag in clean
    ]
    for row in rows:
        row[5] = "yes"
    path = tmp_path_factory.mktemp("names") / "decisions.csv"
    path.write_bytes(to_csv(rows))
    assert [(one.image, one.tag) for one in read_decisions(path)] == clean


def run(data: Path, tagger: Tagger, folder: Path, **options: Any) -> Audit:
    return run_audit(open_source(data), tagger, folder, AuditOptions(**options))


@pytest.fixture
def tagger(tiny_model: Path) -> Tagger:
    return Tagger.from_pretrained(tiny_model, device="cpu")


def test_a_run(make_data: Callable[..., Path], tagger: Tagger, tmp_path: Path) -> None:
    data = make_data(30)
    audit = run(data, tagger, tmp_path / "out", least=0.001, limit=5)
    assert (audit.images, audit.tags) == (30, 5)
    assert sorted(Path(image).name for image in audit.unreadable) == [
        "0007.png", "0017.png", "0027.png",
    ]  # fmt: skip
    records = {record.image: record.tags for record in open_source(data)}
    confidences = [one.confidence for one in audit.suspects]
    assert confidences == sorted(confidences, reverse=True)
    assert len(audit.suspects) > 5
    for number, one in enumerate(audit.suspects):
        assert one.image not in audit.unreadable
        assert (one.tag in records[one.image]) == (one.kind == "wrong")
        assert (one.box is not None) == (one.kind == "missing" and number < 5)
    rows = list(csv.reader(io.StringIO((tmp_path / "out" / "audit.csv").read_text())))
    assert rows[1:] == [cells(one) for one in audit.suspects]
    facts = json.loads((tmp_path / "out" / "audit.json").read_text())
    assert len(facts["unreadable"]) == 3
    assert sum(facts["suspects"].values()) == len(audit.suspects)
    assert "pictures that cannot be read, left out: 3" in summary(audit, 5)
    assert any("the page shows the 5 most confident" in line for line in summary(audit, 5))
    page = (tmp_path / "out" / "audit.html").read_text()
    assert len(data_of(page)["rows"]) == 5


def test_a_run_that_was_killed_goes_on(
    make_data: Callable[..., Path],
    tagger: Tagger,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = make_data(20, broken=False)
    options = AuditOptions(least=0.001, limit=40, detector="attention")
    run_audit(open_source(data), tagger, tmp_path / "whole", options)
    monkeypatch.setattr(audit_set, "_BATCH", 4)

    def kill(name: str, done: int, total: int) -> None:
        if name == "scoring" and done == 10:
            raise KeyboardInterrupt
        if name == "locating" and done == 2:
            raise KeyboardInterrupt

    out = tmp_path / "out"
    asked: list[int] = []
    score = tagger.score
    for _ in range(3):
        try:
            run_audit(open_source(data), tagger, out, options, kill)
        except KeyboardInterrupt:
            assert not (out / "audit.csv").exists()
    with (out / "boxes.jsonl").open("ab") as file:
        file.write(b'{"image": "torn')

    def told(name: str, done: int, total: int) -> None:
        if name == "scoring":
            asked.append(done)

    run_audit(open_source(data), tagger, out, options, told)
    assert not asked  # all scores were kept
    for name in ("audit.csv", "audit.html", "boxes.jsonl"):
        assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
    assert tagger.score == score


def test_changed_pictures_are_scored_again(
    make_data: Callable[..., Path], tagger: Tagger, tmp_path: Path
) -> None:
    data = make_data(20, broken=False)
    run(data, tagger, tmp_path / "out", detector="none")
    Image.new("RGB", (30, 30)).save(data.parent / "0003.png")
    scored: list[int] = []
    run_audit(
        open_source(data), tagger, tmp_path / "out", AuditOptions(detector="none"),
        lambda name, done, total: scored.append(done) if name == "scoring" else None,
    )  # fmt: skip
    assert scored == [20]


def test_pictures_within_shards(
    make_shard: Callable[[int], Path], tagger: Tagger, tmp_path: Path
) -> None:
    shard = make_shard(3)
    rows = [{"image": f"{shard}/{n:04}.png", "tags": ["cat"][: n % 2]} for n in range(3)]
    data = tmp_path / "records.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    audit = run(data, tagger, tmp_path / "out", least=0.001)
    assert not audit.unreadable
    assert audit.images == 3


def test_a_folder_for_each_class(tagger: Tagger, tmp_path: Path) -> None:
    for number in range(12):
        folder = tmp_path / "set" / ("cat", "hot_dog")[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (30, 30), (20 * number, 90, 200)).save(folder / f"{number}.png")
    audit = run(tmp_path / "set", tagger, tmp_path / "out", least=0.0001)
    assert (audit.images, audit.tags, audit.labels) == (12, 2, 12)
    assert any("alternatives" in note for note in audit.notes)
    wrong = {one.image for one in audit.suspects if one.kind == "wrong"}
    assert {one.image for one in audit.suspects if one.kind == "missing"} <= wrong


@pytest.mark.parametrize(("detector", "boxes"), [("attention", True), ("none", False)])
def test_detectors(
    make_data: Callable[..., Path], tagger: Tagger, tmp_path: Path, detector: str, boxes: bool
) -> None:
    data = make_data(20, broken=False)
    audit = run(data, tagger, tmp_path / "out", least=0.001, limit=20, detector=detector)
    missing = [one for one in audit.suspects[:20] if one.kind == "missing"]
    assert missing
    assert all((one.box is not None) == boxes for one in missing)


def test_what_cannot_be_audited(
    make_data: Callable[..., Path], tagger: Tagger, tmp_path: Path
) -> None:
    data = make_data(3, broken=False)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").touch()
    with pytest.raises(UsageError, match="holds other files"):
        run(data, tagger, tmp_path / "full")
    with pytest.raises(UsageError, match="is a file"):
        run(data, tagger, data)
    (tmp_path / "no.jsonl").write_text('{"image": "a.jpg"}\n')
    with pytest.raises(UsageError, match="has no tags"):
        run(tmp_path / "no.jsonl", tagger, tmp_path / "out")
    with pytest.raises(UsageError, match="least confidence"):
        AuditOptions(least=0.0)
    with pytest.raises(UsageError, match="limit"):
        AuditOptions(limit=0)


def jpeg() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (20, 10), "red").save(file, "JPEG")
    return file.getvalue()


def made_page() -> str:
    pictures = {"b/1.jpg": jpeg()}
    return audit_page(SUSPECTS, pictures, title="<b>{{DATA}}</b>", facts=["a < b"])


def test_the_page_holds_the_table_and_pictures() -> None:
    data = data_of(made_page())
    assert data["rows"] == [cells(one) for one in SUSPECTS]
    assert base64.b64decode(data["pictures"]["b/1.jpg"]) == jpeg()


def test_names_cannot_break_the_page() -> None:
    page = made_page()
    assert "</script><b>" not in page
    assert "&lt;b&gt;{{DATA}}&lt;/b&gt;" in page
    assert "<li>a &lt; b</li>" in page


def test_the_page_needs_no_other_file_and_every_control_has_a_label() -> None:
    page = made_page()
    assert not re.search(r"https?://|src=\"|@import|url\(", page)
    elements = Elements(page).found
    assert ("html", {"lang": "en"}) in elements
    inside = 0
    for tag, attributes in elements:
        inside += tag == "label"
        if tag in ("input", "select"):
            assert inside, attributes
    assert "prefers-color-scheme: dark" in page
    assert "width=device-width" in page


SCRIPT = """
{
const out = {};
const press = key => document.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
const cards = () => [...document.querySelectorAll("#rows > li")];
const change = (id, value) => { const one = document.getElementById(id); one.value = value;
  one.dispatchEvent(new Event("change")); };
out.first = csv();
out.images = document.querySelectorAll("#rows img").length;
const box = document.querySelector("#rows i").style;
out.box = [box.left, box.top, box.width, box.height];
out.overflow = document.documentElement.scrollWidth > innerWidth;
press("y"); press("y"); press("n"); press("k"); press("k"); press("j"); press("u");
out.saved = csv();
out.status = document.getElementById("status").textContent;
change("kind", "wrong"); out.wrong = cards().length;
change("kind", ""); change("tag", "dog"); out.dogs = cards().length;
change("tag", ""); change("show", "open"); out.open = cards().length;
change("show", "");
cards()[0].querySelector('[value="no"]').click();
out.clicked = rows[0][5];
out.pressed = cards()[0].querySelector('[value="no"]').getAttribute("aria-pressed");
const dump = document.body.appendChild(document.createElement("pre"));
dump.id = "result"; dump.textContent = btoa(unescape(encodeURIComponent(JSON.stringify(out))));
}
"""


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="Chromium is not installed")
def test_the_page_in_a_browser(tmp_path: Path) -> None:
    out = run_in_browser(made_page(), SCRIPT, tmp_path, "--window-size=400,800")
    assert out["first"].encode() == to_csv([cells(one) for one in SUSPECTS])
    assert (out["images"], out["overflow"]) == (2, False)
    assert out["box"] == ["25%", "0%", "25%", "100%"]
    # the first key only chooses a card; y and n decide and go on; k, k, j and u change the second
    assert out["saved"].encode() == decided("yes", "unsure", "")
    assert "1 yes, 0 no, 1 unsure" in out["status"]
    assert (out["wrong"], out["dogs"], out["open"]) == (1, 2, 1)
    assert (out["clicked"], out["pressed"]) == ("no", "true")
    (tmp_path / "decisions.csv").write_text(out["saved"])
    (one,) = read_decisions(tmp_path / "decisions.csv")
    assert one.tag == SUSPECTS[0].tag
