"""Laws of the splits, against straightforward loops over users."""

from __future__ import annotations

from collections import defaultdict
from fractions import Fraction

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

from visrec.data.ids import IdMap
from visrec.data.interactions import Interactions
from visrec.data.splits import Split, by_evaluation, by_ratio, by_time, leave_last_out
from visrec.errors import DataError

Row = tuple[int, int, int]  # user, item, timestamp
N_USERS, N_ITEMS = 4, 8
PARTS = ("train", "valid", "test")


@st.composite
def row_lists(draw: st.DrawFn) -> list[Row]:
    """Distinct user-item pairs at few moments, so that baskets are common, in any order."""
    pairs = draw(
        st.lists(
            st.tuples(st.integers(0, N_USERS - 1), st.integers(0, N_ITEMS - 1)),
            min_size=1,
            max_size=25,
            unique=True,
        )
    )
    return [(user, item, draw(st.integers(-2, 6))) for user, item in pairs]


def make(rows: list[Row], marks: dict[Row, int] | None = None) -> Interactions:
    user, item, timestamp = np.array(rows, dtype=np.int64).T
    return Interactions(
        user,
        item,
        timestamp,
        1.0 + item,
        IdMap(range(N_USERS), kind="user"),
        IdMap(range(N_ITEMS), kind="item"),
        None if marks is None else np.array([marks[row] for row in rows]),
    )


def rows_of(part: Interactions) -> set[Row]:
    rows = list(zip(part.user.tolist(), part.item.tolist(), part.timestamp.tolist(), strict=True))
    assert len(set(rows)) == len(rows)
    return set(rows)


def baskets_of(rows: list[Row]) -> dict[int, list[list[Row]]]:
    """Each user's baskets, the newest first."""
    found: dict[int, dict[int, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        found[row[0]][row[2]].append(row)
    return {user: [of[time] for time in sorted(of, reverse=True)] for user, of in found.items()}


def check(
    split_of, rows: list[Row], expected: dict[str, set[Row]], marks: dict[Row, int] | None = None
) -> Split | None:
    """Compare with what a loop found, and check what every split promises; None where there is no split."""
    if not expected["train"] or not expected["test"]:
        try:
            split_of(make(rows, marks))
        except DataError:
            return None
        raise AssertionError("a split without training or test")
    whole = make(rows, marks)
    split = split_of(whole)
    parts = {name: split.part(name) for name in PARTS}

    assert {name: rows_of(part) for name, part in parts.items()} == expected
    assert sum(len(part) for part in parts.values()) == len(rows)  # with the line above: disjoint, and all
    for part in parts.values():
        assert part.users is whole.users
        assert part.items is whole.items
        np.testing.assert_array_equal(part.weight, 1.0 + part.item)
    assert rows_of(split.seen("valid")) == expected["train"]
    assert rows_of(split.seen("test")) == expected["train"] | expected["valid"]

    again = split_of(make(rows[::-1], marks))
    assert all(again.part(name).digest == part.digest for name, part in parts.items())
    return split


def check_that_no_basket_is_cut(split: Split, rows: list[Row]) -> None:
    parts = [rows_of(split.part(name)) for name in PARTS]
    for baskets in baskets_of(rows).values():
        for basket in baskets:
            assert sum(bool(part & set(basket)) for part in parts) == 1


def check_that_later_parts_are_newer(split: Split) -> None:
    """Each user's test times lie above all its validation times, and these above all its training times."""
    for user in range(N_USERS):
        times = [split.part(name).timestamp[split.part(name).user == user] for name in PARTS]
        train, valid, test = ([int(time) for time in part] for part in times)
        assert all(later > earlier for later in test for earlier in valid + train)
        assert all(later > earlier for later in valid for earlier in train)


def empty() -> dict[str, set[Row]]:
    return {name: set() for name in PARTS}


@given(rows=row_lists())
def test_leave_last_out_equals_a_loop(rows: list[Row]):
    expected = empty()
    for baskets in baskets_of(rows).values():
        n = len(baskets)
        names = ["test"] * (n >= 2) + ["valid"] * (n >= 3)
        for place, basket in enumerate(baskets):
            expected[names[place] if place < len(names) else "train"].update(basket)

    split = check(leave_last_out, rows, expected)
    if split is not None:
        check_that_no_basket_is_cut(split, rows)
        check_that_later_parts_are_newer(split)


@given(rows=row_lists(), data=st.data())
def test_by_evaluation_equals_a_loop(rows: list[Row], data: st.DataObject):
    marks = {row: data.draw(st.sampled_from([0, 0, 1, 2])) for row in rows}
    if data.draw(st.booleans()):
        marks = {row: 0 if mark == 1 else mark for row, mark in marks.items()}
    expected = {name: {row for row in rows if marks[row] == mark} for mark, name in enumerate(PARTS)}
    if not expected["valid"]:
        for baskets in baskets_of(sorted(expected["train"])).values():
            if len(baskets) >= 2:
                expected["valid"].update(baskets[0])
        expected["train"] -= expected["valid"]

    check(by_evaluation, rows, expected, marks)


shares = st.integers(1, 9).flatmap(lambda test: st.tuples(st.just(test), st.integers(0, 9 - test)))


@given(rows=row_lists(), tenths=shares)
def test_by_ratio_equals_a_loop(rows: list[Row], tenths: tuple[int, int]):
    test, valid = (Fraction(tenth, 10) for tenth in tenths)
    expected = empty()
    for baskets in baskets_of(rows).values():
        total, taken = sum(map(len, baskets)), 0
        for place, basket in enumerate(baskets):
            reached = Fraction(taken, total)
            oldest = place == len(baskets) - 1
            name = "train" if oldest or reached >= test + valid else "test" if reached < test else "valid"
            expected[name].update(basket)
            taken += len(basket)

    split = check(lambda all_: by_ratio(all_, test=float(test), valid=float(valid)), rows, expected)
    if split is not None:
        check_that_no_basket_is_cut(split, rows)
        check_that_later_parts_are_newer(split)


@given(rows=row_lists(), tenths=shares)
def test_by_time_equals_a_loop(rows: list[Row], tenths: tuple[int, int]):
    test, valid = tenths
    n = len(rows)
    assume(all((n * tenth) % 10 != 5 for tenth in (test, test + valid)))  # no half rows to round
    times = sorted(row[2] for row in rows)

    def from_moment(tenth: int) -> int:
        """The time from which on rows belong to the newest tenths."""
        newest = max(1, (n * tenth + 5) // 10)  # at least one row
        return times[n - newest]

    expected = empty()
    for row in rows:
        if row[2] >= from_moment(test):
            expected["test"].add(row)
        elif valid and row[2] >= from_moment(test + valid):
            expected["valid"].add(row)
        else:
            expected["train"].add(row)

    split = check(lambda all_: by_time(all_, test=test / 10, valid=valid / 10), rows, expected)
    if split is not None:
        check_that_no_basket_is_cut(split, rows)
        check_that_later_parts_are_newer(split)
