from __future__ import annotations

import time

import numpy as np
import pytest
from PIL import Image

from visrec.features.handcrafted.color import Color


def plain(color: tuple[int, int, int], size: tuple[int, int] = (80, 120)) -> Image.Image:
    return Image.new("RGB", size, color)


def vector(image: Image.Image) -> np.ndarray:
    return Color().preparation(image)


def similarity(a: Image.Image, b: Image.Image) -> float:
    return float(vector(a) @ vector(b)) / float(vector(a) @ vector(a))


def noise(seed: int = 0, size: tuple[int, int] = (90, 60)) -> Image.Image:
    return Image.fromarray(
        np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    )


def test_each_histogram_sums_to_one():
    # 3 histograms of the whole (Lab, hue and what has none, value), 4 of each of 9 cells.
    for image in (plain((0, 0, 0)), plain((255, 0, 0)), noise(), noise(size=(1, 1)), noise(size=(5000, 1))):
        one = vector(image)
        assert one.shape == (Color().dim,) == (384,)
        assert one.dtype == np.float32
        assert (one >= 0).all()
        assert float(one @ one) == pytest.approx(3 + 4 * 9, rel=1e-5)


def test_vector_is_deterministic_and_indifferent_to_size():
    assert vector(noise()).tobytes() == vector(noise()).tobytes()
    assert similarity(plain((200, 40, 40), (50, 50)), plain((200, 40, 40), (300, 700))) == pytest.approx(1)


def test_like_colours_are_more_alike_than_others():
    red, brick, blue = plain((220, 30, 30)), plain((205, 45, 35)), plain((30, 30, 220))
    assert similarity(red, brick) > 0.8
    assert similarity(red, blue) < 0.5


def test_hue_is_continuous_around_red():
    # Hues of 359 and 1 degrees are next to each other.
    assert similarity(plain((220, 30, 33)), plain((220, 33, 30))) > 0.97


def test_the_hue_of_grey_pixels_does_not_count():
    assert similarity(plain((128, 127, 127)), plain((127, 127, 128))) > 0.97


def test_composition_counts_beside_the_palette():
    above = plain((220, 30, 30), (60, 60))
    above.paste((30, 30, 220), (0, 30, 60, 60))
    below = above.transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    one, other = vector(above), vector(below)
    whole = 3 * 6 * 6 + 12 * 2 + 1 + 8
    np.testing.assert_allclose(one[:whole], other[:whole], atol=1e-3)  # the same palette
    assert similarity(above, below) < 0.7


def test_a_picture_takes_a_few_milliseconds():
    preparation, image = Color().preparation, noise(size=(224, 224))
    preparation(image)
    start = time.process_time()
    for _ in range(20):
        preparation(image)
    assert (time.process_time() - start) / 20 < 0.03  # 0.001 on a quiet machine


def test_provenance_says_what_was_done():
    about = Color().provenance()
    assert about["extractor"] == "color"
    assert about["weights"] is None
    assert about["weights_digest"] is None  # nothing is learnt
    assert about["options"] == {}
    assert "opencv-python-headless" in about["versions"]


def test_the_prepared_pictures_are_the_vectors():
    batch = np.stack([vector(noise()), vector(plain((1, 2, 3)))])
    np.testing.assert_array_equal(Color().encode(batch), batch)


# ---- regions -------------------------------------------------------------------------------------------


def test_the_regions_of_a_grid_are_the_histograms_of_its_cells():
    extractor = Color(grid=2)
    assert extractor.shape == (4, 27)
    assert extractor.grid == (2, 2)
    picture = Image.new("RGB", (64, 64), (255, 0, 0))
    picture.paste((0, 0, 255), (32, 32, 64, 64))
    found = extractor.preparation(picture)  # (4, 27)
    red, blue = (Color(grid=1).preparation(plain(color, (64, 64)))[0] for color in ((255, 0, 0), (0, 0, 255)))
    for region, expected in zip(found, (red, red, red, blue), strict=True):
        assert float(region @ expected) / float(expected @ expected) > 0.99
        assert float(region @ region) == pytest.approx(4, rel=1e-5)
    assert float(red @ blue) < 2


def test_features_of_one_vector_are_what_they_were_before_there_were_regions():
    assert Color().provenance()["options"] == {}
    assert Color(grid=4).provenance()["options"] == {"grid": 4}
