"""The tables of docs/training.md: they say what the configuration's source says, today."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, get_args, get_type_hints

import pytest

from anytag.training.config import TrainConfig

ROOT = Path(__file__).resolve().parents[2]

SOURCE = '''
class Inner:
    """Inner part."""

    #: how much, a|b,
    #: in two lines; see ``x``
    size: float = 0.5
    flags: tuple[bool, ...] = (True,)


class Outer:
    """Outer part."""

    #: must be there
    name: str
    choice: str | None = None
    parts: tuple[Inner, ...]
    more: tuple[Inner, ...] = ()
    one: Inner = field(default_factory=Inner)
'''


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("config_table", ROOT / "tools/config_table.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["config_table"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_page_is_up_to_date(tool: ModuleType) -> None:
    page = (ROOT / "docs/training.md").read_text(encoding="utf-8")
    made = tool.tables(tool.SOURCE.read_text(encoding="utf-8"))
    assert tool.replaced(page, made) == page, "run tools/config_table.py docs/training.md"


def test_every_key_is_there_and_has_a_meaning(tool: ModuleType) -> None:
    made = tool.tables(tool.SOURCE.read_text(encoding="utf-8"))
    rows = {
        line.split("`")[1]: line.split(" | ")[-1].strip("| ")
        for line in made.splitlines()
        if line.startswith("| `")
    }
    assert set(rows) == set(keys(TrainConfig, ""))
    assert all(rows.values())


def keys(kind: Any, path: str) -> list[str]:
    """Names of all keys, found by reflection and not in the source."""
    found = []
    hints = get_type_hints(kind)
    seen: set[Any] = set()
    for one in fields(kind):
        found.append(path + one.name)
        inner = hints[one.name]
        is_list = getattr(inner, "__origin__", None) is tuple
        inner = get_args(inner)[0] if is_list else inner
        if is_dataclass(inner) and inner not in seen:
            seen.add(inner)
            found += keys(inner, f"{path}{one.name}{'[]' if is_list else ''}.")
    return found


def test_tables(tool: ModuleType) -> None:
    made = tool.tables(SOURCE, first="Outer")
    assert made.splitlines()[:9] == [
        "**top level**: Outer part.",
        "",
        "| key | default | meaning |",
        "|---|---|---|",
        "| `name` | must be given | must be there |",
        "| `choice` | `null` |  |",
        "| `parts` | must be given |  |",
        "| `more` | `[]` |  |",
        "| `one` | see below |  |",
    ]
    assert r"| `parts[].size` | `0.5` | how much, a\|b, in two lines; see `x` |" in made
    assert "| `parts[].flags` | `[true]` |  |" in made
    assert "more[]." not in made


def test_page_without_marks_is_refused(tool: ModuleType) -> None:
    with pytest.raises(SystemExit, match="no part between"):
        tool.replaced("# Page", "table")


def test_only_what_is_between_the_marks_is_replaced(tool: ModuleType) -> None:
    page = f"before\n{tool.BEGIN}\nold\n{tool.END}\nafter\n"
    new = tool.replaced(page, "new")
    assert new == f"before\n{tool.BEGIN}\n\nnew\n\n{tool.END}\nafter\n"
    assert tool.replaced(new, "new") == new
