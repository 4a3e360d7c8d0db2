"""The page of a run: whole in itself, honest about hits, safe with whatever the data set says."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from visrec.data.catalog import Catalog
from visrec.data.ids import IdMap
from visrec.evaluation.markup import caption_of
from visrec.evaluation.page import render_page, write_page
from visrec.evaluation.people import Person, choose_people, note_for, worst_people
from visrec.evaluation.plots.drawing import Drawing, Text
from visrec.evaluation.plots.figures import Figure
from visrec.evaluation.protocol import Report
from visrec.evaluation.significance import Estimate

BROKEN, MISSING = 2, 3
VOID = {"meta", "link", "line", "circle", "img", "br"}


def report(
    best_ranks: Sequence[int] = (1, 1), *, auc: float = 0.5, n_history: int | Sequence[int] = 9
) -> Report:
    """A report on the users u0, u1, … whose best held-out item stands at some ranks among 1,000."""
    names = ["auc", "rr", "ndcg@20", "recall@20", "precision@20", "hit@20"]
    metrics = {name: Estimate(0.25, 0.2, 0.3) for name in names} | {
        "auc": Estimate(auc, auc - 0.1, auc + 0.1)
    }
    per_user = pl.DataFrame(
        {
            "user_id": [f"u{row}" for row in range(len(best_ranks))],
            "n_history": n_history,
            "n_relevant": 1,
            "n_candidates": 1000,
            "rr": 1 / np.array(best_ranks),
        }
    )
    protocol = {"cutoffs": [20], "part": "test", "n_items": 6, "ties": "count half"}
    return Report("Model", metrics, per_user, {}, protocol)


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """Six items: noise of different shapes, one cut short, one without a picture."""
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    paths: list[Path | None] = []
    for item, size in enumerate([(300, 200), (200, 300), (9, 9), (9, 9), (500, 60), (240, 240)]):
        path = folder / f"i{item}.jpg"
        exif = Image.Exif()
        exif[0x010E] = "where it was taken"
        noise = rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
        Image.fromarray(noise).save(path, exif=exif)
        paths.append(path)
    (folder / f"i{BROKEN}.jpg").write_bytes(b"\xff\xd8\xff broken")
    paths[MISSING] = None
    metadata = pl.DataFrame(
        {
            "item_id": [f"i{item}" for item in range(6)],
            "title": ["<script>alert(1)</script>", "Lilies", "Torn", "Lost", 'A "wide" one', "Square & co"],
            "artist": ["Ana", None, None, "Bo", "<b>Cy</b>", "Di"],
        }
    )
    return Catalog(IdMap(metadata["item_id"]), tuple(paths), metadata)


def person(lists: Mapping[str, Sequence[int]], took: Sequence[int] = (1,), **more: str) -> Person:
    return Person("u0", history=[0, 4], took=took, lists=lists, **more)


def page(catalog: Catalog | None, *people: Person, reports: Mapping[str, Report] | None = None) -> str:
    return render_page(
        title="A <small> shop", reports=reports or {"vbpr": report()}, people=people, catalog=catalog
    )


class _Tags(HTMLParser):
    """All tags with their attributes and the text; fails where tags do not nest."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(html)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def tiles(html: str) -> list[str]:
    return re.findall(r'<li class="tile.*?</li>', html, flags=re.DOTALL)


def test_what_the_numbers_cannot_bear_stands_before_everything_else(catalog: Catalog) -> None:
    few = report()
    few.protocol["cautions"] = ["Only 2 users are evaluated."]
    html = render_page(title="A shop", reports={"vbpr": few}, catalog=catalog, notes=["Of the data."])
    assert re.findall(r"<li>(Only .*?|Of .*?)</li>", html) == ["Only 2 users are evaluated.", "Of the data."]


def test_page_requests_nothing(catalog: Catalog) -> None:
    html = page(catalog, person({"vbpr": [1, 5]}))
    parsed = _Tags(html)
    assert "http://" not in html
    assert "https://" not in html
    assert "@import" not in html
    assert not {"script", "img", "iframe", "object", "video"} & {tag for tag, _ in parsed.tags}
    addresses = [
        value for _, attributes in parsed.tags for key, value in attributes.items() if key in ("src", "href")
    ]
    # The icon, which browsers would ask the host for, and places on the page itself.
    assert {str(one) for one in addresses} == {"data:,", "#comparison", "#people"}
    assert all(url.startswith("data:image/webp;base64,") for url in re.findall(r"url\((.*?)\)", html))
    assert "default-src 'none'" in html  # the browser holds us to it


