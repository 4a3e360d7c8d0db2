"""The page of a comparison: whole in itself, escaped, and with all that the comparison has."""

from __future__ import annotations

import io
import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from visrec.data.catalog import Catalog
from visrec.data.ids import IdMap
from visrec.evaluation.contact_sheet import Neighbours, choose_queries, draw_sheet
from visrec.evaluation.protocol import Report
from visrec.evaluation.significance import bootstrap
from visrec.evaluation.transfer import Comparison, FeatureFacts, compare
from visrec.evaluation.transfer_page import render_comparison_page, sheet_thumbnails, write_comparison_page

EVIL = "<script>alert(1)</script>"
BROKEN = 3
PROVENANCE = {"protocol": {"n_items": 6, "part": "test", "split": {"name": "by_time"}}}
VOID = {"meta", "link"}


def report(shift: float, name: str = "m", *, wobble: float = 0) -> Report:
    values = np.random.default_rng(0).random(50) * 0.2 + shift
    values[::2] += wobble
    values[1::2] -= wobble * 1.01
    keys = ["recall@20", "precision@20", "rr@20", "ndcg@20"]
    per_user = pl.DataFrame({"user_id": [f"u{row}" for row in range(50)], **dict.fromkeys(keys, values)})
    return Report(name, dict.fromkeys(keys, bootstrap(values)), per_user, {}, {})


def compared(
    *,
    top1: bool = True,
    speeds: bool = True,
    weights: str = "default",
    names: tuple[str, ...] = ("net_a", "net_b"),
) -> Comparison:
    found = [
        (
            FeatureFacts(
                name, weights, 8, 1000,
                top1=70.0 + place if top1 else None,
                images_per_second=30.0 * (place + 1) if speeds else None,
            ),
            {"visrank": report(0.3 + place / 10), "vbpr": report(0.4, wobble=place / 10)},
        )
        for place, name in enumerate(names)
    ]  # fmt: skip
    own = FeatureFacts("color", "default", 4, 500)
    return compare([*found, (own, {"visrank": report(0.2)})], report(0.0, "Random"))


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """Six items; one picture is damaged, one title is an attack."""
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    paths = []
    for item in range(6):
        paths.append(folder / f"i{item}.jpg")
        Image.fromarray(rng.integers(0, 256, (300, 200, 3), dtype=np.uint8)).save(paths[-1])
    paths[BROKEN].write_bytes(b"\xff\xd8\xff broken")
    ids = [f"i{item}" for item in range(6)]
    metadata = pl.DataFrame({"item_id": ids, "title": [EVIL, "Lilies", "Boats", "Torn", "Co & co", "Sea"]})
    return Catalog(IdMap(metadata["item_id"]), tuple(paths), metadata)


SHEET = [
    Neighbours(0, {"net_a": [1, 2, 3], "color": [4, 1, 2]}),
    Neighbours(4, {"net_a": [0, 1, 5], "color": [3, 2, 1]}),
]


def page(catalog: Catalog | None = None, comparison: Comparison | None = None, **more: object) -> str:
    sheet = SHEET if catalog else []
    return render_comparison_page(
        comparison or compared(),
        title="A <small> shop",
        sheet=sheet,
        catalog=catalog,
        thumbnails=sheet_thumbnails(catalog, sheet) if catalog else None,
        provenance=PROVENANCE,
        **more,
    )


class _Tags(HTMLParser):
    """All tags, and the text; fails where tags do not nest."""

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


def test_page_requests_nothing_and_runs_nothing(catalog):
    html = page(catalog)
    parsed = _Tags(html)
    assert not {"script", "img", "iframe", "object"} & {tag for tag, _ in parsed.tags}
    assert "http://" not in html
    assert "https://" not in html
    assert all(url.startswith("data:image/webp;base64,") for url in re.findall(r"url\((.*?)\)", html))
    assert "default-src 'none'" in html


def test_everything_from_outside_is_escaped(catalog):
    evil = compare([(FeatureFacts(EVIL, EVIL, 8, 1, top1=70.0), {EVIL: report(0.1)})], failures={EVIL: EVIL})
    html = render_comparison_page(
        evil,
        title=EVIL,
        facts=[(EVIL, EVIL)],
        notes=[EVIL],
        sheet=[Neighbours(0, {EVIL: [1]})],
        catalog=catalog,
        provenance=PROVENANCE | {EVIL: EVIL},
    )
    assert EVIL not in html
    assert _Tags(html).text.count(EVIL) >= 10


def test_the_warning_of_the_protocol_stands_on_the_page_once():
    protocol = {**PROVENANCE["protocol"], "warning": "Sampled candidates."}
    html = render_comparison_page(compared(), title="t", provenance={"protocol": protocol})
    assert re.findall(r"<li>(.*?)</li>", html).count("Sampled candidates.") == 1
    assert "Sampled candidates." not in re.findall(r"<caption><span>(.*?)</span>", html)[0]


def test_every_number_and_interval_is_on_the_page():
    comparison = compared()
    text = _Tags(page(comparison=comparison)).text
    for row in [*comparison.rows, comparison.baseline]:
        for one in row.metrics.values():
            assert f"{one.mean:.4f}" in text
            assert f"{one.low:.4f}–{one.high:.4f}" in text
    for shown in ("70.0", "71.0", "random order", "All 6 items"):
        assert shown in text
    for model in comparison.models:
        assert comparison.sentence(model) in text


def test_best_and_level_are_marked_by_more_than_colour():
    text = _Tags(page()).text
    assert "★ best of visrank" in text
    assert "≈ not to be told from the best" in text  # vbpr


