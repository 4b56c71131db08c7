"""Hooks of mkdocs (mkdocs.yml): pages that are made from files elsewhere, links, drawings.

* `GENERATED` pages are made at every build from the file that people keep: figures, model card,
  changelog. So nothing stands twice.
* Links to those files work in the repository and in the site: here they are turned.
* Drawings are put into the page as SVG, so that their lines have the colour of its text.
* Pages of the navigation that do not exist are left out of it.
"""

from __future__ import annotations

import os.path
import re
from pathlib import Path
from typing import Any  # mkdocs has no types

ROOT = Path(__file__).parent.parent
#: page -> file of the repository
GENERATED = {
    "benchmarks.md": "benchmarks/RESULTS.md",
    "benchmark-scripts.md": "benchmarks/README.md",
    "model-card.md": "src/anytag/assets/nano/README.md",
    "text-encoder.md": "src/anytag/assets/nano/text_encoder/README.md",
    "golden-numbers.md": "tests/golden/README.md",
    "changelog.md": "CHANGELOG.md",
    "contributing.md": "CONTRIBUTING.md",
    "security.md": "SECURITY.md",
}
#: reached by links, not by the navigation
UNLISTED = ("text-encoder.md", "golden-numbers.md")
_PAGES = {source: page for page, source in GENERATED.items()} | {"README.md": "index.md"}
_LINK = re.compile(r"\[([^\[\]]*)\]\((?![a-z]+:|#)([^)#\s]+)(#[^)\s]*)?\)")
_DRAWING = re.compile(r"^!\[([^\]]*)\]\(((?:\.\./)?images/ram-[\w-]+\.svg)\)$", re.MULTILINE)


def on_config(config: Any) -> Any:
    """Leave out of the navigation what does not exist."""
    config.nav = _existing(config.nav, Path(config.docs_dir))
    config.not_in_nav = _patterns(UNLISTED)
    return config


def on_files(files: Any, config: Any) -> Any:
    """Add the generated pages."""
    from mkdocs.structure.files import File

    for page, source in GENERATED.items():
        text = without_front_matter((ROOT / source).read_text(encoding="utf-8"))
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Turn the links of a page, and put its drawings in."""
    here = page.file.src_uri
    source = GENERATED.get(here, f"docs/{here}")
    return _DRAWING.sub(
        lambda match: drawing(ROOT / "docs" / here, match[2], match[1]),
        turn_links(markdown, source, here),
    )


def turn_links(markdown: str, source: str, page: str) -> str:
    """Links as they must be on a page of the site.

    Args:
        markdown: the text
        source: its file in the repository; links are relative to it
        page: its place in the site

    >>> turn_links("[figures](../benchmarks/RESULTS.md#parser)", "docs/parser.md", "parser.md")
    '[figures](benchmarks.md#parser)'
    >>> turn_links("[data](docs/data.md)", "CHANGELOG.md", "changelog.md")
    '[data](data.md)'
    >>> turn_links("[the bounds](../pyproject.toml)", "docs/a.md", "a.md")
    'the bounds (`pyproject.toml`)'
    """

    def turned(match: re.Match[str]) -> str:
        text, link, place = match[1], match[2], match[3] or ""
        target = os.path.normpath(os.path.join(os.path.dirname(source), link))  # noqa: PTH118, PTH120
        if target in _PAGES:
            found = _PAGES[target]
        elif target.startswith("docs/"):
            found = target.removeprefix("docs/")
        elif target in ("benchmarks", "docs"):
            found = {"benchmarks": "benchmark-scripts.md", "docs": "index.md"}[target]
        elif (ROOT / target).exists():
            return f"{text} (`{target}`)" if target not in text else text  # only in the repository
        else:
            return match[0]  # mkdocs reports what it does not find
        found = os.path.relpath(found, os.path.dirname(page) or ".")  # noqa: PTH120
        return f"[{text}]({found}{place})"

    return _LINK.sub(turned, markdown)


def without_front_matter(text: str) -> str:
    """A model card without its YAML head."""
    return re.sub(r"\A---\n.*?\n---\n+", "", text, flags=re.DOTALL)


def drawing(page: Path, target: str, description: str) -> str:
    """A drawing as an element: the page's colours in place of its own style."""
    svg = (page.parent / target).read_text(encoding="utf-8")
    svg = re.sub(r"<style>.*?</style>\s*|<\?xml.*?\?>\s*", "", svg, flags=re.DOTALL)
    svg = svg.replace("<svg ", f'<svg role="img" aria-label="{description}" ', 1)
    svg = re.sub(r"\s*\n\s*", " ", svg.strip())
    return f'<p class="drawing">{svg}</p>'


def _existing(nav: Any, docs: Path) -> Any:
    if isinstance(nav, list):
        return [found for item in nav if (found := _existing(item, docs))]
    if isinstance(nav, dict):
        return {title: found for title, below in nav.items() if (found := _existing(below, docs))}
    return nav if nav in GENERATED or (docs / nav).is_file() else None


def _patterns(pages: Any) -> Any:
    import pathspec

    return pathspec.GitIgnoreSpec.from_lines(pages)