def test_everything_from_outside_is_escaped(catalog: Catalog) -> None:
    evil = "<script>alert(1)</script>"
    html = render_page(
        title=evil,
        facts=[(evil, evil)],
        notes=[evil],
        reports={evil: report(), "b": report()},
        people=[Person(evil, [0, 4], [0], {evil: [0]}, note=evil)],
        catalog=catalog,
        provenance={evil: {"inner": [evil]}},
    )
    assert evil not in html
    assert "<b>Cy</b>" not in html
    parsed = _Tags(html)
    assert "script" not in {tag for tag, _ in parsed.tags}
    assert parsed.text.count(evil) >= 10  # readers still see what was written


def test_a_picture_is_embedded_once_however_often_it_is_shown(catalog: Catalog) -> None:
    html = page(catalog, person({"vbpr": [1, 5], "bpr": [5, 1]}), person({"vbpr": [5], "bpr": [1, 0]}))
    found = re.findall(r"base64,([^)]+)\)", html)
    assert len(found) == len(set(found)) == 4  # items 0, 1, 4, 5


def test_pictures_are_small_and_carry_no_metadata(catalog: Catalog) -> None:
    html = page(catalog, person({"vbpr": [5]}))
    for data in re.findall(r"base64,([^)]+)\)", html):
        raw = base64.b64decode(data)
        with Image.open(io.BytesIO(raw)) as image:
            assert image.format == "WEBP"
            assert max(image.size) <= 144
        assert b"where it was taken" not in raw


def test_only_what_the_frame_would_cut_too_much_of_gets_a_mount(catalog: Catalog) -> None:
    html = page(catalog, Person("u0", [1, 5, 4], [1], {}))
    # Widths / heights are .67, 1 and 8.3, so frames are square.
    assert re.search(r"\.p5 \{[^}]*\)\s*\}", html)
    assert re.search(r"\.p4 \{[^}]*background-size: contain \}", html)
    assert re.search(r"\.p1 \{[^}]*background-size: contain \}", html)


@pytest.mark.parametrize(("item", "title"), [(BROKEN, "Torn"), (MISSING, "Lost")])
def test_an_item_without_a_readable_picture_becomes_a_plain_tile(
    catalog: Catalog, item: int, title: str
) -> None:
    html = page(catalog, person({"vbpr": [item]}))
    assert f".p{item} " not in html
    (tile,) = [one for one in tiles(html) if "frame none" in one]
    assert f'aria-label="{title} (no picture)"' in tile
    assert f"<span>{title}</span>" in tile


def test_pages_without_a_catalogue_show_indices() -> None:
    assert "item 4" in page(None, person({"vbpr": [4]}))


def test_hits_are_marked_by_more_than_colour(catalog: Catalog) -> None:
    html = page(catalog, person({"vbpr": [5, 1, 0], "bpr": [0, 5, 4]}))
    hits = [tile for tile in tiles(html) if 'class="tile hit"' in tile]
    assert len(hits) == 1
    assert "Lilies" in hits[0]
    assert "✓" in hits[0]
    assert "A hit: really taken next." in hits[0]
    assert html.count("✓") == 1
    assert "hit at 2" in html  # vbpr
    assert "no hit" in html  # bpr
    assert re.search(r"\.hit \.frame \{ outline: 3px solid", html)


def test_what_was_taken_says_where_the_models_had_it(catalog: Catalog) -> None:
    html = page(catalog, person({"vbpr": [5, 1, 0], "bpr": [1, 5, 4]}, took=[3, 1]))
    first, second = tiles(html)[-2:]
    assert "bpr 1 · vbpr 2" in first  # what was found comes first
    assert "in no list" in second


def test_long_histories_show_their_newest_items(catalog: Catalog) -> None:
    html = render_page(
        title="t",
        reports={"a": report()},
        people=[Person("u0", [5, 4, 1, 0], [3], {})],
        catalog=catalog,
        shown=2,
    )
    assert "newest 2 of 4" in html
    assert len(tiles(html)) == 2 + 1
    assert ".p1 " not in html  # what is not shown is not embedded


