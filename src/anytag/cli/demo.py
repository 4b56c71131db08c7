"""``anytag demo``: photos that ship with scikit-image, tagged, as one picture.

The photos are read from the installed package; nothing is downloaded.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from anytag.cli import options as opt
from anytag.errors import MissingExtraError

if TYPE_CHECKING:
    from PIL.Image import Image

    from anytag.inference.results import TagResult

#: files in skimage/data that every wheel holds
PHOTOS = (
    "chelsea.png",
    "coffee.png",
    "rocket.jpg",
    "astronaut.png",
    "motorcycle_left.png",
    "camera.png",
)
NUM_TAGS = 8
NUM_COLUMNS = 3

# in pixels
_PHOTO, _LINE, _MARGIN, _TEXT = 320, 22, 16, 15
_BAR = 90
_CELL_WIDTH = _PHOTO + 2 * _MARGIN
_CELL_HEIGHT = _PHOTO + NUM_TAGS * _LINE + 2 * _MARGIN


def demo(
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="OUT", help="The picture.")
    ] = Path("anytag-demo.png"),
    show: Annotated[bool, typer.Option("--open", help="Open it in the image viewer.")] = False,
    model: opt.Model = "nano",
) -> None:
    """Tag photos that ship with scikit-image and write a picture of the result.

    Examples:

        anytag demo
        anytag demo -o demo.png --open
    """
    from anytag.files import atomic_write, display_path
    from anytag.inference.tagger import Tagger

    photos = sample_photos()
    tagger = Tagger.from_pretrained(model)
    sheet = contact_sheet(list(tagger.stream(photos, top_k=NUM_TAGS)))
    with atomic_write(output) as file:
        sheet.save(file, "PNG")
    typer.echo(display_path(output))
    if show:
        typer.launch(str(output))


def sample_photos() -> list[Path]:
    """Photos in the installed scikit-image.

    Raises:
        MissingExtraError: it is not installed
    """
    spec = find_spec("skimage")  # found, not imported: that would take a second
    if spec is None or spec.origin is None:
        raise MissingExtraError("scikit-image", "demo")
    return [Path(spec.origin).parent / "data" / name for name in PHOTOS]


def contact_sheet(results: list[TagResult]) -> Image:
    """A picture with a cell for each result: the photo, below it a bar for each tag."""
    from PIL import Image

    num_rows = -(-len(results) // NUM_COLUMNS)
    sheet = Image.new("RGB", (NUM_COLUMNS * _CELL_WIDTH, num_rows * _CELL_HEIGHT), "white")
    for number, result in enumerate(results):
        row, column = divmod(number, NUM_COLUMNS)
        _draw_cell(sheet, result, column * _CELL_WIDTH + _MARGIN, row * _CELL_HEIGHT + _MARGIN)
    return sheet


def _draw_cell(sheet: Image, result: TagResult, left: int, top: int) -> None:
    from PIL import ImageDraw, ImageFont, ImageOps

    from anytag.data.images import open_image

    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(_TEXT)
    if result.error is not None or result.path is None:
        reason = "" if result.error is None else result.error.message
        draw.text((left, top), reason, fill="red", font=font)
        return
    sheet.paste(ImageOps.fit(open_image(result.path), (_PHOTO, _PHOTO)), (left, top))
    for number, tag in enumerate(result.tags, 1):
        y = top + _PHOTO + number * _LINE - _LINE // 2
        draw.rectangle((left, y, left + _BAR, y + _TEXT), fill="#e5e7eb")
        draw.rectangle((left, y, left + round(_BAR * tag.score), y + _TEXT), fill="#059669")
        draw.text((left + _BAR + 8, y - 1), f"{tag.score:.2f}  {tag.name}", fill="black", font=font)
