"""Several seeds as one report."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from visrec.evaluation.protocol import Report
from visrec.evaluation.seeds import over_seeds, values_by_seed
from visrec.evaluation.significance import Estimate, bootstrap


def report(values: list[float], new_items: float) -> Report:
    per_user = pl.DataFrame({"user_id": ["u1", "u2", "u3"], "n_history": [4, 5, 6], "auc": values})
    return Report(
        "m",
        {"auc": bootstrap(np.array(values)), "coverage": Estimate(new_items, new_items, new_items)},
        per_user,
        {"auc": Estimate(new_items, new_items - 0.1, new_items + 0.1)},
        {"cutoffs": [5]},
    )


def test_each_users_value_is_the_mean_over_the_seeds():
    found = over_seeds({7: report([0.1, 0.2, 0.3], 0.5), 8: report([0.3, 0.2, 0.9], 0.7)})
    assert found.per_user["auc"].to_list() == pytest.approx([0.2, 0.2, 0.6])
    assert found.per_user["n_history"].to_list() == [4, 5, 6]
    assert found["auc"] == pytest.approx(1 / 3)
    spread = found.spread("auc")
    assert spread is not None
    assert (spread.min, spread.max) == (pytest.approx(0.2), pytest.approx(1.4 / 3))
    assert values_by_seed(found, "auc").tolist() == [[0.1, 0.2, 0.3], [0.3, 0.2, 0.9]]


def test_what_is_no_mean_over_users_is_averaged_over_the_seeds():
    found = over_seeds({7: report([0.1, 0.2, 0.3], 0.5), 8: report([0.3, 0.2, 0.9], 0.7)})
    assert found["coverage"] == pytest.approx(0.6)
    assert vars(found.new_items["auc"]) == pytest.approx({"mean": 0.6, "low": 0.5, "high": 0.7})


def test_seeds_that_differ_make_the_interval_wider_than_users_alone():
    rng = np.random.default_rng(0)
    user = rng.random(3)
    seeds = {n: report((user * 0.01 + shift).tolist(), 0.5) for n, shift in enumerate((0.2, 0.4, 0.6))}
    found = over_seeds(seeds).estimate("auc")
    alone = bootstrap(np.mean([one.per_user["auc"].to_numpy() for one in seeds.values()], axis=0))
    assert found.high - found.low > 5 * (alone.high - alone.low)


def test_an_interval_stays_within_what_the_metric_can_be():
    found = over_seeds({7: report([0.0, 0.0, 0.3], 0.5), 8: report([0.0, 0.0, 0.0], 0.7)}).estimate("auc")
    assert 0 == found.low < found.mean < found.high <= 0.3


def test_one_seed_is_its_own_report():
    only = report([0.1, 0.2, 0.3], 0.5)
    found = over_seeds({7: only})
    assert found == only or vars(found) == vars(only)
    assert found.spread("auc") is None
    assert "seeds" not in found.as_dict()
