from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from functools import cache
from typing import Any

import numpy as np
import pytest
from PIL import Image

from visrec.errors import ConfigError, FeaturesError
from visrec.features.transform import Transform

# (width, height): tiny, narrow, of a network's size, reduced at simple ratios and at odd ones, upright (where Pillow
# takes columns first), wide.
SIZES = [(1, 1), (3, 5), (62, 300), (224, 224), (500, 500), (800, 600), (512, 929), (641, 1013), (960, 120)]
IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}


@cache
def picture(size: tuple[int, int]) -> Image.Image:
    """Shapes, edges and grain."""
    generator = np.random.default_rng(size)
    coarse = Image.fromarray(generator.integers(0, 256, (6, 6, 3), dtype=np.uint8))
    pixels = np.asarray(coarse.resize(size, Image.Resampling.BICUBIC)).astype(int)
    pixels = pixels + generator.integers(-20, 21, pixels.shape)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def check(transform: Transform, reference: Any, name: str) -> None:
    """The same as a library's steps on all pictures, but for what the class says of single precision."""
    different = []
    for size in SIZES:
        expected = reference(picture(size))
        found = transform(picture(size))
        assert found.dtype == np.uint8
        assert found.shape == np.asarray(expected).shape, (name, size)
        gap = np.abs(found.astype(int) - np.asarray(expected).astype(int))
        assert gap.max() <= 2, (name, size)
        assert (gap > 0).mean() < 1 / 200, (name, size)
        different.append((gap > 0).mean())
        resized = transform._resized(*size)
        if resized == size or min(resized) > max(size):  # not reduced
            assert gap.max() == 0, (name, size)
    assert np.mean(different) < 1 / 2000, name


def test_it_equals_the_presets_of_torchvision():
    from torchvision import models
    from torchvision.transforms import functional

    seen = set()
    for name in models.list_models(module=models):
        preset = models.get_model_weights(name).DEFAULT.transforms()

        def reference(image: Image.Image, preset: Any = preset) -> Image.Image:
            resized = functional.resize(
                image, preset.resize_size, interpolation=preset.interpolation, antialias=preset.antialias
            )
            return functional.center_crop(resized, preset.crop_size)

        transform = Transform.of_torchvision(preset)
        assert [*transform.mean] == preset.mean
        assert [*transform.std] == preset.std
        if transform not in seen:
            check(transform, reference, name)
        seen.add(transform)
    assert len(seen) > 15


