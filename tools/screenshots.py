"""Pictures of the page of ``anytag serve`` for the documentation.

    python tools/screenshots.py docs/images

A real server with nano tags photos that ship with scikit-image, and Chromium shows the page.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.serve.page.browser import Browser, Page
from tests.serve.page.server import serving

PHOTOS = (
    "chelsea.png", "coffee.png", "motorcycle_left.png", "astronaut.png",
    "rocket.jpg", "horse.png", "camera.png", "hubble_deep_field.jpg",
)  # fmt: skip
OWN_TAGS = "kitten, red motorcycle,"
#: the photo that is opened, and the tag whose heatmap is seen
OPENED, SHOWN = 3, "motorcycle"
QUALITY = 80
#: seconds for all photos, on slow machines too
PATIENCE = 900.0


def sample_folder() -> Path:
    """Where scikit-image keeps its photos."""
    import skimage

    return Path(skimage.__file__).parent / "data"


def fill(page: Page) -> None:
    """Photos and two tags of one's own, until all is answered."""
    folder = sample_folder()
    page.drop("#main", [folder / name for name in PHOTOS])
    done = f"document.querySelectorAll('.card[data-state=done]').length === {len(PHOTOS)}"
    page.wait(done, PATIENCE)
    panel = "document.querySelector('#side-toggle').click()"
    page.run(panel)  # on a phone the box is behind it; elsewhere it changes nothing
    page.run("document.querySelector('#own').focus()")
    page.type(OWN_TAGS)
    page.run(panel)
    page.wait("document.querySelectorAll('.card .tag.own').length")
    page.wait(f"document.querySelector('#progress').hidden && {done}", PATIENCE)
    page.run("document.activeElement.blur(), scrollTo(0, 0)")
    near = "[...document.querySelectorAll('.card-open img')]"
    page.wait(f"{near}.length >= 4 && {near}.every((one) => one.complete)")


def keep(page: Page, path: Path) -> None:
    """The screen as WebP."""
    page.run("document.getAnimations().forEach((one) => one.finish())")
    path.write_bytes(page.picture("webp", quality=QUALITY))


def desktop(browser: Browser, url: str, folder: Path) -> None:
    """The gallery, and a photo with a heatmap, in the light theme."""
    page = browser.page(url, width=1280, height=800, prefers_color_scheme="light")
    fill(page)
    keep(page, folder / "page-gallery.webp")
    page.click(f".card:nth-child({OPENED}) .card-open")
    page.hover(f"#detail-tags [data-tag='{SHOWN}']")
    page.wait("document.querySelector('#detail-heat').dataset.tag")
    page.wait("document.querySelector('#detail-photo').complete")
    keep(page, folder / "page-heatmap.webp")
    browser.close(page)


def phone(browser: Browser, url: str, folder: Path) -> None:
    """The gallery on a phone, in the dark theme."""
    page = browser.page(
        url, width=390, height=780, scale=2, mobile=True, prefers_color_scheme="dark"
    )
    fill(page)
    keep(page, folder / "page-phone.webp")
    browser.close(page)


def main() -> None:
    """Write the pictures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="where the pictures go")
    folder: Path = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as scratch,
        serving() as url,
        Browser(Path(scratch)) as browser,
    ):
        desktop(browser, f"{url}/", folder)
        phone(browser, f"{url}/", folder)
    for path in sorted(folder.glob("page-*.webp")):
        print(f"{path}  {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
