from __future__ import annotations

import math

import numpy as np
import pytest
from PIL import Image

from visrec.errors import ConfigError
from visrec.features.handcrafted.lbp import LBP


def grey(pixels: np.ndarray) -> Image.Image:
    return Image.fromarray(pixels.astype(np.uint8)).convert("RGB")


def noise(shape: tuple[int, int] = (12, 10), seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 120, shape)


def codes_by_loop(pixels: np.ndarray, points: int, radius: float) -> list[int]:
    """Ojala et al., equations 1 to 6 and 9; beyond the border the border is repeated."""
    height, width = pixels.shape

    def at(y: int, x: int) -> float:
        return float(pixels[min(max(y, 0), height - 1), min(max(x, 0), width - 1)])

    def between(y: float, x: float) -> float:
        top, left = math.floor(y), math.floor(x)
        down, right = y - top, x - left
        upper = (1 - right) * at(top, left) + right * at(top, left + 1)
        lower = (1 - right) * at(top + 1, left) + right * at(top + 1, left + 1)
        return (1 - down) * upper + down * lower

    codes = []
    for y in range(height):
        for x in range(width):
            angles = [2 * math.pi * p / points for p in range(points)]
            around = [
                between(y + round(-radius * math.sin(a), 5), x + round(radius * math.cos(a), 5))
                for a in angles
            ]
            signs = [value >= at(y, x) for value in around]
            changes = sum(signs[p] != signs[p - 1] for p in range(points))
            codes.append(sum(signs) if changes <= 2 else points + 1)
    return codes


@pytest.mark.parametrize(("points", "radius"), [(8, 1.0), (16, 2.0), (24, 3.0)])
def test_the_histogram_is_that_of_uniform_codes_counted_by_loop(points, radius):
    pixels = noise()
    codes = codes_by_loop(pixels, points, radius)
    expected = [math.sqrt(codes.count(code) / len(codes)) for code in range(points + 2)]
    vector = LBP(scales=((points, radius),), grid=1).preparation(grey(pixels))
    np.testing.assert_allclose(vector, expected, atol=1e-6)


def test_cells_follow_row_by_row_and_scale_by_scale():
    pixels = noise((8, 12))
    expected = []
    for points, radius in ((8, 1.0), (16, 2.0)):
        codes = np.array(codes_by_loop(pixels, points, radius)).reshape(8, 12)
        for top in (0, 4):
            for left in (0, 6):
                cell = codes[top : top + 4, left : left + 6].reshape(-1).tolist()
                expected += [math.sqrt(cell.count(code) / 24) for code in range(points + 2)]
    vector = LBP(scales=((8, 1.0), (16, 2.0)), grid=2).preparation(grey(pixels))
    np.testing.assert_allclose(vector, expected, atol=1e-6)


def test_the_shape_follows_from_the_options():
    assert LBP().shape == (4 * 4 * (10 + 18 + 26),)
    assert LBP(scales=((8, 1),), grid=3).shape == (3 * 3 * 10,)
    assert LBP(scales=((8, 1),), grid=3).preparation(grey(noise())).shape == (90,)


def test_brightness_and_contrast_do_not_count():
    pixels = noise((40, 30))
    brighter = LBP().preparation(grey(2 * pixels + 10))  # at most 2 x 119 + 10: nothing is cut off
    np.testing.assert_array_equal(brighter, LBP().preparation(grey(pixels)))


def test_any_monotone_change_leaves_points_on_pixels_alone():
    # 4 points at radius 1 lie on pixels: nothing is interpolated.
    pixels = noise((40, 30))
    options = {"scales": ((4, 1.0),), "grid": 2}
    strict = np.cumsum(np.random.default_rng(1).integers(1, 3, 120))  # at most 240
    changed = LBP(**options).preparation(grey(strict[pixels]))
    np.testing.assert_array_equal(changed, LBP(**options).preparation(grey(pixels)))


def test_texture_does_not_count_its_turn():
    pixels = noise((40, 30))
    vector = LBP(grid=1).preparation(grey(pixels))
    for quarters in (1, 2, 3):
        turned = LBP(grid=1).preparation(grey(np.rot90(pixels, quarters)))
        np.testing.assert_allclose(turned, vector, atol=0.02)  # 1 pixel of 1200 on a tie moves about 1e-3


def test_a_plain_picture_has_only_the_plain_code_up_to_its_border():
    for level in (0, 77, 255):
        vector = LBP(grid=1).preparation(grey(np.full((30, 20), level)))
        expected = np.zeros(10 + 18 + 26)
        expected[[8, 10 + 16, 10 + 18 + 24]] = 1  # all points are at least as bright as the centre
        np.testing.assert_array_equal(vector, expected)


@pytest.mark.parametrize("size", [(1, 1), (5000, 1), (1, 5000), (3, 2), (1200, 300)])
def test_every_picture_has_histograms_that_sum_to_one(size):
    image = grey(noise((size[1], size[0])))
    vector = LBP().preparation(image)
    assert vector.dtype == np.float32
    assert vector.shape == LBP().shape
    assert float(vector @ vector) == pytest.approx(3 * 16, rel=1e-5)
    assert vector.tobytes() == LBP().preparation(image).tobytes()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"grid": 0}, "'grid' is 0"),
        ({"scales": ()}, "'scales'"),
        ({"scales": ((2, 1.0),)}, "'scales.0.0' is 2"),
        ({"scales": ((8, 0.0),)}, "'scales.0.1' is 0.0"),
        ({"cells": 3}, "unknown setting 'cells'. Known settings: scales, grid, side"),
    ],
)
def test_options_are_checked(options, message):
    with pytest.raises(ConfigError, match=message):
        LBP(**options)
