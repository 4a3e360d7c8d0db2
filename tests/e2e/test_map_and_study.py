"""The map and a study in a real browser: by mouse, finger and keyboard, with and without JavaScript."""

from __future__ import annotations

import csv
import shutil
import urllib.request
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.browser import LOOKS, SIZES, needs_chromium, serious_faults, serving
from tests.e2e.browser import opened as opened_as

pytest.importorskip("playwright.sync_api", reason="playwright is absent: uv sync installs it")

STUDY = """
name = "small"
title = "A small study"
likes = 2
wall = 12
lists = 2
items = 4
[consent]
text = "We keep what you like."
[conditions]
models = ["visrank"]
explanation = "always"
[[questions]]
id = "fit"
text = "Did it fit?"
points = 5
"""

pytestmark = needs_chromium

# How fast a driver without a graphics card is, is said to every page that draws.
opened = partial(opened_as, unheard="GL Driver Message")


@pytest.fixture(scope="module")
def address(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Of a service of a copy of the run, with a study."""
    folder = tmp_path_factory.mktemp("studied") / "run"
    shutil.copytree(finished, folder)
    study = folder.parent / "study.toml"
    study.write_text(STUDY)
    with serving(folder, study=study) as found:
        yield found


@pytest.fixture(params=LOOKS)
def page(request: pytest.FixtureRequest, browser: Any) -> Iterator[Any]:
    scheme, size = request.param
    found = opened(browser, scheme=scheme, size=size)
    yield found
    found.context.close()


@pytest.fixture
def desktop(browser: Any) -> Iterator[Any]:
    found = opened(browser)
    yield found
    found.context.close()


@pytest.fixture
def phone(browser: Any) -> Iterator[Any]:
    found = opened(browser, size="phone")
    yield found
    found.context.close()


@pytest.fixture(params=SIZES)
def scriptless(request: pytest.FixtureRequest, browser: Any) -> Iterator[Any]:
    found = opened(browser, size=request.param, java_script_enabled=False)
    yield found
    found.context.close()


def to_map(page: Any, address: str, query: str = "") -> None:
    page.goto(f"{address}/map{query}")
    page.locator("#map-state:empty").wait_for(state="attached")
    page.wait_for_timeout(600)


def ink(page: Any, canvas: str) -> int:
    """How many pixels of a canvas are drawn on."""
    return int(
        page.evaluate(
            """id => new Promise(done => requestAnimationFrame(() => {
              document.dispatchEvent(new Event('x'));
              const from = document.getElementById(id), to = document.createElement('canvas');
              [to.width, to.height] = [from.width, from.height];
              const pen = to.getContext('2d', { willReadFrequently: true });
              pen.drawImage(from, 0, 0);
              const { data } = pen.getImageData(0, 0, to.width, to.height);
              let n = 0;
              for (let at = 3; at < data.length; at += 4) n += data[at] > 0;
              done(n);
            }))""",
            canvas,
        )
    )


def focused(page: Any) -> str:
    """The title on the card of the item with the focus; "" where there is none."""
    return str(page.evaluate("document.querySelector('#map-card:not([hidden]) b')?.textContent ?? ''"))


# ---- the map ------------------------------------------------------------------------------------------


def test_the_map_is_drawn_asks_no_other_host_and_reports_no_error(page: Any, address: str) -> None:
    to_map(page, address, "?user=u0001")
    assert ink(page, "map-over") > 500  # pictures and marks
    assert page.said == []
    assert [url for url in page.asked if not url.startswith((address, "data:", "blob:"))] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]


def test_the_map_has_no_serious_fault(page: Any, address: str) -> None:
    to_map(page, address, "?user=u0001&q=a")
    assert serious_faults(page, least=10) == []


@pytest.mark.parametrize("drawn_by", ["webgl2", "2d"])
def test_dots_are_drawn_with_and_without_webgl(browser: Any, address: str, drawn_by: str) -> None:
    page = opened(browser)
    page.add_init_script(
        """const before = HTMLCanvasElement.prototype.getContext;
        HTMLCanvasElement.prototype.getContext = function (kind, options) {
          if (kind === 'webgl2' && %s) return null;
          return before.call(this, kind, { ...options, preserveDrawingBuffer: true });
        };"""
        % ("true" if drawn_by == "2d" else "false")
    )
    to_map(page, address)
    assert ink(page, "map-dots") > 1000
    assert page.said == []
    page.context.close()


def test_a_dot_tells_what_it_is_and_a_click_opens_it(desktop: Any, address: str) -> None:
    to_map(desktop, address)
    box = desktop.locator("#map-stage").bounding_box()
    for k in range(60):  # over the middle, until there is something
        desktop.mouse.move(box["x"] + box["width"] / 2 + (k % 10) * 12 - 60, box["y"] + 200 + (k // 10) * 20)
        desktop.wait_for_timeout(40)
        if focused(desktop):
            break
    title = focused(desktop)
    assert title
    desktop.mouse.down()
    desktop.mouse.up()
    desktop.wait_for_url(f"{address}/items/*")
    assert title in desktop.content()


def test_dragging_moves_the_map_and_opens_nothing(desktop: Any, address: str) -> None:
    to_map(desktop, address)
    stage = desktop.locator("#map-stage")
    box = stage.bounding_box()
    before = desktop.locator("#map-over").evaluate("one => one.style.transform")
    desktop.mouse.move(box["x"] + 500, box["y"] + 200)
    desktop.mouse.down()
    desktop.mouse.move(box["x"] + 560, box["y"] + 230, steps=3)
    during = desktop.locator("#map-over").evaluate(
        "one => new Promise(done => requestAnimationFrame(() => done(one.style.transform)))"
    )
    desktop.mouse.up()
    assert during != before
    assert desktop.url.startswith(f"{address}/map")


def test_the_map_is_walked_by_keyboard_alone(desktop: Any, address: str) -> None:
    to_map(desktop, address)
    desktop.locator("#map-stage").focus()
    desktop.keyboard.press("n")
    desktop.wait_for_timeout(300)
    first = focused(desktop)
    desktop.keyboard.press("n")
    desktop.wait_for_timeout(300)
    second = focused(desktop)
    assert first
    assert second
    assert second != first
    assert second in desktop.locator("#said").text_content()  # it is read out
    desktop.keyboard.press("p")
    desktop.wait_for_timeout(300)
    assert focused(desktop) == first
    desktop.keyboard.press("+")
    desktop.keyboard.press("Shift+ArrowRight")
    desktop.wait_for_timeout(600)
    third = focused(desktop)
    assert third != first
    desktop.keyboard.press("Enter")
    desktop.wait_for_url(f"{address}/items/*")
    assert third in desktop.content()


def test_nobody_is_trapped_in_the_map(desktop: Any, address: str) -> None:
    to_map(desktop, address)
    desktop.locator("#map-stage").focus()
    desktop.keyboard.press("Tab")
    assert desktop.evaluate("document.activeElement.dataset.do") == "in"


def test_a_finger_shows_the_card_and_the_card_leads_on(phone: Any, address: str) -> None:
    to_map(phone, address)
    phone.locator("#map-stage").scroll_into_view_if_needed()
    phone.wait_for_timeout(200)
    box = phone.locator("#map-stage").bounding_box()
    for k in range(48):
        phone.touchscreen.tap(box["x"] + 120 + (k % 8) * 20, box["y"] + 140 + (k // 8) * 30)
        phone.wait_for_timeout(80)
        if focused(phone):
            break
    title = focused(phone)
    assert title
    phone.locator("#map-card").tap()
    phone.wait_for_url(f"{address}/items/*")
    assert title in phone.content()


def test_colours_change_without_a_new_page_and_the_address_says_so(desktop: Any, address: str) -> None:
    to_map(desktop, address, "?by=style")
    desktop.evaluate("window.stays = true")
    desktop.select_option("#by", "year")
    desktop.locator("#map-legend .r0").wait_for()
    assert "by=year" in desktop.url
    assert desktop.evaluate("window.stays")
    assert desktop.said == []


def test_a_search_flies_to_the_item(desktop: Any, address: str) -> None:
    to_map(desktop, address)
    title = desktop.locator(".region .frame").first.get_attribute("alt")
    desktop.fill("#find", title)
    desktop.locator("#map-words [data-fly]").first.click()
    desktop.locator("#map-card:not([hidden]) b", has_text=title).wait_for()  # where the flight ends
    assert focused(desktop) == title
    assert desktop.url.startswith(f"{address}/map")


def test_a_person_is_lit_up_by_signs_that_are_explained(desktop: Any, address: str) -> None:
    to_map(desktop, address)
    dark = ink(desktop, "map-over")
    desktop.fill("#user", "u0001")
    desktop.click("#map-form .button")
    desktop.locator("#map-legend .heart").wait_for()
    desktop.wait_for_timeout(700)
    assert ink(desktop, "map-over") != dark
    assert "recommends 20" in " ".join(desktop.locator("#map-legend").inner_text().split())
    assert desktop.locator("#of-person").inner_text().startswith("u0001")


def test_less_motion_means_no_flight(browser: Any, address: str) -> None:
    page = opened(browser, reduced_motion="reduce")
    to_map(page, address)
    page.locator("[data-region]").first.click()
    first = page.locator("#map-over").evaluate(
        "one => new Promise(done => requestAnimationFrame(() => done(one.style.transform)))"
    )
    page.wait_for_timeout(120)
    assert page.locator("#map-over").evaluate("one => one.style.transform") == first
    page.context.close()


def test_without_javascript_there_is_a_drawing_and_the_regions_as_lists(
    scriptless: Any, address: str
) -> None:
    scriptless.goto(f"{address}/map?user=u0001&by=style")
    drawing = scriptless.locator("img.map-drawing")
    assert drawing.is_visible()
    assert scriptless.locator("#map-stage").is_hidden()
    assert scriptless.locator(".region").count() >= 2
    scriptless.locator(".region .open").first.click()
    assert scriptless.url.startswith(f"{address}/items/")


# ---- the study ----------------------------------------------------------------------------------------


def begin(page: Any, address: str) -> None:
    page.goto(f"{address}/study")
    page.check("[name=agreed]")
    page.click(".study-form .button")
    page.wait_for_selector(".pick")
    page.wait_for_load_state("networkidle")


def choose(page: Any, n: int = 2) -> None:
    for k in range(n):
        page.locator(".pick").nth(k).click()
        page.locator('.pick[aria-pressed="true"]').nth(k).wait_for()


def rows(address: str, table: str) -> list[dict[str, str]]:
    with urllib.request.urlopen(f"{address}/study/export.csv?table={table}") as answer:
        return list(csv.DictReader(answer.read().decode().splitlines()))


def code(page: Any) -> str:
    return str(page.locator(".code, .study-code code").first.inner_text())


def test_a_participant_goes_from_consent_to_thanks(page: Any, address: str) -> None:
    """And on the way each page is looked at: for faults, for what it says, and for whether it fits."""
    page.goto(f"{address}/study")

    def look() -> None:
        page.wait_for_load_state("networkidle")
        assert serious_faults(page, least=10) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]
        assert page.locator("header nav").count() == 0  # no way to other pages

    look()
    begin(page, address)
    assert page.locator("#study-go").is_disabled()
    choose(page)
    look()
    page.click("#study-go")
    page.wait_for_selector(".study-list")
    page.wait_for_load_state("networkidle")
    assert page.locator(".reason").count() == 4
    page.locator(".study-list .open").first.click()
    page.locator("#study-large img").wait_for()
    page.keyboard.press("Escape")
    page.locator('.study-list [data-act="like"]').nth(1).click()
    page.locator('.study-list [data-act="hide"]').nth(2).click()
    page.locator('.study-list [data-act="hide"][aria-pressed="true"]').wait_for()
    look()
    for _ in range(2):
        page.click(".study-bar .button")
    page.wait_for_selector(".likert")
    look()
    page.check('[name="q-fit"][value="4"]')
    page.click(".study-form .button")
    page.wait_for_selector(".study-code")
    look()
    mine = code(page)
    assert [one["answer"] for one in rows(address, "answers") if one["participant"] == mine] == ["4"]
    table = [one for one in rows(address, "items") if one["participant"] == mine]
    assert [one["round"] for one in table] == ["1"] * 4 + ["2"] * 4
    assert [(one["n_click"], one["n_like"], one["n_hide"]) for one in table[:3]] == [
        ("1", "0", "0"),
        ("0", "1", "0"),
        ("0", "0", "1"),
    ]
    assert page.said == []
    assert [url for url in page.asked if not url.startswith((address, "data:"))] == []


def test_a_study_is_done_by_keyboard_alone(desktop: Any, address: str) -> None:
    desktop.goto(f"{address}/study")

    def to(selector: str) -> None:
        """Tab until it has the focus."""
        for _ in range(80):
            if desktop.evaluate("one => document.activeElement?.matches(one) ?? false", selector):
                return
            desktop.keyboard.press("Tab")
        raise AssertionError(f"{selector} is not reached")

    to("[name=agreed]")
    desktop.keyboard.press("Space")
    to(".study-form .button")
    desktop.keyboard.press("Enter")
    desktop.wait_for_selector(".pick")
    to(".pick")
    desktop.keyboard.press("Enter")
    desktop.keyboard.press("ArrowRight")  # from picture to picture
    desktop.keyboard.press("l")
    desktop.locator('.pick[aria-pressed="true"]').nth(1).wait_for()
    to("#study-go")
    desktop.keyboard.press("Enter")
    desktop.wait_for_selector(".study-list")
    for _ in range(2):
        to(".study-bar .button")
        with desktop.expect_navigation():
            desktop.keyboard.press("Enter")
    desktop.wait_for_selector(".likert")
    to("[name=q-fit]")
    desktop.keyboard.press("ArrowRight")
    desktop.keyboard.press("ArrowRight")
    to(".study-form .button")
    desktop.keyboard.press("Enter")
    desktop.wait_for_selector(".study-code")
    mine = code(desktop)
    assert [one["answer"] for one in rows(address, "answers") if one["participant"] == mine] != []


def test_a_study_is_done_and_left_without_javascript(scriptless: Any, address: str) -> None:
    begin(scriptless, address)
    choose(scriptless)
    scriptless.click("#study-go")
    scriptless.locator(".study-list .open").first.click()
    assert scriptless.locator(".study-one").is_visible()
    scriptless.click(".pager .button")
    scriptless.locator('.study-list [data-act="like"]').first.click()
    assert scriptless.locator('.study-list [data-act="like"][aria-pressed="true"]').count() == 1
    for _ in range(2):
        scriptless.click(".study-bar .button")
    scriptless.check('[name="q-fit"][value="1"]')
    scriptless.click(".study-form .button")
    mine = code(scriptless)
    assert mine in [one["participant"] for one in rows(address, "participants")]
    scriptless.locator('a[href="/study/withdraw"]').first.click()
    scriptless.click(".study-form .button")
    assert "deleted" in scriptless.locator("h1").inner_text()
    assert mine not in [one["participant"] for one in rows(address, "participants")]


def test_what_is_not_stored_is_taken_back_and_said(desktop: Any, address: str) -> None:
    begin(desktop, address)
    desktop.route("**/study/act", lambda route: route.abort())
    desktop.locator(".pick").first.click()
    desktop.locator("#said:not(:empty)").wait_for()
    assert "Not stored" in desktop.locator("#said").inner_text()
    assert desktop.locator('.pick[aria-pressed="true"]').count() == 0
    assert desktop.locator("#study-count").inner_text().startswith("0 of")
