"""Pascal VOC annotations."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anytag.data.problems import Problems
from anytag.data.sources.voc import parse_annotation, read_voc

#: as VOC2012 writes it: parts of an object have names too
ANNOTATION = """<?xml version="1.0"?>
<annotation>
  <folder>VOC2012</folder><filename>{name}</filename>
  <source><database>The VOC2007 Database</database><name>no tag</name></source>
  <size><width>500</width><height>375</height><depth>3</depth></size>
  <object><name>person</name><bndbox><xmin>1</xmin></bndbox>
    <part><name>head</name></part></object>
  <object><name>dining&#x20;table</name><difficult>1</difficult></object>
  <object><name>person</name></object>
</annotation>
"""


def test_the_published_layout(tmp_path: Path) -> None:
    root = tmp_path / "VOC2012"
    for folder in ("Annotations", "JPEGImages", "ImageSets"):
        (root / folder).mkdir(parents=True)
    (root / "Annotations" / "1.xml").write_text(ANNOTATION.format(name="1.jpg"))
    (root / "Annotations" / "2.xml").write_text("<annotation><filename>2.jpg</filename>")
    (root / "Annotations" / "3.xml").write_text("<x/>")
    problems = Problems()
    (record,) = read_voc(root, problems)
    assert record.image == str(root / "JPEGImages" / "1.jpg")
    assert (record.tags, record.source) == (("person", "dining table"), "VOC2012")
    assert problems.counts == {"malformed": 2}
    (record,) = read_voc(root / "Annotations", Problems(), images=tmp_path)
    assert record.image == str(tmp_path / "1.jpg")


@pytest.mark.parametrize(
    "name", ["", "1", "C:\\photos\\renamed.png", "/home/x/1.jpg", "../../1.jpg"]
)
def test_beside_the_pictures(tmp_path: Path, name: str) -> None:
    (tmp_path / "1.xml").write_text(ANNOTATION.format(name=name))
    (tmp_path / "1.jpg").touch()
    (record,) = read_voc(tmp_path, Problems())
    assert record.image == str(tmp_path / "1.jpg")


@pytest.mark.parametrize(
    "head",
    [
        '<!DOCTYPE annotation [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>',
        '<!DOCTYPE annotation SYSTEM "http://x.org/a.dtd">',
        '<!DOCTYPE annotation [<!ENTITY x SYSTEM "file:///etc/passwd">]>',
    ],
)
def test_entities_and_document_types_are_refused(tmp_path: Path, head: str) -> None:
    text = head + "<annotation><object><name>cat</name></object></annotation>"
    (tmp_path / "1.xml").write_text(text)
    problems = Problems()
    assert not list(read_voc(tmp_path, problems))
    assert "document type or an entity" in problems.examples[0].message


@settings(deadline=None)
@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_other_bytes_are_no_annotation(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"no XML|no annotation|document type"):
        parse_annotation(content)