def test_best_models_are_marked_also_for_those_who_do_not_see_colour() -> None:
    html = page(None, reports={"a": report(auc=0.9), "b": report(auc=0.7), "c": report(auc=0.9)})
    cells = re.findall(r"<td.*?</td>", html, flags=re.DOTALL)
    aucs = [cell for cell in cells if ">0.9000" in cell or ">0.7000" in cell]
    assert ["★" in cell and "best of its column" in cell for cell in aucs] == [True, False, True]
    assert "0.8000–1.0000" in html  # the interval in numbers
    assert aucs[0].count('<line class="range"') == 1


def test_new_items_get_a_footnote_only_when_there_are_some() -> None:
    with_new = report()
    with_new.new_items["auc"] = Estimate(0.6, 0.5, 0.7)
    assert "New items: nobody took them in training" in page(None, reports={"a": with_new, "b": report()})
    assert "New items" not in page(None)


def test_the_protocol_is_said_in_a_sentence() -> None:
    html = page(None, reports={"a": report([1] * 1200)})
    assert "All 6 items that a user had not taken before were ranked, for each of 1,200 users" in html
    assert "95 % bootstrap intervals over users" in html


def test_intervals_over_seeds_say_so_and_show_the_spread() -> None:
    seeds = {0: report(auc=0.5), 1: report(auc=0.7)}
    both = replace(report(auc=0.6), by_seed=seeds)
    html = page(None, reports={"a": both, "b": report()})
    assert "bootstrap intervals over users and seeds, on one scale" in html
    # Two values .2 apart: their standard deviation is .2 / sqrt(2).
    assert "<td>0.5000–0.7000<br>σ 0.1414</td>" in html
    assert "between the means of 2 seeds" in html
    alone = page(None, reports={"b": report()})
    assert "σ" not in alone
    assert "seeds" not in alone


def test_a_warning_stands_on_the_page_once_whoever_else_gives_it() -> None:
    sampled = report()
    sampled.protocol["warning"] = "Sampled candidates."
    html = render_page(title="t", reports={"a": sampled}, notes=["Sampled candidates.", "Of the data."])
    assert html.count("Sampled candidates.") == 1
    assert html.index("Sampled candidates.") < html.index("Of the data.")


def test_a_caption_says_what_was_ranked_under_any_protocol() -> None:
    full = report([1] * 1200)
    assert caption_of({"a": full}) == (
        "Means over 1,200 users with 95 % bootstrap intervals over users; the best of each column is bold. "
        "All 6 items that a user had not taken before were ranked."
    )
    sampled = replace(full, by_seed={0: full, 1: full})
    sampled.protocol.update(
        name="sampled", candidates="the targets and 100 others", warning="Too high.", cautions=["Few."]
    )
    assert caption_of({"a": sampled}) == (
        "Too high. Means over 1,200 users with 95 % bootstrap intervals over users and seeds; the best of each "
        "column is bold. The targets and 100 others were ranked. Few."
    )


