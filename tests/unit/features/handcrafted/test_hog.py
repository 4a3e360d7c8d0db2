from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from visrec.errors import ConfigError
from visrec.features.handcrafted.hog import HOG


def grey(pixels: np.ndarray) -> Image.Image:
    return Image.fromarray(pixels.astype(np.uint8)).convert("RGB")


def noise(size: tuple[int, int], seed: int = 0) -> Image.Image:
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))


def by_orientation(image: Image.Image, **options: int) -> np.ndarray:
    """Sum of the vector over blocks and cells, for each orientation."""
    extractor = HOG(**options)
    n = extractor.preparation.orientations
    return extractor.preparation(image).reshape(-1, n).sum(axis=0)


def test_the_shape_follows_from_the_options():
    assert HOG().shape == (7 * 7 * 2 * 2 * 9,)
    extractor = HOG(side=48, cell=8, block=3, orientations=6)  # 6 x 6 cells, 4 x 4 blocks
    assert extractor.shape == (4 * 4 * 3 * 3 * 6,)
    assert extractor.preparation(noise((30, 50))).shape == extractor.shape


def test_a_gradient_has_its_mass_in_the_bin_of_its_direction():
    ramp = np.arange(128)[None].repeat(128, axis=0)
    # The angle of a gradient to the right is 0 degrees, downwards 90; bins of 180 / 9 = 20 degrees.
    for pixels, bin_ in ((ramp, 0), (ramp[:, ::-1], 0), (ramp.T, 4), (ramp.T[::-1], 4)):
        mass = by_orientation(grey(pixels))
        assert mass.argmax() == bin_
        assert mass[bin_] == pytest.approx(mass.sum())


def test_oblique_gradients_fall_between():
    ramp = np.add.outer(np.arange(128), np.arange(128)) // 2
    mass = by_orientation(grey(2 * (ramp // 2)), orientations=4)
    assert mass.argmax() == 1  # 45 degrees: the second of four bins


def test_a_block_by_loop():
    # 2 x 2 cells of 8 x 8 pixels are one block: magnitudes vote for 9 bins of 20 degrees, then L2-Hys.
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16))
    votes = np.zeros((2, 2, 9))
    for y in range(16):
        for x in range(16):
            right = pixels[y, x + 1] - pixels[y, x - 1] if 0 < x < 15 else 0
            down = pixels[y + 1, x] - pixels[y - 1, x] if 0 < y < 15 else 0
            bin_ = int(np.degrees(np.arctan2(down, right)) % 180 // 20)
            votes[y // 8, x // 8, bin_] += np.hypot(right, down) / 64
    unit = votes / np.sqrt((votes**2).sum() + 1e-10)
    cut = np.minimum(unit, 0.2)
    assert 0 < (cut < unit).sum() < 36  # some are cut, not all
    expected = cut / np.sqrt((cut**2).sum() + 1e-10)
    vector = HOG(side=16, cell=8, block=2).preparation(grey(pixels))
    np.testing.assert_allclose(vector, expected.reshape(-1), atol=1e-5)


def test_each_channel_counts_where_it_is_strongest():
    ramp = np.zeros((128, 128, 3), dtype=np.uint8)
    ramp[..., 2] = np.arange(128)
    ramp[..., 0] = np.arange(128)[:, None] // 4  # weaker, downwards
    assert by_orientation(Image.fromarray(ramp)).argmax() == 0


def test_light_hardly_counts():
    pixels = np.asarray(noise((128, 128))).astype(int) // 4
    one, other = (HOG().preparation(Image.fromarray((k * pixels).astype(np.uint8))) for k in (1, 4))
    np.testing.assert_allclose(one, other, atol=1e-4)


def test_shape_tells_pictures_apart_whatever_their_size():
    def disc(size: int) -> Image.Image:
        y, x = np.mgrid[:size, :size] / size - 0.5
        return grey(np.where(x**2 + y**2 < 0.1, 40, 220))

    def box(size: int) -> Image.Image:
        y, x = np.mgrid[:size, :size] / size - 0.5
        return grey(np.where(np.maximum(abs(x), abs(y)) < 0.3, 40, 220))

    small, large, other = (HOG().preparation(one) for one in (disc(150), disc(420), box(420)))
    norm = np.linalg.norm
    assert small @ large / norm(small) / norm(large) > 0.9
    assert small @ large / norm(large) > 1.2 * (small @ other) / norm(other)


@pytest.mark.parametrize("size", [(1, 1), (5000, 1), (1, 5000), (3, 2), (1200, 300)])
def test_every_picture_has_finite_numbers_in_zero_to_one(size):
    vector = HOG().preparation(noise(size))
    assert vector.dtype == np.float32
    assert vector.shape == HOG().shape
    assert ((vector >= 0) & (vector <= 1)).all()
    assert vector.tobytes() == HOG().preparation(noise(size)).tobytes()


def test_a_plain_picture_is_zero():
    for color in ("white", "black", "red"):
        assert not HOG().preparation(Image.new("RGB", (50, 80), color)).any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"side": 100}, "side is 100, which is not a multiple of cell, 16"),
        ({"side": 32, "block": 3}, "block is 3 cells a side, but the picture has 2"),
        ({"orientations": 1}, "'orientations' is 1"),
        ({"cells": 3}, "unknown setting 'cells'"),
    ],
)
def test_options_are_checked(options, message):
    with pytest.raises(ConfigError, match=message):
        HOG(**options)