def test_marks_differ_by_shape_and_are_labelled_once():
    html = page()
    plot = html[html.index('<svg class="plot"') : html.index("</svg>", html.index('<svg class="plot"'))]
    marks = re.findall(r'<path class="mark m(\d)" d="([^"]*)"', plot)
    assert [group for group, _ in marks].count("0") == 3  # visrank
    assert [group for group, _ in marks].count("1") == 2  # vbpr
    kinds = {group: len(re.findall("[Laz]", outline)) for group, outline in marks}
    assert kinds["0"] != kinds["1"]
    assert re.findall(r'class="label"[^>]*>([^<]*)<', plot) == ["net_b", "net_a", "color"]
    assert "no top-1" in plot
    assert '<line class="level"' in plot


def test_a_page_without_any_top1_or_speed_still_stands():
    html = page(comparison=compared(top1=False, speeds=False))
    _Tags(html)
    assert "Too few networks to say: 0" in html
    assert "What it costs" not in html
    assert "What it costs" in page()


def test_published_accuracy_beside_a_file_of_weights_has_a_footnote():
    assert "nobody has checked" in page(comparison=compared(weights="mine.pth"))
    assert "nobody has checked" not in page()
    assert "nobody has checked" not in page(comparison=compared(weights="random", top1=False))


def test_accuracy_of_another_kind_has_a_mark_and_a_footnote():
    probed = FeatureFacts("dino", "default", 8, 1000, top1=77.0, top1_kind="linear probe")
    html = page(comparison=compare([(probed, {"m": report(0.1)})]))
    assert "77.0<sup>†</sup>" in html
    assert "<sup>†</sup> Accuracy by linear probe" in html
    assert ">dino†<" in html  # in the plot
    assert "†" not in page()


def test_failures_are_said_first():
    failed = compare(
        [(FeatureFacts("a", "default", 1, 1), {"m": report(0.1)})], failures={"b": "No weights."}
    )
    assert "b is not there, or not whole: No weights." in page(comparison=failed)


def test_the_sheet_has_each_picture_once_and_titles_for_those_who_do_not_see_it(catalog):
    html = page(catalog)
    found = re.findall(r"base64,([^)]+)\)", html)
    assert len(found) == len(set(found)) == 5  # six items, one of them broken
    tiles = re.findall(r'<li class="tile">.*?</li>', html, flags=re.DOTALL)
    assert len(tiles) == 12
    assert sum('aria-label="Lilies"' in tile for tile in tiles) == 4
    assert sum("Torn (no picture)" in tile for tile in tiles) == 2
    assert html.count('class="frame asked') == 2


def test_a_picture_that_is_asked_for_is_the_larger(catalog):
    sizes = {item: max(one.width, one.height) for item, one in sheet_thumbnails(catalog, SHEET).items()}
    assert sizes[0] == sizes[4] == 288
    assert sizes[1] == 144


def test_headings_skip_no_level(catalog):
    levels = [int(tag[1]) for tag, _ in _Tags(page(catalog)).tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_the_same_comparison_gives_the_same_file(catalog, tmp_path: Path):
    for name in ("a.html", "b.html"):
        write_comparison_page(
            tmp_path / name,
            compared(),
            title="t",
            sheet=SHEET,
            catalog=catalog,
            thumbnails=sheet_thumbnails(catalog, SHEET),
        )
        draw_sheet(tmp_path / f"{name}.jpg", SHEET, sheet_thumbnails(catalog, SHEET))
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()
    assert (tmp_path / "a.html.jpg").read_bytes() == (tmp_path / "b.html.jpg").read_bytes()


def test_the_sheet_as_one_picture_has_a_block_a_query(catalog, tmp_path: Path):
    thumbnails = sheet_thumbnails(catalog, SHEET)
    draw_sheet(tmp_path / "one.jpg", SHEET[:1], thumbnails)
    draw_sheet(tmp_path / "two.jpg", SHEET, thumbnails)
    with Image.open(tmp_path / "one.jpg") as one, Image.open(tmp_path / "two.jpg") as two:
        assert one.width == two.width
        assert one.height < two.height < 2 * one.height
        content = io.BytesIO()
        one.save(content, "PNG")
        assert len({*one.resize((64, 64)).convert("L").tobytes()}) > 20  # not a blank one


# Items 0-2 look alike, 3 and 4 do not; the more often taken come first.
VECTORS = np.array([[1, 0, 0], [1, 0.1, 0], [1, 0, 0.1], [0, 1, 0], [0, 0, 1], [0, 0, 0]], dtype=np.float32)


def test_queries_are_the_most_taken_and_then_the_most_unlike():
    assert choose_queries({"a": VECTORS}, np.array([5, 9, 8, 1, 2, 99]), 3) == [1, 4, 3]
    assert choose_queries({"a": VECTORS}, np.array([5, 9, 8, 1, 2, 99]), 99) == [
        1,
        4,
        3,
        2,
        0,
    ]  # 5 has no vector
    assert choose_queries({"a": VECTORS}, np.zeros(6), 0) == []
    assert choose_queries({"a": np.zeros((6, 2), dtype=np.float32)}, np.zeros(6), 3) == []


def test_only_items_that_may_be_are_chosen():
    among = np.array([True, True, True, True, False, True])
    assert choose_queries({"a": VECTORS}, np.array([5, 9, 8, 1, 2, 99]), 2, among=among) == [1, 3]
    assert among.tolist() == [True, True, True, True, False, True]  # the caller's own is left alone


def test_all_extractors_have_a_say_in_what_is_unlike():
    other = np.array([[1, 0], [1, 0], [-1, 0], [1, 0.1], [1, 0.1], [1, 0]], dtype=np.float32)
    assert choose_queries({"a": VECTORS, "b": other}, np.array([9, 1, 1, 1, 1, 1]), 2) == [0, 2]
