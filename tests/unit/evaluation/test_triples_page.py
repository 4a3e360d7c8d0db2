from __future__ import annotations

import re

import numpy as np
import pytest

from visrec.evaluation.triples_page import SHOWN, Example, Group, render_triples_page


def _page(*examples: Example, **given) -> str:
    group = Group("1. A <rule>", "This & that.", "A half.", examples)
    return render_triples_page(title="Sheet", groups=[group], **given)


def _history(page: str) -> list[str]:
    tiles = re.search(r'<ol class="tiles".*?</ol>', page, flags=re.DOTALL)
    return re.findall(r'<p class="caption" title="(.*?)">', tiles[0])


def test_the_history_is_shown_oldest_first_and_of_a_long_one_the_newest_items():
    assert _history(_page(Example("user 1", [3, 1, 2], 5, 6))) == ["item 3", "item 1", "item 2"]
    page = _page(Example("user 1", list(range(20)), 30, 31))
    assert _history(page) == [f"item {i}" for i in range(20 - SHOWN, 20)]
    assert f"user 1 · {SHOWN} of 20 items" in page


def test_the_marked_item_is_shown_however_old_it_is():
    page = _page(Example("user 1", list(range(20)), 2, 31, marked=2))
    assert _history(page) == ["item 2", *(f"item {i}" for i in range(21 - SHOWN, 20))]
    assert page.count('<li class="tile marked">') == 1


@pytest.mark.parametrize(
    ("history", "note"), [([], "u · nothing else"), ([1], "u · 1 item"), ([1, 2], "u · 2 items")]
)
def test_the_note_says_how_much_is_shown(history, note):
    assert Example("u", history, 5, 6).note == note


def test_positive_and_negative_have_their_places_remarks_clusters_and_creators():
    creators, clusters = [""] * 9, np.full(9, -1)
    creators[5], clusters[5] = "Ida & Ada", 3
    page = _page(Example("u", [1], 5, 6, "why", "why not"), creators=creators, clusters=clusters)
    pos, neg = re.findall(r'<div class="above (?:pos|neg)">.*?</div></div>', page, flags=re.DOTALL)
    assert "item 5" in pos
    assert "Ida &amp; Ada" in pos
    assert "cluster 3" in pos
    assert '<p class="remark">why</p>' in pos
    assert "item 6" in neg
    assert "cluster" not in neg
    assert 'class="artist"' not in neg
    assert '<p class="remark">why not</p>' in neg


def test_what_the_data_say_is_escaped():
    page = _page(Example("<b>u</b>", [1], 5, 6), notes=["<i>"])
    assert "A &lt;rule&gt;" in page
    assert "This &amp; that." in page
    assert "&lt;b&gt;u&lt;/b&gt;" in page
    assert "<b>u" not in page
    assert "<i>" not in page


def test_a_rule_without_triples_has_no_rows():
    page = _page()
    assert "This &amp; that." in page
    assert '<ol class="triples"' not in page
