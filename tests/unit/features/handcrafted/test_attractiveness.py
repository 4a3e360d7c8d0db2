from __future__ import annotations

import colorsys
import math

import numpy as np
import pytest
from PIL import Image

from visrec.features.handcrafted.attractiveness import Attractiveness


def measures(image: Image.Image) -> dict[str, float]:
    vector = Attractiveness().preparation(image)
    assert vector.dtype == np.float32
    assert Attractiveness.columns is not None
    return dict(zip(Attractiveness.columns, vector.tolist(), strict=True))


def plain(color: tuple[int, int, int] | str, size: tuple[int, int] = (20, 30)) -> Image.Image:
    return Image.new("RGB", size, color)


def noise(size: tuple[int, int] = (7, 5), seed: int = 0) -> Image.Image:
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))


@pytest.fixture
def pixels() -> list[list[tuple[float, float, float]]]:
    """Rows of (R, G, B) in 0 … 1 of `noise()`."""
    return (np.asarray(noise()) / 255).tolist()


def luma(pixel: tuple[float, float, float]) -> float:
    return 0.299 * pixel[0] + 0.587 * pixel[1] + 0.114 * pixel[2]


def flat(rows: list[list[tuple[float, float, float]]]) -> list[tuple[float, float, float]]:
    return [pixel for row in rows for pixel in row]


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def variance(values: list[float]) -> float:
    return mean([(value - mean(values)) ** 2 for value in values])


def test_brightness_is_the_mean_luma(pixels):
    assert measures(noise())["brightness"] == pytest.approx(mean([luma(one) for one in flat(pixels)]))
    assert measures(plain("white"))["brightness"] == pytest.approx(1)
    assert measures(plain("black"))["brightness"] == 0


def test_saturation_is_the_mean_distance_of_the_channels(pixels):
    expected = mean([max(one) - min(one) for one in flat(pixels)])
    assert measures(noise())["saturation"] == pytest.approx(expected)
    assert measures(plain((0, 255, 0)))["saturation"] == 1
    assert measures(plain((90, 90, 90)))["saturation"] == 0


def test_sharpness_is_the_mean_laplacian_over_local_brightness(pixels):
    height, width = len(pixels), len(pixels[0])

    def at(y: int, x: int) -> float:  # the border is repeated
        return luma(pixels[min(max(y, 0), height - 1)][min(max(x, 0), width - 1)])

    ratios = []
    for y in range(height):
        for x in range(width):
            laplacian = at(y - 1, x) + at(y + 1, x) + at(y, x - 1) + at(y, x + 1) - 4 * at(y, x)
            local = mean([at(y + i, x + j) for i in (-1, 0, 1) for j in (-1, 0, 1)])
            ratios.append(abs(laplacian) / local)
    assert measures(noise())["sharpness"] == pytest.approx(mean(ratios), rel=1e-5)


def test_a_blurred_picture_is_less_sharp():
    from PIL import ImageFilter

    sharp = noise((60, 60))
    assert (
        measures(sharp.filter(ImageFilter.GaussianBlur(2)))["sharpness"] < 0.5 * measures(sharp)["sharpness"]
    )


def test_sharpness_of_a_black_picture_with_one_dark_pixel_is_finite():
    image = plain("black", (9, 9))
    image.putpixel((4, 4), (0, 0, 1))
    # That pixel: 4 over a ninth, 36. Its four neighbours: 1 over a ninth, 9. All others: 0.
    assert measures(image)["sharpness"] == pytest.approx((36 + 4 * 9) / 81)


def test_entropy_is_that_of_the_grey_levels(pixels):
    levels = [round(255 * luma(one)) for one in flat(pixels)]
    shares = [levels.count(level) / len(levels) for level in set(levels)]
    assert measures(noise())["entropy"] == pytest.approx(-sum(share * math.log2(share) for share in shares))
    halves = plain("white", (8, 8))
    halves.paste((0, 0, 0), (0, 0, 4, 8))
    assert measures(halves)["entropy"] == 1  # bit


def test_rgb_contrast_is_the_root_mean_squared_distance_from_the_mean_colour(pixels):
    channels = list(zip(*flat(pixels), strict=True))
    centre = [mean(list(channel)) for channel in channels]
    squares = [sum((value - c) ** 2 for value, c in zip(one, centre, strict=True)) for one in flat(pixels)]
    assert measures(noise())["rgb_contrast"] == pytest.approx(math.sqrt(mean(squares)))


def test_colorfulness_is_that_of_hasler_and_suesstrunk(pixels):
    rg = [255 * (r - g) for r, g, _ in flat(pixels)]
    yb = [255 * ((r + g) / 2 - b) for r, g, b in flat(pixels)]
    expected = math.sqrt(variance(rg) + variance(yb)) + 0.3 * math.sqrt(mean(rg) ** 2 + mean(yb) ** 2)
    assert measures(noise())["colorfulness"] == pytest.approx(expected)
    # Plain red: no deviation, mean rg 255, mean yb 127.5.
    assert measures(plain((255, 0, 0)))["colorfulness"] == pytest.approx(0.3 * math.hypot(255, 127.5))


def test_naturalness_weighs_groups_by_their_pixels():
    groups = {"skin": (25, 70, 0.76, 0.52), "grass": (95, 135, 0.81, 0.53), "sky": (185, 260, 0.43, 0.22)}
    image = noise((16, 16), seed=3)
    saturations: dict[str, list[float]] = {name: [] for name in groups}
    for pixel in (np.asarray(image).reshape(-1, 3) / 255).tolist():
        hue, lightness, saturation = colorsys.rgb_to_hls(*pixel)
        for name, (low, high, _, _) in groups.items():
            if low <= 360 * hue <= high and 0.2 <= lightness <= 0.8 and saturation > 0.1:
                saturations[name].append(saturation)
    assert all(saturations.values())
    total = sum(
        len(saturations[name]) * math.exp(-0.5 * ((mean(saturations[name]) - m) / s) ** 2)
        for name, (_, _, m, s) in groups.items()
    )
    expected = total / sum(len(found) for found in saturations.values())
    assert measures(image)["naturalness"] == pytest.approx(expected, rel=1e-5)


def test_what_has_no_natural_hue_has_naturalness_zero():
    for color in ((255, 0, 255), (128, 128, 128), (0, 0, 20)):  # magenta, grey, too dark
        assert measures(plain(color))["naturalness"] == 0


def test_a_scan_and_its_thumbnail_agree():
    small = Image.fromarray(np.asarray(noise((64, 48))).repeat(4, axis=0).repeat(4, axis=1))  # 256 x 192
    large = small.resize((1024, 768), Image.Resampling.NEAREST)
    for name, value in measures(small).items():
        assert measures(large)[name] == pytest.approx(value, rel=1e-5), name


def test_detail_below_the_reduced_size_is_averaged():
    board = 255 * (np.indices((512, 512)).sum(axis=0) % 2)  # each 2 x 2 pixels become one, of 127.5
    found = measures(Image.fromarray(board.astype(np.uint8)).convert("RGB"))
    assert found["brightness"] == pytest.approx(0.5, abs=1 / 255)
    assert found["rgb_contrast"] == 0


@pytest.mark.parametrize("size", [(1, 1), (5000, 1), (1, 5000), (1200, 300)])
def test_every_picture_has_finite_measures_and_the_same_again(size):
    for image in (plain("white", size), plain("black", size), noise(size)):
        vector = Attractiveness().preparation(image)
        assert vector.shape == Attractiveness().shape == (7,)
        assert np.isfinite(vector).all()
        assert vector.tobytes() == Attractiveness().preparation(image).tobytes()
