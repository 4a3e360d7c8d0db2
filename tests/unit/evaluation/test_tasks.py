"""Who is asked what, under each protocol; expected values by plain loops."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
import torch

from visrec.data.ids import IdMap
from visrec.data.interactions import Interactions
from visrec.data.splits import Split
from visrec.errors import ConfigError, DataError
from visrec.evaluation.tasks import Protocol, Task, next_basket, task_of

U, ITEMS = 12, 30
Row = tuple[int, int, float]


def rows_of(rows: list[Row]) -> Interactions:
    user, item, time = (
        (np.array(column) for column in zip(*rows, strict=True)) if rows else (np.zeros(0),) * 3
    )
    ids = (
        IdMap([f"u{n:02d}" for n in range(U)], kind="user"),
        IdMap([f"i{n:02d}" for n in range(ITEMS)], kind="item"),
    )
    return Interactions(user.astype(int), item.astype(int), time, np.ones(len(user)), *ids)


def drawn(seed: int) -> tuple[list[Row], list[Row], list[Row]]:
    """Train, valid and test rows: each user takes distinct items at growing times, some at once."""
    rng = np.random.default_rng(seed)
    parts: tuple[list[Row], list[Row], list[Row]] = ([], [], [])
    for user in range(U):
        n = int(rng.integers(3, 20))
        items = rng.permutation(ITEMS - 2)[:n]  # the last two items are nobody's
        times = np.sort(rng.integers(0, 60, n))
        for place, (item, time) in enumerate(zip(items.tolist(), times.tolist(), strict=True)):
            part = 2 if place >= n - 2 else 1 if place == n - 3 and n > 6 else 0
            parts[part].append((user, item, time))
    return parts


@pytest.fixture(params=range(3))
def parts(request):
    return drawn(request.param)


@pytest.fixture
def split(parts):
    return Split(*(rows_of(part) for part in parts))


def candidates_of(task: Task) -> dict[int, set[int]]:
    """Asked in two pieces, for a piece must know which rows it has."""
    found = {}
    for rows in np.array_split(np.arange(len(task.users)), 2):
        scores = torch.zeros(len(rows), ITEMS)
        task.close(scores, rows)
        for row, line in zip(rows, scores, strict=True):
            found[int(task.users[row])] = set(torch.isfinite(line).nonzero()[:, 0].tolist())
    return found


def targets_of(task: Task) -> dict[int, set[int]]:
    return {int(user): set(task.targets.of(row).tolist()) for row, user in enumerate(task.users)}


def by_user(rows: list[Row]) -> dict[int, set[int]]:
    found: dict[int, set[int]] = {}
    for user, item, _ in rows:
        found.setdefault(user, set()).add(item)
    return found


def test_full_asks_for_all_held_out_items_among_all_that_was_not_seen(parts, split):
    train, valid, test = parts
    task = task_of(split, "test", Protocol())
    seen = by_user(train + valid)
    assert targets_of(task) == by_user(test)
    assert candidates_of(task) == {u: set(range(ITEMS)) - seen.get(u, set()) for u in by_user(test)}


# ---- baskets ---------------------------------------------------------------------------------------------


def test_the_next_basket_is_what_a_user_took_first_of_the_held_out():
    held = rows_of([(0, 3, 9), (0, 4, 7), (0, 5, 7), (1, 3, 8), (1, 6, 10)])
    basket = next_basket(held)
    assert sorted(zip(basket.user.tolist(), basket.item.tolist(), strict=True)) == [(0, 4), (0, 5), (1, 3)]


def test_with_basket_targets_later_held_out_items_are_candidates_like_any(parts, split):
    task, every = (task_of(split, "test", Protocol(targets=targets)) for targets in ("basket", "all"))
    expected = {}
    for user, item, time in parts[2]:
        first = min(t for u, _, t in parts[2] if u == user)
        if time == first:
            expected.setdefault(user, set()).add(item)
    assert targets_of(task) == expected != targets_of(every)
    assert candidates_of(task) == candidates_of(every)


# ---- temporal --------------------------------------------------------------------------------------------


def expected_temporal(parts, starts=None, unique=frozenset()):
    """For each user: (candidates, targets), item by item."""
    train, valid, test = parts
    every = train + valid + test
    seen = by_user(train + valid)
    found = {}
    for user in by_user(test):
        now = min(t for u, _, t in test if u == user)
        there = set()
        for item in range(ITEMS):
            first = min((t for _, i, t in every if i == item), default=np.inf)
            start = min(first, (starts or {}).get(item, np.inf))
            if start <= now and not (item in unique and first < now) and item not in seen.get(user, set()):
                there.add(item)
        targets = by_user(test)[user] & there
        if targets:
            found[user] = there, targets
    return found


def found_temporal(split, metadata=None, **settings):
    task = task_of(split, "test", Protocol(name="temporal", **settings), metadata=metadata)
    there, targets = candidates_of(task), targets_of(task)
    return {user: (there[user], targets[user]) for user in targets}, task


def test_temporal_knows_only_items_that_somebody_had_taken_by_then(parts, split):
    found, task = found_temporal(split)
    assert found == expected_temporal(parts)
    assert task.facts["available_from"] == "the first interaction"
    assert task.facts["items_never_there"] >= 2
    assert task.facts["targets_not_there"] == sum(map(len, by_user(parts[2]).values())) - sum(
        len(targets) for _, targets in found.values()
    )


def test_scores_that_temporal_could_not_close_are_refused(split):
    task = task_of(split, "test", Protocol(name="temporal"))
    with pytest.raises(ValueError, match=r"Give scores\.contiguous"):
        task.close(torch.zeros(ITEMS, 2).T, np.arange(2))


def test_temporal_believes_the_items_table_where_it_is_earlier(parts, split):
    starts = {item: 10.0 * (item % 4) for item in range(20)} | {28: 0.0}
    ids = [f"i{n:02d}" for n in range(ITEMS)]
    written = [str(int(starts[n])) if n in starts else "" for n in range(ITEMS)]
    metadata = pl.DataFrame({"item_id": ids, "available_from": written}).sample(
        fraction=1, shuffle=True, seed=0
    )
    found, task = found_temporal(split, metadata)
    assert found == expected_temporal(parts, starts)
    assert any(28 in there for there, _ in found.values())
    assert task.facts["available_from"] == "available_from"


def test_what_is_one_of_a_kind_is_gone_once_it_was_taken(parts, split):
    unique = set(range(0, ITEMS, 2))
    ids = [f"i{n:02d}" for n in range(ITEMS)]
    marks = ["yes" if n in unique else "" for n in range(ITEMS)]
    found, _ = found_temporal(
        split, pl.DataFrame({"item_id": ids, "original": marks}), one_of_a_kind="original"
    )
    assert found == expected_temporal(parts, unique=unique)
    assert found != found_temporal(split)[0]


def test_where_all_is_one_of_a_kind_each_sale_takes_one_item_from_the_inventory():
    # Item 5 goes to user 1 at 3, between the events of users 0 (at 2) and 2 (at 4). A basket's items are both there.
    train = [(0, 0, 0), (1, 1, 0), (2, 2, 0), (3, 6, 1)]
    test = [(0, 3, 2), (0, 4, 2), (1, 5, 3), (2, 7, 4)]
    metadata = pl.DataFrame({"item_id": ["i05", "i07", "i08"], "release": [1, 1, 5]})
    split = Split(rows_of(train), rows_of([]), rows_of(test))
    found, _ = found_temporal(split, metadata, one_of_a_kind=True)
    assert found == {0: ({3, 4, 5, 7}, {3, 4}), 1: ({5, 7}, {5}), 2: ({7}, {7})}
    unique = set(range(ITEMS))
    assert found == expected_temporal((train, [], test), {5: 1, 7: 1, 8: 5}, unique)


def test_where_nothing_was_there_that_is_said():
    rows = rows_of([(0, 0, 1), (1, 1, 0)]), rows_of([]), rows_of([(0, 1, 2)])
    with pytest.raises(DataError, match=r"under the protocol 'temporal' \(.*'targets_not_there': 1"):
        task_of(Split(*rows), "test", Protocol(name="temporal", one_of_a_kind=True))


def test_a_table_in_another_unit_than_the_interactions_is_refused(split):
    metadata = pl.DataFrame({"item_id": ["i00", "i01"], "release": ["2019-03-01", "2020-01-01"]})
    with pytest.raises(DataError, match=r"column release goes from .* expected one unit"):
        task_of(split, "test", Protocol(name="temporal"), metadata=metadata)


def test_a_column_that_is_not_there_is_named_with_those_that_are(split):
    metadata = pl.DataFrame({"item_id": ["i00"], "title": ["x"]})
    protocol = Protocol(name="temporal", one_of_a_kind="original")
    with pytest.raises(ConfigError, match="no such column; there are item_id, title"):
        task_of(split, "test", protocol, metadata=metadata)
    strange = pl.DataFrame({"item_id": ["i00"], "original": ["perhaps"]})
    with pytest.raises(DataError, match="column original holds 'perhaps'"):
        task_of(split, "test", protocol, metadata=strange)


# ---- sampled ---------------------------------------------------------------------------------------------


def test_sampled_draws_so_many_items_that_the_user_has_not_taken(parts, split):
    train, valid, test = parts
    task = task_of(split, "test", Protocol(name="sampled", negatives=5), seed=3)
    for user, candidates in candidates_of(task).items():
        targets = by_user(test)[user]
        assert targets <= candidates
        assert len(candidates - targets) == 5
        assert not candidates & by_user(train + valid)[user]
    again = task_of(split, "test", Protocol(name="sampled", negatives=5), seed=3)
    other = task_of(split, "test", Protocol(name="sampled", negatives=5), seed=4)
    assert candidates_of(task) == candidates_of(again) != candidates_of(other)


def test_sampled_takes_all_there_are_where_these_are_fewer(split):
    sampled, full = Protocol(name="sampled"), Protocol()  # 100 of 30 items
    assert candidates_of(task_of(split, "test", sampled)) == candidates_of(task_of(split, "test", full))


def test_each_item_is_drawn_as_often_as_any_other():
    split = Split(rows_of([(0, 1, 0), (0, 7, 0), (1, 2, 1)]), rows_of([]), rows_of([(0, 20, 2)]))
    counts = np.zeros(ITEMS)
    for seed in range(600):
        task = task_of(split, "test", Protocol(name="sampled", negatives=9), seed=seed)
        counts[list(candidates_of(task)[0])] += 1
    assert counts[[1, 7]].sum() == 0
    assert counts[20] == 600
    others = np.delete(counts, [1, 7, 20])  # 27 items, each with chance 1/3: 200 ± 11.5
    assert others.sum() == 600 * 9
    assert np.abs(others - 200).max() < 4.5 * 11.5


def test_sampled_among_new_items_draws_new_items_alone(parts, split):
    new = np.arange(ITEMS) >= 15
    task = task_of(split, "test", Protocol(name="sampled", negatives=3), candidates=new)
    for user, candidates in candidates_of(task).items():
        assert min(candidates) >= 15
        assert len(candidates - by_user(parts[2])[user]) == 3


# ---- the tutorial's --------------------------------------------------------------------------------------


def test_tutorial_masks_the_newest_ten_and_merges_targets_by_their_sum(parts, split):
    train, valid, test = parts
    expected = {}
    for user, held in by_user(test).items():
        mine = sorted((time, item) for u, item, time in train + valid if u == user)
        newest = {item for _, item in mine[-10:]}
        merged = sum(held)
        if merged < ITEMS and merged not in newest:
            expected[user] = set(range(ITEMS)) - newest, {merged}
    task = task_of(split, "test", Protocol(name="tutorial"))
    there, targets = candidates_of(task), targets_of(task)
    assert {user: (there[user], targets[user]) for user in targets} == expected
    facts = task.facts
    assert facts["users_with_merged_targets"] == len(expected)  # all users here have two
    assert facts["users_without_a_target_after_merging"] == len(by_user(test)) - len(expected)


# ---- fewer users -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["full", "temporal", "sampled"])
def test_some_users_are_asked_what_all_would_be_asked(split, name):
    every = task_of(split, "test", Protocol(name=name))
    some = task_of(split, "test", Protocol(name=name, users=5))
    assert len(some.users) == 5
    assert some.facts["drawn_from_users"] == len(every.users)
    assert targets_of(some).items() <= targets_of(every).items()
    assert candidates_of(some).items() <= candidates_of(every).items()
    others = [
        task_of(split, "test", Protocol(name=name, users=5), seed=seed).users.tolist() for seed in (1, 2, 3)
    ]
    assert any(one != some.users.tolist() for one in others)


def test_more_users_than_there_are_are_all(split):
    task = task_of(split, "test", Protocol(users=500))
    assert task.users.tolist() == task_of(split, "test", Protocol()).users.tolist()
    assert "drawn_from_users" not in task.facts


# ---- settings --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"negatives": 10}, "negatives belong to the protocol 'sampled', not 'full'"),
        ({"name": "sampled", "one_of_a_kind": True}, "one_of_a_kind belongs to the protocol 'temporal'"),
        ({"name": "tutorial", "targets": "basket"}, "has its own targets"),
        ({"name": "fast"}, "'full', 'tutorial', 'sampled' or 'temporal'"),
        ({"users": 0}, "greater than or equal to 1"),
    ],
)
def test_a_setting_that_would_do_nothing_is_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        Protocol(**settings)