def test_headings_skip_no_level(catalog: Catalog) -> None:
    html = render_page(
        title="t",
        reports={"a": report()},
        people=[person({"a": [1]})],
        catalog=catalog,
        provenance={"seed": 0, "nested": {"list": [1, 2], "none": None}},
    )
    levels = [int(tag[1]) for tag, _ in _Tags(html).tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert '<html lang="en">' in html


def test_the_same_input_gives_the_same_file(catalog: Catalog, tmp_path: Path) -> None:
    for name in ("a.html", "b.html"):
        write_page(
            tmp_path / name,
            title="t",
            reports={"a": report()},
            people=[person({"a": [1, 5, 0]})],
            catalog=catalog,
        )
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.html", "b.html"]


def test_notes_name_the_models_that_found_something() -> None:
    lists = {"a": [5, 4], "b": [5, 1], "c": [1, 5]}
    assert note_for(person(lists)) == "Found by c at rank 1, by b at rank 2."


def test_notes_say_how_near_the_models_came() -> None:
    reports = {"a": report([40, 1]), "b": report([30, 1])}
    assert note_for(person({"a": [5], "b": [5]}), reports) == (
        "Found by neither of these two within its list; b came nearest, at rank 30 of 1,000."
    )
    assert note_for(person({"a": [5]})) == "Found by no model within its list."


def test_a_note_of_ones_own_stays() -> None:
    html = page(None, person({"a": [1]}, note="My favourite."))
    assert "My favourite." in html
    assert "Found by" not in html


# Users u0 … u4: all models agree on a hit; u5: one finds what the other has last; u6 … u9: nobody finds it.
ONE, OTHER = [2, 2, 2, 2, 2, 1, 90, 90, 90, 90], [2, 2, 2, 2, 2, 900, 80, 80, 80, 80]


def test_chosen_people_show_hits_disagreement_and_failure() -> None:
    chosen = choose_people({"a": report(ONE), "b": report(OTHER)}, n=6)
    assert len(set(chosen)) == 6
    assert "u5" in chosen
    assert len({"u6", "u7", "u8", "u9"} & set(chosen)) == 1
    assert chosen == choose_people({"a": report(ONE), "b": report(OTHER)}, n=6)


def test_people_with_a_history_are_chosen_first() -> None:
    lengths = [1, 1, 1, 9, 9, 9, 1, 9, 1, 1]
    reports = {"a": report(ONE, n_history=lengths), "b": report(OTHER, n_history=lengths)}
    assert set(choose_people(reports, n=4)) == {"u3", "u4", "u5", "u7"}


@pytest.mark.parametrize("n", [0, 1, 2, 3, 10, 99])
def test_as_many_people_are_chosen_as_there_are(n: int) -> None:
    reports = {"a": report(ONE), "b": report(OTHER)}
    assert len(set(choose_people(reports, n=n))) == min(n, 10)
    assert len(choose_people({"a": report([1, 1])}, n=n)) == min(n, 2)
    assert len(choose_people({"a": report([500, 500])}, n=n)) == min(n, 2)


def test_the_worst_are_those_whose_best_model_was_the_furthest_off() -> None:
    a, b = report([9, 500, 2, 800, 30]), report([7, 400, 900, 3, 40])
    # Best ranks: 7, 400, 2, 3, 30.
    assert worst_people({"a": a, "b": b}, n=3) == ["u1", "u4", "u0"]
    assert worst_people({"a": a, "b": b}, n=2, but=["u1"]) == ["u4", "u0"]
    short = report([9, 500, 2, 800, 30], n_history=[9, 1, 9, 9, 9])
    assert worst_people({"a": short}, n=1) == ["u3"]  # little was known of u1
    assert worst_people({}) == []


def test_figures_have_a_table_and_a_file_of_their_data(catalog: Catalog) -> None:
    data = pl.DataFrame(
        {"model": ["<b>", "x"], "n_users": [1200, 3], "too_small": [False, True], "auc": [0.5, None]}
    )
    drawing = Drawing("what it shows", 300, 200, (Text(1, 2, "<i>", "label"),))
    figure = Figure("slices", "Who?", "How to read it.", (drawing,), data, ("<b>", "x"))
    html = render_page(title="t", reports={"a": report()}, figures=[figure])
    parsed = _Tags(html)
    assert ("svg", "what it shows") in [
        (tag, attributes.get("aria-label")) for tag, attributes in parsed.tags
    ]
    assert "<td>1,200</td>" in html
    assert '<td class="words">no</td>' in html
    assert "<td>–</td>" in html
    (address,) = [
        attributes["href"] for tag, attributes in parsed.tags if tag == "a" and "download" in attributes
    ]
    assert address is not None
    assert base64.b64decode(address.removeprefix("data:text/csv;base64,")).decode() == data.write_csv()
    assert '<a href="#slices">Who?</a>' in html  # the contents lead there
    assert "<b>" not in html


def test_nobody_is_chosen_without_reports() -> None:
    assert choose_people({}) == []


def test_chosen_ids_keep_their_type() -> None:
    whole = report()
    ids = pl.Series("user_id", [7, 8])
    reports = {"a": Report("M", whole.metrics, whole.per_user.with_columns(ids), {}, whole.protocol)}
    assert sorted(choose_people(reports)) == [7, 8]
    assert "at rank 1 of" in note_for(Person("7", [], [1], {}), reports)


def test_the_table_of_explanations_stands_before_the_people_and_is_escaped():
    headings, rows = ("model", "deleted", "holds?"), [("a<b>", "the 3 nearest", "yes")]
    html = render_page(title="t", reports={"a": report()}, checks=(headings, rows))
    section = html.partition('<h2 id="explanations">Do the explanations hold?</h2>')[2]
    assert '<th scope="row">a&lt;b&gt;</th>' in section
    assert '<a href="#explanations">' in html
    for empty in (None, (headings, [])):
        assert 'id="explanations"' not in render_page(title="t", reports={"a": report()}, checks=empty)
