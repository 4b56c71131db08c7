"""XMP: merged, never replaced; taken back exactly; read by exiftool; images untouched."""

from __future__ import annotations

import errno
import io
import json
import os
import shutil
import subprocess
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path
from xml.sax.saxutils import escape

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, PngImagePlugin

from anytag.errors import AnytagError, MetadataError, OutputError, UsageError
from anytag.inference.results import Tag
from anytag.inference.xmp import apply, plan_sidecars, plan_untag, untag, write_tags
from anytag.inference.xmp_containers import get_packet, put_packet
from anytag.inference.xmp_record import keyword
from anytag.inference.xmp_tree import parse_rdf

needs_exiftool = pytest.mark.skipif(
    shutil.which("exiftool") is None, reason="exiftool is not installed (.ci/run installs it)"
)

# As Lightroom writes it: attributes, several lists, padding in front of the end of the packet.
LIGHTROOM = """<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="Adobe XMP Core 7.0-c000 1.000000">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about=""
    xmlns:xmp="http://ns.adobe.com/xap/1.0/"
    xmlns:crs="http://ns.adobe.com/camera-raw-settings/1.0/"
    xmlns:dc="http://purl.org/dc/elements/1.1/"
    xmlns:lr="http://ns.adobe.com/lightroom/1.0/"
   xmp:Rating="4"
   crs:Exposure2012="+0.35"
   dc:format="image/jpeg">
   <crs:ToneCurvePV2012>
    <rdf:Seq>
     <rdf:li>0, 0</rdf:li>
     <rdf:li>255, 255</rdf:li>
    </rdf:Seq>
   </crs:ToneCurvePV2012>
   <dc:subject>
    <rdf:Bag>
     <rdf:li>Holiday</rdf:li>
     <rdf:li>Dog</rdf:li>
    </rdf:Bag>
   </dc:subject>
   <lr:hierarchicalSubject>
    <rdf:Bag>
     <rdf:li>Places|Italy</rdf:li>
    </rdf:Bag>
   </lr:hierarchicalSubject>
   <dc:title><rdf:Alt><rdf:li xml:lang="x-default">Sea &amp; land</rdf:li></rdf:Alt></dc:title>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
"""
# As darktable writes it: XML declaration, rdf:Seq for keywords, a history of structures.
DARKTABLE = """<?xml version="1.0" encoding="UTF-8"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="XMP Core 4.4.0-Exiv2">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about=""
    xmlns:darktable="http://darktable.sf.net/"
    xmlns:dc="http://purl.org/dc/elements/1.1/"
   darktable:xmp_version="5"
   darktable:history_end="1">
   <darktable:history>
    <rdf:Seq>
     <rdf:li
      darktable:num="0"
      darktable:operation="exposure"
      darktable:params="00000000000000bf"/>
    </rdf:Seq>
   </darktable:history>
   <dc:subject>
    <rdf:Seq>
     <rdf:li>darktable</rdf:li>
    </rdf:Seq>
   </dc:subject>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
"""
# As digiKam writes it, and with all that may stand in XML: comments, instructions, CRLF, CDATA.
DIGIKAM = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<!-- before --><?keep this?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about='uuid:1' xmlns:mine="urn:mine:" mine:a='it&apos;s &gt; "2"&#10;x'/>
<rdf:Description rdf:about='uuid:1' xmlns:digiKam="http://www.digikam.org/ns/1.0/">
<digiKam:TagsList><rdf:Seq><rdf:li>People/Ann</rdf:li><!-- in --></rdf:Seq></digiKam:TagsList>
<mine:note xmlns:mine="urn:mine:" rdf:parseType="Resource">
<mine:b><![CDATA[<&>]]></mine:b></mine:note>
</rdf:Description>
</rdf:RDF>
</x:xmpmeta>
<?xpacket end="w"?>   """.replace("\n", "\r\n")
FOREIGN_PREFIXES = """<RDF xmlns="http://www.w3.org/1999/02/22-rdf-syntax-ns#"
 xmlns:r="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><Description r:about=""
 xmlns:dublin="http://purl.org/dc/elements/1.1/"><dublin:subject><Bag><li>a</li></Bag></dublin:subject>
