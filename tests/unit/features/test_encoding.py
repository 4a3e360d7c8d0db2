"""New pictures: encoded as those of the catalogue were, or refused with what to do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image

from visrec.data.catalog import Catalog
from visrec.data.ids import IdMap
from visrec.errors import ConfigError, FeaturesError, ImageError
from visrec.features.encoding import encode_images, encode_with
from visrec.features.extraction import extract
from visrec.features.extractor import Extractor, Preparation
from visrec.features.extractors import split_name
from visrec.features.features import Features


def catalog(folder: Path, n: int = 6) -> Catalog:
    rng = np.random.default_rng(0)
    paths = tuple(folder / f"i{item}.png" for item in range(n))
    for path in paths:
        Image.fromarray(rng.integers(0, 256, (40, 30, 3), dtype=np.uint8)).save(path)
    items = IdMap([path.stem for path in paths], kind="item")
    return Catalog(items, paths, pl.DataFrame({"item_id": items.values}))


class _Flat(Preparation):
    def __call__(self, image: Image.Image) -> np.ndarray:
        return np.asarray(image.resize((1, 1)))[0, 0]


class _Colors(Extractor):
    """The colour of a picture; counts its batches."""

    name, shape, batch_size, preparation = "colors", (3,), 4, _Flat()

    def __init__(self) -> None:
        self.batches: list[int] = []

    def provenance(self) -> dict[str, Any]:
        return {}

    def encode(self, batch: np.ndarray) -> np.ndarray:
        self.batches.append(len(batch))
        return batch.astype(np.float32)


@pytest.mark.parametrize("n", [0, 1, 4, 10])
def test_pictures_are_encoded_in_batches_in_their_order(n: int):
    made = _Colors()
    found = encode_with(made, [Image.new("RGB", (2, 2), (place, 0, 9)) for place in range(n)])
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, np.array([(place, 0, 9) for place in range(n)]).reshape(n, 3))
    assert made.batches == [4] * (n // 4) + [n % 4] * bool(n % 4)


def test_pictures_of_other_modes_are_seen_as_in_files(tmp_path: Path):
    picture = Image.new("RGBA", (4, 4), (200, 0, 0, 0))
    grey, palette = Image.new("L", (4, 4), 70), Image.new("RGB", (4, 4), "blue").convert("P")
    given = [picture, grey, palette, Image.new("CMYK", (4, 4), (0, 255, 0, 0))]
    found = encode_with(_Colors(), given)
    np.testing.assert_array_equal(found[:3], [(255, 255, 255), (70, 70, 70), (0, 0, 255)])
    for one in (picture, grey, palette):
        one.save(tmp_path / "one.png")
        np.testing.assert_array_equal(
            encode_with(_Colors(), [one]), encode_with(_Colors(), [tmp_path / "one.png"])
        )
    with pytest.raises(ImageError, match="mode I;16; expected 8 bits"):
        encode_with(_Colors(), [Image.new("I;16", (4, 4))])


@pytest.mark.parametrize(
    "change",
    [
        {"settings": "color"},
        {"settings": ["color"]},
        {"settings": {"weights": "default", "options": {}}},
        {"settings": {"extractor": 3}},
        {"settings": {"extractor": "color", "weights": 5, "options": {}}},
        {"settings": {"extractor": "color", "weights": "default", "options": []}},
        {"settings": {"extractor": "color", "weights": "default", "options": {"depth": 3}}},
        {"settings": {"extractor": "color", "weights": "default", "options": {"name": "x"}}},
        {"settings": {"extractor": "no_such", "weights": "default", "options": {}}},
        {"settings": {"extractor": "color", "more": 1}},
        {"settings": {"extractor": "lbp"}},
    ],
)
def test_damaged_settings_end_in_one_error(tmp_path: Path, change: dict[str, Any]):
    made = extract(catalog(tmp_path), "color")
    damaged = replace(made, provenance={**made.provenance, **change})
    with pytest.raises(FeaturesError, match="Extract"):
        encode_images(damaged, [tmp_path / "i0.png"])


def test_what_was_learnt_and_is_damaged_ends_in_one_error(tmp_path: Path):
    made = extract(catalog(tmp_path), "sift", words=2)
    with pytest.raises(FeaturesError):
        encode_images(replace(made, learnt={"other": np.zeros(3)}), [tmp_path / "i0.png"])


def test_wrong_weights_given_are_the_users_own_error(tmp_path: Path):
    with pytest.raises(ConfigError, match="has no weights"):
        encode_images(extract(catalog(tmp_path), "color"), [], weights="x.pth")


def _net(path: Path, factor: float = 1) -> Path:
    """The mean colour, times a factor, as ONNX."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from onnx import TensorProto, helper, numpy_helper

    nodes = [
        helper.make_node("Mul", ["x", "f"], ["m"]),
        helper.make_node("GlobalAveragePool", ["m"], ["p"]),
        helper.make_node("Flatten", ["p"], ["y"], axis=1),
    ]
    put = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 8, 8])
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3])
    weights = [numpy_helper.from_array(np.array(factor, dtype=np.float32), "f")]
    model = helper.make_model(
        helper.make_graph(nodes, "g", [put], [out], weights),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    onnx.save(model, path)
    return path


@pytest.mark.parametrize("more", ["", "+color"])
def test_a_network_in_an_onnx_file_may_move(tmp_path: Path, more: str):
    net = _net(tmp_path / "net.onnx")
    made: Features = extract(catalog(tmp_path), f"onnx:{net}{more}")
    before = encode_images(made, [tmp_path / "i1.png"])
    (tmp_path / "elsewhere").mkdir()
    # In a combination its name is part of the digest.
    moved = net.rename(tmp_path / "elsewhere" / ("net.onnx" if more else "renamed.onnx"))
    with pytest.raises(FeaturesError, match=r"net\.onnx: no such file; .*--weights FILE"):
        encode_images(made, [tmp_path / "i1.png"])
    np.testing.assert_array_equal(encode_images(made, [tmp_path / "i1.png"], weights=moved), before)
    by_name = {split_name(made.provenance["settings"]["extractor"])[0]: moved}
    np.testing.assert_array_equal(encode_images(made, [tmp_path / "i1.png"], weights=by_name), before)
    with pytest.raises(FeaturesError, match="are not those that the features were made with"):
        encode_images(made, [tmp_path / "i1.png"], weights=_net(tmp_path / "other.onnx", 2))
