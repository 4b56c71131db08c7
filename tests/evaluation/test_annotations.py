"""Annotation files of every format, and what is said of wrong ones."""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from anytag.errors import AnnotationError, UsageError
from anytag.evaluation.annotation_kinds import detect, read_annotations
from anytag.evaluation.annotation_text import read_csv, read_jsonl, read_names
from anytag.evaluation.annotations import Annotations


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def tags_of(found: Annotations) -> dict[str, list[str]]:
    return {
        image: [one for one, has in zip(found.classes, row, strict=True) if has]
        for image, row in zip(found.images, found.truth, strict=True)
    }


def test_names_with_their_list_beside(tmp_path: Path) -> None:
    write(tmp_path, "set_taglist.txt", "cat\nred_car\ntree\n")
    path = write(tmp_path, "set_annots.txt", "test/0,cat,Red Car\r\ntest/1\ntest/2,tree\n\n")
    found = read_annotations(path)
    assert found.classes == ("cat", "red car", "tree")
    assert tags_of(found) == {"test/0": ["cat", "red car"], "test/1": [], "test/2": ["tree"]}
    assert found.known is None
    packed = tmp_path / "set_annots.txt.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert tags_of(read_annotations(packed)) == tags_of(found)


def test_numbers_and_names_that_come_twice(tmp_path: Path) -> None:
    tags = write(tmp_path, "t.txt", "missile\ncat\nMissile")
    path = write(tmp_path, "a.txt", "a.jpg,0\nb.jpg\nc.jpg,2 1\n")
    found = read_annotations(path, tags=tags)
    assert found.classes == ("missile", "cat")
    assert tags_of(found) == {"a.jpg": ["missile"], "b.jpg": [], "c.jpg": ["missile", "cat"]}
    assert found.notes == ("1 class names come again and count as one class each: Missile",)


def test_golden_files_of_the_public_code(tmp_path: Path) -> None:
    golden = Path(__file__).parents[1] / "golden" / "metrics"
    names = json.loads((golden / "config.json").read_text())["plain"]["taglist"]
    tags = write(tmp_path, "tags.txt", "\n".join(names))
    found = read_names(golden / "plain.gt.txt", tags)
    lines = (golden / "plain.gt.txt").read_text().splitlines()
    assert tags_of(found) == {
        line.split(",")[0]: [name for name in names if name in line.split(",")[1:]]
        for line in lines
    }


WRONG_TEXT = [
    ("a_annots.txt", "x,cat\nx,dog\n", "line 2: the image x comes again (first in line 1)"),
    ("a_annots.txt", "x,cat\ny,cow\n", "line 2: the tag 'cow' is not among the 2 of"),
    ("a_annots.txt", "x,cat\n,dog\n", "line 2: no image is named"),
    ("a_annots.txt", "", "holds no images"),
    ("b_annots.txt", "x,0\ny,0 2\n", "line 2: class '2': expected a number from 0 to 1"),
    ("a.csv", "picture,tags\nx,cat\n", "line 1: expected a header with 'image' and 'tags'"),
    ("a.csv", "image,tags\nx,cat\ny,cat,dog\n", "line 3: expected 2 columns, found 3"),
    ("a.csv", 'image,tags\nx,"cat\n', "line 2: is no CSV row"),
    ("a.csv", "image,tags\nx,cat\nx,dog\n", "line 3: the image x comes again (first in line 2)"),
    ("a.csv", "image,tags\nx,\n", "no image has a tag"),
    ("a.csv", "image,tags,unknown\nx,cat,Cat\n", "line 2: a tag is both"),
    ("a.csv", "image,tag\nx,cat\ny,cat\nx,dog\n", "line 4: the image x comes again"),
    ("a.jsonl", '{"image": "x", "tags": ["cat"]}\n{"image": 3}\n', "line 2: expected 'image'"),
    ("a.jsonl", '{"image": "x", "tags": "cat"}\n', "line 1: expected 'tags', a list"),
    ("a.jsonl", '{"image": "x", "tags": [3]}\n', "line 1: 'tags' must hold names, found 3"),
    ("a.jsonl", "\n\n{x}\n", "line 3: is no JSON"),
    ("a.csv", "image;tags\nx;cat\n", "found 'image;tags'; separate columns by commas"),
    ("a_annots.txt", "x,cat;dog\n", "not among the 2 of"),
    (
        "a.jsonl",
        '{"image": "x", "labels": []}\n',
        "expected 'tags', a list; found the keys image, l",
    ),
    ("a.jsonl", '{"image": "x"\n', "line 1: is no JSON (Expecting ',' delimiter, column 1"),
    ("a.jsonl", "[]\n", "line 1: expected a JSON object, found list"),
    ("a.jsonl", '{"path": "x", "tags": [], "error": {"type": "t"}}\n', "line 1: the record of x"),
]


