from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from visrec.data.catalog import Catalog
from visrec.data.ids import IdMap
from visrec.errors import ConfigError, DataError, FeaturesError, ImageError, UnsupportedError
from visrec.features.extraction import extract
from visrec.features.features import Features
from visrec.neighbours import nearest, similar_items, similar_to_images

N = 30


def features(*, shape: tuple[int, ...] = (6,), missing: tuple[int, ...] = (), dtype: str = "f4") -> Features:
    values = np.random.default_rng(0).normal(size=(N, *shape)).astype(dtype)
    masked = np.zeros(N, dtype=bool)
    masked[list(missing)] = True
    return Features.from_array(values, [f"i{index:02d}" for index in range(N)], missing=masked)


def by_hand(values: np.ndarray, asked: np.ndarray, excluded: set[int]) -> list[tuple[int, float]]:
    """Rows and their cosines with a vector, the largest first."""
    found = []
    for row, vector in enumerate(values.astype(np.float64)):
        if row not in excluded:
            length = np.sqrt((vector * vector).sum() * (asked * asked).sum())
            found.append((row, float((vector * asked).sum() / length)))
    return sorted(found, key=lambda pair: -pair[1])


@pytest.mark.parametrize("dtype", ["f4", "f2"])
@pytest.mark.parametrize("k", [1, 7, N])
def test_the_nearest_are_those_of_the_largest_cosine(k: int, dtype: str):
    made = features(missing=(3, 17), dtype=dtype)
    asked = np.random.default_rng(1).normal(size=(4, 6)).astype(dtype)
    rows, cosines = nearest(made, asked, k)
    assert rows.shape == cosines.shape == (4, k)
    for row, found, scores in zip(asked, rows, cosines, strict=True):
        expected = by_hand(made.values, row.astype(np.float64), {3, 17})[:k]
        assert found[: len(expected)].tolist() == [one for one, _ in expected]
        np.testing.assert_allclose(scores[: len(expected)], [score for _, score in expected], atol=1e-6)
        assert (found[len(expected) :] == -1).all()  # two of them are missing


def test_blocks_of_the_catalogue_change_nothing(monkeypatch: pytest.MonkeyPatch):
    made = features(missing=(3,))
    whole = nearest(made, made.values[:5], 8)
    monkeypatch.setattr(
        "visrec.neighbours.blocks", lambda n, width: [slice(s, s + 7) for s in range(0, n, 7)]
    )
    parts = nearest(made, made.values[:5], 8)
    assert np.array_equal(parts[0], whole[0])
    np.testing.assert_allclose(parts[1], whole[1], atol=1e-7)


@pytest.mark.parametrize("k", [5, N, 500])
def test_an_item_is_not_like_itself_and_missing_ones_are_like_nothing(k: int):
    made = features(missing=(0, 8))
    table = similar_items(made, ["i05", "i29"], k)
    assert table.columns == ["query_id", "item_id", "score", "rank"]
    for query, index in (("i05", 5), ("i29", 29)):
        expected = by_hand(made.values, made.values[index].astype(np.float64), {0, 8, index})[:k]
        own = table.filter(query_id=query)
        assert own["item_id"].to_list() == [f"i{row:02d}" for row, _ in expected]
        assert own["rank"].to_list() == list(range(1, len(expected) + 1))
        np.testing.assert_allclose(own["score"], [score for _, score in expected], atol=1e-6)
    assert table.height == 2 * min(k, N - 3)


def test_twins_are_alike_and_each_finds_the_other_first():
    values = np.random.default_rng(0).normal(size=(5, 4))
    values[3] = 2 * values[1]  # the length of a vector does not count
    made = Features.from_array(values, list("abcde"))
    table = similar_items(made, ["b", "d"], 1)
    assert table["item_id"].to_list() == ["d", "b"]
    np.testing.assert_allclose(table["score"], [1, 1], atol=1e-6)