</Description></RDF>"""
EMPTY_RDF = """<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF
 xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"/></x:xmpmeta>"""
SAMPLES = {
    "lightroom": LIGHTROOM,
    "darktable": DARKTABLE,
    "digikam": DIGIKAM,
    "foreign prefixes": FOREIGN_PREFIXES,
    "byte order mark": "\ufeff" + DARKTABLE,
}


def tag(name: str, *parents: str, score: float = 0.9, threshold: float = 0.5) -> Tag:
    return Tag(name=name, score=score, threshold=threshold, id=7, kind="object", parents=parents)


TAGS = (tag("golden retriever", "dog", "animal"), tag("beach", score=0.6))


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "a.jpg"
    Image.new("RGB", (16, 16), "red").save(path)
    return path


def exiftool(path: Path) -> dict[str, object]:
    """Tags by "Group:Name", as it reads them without a warning."""
    command = ["exiftool", "-json", "-G1", "-struct", "-a", "-charset", "filename=utf8", str(path)]
    done = subprocess.run(command, capture_output=True, check=True, timeout=60)
    found = json.loads(done.stdout)[0]
    assert not any("Warning" in key for key in found), found
    return dict(found)


def sidecar(subjects: list[str], extra: str = "") -> str:
    items = "".join(f"<rdf:li>{escape(s)}</rdf:li>" for s in subjects)
    return f"""<x:xmpmeta xmlns:x="adobe:ns:meta/">
<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/">
{extra}<dc:subject><rdf:Bag>{items}</rdf:Bag></dc:subject></rdf:Description>
</rdf:RDF></x:xmpmeta>"""


# --- what is written -----------------------------------------------------------------------------


@needs_exiftool
def test_new_sidecar_is_read_by_exiftool(photo: Path) -> None:
    (change,) = write_tags(photo, TAGS, model="nano")
    assert change.path == photo.with_suffix(".xmp")
    assert (change.before, change.embedded, change.removed["dc:subject"]) == (None, False, ())
    found = exiftool(change.path)
    assert found["XMP-dc:Subject"] == ["golden retriever", "dog", "animal", "beach"]
    assert found["XMP-lr:HierarchicalSubject"] == ["animal|dog|golden retriever", "beach"]
    assert found["XMP-digiKam:TagsList"] == ["animal/dog/golden retriever", "beach"]
    assert found["XMP-anytag:Model"] == "nano"
    assert found["XMP-anytag:Tags"] == [
        {"Name": "golden retriever", "Score": 0.9, "Threshold": 0.5, "Id": 7},
        {"Name": "beach", "Score": 0.6, "Threshold": 0.5, "Id": 7},
    ]


@needs_exiftool
def test_undo_works_after_exiftool_has_rewritten_the_file(photo: Path) -> None:
    (change,) = write_tags(photo, TAGS, model="nano")
    command = ["exiftool", "-q", "-overwrite_original", "-subject+=mine", "-rating=3"]
    subprocess.run([*command, str(change.path)], check=True, timeout=60)
    assert write_tags(photo, TAGS, model="nano") == []
    untag(photo)
    found = exiftool(change.path)
    assert (found["XMP-dc:Subject"], found["XMP-xmp:Rating"]) == (["mine"], 3)
    assert not [key for key in found if "anytag" in key or "TagsList" in key]