def timm_configs() -> dict[str, dict[str, Any]]:
    """One network of each way to crop, filter and part kept; and what no network has, but the library can do."""
    import timm
    from timm.data import resolve_data_config

    configs = {}
    for name in timm.list_models(pretrained=True):
        data = resolve_data_config(pretrained_cfg=timm.get_pretrained_cfg(name).to_dict())
        side = max(data["input_size"])
        group = (
            data["crop_mode"],
            data["interpolation"],
            data["crop_pct"],
            side > 400,
            len(set(data["input_size"])),
        )
        configs.setdefault(group, (name, data))
    kept = dict(list(configs.values())[:: -(-len(configs) // 30)])
    square = {**IMAGENET, "input_size": (3, 224, 224), "crop_pct": 0.9, "interpolation": "bicubic"}
    kept |= {
        "wide": {**square, "input_size": (3, 160, 256), "crop_mode": "center"},
        "high": {**square, "input_size": (3, 256, 160), "crop_mode": "center", "interpolation": "bilinear"},
        "wide within": {**square, "input_size": (3, 160, 256), "crop_mode": "border"},
        "within": {**square, "crop_mode": "border"},
        "squashed": {**square, "crop_mode": "squash"},
        "padded": {**square, "crop_pct": 1.3},
        "lanczos": {**square, "interpolation": "lanczos"},
        "box": {**square, "interpolation": "box"},
        "hamming": {**square, "interpolation": "hamming"},
        "nearest": {**square, "interpolation": "nearest"},
    }
    return kept


def test_it_equals_the_evaluation_transforms_of_timm():
    from timm.data import create_transform
    from torchvision import transforms

    configs = timm_configs()
    for name, data in configs.items():
        steps = create_transform(**data, is_training=False).transforms
        assert [type(step).__name__ for step in steps[-2:]] == ["MaybeToTensor", "Normalize"]
        transform = Transform.of_timm(data)
        check(transform, transforms.Compose(steps[:-2]), name)
        assert torch_list(steps[-1].mean) == pytest.approx([*transform.mean])
        assert torch_list(steps[-1].std) == pytest.approx([*transform.std])
    assert len(configs) > 30
    assert {data.get("crop_mode") for data in configs.values()} >= {"center", "squash", "border"}


def torch_list(tensor: Any) -> list[float]:
    return [float(value) for value in tensor]


def test_a_picture_reduced_at_a_simple_ratio_is_computed_exactly_where_the_crop_is():
    for size in [(500, 500), (512, 384), (750, 500), (600, 450), (224, 224)]:
        image = picture(size)
        width, height = (
            (256, 256 * size[1] // size[0]) if size[0] <= size[1] else (256 * size[0] // size[1], 256)
        )
        whole = image.resize((width, height), Image.Resampling.BILINEAR)
        left, top = round((width - 224) / 2), round((height - 224) / 2)
        expected = whole.crop((left, top, left + 224, top + 224))
        found = Transform(resize=256, crop=(224, 224))(image)
        if (size[0] * 1024) % width == 0 and (size[1] * 1024) % height == 0:
            assert (found == np.asarray(expected)).all(), size


def test_a_strip_is_cut_to_its_middle_before_it_is_enlarged():
    image = picture((1, 400))
    middle = image.crop((0, 192, 1, 208))
    transform = Transform(resize=64, crop=(48, 48))
    assert (transform(image) == transform(middle)).all()
    huge = picture((10_000, 1))  # enlarged whole it would take half a gigabyte
    assert Transform(resize=256, crop=(224, 224))(huge).shape == (224, 224, 3)
    assert Transform(resize=(224, 224), fit="cover", crop=(224, 224))(huge).shape == (224, 224, 3)


def test_a_strip_is_kept_whole_where_the_network_sees_whole_pictures():
    image = picture((400, 4))
    stretched = Transform(resize=(8, 8), crop=(8, 8))(image)
    assert (stretched == np.asarray(image.resize((8, 8), Image.Resampling.BILINEAR))).all()
    within = Transform(resize=(100, 100), fit="contain", crop=(100, 100), fill=(9, 8, 7))(image)
    row = np.asarray(image.resize((100, 1), Image.Resampling.BILINEAR))
    assert (within[49] == row[0]).all()  # 99 rows of padding: 49 above
    assert (np.delete(within, 49, axis=0) == (9, 8, 7)).all()


def test_without_a_resize_the_middle_is_cut_or_the_picture_padded():
    image = picture((9, 5))
    pixels = np.asarray(image)
    found = Transform(crop=(8, 4), fill=(1, 2, 3))(image)
    # Rows: 8 - 5 = 3 too few, 1 above; columns: 9 - 4 = 5 too many, 2.5 on the left, which Python rounds to 2.
    assert (found[1:6] == pixels[:, 2:6]).all()
    assert (found[[0, 6, 7]] == (1, 2, 3)).all()


def test_its_settings_pass_through_json():
    transform = Transform(
        resize=(30, 20), fit="cover", interpolation="lanczos", crop=(24, 16), fill=(1, 2, 3)
    )
    again = Transform(**json.loads(transform.model_dump_json()))
    assert again == transform
    image = picture((100, 80))
    assert (again(image) == transform(image)).all()


@pytest.mark.parametrize(
    ("settings", "side"),
    [
        ({"resize": 256}, 512),
        (
            {"resize": (100, 300)},
            600,
        ),  # a stretch to 300 wide needs 600, and the shorter side may be the width
        ({"resize": (300, 100), "fit": "cover"}, 600),
        ({}, None),
    ],
)
def test_jpegs_may_be_reduced_to_twice_what_remains(settings: dict[str, Any], side: int | None):
    assert Transform(crop=(90, 90), **settings).least_side == side


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"resize": 232}, "resize 232 bilinear, centre crop 224 x 200"),
        ({"resize": (224, 200), "interpolation": "bicubic"}, "resize to 224 x 200 bicubic"),
        ({"resize": (250, 220)}, "resize to 250 x 220 bilinear, centre crop 224 x 200"),
        ({"resize": (250, 220), "fit": "cover"}, "resize to cover 250 x 220 bilinear, centre crop 224 x 200"),
        (
            {"resize": (224, 200), "fit": "contain", "fill": (9, 9, 9)},
            "resize into 224 x 200 bilinear, centre crop 224 x 200, padded with [9, 9, 9]",
        ),
        ({}, "centre crop 224 x 200"),
    ],
)
def test_it_says_in_a_line_what_it_does(settings: dict[str, Any], text: str):
    transform = Transform(crop=(224, 200), mean=(0.5, 0.4, 0.3), std=(1, 1, 2), **settings)
    assert str(transform) == f"{text}, mean [0.5, 0.4, 0.3], std [1.0, 1.0, 2.0]"


def test_settings_that_make_no_sense_are_refused():
    with pytest.raises(ConfigError, match=r"fit = 'cover' needs resize = \[height, width\]"):
        Transform(resize=9, fit="cover", crop=(8, 8))
    with pytest.raises(ConfigError, match=r"std is .*above 0"):
        Transform(crop=(8, 8), std=(1, 0, 1))
    with pytest.raises(ConfigError, match=r"fill is .*0 to 255"):
        Transform(crop=(8, 8), fill=(0, 0, 256))
    with pytest.raises(ConfigError, match=r"'crop.0' is 0"):
        Transform(crop=(0, 8))


def test_transforms_that_it_cannot_do_are_refused():
    from torchvision.models import segmentation

    preset = segmentation.FCN_ResNet50_Weights.DEFAULT.transforms()
    with pytest.raises(FeaturesError, match=r"SemanticSegmentation .*expected ImageClassification"):
        Transform.of_torchvision(preset)
    good = {
        **IMAGENET,
        "input_size": (3, 8, 8),
        "crop_pct": 1.0,
        "interpolation": "bicubic",
        "crop_mode": None,
    }
    assert Transform.of_timm(good).resize == 8
    with pytest.raises(FeaturesError, match=r"input size \(1, 8, 8\); expected \(3, height, width\)"):
        Transform.of_timm({**good, "input_size": (1, 8, 8)})
    with pytest.raises(FeaturesError, match=r"crop mode 'five'; expected center, squash or border"):
        Transform.of_timm({**good, "crop_mode": "five"})
    with pytest.raises(FeaturesError, match=r"timm cannot be done here: .*'interpolation' is 'random'"):
        Transform.of_timm({**good, "interpolation": "random"})


def test_it_works_in_a_process_without_torch():
    program = """
        import sys
        from PIL import Image
        from visrec.features.transform import Transform
        Transform(resize=10, crop=(8, 8))(Image.new("RGB", (20, 30)))
        heavy = {"torch", "torchvision", "timm", "onnxruntime"} & set(sys.modules)
        assert not heavy, heavy
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=True)
