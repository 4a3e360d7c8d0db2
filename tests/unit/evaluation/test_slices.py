"""Slices: who belongs together, and the means over them, each derived again with loops."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy import stats

from visrec.data.catalog import Catalog
from visrec.data.ids import IdMap
from visrec.data.interactions import Histories, Interactions
from visrec.data.splits import Split
from visrec.errors import ConfigError
from visrec.evaluation.groups import MOST_VALUES, N_BINS, quantile_bins, visual_diversity
from visrec.evaluation.protocol import Report
from visrec.evaluation.significance import Estimate
from visrec.evaluation.slices import SMALLEST, Slicing, estimates, slice_reports
from visrec.features.features import Features

Make = Callable[..., Interactions]

N_USERS, N_ITEMS = 90, 40


@pytest.fixture(scope="module")
def split(interactions: Make) -> Split:
    """90 users: user u has u % 5 training items; one or two items of the test, some of them brand-new."""
    rng = np.random.default_rng(3)
    train, test = [], []
    for user in range(N_USERS):
        items = rng.permutation(N_ITEMS)
        train += [(user, int(item)) for item in items[items < N_ITEMS - 6][: user % 5]]
        test += [(user, int(item)) for item in items[-1 - user % 2 :]]
    return Split(
        interactions(train, N_USERS, N_ITEMS),
        interactions([], N_USERS, N_ITEMS),
        interactions([pair for pair in test if pair not in set(train)], N_USERS, N_ITEMS),
    )


def reports_of(split: Split, names: Sequence[str] = ("a", "b")) -> dict[str, Report]:
    """Reports with random values of two metrics for each user of the test."""
    rng = np.random.default_rng(4)
    users = np.flatnonzero(split.test.user_counts() > 0)
    found = {}
    for name in names:
        values = {metric: rng.random(len(users)) for metric in ("auc", "ndcg@20")}
        per_user = pl.DataFrame({"user_id": split.train.users.take(users), **values})
        metrics = {metric: Estimate(float(column.mean()), 0, 1) for metric, column in values.items()}
        found[name] = Report(name, metrics, per_user, {}, {"part": "test", "cutoffs": [20]})
    return found


def catalog(**columns: Any) -> Catalog:
    ids = [f"i{item:02d}" for item in range(N_ITEMS)]
    return Catalog(IdMap(ids), (None,) * N_ITEMS, pl.DataFrame({"item_id": ids, **columns}, strict=False))


def mean_of(report: Report, split: Split, metric: str, belongs: Callable[[int], bool]) -> tuple[int, float]:
    """Number and mean of the users for whom something holds, one user after another."""
    rows = report.per_user.to_dicts()
    values = [row[metric] for row in rows if belongs(split.train.users.index(row["user_id"]))]
    return len(values), float(np.mean(values))


def taken(split: Split, user: int) -> list[int]:
    return [int(item) for one, item in zip(split.test.user, split.test.item, strict=True) if one == user]


def trained(split: Split, user: int) -> list[int]:
    return [int(item) for one, item in zip(split.train.user, split.train.item, strict=True) if one == user]


def check(
    slicing: Slicing, split: Split, reports: dict[str, Report], belongs: dict[str, Callable[[int], bool]]
) -> None:
    assert [one.label for one in slicing.slices] == list(belongs)
    for one in slicing.slices:
        for name, report in reports.items():
            for metric in ("auc", "ndcg@20"):
                n, mean = mean_of(report, split, metric, belongs[one.label])
                assert one.n_users == n
                assert one.models[name][metric].mean == pytest.approx(mean, abs=1e-12)


def test_histories_are_divided_by_their_length(split: Split) -> None:
    reports = reports_of(split)
    (found,) = slice_reports(reports, split, names=["history"])
    lengths = [len(trained(split, user)) for user in range(N_USERS)]
    ranges = [tuple(map(int, one.label.split("–"))) for one in found.slices]
    ends = {one.label: (span[0], span[-1]) for one, span in zip(found.slices, ranges, strict=True)}
    check(
        found,
        split,
        reports,
        {label: lambda user, a=a, b=b: a <= lengths[user] <= b for label, (a, b) in ends.items()},  # type: ignore[misc]
    )
    assert sum(one.n_users for one in found.slices) == reports["a"].per_user.height


def test_popularity_is_the_mean_of_what_was_held_out(split: Split) -> None:
    reports = reports_of(split)
    (found,) = slice_reports(reports, split, names=["popularity"])
    counts = split.train.item_counts()
    users = [user for user in range(N_USERS) if taken(split, user)]
    means = {user: float(np.mean([counts[item] for item in taken(split, user)])) for user in users}
    order = sorted(means.values())
    # The quarters: each ends at the smallest value that at least its share of the users does not pass.
    edges = sorted({order[int(np.ceil(len(order) * part / N_BINS)) - 1] for part in range(1, N_BINS)})
    bins = [sum(means[user] > edge for edge in edges) for user in users]
    assert [one.n_users for one in found.slices] == [bins.count(one) for one in range(len(edges) + 1)]
    assert found.slices[0].models["b"]["auc"].mean == pytest.approx(
        np.mean([value for value, one in zip(reports["b"].per_user["auc"], bins, strict=True) if one == 0])
    )


def test_brand_new_items_and_users_have_slices(split: Split) -> None:
    reports = reports_of(split)
    (found,) = slice_reports(reports, split, names=["new"])
    known = {int(item) for item in split.train.item}
    check(
        found,
        split,
        reports,
        {
            "known items only": lambda user: all(item in known for item in taken(split, user)),
            "a brand-new item": lambda user: any(item not in known for item in taken(split, user)),
            "no history at all": lambda user: not trained(split, user),
        },
    )


def test_a_column_has_its_most_frequent_values_and_the_rest(split: Split) -> None:
    reports = reports_of(split)
    artist = [None if item % 13 == 12 else f"artist {min(item % 13, 11)}" for item in range(N_ITEMS)]
    (found,) = slice_reports(reports, split, names=["artist"], catalog=catalog(artist=artist))
    users: dict[str, int] = {}
    for user in range(N_USERS):
        for value in {artist[item] for item in taken(split, user)} - {None}:
            users[str(value)] = users.get(str(value), 0) + 1
    most = sorted(users, key=lambda value: (-users[value], value))[:MOST_VALUES]
    rest = set(users) - set(most)
    belongs: dict[str, Callable[[int], bool]] = {
        value: lambda user, value=value: any(artist[item] == value for item in taken(split, user))  # type: ignore[misc]
        for value in most
    }
    belongs[f"{len(rest)} others"] = lambda user: any(artist[item] in rest for item in taken(split, user))
    check(found, split, reports, belongs)


def test_a_column_that_says_nothing_divides_nobody(split: Split) -> None:
    empty = pl.Series([None] * N_ITEMS, dtype=pl.String)
    found = slice_reports(reports_of(split), split, catalog=catalog(tmdb_id=empty))
    assert "tmdb_id" not in [one.name for one in found]
    with_names = slice_reports(reports_of(split), split, names=["tmdb_id"], catalog=catalog(tmdb_id=empty))
    assert not any(one.slices for one in with_names)


def test_a_column_of_many_numbers_is_divided_into_ranges(split: Split) -> None:
    years = [str(1900 + item) for item in range(N_ITEMS)]  # CSV gives text
    reports = reports_of(split)
    (found,) = slice_reports(reports, split, names=["year"], catalog=catalog(year=years))
    ends = {one.label: tuple(map(int, one.label.split("–"))) for one in found.slices}
    assert 2 <= len(ends) <= N_BINS
    check(
        found,
        split,
        reports,
        {
            label: lambda user, a=a, b=b: any(a <= 1900 + item <= b for item in taken(split, user))  # type: ignore[misc]
            for label, (a, b) in ends.items()
        },
    )


def features_of(split: Split) -> Features:
    vectors = np.random.default_rng(5).normal(size=(N_ITEMS, 4)).astype(np.float32)
    return Features.from_array(vectors, split.train.items.written.to_list())


def test_visual_diversity_is_the_mean_distance_of_all_pairs(split: Split) -> None:
    features = features_of(split)
    found = visual_diversity(split.train.histories(), features)
    for user in range(N_USERS):
        vectors = [features.values[item].astype(float) for item in trained(split, user)]
        pairs = [1 - a @ b / np.linalg.norm(a) / np.linalg.norm(b) for a, b in combinations(vectors, 2)]
        assert found[user] == pytest.approx(np.mean(pairs), abs=1e-9) if pairs else np.isnan(found[user])


def test_visual_diversity_counts_an_item_once_and_leaves_out_what_has_no_vector() -> None:
    values = np.array([[1, 0], [0, 1], [0, 0]], dtype=np.float32)
    features = Features.from_array(values, ["a", "b", "c"])
    histories = Histories(np.array([0, 4, 6, 8]), np.array([0, 0, 1, 2, 1, 1, 0, 2]))
    # a and b are at right angles: distance 1. b alone, and a with a zero vector, have no pair.
    np.testing.assert_array_equal(visual_diversity(histories, features), [1.0, np.nan, np.nan])


def test_visual_slices_leave_out_users_without_a_pair_of_pictures(split: Split) -> None:
    reports = reports_of(split)
    (found,) = slice_reports(reports, split, names=["visual"], features=features_of(split))
    evaluated = {split.train.users.index(one) for one in reports["a"].per_user["user_id"]}
    assert sum(one.n_users for one in found.slices) == sum(
        len(trained(split, user)) >= 2 for user in evaluated
    )


def test_small_slices_say_so(split: Split) -> None:
    (found,) = slice_reports(reports_of(split), split, names=["history"])
    for one, stored in zip(found.slices, found.as_dict()["slices"], strict=True):
        assert one.is_too_small == stored["too_small"] == (one.n_users < SMALLEST)
    assert any(one.is_too_small for one in found.slices)


def test_slices_are_read_back_as_they_were_written(split: Split) -> None:
    for found in slice_reports(reports_of(split), split):
        assert Slicing.from_dict(found.name, found.as_dict()) == found


def test_without_names_only_what_divides_the_users_is_taken(split: Split) -> None:
    one_value = ["x"] * N_ITEMS
    halves = ["x" if item % 2 else "y" for item in range(N_ITEMS)]
    columns = {f"c{n}": halves for n in range(6)} | {
        "constant": one_value,
        "category": halves,
        "title": halves,
    }
    found = slice_reports(reports_of(split), split, catalog=catalog(**columns))
    names = [one.name for one in found]
    assert names[-4:] == ["category", "c0", "c1", "c2"]  # known by name first; four at most
    assert "visual" not in names  # there are no features
    assert not {"constant", "title", "item_id"} & set(names)


def test_what_is_not_there_is_refused_by_name(split: Split) -> None:
    reports = reports_of(split)
    with pytest.raises(ConfigError, match=r"no 'colour'. There are history, popularity, new, artist"):
        slice_reports(reports, split, names=["colour"], catalog=catalog(artist=["x"] * N_ITEMS))
    with pytest.raises(ConfigError, match="'visual' needs visual features"):
        slice_reports(reports, split, names=["visual"])


def test_only_users_that_all_reports_have_are_counted(split: Split) -> None:
    reports = reports_of(split)
    short = reports["b"].per_user.reverse().head(50)
    reports["b"] = Report("b", reports["b"].metrics, short, {}, reports["b"].protocol)
    (found,) = slice_reports(reports, split, names=["history"])
    assert sum(one.n_users for one in found.slices) == 50
    total = sum(one.n_users * one.models["b"]["auc"].mean for one in found.slices) / 50
    assert total == pytest.approx(short["auc"].mean())


def test_the_intervals_of_all_columns_are_those_of_each() -> None:
    values = np.random.default_rng(6).random((37, 3))
    for place, found in enumerate(estimates(values, seed=2)):
        (alone,) = estimates(values[:, [place]], seed=2)
        assert tuple(vars(found).values()) == pytest.approx(tuple(vars(alone).values()), abs=1e-12)


def test_intervals_are_bias_corrected_and_accelerated() -> None:
    """SciPy's BCa draws other users; over many resamples the ends agree, and differ from plain percentiles."""
    values = np.random.default_rng(8).exponential(size=60) ** 2
    (found,) = estimates(values[:, None], resamples=9_999)
    other = stats.bootstrap((values,), np.mean, n_resamples=9_999, method="BCa", rng=np.random.default_rng(9))
    width = found.high - found.low
    assert found.low == pytest.approx(other.confidence_interval.low, abs=0.05 * width)
    assert found.high == pytest.approx(other.confidence_interval.high, abs=0.05 * width)
    plain = stats.bootstrap(
        (values,), np.mean, n_resamples=9_999, method="percentile", rng=np.random.default_rng(9)
    )
    assert found.high > plain.confidence_interval.high + 0.04 * width


def test_the_interval_of_equal_values_is_the_value() -> None:
    assert estimates(np.zeros((40, 1))) == [Estimate(0, 0, 0)]


def test_values_that_are_not_known_are_left_out_of_a_mean() -> None:
    values = np.array([[1.0, 2.0], [np.nan, 4.0], [3.0, 6.0]])
    first, second = estimates(values)
    assert (first.mean, second.mean) == (2.0, 4.0)
    assert 1.0 <= first.low <= first.high <= 3.0


def test_bins_hold_equal_values_together_and_are_quarters_where_none_are_equal() -> None:
    assert (
        np.bincount(quantile_bins(np.random.default_rng(0).permutation(40).astype(float))).tolist()
        == [10] * 4
    )
    bins = quantile_bins(np.array([1.0] * 30 + [2.0] * 5 + [9.0, np.nan]))
    assert bins.tolist() == [0] * 30 + [1] * 6 + [-1]
    assert quantile_bins(np.array([5.0, 5.0, 5.0])).tolist() == [0, 0, 0]
    assert quantile_bins(np.array([np.nan])).tolist() == [-1]
