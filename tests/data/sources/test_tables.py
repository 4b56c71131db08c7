"""People's own CSV and TSV files."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anytag.data.problems import Problems
from anytag.data.records import Record
from anytag.data.sources.tables import read_table, split_tags


def read(path: Path, text: str | bytes, **options: Path) -> tuple[list[Record], Problems]:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    problems = Problems()
    return list(read_table(path, problems, **options)), problems


@pytest.mark.parametrize(
    "text",
    [
        'image,tags\na.jpg,"cat, red panda"\nb.jpg,dog\n',
        "image,tags\na.jpg,cat;red panda\nb.jpg,dog",
        "image,tags\r\na.jpg,cat|red panda\r\nb.jpg,dog\r\n",
        "\ufeffFile Name;Keywords\na.jpg;cat,red panda\nb.jpg;dog\n",
        "path\tlabels\na.jpg\tcat; red panda ;cat\nb.jpg\tdog\n",
        "image,tag\na.jpg,cat\nb.jpg,dog\na.jpg,red panda\n",
        "photo,width,cat,red_panda,dog\na.jpg,640,1,1,0\nb.jpg,1,0.0,,TRUE\n",
        'id,image,tags\n1,a.jpg,"cat\nred panda"\n\n2,b.jpg,dog\n',
    ],
)
def test_ways_to_write_the_same(tmp_path: Path, text: str) -> None:
    records, problems = read(tmp_path / "pets.csv", text)
    assert [(record.image, record.tags, record.source) for record in records] == [
        (str(tmp_path / "a.jpg"), ("cat", "red panda"), "pets"),
        (str(tmp_path / "b.jpg"), ("dog",), "pets"),
    ]
    assert not problems.counts


def test_captions_and_tags(tmp_path: Path) -> None:
    text = 'image,caption,tags\na.jpg,"a cat, asleep",cat\na.jpg,two cats,\nb.jpg,,\n'
    records, problems = read(tmp_path / "a.csv", text)
    assert [(record.captions, record.tags) for record in records] == [
        (("a cat, asleep", "two cats"), ("cat",)),
        ((), ()),
    ]
    assert not problems.counts


def test_where_the_pictures_are(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "train_0.jpg").touch()
    text = "image_name,tags\ntrain_0,haze\nhttps://x.org/1.jpg,sky\n"
    records, _ = read(tmp_path / "a.csv", text)
    assert [record.image for record in records] == [
        str(tmp_path / "images" / "train_0.jpg"),
        "https://x.org/1.jpg",
    ]
    records, _ = read(tmp_path / "a.csv", "file,tags\nx/a.jpg,cat\n", images=tmp_path / "else")
    assert records[0].image == str(tmp_path / "else" / "x" / "a.jpg")


def test_what_is_wrong_is_counted(tmp_path: Path) -> None:
    rows = "".join(f"{number}.jpg,{number % 2}\n" for number in range(60))
    text = "image,cat\n" + rows + "x.jpg\n,1\ny.jpg,maybe\nz.jpg,1\n"
    records, problems = read(tmp_path / "a.csv", text)
    assert len(records) == 62
    assert sum(record.tags == ("cat",) for record in records) == 31
    assert problems.counts == {"malformed": 2, "missing_image": 1}
    assert [example.line for example in problems.examples] == [62, 63, 64]
    records, problems = read(tmp_path / "b.csv", 'image,tags\na.jpg,cat\nb.jpg,"never ends\nx\n')
    assert [record.tags for record in records] == [("cat",)]
    assert problems.counts == {"malformed": 1}
    records, problems = read(tmp_path / "c.csv", b"image,tags\na.jpg,caf\xe9\n")
    assert records[0].tags == ("café",)
    assert problems.counts == {"encoding": 1}


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", "image,width\na.jpg,640\n", "image\na.jpg\n"])
def test_no_table_of_images(tmp_path: Path, text: str) -> None:
    records, problems = read(tmp_path / "a.csv", text)
    assert not records
    assert "must name an image column" in problems.examples[0].message


NAMES = st.text("abcé \"'-", min_size=1).map(str.strip).filter(bool)


@settings(deadline=None)
@given(st.lists(st.lists(NAMES, max_size=4, unique=True), min_size=1, max_size=8))
def test_what_csv_writes_is_read_back(tmp_path_factory: pytest.TempPathFactory, tags) -> None:  # type: ignore[no-untyped-def]
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(["image", "tags"])
    for number, row in enumerate(tags):
        writer.writerow([f"{number}.jpg", ";".join(row)])
    folder = tmp_path_factory.getbasetemp() / "written"
    folder.mkdir(exist_ok=True)
    records, problems = read(folder / "a.csv", buffer.getvalue())
    assert [list(record.tags) for record in records] == tags
    assert not problems.counts


@settings(deadline=None)
@given(st.text())
def test_split_tags_never_fails(text: str) -> None:
    assert all(tag == tag.strip() and ";" not in tag for tag in split_tags(text))
