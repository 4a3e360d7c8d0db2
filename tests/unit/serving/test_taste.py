"""The address of Try: what it says, and that it says it again."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from visrec.serving.taste import MOST, Taste

NAMES = st.sampled_from(
    ["like", "less", "hide", "drop", "photo", "away", "model", "diversity", "wall", "other"]
)


def again(taste: Taste) -> Taste:
    return Taste.of(parse_qsl(urlsplit(taste.url).query))


def test_of_an_item_the_last_word_counts():
    taste = Taste.of(
        [("like", "3"), ("like", "9"), ("less", "3"), ("hide", "5"), ("drop", "9"), ("like", "3")]
    )
    assert (taste.like, taste.less, taste.hide) == (("3",), (), ("5",))


def test_saying_it_again_keeps_the_place():
    assert Taste.of([("like", "3"), ("like", "9"), ("like", "3")]).like == ("3", "9")


def test_the_address_is_short_where_nothing_is_said():
    assert Taste.of([("model", ""), ("diversity", "0"), ("wall", "x")]).url == "/try"


def test_ids_of_any_kind_survive_the_address():
    taste = Taste(like=("a/b", "c&d=e", "ü ö", "%2F"), model="visrank", diversity=30, wall=2)
    assert again(taste) == taste


@given(st.lists(st.tuples(NAMES, st.text(max_size=12)), max_size=30))
def test_an_address_says_what_was_read(pairs: list[tuple[str, str]]):
    taste = Taste.of(pairs)
    assert again(taste) == taste
    everything = [*taste.like, *taste.less, *taste.hide]
    assert len(everything) == len(set(everything))


@pytest.mark.parametrize(
    ("text", "expected"), [("30", 30), ("999", 100), ("-5", 0), ("½", 0), ("1e9", 0), ("٣", 0)]
)
def test_numbers_that_make_no_sense_are_bounded_or_left_out(text: str, expected: int):
    assert Taste.of([("diversity", text)]).diversity == expected


def test_of_too_many_items_the_newest_stay():
    taste = Taste.of([("like", str(n)) for n in range(MOST + 5)])
    assert taste.like == tuple(str(n) for n in range(5, MOST + 5))


def test_a_hidden_item_is_nothing_to_go_by():
    assert Taste(hide=("3",)).is_empty
    assert not Taste(less=("3",)).is_empty
    assert Taste(like=("1",), hide=("3",)).with_nothing_hidden == Taste(like=("1",))
