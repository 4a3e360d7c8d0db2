"""Try it and Compare in a real browser: with and without scripts, by keyboard alone, on a phone, in the dark."""

from __future__ import annotations

import base64
import io
import re
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.browser import (
    SHIFTS,
    SIZES,
    check_reached_by_keyboard,
    needs_chromium,
    serious_faults,
    serving,
)
from tests.e2e.browser import opened as opened_as

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is absent: uv sync installs it")

PATHS = {
    "try": "/try",
    "list": "/try?like=00003&like=00009&less=00017&hide=00021&diversity=30&model=visrank",
    "compare": "/compare",
    "compare-other": "/compare?metric=auc&baseline=popularity",
    "people": "/compare/people?metric=ndcg%4020&a=vbpr&b=visrank",
    "one": "/compare/people?metric=visual_diversity%4020&a=visrank&order=most",
}
LOOKS = [
    pytest.param(
        (name, scheme, size),
        id=f"{name}-{scheme}-{size}",
        marks=() if (scheme, size) in {("light", "desktop"), ("dark", "phone")} else pytest.mark.slow,
    )
    for name in PATHS
    for scheme in ("light", "dark")
    for size in SIZES
]
pytestmark = needs_chromium

opened = partial(opened_as, reduced_motion="reduce")
playwright.expect.set_options(timeout=30_000)  # the first photo starts the processes that decode


