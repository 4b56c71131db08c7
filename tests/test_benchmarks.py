"""The scripts of benchmarks/: adapters, figures and tables, on tiny sets made here."""

from __future__ import annotations

import io
import json
import sys
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

from anytag import Tagger

BenchmarkScript = Callable[[str], ModuleType]

FOLDER = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def quality(benchmark_script: BenchmarkScript) -> ModuleType:
    return benchmark_script("quality")


@pytest.fixture
def speed(benchmark_script: BenchmarkScript) -> ModuleType:
    return benchmark_script("speed")


@pytest.fixture
def report(benchmark_script: BenchmarkScript) -> ModuleType:
    return benchmark_script("report")


def photo(number: int) -> bytes:
    """A JPEG of random colours."""
    random = np.random.default_rng(number)
    image = Image.fromarray(random.integers(0, 256, (5, 6, 3), np.uint8)).resize((72, 60))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG")
    return buffer.getvalue()


def write_tar(path: Path, records: Sequence[dict[str, Any]]) -> Path:
    """A webdataset tar with a photo for each record."""
    with tarfile.open(path, "w") as archive:
        for number, record in enumerate(records):
            for suffix, content in (("jpg", photo(number)), ("json", json.dumps(record).encode())):
                member = tarfile.TarInfo(f"photo.{number}.{suffix}")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    return path


def test_coco_names_are_in_the_standard_order(quality: ModuleType) -> None:
    names = quality.COCO_NAMES
    assert len(names) == len(set(names)) == 80
    assert [names[index] for index in (0, 15, 24, 45, 62, 79)] == [
        "person",
        "cat",
        "backpack",
        "bowl",
        "tv",
        "toothbrush",
    ]
    assert not any("\n" in name or "  " in name for name in names)


def test_single_label_tar(quality: ModuleType, tmp_path: Path) -> None:
    labels = ["cat", "red panda", "Cat", "beach"]
    path = write_tar(tmp_path / "set.tar", [{"label": label} for label in labels])
    found = quality.read_single_label(path)
    assert found.tags == ("cat", "red panda", "beach")
    assert found.single_label
    np.testing.assert_array_equal(found.truth.argmax(axis=1), [0, 1, 0, 2])
    np.testing.assert_array_equal(found.truth.sum(axis=1), 1)
    assert list(found.photos()) == list(found.photos()) == [photo(number) for number in range(4)]


def test_single_label_folder(quality: ModuleType, tmp_path: Path) -> None:
    for name in ("n00000002_red_panda", "n00000001_cat", "n00000003_cat"):
        (tmp_path / f"{name}.JPEG").write_bytes(photo(0))
    (tmp_path / "README.md").write_text("not a photo")
    found = quality.read_single_label(tmp_path)
    assert found.tags == ("cat", "red panda")
    np.testing.assert_array_equal(found.truth, [[1, 0], [0, 1], [1, 0]])
    assert next(path.stem for path in found.photos()) == "n00000001_cat"
    (tmp_path / "holiday.jpg").write_bytes(photo(0))
    with pytest.raises(SystemExit, match="n01440764_tench"):
        quality.read_single_label(tmp_path)


def test_yolo_folder(quality: ModuleType, tmp_path: Path) -> None:
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
    for name in ("b", "a", "empty", "none"):
        (tmp_path / "images" / f"{name}.jpg").write_bytes(photo(0))
    (tmp_path / "labels" / "a.txt").write_text("1 0.5 0.5 1 1\n\n0 0.5 0.5 1 1\n1 0.1 0.1 0.1 0.1")
    (tmp_path / "labels" / "b.txt").write_text("2 0.5 0.5 1 1\n")
    (tmp_path / "labels" / "empty.txt").write_text("")
    (tmp_path / "labels" / "orphan.txt").write_text("0 0.5 0.5 1 1\n")
    found = quality.read_yolo(tmp_path, ["cat", "dog", "tree"])
    assert [path.stem for path in found.photos()] == ["a", "b", "empty", "none"]
    np.testing.assert_array_equal(found.truth, [[1, 1, 0], [0, 0, 1], [0, 0, 0], [0, 0, 0]])
    assert quality.read_yolo(tmp_path).tags == quality.COCO_NAMES
    with pytest.raises(SystemExit, match="class '2', expected 0 to 1"):
        quality.read_yolo(tmp_path, ["cat", "dog"])
    with pytest.raises(SystemExit, match="no folder images/"):
        quality.read_yolo(tmp_path / "images")


def test_multi_label_tar(quality: ModuleType, tmp_path: Path) -> None:
    categories = tmp_path / "set.categories.txt"
    categories.write_text("cat\ndog\nred_panda\n")
    records: list[dict[str, Any]] = [
        {"labels": ["red panda", "cat"], "exhaustive": True},
        {"labels": []},
    ]
    found = quality.read_multi_label(write_tar(tmp_path / "set.tar", records), categories)
    assert found.tags == ("cat", "dog", "red panda")
    np.testing.assert_array_equal(found.truth, [[1, 0, 1], [0, 0, 0]])
    for wrong, message in (
        ({"labels": ["forklift"]}, "'forklift' is not among the categories"),
        ({"labels": ["cat"], "exhaustive": False}, "does not have all its labels"),
        ({"label": "cat"}, "has no 'labels'"),
    ):
        path = write_tar(tmp_path / "wrong.tar", [wrong])
        with pytest.raises(SystemExit, match=message):
            quality.read_multi_label(path, categories)