@needs_exiftool
@pytest.mark.parametrize("name", ["lightroom", "darktable", "digikam"])
def test_exiftool_reads_what_was_merged(photo: Path, name: str) -> None:
    path = photo.with_suffix(".xmp")
    path.write_bytes(SAMPLES[name].encode())
    before = exiftool(path)
    write_tags(photo, TAGS, model="nano")
    after = exiftool(path)
    for key, value in before.items():
        if key.startswith("XMP") and key not in ("XMP-dc:Subject", "XMP-lr:HierarchicalSubject"):
            assert after[key] == value or key == "XMP-digiKam:TagsList"
    assert set(after["XMP-dc:Subject"]) >= {"golden retriever", "beach", "animal"}  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("dog", "dog"),
        ("black/white, film|x;y\\z", "black white film x y z"),
        ("two\nlines\t\x00 \ud800\uffff", "two lines"),
        ("e\u0301", "é"),
        ("家族 👨‍👩‍👧", "家族 👨‍👩‍👧"),
        (" , ", ""),
    ],
)
def test_keyword(name: str, expected: str) -> None:
    assert keyword(name) == expected


def test_a_parent_that_repeats_a_name_is_written_once(photo: Path) -> None:
    (change,) = write_tags(
        photo, [tag("Dog", "dog", "animal", "dog"), tag(","), tag("DOG")], model="m"
    )
    assert change.added["lr:hierarchicalSubject"] == ("animal|Dog",)
    assert change.added["dc:subject"] == ("Dog", "animal")


# --- merge and undo ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SAMPLES)
def test_existing_sidecar_is_merged_and_given_back_byte_for_byte(photo: Path, name: str) -> None:
    path = photo.with_suffix(".xmp")
    path.write_bytes(SAMPLES[name].encode())
    write_tags(photo, TAGS, model="nano")
    written = path.read_bytes()
    assert written != SAMPLES[name].encode()
    kept = iter(written.decode())
    assert all(char in kept for char in SAMPLES[name])  # only insertions
    write_tags(photo, [tag("cat")], model="other")
    assert b"golden" not in path.read_bytes()
    untag(photo)
    assert path.read_bytes() == SAMPLES[name].encode()


@pytest.mark.parametrize("codec", ["utf-16", "utf-16-be", "utf-8-sig", "iso-8859-1"])
def test_encoding_of_the_file_is_kept(photo: Path, codec: str) -> None:
    path = photo.with_suffix(".xmp")
    text = f'<?xml version="1.0" encoding="{codec.removesuffix("-be").removesuffix("-sig")}"?>'
    mark = "\ufeff" if codec.endswith("-be") else ""
    before = (mark + text + sidecar(["Käse"])).encode(codec)
    path.write_bytes(before)
    write_tags(photo, [tag("Brötchen"), tag("日本")], model="nano")
    assert "Brötchen".encode(codec.removesuffix("-sig"))[2:] in path.read_bytes()
    assert write_tags(photo, [tag("Brötchen"), tag("日本")], model="nano") == []
    untag(photo)
    assert path.read_bytes() == before


def test_second_run_changes_nothing_and_does_not_rewrite(photo: Path) -> None:
    path = photo.with_suffix(".xmp")
    write_tags(photo, TAGS, model="nano")
    os.utime(path, (1, 1))
    data = path.read_bytes()
    noisy = [tag("golden retriever", "dog", "animal", score=0.9004), tag("beach", score=0.5996)]
    assert write_tags(photo, TAGS, model="nano") == []
    assert write_tags(photo, noisy, model="nano") == []
    assert (path.read_bytes(), path.stat().st_mtime) == (data, 1)
    assert len(write_tags(photo, TAGS, model="larger")) == 1


def test_new_model_replaces_our_keywords_and_spares_the_users(photo: Path) -> None:
    path = photo.with_suffix(".xmp")
    path.write_text(sidecar(["Dog", "Holiday"]))
    write_tags(photo, [tag("dog", "animal"), tag("cat")], model="a")
    (change,) = write_tags(photo, [tag("beach"), tag("cat")], model="b")
    assert change.added["dc:subject"] == ("beach",)
    assert change.removed["dc:subject"] == ("animal",)  # "dog" was never ours: the user had "Dog"
    assert change.lines()[:2] == ["- dc:subject animal", "- lr:hierarchicalSubject animal|dog"]
    assert "<rdf:li>Dog</rdf:li><rdf:li>Holiday</rdf:li>" in path.read_text()


