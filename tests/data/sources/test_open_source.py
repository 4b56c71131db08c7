"""Recognising formats, and saying why not."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from anytag.data.problems import Problems
from anytag.data.record_files import write_jsonl, write_parquet
from anytag.data.records import Record, to_plain
from anytag.data.shards import write_shards
from anytag.data.sources import KINDS, open_source
from anytag.errors import UsageError

#: of each format
NUM_DAMAGED = 40

RECORDS = [Record(image="a.jpg", captions=("a cat",), content=b"x")]
RAM = [{"image_path": "a.jpg", "caption": ["a cat"], "parse_label_id": [[1]]}]
REGIONS = [{"regions": [{"image_id": 1, "phrase": "x"}], "id": 1}]
COCO = {"info": {}, "images": [{"id": 1, "file_name": "a.jpg"}], "annotations": []}
SBU = {"image_urls": ["http://x.org/a"], "user_ids": ["x"], "captions": ["y"]}
OPENIMAGES = "ImageID,Source,LabelName,Confidence\n0,verification,/m/0,1\n"

#: file below the folder -> content; the kind of the file, and of the folder
CASES = [
    ("vg_ram.json", json.dumps(RAM), "ram", None),
    ("annotations/captions_val2017.json", json.dumps(COCO), "coco", "coco"),
    ("instances_mine.json", json.dumps(COCO), "coco", "coco"),
    ("other.json", json.dumps(COCO), "coco", None),
    ("region_descriptions.json", json.dumps(REGIONS), "visual-genome", "visual-genome"),
    ("sbu-captions-all.json", json.dumps(SBU), "sbu", None),
    ("SBU_captioned_photo_dataset_urls.txt", "http://x.org/a\n", "sbu", "sbu"),
    ("Train_GCC-training.tsv", "a cat\thttp://x.org/a\n", "cc3m", "cc3m"),
    ("cc3m.tsv", "caption\turl\na cat\thttp://x.org/a\n", "cc3m", "cc3m"),
    ("cc12m.tsv", "https://x.org/a\ta cat\n", "cc12m", "cc12m"),
    ("Flickr8k.token.txt", "a.jpg#0\ta cat\n", "flickr", "flickr"),
    ("results_20130124.token", "a.jpg#0\ta cat\n", "flickr", "flickr"),
    ("captions.txt", "image,caption\na.jpg,a cat\n", "flickr", "flickr"),
    ("results.csv", "image_name| comment_number| comment\na.jpg| 0| x\n", "flickr", "flickr"),
    ("train-annotations-human-imagelabels.csv", OPENIMAGES, "openimages", "openimages"),
    ("objectInfo150.txt", "Idx\tRatio\n", None, "ade20k-150"),
    ("images/training/a/abbey/ADE_train_1_atr.txt", "x", None, "ade20k"),
    ("images/ADE/training/urban/street/ADE_train_1.json", "{}", None, "ade20k"),
    ("dog/1.jpg", "", None, "classes"),
    ("my photos/1.txt", "a cat", None, "folder"),
    ("a.jsonl", '{"image": "a"}\n', "records", "records"),
    ("pets.csv", "path,tags\na.jpg,cat;dog\n", "table", None),
    ("pets.tsv", "file\tcat\tred panda\na.jpg\t1\t0", "table", "table"),
    ("pets.csv", "image,caption,tags\na.jpg,a cat,cat\n", "table", None),
    ("excel.csv", "filename;labels\na.jpg;cat,dog\n", "table", None),
    ("Annotations/1.xml", "<annotation><filename>1.jpg</filename></annotation>", None, "voc"),
    ("1.xml", "<annotation><object><name>cat</name></object></annotation>", None, "voc"),
]


@pytest.mark.parametrize(("name", "content", "of_file", "of_folder"), CASES)
def test_formats(
    tmp_path: Path, name: str, content: str, of_file: str | None, of_folder: str | None
) -> None:
    file = tmp_path / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content)
    if of_folder == "folder":
        file.with_suffix(".jpg").touch()
    for path, kind in ((file, of_file), (tmp_path, of_folder)):
        if kind is not None:
            source = open_source(path)
            assert source.kind == kind
            assert kind in KINDS


def test_binary_formats(tmp_path: Path) -> None:
    write_parquet(tmp_path / "a.parquet", RECORDS)
    (tmp_path / "a.parquet").rename(tmp_path / "no ending")
    assert open_source(tmp_path / "no ending").kind == "records"
    write_shards(tmp_path / "web", RECORDS, Problems())
    assert open_source(tmp_path / "web").kind == "webdataset"
    assert open_source(tmp_path / "web" / "00000.tar").kind == "webdataset"
    (record,) = open_source(tmp_path / "web", with_images=True)
    assert record.content == b"x"


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("a.json", '{"a": 1, "b": {"c": 2}}', "without 'images' and 'annotations': it has a, b, c"),
        ("a.json", '[{"a": 1}]', "of its array are not known: a"),
        ("a.json", "[", "no names"),
        ("image.json", '[{"image_id": 1, "url": "x", "coco_id": 5}]', "list of images"),
        ("a.csv", "one,two\n", "its first line is of no known table: 'one,two'"),
        ("a.tsv", "one\ttwo\n", "no known table"),
        ("a.txt", "", "it is empty"),
        ("a.tsv.gz", "x", "unpack it first"),
        ("index_ade20k.pkl", "x", "a pickle runs code"),
        ("photos/a.jpg", "x", "have no text beside them"),
        ("x/a.dat", "x", "neither pictures nor annotation files"),
    ],
)
def test_why_not(tmp_path: Path, name: str, content: str, why: str) -> None:
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(content)
    path = file if file.parent == tmp_path else file.parent
    with pytest.raises(UsageError, match="Name the format with --kind") as raised:
        open_source(path)
    assert why in str(raised.value)


def test_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        open_source(tmp_path / "none")
    with pytest.raises(UsageError, match="'cocoa' is no kind of data; known: auto, records"):
        open_source(tmp_path, "cocoa")


def test_each_kind_reads_again_and_again(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl", RECORDS)
    with (tmp_path / "a.jsonl").open("a") as file:
        file.write("broken\n")
    source = open_source(tmp_path, images="data")
    for _ in range(2):
        assert [record.image for record in source] == ["data/a.jpg"]
        assert source.problems.counts == {"malformed": 1}


@pytest.mark.parametrize("kind", KINDS)
def test_no_kind_fails_on_a_wrong_file(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "a.jsonl"
    file.write_bytes(b'\x00\xff garbage {"a": \n' * 50)
    (tmp_path / "class-descriptions.csv").touch()
    for path in (file, tmp_path):
        source = open_source(path, kind)
        assert not list(source)


def mutate(content: bytes, draw: random.Random) -> bytes:
    """Cut, doubled, or with some bytes changed."""
    data = bytearray(content)
    for _ in range(draw.randrange(1, 4)):
        if not data:
            break
        place = draw.randrange(len(data))
        match draw.randrange(4):
            case 0:
                del data[place:]
            case 1:
                data[place] = draw.randrange(256)
            case 2:
                data[place:place] = draw.choice(
                    [b"\x00", b"\xff", b'"', b"\n", b"{", b"]", b"null"]
                )
            case _:
                del data[place : place + draw.randrange(1, 30)]
    return bytes(data)


@pytest.mark.parametrize("name", ["ram", "coco", "visual-genome", "sbu", "records", "webdataset"])
def test_damage_is_never_fatal(tmp_path: Path, name: str) -> None:
    write_shards(tmp_path, [*RECORDS, *RECORDS], Problems())
    write_jsonl(tmp_path / "a.jsonl", [*RECORDS, *RECORDS])
    caption = {"image_id": 1, "id": 2, "caption": "x"}
    label = {"image_id": 1, "category_id": 5, "segments_info": [{"category_id": 5}]}
    coco = COCO | {"annotations": [caption, label], "categories": [{"id": 5, "name": "cat"}]}
    whole = {
        "ram": json.dumps([*RAM, *RAM]).encode(),
        "coco": json.dumps(coco).encode(),
        "visual-genome": json.dumps([*REGIONS, *REGIONS]).encode(),
        "sbu": json.dumps(SBU).encode(),
        "records": (tmp_path / "a.jsonl").read_bytes(),
        "webdataset": (tmp_path / "00000.tar").read_bytes(),
    }[name]
    endings = {"records": ".jsonl", "webdataset": ".tar"}
    file = tmp_path / f"damaged{endings.get(name, '.json')}"
    draw = random.Random(name)
    for _ in range(NUM_DAMAGED):
        file.write_bytes(mutate(whole, draw))
        for record in open_source(file, name):
            json.dumps(to_plain(record))
