from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from visrec import ranking
from visrec.errors import DivergedError
from visrec.ranking import check_finite, flat, flat_to_write, ranks_of, room_for, tie_order, top_k


def _sorted(scores: np.ndarray, user: int) -> list[int]:
    """All candidates of a row, best first, by a full sort."""
    keys = tie_order(user, np.arange(len(scores)))
    candidates = [i for i in range(len(scores)) if scores[i] > -np.inf]
    return sorted(candidates, key=lambda i: (-scores[i], keys[i]))


@pytest.fixture(params=range(5))
def tied(request):
    """(scores, users): few distinct values, hence many ties; about a third are no candidates."""
    rng = np.random.default_rng(request.param)
    scores = rng.integers(-2, 3, size=(17, 23)).astype(np.float32)
    scores[rng.random(scores.shape) < 0.3] = -np.inf
    return scores, rng.integers(0, 1000, size=17)


@pytest.fixture(params=["compiled", "few"])
def way(request, monkeypatch):
    """The two ways of `top_k`: few scores are sorted without the compiler, where it is not loaded."""
    if request.param == "few":
        monkeypatch.delitem(ranking.sys.modules, "numba", raising=False)
    else:
        monkeypatch.setattr(ranking, "_FEW", -1)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("k", [1, 4, 10, 23, 50])
def test_top_k_is_the_head_of_a_full_sort(tied, k):
    scores, users = tied
    items, values = top_k(torch.from_numpy(scores), k, users)
    assert items.shape == values.shape == (17, min(k, 23))
    for row in range(17):
        expected = _sorted(scores[row], users[row])[:k]
        n = len(expected)
        assert items[row, :n].tolist() == expected
        assert (items[row, n:] == -1).all()
        np.testing.assert_array_equal(values[row, :n], scores[row, expected])
        assert (values[row, n:] == -np.inf).all()


def test_ranks_are_the_places_in_a_full_sort(tied):
    scores, users = tied
    rows, items = np.nonzero(scores > -np.inf)
    expected = [_sorted(scores[r], users[r]).index(i) + 1 for r, i in zip(rows, items, strict=True)]
    ranks, mid, n_candidates = ranks_of(torch.from_numpy(scores), rows, items, users)
    assert ranks.tolist() == expected
    assert n_candidates.tolist() == [(line > -np.inf).sum() for line in scores]
    candidates = [scores[row][scores[row] > -np.inf] for row in range(len(scores))]
    shared = [
        (c > s).sum() + ((c == s).sum() + 1) / 2
        for c, s in ((candidates[r], scores[r, i]) for r, i in zip(rows, items, strict=True))
    ]
    assert mid.tolist() == shared


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("kind", ["random", "rising", "falling", "few values", "few candidates", "constant"])
@pytest.mark.parametrize("k", [1, 7, 60])
def test_the_head_of_a_long_row_is_found_without_sorting_it(kind, k):
    # Long enough for the row to be cut into groups; a rising one has all its best in the last of each.
    rng, n = np.random.default_rng(k), 1999
    scores = {
        "random": rng.standard_normal(n),
        "rising": np.arange(n),
        "falling": -np.arange(n),
        "few values": rng.integers(0, 40, n),
        "few candidates": np.where(rng.random(n) < 0.02, rng.random(n), -np.inf),
        "constant": np.zeros(n),
    }[kind].astype(np.float32)
    items, values = top_k(torch.from_numpy(scores)[None], k, np.array([3]))
    expected = _sorted(scores, 3)[:k]
    assert items[0, : len(expected)].tolist() == expected
    assert (items[0, len(expected) :] == -1).all()
    np.testing.assert_array_equal(values[0, : len(expected)], scores[expected])