def test_what_the_user_removed_stays_removed(photo: Path) -> None:
    path = photo.with_suffix(".xmp")
    write_tags(photo, TAGS, model="nano")
    path.write_text(path.read_text().replace("<rdf:li>dog</rdf:li>", "", 1))
    assert len(write_tags(photo, TAGS, model="nano")) == 1  # noted
    assert write_tags(photo, TAGS, model="nano") == []
    (change,) = plan_untag(photo)
    assert change.removed["dc:subject"] == ("golden retriever", "animal", "beach")
    text = path.read_text()  # the user wants it after all: now it is the user's
    path.write_text(
        text.replace("<rdf:li>animal</rdf:li>", "<rdf:li>dog</rdf:li><rdf:li>animal</rdf:li>", 1)
    )
    untag(photo)
    assert "<rdf:li>dog</rdf:li>" in path.read_text()
    assert "retriever" not in path.read_text()


def test_file_we_created_goes_unless_something_else_is_in_it(photo: Path) -> None:
    (made,) = write_tags(photo, TAGS, model="nano")
    (change,) = untag(photo)
    assert change.after is None
    assert not made.path.exists()
    assert untag(photo) == []
    write_tags(photo, TAGS, model="nano")
    text = made.path.read_text()
    rating = (
        '<rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:Rating="3"/>'
    )
    made.path.write_text(text.replace(" </rdf:RDF>", f" {rating}</rdf:RDF>"))
    untag(photo)
    assert 'xmp:Rating="3"' in made.path.read_text()
    assert "anytag/" not in made.path.read_text()


def test_no_tags(photo: Path) -> None:
    assert write_tags(photo, [], model="nano") == []
    write_tags(photo, TAGS, model="nano")
    (change,) = write_tags(photo, [], model="nano")
    assert change.after is None
    assert not change.path.exists()


@pytest.mark.parametrize(
    "old",
    [
        "<dc:subject>alone</dc:subject>",
        "<dc:subject/>",
        "<dc:subject><rdf:Bag/></dc:subject>",
        "<dc:subject><rdf:Bag></rdf:Bag></dc:subject>",
        "<dc:subject><rdf:Bag><!-- none --></rdf:Bag></dc:subject>",
        "<dc:subject><rdf:Alt><rdf:li xml:lang='x-default'>alone</rdf:li></rdf:Alt></dc:subject>",
        "<dc:subject><rdf:Bag><rdf:li rdf:parseType='Resource'><rdf:value>alone</rdf:value>"
        "<dc:type>q</dc:type></rdf:li></rdf:Bag></dc:subject>",
    ],
)
def test_unusual_forms_of_a_list(photo: Path, old: str) -> None:
    path = photo.with_suffix(".xmp")
    empty = sidecar([]).replace(
        "<dc:subject><rdf:Bag></rdf:Bag></dc:subject>", old + "<dc:x>y</dc:x>"
    )
    path.write_text(empty)
    write_tags(photo, [tag("dog")], model="nano")
    assert ("alone" in path.read_text()) == ("alone" in old)
    assert write_tags(photo, [tag("dog")], model="nano") == []
    untag(photo)
    text = path.read_text()
    assert "dog" not in text
    assert text.count("alone") == old.count("alone")
    assert text.count("none") == old.count("none")
    assert "<dc:x>y</dc:x>" in text


def test_attribute_form_of_a_keyword_becomes_a_list(photo: Path) -> None:
    path = photo.with_suffix(".xmp")
    path.write_text(sidecar([]).replace('rdf:about=""', 'rdf:about="" dc:subject="alone"'))
    (change,) = write_tags(photo, [tag("dog")], model="nano")
    assert change.added["dc:subject"] == ("dog",)
    untag(photo)
    assert "alone" in path.read_text()
    assert "dog" not in path.read_text()


