"""The scripts of benchmarks/ that compare versions of nano, on tiny sets made here."""

from __future__ import annotations

import io
import json
import math
import tarfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

BenchmarkScript = Callable[[str], ModuleType]

LABELS = ("tench", "red panda", "tench", "zebra")


@pytest.fixture
def versions(benchmark_script: BenchmarkScript) -> ModuleType:
    return benchmark_script("nano_versions")


@pytest.fixture
def captions(benchmark_script: BenchmarkScript) -> ModuleType:
    return benchmark_script("nano_captions")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A tar of four photos of random colours, one label each."""
    path = tmp_path / "set.tar"
    random = np.random.default_rng(0)
    with tarfile.open(path, "w") as archive:
        for number, label in enumerate(LABELS):
            buffer = io.BytesIO()
            pixels = random.integers(0, 256, (5, 6, 3), np.uint8)
            Image.fromarray(pixels).resize((72, 60)).save(buffer, "JPEG")
            record = json.dumps({"label": label}).encode()
            for suffix, content in (("jpg", buffer.getvalue()), ("json", record)):
                member = tarfile.TarInfo(f"{number}.{suffix}")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    return path


def test_a_model_beside_itself(
    versions: ModuleType, photos: Path, tmp_path: Path, benchmark_script: BenchmarkScript
) -> None:
    out = tmp_path / "out.json"
    versions.main(
        [
            "versions",
            "--model",
            "a=nano",
            "--model",
            "b=nano",
            "--resamples",
            "50",
            "--set",
            f"Mine:single-label={photos}",
            "--json",
            str(out),
        ]
    )
    figures = json.loads(out.read_text())
    (row,) = figures["sets"]
    assert (row["set"], row["photos"], row["tags"], row["of"]) == ("Mine", 4, 3, "b")
    assert row["less"] == {"a": [0.0, 0.0, 0.0]}
    assert row["figures"]["a"] == row["figures"]["b"]
    report = benchmark_script("report_nano")
    heading, write = report.SECTIONS["nano-versions"]
    text = "\n".join(write(figures))
    assert heading == "Versions of nano"
    assert "Mine (4 photos, 3 tags)" in text
    assert f"{100 * row['figures']['a']['map']:.1f}" in text


def test_unseen_tags_beside_the_nearest_and_chance(
    versions: ModuleType, photos: Path, tmp_path: Path, benchmark_script: BenchmarkScript
) -> None:
    unseen, out = tmp_path / "unseen.txt", tmp_path / "out.json"
    unseen.write_text("gold fish pond\n")
    versions.main(
        [
            "unseen",
            "--model",
            "a=nano",
            "--unseen",
            str(unseen),
            "--alias",
            "tench=gold fish pond",
            "--set",
            f"Mine:single-label={photos}",
            "--resamples",
            "50",
            "--json",
            str(out),
        ]
    )
    (row,) = json.loads(out.read_text())["sets"]
    assert row["chance"] == 0.5
    assert [one["tag"] for one in row["tags"]] == ["tench"]
    assert row["tags"][0]["nearest"] == "tench"  # nano was trained on it: the same scores
    assert row["tags"][0]["ap"] == row["tags"][0]["ap_nearest"]
    text = "\n".join(benchmark_script("report_nano").SECTIONS["nano-unseen"][1](
        json.loads(out.read_text())
    ))  # fmt: skip
    assert "| Mine (1 tags, 4 photos) |" in text


def test_a_model_that_was_trained_on_an_unseen_tag_is_refused(
    versions: ModuleType, photos: Path, tmp_path: Path
) -> None:
    unseen = tmp_path / "unseen.txt"
    unseen.write_text("zebra\n")
    with pytest.raises(SystemExit, match="has some of the unseen tags"):
        versions.main(
            [
                "unseen",
                "--model",
                "a=nano",
                "--unseen",
                str(unseen),
                "--set",
                f"Mine:single-label={photos}",
            ]
        )


@pytest.mark.parametrize("text", ["set.tar", "Mine=set.tar", "Mine:photos=set.tar", ":yolo=x"])
def test_a_set_must_be_described_in_full(versions: ModuleType, text: str) -> None:
    with pytest.raises(SystemExit, match="expected NAME:KIND=PATH"):
        versions.read_set(text)


def test_bleu_of_people_and_of_nonsense(captions: ModuleType) -> None:
    references = [["a dog runs on the grass", "the dog is running"], ["two men ride horses"]]
    same = [texts[0] for texts in references]
    assert captions.bleu(same, references) == pytest.approx(100)
    assert captions.bleu(["a b c d", "e f g h"], references) == 0


def test_bleu_by_hand(captions: ModuleType) -> None:
    """5 of 6 words, 4 of 5 pairs, 3 of 4 triples and 2 of 3 fours are right; no brevity penalty."""
    found = captions.bleu(["a dog runs on the lawn"], [["a dog runs on the grass"]])
    assert found == pytest.approx(100 * math.prod((5 / 6, 4 / 5, 3 / 4, 2 / 3)) ** 0.25)
    short = captions.bleu(["a dog runs on the"], [["a dog runs on the grass"]])
    assert short == pytest.approx(100 * math.exp(1 - 6 / 5))


def test_cider_is_ten_times_the_cosine_of_rare_phrases(captions: ModuleType) -> None:
    references = [["a dog runs on green grass"], ["two men ride a brown horse"]]
    same = [texts[0] for texts in references]
    assert captions.cider(same, references) == pytest.approx(1000)
    assert captions.cider(same[::-1], references) == pytest.approx(0, abs=1e-9)
    # "a" is in every photo's captions and weighs nothing
    assert captions.cider(["a", "a"], references) == pytest.approx(0, abs=1e-9)


def test_cider_by_hand(captions: ModuleType) -> None:
    """Single words alone are shared: 1 of "red", "car" with one length of difference."""
    found = captions.cider(["red", "x"], [["red car"], ["y"]])
    penalty = math.exp(-1 / (2 * 6**2))
    assert found == pytest.approx(1000 * penalty / math.sqrt(2) / 4 / 2)
