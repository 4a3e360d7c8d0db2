"""The pages that are read, as a browser without scripts gets them."""

from __future__ import annotations

import json
import re
from html import escape
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
from fastapi.testclient import TestClient

from visrec.serving.app import create_app
from visrec.serving.engine import Engine, Question
from visrec.serving.pages.home import _ends
from visrec.serving.pages.rendering import item_url, person_url, why_url
from visrec.serving.settings import ServiceSettings

from .conftest import PERSON, TITLE


def shown(page: str, part: str = "") -> list[str]:
    """Ids of the tiles of a page, or of what follows an id in it."""
    return re.findall(
        r'<li class="tile[^"]*" data-item="([^"]*)"', page[page.index(f'id="{part}"') :] if part else page
    )


def test_pages_hold_no_script_no_style_and_no_other_host(visitor: TestClient) -> None:
    """What the Content-Security-Policy forbids is not there to be forbidden."""
    for address in (
        "/",
        "/people",
        person_url(PERSON),
        "/items",
        "/items/00001",
        why_url("acf", "00001", PERSON),
    ):
        page = visitor.get(address).text
        assert not re.search(r"<script(?![^>]* src=\"/static/)|<style|\sstyle=|\son\w+=|javascript:", page), (
            address
        )
        assert re.findall(r'(?:src|href|action)="(?!/|#|\?)([^"]*)"', page) == [], address


def test_titles_and_ids_are_text_whatever_they_hold(visitor: TestClient) -> None:
    for address in ("/items/00003", "/items?q=ships", why_url("visrank", "00003", PERSON)):
        page = visitor.get(address).text
        assert TITLE not in page
        assert escape(TITLE) in page or "&lt;b&gt;&#34;Ships&#34; &amp; more&lt;/b&gt;" in page


def test_an_id_with_a_slash_has_a_page(visitor: TestClient) -> None:
    assert person_url(PERSON) == "/people/u%2F2%20%C3%A4"
    page = visitor.get(person_url(PERSON))
    assert page.status_code == 200
    assert f"<h1>{PERSON}</h1>" in page.text


def test_lists_of_a_person_are_what_the_engine_ranks(visitor: TestClient, hung: Engine) -> None:
    page = visitor.get(person_url(PERSON, first="visrank", second="popularity", k="6")).text
    for number, model in ((1, "visrank"), (2, "popularity")):
        ranked = hung.recommend(Question(model, 6, PERSON, known="past"))
        part = page[page.index(f'id="list{number}"') :].split("</ol>")[0]
        assert shown(part) == [str(hung.item(one.index).id) for one in ranked]
        took = set(hung.person(PERSON).took)
        assert part.count('class="badge"') == sum(one.index in took for one in ranked)


def test_what_was_taken_next_says_who_had_it(visitor: TestClient, hung: Engine) -> None:
    """Each held-out item stands there; with the rank in each list that has it, else in neither."""
    n = len(hung.catalog)
    page = visitor.get(person_url(PERSON, first="visrank", second="popularity", k=str(min(n, 100)))).text
    ranks = {
        model: {one.index: one.rank for one in hung.recommend(Question(model, 100, PERSON, known="past"))}
        for model in ("visrank", "popularity")
    }
    after = page[page.index('id="took"') :]
    for index in hung.person(PERSON).took:
        assert f'data-item="{hung.item(index).id}"' in after
        assert f"visrank {ranks['visrank'][index]} · popularity {ranks['popularity'][index]}" in after


def test_a_model_that_is_not_there_is_told(visitor: TestClient) -> None:
    page = visitor.get(person_url(PERSON, first="nonesuch"))
    assert page.status_code == 200  # the other list is there
    assert "There is no model &#39;nonesuch&#39;" in page.text


def test_people_are_found_by_a_part_of_their_id(visitor: TestClient, hung: Engine) -> None:
    ids = [one for one in hung.run.split.train.users.written.to_list() if "001" in one]
    page = visitor.get("/people?q=001").text
    found = re.findall(r'<li><a href="/people/([^"]*)">', page)
    assert sorted(found) == sorted(quote(one, safe="") for one in ids)
    assert "Nobody" in visitor.get("/people?q=xyz").text


@pytest.mark.parametrize("order", ["catalogue", "taken"])
def test_items_are_searched_chosen_and_ordered(visitor: TestClient, hung: Engine, order: str) -> None:
    table = hung.catalog.metadata
    style, word = table["style"][0], "sun"
    page = visitor.get(f"/items?q={word}&by.style={quote(style)}&order={order}").text
    text = [" ".join(str(one) for one in row).lower() for row in table.rows()]
    wanted = [n for n in range(len(hung.catalog)) if word in text[n] and table["style"][n] == style]
    if order == "taken":
        taken = np.bincount(hung.run.data.interactions.item, minlength=len(hung.catalog))
        wanted.sort(key=lambda n: -taken[n])
    assert shown(page) == [str(hung.item(n).id) for n in wanted]
    assert f"{len(wanted)} of 60" in page