def test_rdf_without_content(photo: Path) -> None:
    path = photo.with_suffix(".xmp")
    path.write_text(EMPTY_RDF)
    write_tags(photo, TAGS, model="nano")
    untag(photo)
    assert path.exists()  # it was there before us
    assert parse_rdf(path.read_bytes()).children == []


words = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1, max_size=8)
names = st.one_of(st.sampled_from(["dog", "Dog", "cat", "animal", "a&b", "]]>", "é"]), words)
tags_of = st.lists(
    st.builds(
        lambda name, parents, score: tag(name, *parents, score=score),
        names,
        st.lists(names, max_size=2),
        st.floats(0, 1),
    ),
    max_size=5,
)


def subjects(path: Path) -> list[str]:
    rdf = parse_rdf(path.read_bytes())
    nodes = [n for d in rdf.children for n in d.children if n.name.endswith("/1.1/subject")]
    return [item.text for node in nodes for box in node.children for item in box.children]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(names.filter(lambda w: "\uffff" not in w and "\ufffe" not in w), max_size=5),
    tags_of,
    tags_of,
)
def test_any_keywords_and_tags(user: list[str], first: list[Tag], second: list[Tag]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        photo = Path(folder) / "a.jpg"
        photo.write_bytes(b"")
        path = photo.with_suffix(".xmp")
        path.write_bytes(sidecar(user, "<dc:source>keep</dc:source>\n").encode())
        before = path.read_bytes()
        user = subjects(path)
        write_tags(photo, first, model="a")
        once = path.read_bytes()
        assert write_tags(photo, first, model="a") == []
        assert path.read_bytes() == once
        assert subjects(path)[: len(user)] == user
        folded = [keyword(word).casefold() for word in subjects(path)]
        assert {keyword(t.name).casefold() for t in first} - {""} <= set(folded)
        write_tags(photo, second, model="b")
        untag(photo)
        assert subjects(path) == user
        assert b"<dc:source>keep</dc:source>" in path.read_bytes()
        if user:  # else the user's empty list may have gone with our last keyword
            assert path.read_bytes() == before
            write_tags(photo, first, model="a")
            assert path.read_bytes() == once


# --- which file ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("beside", "naming", "expected"),
    [
        ([], "auto", ["a.xmp"]),
        ([], "stem", ["a.xmp"]),
        ([], "full", ["a.jpg.xmp"]),
        (["a.cr2"], "auto", ["a.jpg.xmp"]),
        (["a.PNG"], "auto", ["a.jpg.xmp"]),
        (["a.cr2"], "stem", ["a.xmp"]),
        (["a.txt", "ab.png"], "auto", ["a.xmp"]),
        (["a.jpg.xmp"], "auto", ["a.jpg.xmp"]),
        (["a.XMP"], "auto", ["a.XMP"]),
        (["a.xmp"], "full", ["a.xmp"]),
        (["a.xmp", "a.jpg.xmp"], "auto", ["a.jpg.xmp", "a.xmp"]),
    ],
)
def test_which_sidecar(photo: Path, beside: list[str], naming: str, expected: list[str]) -> None:
    for name in beside:
        photo.with_name(name).write_text(LIGHTROOM if name.lower().endswith("xmp") else "")
    changes = write_tags(photo, TAGS, model="nano", naming=naming)  # type: ignore[arg-type]
    assert sorted(change.path.name for change in changes) == expected
    assert all("golden" in photo.with_name(name).read_text() for name in expected)


def test_images_of_one_stem_do_not_fight_over_a_sidecar(photo: Path) -> None:
    other = photo.with_suffix(".png")
    shutil.copy(photo, other)
    photo.with_suffix(".xmp").write_text(LIGHTROOM)
    write_tags(photo, TAGS, model="nano")
    (change,) = write_tags(other, [tag("cat")], model="nano")
    assert change.path.name == "a.png.xmp"
    assert write_tags(photo, TAGS, model="nano") == []
    assert [c.path.name for c in untag(other)] == ["a.png.xmp"]
    with pytest.raises(MetadataError, match="another image"):
        write_tags(other, [tag("cat")], model="nano", naming="stem")


