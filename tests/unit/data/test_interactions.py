"""Interactions: canonical order, the matrix, histories, k-core, digest."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from visrec.data import order
from visrec.data.ids import IdMap
from visrec.data.interactions import Histories, Interactions, k_core
from visrec.errors import DataError

Row = tuple[int, int, int]  # user, item, timestamp


def make(
    rows: list[Row], *, weight: list[float] | None = None, evaluation: list[int] | None = None
) -> Interactions:
    """Interactions of at most 4 users and 5 items."""
    user, item, timestamp = np.array(rows, dtype=np.int64).reshape(-1, 3).T
    return Interactions(
        user,
        item,
        timestamp,
        np.ones(len(rows)) if weight is None else np.array(weight),
        IdMap([f"u{n}" for n in range(4)], kind="user"),
        IdMap([f"i{n}" for n in range(5)], kind="item"),
        None if evaluation is None else np.array(evaluation),
    )


def rows_of(interactions: Interactions) -> list[Row]:
    columns = (interactions.user, interactions.item, interactions.timestamp)
    return [tuple(row) for row in np.stack(columns, axis=1).tolist()]


ROWS = [(0, 3, 20), (1, 0, 10), (0, 1, 10), (0, 2, 20), (3, 4, 5)]


def test_interactions_are_ordered_by_time_then_user_then_item():
    assert rows_of(make(ROWS)) == [(3, 4, 5), (0, 1, 10), (1, 0, 10), (0, 2, 20), (0, 3, 20)]


def test_interactions_of_equal_rows_are_ordered_by_weight_and_evaluation_too():
    rows = [(0, 0, 1)] * 3
    one = make(rows, weight=[2, 1, 1], evaluation=[0, 2, 0])
    other = make(rows, weight=[1, 2, 1], evaluation=[0, 0, 2])

    assert one.weight.tolist() == [1, 1, 2]
    assert one.evaluation is not None
    assert one.evaluation.tolist() == [0, 2, 0]
    assert one.digest == other.digest


def test_interactions_arrays_cannot_be_written():
    interactions = make(ROWS, evaluation=[0] * 5)

    for name in ("user", "item", "timestamp", "weight", "evaluation"):
        with pytest.raises(ValueError, match="read-only"):
            getattr(interactions, name)[0] = 1
    with pytest.raises(FrozenInstanceError):
        interactions.user = np.zeros(5)


def test_interactions_do_not_share_memory_with_what_they_were_made_of():
    user = np.zeros(2, dtype=np.int32)
    users, items = IdMap(["u"]), IdMap(["i"])
    interactions = Interactions(user, user, user, np.ones(2, np.float32), users, items)
    user[0] = 9

    assert interactions.user.tolist() == [0, 0]
    assert interactions.timestamp.tolist() == [0, 0]


def test_matrix_is_users_by_items_with_weights():
    matrix = make(ROWS, weight=[5, 4, 3, 2, 1]).matrix()

    expected = np.zeros((4, 5), dtype=np.float32)
    expected[0, 3], expected[1, 0], expected[0, 1], expected[0, 2], expected[3, 4] = 5, 4, 3, 2, 1
    np.testing.assert_array_equal(matrix.toarray(), expected)
    assert matrix.format == "csr"
    assert matrix.dtype == np.float32
    assert matrix.has_sorted_indices
    assert matrix.indices.tolist() == [1, 2, 3, 0, 4]


def test_histories_are_in_time_order_and_empty_for_users_without_rows():
    histories = make(ROWS).histories()

    assert [histories.of(user).tolist() for user in range(4)] == [[1, 2, 3], [0], [], [4]]
    assert histories.lengths.tolist() == [3, 1, 0, 1]


def test_counts_cover_all_ids():
    interactions = make(ROWS)

    assert interactions.user_counts().tolist() == [3, 1, 0, 1]
    assert interactions.item_counts().tolist() == [1, 1, 1, 1, 1]
    assert (interactions.n_users, interactions.n_items, len(interactions)) == (4, 5, 5)


def test_no_interactions_at_all_are_interactions():
    nothing = make([])

    assert nothing.matrix().shape == (4, 5)
    assert nothing.histories().lengths.tolist() == [0, 0, 0, 0]
    assert nothing.item_counts().tolist() == [0] * 5
    assert len(k_core(nothing, user_k=2)) == 0


def test_where_keeps_rows_and_ids():
    interactions = make(ROWS, weight=[1, 2, 3, 4, 5], evaluation=[0, 1, 2, 0, 1])
    part = interactions.where(interactions.user == 0)

    assert rows_of(part) == [(0, 1, 10), (0, 2, 20), (0, 3, 20)]
    assert part.weight.tolist() == [3, 4, 1]
    assert part.evaluation is not None
    assert part.evaluation.tolist() == [2, 0, 0]
    assert part.users is interactions.users


def test_union_of_two_halves_is_the_whole():
    interactions = make(ROWS, weight=[1, 2, 3, 4, 5])
    first = np.arange(5) % 2 == 0

    assert interactions.where(first).union(interactions.where(~first)).digest == interactions.digest


def test_union_on_other_ids_is_refused():
    other = replace(make(ROWS), items=IdMap(list("abcde")))

    with pytest.raises(DataError, match="different users or items"):
        make(ROWS).union(other)


def test_digest_does_not_depend_on_the_order_of_rows():
    assert make(ROWS).digest == make(ROWS[::-1]).digest


@pytest.mark.parametrize(
    "change",
    [
        {"user": np.array([0, 1, 0, 0, 2])},
        {"item": np.array([3, 0, 1, 2, 3])},
        {"timestamp": np.array([20, 10, 10, 20, 6])},
        {"timestamp": np.array([20.0, 10.0, 10.0, 20.0, 5.0])},
        {"weight": np.array([1, 1, 1, 1, 2])},
        {"evaluation": None},
        {"evaluation": np.array([0, 1, 2, 0, 1])},
        {"users": IdMap([f"u{n}" for n in range(5)])},
        {"items": IdMap([f"j{n}" for n in range(5)])},
    ],
    ids=lambda change: next(iter(change)),
)
def test_digest_changes_with_each_field(change: dict[str, object]):
    fields = {
        "user": np.array([0, 1, 0, 0, 3]),
        "item": np.array([3, 0, 1, 2, 4]),
        "timestamp": np.array([20, 10, 10, 20, 5]),
        "weight": np.ones(5),
        "users": IdMap([f"u{n}" for n in range(4)]),
        "items": IdMap([f"i{n}" for n in range(5)]),
        "evaluation": np.zeros(5),
    }

    assert Interactions(**{**fields, **change}).digest != Interactions(**fields).digest


@pytest.mark.parametrize("name", ["item", "timestamp", "weight", "evaluation"])
def test_columns_of_other_lengths_are_refused(name: str):
    with pytest.raises(DataError, match=f"{name} has 1 rows, user has 5"):
        replace(make(ROWS), **{name: np.zeros(1, dtype=np.int64)})


@pytest.mark.parametrize(
    ("name", "index", "message"),
    [
        ("user", 4, "a user index lies outside 0 … 3"),
        ("user", -1, "a user"),
        ("item", 5, "an item"),
        ("item", 2**32, "an item"),
    ],
)
def test_indices_outside_the_ids_are_refused(name: str, index: int, message: str):
    with pytest.raises(DataError, match=message):
        replace(make(ROWS), **{name: np.full(5, index)})


def test_k_core_repeats_until_nothing_changes():
    # Item 2 has one user, so user 1 loses it and is left with one item, so item 1 is left with one user, …
    rows = [(0, 0, 1), (0, 3, 2), (1, 1, 3), (1, 2, 4), (2, 1, 5), (2, 0, 6), (3, 0, 7), (3, 3, 8)]

    assert rows_of(k_core(make(rows), user_k=2, item_k=2)) == [(0, 0, 1), (0, 3, 2), (3, 0, 7), (3, 3, 8)]


def test_k_core_keeps_ids_and_with_zero_keeps_everything():
    interactions = make(ROWS)

    assert k_core(interactions).digest == interactions.digest
    assert k_core(interactions, user_k=2).items is interactions.items


pairs = st.sets(st.tuples(st.integers(0, 3), st.integers(0, 4)), max_size=20)


@given(pairs=pairs, user_k=st.integers(0, 4), item_k=st.integers(0, 4))
def test_k_core_equals_a_plain_loop(pairs: set[tuple[int, int]], user_k: int, item_k: int):
    expected = set(pairs)
    changed = True
    while changed:
        changed = False
        for pair in sorted(expected):
            n_of_user = sum(user == pair[0] for user, _ in expected)
            n_of_item = sum(item == pair[1] for _, item in expected)
            if n_of_user < user_k or n_of_item < item_k:
                expected.remove(pair)
                changed = True
                break

    core = k_core(make([(user, item, 0) for user, item in pairs]), user_k=user_k, item_k=item_k)

    assert {(user, item) for user, item, _ in rows_of(core)} == expected


row_lists = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 4), st.integers(-2, 3)), min_size=1, max_size=30
)


@given(rows=row_lists, few=st.sampled_from([0, 1000]), data=st.data())
def test_parts_and_unions_are_as_if_made_anew(rows: list[Row], few: int, data: st.DataObject):
    """Also where rows are repeated; whether they are many decides how they are sorted, never into what."""
    weight = data.draw(st.lists(st.sampled_from([0.5, 1, 2]), min_size=len(rows), max_size=len(rows)))
    marks = data.draw(st.lists(st.integers(0, 2), min_size=len(rows), max_size=len(rows)))
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=len(rows), max_size=len(rows))))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(order, "_FEW", few)
        whole = make(rows, weight=weight, evaluation=marks)
        part, rest = whole.where(mask), whole.where(~mask)
        both = part.union(rest)

    plain = sorted(zip(rows, weight, marks, strict=True), key=lambda row: (row[0][2], *row[0][:2], *row[1:]))
    assert rows_of(whole) == [row for row, _, _ in plain]
    assert whole.weight.tolist() == [one for _, one, _ in plain]
    for found, kept in ((part, mask), (rest, ~mask)):
        expected = [row for row, there in zip(plain, kept, strict=True) if there]
        again = make(
            [row for row, _, _ in expected],
            weight=[one for _, one, _ in expected],
            evaluation=[m for *_, m in expected],
        )
        assert found.digest == again.digest
        np.testing.assert_array_equal(found.histories().items, again.histories().items)
    assert both.digest == make(rows, weight=weight).digest


def test_a_part_is_asked_anew_for_what_the_whole_has_told():
    whole = make(ROWS)
    assert (len(whole.digest), len(whole.histories().items)) == (64, 5)  # told, and kept
    part = whole.where(whole.user == 0)

    assert part.digest != whole.digest
    assert part.histories().items.tolist() == [1, 2, 3]
    with pytest.raises(ValueError, match="read-only"):
        part.user[0] = 1


# ---- histories -----------------------------------------------------------------------------------------

ragged = st.lists(st.lists(st.integers(0, 9), max_size=5), min_size=1, max_size=6)


def histories_of(rows: list[list[int]]) -> Histories:
    indptr = np.cumsum([0, *(len(row) for row in rows)])
    return Histories(indptr, np.array([item for row in rows for item in row], dtype=np.int64))


def as_rows(histories: Histories) -> list[list[int]]:
    return [histories.of(row).tolist() for row in range(len(histories))]


@given(rows=ragged, data=st.data())
def test_histories_are_taken_filtered_and_cut_as_lists_are(rows: list[list[int]], data: st.DataObject):
    histories = histories_of(rows)
    chosen = data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=8))
    n = data.draw(st.integers(1, 6))
    even = histories.items % 2 == 0

    assert as_rows(histories.take(np.array(chosen, dtype=np.int64))) == [rows[one] for one in chosen]
    assert as_rows(histories.where(even)) == [[i for i in row if i % 2 == 0] for row in rows]
    assert as_rows(histories.newest(n)) == [row[-n:] for row in rows]
    assert histories.owner.tolist() == [place for place, row in enumerate(rows) for _ in row]
