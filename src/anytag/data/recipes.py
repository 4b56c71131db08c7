"""Training settings: which data sets, where their files lie, and how much the paper found in them.

`load_recipe("ram_4m")` and "ram_14m" are RAM's two settings (arXiv 2306.03514, section 3.2); a JSON
file of the same form is any other. They name files, they download nothing.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from anytag.config import from_plain
from anytag.data.sources import KINDS, Source, open_source
from anytag.errors import ConfigError
from anytag.files import display_path

RECIPES = ("ram_4m", "ram_14m")


@dataclass(frozen=True, kw_only=True)
class ReleasedFile:
    """An annotation file that RAM's authors released (`sources.ram`); counts rounded as there."""

    file: str
    num_images: int
    #: generated ones included
    num_captions: int
    num_tags: int


@dataclass(frozen=True, kw_only=True)
class RecipeSource:
    """One data set of a recipe."""

    name: str
    #: one of `sources.KINDS`
    kind: str
    #: of the file or folder, below the folder of all data
    path: str
    #: folder of the pictures, below the folder of all data; found near the annotations if None
    images_path: str | None = None
    #: that the paper counts; rounded as there
    num_images: int | None = None
    num_captions: int | None = None
    #: RAM's own annotations of this set, which hold texts and tags instead of the original
    released: tuple[ReleasedFile, ...] = ()
    note: str = ""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ConfigError(f"kind must be one of {', '.join(KINDS)}; found {self.kind!r}")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A training setting."""

    name: str
    #: where the counts are from
    citation: str
    #: of tags after parsing; then with generation and cleaning
    num_tags_parsed: int | None = None
    num_tags: int | None = None
    sources: tuple[RecipeSource, ...]

    def __post_init__(self) -> None:
        if not self.sources:
            raise ConfigError("a recipe needs sources")


def load_recipe(name: str | Path) -> Recipe:
    """One of `RECIPES`, or a JSON file.

    Raises:
        ConfigError: the file cannot be read, or is no recipe; the message names the key

    >>> [source.name for source in load_recipe("ram_4m").sources]
    ['coco', 'visual-genome', 'cc3m', 'sbu']
    """
    if name in RECIPES:
        text = (files("anytag.data") / "configs" / f"{name}.json").read_text(encoding="utf-8")
    else:
        path = Path(name)
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            known = ", ".join(RECIPES)
            raise ConfigError(
                f"{display_path(path)} cannot be read, and is none of {known}: {error}"
            ) from error
    try:
        values = json.loads(text)
    except ValueError as error:
        raise ConfigError(f"{display_path(str(name))} is no JSON: {error}") from error
    return from_plain(Recipe, values, str(name))


def open_recipe(recipe: Recipe, root: Path, *, names: Sequence[str] | None = None) -> list[Source]:
    """The sources of a recipe, in its order.

    Args:
        recipe: which
        root: the folder of all data
        names: the tag list, for RAM's released files

    Raises:
        UsageError: a file is missing
    """
    return [
        open_source(
            root / source.path,
            source.kind,
            images=None if source.images_path is None else root / source.images_path,
            names=names,
        )
        for source in recipe.sources
    ]
