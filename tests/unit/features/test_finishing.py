from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from visrec.errors import ConfigError, FeaturesError
from visrec.features.finishing import Finishing, Steps, blocks


def correlated(n: int = 60) -> np.ndarray:
    """Four columns of which the fourth is the sum of the others: rank 3."""
    free = np.random.default_rng(0).normal(size=(n, 3)) * [5, 2, 1] + [10, -3, 0]
    return np.column_stack([free, free.sum(axis=1)]).astype(np.float32)


def fit(values: np.ndarray, *, step: int = 7, **steps: object) -> Finishing:
    def rows() -> Iterator[np.ndarray]:
        return (values[start : start + step] for start in range(0, len(values), step))

    return Finishing.fit(Steps(**{"standardize": False, **steps}), rows, values.shape[1])


def test_pca_agrees_with_the_singular_value_decomposition():
    values = correlated()
    got = fit(values, pca=2).apply(values)
    centered = values - values.mean(axis=0)
    _, _, directions = np.linalg.svd(centered.astype(np.float64), full_matrices=False)
    expected = centered @ directions[:2].T
    signs = np.sign((got * expected).sum(axis=0))  # a direction's sign is arbitrary
    np.testing.assert_allclose(got, expected * signs, atol=1e-3)
    assert got[:, 0].var() > got[:, 1].var()


def test_the_sign_of_a_direction_is_settled():
    components = fit(correlated(), pca=3).components
    assert components is not None
    for direction in components:
        assert direction[np.abs(direction).argmax()] > 0


def test_whitened_components_have_variance_one_and_no_correlation():
    values = correlated(200)
    got = fit(values, pca=3, whiten=True, standardize=True).apply(values).astype(np.float64)
    np.testing.assert_allclose(np.cov(got.T, bias=True), np.eye(3), atol=1e-3)


def test_whitening_does_not_blow_up_a_direction_without_variance():
    values = correlated(200)  # rank 3
    got = fit(values, pca=4, whiten=True).apply(values)
    assert np.abs(got[:, 3]).max() == 0


def test_l2_gives_length_one_and_leaves_zero_alone():
    got = fit(correlated(), l2=True).apply(np.array([[3, 4, 0, 0], [0, 0, 0, 0]], dtype=np.float32))
    np.testing.assert_allclose(got, [[0.6, 0.8, 0, 0], [0, 0, 0, 0]], rtol=1e-6)


def test_the_steps_come_in_their_order():
    values = correlated()
    all_of_them = fit(values, standardize=True, pca=2, whiten=True, l2=True)
    standard = (values - values.mean(axis=0)) / values.std(axis=0)
    reduced = fit(standard, pca=2, whiten=True).apply(standard)
    expected = reduced / np.linalg.norm(reduced, axis=1, keepdims=True)
    np.testing.assert_allclose(all_of_them.apply(values), expected, atol=1e-3)
    assert Steps(pca=2, whiten=True, l2=True).names() == ["standardize", "pca 2 whitened", "l2"]
    assert Steps(standardize=False).names() == []


@pytest.mark.parametrize(
    "steps", [{}, {"standardize": True}, {"pca": 3}, {"pca": 2, "whiten": True, "l2": True}]
)
def test_the_size_of_blocks_hardly_matters_and_state_keeps_everything(steps: dict[str, object]):
    values = correlated()
    one, other = fit(values, step=7, **steps), fit(values, step=60, **steps)
    np.testing.assert_allclose(one.apply(values), other.apply(values), atol=1e-4)
    again = Finishing.restore(one.state())
    assert again.apply(values).tobytes() == one.apply(values).tobytes()
    assert one.changes == bool(steps)
    assert one.dim(4) == one.apply(values).shape[1]


def test_regions_are_treated_like_vectors():
    values = correlated()
    fitted = fit(values, standardize=True, pca=2, l2=True)
    regions = values.reshape(15, 4, 4)
    np.testing.assert_allclose(fitted.apply(regions).reshape(60, 2), fitted.apply(values), atol=1e-6)


def test_more_components_than_there_can_be_are_refused():
    with pytest.raises(FeaturesError, match="pca is 5, but 60 vectors of length 4 have at most 4"):
        fit(correlated(), pca=5)
    with pytest.raises(FeaturesError, match="pca is 3, but 3 vectors of length 4 have at most 2"):
        fit(correlated(3), pca=3)
    with pytest.raises(ConfigError, match="whiten needs pca"):
        Steps(whiten=True)


def test_blocks_cover_all_rows_whatever_their_width():
    for width in (1, 1000, 1 << 23):
        covered = [
            index
            for block in blocks(5000 if width < 1 << 20 else 3, width)
            for index in range(block.start, block.stop)
        ]
        assert covered == list(range(len(covered)))
        assert len(covered) in (5000, 3)