def test_pages_of_a_long_list_hold_each_once(visitor: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("visrec.serving.pages.items._PER_PAGE", 25)
    pages = [visitor.get(f"/items?page={n}").text for n in (1, 2, 3)]
    assert [len(shown(page)) for page in pages] == [25, 25, 10]
    assert len({item for page in pages for item in shown(page)}) == 60
    assert "Page 3 of 3" in visitor.get("/items?page=9").text


def test_rows_of_an_item_say_what_they_share(visitor: TestClient, hung: Engine) -> None:
    index = int(np.bincount(hung.run.split.train.item).argmax())
    page = visitor.get(item_url(hung.item(index).id)).text
    looks = {one.index for one in hung.similar(index, 12)}
    knn = [one.index for one in hung.similar(index, 12, by="item_knn")]
    row = page[page.index("<h3>item_knn</h3>") :].split("</section>")[0]
    assert shown(row) == [str(hung.item(one).id) for one in knn]
    assert f"{len(looks & set(knn))} of {len(knn)} as in color" in row
    assert "<h3>popularity</h3>" not in page  # it does not compare items


def test_a_model_that_knows_nothing_of_an_item_says_so_in_its_row(visitor: TestClient, hung: Engine) -> None:
    new = int(np.flatnonzero(np.bincount(hung.run.split.train.item, minlength=60) == 0)[0])
    page = visitor.get(item_url(hung.item(new).id)).text
    row = page[page.index("<h3>item_knn</h3>") :].split("</section>")[0]
    assert "ItemKNN knows nothing of item" in row


def test_who_took_an_item_is_linked(visitor: TestClient, hung: Engine) -> None:
    index = hung.person(PERSON).history[0]
    page = visitor.get(item_url(hung.item(index).id)).text
    assert f'href="{person_url(PERSON)}"' in page


def test_a_path_leads_from_one_to_the_other(visitor: TestClient) -> None:
    page = visitor.get("/paths?from=00005&to=00040").text
    steps = re.findall(r'data-item="([^"]*)"', page[page.index('<ol class="path">') :].split("</ol>")[0])
    assert [steps[0], steps[-1]] == ["00005", "00040"]
    assert page.count("likeness 0") + page.count("likeness −0") == len(steps) - 1
    assert visitor.get("/paths?from=00005&to=nothing").status_code == 404


def test_a_run_without_features_has_no_paths(visitor: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("visrec.run_folder.Run.has", lambda *_: False)
    monkeypatch.setattr("visrec.serving.pages.items._paths", lambda _: None)
    monkeypatch.setattr("visrec.serving.pages.home._ends", _ends.__wrapped__)
    assert visitor.get("/paths?from=00005&to=00040").status_code == 422
    assert "/paths" not in visitor.get("/").text
    assert "A path to another" not in visitor.get("/items/00005").text


def test_home_counts_the_new_items_that_the_report_counts(visitor: TestClient, hung: Engine) -> None:
    new = json.loads((hung.run.path / "data.json").read_text())["new_items"]
    assert f"<dt>items that nobody took in training</dt><dd>{new}</dd>" in visitor.get("/").text


def test_a_page_of_people_beyond_the_last_is_the_last(visitor: TestClient, hung: Engine) -> None:
    people = hung.reports["visrank"].per_user.height
    page = visitor.get("/compare/people?a=visrank&page=9999").text
    assert page.count('class="card person"') == (people - 1) % 10 + 1
    assert f"Page {-(-people // 10)} of {-(-people // 10)}" in page


def test_nobody_behind_a_number_looks_like_a_missing_picture(visitor: TestClient) -> None:
    """The word of a class on one page is the look of something else on all of them."""
    page = visitor.get("/compare/people?a=popularity&b=visrank&order=least").text
    page += visitor.get("/compare/people?a=popularity").text
    assert 'class="apart same"' in page
    assert 'class="apart none"' not in page


def test_try_can_begin_with_what_was_liked_on_other_pages(gallery: Path, tmp_path: Path) -> None:
    headers = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"}
    app = create_app(
        gallery, ServiceSettings(reading_rate=0, database=f"sqlite:///{tmp_path / 'feedback.db'}")
    )
    with TestClient(app, base_url="http://127.0.0.1:8000", headers=headers) as browser:
        assert 'id="before"' not in browser.get("/try").text
        for kind, item in (("like", "00005"), ("like", "00009"), ("hide", "00011")):
            assert browser.post("/v1/events", json={"kind": kind, "item": item}).is_success
        page = browser.get("/try").text
        form = page[page.index('id="before"') :].split("</form>")[0]
        assert re.findall(r'name="(like|hide)" value="([^"]*)"', form) == [
            ("like", "00005"),
            ("like", "00009"),
            ("hide", "00011"),
        ]
        assert "the 2 pictures that you liked on other pages" in form
        assert 'id="before"' not in browser.get("/try?like=00007").text
