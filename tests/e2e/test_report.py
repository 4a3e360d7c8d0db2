"""report.html in a real browser: nothing is asked of any host, nothing fails, everybody can use it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.browser import LOOKS, needs_chromium, serious_faults

SIZES = {"desktop": {"width": 1280, "height": 900}, "phone": {"width": 390, "height": 844}}

pytestmark = needs_chromium


@pytest.fixture(params=LOOKS)
def page(request: pytest.FixtureRequest, browser: Any, finished: Path) -> Iterator[Any]:
    """The report of a run, and what the browser did on its account: `page.asked`, `page.said`."""
    scheme, size = request.param
    context = browser.new_context(color_scheme=scheme, viewport=SIZES[size])
    opened = context.new_page()
    opened.asked, opened.said = [], []
    opened.on("request", lambda asked: opened.asked.append(asked.url))
    opened.on("console", lambda message: opened.said.append(message.text))
    opened.on("pageerror", lambda error: opened.said.append(str(error)))
    opened.goto((finished / "report.html").as_uri())
    yield opened
    context.close()


def open_everything(page: Any) -> None:
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")


def test_the_page_asks_no_host_and_reports_no_error(page: Any, finished: Path) -> None:
    open_everything(page)
    page.wait_for_timeout(200)
    assert [url for url in page.asked if not url.startswith("data:")] == [(finished / "report.html").as_uri()]
    assert page.said == []


def test_pictures_are_there_to_be_seen(page: Any) -> None:
    """Each frame has a picture that decodes, and room on the page."""
    sizes = page.evaluate(
        """async () => Promise.all([...document.querySelectorAll('.frame:not(.none)')].map(async frame => {
             const image = new Image();
             image.src = getComputedStyle(frame).backgroundImage.slice(5, -2);
             await image.decode();
             const box = frame.getBoundingClientRect();
             return [image.naturalWidth, image.naturalHeight, box.width, box.height];
           }))"""
    )
    assert len(sizes) > 50
    assert all(side > 0 for one in sizes for side in one)


def test_plots_are_drawn_within_the_page(page: Any) -> None:
    boxes = page.evaluate(
        """[...document.querySelectorAll('.panels svg')].map(one => {
             const box = one.getBoundingClientRect();
             return [box.width, box.height, box.left, innerWidth - box.right];
           })"""
    )
    assert len(boxes) >= 8  # a violin a model, a curve of each that is trained in epochs
    for width, height, left, right in boxes:
        assert min(width, height) > 100
        assert min(left, right) >= 0


def test_the_page_does_not_scroll_sideways(page: Any) -> None:
    open_everything(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]


def test_everything_is_reached_and_opened_by_keyboard(page: Any) -> None:
    page.evaluate(
        "[...document.querySelectorAll('a[href], summary, [tabindex]')].forEach((one, n) => one.dataset.n = n)"
    )
    there = page.evaluate(
        "[...document.querySelectorAll('[data-n]')].filter(one => one.checkVisibility({contentVisibilityAuto: true}))"
        ".map(one => one.dataset.n)"
    )
    reached: list[str] = []
    for _ in there:
        page.keyboard.press("Tab")
        number, outline = page.evaluate(
            "[document.activeElement.dataset.n, getComputedStyle(document.activeElement).outlineStyle]"
        )
        assert outline == "solid"  # where one is can be seen
        reached.append(number)
    assert reached == there
    page.locator("summary").first.focus()
    page.keyboard.press("Enter")
    assert page.locator("details").first.evaluate("one => one.open")
    scrolling = page.locator(".scroll").first
    scrolling.focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_timeout(300)
    room = scrolling.evaluate("one => one.scrollWidth - one.clientWidth")
    assert scrolling.evaluate("one => one.scrollLeft") > 0 or room <= 0


def test_axe_finds_no_serious_fault(page: Any) -> None:
    open_everything(page)
    assert serious_faults(page, least=10) == []


def test_the_page_can_be_printed_whole(browser: Any, finished: Path, tmp_path: Path) -> None:
    """On paper the provenance is open, whatever was closed, and the paper is white also for those who prefer dark."""
    page = browser.new_page(color_scheme="dark")
    page.goto((finished / "report.html").as_uri())
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(250, 249, 246)"
    assert page.locator(".provenance dl").first.evaluate("one => one.getBoundingClientRect().height") > 100
    page.close()
