"""Splits: which interactions go where, by small examples (tests/property/test_splits.py has the laws)."""

from __future__ import annotations

import numpy as np
import pytest

from visrec.data.ids import IdMap
from visrec.data.interactions import Interactions
from visrec.data.splits import SPLITS, Split, by_evaluation, by_ratio, by_time, leave_last_out
from visrec.errors import ConfigError, DataError

Row = tuple[int, int, int]  # user, item, timestamp


def make(rows: list[Row], evaluation: list[int] | None = None) -> Interactions:
    user, item, timestamp = np.array(rows, dtype=np.int64).reshape(-1, 3).T
    return Interactions(
        user,
        item,
        timestamp,
        np.ones(len(rows)),
        IdMap(range(4), kind="user"),
        IdMap(range(20), kind="item"),
        None if evaluation is None else np.array(evaluation),
    )


def rows_of(part: Interactions) -> list[Row]:
    return list(zip(part.user.tolist(), part.item.tolist(), part.timestamp.tolist(), strict=True))


def parts_of(split: Split) -> tuple[list[Row], list[Row], list[Row]]:
    return rows_of(split.train), rows_of(split.valid), rows_of(split.test)


def one_user(times: list[int]) -> list[Row]:
    return [(0, item, time) for item, time in enumerate(times)]


def test_leave_last_out_tests_on_the_newest_and_validates_on_the_next_newest():
    train, valid, test = parts_of(leave_last_out(make(one_user([1, 2, 3, 4]))))

    assert (train, valid, test) == ([(0, 0, 1), (0, 1, 2)], [(0, 2, 3)], [(0, 3, 4)])


def test_leave_last_out_keeps_users_with_too_few_in_training():
    rows = [(0, 0, 1), (0, 1, 1), (1, 0, 5), (1, 2, 6), (2, 0, 1), (2, 1, 2), (2, 2, 3)]
    train, valid, test = parts_of(leave_last_out(make(rows)))

    assert train == [(0, 0, 1), (0, 1, 1), (2, 0, 1), (1, 0, 5)]  # user 0 has one basket only
    assert valid == [(2, 1, 2)]  # user 1 has two baskets: none to validate on
    assert test == [(2, 2, 3), (1, 2, 6)]


def test_several_held_out_rows_of_a_user_are_merged_with_sum_over_ids_5_and_7_become_item_12():
    """Tutorial error 6: a basket of items 5 and 7 stays items 5 and 7, and 12 is in no part."""
    split = leave_last_out(make([(0, 1, 10), (0, 2, 20), (0, 5, 30), (0, 7, 30)]))

    assert split.test.item.tolist() == [5, 7]
    assert split.test.histories().of(0).tolist() == [5, 7]
    assert 12 not in split.train.item.tolist() + split.valid.item.tolist()


def test_the_newest_rows_are_marked_for_evaluation_before_sorting_by_time():
    """Tutorial error 7, first half: the newest is what has the newest time, not what stands last."""
    split = leave_last_out(make([(0, 3, 400), (0, 0, 100), (0, 2, 300), (0, 1, 200)]))

    assert (split.valid.item.tolist(), split.test.item.tolist()) == ([2], [3])


@pytest.mark.parametrize("name", ["leave_last_out", "by_time", "by_ratio"])
def test_a_basket_may_be_split_between_training_and_test(name: str):
    """Tutorial error 7, second half: what a user did at one time is on one side."""
    split = SPLITS[name](make(one_user([1, 2, 3, 4, 5, 6, 7, 8, 8, 8, 8])))

    assert split.test.timestamp.tolist() == [8, 8, 8, 8]


def test_by_evaluation_takes_the_parts_of_the_data():
    split = by_evaluation(make(one_user([1, 2, 3, 4]), [0, 2, 1, 0]))

    assert [part.item.tolist() for part in (split.train, split.valid, split.test)] == [[0, 3], [2], [1]]


