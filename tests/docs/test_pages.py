"""Pages that are made or kept by hand, against what they are about."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
_LINK = re.compile(r"\]\((?![a-z]+:|#|<)([^)#\s]+)")


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def hooks() -> ModuleType:
    return load("docs_hooks")


@pytest.fixture(scope="module")
def licences() -> ModuleType:
    return load("licences")


@pytest.fixture(scope="module")
def pyproject() -> dict[str, Any]:
    tomllib = pytest.importorskip("tomllib", reason="of Python 3.11")
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    found = tomllib.loads(text)
    assert isinstance(found, dict)
    return found


PAGES = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "benchmarks/*.md", "src/anytag/assets/**/*.md")
    for path in ROOT.glob(pattern)
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_to_files_lead_somewhere(hooks: ModuleType, page: Path) -> None:
    """In the repository; pages that the site makes count as there."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    made = {(ROOT / "docs" / name).resolve() for name in hooks.GENERATED}
    broken = [
        target
        for target in _LINK.findall(text)
        if not (path := (page.parent / target).resolve()).exists() and path not in made
    ]
    assert broken == []


def test_generated_pages_have_their_files(hooks: ModuleType) -> None:
    assert [one for one in hooks.GENERATED.values() if not (ROOT / one).is_file()] == []


@pytest.mark.parametrize(
    ("link", "source", "page", "expected"),
    [
        ("../benchmarks/RESULTS.md#x", "docs/parser.md", "parser.md", "benchmarks.md#x"),
        ("README.md", "benchmarks/RESULTS.md", "benchmarks.md", "benchmark-scripts.md"),
        ("docs/data.md", "CHANGELOG.md", "changelog.md", "data.md"),
        ("../data.md", "docs/tutorials/audit.md", "tutorials/audit.md", "../data.md"),
        ("text_encoder/README.md", "src/anytag/assets/nano/README.md", "model-card.md",
         "text-encoder.md"),
        ("https://arxiv.org/abs/1", "docs/a.md", "a.md", "https://arxiv.org/abs/1"),
        ("#below", "docs/a.md", "a.md", "#below"),
    ],
)  # fmt: skip
def test_links_are_turned(
    hooks: ModuleType, link: str, source: str, page: str, expected: str
) -> None:
    assert hooks.turn_links(f"see [it]({link}).", source, page) == f"see [it]({expected})."


def test_drawings_take_the_colours_of_the_page(hooks: ModuleType) -> None:
    drawings = sorted((ROOT / "docs" / "images").glob("ram-*.svg"))
    assert len(drawings) == 5
    for path in drawings:
        text = path.read_text(encoding="utf-8")
        assert "prefers-color-scheme:dark" in text  # where it stands by itself
        made = hooks.drawing(ROOT / "docs" / "page.md", f"images/{path.name}", "what it shows")
        assert "<style>" not in made
        assert 'aria-label="what it shows"' in made
        assert "\n" not in made


def test_the_layers_of_the_architecture_page_are_the_contract(pyproject: dict[str, Any]) -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    shown = text.partition("<!-- layers:start -->")[2].partition("<!-- layers:end -->")[0]
    lines = [line for line in shown.splitlines() if line and not line.startswith("```")]
    contract = pyproject["tool"]["importlinter"]["contracts"][0]["layers"]
    assert len(lines) == len(contract)
    for line, layer in zip(lines, contract, strict=True):
        names = re.findall(r"anytag\.(\w+)", layer)
        assert line.split()[: len(names)] == names


def test_the_page_of_licences_is_current(licences: ModuleType, pyproject: dict[str, Any]) -> None:
    page = licences.PAGE.read_text(encoding="utf-8")
    assert licences.stale(page, licences.dependencies(pyproject["project"])) == []


def test_a_stale_page_of_licences_is_noticed(licences: ModuleType) -> None:
    page = f"{licences.START}{licences.HEADER}| numpy | core | GPL-3.0 |\n{licences.END}"
    needed = {"numpy": ["core", "eval"], "pillow": ["core"]}
    assert [one.partition(":")[0] for one in licences.stale(page, needed)] == [
        "pillow", "numpy", "numpy",
    ]  # fmt: skip
    made = licences.updated(page, needed)
    assert licences.stale(made, needed) == []
    assert licences.rows(made)["numpy"][0] == "core, eval"
    with pytest.raises(KeyError):
        licences.updated(page, {"no-such-package-x": ["core"]})


def test_floors_are_those_that_are_tested(pyproject: dict[str, Any]) -> None:
    """.ci/lowest.txt pins what pyproject.toml names as the least."""
    project = pyproject["project"]
    extras = project["optional-dependencies"]
    runs = [name for name in extras if name not in ("dev", "docs", "all")]
    wanted = {}
    for one in [*project["dependencies"], *(one for name in runs for one in extras[name])]:
        found = re.fullmatch(r"([\w-]+)(?:\[\w+\])?>=([\d.]+)(?:,<\d+)?", one)
        if found is None:
            assert one.startswith("anytag[")
            continue
        wanted[found[1].lower()] = version(found[2])
    lines = (ROOT / ".ci" / "lowest.txt").read_text(encoding="utf-8").splitlines()
    pinned = {
        # "# ... takes 0.24.0": its own floor, below what another package needs beside it
        name.lower(): version(re.split(r"  #.* takes ", number)[-1])
        for name, equals, number in (line.partition("==") for line in lines)
        if equals
    }
    assert pinned == wanted


def version(text: str) -> tuple[int, ...]:
    """1.0 and 1.0.0 are one version."""
    numbers = [int(part) for part in text.split(".")]
    while numbers and not numbers[-1]:
        numbers.pop()
    return tuple(numbers)
