from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from tests.tutorial_files import write_csv, write_embedding

from visrec.data.formats.tutorial import (
    read_embedding,
    read_held_out,
    read_interactions,
    read_triples,
    user_orders,
)
from visrec.errors import DataError


def test_item_ids_are_the_stems_of_the_file_names_in_file_order(tmp_path):
    rows = np.arange(6, dtype=np.float32).reshape(3, 2)
    found = read_embedding(write_embedding(tmp_path / "x.npy", ["9.jpg", "images/10.png", "a.b.gif"], rows))
    assert found.ids == ("9", "10", "a.b")
    assert found.grid is None
    np.testing.assert_array_equal(found.row(1), rows[1])


def test_maps_become_regions_row_by_row(tmp_path):
    C, h, w = 5, 2, 3
    cube = np.random.default_rng(0).normal(size=(C, h, w)).astype(np.float32)
    found = read_embedding(write_embedding(tmp_path / "x.npy", ["a.jpg"], [cube]))
    assert (found.grid, found.shape) == ((h, w), (h * w, C))
    for y in range(h):
        for x in range(w):
            np.testing.assert_array_equal(found.row(0)[y * w + x], cube[:, y, x])


def test_half_precision_stays_and_other_numbers_become_float32(tmp_path):
    for given, kept in (("f2", "f2"), ("f8", "f4"), (">f4", "f4"), ("u1", "f4")):
        row = np.array([1, 2], dtype=given)
        found = read_embedding(write_embedding(tmp_path / "x.npy", ["a.jpg"], [row]))
        assert found.rows[0].dtype == kept
        assert found.rows[0].tolist() == [1, 2]


def test_a_name_that_is_endless_when_written_out_is_refused_in_a_short_message(tmp_path):
    shared: list[object] = ["a"]
    for _ in range(60):
        shared = [shared, shared]
    with pytest.raises(DataError, match="row 1 begins with list; expected the file name") as error:
        read_embedding(write_embedding(tmp_path / "x.npy", [shared], [np.ones(2)]))
    assert len(str(error.value)) < 400 + len(str(tmp_path))


def test_numbers_beyond_all_floats_are_refused(tmp_path):
    with pytest.raises(DataError, match="row 1 begins with a number of 16,610 bits"):
        read_embedding(write_embedding(tmp_path / "x.npy", [10**5000], [np.ones(2)]))
    with pytest.raises(DataError, match=r"'a\.jpg' holds NaN or infinity"):
        read_embedding(write_embedding(tmp_path / "x.npy", ["a.jpg"], [[10**400, 1]]))


@pytest.mark.parametrize(
    ("names", "rows", "message"),
    [
        (["a.jpg", "b.jpg", "a.png"], [[1.0], [2.0], [3.0]], r"'a' comes twice, .* as 'a\.png' \(row 3\)"),
        (["a.jpg", "b.jpg"], [[1.0, 2.0], [3.0]], r"'b\.jpg' has a vector of shape \(1,\), 'a\.jpg' one of \(2,\)"),
        (["a.jpg", "b.jpg"], [[1.0], [np.nan]], r"'b\.jpg' holds NaN"),
        (["a.jpg"], [[[1.0, 2.0]]], r"shape \(1, 2\); expected \(F,\), or a map"),
        (["a.jpg"], [[]], r"shape \(0,\)"),
        (["a.jpg"], [["x"]], r"of type <U1; expected numbers"),
        ([None], [[1.0]], "row 1 begins with None"),
        ([""], [[1.0]], "row 1 begins with ''"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_an_item_is_said_by_name(tmp_path, names, rows, message):
    path = write_embedding(tmp_path / "x.npy", names, [np.array(row) for row in rows])
    with pytest.raises(DataError, match=message):
        read_embedding(path)


def test_one_vector_that_stands_for_a_thousand_items_is_refused(tmp_path):
    one = np.zeros(4000, dtype=np.float32)  # pickled once
    path = write_embedding(tmp_path / "x.npy", [f"{n}" for n in range(1000)], [one] * 1000)
    assert path.stat().st_size < 100_000
    with pytest.raises(DataError, match=r"claims more than .* bytes of vectors in a file of"):
        read_embedding(path)


def test_another_array_of_objects_is_refused(tmp_path):
    table = np.empty((2, 3), dtype=object)
    np.save(tmp_path / "x.npy", table, allow_pickle=True)
    with pytest.raises(DataError, match=r"shape \(2, 3\); expected \(n, 2\)"):
        read_embedding(tmp_path / "x.npy")


def test_the_evaluation_column_is_kept_as_words(tmp_path):
    rows = [("u", n, n, mark) for n, mark in enumerate(["True", "False", 1, 0])]
    found = read_interactions(write_csv(tmp_path / "x.csv", "user_id,item_id,timestamp,evaluation", rows))
    assert found["evaluation"].to_list() == ["test", "train", "test", "train"]


def test_tutorial_error_6_each_held_out_item_is_a_row_of_its_own(tmp_path):
    # Items 5 and 7 must not become item 12, on two rows or in one cell.
    rows = [("1 2", 0, 5, 10), ("1 2", 0, 7, 10), ("3", 1, "8 9", 11)]
    found = read_held_out(write_csv(tmp_path / "x.csv", "profile,user_id,predict,timestamp", rows))
    assert found.select("user", "item").rows() == [(0, 5), (0, 7), (1, 8), (1, 9)]


def test_tutorial_error_13_an_empty_profile_is_an_empty_list(tmp_path):
    rows = [("3 1", 1, 2, 0), (None, 1, 2, 0), ("nan", 1, 2, 0), ("7", 1, 2, -1)]
    found = read_triples(write_csv(tmp_path / "x.csv", "profile,pi,ni,ui", rows))
    assert found["profile"].to_list() == [[3, 1], [], [], [7]]
    assert found["user"].to_list() == [0, 0, 0, -1]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (("1 x", 1, 2, 0), r"column profile, row 1 below the header: '1 x' is no list of indices"),
        (("1 -2", 1, 2, 0), "is no list of indices"),
        (("1", "1.5", 2, 0), r"column pi, row 1 below the header: '1\.5' is no index"),
        (("1", 1, None, 0), "column ni, row 1 below the header: None is no index"),
        (("1", 1, 2, -2), r"column ui.*from -1 on"),
    ],
)
def test_indices_that_are_none_are_an_error(tmp_path, row, message):
    with pytest.raises(DataError, match=message):
        read_triples(write_csv(tmp_path / "x.csv", "profile,pi,ni,ui", [row]))


@pytest.mark.parametrize("ids", [["30", "4", "200", "4", "5"], ["c", "a", "b", "d"], ["1", "2", "10"]])
def test_users_are_numbered_as_the_tutorials_notebook_does(ids):
    unique = np.array(list(dict.fromkeys(ids)))
    keys = unique.astype(int) if unique[0].isdigit() else unique
    expected = dict(zip(unique, np.argsort(keys), strict=True))  # its user_id2index
    order = user_orders(pl.Series(ids))["tutorial"]
    assert {user: n for n, user in enumerate(order)} == expected


def test_the_other_numberings_are_by_id_and_by_first_use():
    orders = user_orders(pl.Series(["30", "4", "200", "4", "5"]))
    assert orders["ids"] == ["4", "5", "30", "200"]
    assert orders["occurrence"] == ["30", "4", "200", "5"]
