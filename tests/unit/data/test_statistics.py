from __future__ import annotations

import numpy as np
import pytest

from visrec.data.dataset import load_dataset
from visrec.data.statistics import Statistics, card_of, gini, load_counted
from visrec.data.times import as_date, unit_of
from visrec.errors import DataError


@pytest.fixture
def counted(tmp_path):
    """u1: a, b at once, later c. u2: a. The item d has a row in items.csv alone."""
    (tmp_path / "interactions.csv").write_text(
        "user_id,item_id,timestamp\nu1,a,1600000000\nu1,b,1600000000\nu1,c,1700000000\nu2,a,1650000000\n"
    )
    (tmp_path / "items.csv").write_text("item_id\na\nb\nc\nd\n")
    return Statistics.of(load_dataset(tmp_path, missing_images="mask"))


def test_sizes_and_densities(counted):
    assert (counted.n_users, counted.n_items, counted.n_interacted, counted.n_interactions) == (2, 4, 3, 4)
    assert counted.n_images == 0
    assert counted.density == 4 / (2 * 3)
    assert counted.catalog_density == 4 / (2 * 4)


def test_counts_baskets_and_head(counted):
    assert counted.user_counts.tolist() == [3, 1]
    assert counted.item_counts.tolist() == [2, 1, 1]
    assert counted.basket_sizes.tolist() == [2, 1, 1]
    assert counted.head(1) == 2 / 4  # at least one item
    assert (counted.first, counted.last) == ("2020-09-13", "2023-11-14")
    assert sum(n for _, n in counted.periods) == 4


@pytest.mark.parametrize("counts", [[1, 1, 1], [5, 0, 0, 0], [1, 2, 3, 10], [7]])
def test_gini_is_half_the_mean_difference_over_the_mean(counts):
    pairs = [abs(a - b) for a in counts for b in counts]
    assert gini(np.array(counts)) == pytest.approx(np.mean(pairs) / (2 * np.mean(counts)))


def test_gini_among_all_items_counts_those_that_nobody_took(counted):
    assert counted.catalog_gini == pytest.approx(gini(np.array([2, 1, 1, 0])))
    assert counted.catalog_gini > counted.gini


def test_the_card_holds_every_number(counted):
    card = card_of(counted, name="mine", notes=("A note.",))
    assert card.startswith("# mine\n")
    assert all(f"| {name} | {value} |" in card for name, value in counted.lines())
    assert "- A note." in card


@pytest.mark.parametrize(
    ("moment", "unit"), [(1.6e9, 1), (1.6e12, 1e3), (1.6e15, 1e6), (1.6e18, 1e9), (17.0, 0), (0.0, 0)]
)
def test_the_unit_of_times_is_told_by_their_size(moment, unit):
    assert unit_of(np.array([moment])) == unit
    assert as_date(moment, unit) == ("2020-09-13" if unit else f"{moment:g}")


def test_a_moment_without_a_day_stays_a_number():
    assert as_date(1e18, 1) == "1000000000000000000"


@pytest.mark.parametrize("times", ["1,2,3", "0,0,0", "1600000000,1600000001,1600000002"])
def test_times_of_any_kind_are_spread_over_periods(tmp_path, times):
    rows = "".join(f"u{n},a,{time}\n" for n, time in enumerate(times.split(",")))
    (tmp_path / "interactions.csv").write_text("user_id,item_id,timestamp\n" + rows)
    found = Statistics.of(load_dataset(tmp_path, missing_images="mask"))
    assert sum(n for _, n in found.periods) == 3


def test_a_folder_of_pictures_alone_is_counted_too(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.jpg").write_bytes(b"")
    (tmp_path / "items.csv").write_text("item_id\na\nb\n")
    found = Statistics.of(load_counted(tmp_path))
    assert found.lines() == [("items", "2"), ("items with a picture", "1 (50.0%)")]
    told = found.as_dict()
    assert (told["items"], told["items_with_image"], told["interactions"], told["density"]) == (2, 1, 0, 0)
    assert (told["gini_all_items"], told["head"]["10 %"], told["per_user"]) == (0, 0, {})
    card = card_of(found, name="mine")
    assert "| items | 2 |" in card
    assert "Over time" not in card


def test_ratings_are_asked_of_a_table_of_interactions_alone(tmp_path):
    (tmp_path / "items.csv").write_text("item_id\na\n")
    with pytest.raises(DataError, match="no interactions"):
        load_counted(tmp_path, min_rating=4)


def test_an_empty_folder_is_no_data_set(tmp_path):
    with pytest.raises(DataError, match="is no data set folder"):
        load_counted(tmp_path)
