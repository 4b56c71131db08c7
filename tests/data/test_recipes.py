"""The settings of the paper, and settings of one's own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from anytag.data.problems import Problems
from anytag.data.recipes import RECIPES, load_recipe, open_recipe
from anytag.data.records import Record
from anytag.data.shards import write_shards
from anytag.errors import ConfigError, UsageError


@pytest.mark.parametrize(("name", "millions"), [("ram_4m", 4.06), ("ram_14m", 14.06)])
def test_the_paper_s_settings(name: str, millions: float) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name
    assert sum(source.num_images or 0 for source in recipe.sources) == pytest.approx(
        millions * 1e6, rel=0.01
    )
    released = [file for source in recipe.sources for file in source.released]
    assert sum(file.num_tags for file in released) == pytest.approx(41.8e6, rel=0.001)
    assert "2306.03514" in recipe.citation


def test_14m_is_4m_and_cc12m() -> None:
    small, large = (load_recipe(name) for name in RECIPES)
    assert large.sources[: len(small.sources)] == small.sources
    assert [source.name for source in large.sources[len(small.sources) :]] == ["cc12m"]


def test_a_recipe_opens_its_sources(tmp_path: Path) -> None:
    write_shards(tmp_path / "web", [Record(image="a.jpg", content=b"x")], Problems())
    content = {
        "name": "mine", "citation": "none",
        "sources": [{"name": "web", "kind": "webdataset", "path": "web"}],
    }  # fmt: skip
    file = tmp_path / "mine.json"
    file.write_text(json.dumps(content))
    (source,) = open_recipe(load_recipe(file), tmp_path)
    assert len(list(source)) == 1
    with pytest.raises(UsageError, match="does not exist"):
        open_recipe(load_recipe("ram_4m"), tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[", "is no JSON"),
        ("[]", "expected a mapping"),
        ('{"name": "x", "citation": "", "sources": []}', "needs sources"),
        ('{"nam": "x"}', "did you mean 'name'"),
        (
            '{"name": "x", "citation": "", "sources": [{"name": "y", "kind": "z", "path": "p"}]}',
            r"sources\[0\]: kind must be one of",
        ),
    ],
)
def test_no_recipe(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "mine.json"
    file.write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_recipe(file)


def test_no_file() -> None:
    with pytest.raises(ConfigError, match="none of ram_4m, ram_14m"):
        load_recipe("ram_5m")