def test_a_sidecar_can_be_named_itself(photo: Path) -> None:
    (made,) = write_tags(photo, TAGS, model="nano")
    assert [change.path for change in untag(made.path)] == [made.path]


def test_image_is_untouched_by_sidecars(photo: Path) -> None:
    os.utime(photo, ns=(123, 456))
    data = photo.read_bytes()
    write_tags(photo, TAGS, model="nano")
    untag(photo)
    assert (photo.read_bytes(), photo.stat().st_mtime_ns) == (data, 456)


def test_dry_run_writes_nothing(photo: Path) -> None:
    plan = write_tags(photo, TAGS, model="nano", dry_run=True)
    assert [p.name for p in photo.parent.iterdir()] == ["a.jpg"]
    assert plan == plan_sidecars(photo, TAGS, model="nano")
    apply(plan)
    assert plan[0].path.read_text(encoding="utf-8") == plan[0].after
    assert len(untag(photo, dry_run=True)) == 1
    assert plan[0].path.exists()


# --- what can go wrong ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not valid XML"),
        (b"<x:xmpmeta xmlns:x='adobe:ns:meta/'>", "not valid XML"),
        (b"<a b='1' b='2'/>", "not valid XML"),
        (b"\xff\xff<a/>", "not valid utf-8"),
        (b"<?xml version='1.0' encoding='martian'?><a/>", "not valid martian"),
        (b"<html/>", "no rdf:RDF"),
        (b"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", "document type"),
        (
            sidecar([]).replace("<rdf:Bag></rdf:Bag>", "<a/><b/>").encode(),
            "dc:subject in an unusual form",
        ),
    ],
)
def test_damaged_sidecar_is_named_and_left_alone(photo: Path, data: bytes, message: str) -> None:
    path = photo.with_suffix(".xmp")
    path.write_bytes(data)
    with pytest.raises(MetadataError, match=message) as caught:
        write_tags(photo, TAGS, model="nano")
    assert str(path) in str(caught.value)
    assert path.read_bytes() == data


def test_change_by_another_program_is_noticed(photo: Path) -> None:
    plan = plan_sidecars(photo, TAGS, model="nano")
    plan[0].path.write_text(LIGHTROOM)
    with pytest.raises(MetadataError, match="changed by another program"):
        apply(plan)
    assert plan[0].path.read_text() == LIGHTROOM


def test_wrong_arguments(photo: Path) -> None:
    with pytest.raises(MetadataError, match="no such image"):
        write_tags(photo.with_name("b.jpg"), TAGS, model="nano")
    with pytest.raises(UsageError, match="naming"):
        write_tags(photo, TAGS, model="nano", naming="both")  # type: ignore[arg-type]


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write anywhere")
@pytest.mark.parametrize("target", ["folder", "sidecar"])
def test_no_permission(photo: Path, target: str) -> None:
    if target == "sidecar":
        photo.with_suffix(".xmp").write_text(LIGHTROOM)
        photo.with_suffix(".xmp").chmod(0o444)
    else:
        photo.parent.chmod(0o555)
    try:
        with pytest.raises(MetadataError, match=r"a\.xmp"):
            write_tags(photo, TAGS, model="nano")
    finally:
        photo.parent.chmod(0o755)


@pytest.mark.parametrize("embed", [False, True])
@pytest.mark.parametrize(
    ("number", "error"), [(errno.EACCES, MetadataError), (errno.ENOSPC, OutputError)]
)
def test_failure_to_write(
    photo: Path,
    monkeypatch: pytest.MonkeyPatch,
    embed: bool,
    number: int,
    error: type[AnytagError],
) -> None:
    def refuse(path: Path, *_: object) -> None:
        raise OSError(number, os.strerror(number), str(path))

    data = photo.read_bytes()
    monkeypatch.setattr("anytag.files._open", refuse)
    with pytest.raises(error, match=r"a\.(xmp|jpg)"):
        write_tags(photo, TAGS, model="nano", embed=embed)
    assert photo.read_bytes() == data
    assert list(photo.parent.iterdir()) == [photo]