@pytest.fixture(scope="module")
def folder(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the run, into which the service may write."""
    found = tmp_path_factory.mktemp("served") / "run"
    shutil.copytree(finished, found)
    return found


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    with serving(folder) as found:
        yield found


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A desktop in the light, on which nothing may fail."""
    found = opened(browser)
    yield found
    assert found.said == []
    found.context.close()


@pytest.fixture
def plain(browser: Any) -> Iterator[Any]:
    """A browser without scripts."""
    found = opened(browser, java_script_enabled=False)
    yield found
    found.context.close()


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A picture that is no item: orange stripes."""
    from PIL import Image

    picture = Image.new("RGB", (300, 200), (200, 60, 40))
    for x in range(0, 300, 20):
        picture.paste((240, 200, 80), (x, 0, x + 8, 200))
    path = tmp_path_factory.mktemp("photo") / "stripes.jpg"
    picture.save(path)
    return path


def items_of(page: Any) -> list[str]:
    """Of the list, best first."""
    return [one.get_attribute("data-item") for one in page.locator(".list .tile").all()]


def expect(what: Any) -> Any:
    return playwright.expect(what)


def expect_url(page: Any, query: str) -> None:
    playwright.expect(page).to_have_url(re.compile(rf"/try{re.escape(query)}$"))


# ---- every page ----


@pytest.mark.parametrize("look", LOOKS)
def test_a_page_is_whole(browser: Any, address: str, look: tuple[str, str, str]) -> None:
    """Nothing fails, no other host is asked, nothing moves while it loads or sticks out, axe does not complain."""
    name, scheme, size = look
    page = opened(browser, scheme, size)
    page.add_init_script(SHIFTS)
    page.goto(address + PATHS[name], wait_until="networkidle")
    page.mouse.wheel(0, 100_000)  # lazy pictures come in
    page.wait_for_load_state("networkidle")
    assert page.evaluate("window.shifts.reduce((sum, one) => sum + one, 0)") < 0.01
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    page.wait_for_load_state("networkidle")
    assert page.said == []
    assert [url for url in page.asked if not url.startswith((address, "data:"))] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]
    assert serious_faults(page, least=15) == []
    page.context.close()


@pytest.mark.parametrize("name", PATHS)
def test_everything_is_reached_by_keyboard(page: Any, address: str, name: str) -> None:
    page.goto(address + PATHS[name], wait_until="networkidle")
    check_reached_by_keyboard(page)


@pytest.mark.parametrize("name", PATHS)
def test_without_scripts_all_of_it_is_there(plain: Any, address: str, name: str) -> None:
    plain.goto(address + PATHS[name])
    assert plain.locator("h1").count() == 1
    assert plain.locator("main img, main svg.plot, main table").count() > 2
    assert not any(one.is_visible() for one in plain.locator(".scripted").all())


# ---- Try ----


def test_the_list_follows_what_is_chosen(page: Any, address: str) -> None:
    page.goto(address + "/try", wait_until="networkidle")
    wall = page.locator("#wall button.open")
    first, second = wall.nth(0).get_attribute("value"), wall.nth(3).get_attribute("value")
    wall.nth(0).click()
    wall.nth(3).click()
    expect_url(page, f"?like={first}&like={second}")
    expect(page.locator(".list .tile")).to_have_count(15)
    expect(wall.nth(3)).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#said")).to_have_text("15 recommendations for 2 pictures, by visrank.")
    assert {first, second} & set(items_of(page)) == set()
    titles = {one.get_attribute("alt") for one in page.locator(".pick img").all()}
    reasons = {one.inner_text() for one in page.locator(".list .because q").all()}
    assert reasons
    assert reasons <= titles

    before = items_of(page)
    page.locator(".list .tile").nth(1).get_by_role("button", name="Hide").click()
    expect_url(page, f"?like={first}&like={second}&hide={before[1]}")
    expect(page.locator(f'.list [data-item="{before[1]}"]')).to_have_count(0)
    assert items_of(page)[:2] == [before[0], before[2]]
    page.locator(".list .tile").nth(0).get_by_role("button", name="Less like").click()
    expect(page.locator(".pick.less")).to_have_count(1)
    assert before[0] not in items_of(page)

    wall.nth(3).click()
    expect(wall.nth(3)).to_have_attribute("aria-pressed", "false")
    expect(page.locator(".pick[data-liked]")).to_have_count(1)
    page.go_back()
    expect(page.locator(".pick[data-liked]")).to_have_count(2)


def test_clicks_in_a_row_ask_once(page: Any, address: str) -> None:
    page.goto(address + "/try", wait_until="networkidle")
    page.asked.clear()
    page.evaluate("document.querySelectorAll('#wall button.open').forEach((one, n) => n < 4 && one.click())")
    expect(page.locator(".pick")).to_have_count(4)
    assert len([url for url in page.asked if "/try/list" in url]) == 1


def test_a_shared_address_gives_the_same_list_to_somebody_else(page: Any, plain: Any, address: str) -> None:
    page.goto(address + "/try", wait_until="networkidle")
    for place in (1, 4, 8):
        page.locator("#wall button.open").nth(place).click()
    page.locator("#diversity").fill("60")
    page.locator("#model").select_option("item_knn")
    expect(page.locator("#said")).to_have_text(re.compile("by item_knn"))
    mine = items_of(page)
    other = opened(page.context.browser)
    other.goto(page.url)
    assert items_of(other) == mine
    other.context.close()
    plain.goto(page.url)
    assert items_of(plain) == mine
    assert plain.locator("#model").input_value() == "item_knn"


def test_variety_changes_the_list_and_the_model_too(page: Any, address: str) -> None:
    page.goto(address + PATHS["list"].replace("&diversity=30", ""), wait_until="networkidle")
    before = items_of(page)
    page.locator("#diversity").fill("90")
    expect(page).to_have_url(re.compile("diversity=90"))
    expect(page.locator(".offer")).not_to_have_attribute("aria-busy", "true")
    assert items_of(page) != before
    assert items_of(page)[0] == before[0]  # the best stays the best
    page.locator("#model").select_option("item_knn")
    expect(page.locator(".how")).to_contain_text("does not look at pictures")


def test_other_pictures_can_be_chosen_from(page: Any, address: str) -> None:
    page.goto(address + "/try", wait_until="networkidle")
    wall = page.locator("#wall button.open")
    before = [one.get_attribute("value") for one in wall.all()]
    wall.nth(0).click()
    expect(page.locator(".pick")).to_have_count(1)
    page.get_by_role("link", name="Show others").click()
    expect(wall.nth(0)).not_to_have_attribute("value", before[0])
    after = [one.get_attribute("value") for one in wall.all()]
    assert set(before) & set(after) == set()
    expect(page.locator(".pick")).to_have_count(1)  # what was chosen stays


def test_by_keyboard_alone(page: Any, address: str) -> None:
    page.goto(address + "/try", wait_until="networkidle")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.matches('#wall button.open')")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("l")
    expect(page.locator("#wall button.open").nth(1)).to_have_attribute("aria-pressed", "true")
    expect(page.locator(".list .tile")).to_have_count(15)
    page.locator(".list .open").first.focus()
    page.keyboard.press("ArrowRight")
    hidden = items_of(page)[1]
    page.keyboard.press("h")
    expect(page.locator(f'.list [data-item="{hidden}"]')).to_have_count(0)
    assert page.evaluate("document.activeElement.matches('.list a.open')")  # the focus is not lost


def watched(page: Any) -> list[str]:
    """The methods and paths of requests that carry something."""
    sent: list[str] = []
    page.on("request", lambda asked: asked.method != "GET" and sent.append(f"{asked.method} {asked.url}"))
    return sent


def test_a_photo_is_looked_at_and_forgotten(page: Any, address: str, photo: Path, folder: Path) -> None:
    sent = watched(page)
    page.goto(address + "/try", wait_until="networkidle")
    page.locator("#file").set_input_files(photo)
    pick = page.locator(".pick[data-photo] img")
    expect(pick).to_have_attribute("src", re.compile("^blob:"))
    expect(page.locator(".list .tile")).to_have_count(15)
    assert page.locator(".because img").first.get_attribute("src").startswith("blob:")
    expect(page.locator(".alike .tile")).to_have_count(12)
    assert page.url == address + "/try"  # it is not part of the address
    page.locator("#wall button.open").first.click()
    expect(page.locator(".pick")).to_have_count(2)
    assert set(sent) == {f"POST {address}/try/list"}
    assert not (folder / "uploads").exists()
    page.get_by_role("button", name="Take back your photo").click()
    expect(page.locator(".pick")).to_have_count(1)


def test_a_photo_can_be_dropped(page: Any, address: str, photo: Path) -> None:
    page.goto(address + "/try", wait_until="networkidle")
    data = page.evaluate_handle(
        """text => {
             const bytes = Uint8Array.from(atob(text), sign => sign.charCodeAt(0));
             const data = new DataTransfer();
             data.items.add(new File([bytes], "stripes.jpg", { type: "image/jpeg" }));
             return data;
           }""",
        base64.b64encode(photo.read_bytes()).decode(),
    )
    page.dispatch_event("#photo", "dragover", {"dataTransfer": data})
    expect(page.locator("#photo")).to_have_class(re.compile("over"))
    page.dispatch_event("#photo", "drop", {"dataTransfer": data})
    expect(page.locator(".pick[data-photo]")).to_have_count(1)
    expect(page.locator(".list .tile")).to_have_count(15)


def test_what_is_no_picture_is_refused_in_words(browser: Any, address: str, tmp_path: Path) -> None:
    page = opened(browser)
    page.goto(address + "/try?like=00003", wait_until="networkidle")
    before = items_of(page)
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\n and nothing more")
    page.locator("#file").set_input_files(broken)
    expect(page.locator("#said")).to_contain_text(re.compile("picture", re.IGNORECASE))
    expect(page.locator(".pick")).to_have_count(1)
    assert items_of(page) == before
    page.context.close()


def test_a_kept_photo_is_in_the_address_until_it_is_forgotten(
    page: Any, plain: Any, address: str, photo: Path, folder: Path
) -> None:
    from PIL import Image

    page.goto(address + "/try", wait_until="networkidle")
    page.get_by_label("Keep it").check()
    page.locator("#file").set_input_files(photo)
    expect(page).to_have_url(re.compile(r"\?photo=[0-9a-f]{64}$"))
    expect(page.locator(".list .tile")).to_have_count(15)
    (kept,) = (folder / "uploads").glob("*.webp")
    with Image.open(kept) as stored:
        assert stored.size == (300, 200)
    mine = items_of(page)
    plain.goto(page.url)
    assert items_of(plain) == mine
    plain.get_by_role("button", name="Forget the kept photo").click()
    assert list((folder / "uploads").glob("*.webp")) == []
    plain.goto(page.url)
    assert plain.locator(".pick").count() == 0


def test_without_scripts_pictures_are_chosen_and_taken_back(plain: Any, address: str) -> None:
    plain.goto(address + "/try")
    item = plain.locator("#wall button.open").nth(2).get_attribute("value")
    plain.locator("#wall button.open").nth(2).click()
    expect_url(plain, f"?like={item}")
    assert plain.locator("#wall button.open").nth(2).get_attribute("aria-pressed") == "true"
    hidden = items_of(plain)[0]
    plain.locator(".list .tile").first.get_by_role("button", name="Hide").click()
    expect_url(plain, f"?like={item}&hide={hidden}")
    assert hidden not in items_of(plain)
    plain.get_by_role("link", name="show it again").click()
    assert items_of(plain)[0] == hidden
    plain.get_by_label("Model").select_option("item_knn")
    plain.locator("#settings").get_by_role("button", name="Show").click()
    expect_url(plain, f"?like={item}&model=item_knn&diversity=0")
    plain.get_by_role("button", name="Take back").click()
    expect_url(plain, "?model=item_knn")


def test_without_scripts_a_photo_is_looked_at_or_kept(
    plain: Any, address: str, photo: Path, folder: Path
) -> None:
    from PIL import Image

    plain.goto(address + "/try?like=00003")
    plain.locator("#file").set_input_files(photo)
    plain.get_by_role("button", name="Look at it", exact=True).click()
    assert len(items_of(plain)) == 15
    source = plain.locator(".pick[data-photo] img").get_attribute("src")
    shown = Image.open(io.BytesIO(base64.b64decode(source.partition("base64,")[2])))
    assert shown.size == (160, 107)
    plain.locator("#file").set_input_files(photo)
    plain.get_by_role("button", name="Look at it and keep it").click()
    expect(plain).to_have_url(re.compile(r"/try\?like=00003&photo=[0-9a-f]{64}$"))
    plain.get_by_role("button", name="Forget the kept photo").click()


def test_who_keeps_nothing_offers_nothing(browser: Any, folder: Path, photo: Path) -> None:
    with serving(folder, read_only=True) as address:
        page = opened(browser)
        page.goto(address + "/try", wait_until="networkidle")
        assert page.get_by_label("Keep it").count() == 0
        page.locator("#file").set_input_files(photo)
        expect(page.locator(".list .tile")).to_have_count(15)  # to look at it, nothing is written
        assert page.evaluate(
            "fetch('/try/keep', { method: 'POST', body: new FormData() }).then(answer => answer.status)"
        ) in (403, 422)
        page.context.close()


@pytest.mark.slow
def test_a_run_without_models_for_visitors_says_what_to_train(
    browser: Any, visrec: Any, shop: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    visrec("run", shop, "--models", "popularity,bpr", "--out", out)
    with serving(out) as address:
        page = opened(browser)
        page.goto(address + "/try")
        assert f"visrec run {shop} --models visrank,item_knn --out {out}" in page.locator("main").inner_text()
        page.goto(address + "/compare")
        assert page.locator(".contest tbody tr").count() == 2
        page.context.close()


# ---- Compare ----


def test_every_number_leads_to_its_people(plain: Any, address: str) -> None:
    """The means of the leaderboard, and from a difference to those who lose most, and from there to a person."""
    plain.goto(address + "/compare")
    links = plain.locator("main .number a")
    assert links.count() > 60
    for place in range(0, links.count(), 17):
        plain.goto(address + "/compare")
        if not links.nth(place).is_visible():
            continue  # in a folded part
        links.nth(place).click()
        assert plain.locator(".behind .person").count() > 0
    plain.goto(address + "/compare?metric=auc&baseline=bpr")
    row = plain.locator(".contest tr", has=plain.get_by_role("rowheader", name=re.compile("^vbpr")))
    worse = int(re.search(r"[\d,]+", row.get_by_role("link", name="worse").inner_text()).group())
    row.get_by_role("link", name="worse").click()
    assert plain.locator("h1").inner_text() == "Where vbpr loses most to bpr"
    facts = plain.locator(".facts div", has_text="vbpr gives less").locator("dd").inner_text()
    assert int(facts) == worse
    plain.locator(".behind h3 a").first.click()
    assert re.search(r"/people/[^?]+\?first=vbpr&second=bpr$", plain.url)
    assert plain.locator("h1").count() == 1


def test_people_come_in_order_and_each_once(plain: Any, address: str) -> None:
    plain.goto(address + PATHS["people"].replace("ndcg%4020", "auc"))
    users, values = [], []
    while True:
        users += plain.locator(".behind h3").all_inner_texts()
        values += [
            float(one.split()[-1].replace("−", "-"))
            for one in plain.locator(".behind .apart").all_inner_texts()
        ]
        if not plain.get_by_role("link", name="Next").count():
            break
        plain.get_by_role("link", name="Next").click()
    assert len(users) == len(set(users)) > 10
    assert values == sorted(values)
    assert plain.locator("svg.plot").count() == 1


def test_the_people_that_are_asked_for_can_be_chosen(plain: Any, address: str) -> None:
    plain.goto(address + PATHS["people"])
    plain.get_by_label("Model").select_option("item_knn")
    plain.get_by_label("Held against").select_option("bpr")
    plain.get_by_label("By", exact=True).select_option("auc")
    plain.get_by_label("First").select_option("most")
    plain.get_by_role("button", name="Show").click()
    assert plain.locator("h1").inner_text() == "Where item_knn gains most over bpr"
    plain.get_by_label("Held against").select_option("")
    plain.get_by_role("button", name="Show").click()
    assert plain.locator("h1").inner_text() == "item_knn: served best first"


def test_the_comparison_can_be_taken_along(page: Any, address: str) -> None:
    page.goto(address + "/compare?metric=auc&baseline=random")
    with page.expect_download() as taken:
        page.get_by_role("link", name="CSV").click()
    text = Path(taken.value.path()).read_text(encoding="utf-8")
    assert taken.value.suggested_filename == "comparison.csv"
    assert "vbpr" in text
    assert "auc" in text


@pytest.mark.parametrize(
    "path",
    [
        "/compare?metric=x",
        "/compare?baseline=x",
        "/compare/people?a=x",
        "/compare/people?a=vbpr&b=vbpr",
        "/compare/people?a=vbpr&slice=x",
        "/compare/table.exe",
    ],
)
def test_what_is_not_there_is_told_by_a_page(plain: Any, address: str, path: str) -> None:
    answer = plain.goto(address + path)
    assert 400 <= answer.status < 500
    assert plain.locator("h1").count() == 1
    assert "There " in plain.locator("main").inner_text() or "itself" in plain.locator("main").inner_text()
