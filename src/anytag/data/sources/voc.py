"""Pascal VOC (host.robots.ox.ac.uk/pascal/VOC): an XML file an image, its objects are the tags.

    <annotation><filename>1.jpg</filename><object><name>dog</name>...</object></annotation>

LabelImg and most labelling tools write the same beside the pictures. Document types and entities,
which XML files can harm with, are refused; so nothing but the text itself is ever read.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from xml.parsers import expat

from anytag.data.problems import Problems
from anytag.data.records import Record, unique
from anytag.data.sources.folders import is_image
from anytag.data.sources.paths import find_folder, walk
from anytag.data.text_files import clean_text

ANNOTATION_FOLDER = "Annotations"
_IMAGE_FOLDERS = ("JPEGImages", "images", "Images")
#: bytes; annotations have some thousand
_MAX_BYTES = 16 * 1024 * 1024
_FILENAME = ("annotation", "filename")
_NAME = ("annotation", "object", "name")


def read_voc(
    path: Path, problems: Problems, *, images: Path | None = None, source: str = ""
) -> Iterator[Record]:
    """The annotations of a folder and its subfolders.

    Args:
        path: the data set's folder, or the one of the XML files
        problems: gets what is wrong
        images: the folder of the pictures; if not given, ``JPEGImages`` near the annotations, or
            the annotation's own folder
        source: of the records; the folder's name if empty
    """
    for _, image, tags in read_annotations(path, problems, images=images):
        yield Record(image=str(image), tags=tags, source=source or path.name)


def read_annotations(
    path: Path, problems: Problems, *, images: Path | None = None
) -> Iterator[tuple[Path, Path, tuple[str, ...]]]:
    """Annotation file, picture and tags of each; arguments as of `read_voc`."""
    root = path / ANNOTATION_FOLDER if (path / ANNOTATION_FOLDER).is_dir() else path
    folder = images or find_folder([root.parent, root], _IMAGE_FOLDERS)
    for parent, names in walk(root, problems):
        for name in names:
            if not name.endswith(".xml"):
                continue
            file = parent / name
            try:
                filename, tags = parse_annotation(_read(file))
            except OSError as error:
                problems.add("unreadable", file, None, f"cannot be read: {error.strerror}")
                continue
            except ValueError as error:
                problems.add("malformed", file, None, str(error))
                continue
            cleaned = [clean_text(tag, file, None, problems) for tag in tags]
            yield file, _image_of(file, filename, folder or parent), unique(cleaned)


def parse_annotation(content: bytes) -> tuple[str, list[str]]:
    """Name of the picture's file ("" if it is not given) and names of the objects.

    Raises:
        ValueError: it is no such XML, or declares a document type or an entity
    """
    texts: dict[tuple[str, ...], list[str]] = {_FILENAME: [], _NAME: []}
    stack: list[str] = []
    pieces: list[str] = []

    def start(name: str, _: object) -> None:
        stack.append(name)
        pieces.clear()

    def end(_: str) -> None:
        if tuple(stack) in texts:
            texts[tuple(stack)].append("".join(pieces))
        stack.pop()
        pieces.clear()

    def refuse(*_: object) -> None:
        raise ValueError("declares a document type or an entity, which is not read")

    parser = expat.ParserCreate()
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = pieces.append
    parser.StartDoctypeDeclHandler = refuse
    parser.EntityDeclHandler = refuse
    parser.UnparsedEntityDeclHandler = refuse
    try:
        parser.Parse(content, True)
    except expat.ExpatError as error:
        raise ValueError(f"is no XML: {error}") from error
    if not texts[_FILENAME] and not texts[_NAME]:
        raise ValueError("is no annotation: it has neither a filename nor an object")
    return next(iter(texts[_FILENAME]), "").strip(), texts[_NAME]


def has_annotations(folder: Path, names: list[str]) -> bool:
    """Whether a folder with these files is a set of this kind."""
    if (folder / ANNOTATION_FOLDER).is_dir():
        folder = folder / ANNOTATION_FOLDER
        names = sorted(one.name for one in folder.iterdir())
    first = next((name for name in names if name.endswith(".xml")), None)
    if first is None:
        return False
    try:
        parse_annotation(_read(folder / first))
    except (OSError, ValueError):
        return False
    return True


def _read(file: Path) -> bytes:
    with file.open("rb") as handle:
        content = handle.read(_MAX_BYTES + 1)
    if len(content) > _MAX_BYTES:
        raise ValueError(f"has more than {_MAX_BYTES:,} bytes")
    return content


def _image_of(file: Path, filename: str, folder: Path) -> Path:
    """The picture that is named; the one of the annotation's own name where that is not there.

    Tools write absolute paths of other machines, names before a renaming, and no ending.
    """
    name = filename.replace("\\", "/").rpartition("/")[2]
    named = folder / (name or f"{file.stem}.jpg")
    if is_image(name) and named.is_file():
        return named
    for stem in (name, file.stem):
        for ending in (".jpg", ".png", ".jpeg", ".JPG"):
            if stem and (folder / (stem + ending)).is_file():
                return folder / (stem + ending)
    return named
