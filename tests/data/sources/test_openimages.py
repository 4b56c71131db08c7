"""Open Images: image-level labels and the names of the classes."""

from __future__ import annotations

from pathlib import Path

import pytest

from anytag.data.problems import Problems
from anytag.data.sources.openimages import read_openimages
from anytag.errors import UsageError

LABELS = """ImageID,Source,LabelName,Confidence
000026e7ee790996,verification,/m/04hgtk,0
000026e7ee790996,verification,/m/07j7r,1
000026e7ee790996,crowdsource-verification,/m/01bqvp,1
000026e7ee790996,crowdsource-verification,/m/01bqvp,1
000062a39995e348,verification,/m/015p6,1
"""
CLASSES = """LabelName,DisplayName
/m/04hgtk,Head
/m/07j7r,Tree
/m/01bqvp,"Sky, cloudy"
/m/015p6,Bird
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "oidv6-train-annotations-human-imagelabels.csv").write_text(LABELS)
    (tmp_path / "oidv6-class-descriptions.csv").write_text(CLASSES)
    return tmp_path


def test_human_labels(folder: Path) -> None:
    problems = Problems()
    records = list(read_openimages(folder, problems))
    assert [(record.image, record.tags) for record in records] == [
        (f"{folder}/train/000026e7ee790996.jpg", ("Tree", "Sky, cloudy")),
        (f"{folder}/train/000062a39995e348.jpg", ("Bird",)),
    ]
    assert not problems.counts


def test_machine_labels_and_older_descriptions(tmp_path: Path) -> None:
    file = tmp_path / "validation-annotations-machine-imagelabels.csv"
    file.write_text(
        "ImageID,Source,LabelName,Confidence\n"
        "0001eeaf4aed83f9,machine,/m/07j7r,0.9\n0001eeaf4aed83f9,machine,/m/015p6,0.4\n"
    )
    classes = tmp_path / "mine.csv"
    classes.write_text(CLASSES.partition("\n")[2])
    (tmp_path / "validation").mkdir()
    (record,) = read_openimages(file, Problems(), classes=classes)
    assert record.tags == ("Tree",)
    assert record.image == f"{tmp_path}/validation/0001eeaf4aed83f9.jpg"
    (record,) = read_openimages(file, Problems(), classes=classes, min_confidence=0.3)
    assert record.tags == ("Tree", "Bird")


def test_boxes(tmp_path: Path) -> None:
    (tmp_path / "class-descriptions-boxable.csv").write_text(CLASSES)
    (tmp_path / "test-annotations-bbox.csv").write_text(
        "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf,"
        "IsDepiction,IsInside\n"
        "000026e7ee790996,xclick,/m/015p6,1,0.1,0.2,0.3,0.4,0,0,0,0,0\n"
    )
    (record,) = read_openimages(tmp_path, Problems())
    assert (record.image, record.tags) == (f"{tmp_path}/test/000026e7ee790996.jpg", ("Bird",))


def test_what_is_wrong(folder: Path) -> None:
    file = folder / "oidv6-train-annotations-human-imagelabels.csv"
    file.write_text(
        LABELS
        + "000062a39995e348,verification,/m/none,1\n"
        + "000062a39995e348,verification,/m/07j7r\n"
        + "000062a39995e348,verification,/m/07j7r,much\n"
        + "\n"
        + "000026e7ee790996,verification,/m/015p6,1\n"
    )
    problems = Problems()
    records = list(read_openimages(file, problems))
    assert [record.tags for record in records][2:] == [("Bird",)]
    assert [(one.kind, one.line) for one in problems.examples] == [
        ("malformed", 7),
        ("malformed", 8),
        ("malformed", 9),
        ("duplicate", 11),
    ]


def test_without_names(folder: Path) -> None:
    (folder / "oidv6-class-descriptions.csv").unlink()
    with pytest.raises(UsageError, match="class-descriptions"):
        list(read_openimages(folder, Problems()))


def test_another_header(folder: Path) -> None:
    file = folder / "train-images-imagelabels.csv"
    file.write_text("ImageID,Subset\n1,2\n")
    problems = Problems()
    assert not list(read_openimages(file, problems))
    assert problems.counts == {"malformed": 1}
