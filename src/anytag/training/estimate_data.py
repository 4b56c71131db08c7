"""How many pictures and tags a run has, for an estimate: read where the data are there.

Where they are not, the pictures are those that the paper counts (`anytag.data.recipes`), and the
tags RAM's 4,585.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from anytag.data.recipes import RECIPES, load_recipe
from anytag.errors import AnytagError
from anytag.labels.labelset import LabelSet, read_tag_list
from anytag.training.config import SourceConfig, TrainConfig
from anytag.training.estimate_model import local_start
from anytag.training.examples import Examples, open_examples
from anytag.training.targets import collect_tags

#: of RAM's released list
RAM_TAGS = 4585
#: records in which tags are looked for
_MAX_RECORDS = 20_000


@dataclass(kw_only=True)
class DataPlan:
    """What a run would learn from."""

    #: training pictures; None = nobody knows
    num_images: int | None
    num_tags: int
    #: what had to be assumed
    assumed: list[str] = field(default_factory=list)


def plan_data(config: TrainConfig) -> DataPlan:
    """Count pictures and tags."""
    assumed: list[str] = []
    cache = Path(config.output) / "cache"
    with tempfile.TemporaryDirectory() as folder:
        if not cache.is_dir():
            cache = Path(folder)  # a dry run leaves nothing behind
        found = [_open(source, config, cache) for source in config.data.train]
        num_images = _num_images(config, found, assumed)
        num_tags = _num_tags(config, [one for one in found if one is not None], assumed)
        return DataPlan(num_images=num_images, num_tags=num_tags, assumed=assumed)


def _open(source: SourceConfig, config: TrainConfig, cache: Path) -> Examples | None:
    try:
        names = _listed_tags(config) if source.kind == "ram" else None
        return open_examples([source], cache, names)
    except AnytagError:  # not there, or not readable: the run itself will say what is wrong
        return None


def _listed_tags(config: TrainConfig) -> list[str] | None:
    path = Path(config.data.labels)
    if path.suffix == ".json" and path.is_file():
        return LabelSet.load(path).names
    return read_tag_list(path) if path.is_file() else None


def _num_images(
    config: TrainConfig, found: list[Examples | None], assumed: list[str]
) -> int | None:
    """Of the training part."""
    every = None if config.data.val else config.data.val_every
    total, from_paper = 0, []
    for source, examples in zip(config.data.train, found, strict=True):
        if examples is not None:
            total += len(examples if every is None else examples.split(every)[0])
            continue
        counted = _recipe_count(source)
        if counted is None:
            assumed.append(f"{source.path} cannot be read: the number of pictures is not known")
            return None
        from_paper.append(Path(source.path).name)
        total += counted if every is None else counted - counted // every
    if from_paper:
        assumed.append(f"pictures as the paper counts them, of {', '.join(from_paper)} (not here)")
    return total


def _recipe_count(source: SourceConfig) -> int | None:
    """What the paper counts in a data set of its settings."""
    for recipe in map(load_recipe, RECIPES):
        for one in recipe.sources:
            if one.kind == source.kind and Path(source.path).as_posix().endswith(f"/{one.path}"):
                return one.num_images
    return None


def _num_tags(config: TrainConfig, found: list[Examples], assumed: list[str]) -> int:
    wanted = config.data.labels
    folder = local_start(config.model)
    try:
        if wanted == "model" and folder is not None:
            return len(LabelSet.load(folder / "labels.json", repeated_names=True))
        if wanted == "data" and len(found) == len(config.data.train):
            return _collected(config, found, assumed)
        listed = _listed_tags(config)
        if listed is not None:
            return len(listed)
    except AnytagError as error:
        assumed.append(f"tags: {error}")
    where = {"model": f"model.start {config.model.start}", "data": "the data"}.get(wanted, wanted)
    assumed.append(f"{RAM_TAGS:,} tags, as in RAM's list: {where} cannot be read")
    return RAM_TAGS


def _collected(config: TrainConfig, found: list[Examples], assumed: list[str]) -> int:
    examples = Examples([spool for one in found for spool in one.spools])
    if not config.data.val:
        examples, _ = examples.split(config.data.val_every)
    if len(examples) > _MAX_RECORDS:
        assumed.append(f"tags of {_MAX_RECORDS:,} pictures; all {len(examples):,} may have more")
    return len(
        collect_tags(examples, parse_captions=config.data.parse_captions, max_records=_MAX_RECORDS)
    )