def test_name_that_is_no_text(photo: Path) -> None:
    try:
        photo = photo.rename(photo.with_name(os.fsdecode(b"caf\xe9.jpg")))
    except OSError:
        pytest.skip("this file system only takes UTF-8 names")
    (change,) = write_tags(photo, TAGS, model="nano")
    assert os.fsencode(change.path).endswith(b"caf\xe9.xmp")
    assert write_tags(photo, TAGS, model="nano") == []
    change.path.write_text("broken")
    with pytest.raises(MetadataError) as caught:
        untag(photo)
    str(caught.value).encode()  # printable


# --- embedding -----------------------------------------------------------------------------------


def picture(kind: str) -> bytes:
    """A picture with EXIF and a colour profile, where the format takes them."""
    image = Image.linear_gradient("L").resize((20, 12)).convert("RGB")
    exif = Image.Exif()
    exif[0x010E] = "a description"
    more: dict[str, object] = {
        "exif": exif,
        "icc_profile": ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
    }
    if kind == "png":
        info = PngImagePlugin.PngInfo()
        info.add_text("Comment", "hello")
        more["pnginfo"] = info
    if kind == "webp alpha":
        image.putalpha(100)
    if kind.startswith("webp"):
        more = {} if kind != "webp" else more
        more["lossless"] = kind != "webp lossy"
    out = io.BytesIO()
    image.save(out, kind.split()[0], **more)
    return out.getvalue()


KINDS = ["jpeg", "png", "webp", "webp lossy", "webp lossless", "webp alpha"]


