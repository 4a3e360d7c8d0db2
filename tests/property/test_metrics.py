from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from visrec.evaluation.metrics import Ranks, compute, metric_names

NAMES = metric_names((1, 5, 30))
cases = st.integers(1, 40).flatmap(
    lambda n: st.tuples(st.just(n), st.sets(st.integers(1, n), min_size=1, max_size=min(n, 6)))
)


def _ranks(users: list[tuple[int, set[int]]]) -> Ranks:
    owner = np.array([u for u, (_, ranks) in enumerate(users) for _ in ranks])
    rank = np.array([r for _, ranks in users for r in ranks])
    sizes, candidates = np.array([len(ranks) for _, ranks in users]), np.array([n for n, _ in users])
    return Ranks(owner, rank, sizes, candidates)


@given(st.lists(cases, min_size=1, max_size=5))
def test_every_metric_lies_in_0_to_1(users):
    for name in NAMES:
        values = compute(name, _ranks(users))
        assert values.shape == (len(users),)
        assert (values >= 0).all(), name
        assert (values <= 1 + 1e-12).all(), name


@given(st.lists(cases, min_size=2, max_size=5))
def test_a_users_value_does_not_depend_on_the_other_users(users):
    for name in NAMES:
        alone = [compute(name, _ranks([user]))[0] for user in users]
        np.testing.assert_allclose(compute(name, _ranks(users)), alone, rtol=0, atol=1e-12)


@given(cases, st.randoms(use_true_random=False))
def test_the_order_in_which_ranks_are_given_does_not_matter(case, random):
    n, ranks = case
    rank = sorted(ranks)
    shuffled = random.sample(rank, len(rank))
    for name in NAMES:
        one, other = (
            compute(name, Ranks(np.zeros(len(r), int), np.array(r), np.array([len(r)]), np.array([n])))
            for r in (rank, shuffled)
        )
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-12)


@given(cases)
def test_moving_a_held_out_item_up_never_makes_a_metric_worse(case):
    n, ranks = case
    free = [r for r in range(1, n + 1) if r not in ranks]
    worst = max(ranks)
    better = [r for r in free if r < worst]
    if not better:
        return
    moved = ranks - {worst} | {better[-1]}
    for name in NAMES:
        before, after = compute(name, _ranks([(n, ranks), (n, moved)]))
        assert after >= before - 1e-12, name


@given(st.integers(1, 40).flatmap(lambda n: st.tuples(st.just(n), st.integers(1, n))))
def test_held_out_items_on_top_are_perfect_and_at_the_bottom_worst(case):
    n, R = case
    top, bottom = set(range(1, R + 1)), set(range(n - R + 1, n + 1))
    best, worst = compute("auc", _ranks([(n, top), (n, bottom)]))
    assert (best, worst) == ((1, 0) if n > R else (0.5, 0.5))
    for name in ("rr", "ndcg@1", "ndcg@5", "ndcg@30", "hit@1", "precision@1"):
        assert abs(compute(name, _ranks([(n, top)]))[0] - 1) < 1e-12


@given(cases)
def test_longer_lists_hold_no_fewer_hits(case):
    for name in ("recall", "hit", "map"):
        values = [compute(f"{name}@{k}", _ranks([case]))[0] for k in (1, 2, 5, 10, 50)]
        assert (np.diff(values) >= -1e-12).all()
    assert compute("recall@50", _ranks([case]))[0] == 1