def test_by_evaluation_holds_out_the_newest_remaining_basket_where_no_validation_is_marked():
    rows = [*one_user([1, 2, 3, 3, 9]), (1, 0, 5), (1, 1, 6)]
    split = by_evaluation(make(rows, [0, 0, 0, 0, 2, 0, 2]))

    assert rows_of(split.test) == [(1, 1, 6), (0, 4, 9)]
    assert rows_of(split.valid) == [(0, 2, 3), (0, 3, 3)]
    assert rows_of(split.train) == [(0, 0, 1), (0, 1, 2), (1, 0, 5)]  # user 1 keeps the one basket left


def test_by_evaluation_needs_a_column_that_marks_test_rows():
    with pytest.raises(DataError, match="have no 'evaluation' column"):
        by_evaluation(make(one_user([1, 2])))
    for marks in ([0, 0], [0, 1]):
        with pytest.raises(DataError, match="marks no interaction for the test"):
            by_evaluation(make(one_user([1, 2]), marks))
    with pytest.raises(DataError, match="by_evaluation leaves nothing of 2 interactions for training"):
        by_evaluation(make(one_user([1, 2]), [2, 2]))


def test_by_time_cuts_at_two_moments_for_all_users():
    rows = [(time % 3, time, time) for time in range(10)]
    split = by_time(make(rows), test=0.2, valid=0.3)

    assert split.train.timestamp.tolist() == [0, 1, 2, 3, 4]
    assert split.valid.timestamp.tolist() == [5, 6, 7]
    assert split.test.timestamp.tolist() == [8, 9]
    assert split.how == {"name": "by_time", "test": 0.2, "valid": 0.3}


def test_by_time_without_validation():
    split = by_time(make(one_user(list(range(10)))), test=0.5, valid=0)

    assert (len(split.train), len(split.valid), len(split.test)) == (5, 0, 5)


def test_by_ratio_takes_the_newest_share_of_each_user():
    rows = [*one_user(list(range(10))), *[(1, item, 100 + item) for item in range(5)], (2, 0, 0)]
    split = by_ratio(make(rows), test=0.2, valid=0.2)

    assert split.test.user_counts().tolist() == [2, 1, 0, 0]
    assert split.valid.user_counts().tolist() == [2, 1, 0, 0]
    assert split.train.user_counts().tolist() == [6, 3, 1, 0]  # user 2 has one: it trains


def test_by_ratio_shares_that_are_no_sums_of_binary_fractions_are_met_exactly():
    """.2 + .1 is .30000000000000004: a share of .3 that is reached must not take one more."""
    split = by_ratio(make(one_user(list(range(10)))), test=0.2, valid=0.1)

    assert (len(split.train), len(split.valid), len(split.test)) == (7, 1, 2)


@pytest.mark.parametrize("split", [by_time, by_ratio])
@pytest.mark.parametrize(
    ("test", "valid"), [(0, 0.1), (1, 0), (0.5, 0.5), (0.2, -0.1), (float("nan"), 0.1), (0.2, float("nan"))]
)
def test_shares_that_leave_no_training_or_no_test_are_refused(split, test: float, valid: float):
    with pytest.raises(ConfigError, match=r"expected 0 < test, 0 <= valid and test \+ valid < 1"):
        split(make(one_user([1, 2, 3])), test=test, valid=valid)


@pytest.mark.parametrize("name", ["leave_last_out", "by_time", "by_ratio"])
def test_too_few_interactions_are_refused_with_the_name_of_the_split(name: str):
    for rows in ([], [(0, 0, 1)], [(0, 0, 1), (0, 1, 1)]):
        with pytest.raises(DataError, match=f"The split {name}.* leaves nothing of {len(rows)} interactions"):
            SPLITS[name](make(rows))


def test_seen_is_all_that_came_before_a_part():
    split = leave_last_out(make(one_user([1, 2, 3, 4])))

    assert rows_of(split.seen("valid")) == [(0, 0, 1), (0, 1, 2)]
    assert rows_of(split.seen("test")) == [(0, 0, 1), (0, 1, 2), (0, 2, 3)]
    with pytest.raises(ConfigError, match="choose valid or test"):
        split.seen("train")


def test_part_by_name():
    split = leave_last_out(make(one_user([1, 2, 3])))

    assert split.part("train") is split.train
    assert split.part("valid") is split.valid
    assert split.part("test") is split.test
    with pytest.raises(ConfigError, match="There is no part 'tset'; choose train, valid or test"):
        split.part("tset")
