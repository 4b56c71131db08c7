"""``anytag eval``: one table, files, systems from models and files, going on after a stop."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

COLORS = {"red": (250, 10, 10), "green": (10, 240, 10), "blue": (10, 10, 245)}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Twelve photos of one colour each, and what colour they have."""
    folder = tmp_path / "photos"
    folder.mkdir()
    lines = ["image,tags"]
    for number in range(12):
        name = list(COLORS)[number % 3]
        Image.new("RGB", (9, 9), COLORS[name]).save(folder / f"{number}.png")
        lines.append(f"{number}.png,{name}")
    (tmp_path / "truth.csv").write_text("\n".join(lines))
    (tmp_path / "images.txt").write_text("\n".join(f"{n}.png" for n in range(12)))
    return folder


def table(out: str) -> dict[str, list[str]]:
    """Rows of the printed table by their first column."""
    rows = [re.split(r"\s{2,}", line) for line in out.splitlines()]
    return {row[0]: row[1:] for row in rows}


def test_a_model_and_a_file_of_scores(cli: Any, photos: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    random = np.random.default_rng(0).random((12, 3))
    np.savez(
        tmp_path / "s.npz",
        scores=random,
        images=np.array([f"{n}.png" for n in range(12)]),
        classes=np.array(list(COLORS)),
    )
    done = cli(
        "eval", "--annotations", "truth.csv", "--images", "photos", "--model", "nano",
        "--scores", "chance=s.npz", "-o", "out",
    )  # fmt: skip
    assert done.code == 0, done.err
    rows = table(done.out)
    assert list(rows) == ["system", "nano", "chance"]
    assert rows["nano"][:2] == ["100.0", "100.0-100.0"]
    plain = json.loads((tmp_path / "out" / "results.json").read_text())
    assert [one["name"] for one in plain["systems"]] == ["nano", "chance"]
    assert plain["images"] == 12
    assert f"{100 * plain['systems'][1]['map']:.1f}" == rows["chance"][0]
    assert (tmp_path / "out" / "per_class.csv").read_text().startswith("class,positives,nano AP")
    html = (tmp_path / "out" / "report.html").read_text()
    assert html.count("<img") >= 3
    assert "threshold: best overall F1" in done.err


def test_photos_beside_the_annotations_are_found(cli: Any, photos: Path, tmp_path: Path) -> None:
    lines = (tmp_path / "truth.csv").read_text().splitlines()
    (photos / "truth.csv").write_text("\n".join(line for line in lines if "blue" not in line))
    (tmp_path / "tags.txt").write_text("red\ngreen\nblue\n")
    done = cli("eval", "--annotations", "photos/truth.csv", "--tags", "tags.txt")
    assert done.code == 0, done.err
    assert "1 classes have no photo and are left out: blue" in done.err
    assert "as the public evaluation code counts, these as 0: nano 66.7" in done.err


def test_without_a_folder_nothing_is_written(cli: Any, photos: Path, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    done = cli("eval", "--annotations", "truth.csv", "--images", "photos", "-q")
    assert (done.code, done.err) == (0, "")
    assert list(table(done.out)) == ["system", "nano"]
    assert sorted(tmp_path.rglob("*")) == before


def test_photos_that_cannot_be_read(cli: Any, photos: Path) -> None:
    (photos / "3.png").write_bytes(b"no image")
    (photos / "4.png").unlink()
    done = cli("eval", "--annotations", "truth.csv", "--images", "photos")
    assert done.code == 1
    assert "failed: 3.png" in done.err
    assert "failed: 4.png" in done.err
    assert "2 images without scores are left out for every system" in done.err
    assert table(done.out)["nano"][0] == "100.0"


def test_a_set_alone_says_how_to_get_it_and_what_is_published(cli: Any) -> None:
    done = cli("eval", "--set", "coco-80")
    assert (done.code, done.err) == (0, "")
    assert "COCO-80: 80 classes, 5,000 images" in done.out
    assert "instances_val2017.json" in done.out
    rows = table(done.out)
    assert rows["published: Tag2Text-4M (11.4M tags, Swin-B)"] == ["78.3†", "80.5†", "66.1†"]
    assert rows["published: SEEM (FocalNet-L)"] == ["75.7", "67.8"]


def test_a_benchmark_from_its_released_list(cli: Any, tmp_path: Path) -> None:
    names = [f"tag {n}" for n in range(214)]
    (tmp_path / "t.txt").write_text("\n".join(names))
    lines = [f"test/{n:04x},{names[n % 214]}" for n in range(428)]
    (tmp_path / "a.txt").write_text("\n".join(lines))
    scores = np.eye(214, dtype=np.float32)[np.arange(428) % 214]
    np.save(tmp_path / "s.npy", scores)
    arguments = ["eval", "--set", "openimages-common", "--annotations", "a.txt", "--tags", "t.txt"]
    done = cli(*arguments, "--scores", "perfect=s.npy")
    assert done.code == 0, done.err
    assert table(done.out)["perfect"][0] == "100.0"
    assert "published: RAM-14M (Swin-L) (119.9M tags)" in done.out
    assert "note: 428 images, OpenImages-common has 57,224: not the whole set" in done.err
    assert "published, not measured here: Zhang et al." in done.err


WRONG = [
    ([], "nothing to evaluate"),
    (["--set", "coco"], "no test set 'coco'"),
    (["--set", "hico", "--kind", "csv"], "exclude each other"),
    (["--set", "hico", "--model", "nano"], "--set hico needs its files, --annotations FILE: hico_"),
    (["--annotations", "truth.csv", "--images", "none"], "--images none: is no folder"),
    (["--annotations", "truth.csv"], "the photos are needed: --images DIR (the first is 0.png)"),
    (["--annotations", "truth.csv", "--scores", "s.npy"], "--scores s.npy: expected NAME=FILE"),
    (["--annotations", "truth.csv", "--scores", "a=1", "--scores", "a=2"], "two systems are named"),
    (["--annotations", "truth.csv", "--threshold", "f1"], "--threshold 'f1': expected best-f1"),
    (["--annotations", "truth.csv", "--prompt", "photo"], "--prompt needs {}"),
    (["--annotations", "truth.csv", "-o", "truth.csv"], "is a file; expected a folder"),
    (["--annotations", "truth.csv", "--kind", "x"], "'x' is no kind of annotations"),
]


@pytest.mark.parametrize(("arguments", "message"), WRONG)
def test_wrong_usage(cli: Any, photos: Path, arguments: list[str], message: str) -> None:
    done = cli("eval", *arguments)
    assert (done.code, done.out) == (2, "")
    assert message in done.err
    assert done.err.count("\n") == 1


def test_wrong_files_name_line_and_cause(cli: Any, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "truth.csv").write_text("image,tags\n0.png,red\n0.png,blue\n")
    done = cli("eval", "--annotations", "truth.csv", "--images", "photos")
    assert (done.code, done.out) == (1, "")
    assert done.err == (
        "anytag: truth.csv, line 3: the image 0.png comes again (first in line 2)\n"
    )
    (tmp_path / "truth.csv").write_text("image,tags\n0.png,red\n1.png,blue\n")
    (tmp_path / "s.csv").write_text("image,red\n0.png,0.5\n")
    done = cli("eval", "--annotations", "truth.csv", "--scores", "x=s.csv")
    assert done.code == 1
    assert "s.csv: no scores for 1 of 2 images; the first is 1.png" in done.err


def test_a_killed_evaluation_goes_on(
    cli: Any, make_photos: Callable[..., Path], tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib")
    folder = make_photos(60)
    files = [file for file in sorted(folder.rglob("*.png")) if int(file.stem) % 20 != 7]
    lines = [
        f"{file.relative_to(folder)},{'red' if int(file.stem) % 2 else 'blue'}" for file in files
    ]
    (tmp_path / "truth.csv").write_text("image,tags\n" + "\n".join(lines))
    arguments = ["eval", "--annotations", "truth.csv", "--images", "photos", "--batch-size", "4"]
    whole = cli(*arguments, "-o", "whole", "-q")
    assert whole.code == 0, whole.err
    process = cli.start(*arguments, "-o", "out", delay=0.2)
    store = tmp_path / "out" / "scores" / "nano.scores"
    deadline = time.monotonic() + 60
    while not (store.exists() and store.stat().st_size >= 8 * 20) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    kept = store.stat().st_size // 20
    assert 0 < kept < len(files)
    ids = store.with_suffix(".json").read_text()
    again = cli(*arguments, "-o", "out", "-q")
    assert (again.code, again.out) == (0, whole.out)
    assert store.read_bytes() == (tmp_path / "whole" / "scores" / "nano.scores").read_bytes()
    assert store.with_suffix(".json").read_text() == ids


_MEASURED = """
import resource, sys
from anytag.cli.main import main
try:
    main()
finally:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print("peak", peak if sys.platform != "darwin" else peak // 1024, file=sys.stderr)
"""


@pytest.mark.slow
def test_openimages_common_at_its_full_size_stays_below_4_gib(tmp_path: Path) -> None:
    names = [f"tag {n}" for n in range(214)]
    random = np.random.default_rng(0)
    truth = random.random((57224, 214)) < 0.0055
    (tmp_path / "t.txt").write_text("\n".join(names))
    with (tmp_path / "a.txt").open("w") as file:
        for number, row in enumerate(truth):
            found = (names[i] for i in np.flatnonzero(row))
            file.write(",".join((f"test/{number:016x}", *found)) + "\n")
    scores = (random.random(truth.shape, np.float32) + truth) / np.float32(2)
    images = np.array([f"test/{number:016x}.jpg" for number in range(len(truth))])
    np.savez(tmp_path / "s.npz", scores=scores, images=images, classes=np.array(names))
    command = [sys.executable, "-c", _MEASURED, "eval", "--set", "openimages-common"]
    command += ["--annotations", "a.txt", "--tags", "t.txt", "--scores", "mine=s.npz"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert table(done.stdout)["mine"][0] == "100.0"
    match = re.search(r"peak (\d+)", done.stderr)
    assert match is not None
    assert int(match[1]) < 4 * 2**20  # KiB


def test_models_without_a_name_of_their_own() -> None:
    from anytag.cli.eval_options import EvalOptions

    sources = ["nano", "a/b/mine", "x=clip:a/b", "clip:openai/vit", "open_clip:ViT-B-32/openai"]
    options = EvalOptions(
        set_name="hico", annotations=None, kind="auto", tags=None, images=None, model=sources,
        scores=None, threshold="best-f1", prompt="{}", descriptions=None, out=None, quiet=False,
        device="cpu", dtype="auto", batch_size=2, workers=1,
    )  # fmt: skip
    names = [name for name, _ in options.models]
    assert names == ["nano", "mine", "x", "vit", "ViT-B-32/openai"]
