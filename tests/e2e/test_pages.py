"""The pages that are read, in a real browser: home, people, items, paths, why."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.browser import (
    LOOKS,
    SHIFTS,
    check_reached_by_keyboard,
    needs_chromium,
    serious_faults,
    serving,
)
from tests.e2e.browser import opened as opened_as

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is absent: uv sync installs it")
pytest.importorskip("fastapi", reason="the service is absent: uv sync --all-extras installs it")

pytestmark = needs_chromium

opened = partial(opened_as, reduced_motion="reduce")


@pytest.fixture(scope="module")
def address(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Of a service of a copy of the run, with the measures of its pictures."""
    from visrec.explain import attribute_table
    from visrec.run_folder import Run

    folder = tmp_path_factory.mktemp("served") / "run"
    shutil.copytree(finished, folder)
    attribute_table(Run.load(folder).data.catalog, folder / "attributes", n_workers=1)
    with serving(folder) as found:
        yield found


@pytest.fixture(scope="module")
def person(finished: Path) -> str:
    """Somebody for whom the best model was right: the one of the first page."""
    from visrec.serving.engine import Engine
    from visrec.serving.pages.people import example

    return str(example(Engine.open(finished)))


@pytest.fixture(scope="module")
def addresses(address: str, person: str) -> dict[str, str]:
    """Of one page of each kind."""
    paths = {
        "home": "/",
        "people": "/people",
        "person": f"/people/{person}",
        "items": "/items?q=no",
        "item": "/items/00007?to=o",
        "path": "/paths?from=00007&to=00031",
        "why": f"/why?model=vbpr&user={person}&item=00007",
        "absent": "/items/nothing",
    }
    return {name: address + path for name, path in paths.items()}


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A desktop in the light."""
    found = opened(browser)
    yield found
    found.context.close()


NAMES = ("home", "people", "person", "items", "item", "path", "why")


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("name", NAMES)
def test_a_page_is_whole(browser: Any, addresses: dict[str, str], name: str, look: tuple[str, str]) -> None:
    """Nothing fails, no other host is asked, nothing moves while it loads or sticks out, axe does not complain."""
    page = opened(browser, *look)
    page.add_init_script(SHIFTS)
    page.goto(addresses[name], wait_until="networkidle")
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    page.mouse.wheel(0, 100_000)  # lazy pictures come in
    page.wait_for_load_state("networkidle")
    assert page.said == []
    home = addresses["home"]
    assert [url for url in page.asked if not url.startswith(home)] == []
    assert page.evaluate("window.shifts.reduce((sum, one) => sum + one, 0)") < 0.01
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]
    pictures = page.evaluate(
        """[...document.images].filter(one => one.complete && one.checkVisibility())
             .map(one => [one.naturalWidth, one.alt, one.getAttribute('width'), one.getAttribute('height')])"""
    )
    assert len(pictures) > 2
    assert all(width > 0 and alt and w and h for width, alt, w, h in pictures)
    assert serious_faults(page, least=15) == []
    page.context.close()


@pytest.mark.parametrize("name", NAMES)
def test_everything_is_reached_by_keyboard(page: Any, addresses: dict[str, str], name: str) -> None:
    page.goto(addresses[name], wait_until="networkidle")
    check_reached_by_keyboard(page)


def test_why_is_one_click_from_home_and_two_by_way_of_a_person(page: Any, addresses: dict[str, str]) -> None:
    page.goto(addresses["home"])
    page.locator("a.why").first.click()
    sheet = page.locator("dialog[open]")
    assert sheet.locator("h1").inner_text().startswith("Why “")
    assert "Because" in sheet.locator(".said-why").inner_text()
    page.keyboard.press("Escape")
    assert page.locator("dialog[open]").count() == 0

    page.goto(addresses["home"])
    page.get_by_role("link", name="Look at a person").click()
    page.locator("a.why").first.click()
    assert "Because" in page.locator("dialog[open] .said-why").inner_text()


def test_an_explanation_stays_inside_its_sheet_on_a_phone(browser: Any, addresses: dict[str, str]) -> None:
    from axe_playwright_python.sync_playwright import Axe

    page = opened(browser, "dark", "phone")
    page.goto(addresses["person"], wait_until="networkidle")
    page.locator("a.why").first.click()
    page.locator("dialog[open] h1").wait_for()
    assert (
        page.evaluate(
            "(() => { const d = document.querySelector('dialog[open]'); return d.scrollWidth - d.clientWidth; })()"
        )
        <= 0
    )
    faults = [
        one["id"]
        for one in Axe().run(page).response["violations"]
        if one["impact"] in ("serious", "critical")
    ]
    assert faults == []
    page.get_by_role("button", name="Close").click()
    assert page.locator("dialog[open]").count() == 0
    page.context.close()


def test_arrows_go_from_picture_to_picture(page: Any, addresses: dict[str, str]) -> None:
    page.goto(addresses["person"], wait_until="networkidle")
    page.evaluate("document.querySelectorAll('.tile > .open').forEach((one, n) => one.dataset.n = n)")
    page.keyboard.press("ArrowRight")
    at = "Number(document.activeElement.dataset.n)"
    assert page.evaluate(at) == 0
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert page.evaluate(at) == 2
    page.keyboard.press("ArrowLeft")
    assert page.evaluate(at) == 1
    x = page.evaluate("document.activeElement.getBoundingClientRect().x")
    width = page.evaluate("document.activeElement.getBoundingClientRect().width")
    page.keyboard.press("ArrowDown")
    below = page.evaluate("document.activeElement.getBoundingClientRect().x")
    assert page.evaluate(
        "document.activeElement.closest('.lists') !== null"
    )  # out of the history, into the lists
    assert abs(below - x) < width * 1.5
    page.keyboard.press("ArrowUp")
    assert page.evaluate("document.activeElement.closest('.before') !== null")
    address = page.evaluate("document.activeElement.href")
    page.keyboard.press("Enter")
    page.wait_for_url(address)


def test_letters_like_and_hide_and_the_service_remembers(page: Any, addresses: dict[str, str]) -> None:
    page.goto(addresses["items"], wait_until="networkidle")
    tile = page.locator(".tile").first
    item = tile.get_attribute("data-item")
    tile.locator(".open").focus()
    pressed = {kind: tile.locator(f'[data-act="{kind}"]') for kind in ("like", "hide")}
    for key, liked, hidden in (("l", True, False), ("h", False, True), ("l", True, False)):
        with page.expect_response("**/v1/events") as answer:
            page.keyboard.press(key)
        assert answer.value.ok
        playwright.expect(pressed["like"]).to_have_attribute("aria-pressed", str(liked).lower())
        playwright.expect(pressed["hide"]).to_have_attribute("aria-pressed", str(hidden).lower())
        page.wait_for_timeout(100)  # the answer has reached the page
        known = page.evaluate("fetch('/v1/session').then(answer => answer.json())")
        assert [str(one) for one in known["liked"]] == [item] * liked
        assert [str(one) for one in known["hidden"]] == [item] * hidden
    page.reload(wait_until="networkidle")
    playwright.expect(pressed["like"]).to_have_attribute("aria-pressed", "true")
    tile.locator(".open").focus()
    with page.expect_response("**/v1/events"):
        page.keyboard.press("l")
    assert page.evaluate("fetch('/v1/session').then(answer => answer.json())")["liked"] == []


def test_a_like_that_is_not_stored_is_taken_back(page: Any, addresses: dict[str, str]) -> None:
    page.goto(addresses["items"], wait_until="networkidle")
    page.route("**/v1/events", lambda route: route.abort())
    tile = page.locator(".tile").first
    tile.hover()
    tile.locator('[data-act="like"]').click()
    page.get_by_text("Not stored").wait_for()
    playwright.expect(tile.locator('[data-act="like"]')).to_have_attribute("aria-pressed", "false")


def test_keys_leave_fields_alone_and_can_be_switched_off(page: Any, addresses: dict[str, str]) -> None:
    page.goto(addresses["items"], wait_until="networkidle")
    page.keyboard.press("/")
    page.keyboard.type("l?/h")
    assert page.locator("#search").input_value() == "l?/h"  # the words of the last search were selected
    assert page.locator("dialog[open]").count() == 0
    page.locator(".tile .open").first.focus()
    page.keyboard.press("?")
    assert page.locator("#keys[open]").count() == 1
    page.get_by_label("Letters and signs are shortcuts").uncheck()
    page.keyboard.press("Escape")
    page.locator(".tile .open").first.focus()
    page.keyboard.press("?")
    assert page.locator("dialog[open]").count() == 0
    page.reload()
    page.keyboard.press("?")
    assert page.locator("dialog[open]").count() == 0


def test_a_hit_is_told_by_a_tick_a_frame_and_words(page: Any, addresses: dict[str, str], person: str) -> None:
    page.goto(addresses["person"])
    hit = page.locator(".lists .tile.hit").first
    assert hit.locator(".badge").inner_text() == "✓"
    assert "taken next" in hit.inner_text()
    assert hit.locator(".frame").evaluate("one => getComputedStyle(one).outlineStyle") == "solid"
    taken = page.locator("section", has=page.locator("#took")).locator(
        f'[data-item="{hit.get_attribute("data-item")}"]'
    )
    assert taken.count() == 1


def test_without_scripts_the_pages_can_be_read_and_asked(
    browser: Any, addresses: dict[str, str], person: str
) -> None:
    page = opened(browser, java_script_enabled=False)
    for name in NAMES:
        page.goto(addresses[name])
        assert page.locator("h1").count() == 1, name
        assert page.locator("main img").count() > 2, name
        assert not any(one.is_visible() for one in page.locator(".act, .scripted").all()), name
    page.goto(addresses["home"])
    page.locator("a.why").first.click()
    assert page.locator("h1").inner_text().startswith("Why “")
    page.goto(addresses["person"])
    page.get_by_label("First model").select_option("visrank")
    page.get_by_label("Length").select_option("6")
    page.get_by_role("button", name="Show").click()
    lists = page.locator(".lists > section")
    assert lists.nth(0).locator("h3").inner_text() == "visrank"
    assert [one.locator(".tile").count() for one in lists.all()] == [6, 6]
    page.goto(addresses["home"])
    page.get_by_label("Search the items").fill("00012")
    page.keyboard.press("Enter")
    page.wait_for_url("**/items?q=00012")
    assert [one.get_attribute("data-item") for one in page.locator("main .tile").all()] == ["00012"]
    page.locator("main .tile .open").click()
    page.locator("#path ~ form input, #to").last.fill("00031")
    page.get_by_role("button", name="Find").click()
    page.locator(".ends a").click()
    steps = page.locator(".path .tile")
    assert [steps.first.get_attribute("data-item"), steps.last.get_attribute("data-item")] == [
        "00012",
        "00031",
    ]
    page.context.close()


def test_what_is_not_there_has_a_page(page: Any, addresses: dict[str, str]) -> None:
    answer = page.goto(addresses["absent"])
    assert answer.status == 404
    assert page.locator("h1").inner_text() == "Not here"
    assert "Unknown item 'nothing'" in page.locator("main").inner_text()
