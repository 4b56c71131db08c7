"""One HTML page for every report: tables, plots and pictures in a file that needs no other.

    page = Page("Run pets", subtitle="12 epochs")
    page.section("Validation")
    page.table(["epoch", "mAP"], [[1, 0.512], [2, 0.598]])
    page.plot(line_plot({"mAP": ([1, 2], [0.512, 0.598])}, x_label="epoch", y_label="mAP"))
    page.write(Path("report.html"))

Plots are SVG made by matplotlib (`anytag[eval]`). The page follows the reader's light or dark
setting and fits a telephone.
"""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from anytag.errors import MissingExtraError
from anytag.files import atomic_write

_NUMBER = re.compile(r"[-+]?[\d.,]+†?( ?[-–/] ?[-+]?[\d.,]+)? ?%?")
Cell = str | int | float | None
#: x and y values of one curve
Curve = tuple[Sequence[float], Sequence[float]]

_STYLE = """
:root { color-scheme: light dark; --text: #1f2937; --faint: #6b7280; --page: #ffffff;
  --line: #e5e7eb; --good: #047857; --bad: #b91c1c; --missed: #b45309 }
@media (prefers-color-scheme: dark) { :root { --text: #e5e7eb; --faint: #9ca3af;
  --page: #111827; --line: #374151; --good: #34d399; --bad: #f87171;
  --missed: #fbbf24 } }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem;
  padding: 0 1rem; color: var(--text); background: var(--page) }
h1 { font-size: 1.6rem; margin-bottom: .2rem } h2 { font-size: 1.2rem; margin-top: 2.2rem }
p.note, figcaption span { color: var(--faint) }
.scroll { overflow-x: auto } table { border-collapse: collapse; margin: .8rem 0 }
th, td { padding: .25rem .9rem .25rem 0; text-align: left; vertical-align: top;
  border-bottom: 1px solid var(--line) }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums }
.plot { background: #ffffff; display: inline-block; max-width: 100%; margin: .5rem .4rem .5rem 0;
  vertical-align: top }
.plot svg { max-width: 100%; height: auto; display: block }
.pictures { display: grid; grid-template-columns: repeat(auto-fill, minmax(11rem, 1fr));
  gap: 1rem } figure { margin: 0 } figcaption { font-size: .85rem; overflow-wrap: anywhere }
figure img { width: 100%; aspect-ratio: 1; object-fit: contain; background: var(--line) }
.good { color: var(--good) } .bad { color: var(--bad) } .missed { color: var(--missed) }
"""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A picture with text under it."""

    #: bytes of a JPEG, PNG or WebP file
    data: bytes
    title: str = ""
    lines: Sequence[str] = ()
    #: "good", "bad", "missed" or "" colours the title
    tone: str = ""
    #: of each line: "good", "bad", "missed" or ""; none = all are faint
    line_tones: Sequence[str] = ()


class Page:
    """A page under construction.

    Args:
        title: heading and window title
        subtitle: a line below
    """

    def __init__(self, title: str, subtitle: str = "") -> None:
        self._title = title
        self._parts = [f"<h1>{escape(title)}</h1>"]
        if subtitle:
            self.note(subtitle)

    def section(self, heading: str, text: str = "") -> None:
        """Begin a section."""
        self._parts.append(f"<h2>{escape(heading)}</h2>")
        if text:
            self.text(text)

    def text(self, text: str) -> None:
        """A paragraph."""
        self._parts.append(f"<p>{escape(text)}</p>")

    def note(self, text: str) -> None:
        """A paragraph in a fainter colour."""
        self._parts.append(f'<p class="note">{escape(text)}</p>')

    def table(self, header: Sequence[str], rows: Iterable[Sequence[Cell]], digits: int = 3) -> None:
        """A table; columns of numbers stand right.

        Args:
            header: names of the columns
            rows: cells; None is shown as a dash
            digits: decimals of floats
        """
        body = [list(row) for row in rows]
        right = [_is_of_numbers([row[i] for row in body]) for i in range(len(header))]
        head = "".join(_cell("th", name, r) for name, r in zip(header, right, strict=True))
        lines = [
            "".join(_cell("td", _shown(c, digits), r) for c, r in zip(row, right, strict=True))
            for row in body
        ]
        inner = "".join(f"<tr>{line}</tr>" for line in lines)
        self._parts.append(
            f'<div class="scroll"><table><thead><tr>{head}</tr></thead>'
            f"<tbody>{inner}</tbody></table></div>"
        )

    def plot(self, svg: str) -> None:
        """A plot of `line_plot`, `bar_plot` or `scatter_plot`."""
        self._parts.append(f'<div class="plot">{svg}</div>')

    def pictures(self, pictures: Iterable[Picture]) -> None:
        """A grid of pictures."""
        self._parts.append(f'<div class="pictures">{"".join(map(_figure, pictures))}</div>')

    def html(self) -> str:
        """The whole page."""
        return (
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>{escape(self._title)}</title><style>{_STYLE}</style></head>\n<body>\n"
            + "\n".join(self._parts)
            + "\n</body></html>\n"
        )

    def write(self, path: Path) -> None:
        """Write the page atomically."""
        with atomic_write(path) as file:
            file.write(self.html().encode())


def line_plot(
    curves: Mapping[str, Curve],
    *,
    x_label: str = "",
    y_label: str = "",
    title: str = "",
    log_x: bool = False,
    log_y: bool = False,
) -> str:
    """Curves by name as an SVG.

    Raises:
        MissingExtraError: matplotlib is not installed
    """
    figure, axes = _axes(title, x_label, y_label)
    for name, (x, y) in curves.items():
        axes.plot(x, y, marker="o" if len(x) <= 20 else "", markersize=3, linewidth=1.4, label=name)
    axes.set_xscale("log" if log_x else "linear")
    axes.set_yscale("log" if log_y else "linear")
    axes.grid(alpha=0.25)
    if len(curves) > 1:
        _legend(axes)
    return _svg(figure)


def bar_plot(
    values: Mapping[str, float],
    *,
    x_label: str = "",
    title: str = "",
    intervals: Mapping[str, tuple[float, float]] | None = None,
) -> str:
    """Horizontal bars by name as an SVG, the first on top.

    Args:
        values: length of each bar
        x_label: what it measures
        title: above the plot
        intervals: lower and upper end of a whisker, by name

    Raises:
        MissingExtraError: matplotlib is not installed
    """
    figure, axes = _axes(title, x_label, "", height=0.9 + 0.24 * len(values))
    names = list(values)
    axes.barh(names, list(values.values()), color="#059669", height=0.7)
    for row, name in enumerate(names):
        if intervals and name in intervals:
            axes.plot(intervals[name], [row, row], color="#111827", linewidth=1)
    axes.margins(y=0.3 / max(1, len(names)))
    axes.invert_yaxis()
    axes.tick_params(axis="y", labelsize=8)
    axes.grid(axis="x", alpha=0.25)
    return _svg(figure)


def scatter_plot(
    groups: Mapping[str, Curve], *, x_label: str = "", y_label: str = "", title: str = ""
) -> str:
    """Points in named groups as an SVG.

    Raises:
        MissingExtraError: matplotlib is not installed
    """
    figure, axes = _axes(title, x_label, y_label, height=3.6)
    for name, (x, y) in groups.items():
        axes.scatter(x, y, s=9, alpha=0.7, label=name)
    _legend(axes)
    return _svg(figure)


def _axes(title: str, x_label: str, y_label: str, height: float = 2.8) -> tuple[Any, Any]:
    # Any: matplotlib has types of its own that would have to be imported for every user
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError("matplotlib", "eval") from error
    figure = Figure(figsize=(5.4, height), layout="constrained")
    axes = figure.subplots()
    axes.set_title(title, fontsize=10)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    return figure, axes


def _legend(axes: Any) -> None:
    # where curves fill the plot, they are seen through it
    axes.legend(fontsize=8, framealpha=0.7, edgecolor="none")


def _svg(figure: Any) -> str:
    from matplotlib import rc_context

    text = io.StringIO()
    # a fixed salt and no date: the same numbers give the same bytes
    with rc_context({"svg.hashsalt": "anytag"}):
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    svg = text.getvalue()
    return svg[svg.index("<svg") :]


def _figure(picture: Picture) -> str:
    data = base64.b64encode(picture.data).decode()
    tones = picture.line_tones or [""] * len(picture.lines)
    lines = "".join(
        f"<br><span{_class(tone)}>{escape(line)}</span>"
        for line, tone in zip(picture.lines, tones, strict=True)
    )
    return (
        f'<figure><img loading="lazy" alt="{escape(picture.title, quote=True)}" '
        f'src="data:{_media_type(picture.data)};base64,{data}">'
        f"<figcaption><b{_class(picture.tone)}>{escape(picture.title)}</b>{lines}</figcaption></figure>"
    )


def _class(tone: str) -> str:
    return f' class="{tone}"' if tone else ""


def _media_type(data: bytes) -> str:
    if data.startswith(b"\x89PNG"):
        return "image/png"
    return "image/webp" if data[8:12] == b"WEBP" else "image/jpeg"


def _is_of_numbers(cells: Sequence[Cell]) -> bool:
    """Whether a column has numbers alone; some may be texts: 72.8†, 49.2-67.4, 43.8/42.0."""
    found = [cell for cell in cells if cell not in (None, "")]
    texts = [cell for cell in found if isinstance(cell, str)]
    return bool(found) and all(_NUMBER.fullmatch(text) for text in texts)


def _shown(cell: Cell, digits: int) -> str:
    if cell is None:
        return "–"
    if isinstance(cell, float):
        return f"{cell:,.{digits}f}"
    return f"{cell:,}" if isinstance(cell, int) else cell


def _cell(kind: str, text: str, right: bool) -> str:
    number = ' class="n"' if right else ""
    return f"<{kind}{number}>{escape(text)}</{kind}>"
