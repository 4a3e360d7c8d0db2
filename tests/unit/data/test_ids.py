"""IdMap: external ids and dense indices."""

from __future__ import annotations

import hashlib
import itertools

import numpy as np
import polars as pl
import pytest

from visrec.data.ids import IdMap
from visrec.errors import DataError


def test_ids_leading_zeros():
    """Tutorial error: an id is what is written, not the number that it could be read as."""
    ids = IdMap(["012", "12", "0012"])

    assert sorted(ids.values.to_list()) == ["0012", "012", "12"]
    assert len({ids.index("012"), ids.index("12"), ids.index("0012")}) == 3


def test_ids_12_and_text_12_are_one_id():
    numbers, texts = IdMap([2, 10, 1]), IdMap(["2", "10", "1"])

    assert numbers == texts
    assert hash(numbers) == hash(texts)
    assert numbers.index("10") == numbers.index(10) == texts.index(10)
    assert numbers != IdMap([1, 2])
    assert numbers != [1, 2, 10]


def test_ids_have_the_same_indices_in_any_order():
    for order in itertools.permutations(["b", "a", "u10", "u2"]):
        assert IdMap(order).values.to_list() == ["a", "b", "u2", "u10"]  # shorter first, then by letter


def test_ids_repeated_ones_count_once():
    assert IdMap(["b", "a", "b"]).values.to_list() == ["a", "b"]


def test_ids_index_of_numbers_follows_their_size():
    assert IdMap(range(12)).values.to_list() == list(range(12))  # and not 0, 1, 10, 11, 2, …


def test_ids_made_of_integers_are_given_back_as_integers():
    ids = IdMap(np.array([30, 4], dtype=np.int16))

    assert ids.take(np.array([1, 0, 1])).to_list() == [30, 4, 30]
    assert ids.written.to_list() == ["4", "30"]


def test_ids_too_large_for_int64_are_kept_as_text():
    ids = IdMap([2**64 - 1, 5])

    assert ids.values.to_list() == ["5", str(2**64 - 1)]
    assert ids.index(2**64 - 1) == 1


def test_ids_contains_by_written_form():
    ids = IdMap([7, 8])

    assert 7 in ids
    assert "7" in ids
    assert "07" not in ids
    assert None not in ids


def test_ids_indices_of_any_iterable():
    ids = IdMap(["a", "b", "c"])

    np.testing.assert_array_equal(ids.indices(["c", "a", "c"]), [2, 0, 2])
    np.testing.assert_array_equal(ids.indices(pl.Series(["b"])), [1])
    np.testing.assert_array_equal(ids.indices(one for one in "ca"), [2, 0])
    assert ids.indices([]).dtype == np.int64


TEXTS = ["a", "B", "u10", "u2", "é", "zz", "日本", "-1", "07", "7", " ", "\U0001f600"]


@pytest.mark.parametrize("ids", [TEXTS, [3, -20, 10, 0, -3, 7, 100], [5]])
def test_ids_are_found_alike_in_a_map_of_many(ids: list[str | int], monkeypatch: pytest.MonkeyPatch):
    few = IdMap(ids)
    asked = [*ids, *map(str, ids), "u3", "", "~~~~~~", "0", "\ud800"]
    expected = [str(one) in set(map(str, ids)) for one in asked]
    places = [few.index(one) for one in ids]
    monkeypatch.setattr("visrec.data.ids._INDEXED", 0)
    many = IdMap(ids)

    assert [one in few for one in asked] == [one in many for one in asked] == expected
    assert [many.index(one) for one in ids] == places
    assert few.take(np.array(places)).to_list() == list(ids)
    monkeypatch.setattr("visrec.data.ids._MANY", 0)
    assert many.indices(ids).tolist() == places
    assert [one in many for one in asked] == expected


def test_ids_index_of_negative_numbers_follows_how_they_are_written():
    assert IdMap([10, -1, 2, -20, -3]).values.to_list() == [2, -1, -3, 10, -20]
    assert IdMap(["10", "-1", "2", "-20", "-3"]) == IdMap([10, -1, 2, -20, -3])


def test_ids_lookup_of_numbers_among_numbers_is_that_of_their_texts():
    ids = IdMap([3, 1, 20])
    asked = pl.Series([20, 4, None, 2**64 - 1, 1], dtype=pl.UInt64)

    assert (
        ids.lookup(asked).to_list() == ids.lookup(asked.cast(pl.String)).to_list() == [2, None, None, None, 0]
    )


def test_ids_digest_is_that_of_each_length_and_text(monkeypatch: pytest.MonkeyPatch):
    texts = ["a", "é", "u10"]  # in index order
    whole = b"".join(len(text.encode()).to_bytes(4, "little") + text.encode() for text in texts)
    monkeypatch.setattr("visrec.data.ids._BLOCK", 2)

    assert IdMap(texts[::-1]).digest == hashlib.sha256(whole).hexdigest()


def test_ids_unknown_one_is_named_also_from_a_generator():
    ids = IdMap(["u1", "u2"], kind="user")
    expected = "Unknown user 'u9'. There are 2 users, for example 'u1'."

    with pytest.raises(DataError) as caught:
        ids.index("u9")
    assert str(caught.value) == expected
    with pytest.raises(DataError) as caught:
        ids.indices(one for one in ["u2", "u9", "u8"])
    assert str(caught.value) == expected
    with pytest.raises(DataError, match=r"There are 0 items\."):
        IdMap([], kind="item").index("i1")


@pytest.mark.parametrize("single", ["u1", 5])
def test_ids_single_id_where_a_list_is_expected_is_explained(single: str | int):
    with pytest.raises(
        DataError, match=rf"Expected a list of user ids, found {single!r}; write \[{single!r}\]"
    ):
        IdMap(["u1", "u", "1"], kind="user").indices(single)


def test_ids_lookup_gives_null_for_unknown_ones():
    ids = IdMap(["1", "2", "3"])

    assert ids.lookup(pl.Series([3, 9, 1, 3])).to_list() == [2, None, 0, 2]
    assert ids.lookup(pl.Series(["3", None, "03"])).to_list() == [2, None, None]
    assert ids.lookup(pl.Series([], dtype=pl.Null)).to_list() == []


def test_ids_digest_tells_lists_apart_that_read_alike_in_a_row():
    assert IdMap(["a", "bc"]).digest != IdMap(["ab", "c"]).digest
    assert IdMap(["a"]).digest == IdMap(["a", "a"], kind="user").digest


def test_ids_are_frozen():
    ids = IdMap(["a"])

    with pytest.raises(AttributeError, match="frozen"):
        ids.values = pl.Series(["b"])


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([1, None], "1 user ids are missing"),
        ([None, None, None], "3 user ids are missing"),
        ([1.0, 2.0], "of type Float64; expected strings or whole numbers"),
        ([True], "of type Boolean"),
        ([[1]], r"of type List\(Int64\)"),
        ([object()], "of type Object"),
        ([1, "a"], "not all of one type"),
    ],
)
def test_ids_of_another_kind_are_refused(ids: list[object], message: str):
    with pytest.raises(DataError, match=message):
        IdMap(ids, kind="user")


def test_ids_repr_shows_the_first_three():
    assert repr(IdMap([3, 1, 2, 4], kind="item")) == "IdMap(4 items: 1, 2, 3, …)"
    assert repr(IdMap(["a"])) == "IdMap(1 ids: 'a')"