@pytest.fixture(params=KINDS)
def embeddable(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / f"a.{request.param.split()[0]}"
    path.write_bytes(picture(request.param))
    os.utime(path, ns=(10**18 + 123, 10**18 + 456))
    return path


def facts(path: Path) -> tuple[object, ...]:
    with Image.open(path) as image:
        exif, profile = dict(image.getexif()), image.info.get("icc_profile")
        return image.mode, image.tobytes(), exif, profile, image.info.get("Comment")


def test_embedding_keeps_all_else_and_is_undone(embeddable: Path) -> None:
    data, seen = embeddable.read_bytes(), facts(embeddable)
    (change,) = write_tags(embeddable, TAGS, model="nano", embed=True)
    assert (change.path, change.embedded) == (embeddable, True)
    assert facts(embeddable) == seen
    assert embeddable.stat().st_mtime_ns == 10**18 + 456
    assert list(embeddable.parent.iterdir()) == [embeddable]
    with Image.open(embeddable) as image:
        assert "golden retriever" in str(image.info.get("xmp") or image.info["XML:com.adobe.xmp"])
    assert write_tags(embeddable, TAGS, model="nano", embed=True) == []
    write_tags(embeddable, [tag("cat")], model="other", embed=True)
    assert untag(embeddable, embed=False) == []
    untag(embeddable)
    assert embeddable.read_bytes() == data
    assert embeddable.stat().st_mtime_ns == 10**18 + 456


def test_embedded_packet_of_others_is_merged(embeddable: Path) -> None:
    embeddable.write_bytes(put_packet(embeddable.read_bytes(), DIGIKAM.encode()))
    data = embeddable.read_bytes()
    write_tags(embeddable, TAGS, model="nano", embed=True)
    assert b"People/Ann" in (get_packet(embeddable.read_bytes()) or b"")
    untag(embeddable)
    assert embeddable.read_bytes() == data


@needs_exiftool
def test_exiftool_reads_embedded_tags(embeddable: Path) -> None:
    write_tags(embeddable, TAGS, model="nano", embed=True)
    found = exiftool(embeddable)
    assert found["XMP-dc:Subject"] == ["golden retriever", "dog", "animal", "beach"]
    command = ["exiftool", "-q", "-overwrite_original", "-subject+=mine", str(embeddable)]
    subprocess.run(command, check=True, timeout=60)
    untag(embeddable)
    assert exiftool(embeddable)["XMP-dc:Subject"] == ["mine"]


def test_embedding_also_updates_sidecars_that_exist(photo: Path) -> None:
    photo.with_name("a.jpg.xmp").write_text(DARKTABLE)
    changes = write_tags(photo, TAGS, model="nano", embed=True)
    assert [change.path.name for change in changes] == ["a.jpg.xmp", "a.jpg"]


def test_other_types_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.bmp"
    Image.new("RGB", (2, 2)).save(path)
    with pytest.raises(MetadataError, match=r"a\.bmp: only JPEG, PNG and WebP .* sidecar"):
        write_tags(path, TAGS, model="nano", embed=True)
    assert untag(path) == []


def test_more_than_a_jpeg_segment_holds(photo: Path) -> None:
    data = photo.read_bytes()
    with pytest.raises(MetadataError, match="64 KB"):
        write_tags(photo, [tag(f"tag {n}" + "x" * 100) for n in range(300)], model="m", embed=True)
    assert photo.read_bytes() == data
    padded = LIGHTROOM + " " * 60_000 + '\n<?xpacket end="w"?>'
    photo.write_bytes(put_packet(data, padded.encode()))
    write_tags(photo, [tag(f"tag {n}") for n in range(30)], model="m", embed=True)  # eats padding
    assert b"tag 29" in photo.read_bytes()


def _after_head(extra: bytes) -> Callable[[bytes], bytes]:
    return lambda data: data[:2] + extra + data[2:]


def _app(marker: int, payload: bytes) -> bytes:
    return bytes([0xFF, marker]) + (len(payload) + 2).to_bytes(2, "big") + payload


XMP_SEGMENT = _app(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + LIGHTROOM.encode())


@pytest.mark.parametrize(
    ("kind", "damage", "message"),
    [
        ("jpeg", lambda data: data[:30], "damaged JPEG"),
        ("jpeg", _after_head(_app(0xE1, b"http://ns.adobe.com/xmp/extension/\0")), "extended XMP"),
        ("jpeg", _after_head(XMP_SEGMENT * 2), "unusual place"),
        ("jpeg", _after_head(_app(0xE2, b"MPF\0") + XMP_SEGMENT), "unusual place"),
        ("png", lambda data: data[:40], "damaged"),
        ("png", lambda data: data[:8], "damaged PNG"),
        ("webp", lambda data: data[:25], "damaged"),
        ("webp lossy", lambda data: data[:23] + b"?" + data[24:], "damaged WebP"),
    ],
)
def test_damaged_images_are_named_and_left_alone(
    tmp_path: Path, kind: str, damage: Callable[[bytes], bytes], message: str
) -> None:
    path = tmp_path / "a.img"
    path.write_bytes(damage(picture(kind)))
    data = path.read_bytes()
    with pytest.raises(MetadataError, match=message) as caught:
        write_tags(path, TAGS, model="nano", embed=True)
    assert str(path) in str(caught.value)
    assert path.read_bytes() == data
    assert untag(path) == []  # nothing of ours: not even looked at


def test_jpeg_with_fill_bytes_and_data_behind_the_image(photo: Path) -> None:
    data = _after_head(b"\xff\xff\xff" + _app(0xFE, b"a comment"))(photo.read_bytes()) + b"motion"
    photo.write_bytes(data)
    write_tags(photo, TAGS, model="nano", embed=True)
    assert photo.read_bytes().endswith(b"motion")
    untag(photo)
    assert photo.read_bytes() == data


def test_compressed_packet_of_a_png(tmp_path: Path) -> None:
    body = b"iTXtXML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(LIGHTROOM.encode())
    chunk = (len(body) - 4).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")
    data = picture("png")
    path = tmp_path / "a.png"
    path.write_bytes(data[:33] + chunk + data[33:])
    write_tags(path, TAGS, model="nano", embed=True)
    untag(path)
    assert get_packet(path.read_bytes()) == LIGHTROOM.encode()
