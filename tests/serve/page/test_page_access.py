"""The page by keyboard, for screen readers, on phones, in both themes."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from tests.serve.page.browser import Page
from tests.serve.page.conftest import OpenPage, Photos, add

#: (text, background, least contrast of WCAG 2 AA): 4.5 for text, 3 for what surrounds a control
PAIRS = [
    *[("ink", back, 4.5) for back in ("page", "surface", "raised", "bar", "bar-hover", "bad-bar")],
    *[("muted", back, 4.5) for back in ("page", "surface", "raised", "own-bar")],
    *[("own-ink", back, 4.5) for back in ("own-bar", "own-bar-hover", "raised", "page")],
    *[("accent", back, 4.5) for back in ("page", "surface", "bar")],
    ("on-accent", "accent", 4.5),
    ("on-accent", "accent-hover", 4.5),
    ("bad", "bad-bar", 4.5),
    ("bad", "surface", 4.5),
    ("strong-line", "surface", 3),
    ("strong-line", "page", 3),
]
BACKGROUND = "getComputedStyle(document.body).backgroundColor"


def luminance(colour: str) -> float:
    """Of "#rrggbb", by WCAG 2."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_contrast_is_that_of_black_on_white() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.005)


def test_both_themes_have_contrast_and_the_choice_is_kept(open_page: OpenPage) -> None:
    page = open_page(prefers_color_scheme="dark")
    dark = page.run(BACKGROUND)
    seen = []
    for theme in ("auto", "light", "dark"):
        assert page.run("document.documentElement.dataset.theme") == theme
        names = sorted({name for one, other, _ in PAIRS for name in (one, other)})
        style = "getComputedStyle(document.documentElement).getPropertyValue"
        colours = {name: page.run(f"{style}('--{name}')").strip() for name in names}
        for text, back, least in PAIRS:
            assert contrast(colours[text], colours[back]) >= least, (theme, text, back)
        seen.append((colours, page.run(BACKGROUND)))
        page.click("#theme")
    assert seen[0] == seen[2]
    assert seen[0] != seen[1]
    assert seen[0][1] == dark
    page.click("#theme")  # light
    page.go(page.run("location.href"))
    assert page.run(BACKGROUND) == seen[1][1]


def focus(page: Page) -> dict[str, Any]:
    """What has the focus: its id and class, its name for screen readers, whether it is seen."""
    found: dict[str, Any] = page.run(
        """(() => {
          const one = document.activeElement;
          const label = one.ariaLabel
            ?? document.getElementById(one.getAttribute("aria-labelledby"))?.textContent
            ?? one.labels?.[0]?.textContent ?? one.textContent;
          const style = getComputedStyle(one);
          return { id: one.id, name: label.trim(), className: one.className,
            ring: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2 };
        })()"""
    )
    return found


@pytest.mark.slow
def test_everything_is_done_by_keyboard(page: Page, photos: Photos) -> None:
    add(page, photos["chelsea"], photos["coffee"], photos["rocket"])
    page.run("document.activeElement.blur()")
    stops = []
    for _ in range(60):
        page.press("Tab")
        stops.append(focus(page))
        if stops[-1]["className"] == "card-open":
            break
    assert all(stop["name"] for stop in stops), stops
    assert all(stop["ring"] for stop in stops), stops
    assert stops[0]["name"] == "Skip to the photos"
    wanted = {"search", "add", "theme", "threshold", "own", "copy-json", "save-jsonl", "save-csv"}
    assert wanted <= {stop["id"] for stop in stops}
    # One photo is a stop, the arrows go to the others.
    assert stops[-1]["name"].startswith("chelsea.png")
    page.press("ArrowRight")
    assert focus(page)["name"].startswith("coffee.png")
    page.press("End", "Home", "ArrowLeft", "ArrowRight", "Tab", "Tab")
    assert "show photos with this tag" in focus(page)["name"]
    page.press("ArrowRight")
    assert focus(page)["name"].startswith("rocket.jpg")
    page.press("Enter")
    page.wait("document.querySelector('#detail').open")
    assert focus(page)["id"] == "detail-name"
    page.press("ArrowDown")
    assert "show where" in focus(page)["name"]
    page.wait("document.querySelector('#detail-heat').dataset.tag")
    page.press("ArrowLeft")
    page.wait("document.querySelector('#detail-name').textContent === 'coffee.png'")
    assert not page.run("document.querySelector('#detail-heat').dataset.tag")
    page.press("Escape")
    page.wait("!document.querySelector('#detail').open")
    assert focus(page)["name"].startswith("coffee.png")
    page.press("Delete")
    assert focus(page)["name"].startswith("rocket.jpg")
    page.press("/")
    assert focus(page)["id"] == "search"
    page.press("/")  # in the box it is a letter
    assert page.run("document.activeElement.value") == "/"


