"""A sample of a data set to look at: one picture, or one HTML page that needs no other file."""

from __future__ import annotations

import base64
import io
import textwrap
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw, ImageFont, ImageOps

from anytag.data.images import open_image
from anytag.data.records import Record, image_bytes
from anytag.errors import ImageError

if TYPE_CHECKING:
    from anytag.data.problems import Problems
    from anytag.data.summary import Summary

# in pixels
_PHOTO, _MARGIN, _TEXT, _LINE = 240, 12, 12, 16
_NUM_COLUMNS = 6
#: of a caption or the tags, in the picture
_NUM_LINES, _LINE_LENGTH = 4, 36
#: captions, tags and findings that are shown of one record or kind, in the page
_MAX_CAPTIONS, _MAX_TAGS, _NUM_BARS = 5, 30, 30
_MAX_CHARACTERS = 400

_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem;
  color: #1f2937 }
table { border-collapse: collapse; margin: 1rem 0 } td, th { padding: .15rem .8rem .15rem 0;
  text-align: left; vertical-align: top }
td.n { text-align: right; font-variant-numeric: tabular-nums }
.bar { background: #059669; height: .7rem; border-radius: 2px }
.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); gap: 1.2rem }
figure { margin: 0 } figure img, figure .none { width: 100%; aspect-ratio: 1; object-fit: contain;
  background: #f3f4f6; display: block }
figure .none { color: #b91c1c; padding: 1rem; box-sizing: border-box }
figcaption p { margin: .3rem 0; overflow-wrap: anywhere } .path { color: #6b7280; font-size: .8rem }
.tag { background: #ecfdf5; border-radius: 3px; padding: 0 .3rem; margin-right: .25rem;
  display: inline-block } .bad { color: #b91c1c }
"""


def picture_sheet(sample: Sequence[Record]) -> Image.Image:
    """A picture with a cell for each record: the photo, its first caption, its tags."""
    columns = min(_NUM_COLUMNS, max(1, len(sample)))
    rows = max(1, -(-len(sample) // columns))
    width = _PHOTO + 2 * _MARGIN
    height = _PHOTO + 2 * _NUM_LINES * _LINE + 2 * _MARGIN
    sheet = Image.new("RGB", (columns * width, rows * height), "white")
    for number, record in enumerate(sample):
        row, column = divmod(number, columns)
        sheet.paste(_cell(record, width, height), (column * width, row * height))
    return sheet


def _cell(record: Record, width: int, height: int) -> Image.Image:
    cell, left, top = Image.new("RGB", (width, height), "white"), _MARGIN, _MARGIN
    draw = ImageDraw.Draw(cell)
    font = ImageFont.load_default(_TEXT)
    photo, reason = _photo(record)
    if photo is None:
        draw.rectangle((left, top, left + _PHOTO, top + _PHOTO), outline="#b91c1c")
        for number, line in enumerate(_lines(reason)):
            draw.text((left + 4, top + 4 + number * _LINE), line, fill="#b91c1c", font=font)
    else:
        cell.paste(ImageOps.pad(photo, (_PHOTO, _PHOTO), color="#f3f4f6"), (left, top))
    text = record.captions[0] if record.captions else ""
    lines = [(line, "black") for line in _lines(text)]
    lines += [(line, "#047857") for line in _lines(", ".join(_tags(record)))]
    for number, (line, colour) in enumerate(lines):
        place = (left, top + _PHOTO + 4 + number * _LINE)
        draw.text(place, line, fill=colour, font=font)
    return cell


def html_sheet(title: str, rows: dict[str, str], summary: Summary, problems: Problems) -> str:
    """The page: counts, frequent tags, findings, and the sample with its pictures inside."""
    table = "".join(
        f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in rows.items()
    )
    frequent = summary.tags.most_common(_NUM_BARS)
    most = frequent[0][1] if frequent else 1
    bars = "".join(
        f'<tr><td dir="auto">{escape(name)}</td><td class="n">{count:,}</td>'
        f'<td><div class="bar" style="width:{15 * count / most:.2f}rem"></div></td></tr>'
        for name, count in frequent
    )
    findings = [f"{one.kind}: {one}" for one in problems.examples]
    findings += [f"missing file: {path}" for path in summary.missing]
    found = "".join(f'<li class="bad">{escape(text[:_MAX_CHARACTERS])}</li>' for text in findings)
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8>",
        f"<title>{escape(title)}</title><style>{_STYLE}</style><h1>{escape(title)}</h1>",
        f"<table>{table}</table>",
        f"<h2>Most frequent tags, in records</h2><table>{bars}</table>" if bars else "",
        f"<h2>Findings</h2><ul>{found}</ul>" if found else "",
        f"<h2>{len(summary.sample)} records, drawn at random</h2><div class=grid>",
        *map(_figure, summary.sample),
        "</div></html>\n",
    ]
    return "\n".join(filter(None, parts))


def _figure(record: Record) -> str:
    photo, reason = _photo(record)
    if photo is None:
        picture = f'<div class="none">{escape(reason)}</div>'
    else:
        photo.thumbnail((2 * _PHOTO, 2 * _PHOTO))
        buffer = io.BytesIO()
        photo.save(buffer, "JPEG", quality=80)
        data = base64.b64encode(buffer.getvalue()).decode("ascii")
        picture = f'<img alt="" src="data:image/jpeg;base64,{data}">'
    captions = "".join(
        f'<p dir="auto">{escape(text[:_MAX_CHARACTERS])}</p>'
        for text in record.captions[:_MAX_CAPTIONS]
    )
    tags = "".join(
        f'<span class="tag" dir="auto">{escape(tag[:_MAX_CHARACTERS])}</span>'
        for tag in _tags(record)[:_MAX_TAGS]
    )
    return (
        f"<figure>{picture}<figcaption>{captions}<p>{tags}</p>"
        f'<p class="path">{escape(record.image)}</p></figcaption></figure>'
    )


def _photo(record: Record) -> tuple[Image.Image | None, str]:
    """The picture, or why there is none."""
    try:
        return open_image(image_bytes(record), target_size=2 * _PHOTO), ""
    except ImageError as error:
        return None, str(error)


def _tags(record: Record) -> tuple[str, ...]:
    parsed = dict.fromkeys(tag for tags in record.parsed_tags for tag in tags)
    return record.tags or tuple(parsed)


def _lines(text: str) -> list[str]:
    lines = textwrap.wrap(text[:_MAX_CHARACTERS], _LINE_LENGTH)
    if len(lines) > _NUM_LINES:
        lines = [*lines[: _NUM_LINES - 1], f"{lines[_NUM_LINES - 1]} ..."]
    return lines
