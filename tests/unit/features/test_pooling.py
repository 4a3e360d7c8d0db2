from __future__ import annotations

import numpy as np
import pytest
import torch

from visrec.errors import ConfigError
from visrec.features.pooling import pool, regions


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def test_a_map_is_pooled_over_its_places():
    array = noise(2, 3, 4, 5)
    mean, largest, gem = (pool(array, how) for how in ("mean", "max", "gem"))
    for b in range(2):
        for c in range(3):
            values = [float(array[b, c, y, x]) for y in range(4) for x in range(5)]
            assert mean[b, c] == pytest.approx(sum(values) / 20, abs=1e-6)
            assert largest[b, c] == max(values)
            cubes = [max(value, 1e-6) ** 3 for value in values]
            assert gem[b, c] == pytest.approx((sum(cubes) / 20) ** (1 / 3), rel=1e-5)


def test_tokens_are_pooled_without_those_before_the_regions():
    tokens = noise(2, 7, 3)
    mean, largest, gem = (pool(tokens, how, n_prefix=2) for how in ("mean", "max", "gem"))
    for b in range(2):
        for c in range(3):
            values = [float(tokens[b, n, c]) for n in range(2, 7)]
            assert mean[b, c] == pytest.approx(sum(values) / 5, abs=1e-6)
            assert largest[b, c] == max(values)
            cubes = [max(value, 1e-6) ** 3 for value in values]
            assert gem[b, c] == pytest.approx((sum(cubes) / 5) ** (1 / 3), rel=1e-5)


def test_the_class_token_is_the_first():
    tokens = noise(2, 7, 3)
    assert (pool(tokens, "cls", n_prefix=2) == tokens[:, 0]).all()


def test_regions_go_row_by_row():
    array = noise(2, 3, 4, 5)
    parts = pool(array, "regions")
    assert parts.shape == (2, 20, 3)
    for y in range(4):
        for x in range(5):
            assert (parts[:, y * 5 + x] == array[:, :, y, x]).all()
    tokens = noise(2, 7, 3)
    assert (pool(tokens, "regions", n_prefix=1) == tokens[:, 1:]).all()


@pytest.mark.parametrize("grid", [1, 2, 3, 4, 7])
def test_coarser_regions_are_means_of_the_cells_of_a_map(grid):
    array = noise(2, 3, 7, 13)
    expected = torch.nn.functional.adaptive_avg_pool2d(torch.from_numpy(array), grid).numpy()
    np.testing.assert_allclose(pool(array, "regions", grid=grid), regions(expected), atol=1e-6)


@pytest.mark.parametrize("array", [noise(1, 3, 7, 3), noise(1, 9, 3)])
def test_a_grid_that_is_finer_than_the_map_or_not_of_a_map_is_refused(array):
    with pytest.raises(ConfigError, match=r"grid is 4, but there is .* expected a map of at least 4 x 4"):
        pool(array, "regions", grid=4)


@pytest.mark.parametrize("how", ["mean", "max", "gem", "regions"])
@pytest.mark.parametrize("shape", [(9, 37, 7, 7), (9, 50, 37), (9, 1, 14, 14), (9, 50, 1)])
def test_a_picture_is_pooled_to_the_same_bytes_whatever_its_batch(how, shape):
    array = noise(*shape)
    together = pool(array, how)
    for b in range(len(array)):
        assert pool(array[b : b + 1].copy(), how).tobytes() == together[b].tobytes()
    if len(shape) == 4:  # nor does it matter how the map lies in memory
        channels_last = np.ascontiguousarray(array.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
        assert pool(channels_last, how).tobytes() == together.tobytes()


def test_half_precision_is_pooled_in_single():
    array = np.full((1, 2, 64, 64), 100, dtype=np.float16)  # their sum is beyond float16
    assert (pool(array, "mean") == 100).all()
    assert pool(array, "gem") == pytest.approx(np.full((1, 2), 100), rel=1e-5)
    assert pool(array[:, 0], "cls").dtype == np.float32


def test_what_cannot_be_pooled_is_refused():
    with pytest.raises(ConfigError, match=r"A map has no class token.*mean, max, gem or regions"):
        pool(noise(1, 2, 3, 4), "cls")
    with pytest.raises(ConfigError, match=r"nothing to pool in \(1, 2\).*Leave pool out"):
        regions(noise(1, 2))