@pytest.mark.parametrize(("name", "text", "message"), WRONG_TEXT)
def test_wrong_text_files(tmp_path: Path, name: str, text: str, message: str) -> None:
    for one in ("a", "b"):
        write(tmp_path, f"{one}_taglist.txt", "cat\ndog\n")
    path = write(tmp_path, name, text)
    with pytest.raises(AnnotationError, match=re.escape(message)) as caught:
        read_annotations(path)
    assert str(path) in str(caught.value)


def test_a_tag_that_is_several(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "image,tags\nx,cat;dog\n")
    with pytest.raises(AnnotationError, match="these are 2 tags with another separator"):
        read_annotations(path, tags=write(tmp_path, "tags.txt", "cat\ndog\n"))


def test_wrong_numbers_columns(tmp_path: Path) -> None:
    write(tmp_path, "b_taglist.txt", "cat\ndog\n")
    path = write(tmp_path, "b_annots.txt", "x,0\ny,0,1\n")
    with pytest.raises(AnnotationError, match=re.escape("line 2: expected 2 columns")):
        read_annotations(path, "numbers")


def test_lists_that_are_missing_or_wrong(tmp_path: Path) -> None:
    path = write(tmp_path, "x_annots.txt", "a,cat\n")
    with pytest.raises(AnnotationError, match=re.escape("looked for x_taglist.txt and")):
        read_annotations(path)
    empty = write(tmp_path, "x_taglist.txt", "cat\n\ndog\n")
    with pytest.raises(AnnotationError, match=r"x_taglist\.txt, line 2: a class without a name"):
        read_annotations(path)
    empty.write_text("")
    with pytest.raises(AnnotationError, match="names no class"):
        read_annotations(path)
    path.write_bytes(b"a,cat\nb,caf\xe9\n")
    with pytest.raises(AnnotationError, match="line 2: is not UTF-8"):
        read_annotations(path)
    (tmp_path / "y_annots.txt.gz").write_bytes(gzip.compress(b"a,cat\n" * 99)[:20])
    with pytest.raises(AnnotationError, match="cannot be read"):
        read_annotations(tmp_path / "y_annots.txt.gz")
    with pytest.raises(AnnotationError, match="does not exist"):
        read_annotations(tmp_path / "none.csv")
    with pytest.raises(UsageError, match="'coca' is no kind of annotations; known: auto, names"):
        read_annotations(path, "coca")
    with pytest.raises(UsageError, match="say --kind"):
        read_annotations(write(tmp_path, "what.dat", "x"))


def test_csv_of_one_tag_a_row_is_that_of_anytag_tag(tmp_path: Path) -> None:
    text = "path,tag,score,threshold,id,kind,error,message\na.jpg,cat,0.9,0.5,0,,,\n"
    text += "a.jpg,tree,0.8,0.5,1,,,\nb.jpg,,,,,,,\n"
    found = read_annotations(write(tmp_path, "tags.csv", text))
    assert tags_of(found) == {"a.jpg": ["cat", "tree"], "b.jpg": []}