@pytest.mark.parametrize("threads", [1, 3])
def test_neither_threads_nor_where_rows_begin_change_ranks_and_lists(threads, monkeypatch):
    monkeypatch.setattr(ranking, "_LEAST", 1)
    rng = np.random.default_rng(0)
    n_users, n_items, k = 23, 2077, 9  # more than a part of a row, of an odd length
    scores = np.round(3 * rng.standard_normal((n_users, n_items))).astype(np.float32)
    padded, turned = room_for(n_users, n_items), torch.from_numpy(scores.T.copy()).T
    padded.copy_(torch.from_numpy(scores))
    rows = np.sort(rng.integers(0, n_users, 60))
    items, users = rng.integers(0, n_items, 60), rng.integers(0, 100, n_users)
    expected = [_sorted(scores[row], users[row]) for row in range(n_users)]
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        for each in (torch.from_numpy(scores), padded, turned):
            found, values = top_k(each, k, users)
            assert found.tolist() == [line[:k] for line in expected]
            np.testing.assert_array_equal(values, np.take_along_axis(scores, found, axis=1))
            ranks, _, n_candidates = ranks_of(each, rows, items, users)
            assert ranks.tolist() == [expected[r].index(i) + 1 for r, i in zip(rows, items, strict=True)]
            assert (n_candidates == n_items).all()
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("n_items", [1, 16, 33])
def test_room_for_scores_begins_each_row_at_a_line_of_the_cache(n_items):
    room = room_for(3, n_items)
    assert room.shape == (3, n_items)
    assert room.dtype == torch.float32
    assert all(row.data_ptr() % 64 == 0 for row in room)
    room.copy_(torch.arange(3 * n_items).view(3, n_items))
    line, apart = flat(room)
    assert [line[b * apart : b * apart + n_items].tolist() for b in range(3)] == room.tolist()
    line[apart] = -7  # the same memory
    assert room[1, 0] == -7


def test_scores_without_ties_are_ranked_by_score_alone():
    scores = torch.tensor([[0.1, 0.4, 0.3, 0.2]])
    items, _ = top_k(scores, 3, np.array([5]))
    assert items.tolist() == [[1, 2, 3]]
    ranks, mid, _ = ranks_of(scores, np.array([0, 0]), np.array([0, 1]), np.array([5]))
    assert ranks.tolist() == mid.tolist() == [4, 1]


def test_zero_and_minus_zero_tie():
    scores = torch.tensor([[0.0, -0.0, 0.0, -0.0]])
    items, _ = top_k(scores, 4, np.array([1]))
    assert items[0].tolist() == _sorted(np.zeros(4), 1)


def test_a_row_without_candidates_gives_an_empty_list():
    items, values = top_k(torch.full((1, 3), -torch.inf), 2, np.array([0]))
    assert items.tolist() == [[-1, -1]]
    assert np.isneginf(values).all()


def test_no_rows_give_no_lists():
    items, values = top_k(torch.empty(0, 3), 2, np.empty(0, dtype=np.int64))
    assert items.shape == values.shape == (0, 2)


def test_an_endless_list_takes_no_endless_memory():
    items, _ = top_k(torch.zeros(1, 3), 10**12, np.array([0]))
    assert items.shape == (1, 3)


def test_a_constant_scorer_ranks_like_chance():
    n_users, n_items = 4000, 50
    users = np.arange(n_users)
    rows, target = np.arange(n_users), np.full(n_users, 7)
    ranks, mid, _ = ranks_of(torch.zeros(n_users, n_items), rows, target, users)
    assert chisquare(np.bincount(ranks, minlength=n_items + 1)[1:]).pvalue > 0.01
    assert (mid == (n_items + 1) / 2).all()
    items, _ = top_k(torch.zeros(n_users, n_items), 5, users)
    assert chisquare(np.bincount(items.ravel(), minlength=n_items)).pvalue > 0.01


def test_ties_are_broken_alike_each_time_and_otherwise_for_another_user():
    scores = torch.zeros(3, 30)
    items, _ = top_k(scores, 30, np.array([4, 4, 5]))
    assert (items[0] == items[1]).all()
    assert (items[0] != items[2]).any()


def test_ties_of_a_visitor_are_broken_too():
    assert len(np.unique(tie_order(-1, np.arange(1000)))) == 1000


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
def test_scores_that_are_not_finite_are_refused(bad):
    with pytest.raises(DivergedError, match="Mine gives scores that are not finite"):
        check_finite(torch.tensor([[1.0, bad]]), "Mine")
    check_finite(torch.tensor([[1.0, 3e38], [3e38, 3e38]]), "Mine")  # finite, though their sum is not


def test_what_is_written_to_flat_scores_is_in_the_scores():
    for scores in (torch.zeros(2, 3), room_for(2, 3).zero_(), torch.zeros(3, 2).T[:, :1], torch.zeros(1, 3)):
        line, apart = flat_to_write(scores)
        line[(len(scores) - 1) * apart + scores.shape[1] - 1] = 7  # the last of the last row
        assert scores[-1, -1] == 7
        assert scores.sum() == 7


@pytest.mark.parametrize(
    "scores", [torch.zeros(3, 2).T, torch.zeros(2, 6)[:, ::2], torch.zeros(1, 3).expand(2, 3)]
)
def test_scores_that_could_only_be_written_to_as_a_copy_are_refused(scores):
    with pytest.raises(ValueError, match=r"Give scores\.contiguous"):
        flat_to_write(scores)
