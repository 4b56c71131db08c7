"""The licences of what anytag depends on and of what it ships: docs/licences.md.

    python tools/licences.py            # writes the table from the installed packages' metadata
    python tools/licences.py --check    # exit code 1 if the page is not current

The packages are those of pyproject.toml, core and extras. One that is not installed keeps its row;
without a row it is an error. What is shipped beside code (weights, word lists, test data) stands
around the table, written by hand.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "licences.md"
START, END = "<!-- table:start -->\n", "<!-- table:end -->"
HEADER = "| package | needed for | licence |\n|---|---|---|\n"
#: in order; the first that fits
FAMILIES = ("Apache", "MIT-CMU", "HPND", "MIT", "BSD", "MPL", "PSF", "Python", "LGPL", "GPL")
_ROW = re.compile(r"^\| (\S+) \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)
_SHORT = 60


def dependencies(project: Mapping[str, Any]) -> dict[str, list[str]]:
    """Direct dependencies -> the extras that need them, "core" first.

    Args:
        project: the table ``project`` of pyproject.toml
    """
    groups = {"core": project["dependencies"], **project["optional-dependencies"]}
    found: dict[str, list[str]] = {}
    for extra, requirements in groups.items():
        for one in requirements:
            name = re.split(r"[\[<>=!~; ]", one, maxsplit=1)[0].lower().replace("_", "-")
            if name != project["name"]:
                found.setdefault(name, []).append(extra)
    return dict(sorted(found.items(), key=lambda item: ("core" not in item[1], item[0])))


def licence(package: str) -> str | None:
    """The licence that an installed package's metadata state; None if it is not installed."""
    try:
        about = metadata(package)
    except PackageNotFoundError:
        return None
    classifiers = [
        one.rpartition(" :: ")[2]
        for one in about.get_all("Classifier") or []
        if one.startswith("License :: ") and not one.endswith("OSI Approved")
    ]
    text = " ".join((about.get("License") or "").split())
    stated = about.get("License-Expression") or ", ".join(classifiers)
    return stated or (text if 0 < len(text) <= _SHORT else "see its metadata")


def family(text: str) -> str:
    """The kind of licence, however it is written.

    >>> family("Apache Software License"), family("BSD-3-Clause"), family("3-clause BSD License")
    ('Apache', 'BSD', 'BSD')
    """
    return next((one for one in FAMILIES if one.lower() in text.lower()), text)


def rows(page: str) -> dict[str, tuple[str, str]]:
    """Package -> what needs it and licence, as the page has them."""
    table = page.partition(START)[2].partition(END)[0]
    return {name: (needed, text) for name, needed, text in _ROW.findall(table) if name != "package"}


def stale(page: str, needed: Mapping[str, list[str]]) -> list[str]:
    """What the page has wrong; licences are compared by their kind, as their wording changes."""
    known = rows(page)
    wrong = [f"{name}: no row" for name in needed if name not in known]
    wrong += [f"{name}: no dependency" for name in known if name not in needed]
    for name, extras in needed.items():
        if name not in known:
            continue
        if known[name][0] != ", ".join(extras):
            wrong.append(f"{name}: needed for {', '.join(extras)}, found {known[name][0]}")
        now = licence(name)
        if now is not None and family(now) != family(known[name][1]):
            wrong.append(f"{name}: {now}, found {known[name][1]}")
    return wrong


def updated(page: str, needed: Mapping[str, list[str]]) -> str:
    """The page with a new table.

    Raises:
        KeyError: a package is neither installed nor in the page
    """
    known = rows(page)
    lines = [
        f"| {name} | {', '.join(extras)} | {licence(name) or known[name][1]} |\n"
        for name, extras in needed.items()
    ]
    head, _, rest = page.partition(START)
    return f"{head}{START}{HEADER}{''.join(lines)}{END}{rest.partition(END)[2]}"


def read_project() -> dict[str, Any]:
    """The table ``project`` of pyproject.toml."""
    import tomllib  # of Python 3.11

    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    return dict(tomllib.loads(text)["project"])


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--check", action="store_true", help="write nothing")
    options = parser.parse_args()
    page, needed = PAGE.read_text(encoding="utf-8"), dependencies(read_project())
    if options.check:
        wrong = stale(page, needed)
        if wrong:
            sys.exit(
                "docs/licences.md is not current; python tools/licences.py\n" + "\n".join(wrong)
            )
        return
    PAGE.write_text(updated(page, needed), encoding="utf-8")


if __name__ == "__main__":
    main()
