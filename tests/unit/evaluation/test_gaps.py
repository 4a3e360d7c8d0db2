"""The people behind a number: who they are, in which order, and how far two models are apart for each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
import pytest

from visrec.errors import ConfigError
from visrec.evaluation.gaps import gaps, measures_of
from visrec.evaluation.protocol import Report
from visrec.evaluation.significance import Estimate

USERS = ["ada", "ben", "cleo", "dan", "eve"]
A = [0.1, 0.5, 0.0, 0.9, 0.4]
B = [0.4, 0.5, 0.2, 0.3, 0.1]


def report(
    name: str, values: Sequence[float], users: Sequence[str] = USERS, **more: Sequence[float | None]
) -> Report:
    columns = {"ndcg@5": values, **{key.replace("_at_", "@"): column for key, column in more.items()}}
    nothing = Estimate(0, 0, 0)
    return Report(
        name,
        {"ndcg@5": nothing},
        pl.DataFrame({"user_id": users, **columns}),
        {},
        {"cutoffs": [5]},
        beyond={key: nothing for key in columns if key != "ndcg@5"},
    )


def test_the_list_begins_with_those_for_whom_the_model_loses_most():
    found = gaps(report("a", A), report("b", B), "ndcg@5")
    expected = sorted(zip(USERS, A, B, strict=True), key=lambda row: row[1] - row[2])
    assert [(one.user_id, one.one, one.other) for one in found.page("least")] == expected
    assert [one.user_id for one in found.page("most")] == [row[0] for row in reversed(expected)]
    assert found.page("least")[0].value == pytest.approx(0.1 - 0.4)


def test_people_are_counted_on_both_sides():
    found = gaps(report("a", A), report("b", B), "ndcg@5")
    more, less = (sum(one > two for one, two in zip(*pair, strict=True)) for pair in ((A, B), (B, A)))
    assert (found.n_more, found.n_less, found.n_same) == (more, less, len(A) - more - less)
    assert found.mean == pytest.approx(np.mean(A) - np.mean(B))


def test_a_rounding_error_is_no_difference():
    found = gaps(report("a", [0.1 + 0.2], ["ada"]), report("b", [0.3], ["ada"]), "ndcg@5")
    assert 0.1 + 0.2 != 0.3
    assert (found.n_more, found.n_same) == (0, 1)


def test_pages_together_are_everybody_once():
    n = 47
    users = [f"u{place}" for place in range(n)]
    values = np.random.default_rng(0).integers(0, 3, n) / 2  # many are equal
    found = gaps(report("a", values, users), report("b", np.zeros(n), users), "ndcg@5")
    seen = [one for start in range(0, n, 10) for one in found.page("least", start=start, n=10)]
    assert sorted(one.user_id for one in seen) == sorted(users)
    assert [one.value for one in seen] == sorted(values)


def test_equals_do_not_come_in_the_order_of_the_data():
    users = [f"u{place:03d}" for place in range(50)]
    same = np.zeros(50)
    found = [one.user_id for one in gaps(report("a", same, users), None, "ndcg@5").page("least", n=50)]
    assert found != users
    backwards = gaps(report("a", same, users[::-1]), None, "ndcg@5").page("least", n=50)
    assert [one.user_id for one in backwards] == found


def test_one_model_alone_is_ordered_by_what_it_gives():
    found = gaps(report("a", A), None, "ndcg@5")
    assert [one.user_id for one in found.page("least")] == [
        user for _, user in sorted(zip(A, USERS, strict=True))
    ]
    assert found.page("least")[0].other is None


def test_only_the_people_of_a_slice_are_looked_at():
    found = gaps(report("a", A), report("b", B), "ndcg@5", among={"eve", "ben", "nobody"})
    assert sorted(found.users.to_list()) == ["ben", "eve"]


def test_people_whom_one_report_lacks_or_who_have_no_value_are_left_out():
    one = report("a", A, novelty_at_5=[1.0, 2.0, None, 4.0, 5.0])
    other = report("b", B[1:], USERS[1:], novelty_at_5=[1.0, 1.0, 1.0, 7.0])
    assert gaps(one, other, "ndcg@5").users.to_list() == USERS[1:]
    found = gaps(one, other, "novelty@5")
    assert found.users.to_list() == ["ben", "dan", "eve"]
    assert found.values.tolist() == [1.0, 3.0, -2.0]


def test_what_is_not_known_by_person_is_refused_with_what_is():
    one = report("a", A, novelty_at_5=A)
    assert measures_of(one) == ["ndcg@5", "novelty@5"]
    with pytest.raises(ConfigError, match=r"'b' has no 'novelty@5' by user\. It has ndcg@5"):
        gaps(one, report("b", B), "novelty@5")
