"""Folders of pictures: one for each class, or with tags in a text file beside each.

The whole folder is copied or linked, all but what changes. A picture of a wrong class is not in the
copy of that class; one of a missing class is in the copy of it, under ``NAME-CLASS.jpg`` where the
name is taken. A picture that loses its only class is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from anytag.data.problems import Problems
from anytag.data.sources.folders import TEXT_ENDINGS
from anytag.data.sources.paths import walk
from anytag.data.text_files import clean_text, decode_file
from anytag.engine.corrected_change import Change, copy_file, write_bytes
from anytag.errors import UsageError
from anytag.files import display_path
from anytag.labels.labelset import fold_name


def write_classes(
    path: Path, changes: Mapping[str, Change], output: Path, *, link: bool
) -> tuple[list[Path], list[str]]:
    """Write a folder for each class; returns it, and notes."""
    folders = {fold_name(one.name): one.name for one in sorted(path.iterdir()) if one.is_dir()}
    added: list[tuple[Path, str]] = []
    num_out = 0
    for file, inside in _files(path):
        change = changes.get(str(file))
        goes = change is not None and fold_name(inside.parts[0]) in change.remove
        if change is not None:
            added += [(inside, folders[fold_name(tag)]) for tag in change.add]
            num_out += goes and not change.add
        if not goes:
            copy_file(file, output / inside, link=link)
    for inside, folder in added:  # last, so that a picture's own name is never taken from it
        target = output / folder / Path(*inside.parts[1:])
        while target.exists():
            target = target.with_stem(f"{target.stem}-{inside.parts[0]}")
        copy_file(path / inside, target, link=link)
    notes = [f"pictures that are in no class now, left out: {num_out:,}"] if num_out else []
    return [output], notes


def write_tag_folder(
    path: Path, changes: Mapping[str, Change], output: Path, *, link: bool
) -> list[Path]:
    """Write pictures and texts; returns the folder.

    Raises:
        UsageError: a picture's tags are in a JSON file
    """
    texts = {}
    for image, change in changes.items():
        file = _text_of(Path(image))
        if file.suffix == ".json":
            raise UsageError(f"{display_path(file)}: tags in JSON files are not changed")
        texts[file] = change
    done = set()
    for file, inside in _files(path):
        if file not in texts:
            copy_file(file, output / inside, link=link)
            continue
        done.add(file)
        write_bytes(output / inside, _changed(file.read_bytes(), texts[file]))
    for file in texts.keys() - done:
        write_bytes(output / file.relative_to(path), _changed(b"", texts[file]))
    return [output]


def _text_of(image: Path) -> Path:
    """The file with the tags of a picture, as the reader looks for it."""
    names = [image.with_suffix(ending) for ending in (*TEXT_ENDINGS, ".json")]
    names += [image.with_name(image.name + ending) for ending in TEXT_ENDINGS]
    return next((one for one in names if one.is_file()), names[0])


def _changed(content: bytes, change: Change) -> bytes:
    text = decode_file(content)[0]
    tags = [clean_text(tag, "", None, Problems()) for tag in re.split("[,\n]", text)]
    end = "\n" if text.endswith("\n") else ""
    joint = "\n" if "\n" in text.strip() and "," not in text else ", "
    return (joint.join(change.apply(filter(None, tags))) + end).encode()


def _files(path: Path) -> Iterable[tuple[Path, Path]]:
    """Files of the set, and their places in it."""
    for folder, names in walk(path, Problems()):
        for name in names:
            file = folder / name
            if file.is_file():
                yield file, file.relative_to(path)
