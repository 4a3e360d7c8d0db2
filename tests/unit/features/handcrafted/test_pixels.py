from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from visrec.data.catalog import Catalog
from visrec.data.ids import IdMap
from visrec.errors import ConfigError
from visrec.features.extraction import extract
from visrec.features.features import Features

COLORS = {"red": (250, 10, 20), "green": (5, 240, 30), "blue": (0, 20, 255)}


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    """Three plain pictures of several sizes, and one that is broken."""
    items = IdMap([*COLORS, "torn"], kind="item")
    for side, (name, color) in enumerate(COLORS.items(), start=20):
        Image.new("RGB", (2 * side, side), color).save(tmp_path / f"{name}.png")
    (tmp_path / "torn.png").write_bytes(b"torn")
    paths = tuple(tmp_path / f"{item}.png" for item in items.values)
    return Catalog(items, paths, pl.DataFrame({"item_id": items.values}))


def test_pixels_are_the_picture_squeezed_to_a_square_of_bytes(catalog: Catalog, tmp_path: Path):
    features = extract(catalog, "pixels", size=12, out=tmp_path / "out", n_workers=0)
    assert (features.kind, features.values.shape, features.values.dtype) == (
        "image",
        (4, 12, 12, 3),
        np.uint8,
    )
    for name, color in COLORS.items():
        assert (features.values[features.items.index(name)] == color).all()
    torn = features.items.index("torn")
    assert features.missing.tolist() == [row == torn for row in range(4)]
    assert not features.values[torn].any()
    assert features.provenance["steps"] == []
    again = Features.load(tmp_path / "out")
    assert again.digest == features.digest
    assert np.array_equal(again.values, features.values)


def test_pixels_take_no_steps(catalog: Catalog):
    with pytest.raises(ConfigError, match="stored as it is"):
        extract(catalog, "pixels", size=12, pca=2, n_workers=0)
    with pytest.raises(ConfigError, match="gives pixels a picture; only vectors can be combined"):
        extract(catalog, "color+pixels", n_workers=0)
