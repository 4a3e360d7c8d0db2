from __future__ import annotations

import numpy as np
import pytest

from visrec.serving.diversity import rearranged


@pytest.fixture
def world():
    rng = np.random.default_rng(5)
    scores = np.sort(rng.normal(size=12))[::-1]
    vectors = rng.normal(size=(12, 3))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return scores, vectors @ vectors.T


@pytest.mark.parametrize("diversity", [0.1, 0.5, 0.9, 1.0])
def test_the_next_item_is_the_best_compromise(world, diversity):
    scores, alike = world
    rel = (scores - scores.min()) / (scores.max() - scores.min())
    chosen = [0]
    while len(chosen) < 12:
        left = [i for i in range(12) if i not in chosen]
        worth = {i: (1 - diversity) * rel[i] - diversity * max(alike[i, j] for j in chosen) for i in left}
        chosen.append(max(left, key=lambda i: (worth[i], -i)))
    assert rearranged(scores, alike, diversity).tolist() == chosen


def test_without_diversity_nothing_moves(world):
    assert rearranged(*world, 0.0).tolist() == list(range(12))


def test_a_double_of_the_best_comes_last():
    alike = np.array([[1, 1, 0], [1, 1, 0], [0, 0, 1.0]])
    assert rearranged(np.array([3.0, 2.9, 0.0]), alike, 0.7).tolist() == [0, 2, 1]


@pytest.mark.parametrize("n", [0, 1])
def test_short_lists(n):
    assert rearranged(np.ones(n), np.eye(n), 0.5).tolist() == list(range(n))


def test_equal_scores_are_told_apart_by_likeness_alone():
    alike = np.array([[1, 0.9, 0.1], [0.9, 1, 0.2], [0.1, 0.2, 1]])
    assert rearranged(np.ones(3), alike, 0.5).tolist() == [0, 2, 1]
