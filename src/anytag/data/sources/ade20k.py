"""ADE20K (groups.csail.mit.edu/vision/datasets/ADE20K): the full sets of 2016 and 2021, and the
150 classes of SceneParsing (ADEChallengeData2016).

    2016  images/training/a/abbey/ADE_train_00000970.jpg, beside it ..._atr.txt, a line an object:
          instance # part level # occluded # class name # raw name # "attributes"
    2021  images/ADE/training/urban/street/ADE_train_00016869.jpg, beside it ....json:
          {"annotation": {"object": [{"name": "car, auto", "parts": {"part_level": 0}}]}}
    150   objectInfo150.txt (Idx, Ratio, Train, Val, Stuff, Name), annotations/training/*.png with a
          class index in every pixel (0: none of them), sceneCategories.txt

Of a name like "car, auto, automobile" the tag is the first. Parts of objects are left out unless
asked for. The scene, which is the name of the folder, is a tag too. The index files of the full
sets (``index_ade20k.mat``, ``.pkl``) say the same in a MATLAB file and a pickle, and are not read.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL.PngImagePlugin import PngImageFile

from anytag.data.images import DEFAULT_LIMITS
from anytag.data.problems import Problems
from anytag.data.records import Record, unique
from anytag.data.sources.paths import walk
from anytag.data.text_files import clean_text, decode_file, read_lines

CLASS_FILE = "objectInfo150.txt"
_SCENE_FILE = "sceneCategories.txt"
_SPLITS = ("training", "validation")
_ATTRIBUTES = "_atr.txt"
#: folders that say where a scene is and not what it is
_PLACES = ("indoor", "outdoor", "interior", "exterior")
_NO_SCENE = {"misc", "outliers", "unclassified", *_SPLITS}


def read_ade20k(
    path: Path, problems: Problems, *, parts: bool = False, source: str = "ade20k"
) -> Iterator[Record]:
    """The full set of 2016 or 2021: a folder with pictures and their annotations beside them.

    Args:
        path: any folder above the pictures
        problems: gets what is wrong
        parts: also take parts of objects ("door handle") for tags
        source: of the records
    """
    for folder, names in walk(path, problems):
        scene = scene_of(folder)
        for name in names:
            file = folder / name
            if name.endswith(_ATTRIBUTES):
                image = file.with_name(name.removesuffix(_ATTRIBUTES) + ".jpg")
                tags = _names_2016(file, problems, parts)
            elif name.startswith("ADE_") and name.endswith(".json"):
                image = file.with_suffix(".jpg")
                tags = _names_2021(file, problems, parts)
            else:
                continue
            yield Record(image=str(image), tags=unique([*tags, *scene]), source=source)


def scene_of(folder: Path) -> list[str]:
    """Tags of the folder of a picture.

    >>> scene_of(Path("images/training/c/church/indoor")), scene_of(Path("training/urban/street"))
    (['church', 'indoor'], ['street'])
    """
    words = folder.parts[-2:] if folder.name in _PLACES else folder.parts[-1:]
    return [word.replace("_", " ") for word in words if word not in _NO_SCENE]


def first_name(names: str) -> str:
    """The first of several names of a class.

    >>> first_name("door;double door"), first_name("car, auto, automobile")
    ('door', 'car')
    """
    return re.split("[,;]", names)[0].strip()


def _names_2016(file: Path, problems: Problems, parts: bool) -> list[str]:
    tags = []
    for line in read_lines(file, problems):
        columns = [column.strip() for column in line.text.split("#")]
        if columns == [""]:
            continue
        if len(columns) < 6 or not columns[1].isdigit():
            problems.add("malformed", file, line.number, "6 columns between # expected")
        elif parts or columns[1] == "0":
            tags.append(first_name(clean_text(columns[3], file, line.number, problems)))
    return tags


def _names_2021(file: Path, problems: Problems, parts: bool) -> list[str]:
    try:
        text, _ = decode_file(file.read_bytes())  # these files are partly Latin-1 by design
        tags = []
        for item in json.loads(text)["annotation"]["object"]:
            if parts or int(item["parts"]["part_level"]) == 0:
                tags.append(first_name(clean_text(item["name"], file, None, problems)))
        return tags
    except OSError as error:
        problems.add("unreadable", file, None, f"cannot be read: {error.strerror}")
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        what = f"no {error}" if isinstance(error, KeyError) else str(error)
        problems.add("malformed", file, None, f"is no ADE20K annotation: {what}")
    return []


def read_ade20k_150(
    path: Path,
    problems: Problems,
    *,
    min_pixels: int = 1,
    source: str = "ade20k-150",
    splits: Sequence[str] = _SPLITS,
    with_scenes: bool = True,
) -> Iterator[Record]:
    """SceneParsing: the classes that the masks hold, and the scene.

    Args:
        path: ``ADEChallengeData2016``
        problems: gets what is wrong
        min_pixels: of a class with fewer, the picture has not the tag
        source: of the records
        splits: which of "training" and "validation"
        with_scenes: give the scene as a tag; some are named as a class ("bridge")
    """
    names = class_names(path / CLASS_FILE, problems)
    scenes = _scenes(path / _SCENE_FILE, problems) if with_scenes else {}
    for split in splits:
        for mask in sorted((path / "annotations" / split).glob("*.png")):
            image = path / "images" / split / f"{mask.stem}.jpg"
            counts = _pixel_counts(mask, problems)
            tags = []
            for index in np.flatnonzero(counts >= min_pixels).tolist():
                if index in names:
                    tags.append(names[index])
                elif index != 0:
                    problems.add("malformed", mask, None, f"class {index} is not in {CLASS_FILE}")
            tags += [scenes[mask.stem]] if mask.stem in scenes else []
            yield Record(image=str(image), tags=unique(tags), source=source)


def class_names(file: Path, problems: Problems) -> dict[int, str]:
    """The first name of each class of ``objectInfo150.txt``, by its number."""
    names = {}
    for line in read_lines(file, problems):
        columns = re.split(r"\t|\s{2,}", line.text.strip())
        if columns[0].strip().isdigit():
            name = clean_text(columns[-1], file, line.number, problems)
            names[int(columns[0])] = first_name(name)
        elif line.number > 1 and line.text.strip():
            problems.add("malformed", file, line.number, "does not begin with the class index")
    return names


def _scenes(file: Path, problems: Problems) -> dict[str, str]:
    scenes = {}
    for line in read_lines(file, problems) if file.is_file() else ():
        image, _, scene = line.text.strip().partition(" ")
        if scene and scene not in _NO_SCENE:
            scenes[image] = scene.strip().replace("_", " ")
    return scenes


def _pixel_counts(mask: Path, problems: Problems) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Pixels of each index, int64 [256]."""
    try:
        image = PngImageFile(io.BytesIO(mask.read_bytes()))
        if image.mode not in ("L", "P"):
            raise ValueError(f"8 bits a pixel expected, found mode {image.mode}")
        if image.width * image.height > DEFAULT_LIMITS.max_pixels:
            raise ValueError(f"has {image.width} x {image.height} pixels")
        return np.bincount(np.asarray(image).ravel(), minlength=256)
    except Exception as error:  # on damaged data Pillow raises nearly anything
        problems.add("malformed", mask, None, f"is no mask: {error}")
        return np.zeros(256, np.int64)