def test_status_and_names_are_told(page: Page, photos: Photos) -> None:
    add(page, photos["chelsea"])
    assert page.run("document.querySelector('[role=status]').textContent") == "1 photo tagged"
    assert page.run("document.documentElement.lang") == "en"
    unnamed = page.run(
        """[...document.querySelectorAll("button, input:not([type=file]), select, a, [role]")]
          .filter((one) => one.checkVisibility() && !["status", "alert"].includes(one.role))
          .filter((one) => !(one.ariaLabel || one.textContent.trim() || one.labels?.length
            || document.getElementById(one.getAttribute("aria-labelledby"))))
          .map((one) => one.outerHTML)"""
    )
    assert unnamed == []
    page.click(".card-open")
    page.wait("document.querySelector('#detail').open")
    # Outside of an open dialog nothing is heard.
    assert page.run("Boolean(document.querySelector('#detail').matches(':modal'))")
    page.click("#copy-one")
    page.wait("window.__toasts.includes('Copied')")
    assert page.run("document.querySelector('#detail').contains(document.querySelector('#toasts'))")


@pytest.mark.slow
@pytest.mark.parametrize("width", [320, 360, 768])
def test_nothing_is_wider_than_a_phone(
    open_page: OpenPage, photos: Photos, tmp_path: Path, width: int
) -> None:
    page = open_page(width=width, height=740, mobile=True, expected=("415",))
    fits = f"document.scrollingElement.scrollWidth <= {width}"
    assert page.run(fits)
    broken = tmp_path / f"{'long' * 30}.jpg"
    broken.write_bytes(b"no photo")
    add(page, photos["chelsea"], photos["coffee"], broken)
    page.wait("document.querySelector('.toast.error')")
    assert page.run(fits)
    page.run("document.querySelector('.toast.error button').click()")
    page.click("#side-toggle")
    page.wait("document.querySelector('#own').checkVisibility()")
    page.run("document.querySelector('#own').focus()")
    page.type(f"{'very ' * 20}long,")
    page.wait("document.querySelectorAll('#own-chips li').length")
    assert page.run(fits)
    page.run("document.querySelector('#side-toggle').click()")
    page.wait("document.querySelector('#progress').hidden")
    page.click(".card-open")
    page.wait("document.querySelector('#detail').open")
    page.click("#detail-tags .tag")
    page.wait("document.querySelector('#detail-heat').dataset.tag")
    inside = page.run(
        "[...document.querySelectorAll('#detail *')].filter((one) => one.checkVisibility() &&"
        f" one.getBoundingClientRect().right > {width} + 0.5).map((one) => one.outerHTML)"
    )
    assert inside == []
    small = page.run(
        "[...document.querySelectorAll('button')].filter((one) => one.checkVisibility())"
        ".map((one) => [one.outerHTML, one.getBoundingClientRect()])"
        ".filter(([, box]) => box.width < 24 || box.height < 24)"
    )
    assert small == []


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(
    open_page: OpenPage, photos: Photos, tmp_path: Path, scheme: str
) -> None:
    spec = find_spec("axe_core_python")
    if spec is None or spec.origin is None:
        pytest.skip("axe-core comes with anytag[dev]")
    axe = (Path(spec.origin).parent / "axe.min.js").read_text(encoding="utf-8")
    page = open_page(
        expected=("415",), prefers_color_scheme=scheme, prefers_reduced_motion="reduce"
    )
    page.run(f"{axe}; null")

    def faults() -> Any:
        return page.run(
            "axe.run().then(({violations}) => violations.map((one) =>"
            " `${one.id}: ${one.nodes.map((node) => node.html).join(' ')}`))"
        )

    assert faults() == []
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no photo")
    add(page, photos["chelsea"], photos["coffee"], broken)
    page.click("#own")
    page.type("forklift,")
    page.click("#search")
    page.wait("!document.querySelector('#suggestions').hidden")
    assert faults() == []
    page.press("Escape")
    page.click(".card-open")
    page.wait("document.querySelectorAll('#detail-tags .own').length")
    assert faults() == []
