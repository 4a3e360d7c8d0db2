"""Maps: the right directions, neighbourhoods kept, the same each time, made once and again when features change."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from visrec.errors import ConfigError, FeaturesError
from visrec.features import projection
from visrec.features.features import Features
from visrec.features.projection import Projection, kept, named, project


def _features(n: int = 60, seed: int = 0) -> Features:
    """Three clumps far from one another, in 8 columns."""
    rng = np.random.default_rng(seed)
    middles = rng.normal(0, 10, (3, 8))
    values = (middles[np.arange(n) % 3] + rng.normal(0, 1, (n, 8))).astype(np.float32)
    return Features.from_array(values, [f"i{k:03d}" for k in range(n)])


def _saved(features: Features, folder: Path) -> Features:
    features.save(folder)
    return Features.load(folder)


def test_pca_is_the_projection_on_the_two_largest_directions() -> None:
    features = _features()
    centered = features.values - features.values.mean(axis=0)
    _, _, directions = np.linalg.svd(centered.astype(np.float64), full_matrices=False)
    expected = centered @ directions[:2].T
    found = project(features, "pca").positions
    for axis in range(2):
        assert abs(np.corrcoef(found[:, axis], expected[:, axis])[0, 1]) == pytest.approx(1, abs=1e-5)
    spread = found.std(axis=0) / expected.std(axis=0)
    assert spread[0] == pytest.approx(spread[1], rel=1e-4)  # both axes in one scale


@pytest.mark.parametrize("method", projection.METHODS)
def test_places_fill_the_unit_square_and_missing_items_have_none(method: projection.Method) -> None:
    missing = np.arange(60) == 7
    features = Features.from_array(_features().values, [f"i{k:03d}" for k in range(60)], missing=missing)
    found = project(features, method)
    assert found.there.tolist() == [k for k in range(60) if k != 7]
    places = found.positions[found.there]
    assert places.min() >= 0
    assert places.max() <= 1
    size = places.max(axis=0) - places.min(axis=0)
    assert size.max() == pytest.approx(1, abs=1e-6)
    assert np.isnan(found.positions[7]).all()


def test_tsne_keeps_clumps_together() -> None:
    features = _features(90)
    found = project(features, "tsne").positions
    away = ((found[:, None] - found[None]) ** 2).sum(axis=2)
    np.fill_diagonal(away, np.inf)
    nearest = away.argmin(axis=1)
    assert (nearest % 3 == np.arange(90) % 3).all()


def test_the_same_features_and_seed_give_the_same_map() -> None:
    first, second = (project(_features(), "tsne", seed=4).positions for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_a_map_is_made_once_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    features = _saved(_features(), tmp_path / "features")
    assert kept(features, "pca") is None
    first = project(features, "pca")

    def refuse(*_: object) -> Projection:
        raise AssertionError("it was made again")

    monkeypatch.setattr(projection, "_made", refuse)
    np.testing.assert_array_equal(project(features, "pca").positions, first.positions)


def test_a_map_of_other_features_is_made_anew_in_its_place(tmp_path: Path) -> None:
    project(_saved(_features(seed=0), tmp_path / "features"), "pca")
    other = _saved(_features(seed=1), tmp_path / "other")
    file = tmp_path / "features" / "projection-pca.safetensors"
    file.rename(tmp_path / "other" / file.name)  # a map that belongs to something else
    assert kept(other, "pca") is None
    found = project(other, "pca")
    again = kept(other, "pca")
    assert again is not None
    np.testing.assert_array_equal(again.positions, found.positions)


def test_another_seed_and_a_damaged_file_are_made_anew(tmp_path: Path) -> None:
    features = _saved(_features(), tmp_path / "features")
    project(features, "tsne", seed=0)
    assert kept(features, "tsne", seed=1) is None
    (tmp_path / "features" / "projection-tsne.safetensors").write_bytes(b"not a map")
    assert kept(features, "tsne", seed=0) is None
    project(features, "tsne", seed=0)
    assert kept(features, "tsne", seed=0) is not None


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("method", projection.METHODS)
def test_very_few_items_have_places_all_the_same(n: int, method: projection.Method) -> None:
    found = project(_features(n), method)
    assert np.isfinite(found.positions).all()


def test_items_that_are_all_alike_lie_in_the_middle() -> None:
    features = Features.from_array(np.ones((12, 4), dtype=np.float32), [f"i{k:02d}" for k in range(12)])
    assert (project(features, "tsne").positions == 0.5).all()


def test_pixels_have_no_map() -> None:
    pixels = Features.from_array(np.zeros((3, 4, 4, 3), dtype=np.uint8), ["a", "b", "c"])
    with pytest.raises(FeaturesError, match="pixels"):
        project(pixels)


def test_an_unknown_method_is_named_with_those_that_there_are() -> None:
    assert named("tsne") == "tsne"
    with pytest.raises(ConfigError, match=r"'umap'.*pca, tsne"):
        named("umap")