def test_items_with_whole_numbers_for_ids_keep_them():
    made = Features.from_array(np.eye(3) + 0.1, [30, 10, 20])
    assert similar_items(made, [10], 2)["item_id"].dtype == pl.Int64


def test_what_cannot_be_compared_is_refused():
    made = features(missing=(8,))
    with pytest.raises(
        UnsupportedError, match="Item 'i08' has no features to compare it by: marked as missing"
    ):
        similar_items(made, ["i01", "i08"])
    with pytest.raises(DataError, match="i99"):
        similar_items(made, ["i99"])
    for k in (0, -1):
        with pytest.raises(ConfigError, match=f"k is {k}; expected a whole number, at least 1"):
            similar_items(made, ["i01"], k)
    with pytest.raises(FeaturesError, match="do not say how a new picture is treated"):
        similar_to_images(made, [Image.new("RGB", (8, 8))])


def test_regions_are_compared_by_their_means():
    made = features(shape=(4, 6), missing=(2,))
    means = Features.from_array(
        made.values.mean(axis=1), made.items.values.to_list(), missing=made.missing.copy()
    )
    found, expected = (similar_items(one, ["i00", "i09"], 6) for one in (made, means))
    assert found.drop("score").equals(expected.drop("score"))
    np.testing.assert_allclose(found["score"], expected["score"], atol=1e-6)


def catalog(folder: Path, n: int = 8) -> Catalog:
    rng = np.random.default_rng(0)
    items = IdMap([f"i{index}" for index in range(n)], kind="item")
    paths = tuple(folder / f"{item}.png" for item in items.values)
    for path in paths:
        small = Image.fromarray(rng.integers(0, 256, (6, 5, 3), dtype=np.uint8))
        small.resize((100, 120), Image.Resampling.NEAREST).save(path)
    return Catalog(items, paths, pl.DataFrame({"item_id": items.values}))


@pytest.mark.parametrize(
    ("extractor", "settings"),
    [
        ("color", {}),
        ("sift", {"words": 2, "pca": 5, "l2": True}),
        ("test_vit", {"pool": "regions", "standardize": False, "weights": "random"}),
        ("lbp+test_vit", {"dtype": "float16", "weights": "random"}),
    ],
)
def test_a_picture_of_the_catalogue_finds_its_own_item_first(
    tmp_path: Path, extractor: str, settings: dict[str, object]
):
    made = extract(catalog(tmp_path), extractor, **settings)  # type: ignore[arg-type]
    with Image.open(tmp_path / "i6.png") as opened:
        picture = opened.convert("RGB")
    table = similar_to_images(made, [tmp_path / "i3.png", picture], 3)
    assert table["query_id"].to_list() == [f"{tmp_path / 'i3.png'}"] * 3 + ["1"] * 3
    assert table.filter(rank=1)["item_id"].to_list() == ["i3", "i6"]
    np.testing.assert_allclose(table.filter(rank=1)["score"], 1, atol=2e-3 if "dtype" in settings else 1e-5)
    others = similar_items(made, ["i3"], 2)
    assert (
        table.filter(query_id=f"{tmp_path / 'i3.png'}")["item_id"].to_list()[1:]
        == others["item_id"].to_list()
    )


def test_a_picture_that_is_none_or_shows_nothing_is_refused(tmp_path: Path):
    made = extract(catalog(tmp_path), "sift", words=2, standardize=False)
    (tmp_path / "text.jpg").write_text("no picture")
    with pytest.raises(ImageError, match=r"text\.jpg: is not a JPEG"):
        similar_to_images(made, [tmp_path / "text.jpg"])
    with pytest.raises(UnsupportedError, match=r"^1: sift finds nothing in this picture"):
        similar_to_images(made, [tmp_path / "i0.png", Image.new("RGB", (90, 90), "red")])
    standardized = extract(catalog(tmp_path), "sift", words=2)  # a vector of zeros is then none
    with pytest.raises(UnsupportedError, match=r"^0: sift finds nothing in this picture"):
        similar_to_images(standardized, [Image.new("RGB", (90, 90), "grey")])
