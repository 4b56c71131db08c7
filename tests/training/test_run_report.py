"""The report of a run: all its sections, the right pictures and tags, and every missing piece."""

from __future__ import annotations

import csv
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from sklearn.metrics import average_precision_score, f1_score

from anytag.config import to_plain
from anytag.errors import ConfigError
from anytag.labels.labelset import Label, LabelSet
from anytag.training.config import DataConfig, ModelConfig, RunConfig, SourceConfig, TrainConfig
from anytag.training.config_file import write_config
from anytag.training.run_pictures import Answers, choose, f1_of_pictures
from anytag.training.run_report import read_run, thinned, write_report
from anytag.training.session import open_pictures
from anytag.training.state import Progress

NAMES = ["cat", "dog <small>", "tree"]
THRESHOLDS = [0.5, 0.6, 1.0]


class Figures(HTMLParser):
    """Texts of each picture's caption by their class, and all headings."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.figures: list[dict[str, str]] = []
        self.headings: list[str] = []
        self._tag, self._class = "", ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._tag, self._class = tag, dict(attrs).get("class") or ""
        if tag == "figure":
            self.figures.append({})

    def handle_data(self, data: str) -> None:
        if self._tag == "h2" and data.strip():
            self.headings.append(data)
        if self._tag == "span":
            self.figures[-1][self._class] = data
        if self._tag == "b":
            self.figures[-1]["title"] = data

    def handle_endtag(self, tag: str) -> None:
        self._tag = ""


def make_run(folder: Path, num: int = 40, *, validated: bool = True) -> Path:
    """What a run of ``num`` pictures leaves in its folder, with scores that are made up."""
    data = folder / "data"
    data.mkdir(parents=True)
    with (data / "my.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["image", "tags"])
        for number in range(num):
            Image.new("RGB", (30, 20), (number, 0, 0)).save(data / f"{number}.png")
            table.writerow([f"{number}.png", "cat"])
    config = TrainConfig(
        output=str(folder / "run"),
        model=ModelConfig(start="nano"),
        data=DataConfig(train=(SourceConfig(path=str(data / "my.csv")),), val_every=3),
        run=RunConfig(batch_size=4, epochs=2),
    )
    run = folder / "run"
    (run / "model").mkdir(parents=True)
    write_config(config, run / "config.yaml")
    train, val = open_pictures(config, run)
    assert val is not None
    total = len(train) // 4 * 2
    lines = [
        {"kind": "train", "step": step, "epoch": 0, "lr": 1e-4, "gradient_norm": 2.0,
         "total": 9 / step, "tagging": 9 / step}
        for step in range(1, total + 1)
    ]  # fmt: skip
    if validated:
        lines.append({"kind": "val", "step": total, "epoch": 1, "map": 0.75, "num_tags": 2})
        make_answers(run, len(val))
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    state = run / "state" / f"step-{total:06d}"
    state.mkdir(parents=True)
    progress = Progress(
        step=total,
        best_map=0.75 if validated else None,
        best_step=total if validated else None,
        num_skipped=3,
        seconds=10.0,
    )
    (state / "progress.json").write_text(json.dumps(to_plain(progress)))
    return run


def make_answers(run: Path, num: int) -> None:
    labels = LabelSet(
        Label(id=i, name=name, threshold=threshold)
        for i, (name, threshold) in enumerate(zip(NAMES, THRESHOLDS, strict=True))
    )
    (run / "model" / "labels.json").write_text(labels.to_json())
    truth = np.zeros((num, 3), bool)
    truth[:, 0] = True
    truth[::2, 1] = True
    scores = np.full((num, 3), 0.1, np.float16)
    scores[:, 0] = 0.9
    scores[0] = (0.9, 0.8, 0.99)  # right, right, off
    scores[1] = (0.2, 0.7, 0.1)  # missed, wrong
    known = np.ones((num, 3), bool)
    known[3, 1] = False
    scores[3, 1] = 0.75  # given, and nobody knows
    np.savez_compressed(
        run / "validation.npz", positions=np.arange(num), scores=scores, truth=truth, known=known
    )


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return make_run(tmp_path)


def read(run: Path) -> tuple[str, Figures]:
    path = write_report(run)
    assert path == run / "report.html"
    html = path.read_text(encoding="utf-8")
    return html, Figures(re.sub(r"<svg.*?</svg>", "", html, flags=re.S))


def test_whole_run(run: Path) -> None:
    html, page = read(run)
    assert page.headings == [
        "The run", "Loss", "Validation", "Average precision of each tag",
        "Predictions on validation pictures", "Left out",
    ]  # fmt: skip
    assert html.count("<svg") == 5  # tagging, learning rate, gradient norm, mAP, tags
    assert "75.0 %" in html
    assert "3 times a picture could not be read" in html
    assert "dog &lt;small&gt;" in html
    assert "Not finished" not in html


def test_tags_of_pictures_are_right_wrong_or_missed(run: Path) -> None:
    _, page = read(run)
    by_name = {figure[""]: figure for figure in page.figures if "" in figure}
    _, val = read_run(run).pictures or (None, None)
    assert val is not None
    figures = [by_name.get(Path(val.record(i)[1].image).name) for i in range(4)]
    first, second = figures[0], figures[1]
    assert first is not None
    assert second is not None
    assert first["title"] == "F1 1.00"
    assert first["good"] == "✓ cat 0.90, dog <small> 0.80"  # tree is off, whatever its score
    assert "bad" not in first
    assert second["title"] == "F1 0.00"
    assert second["bad"] == "✗ dog <small> 0.70"
    assert second["missed"] == "○ cat 0.20"


def test_pictures_per_second_and_steps(run: Path) -> None:
    html, _ = read(run)
    steps = int(next((run / "state").iterdir()).name.removeprefix("step-"))
    assert f"<td>{steps * 4 / 10:,.1f}</td>" in html
    assert f"<td>{steps:,}</td>" in html


def test_average_precision_is_that_of_scikit_learn(run: Path) -> None:
    with np.load(run / "validation.npz") as arrays:
        known = arrays["known"][:, 1]
        truth, scores = arrays["truth"][known, 1], arrays["scores"][known, 1]
    expected = average_precision_score(truth, scores)
    html, _ = read(run)
    row = f'<td>dog &lt;small&gt;</td><td class="n">{expected:.3f}</td>'
    assert f'{row}<td class="n">{truth.sum()}</td>' in html


def test_run_without_validation(tmp_path: Path) -> None:
    html, page = read(make_run(tmp_path, validated=False))
    assert "No validation was made" in html
    assert "Average precision of each tag" not in page.headings
    assert "no validation was saved" in html


def test_run_that_ended_before_anything_was_saved(run: Path) -> None:
    for path in sorted(run.rglob("*"), reverse=True):
        if path.name == "config.yaml" or "cache" in path.parts:
            continue
        if path.is_dir():
            if path.name != "cache":
                path.rmdir()
        else:
            path.unlink()
    html, page = read(run)
    assert page.headings[-1] == "Not in this report"
    assert "no state was saved yet" in html
    assert "Not finished: 0 of" in html


@pytest.mark.parametrize(
    ("file", "content", "reason", "left_out"),
    [
        ("validation.npz", b"PK\x03\x04 cut", "validation.npz cannot be read", "Average"),
        ("model/labels.json", b"{", "labels.json", "Average"),
        ("metrics.jsonl", b'{"kind": "train"\x00}\n', "metrics.jsonl cannot be read", ""),
        ("cache", None, "data sets have changed", "Predictions"),
    ],
)
def test_missing_pieces_are_named(
    run: Path, file: str, content: bytes | None, reason: str, left_out: str
) -> None:
    if content is None:
        for path in (run / file).iterdir():
            path.unlink()
    else:
        (run / file).write_bytes(content)
    html, page = read(run)
    assert page.headings[-1] == "Not in this report"
    assert reason in html
    assert not left_out or not any(one.startswith(left_out) for one in page.headings)
    assert "The run" in page.headings


def test_data_that_are_gone_leave_out_the_pictures(run: Path) -> None:
    (run.parent / "data" / "my.csv").unlink()
    html, page = read(run)
    assert "Predictions on validation pictures" not in page.headings
    assert "Average precision of each tag" in page.headings
    assert "my.csv" in html


def test_pictures_that_are_gone_are_counted(run: Path) -> None:
    for path in (run.parent / "data").glob("*.png"):
        path.write_bytes(b"no picture")
    html, page = read(run)
    assert page.figures == []
    assert "of them cannot be read any more" in html


def test_labels_of_another_model_are_refused(run: Path) -> None:
    (run / "model" / "labels.json").write_text(LabelSet.from_names(["one"]).to_json())
    html, _ = read(run)
    assert "validation.npz holds 3 tags, model/labels.json 1" in html


def test_folder_without_a_run(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"config\.yaml"):
        write_report(tmp_path)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=80), st.integers(min_value=1, max_value=9))
def test_chosen_pictures(values: list[float], num_each: int) -> None:
    f1 = np.array(values)
    chosen = choose(f1, num_each)
    assert len(chosen) == len(set(chosen)) == min(len(values), 3 * num_each)
    found = f1[chosen].tolist()
    assert found == sorted(found, reverse=True)
    best = sorted(values, reverse=True)
    assert found[:num_each] == best[:num_each]
    assert found[-num_each:] == best[-num_each:]


def test_f1_is_that_of_scikit_learn() -> None:
    random = np.random.default_rng(1)
    labels = LabelSet.from_names([f"tag {i}" for i in range(12)], threshold=0.4)
    scores = random.random((50, 12), np.float32)
    truth = random.random((50, 12)) < 0.3
    answers = Answers(
        labels=labels,
        positions=np.arange(50),
        scores=scores,
        truth=truth,
        known=np.ones_like(truth),
    )
    expected = [
        f1_score(t, s, zero_division=1.0) for t, s in zip(truth, scores >= 0.4, strict=True)
    ]
    assert f1_of_pictures(answers) == pytest.approx(expected)


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=300), st.integers(1, 50))
def test_thinned_curves(values: list[float], most: int) -> None:
    x, y = thinned(range(len(values)), values, most)
    assert len(x) == len(y) == min(most, len(values))
    assert x == sorted(x)
    assert min(values) - 1e-9 <= min(y) <= max(y) <= max(values) + 1e-9
    if len(values) % len(y) == 0:  # equal parts keep the mean
        assert np.mean(y) == pytest.approx(np.mean(values), abs=1e-6)