def test_a_tar_without_pairs_is_refused(quality: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "set.tar"
    with tarfile.open(path, "w"):
        pass
    with pytest.raises(SystemExit, match="one key"):
        quality.read_single_label(path)


def test_scores_stand_in_the_order_of_the_tags(
    quality: ModuleType, tiny_model: Path, tmp_path: Path
) -> None:
    """Built-in, synonym and new names in one list, and a photo that cannot be read."""
    tagger = Tagger.from_pretrained(tiny_model, device="cpu")
    names = ("red panda", "puppy", "cat")
    (tmp_path / "broken.jpg").write_bytes(b"no photo")
    sources = [photo(0), tmp_path / "broken.jpg", photo(1)]
    photo_set = quality.PhotoSet(
        tags=names, truth=np.eye(3, dtype=bool), photos=lambda: iter(sources)
    )
    scores, truth, _ = quality.score_photos(tagger, photo_set)
    np.testing.assert_array_equal(truth, [[1, 0, 0], [0, 0, 1]])
    for column, name in enumerate(names):
        for row, source in enumerate((photo(0), photo(1))):
            alone = tagger.with_tags([name])(source).scores
            assert alone is not None
            assert scores[row, column] == pytest.approx(float(alone[0]), abs=1e-5)


def run_quality(
    quality: ModuleType, model: Path, kind: str, path: Path, out: Path, *more: str
) -> dict[str, Any]:
    arguments = [kind, str(path), "--model", str(model), "--device", "cpu", "--json", str(out)]
    quality.main([*arguments, "--resamples", "20", *more])
    figures: dict[str, Any] = json.loads(out.read_text())
    return figures


def test_quality_of_a_single_label_set(
    quality: ModuleType, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = ["cat", "dog", "red panda", "cat"]
    path = write_tar(tmp_path / "set.tar", [{"label": label} for label in labels])
    out = tmp_path / "new folder" / "set.json"
    figures = run_quality(quality, tiny_model, "single-label", path, out, "--name", "Tiny set")
    assert (figures["set"], figures["model"], figures["photos"]) == ("Tiny set", "tiny-1", 4)
    assert (figures["tags"], figures["tags_built_in"]) == (3, 2)
    assert list(figures["per_class"]) == ["cat", "dog", "red panda"]
    assert figures["map"] == pytest.approx(np.mean(list(figures["per_class"].values())))
    low, high = figures["interval"]
    assert 0 <= low <= figures["map"] <= high <= 1
    assert 0 <= figures["top1"] <= figures["recall_at_15"] == 1.0
    text = capsys.readouterr().out
    assert "Tiny set: 4 photos, 3 tags" in text
    assert f"{100 * figures['map']:.1f} %" in text


def test_quality_of_a_multi_label_set(
    quality: ModuleType, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "set.categories.txt").write_text("cat\ndog\nforklift\n")
    path = write_tar(tmp_path / "set.tar", [{"labels": ["cat", "dog"]}, {"labels": ["dog"]}])
    figures = run_quality(quality, tiny_model, "multi-label", path, tmp_path / "out.json")
    assert figures["set"] == "set"
    assert figures["without_positives"] == ["forklift"]
    assert figures["per_class"]["forklift"] is None
    assert figures["per_class"]["dog"] == 1.0
    assert figures["map_empty_as_zero"] == pytest.approx(figures["map"] * 2 / 3, abs=1e-6)
    assert "top1" not in figures
    assert "1 tags: forklift" in capsys.readouterr().out


def test_made_photos_differ_and_have_their_size(speed: ModuleType, tmp_path: Path) -> None:
    pytest.importorskip("skimage")
    speed.make_photos(tmp_path, 5, (160, 120))
    paths = speed.list_photos(tmp_path)
    assert len({path.read_bytes() for path in paths}) == 5
    described = speed.describe_photos(paths, True)
    assert (described["median_width"], described["median_height"]) == (160, 120)


def test_all_ways_give_the_same_scores(speed: ModuleType, tiny_model: Path, tmp_path: Path) -> None:
    """So that what is compared is the same work."""
    for number in range(3):  # 72 x 60: small enough that none is decoded at reduced size
        (tmp_path / f"{number}.jpg").write_bytes(photo(number))
    photos = speed.list_photos(tmp_path)
    for tags, num_tags in (("built-in", 5), ("80", 80)):
        results = [
            speed.measure(
                speed.Case(mode=mode, dtype="float32", tags=tags, batch_size=2),
                str(tiny_model),
                photos,
            )
            for mode in ("stream", "model", "baseline")
        ]
        assert {result["num_tags"] for result in results} == {num_tags}
        assert {result["model"] for result in results} == {"tiny-1"}
        means = [result["mean_score"] for result in results]
        assert means == pytest.approx([means[0]] * 3, abs=1e-4)
        assert all(result["peak_memory_mb"] > 10 for result in results)


def test_rounds_alternate_and_ratios_are_of_one_round(speed: ModuleType) -> None:
    cases = speed.list_cases(["float32"], ["80"], [4])
    assert [case.mode for case in cases] == ["stream", "baseline", "model"]
    order = []

    def measure_one(case: Any) -> dict[str, Any]:
        order.append(case.mode)
        rate = {"stream": 40.0, "baseline": 10.0, "model": 90.0}[case.mode]
        late = 0.5 if len(order) > 3 else 1.0  # the machine is slow in the second round
        same = {"peak_memory_mb": 300.0, "mean_score": 0.5, "num_tags": 80, "threads": 2}
        return {"images_per_second": rate * late, "model": "tiny-1", **same}

    rows = speed.measure_all(cases, 2, measure_one)
    assert order == ["stream", "baseline", "model", "model", "baseline", "stream"]
    assert rows[0]["images_per_second"] == {"median": 30, "min": 20, "max": 40, "runs": [40, 20]}
    assert rows[0]["speed_up"]["runs"] == [4.0, 4.0]
    assert rows[1]["speed_up"] is rows[2]["speed_up"] is None


@pytest.mark.skipif(sys.platform == "win32", reason="no resource module")
def test_report_from_real_files(
    quality: ModuleType,
    speed: ModuleType,
    report: ModuleType,
    tiny_model: Path,
    tmp_path: Path,
) -> None:
    tar = write_tar(tmp_path / "set.tar", [{"label": name} for name in ("cat", "dog", "puppy")])
    figures = run_quality(quality, tiny_model, "single-label", tar, tmp_path / "1.json")
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(2):
        (photos / f"{number}.jpg").write_bytes(photo(number))
    arguments = [str(photos), "--model", str(tiny_model), "--dtype", "float32", "--tags", "80"]
    speed.main([*arguments, "--repeats", "1", "--batch-size", "2", "--json", f"{tmp_path}/2.json"])
    measured = json.loads((tmp_path / "2.json").read_text())

    readme, results = tmp_path / "README.md", tmp_path / "RESULTS.md"
    readme.write_text(f"# Title\n{report.START}\nold figures\n{report.END}\nmore text\n")
    files = [str(tmp_path / "1.json"), str(tmp_path / "2.json")]
    report.main([*files, "--readme", str(readme), "--results", str(results)])
    written = readme.read_text()
    assert written.startswith(f"# Title\n{report.START}\n| set |")
    assert written.endswith(f"\n{report.END}\nmore text\n")
    assert "old figures" not in written
    assert f"| set | 3 | 3 | {100 * figures['map']:.1f} (" in written
    stream = measured["cases"][0]
    assert f"| images/s, files to tags | {stream['images_per_second']['median']:.1f} |" in written
    assert f"| peak memory, MB | {stream['peak_memory_mb']['max']:.0f} |" in written
    page = results.read_text()
    for fact in (measured["machine"]["cpu"], measured["machine"]["torch"], measured["date"]):
        assert fact in page
    assert "of 72 x 60 pixels" in page

    report.main([*files, "--readme", str(readme), "--results", str(results)])
    assert (readme.read_text(), results.read_text()) == (written, page)


def test_report_of_released_models(report: ModuleType) -> None:
    paths = sorted(FOLDER.glob("released-*.json"))
    sets, speed, released, others = report.read_figures(
        [*sorted(FOLDER.glob("results/*.json")), *paths]
    )
    assert [item["family"] for item in released] == ["ram", "ram_plus", "tag2text"]
    page = report.results_page(sets, speed, released, others)
    assert page == (FOLDER / "RESULTS.md").read_text(encoding="utf-8")
    for path in paths:
        figures = json.loads(path.read_text())
        assert f"| {figures['convert']['parameters']:,} |" in page
        assert f"| {figures['bfloat16']['images_per_s']:.2f} |" in page
        assert figures["float32"]["load_ratio"] <= 1.3
        used, excused = (figures["convert"][key] for key in ("keys_used", "keys_excused"))
        assert used + sum(excused.values()) == figures["make"]["keys"]


def test_report_refuses_what_does_not_fit(report: ModuleType, tmp_path: Path) -> None:
    paths = []
    for number, content in enumerate(
        [{"kind": "quality", "model": "a"}, {"kind": "quality", "model": "b"}, {"kind": "other"}]
    ):
        paths.append(tmp_path / f"{number}.json")
        paths[-1].write_text(json.dumps(content))
    with pytest.raises(SystemExit, match="one model, found a, b"):
        report.read_figures(paths[:2])
    with pytest.raises(SystemExit, match="not written by"):
        report.read_figures(paths)
    for text in ("no markers", report.END + report.START, 2 * (report.START + report.END)):
        with pytest.raises(SystemExit, match="expected one"):
            report.replace_block(text, "tables")