def test_jsonl_of_records_and_of_runs_and_unknown_tags(tmp_path: Path) -> None:
    lines = [
        {"image": "a.jpg", "captions": [], "tags": ["cat"], "unknown": ["dog"]},
        {"path": "b.jpg", "tags": [{"name": "dog", "score": 0.7}], "error": None},
    ]
    path = write(tmp_path, "a.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
    found = read_annotations(path)
    assert found.classes == ("cat", "dog")
    assert found.known is not None
    np.testing.assert_array_equal(found.known, [[True, False], [True, True]])


names = st.text(st.characters(codec="utf-8", exclude_characters="\x00\r\n|"), min_size=1).filter(
    lambda text: text.strip() == text != ""
)
rows = st.dictionaries(names, st.lists(names, max_size=4), min_size=1, max_size=6)


def _usable(found: dict[str, list[str]]) -> bool:
    from anytag.labels.labelset import fold_name

    tags = [tag for one in found.values() for tag in one]
    return bool(tags) and all(fold_name(tag) for tag in tags)


@settings(deadline=None, max_examples=30)
@given(found=rows.filter(_usable))
def test_whatever_is_written_is_read(
    found: dict[str, list[str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    from anytag.labels.labelset import fold_name

    folder = tmp_path_factory.mktemp("any")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["image", "tags"])
    writer.writerows([image, "|".join(tags)] for image, tags in found.items())
    plain = "".join(json.dumps({"image": i, "tags": t}) + "\n" for i, t in found.items())
    expected = {image: {fold_name(tag) for tag in tags} for image, tags in found.items()}
    for read, path in (
        (read_csv, write(folder, "a.csv", text.getvalue())),
        (read_jsonl, write(folder, "a.jsonl", plain)),
    ):
        got = tags_of(read(path))
        assert {image: set(map(fold_name, tags)) for image, tags in got.items()} == expected


@settings(deadline=None, max_examples=30)
@given(text=st.text(st.characters(codec="utf-8"), max_size=80))
def test_any_text_is_read_or_refused(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("any")
    tags = write(folder, "t.txt", "cat\ndog")
    for name in ("a.csv", "a.jsonl", "a.txt"):
        path = write(folder, name, text)
        with suppress(AnnotationError):
            found = read_annotations(path, tags=tags)
            assert found.truth.shape == (len(found.images), 2)


def coco(**changes: Any) -> dict[str, Any]:
    whole = {
        "images": [{"id": 1, "file_name": "1.jpg"}, {"id": 2, "file_name": "2.jpg"}],
        "annotations": [
            {"image_id": 1, "category_id": 18, "bbox": [0, 0, 1, 1]},
            {"image_id": 1, "category_id": 18, "iscrowd": 1},
        ],
        "categories": [{"id": 17, "name": "cat"}, {"id": 18, "name": "dog"}],
    }
    return whole | changes


def test_coco_instances_and_panoptic(tmp_path: Path) -> None:
    path = write(tmp_path, "instances_val2017.json", json.dumps(coco()))
    (tmp_path / "val2017").mkdir()
    found = read_annotations(path)
    assert found.classes == ("cat", "dog")
    assert tags_of(found) == {"1.jpg": ["dog"], "2.jpg": []}
    assert found.folder == tmp_path / "val2017"
    segments = [{"image_id": 2, "segments_info": [{"category_id": 17}, {"category_id": 18}]}]
    path = write(tmp_path, "panoptic_val2017.json", json.dumps(coco(annotations=segments)))
    assert tags_of(read_annotations(path)) == {"1.jpg": [], "2.jpg": ["cat", "dog"]}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": []}, "holds no 'images'"),
        ({"categories": []}, "holds no 'categories'"),
        ({"images": [{"id": 1, "file_name": "a"}] * 2}, "the image 1 comes again"),
        ({"images": [{"id": 1}]}, "item 0 of 'images': no 'file_name'"),
        (
            {"annotations": [{"image_id": 9, "category_id": 17}]},
            "item 0 of 'annotations': no image",
        ),
        ({"annotations": [{"image_id": 1, "category_id": 9}]}, "no category has the id 9"),
        ({"annotations": [{"image_id": 1}]}, "item 0 of 'annotations': no 'category_id'"),
    ],
)
def test_wrong_coco_files(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    path = write(tmp_path, "instances_x.json", json.dumps(coco(**changes), indent=1))
    with pytest.raises(AnnotationError, match=re.escape(message)) as caught:
        read_annotations(path)
    if "id" in message and "holds" not in message:
        assert re.search(r", line \d+: ", str(caught.value))


def test_a_coco_file_that_is_cut_off(tmp_path: Path) -> None:
    path = write(tmp_path, "instances_x.json", json.dumps(coco(), indent=1)[:-40])
    with pytest.raises(AnnotationError, match=r"line \d+: .*ends"):
        read_annotations(path)


def ade(folder: Path) -> Path:
    folder = folder / "ADEChallengeData2016"
    (folder / "annotations" / "validation").mkdir(parents=True)
    (folder / "annotations" / "training").mkdir(parents=True)
    lines = [
        "Idx\tRatio\tTrain\tVal\tStuff\tName",
        "1\t0.1\t1\t1\t1\twall",
        "2\t0.1\t1\t1\t1\tbridge, span",
    ]
    write(folder, "objectInfo150.txt", "\n".join(lines))
    write(folder, "sceneCategories.txt", "ADE_val_00000001 bridge\n")
    mask = np.array([[1, 1], [0, 1]], np.uint8)
    Image.fromarray(mask).save(folder / "annotations" / "validation" / "ADE_val_00000001.png")
    Image.fromarray(mask + 1).save(folder / "annotations" / "training" / "ADE_train_00000001.png")
    return folder


def test_ade20k_is_its_validation_masks_without_the_scene(tmp_path: Path) -> None:
    folder = ade(tmp_path)
    found = read_annotations(folder)
    assert tags_of(found) == {"ADE_val_00000001.jpg": ["wall"]}
    assert found.folder == folder / "images" / "validation"
    assert detect(folder) == "ade20k-150"
    (folder / "annotations" / "validation" / "ADE_val_00000002.png").write_bytes(b"no mask")
    with pytest.raises(AnnotationError, match=r"ADE_val_00000002\.png: is no mask"):
        read_annotations(folder)


OPENIMAGES = "ImageID,Source,LabelName,Confidence\n"


def test_openimages_counts_verified_labels_alone(tmp_path: Path) -> None:
    write(tmp_path, "oidv6-class-descriptions.csv", 'LabelName,DisplayName\n/m/1,Cat\n/m/2,"Dog"\n')
    text = OPENIMAGES + "b,verification,/m/1,1\nb,verification,/m/2,0\na,verification,/m/2,1\n"
    path = write(tmp_path, "test-annotations-human-imagelabels.csv", text)
    found = read_annotations(path)
    assert tags_of(found) == {"b": ["Cat"], "a": ["Dog"]}
    assert found.known is not None
    np.testing.assert_array_equal(found.known, [[True, True], [False, True]])
    chosen = read_annotations(path, tags=write(tmp_path, "t.txt", "dog\n"))
    assert (chosen.classes, tags_of(chosen)["b"]) == (("dog",), [])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ImageID,Label\n", "line 1: expected the columns ImageID, LabelName"),
        (OPENIMAGES + "a,v,/m/1\n", "line 2: expected 4 columns, found 3"),
        (OPENIMAGES + "a,v,/m/9,1\n", "line 2: the label '/m/9' is in no class description"),
        (OPENIMAGES + "a,v,/m/1,yes\n", "line 2: confidence 'yes' is no number"),
        (OPENIMAGES + "a,v,/m/1,1\na,v,/m/1,0\n", "line 3: 'Cat' of a has two answers"),
    ],
)
def test_wrong_openimages_files(tmp_path: Path, text: str, message: str) -> None:
    write(tmp_path, "class-descriptions.csv", "/m/1,Cat\n")
    path = write(tmp_path, "labels.csv", text)
    with pytest.raises(AnnotationError, match=re.escape(message)):
        read_annotations(path, "openimages")
    (tmp_path / "alone").mkdir()
    path = write(tmp_path / "alone", "labels.csv", text)
    with pytest.raises(AnnotationError, match="class-descriptions"):
        read_annotations(path, "openimages")


def test_a_folder_for_each_class(tmp_path: Path) -> None:
    for name in ("cat/1.png", "dog/2.png", "dog/3.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (4, 4)).save(tmp_path / name)
    found = read_annotations(tmp_path, "classes")
    assert [Path(image).name for image in found.images] == ["1.png", "2.png", "3.png"]
    assert list(tags_of(found).values()) == [["cat"], ["dog"], ["dog"]]
    assert tags_of(read_annotations(tmp_path)) == tags_of(found)
    with pytest.raises(AnnotationError, match=r"1\.png: the tag 'cat' is not in"):
        read_annotations(tmp_path, "classes", tags=write(tmp_path, "t.txt", "dog\n"))
    with pytest.raises(AnnotationError, match="is a folder"):
        read_annotations(tmp_path, "coco")


def test_some_photos_and_some_classes(tmp_path: Path) -> None:
    text = "image,tags,unknown\na,cat|dog,\nb,dog,cow\n"
    found = read_annotations(write(tmp_path, "a.csv", text))
    part = found.take_images([1]).take_classes([2, 1])
    assert (part.images, part.classes) == (("b",), ("cow", "dog"))
    np.testing.assert_array_equal(part.truth, [[False, True]])
    assert part.known is not None
    np.testing.assert_array_equal(part.known, [[False, True]])
