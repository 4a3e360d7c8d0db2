from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

import visrec
from visrec.errors import FeaturesError
from visrec.explain import explain
from visrec.explain.attention import region_boxes
from visrec.features.features import Features
from visrec.features.transform import Transform


def _features(grid: tuple[int, int], transform: object = None) -> Features:
    values = np.zeros((1, grid[0] * grid[1], 2))
    return Features.from_array(values, ["a"], provenance={"grid": list(grid), "transform": transform})


def test_regions_go_row_by_row_over_the_whole_picture():
    boxes = region_boxes(_features((2, 3)))
    expected = [
        [0, 0, 1 / 3, 1 / 2],
        [1 / 3, 0, 2 / 3, 1 / 2],
        [2 / 3, 0, 1, 1 / 2],
        [0, 1 / 2, 1 / 3, 1],
        [1 / 3, 1 / 2, 2 / 3, 1],
        [2 / 3, 1 / 2, 1, 1],
    ]
    np.testing.assert_allclose(boxes, expected)
    np.testing.assert_allclose(region_boxes(_features((2, 3)), (300, 100)), expected)


def test_a_centre_crop_leaves_out_the_margins_of_the_picture():
    features = _features((2, 2), str(Transform(resize=256, crop=(224, 224))))
    # 512 x 256 stays 512 x 256; the crop keeps x from 144 to 368 and y from 16 to 240.
    boxes = region_boxes(features, (512, 256))
    np.testing.assert_allclose(boxes[0], [144 / 512, 16 / 256, 256 / 512, 128 / 256])
    np.testing.assert_allclose(boxes[3], [256 / 512, 128 / 256, 368 / 512, 240 / 256])
    np.testing.assert_allclose(region_boxes(features)[3], [0.5, 0.5, 1, 1])  # on what the network saw


TRANSFORMS = [
    Transform(resize=32, crop=(24, 24)),
    Transform(resize=24, crop=(24, 24), interpolation="bicubic"),
    Transform(resize=(24, 24), crop=(24, 24)),
    Transform(resize=(32, 48), crop=(24, 24)),
    Transform(resize=(32, 48), crop=(24, 32), fit="cover"),
    Transform(resize=(32, 32), crop=(32, 32), fit="contain", fill=(9, 9, 9)),
    Transform(resize=(32, 48), crop=(32, 48), fit="cover"),
    Transform(crop=(40, 80)),
    Transform(resize=8, crop=(24, 24)),
]


@pytest.mark.parametrize("transform", TRANSFORMS, ids=str)
@pytest.mark.parametrize("size", [(160, 80), (60, 120), (96, 96)])
def test_the_boxes_lie_where_the_transform_takes_its_pixels_from(transform, size):
    """A picture whose red rises from left to right and whose green from top to bottom tells where a pixel was."""
    width, height = size
    ramp = np.zeros((height, width, 3), dtype=np.uint8)
    ramp[:, :, 0] = 20 + (np.arange(width) + 0.5) / width * 200
    ramp[:, :, 1] = (20 + (np.arange(height) + 0.5) / height * 200)[:, None]
    seen = transform(Image.fromarray(ramp)).astype(float)
    rows, columns = 2, 2
    boxes = region_boxes(_features((rows, columns), str(transform)), size)
    for m, (x0, y0, x1, y1) in enumerate(boxes):
        h, w = seen.shape[0] // rows, seen.shape[1] // columns
        cell = seen[m // columns * h :][:h, m % columns * w :][:, :w].reshape(-1, 3)
        real = cell[cell[:, 2] == 0]
        real = real[(real[:, 0] >= 15) & (real[:, 1] >= 15)]  # padding is darker, or has blue
        assert np.mean(real[:, 0] - 20) / 200 == pytest.approx((x0 + x1) / 2, abs=0.04)
        assert np.mean(real[:, 1] - 20) / 200 == pytest.approx((y0 + y1) / 2, abs=0.04)


def test_features_whose_grid_is_not_known_say_how_to_tell_it():
    values = np.zeros((1, 6, 2))
    for features in (
        Features.from_array(values, ["a"]),
        Features.from_array(values, ["a"], provenance={"grid": [2, 2]}),
        Features.from_array(values[:, 0], ["a"]),
    ):
        with pytest.raises(FeaturesError, match="grid"):
            region_boxes(features)


def test_a_transform_that_cannot_be_read_is_refused_only_where_it_matters():
    features = _features((2, 2), "as the camera saw it")
    assert region_boxes(features).shape == (4, 4)
    with pytest.raises(FeaturesError, match="as the camera saw it"):
        region_boxes(features, (10, 10))


def test_the_regions_of_color_are_found_on_the_whole_picture():
    from visrec.features.handcrafted.color import Color

    color = Color(grid=4)
    picture = Image.new("RGB", (400, 200), (0, 0, 255))
    picture.paste((255, 0, 0), (200, 100, 400, 200))  # the lower right quarter
    cells = color.preparation(picture)  # (R, F)
    boxes = region_boxes(_features(color.grid, color.provenance()["transform"]), picture.size)
    in_the_quarter = (boxes[:, 0] >= 0.5) & (boxes[:, 1] >= 0.5)
    red = [bool(np.allclose(cell, cells[-1], atol=1e-3)) for cell in cells]
    assert red == in_the_quarter.tolist()
    assert in_the_quarter.sum() == 4


# ---- of a person ---------------------------------------------------------------------------------------


def test_attention_lists_the_newest_of_the_history_with_their_alpha_and_beta(fitted):
    model = fitted("ACF")  # looks at four
    found = explain(model, "u00", "i03").attention
    table = model.attention(["u00"])
    assert [one.item_id for one in found] == ["i04", "i06", "i08", "i09"]
    assert [one.alpha for one in found] == pytest.approx(table["alpha"].to_list())
    assert sum(one.alpha for one in found) == pytest.approx(1)
    assert found[0].regions == ()  # no picture
    assert [region.beta for region in found[1].regions] == pytest.approx(table["beta"][1].to_list())
    boxes = [region.box for region in found[1].regions]
    assert boxes == [(0, 0, 0.5, 0.5), (0.5, 0, 1, 0.5), (0, 0.5, 0.5, 1), (0.5, 0.5, 1, 1)]


def test_only_the_most_attended_pictures_have_their_regions(fitted):
    found = explain(
        fitted("ACF", max_history=12), "u00", "i03", history=[f"i{n:02d}" for n in range(11)]
    ).attention
    with_regions = [one for one in found if one.regions]
    assert len(with_regions) in (5, 6)  # six, one of which may have no picture
    least = min(one.alpha for one in with_regions)
    assert all(one.alpha <= least for one in found if not one.regions and one.item_id != "i04")


def test_regions_on_no_grid_leave_alpha(fitted, train, content):
    regions = Features.from_array(content.regions.values, train.items.values, missing=content.regions.missing)
    model = visrec.ACF(dim_gamma=3, dim_attention=4, epochs=1).fit(train, regions)
    found = explain(model, "u00", "i03").attention
    assert all(one.regions == () for one in found)
    assert sum(one.alpha for one in found) == pytest.approx(1)
