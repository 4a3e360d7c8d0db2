from __future__ import annotations

import numpy as np
import pytest

from visrec.errors import FeaturesError
from visrec.features.features import Features
from visrec.training import clusters as module
from visrec.training.clusters import visual_clusters


def _three_looks(n: int = 60, *, missing: tuple[int, ...] = (4, 17)) -> Features:
    """Item i looks like kind i % 3; the second column has a thousand times the scale of the others."""
    rng = np.random.default_rng(0)
    centres = np.array([[5.0, 0, 0, 0], [0, 5000, 0, 0], [0, 0, 5, 5]])
    values = centres[np.arange(n) % 3] + rng.normal(size=(n, 4)) * [0.3, 300, 0.3, 0.3]
    return Features.from_array(
        values, [f"i{i:02d}" for i in range(n)], missing=np.isin(np.arange(n), [*missing])
    )


def _partition(of: np.ndarray) -> set[frozenset[int]]:
    return {frozenset(np.flatnonzero(of == c).tolist()) for c in range(of.max() + 1)}


def test_items_that_look_alike_are_one_cluster_and_those_without_an_image_are_in_none():
    features = _three_looks()
    found = visual_clusters(features, k=3)
    there = [i for i in range(60) if i not in (4, 17)]
    assert _partition(found.of) == {frozenset(i for i in there if i % 3 == kind) for kind in range(3)}
    assert found.of[[4, 17]].tolist() == [-1, -1]
    assert len(found) == 3
    assert 0.5 < found.silhouette <= 1


def test_vectors_are_principal_components_of_z_scores():
    features = _three_looks()
    found = visual_clusters(features, k=3)
    there = ~features.missing
    rows = features.values[there].astype(float)
    z = (rows - rows.mean(0)) / rows.std(0)
    # All four components are kept: the PCA turns the z-scores, and every inner product stays as it is.
    np.testing.assert_allclose(found.vectors[there] @ found.vectors[there].T, z @ z.T, atol=1e-3)
    variances = found.vectors[there].var(0)
    assert (np.diff(variances) <= 0).all()
    assert (found.vectors[~there] == 0).all()


def test_at_most_200_components_are_kept():
    values = np.random.default_rng(0).normal(size=(230, 210))
    assert visual_clusters(Features.from_array(values, range(230)), k=2, runs=1).vectors.shape == (230, 200)


def test_few_items_have_few_clusters():
    assert len(visual_clusters(_three_looks(60), k=100)) == 5  # 58 items, ten a cluster
    assert visual_clusters(_three_looks(6, missing=()), k=100).of.tolist() == [0] * 6
    nothing = visual_clusters(_three_looks(3, missing=(0, 1, 2)))
    assert nothing.of.tolist() == [-1] * 3
    assert len(nothing) == 0


def test_pictures_that_are_all_the_same_are_one_cluster():
    same = Features.from_array(np.ones((40, 3)), range(40))
    assert visual_clusters(same).of.tolist() == [0] * 40


def test_the_run_of_the_best_silhouette_is_kept(monkeypatch):
    judged = []

    def silhouette(rows, labels):
        judged.append((labels.copy(), [0.1, 0.7, 0.3][len(judged)]))
        return judged[-1][1]

    monkeypatch.setattr(module, "_silhouette", silhouette)
    rows = np.random.default_rng(0).normal(size=(200, 5)).astype(np.float32)
    labels, best = module._best_run(rows, 8, 3, 0)
    assert best == 0.7
    assert len(judged) == 3
    order = np.random.default_rng(0).permutation(200)
    np.testing.assert_array_equal(labels[order], judged[1][0])


def test_the_silhouette_is_over_a_sample_of_bounded_size(monkeypatch):
    sizes = []
    monkeypatch.setattr(module, "_JUDGED", 50)
    monkeypatch.setattr(module, "_silhouette", lambda rows, labels: sizes.append(len(rows)) or 0.0)
    visual_clusters(_three_looks(300, missing=()), k=3, runs=2)
    assert sizes == [50, 50]


def test_the_same_seed_gives_the_same_clusters():
    features = Features.from_array(np.random.default_rng(0).normal(size=(200, 6)), range(200))
    one, again, other = (visual_clusters(features, k=9, seed=seed) for seed in (1, 1, 2))
    assert one.digest == again.digest
    assert one.digest != other.digest


def test_regions_are_clustered_by_their_means():
    features = _three_looks()
    regions = Features.from_array(
        np.stack([features.values - 1, features.values + 1], axis=1),
        features.items.values,
        missing=features.missing,
    )
    assert _partition(visual_clusters(regions, k=3).of) == _partition(visual_clusters(features, k=3).of)


def test_pixels_are_refused():
    pixels = Features.from_array(np.zeros((20, 8, 8, 3), dtype=np.uint8), range(20))
    with pytest.raises(FeaturesError, match="pixels, not vectors"):
        visual_clusters(pixels)


# ---- kept beside the features --------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path):
    _three_looks().save(tmp_path / "features")
    return tmp_path / "features"


def _never(*_):
    raise AssertionError("clustered again")


def test_a_second_training_does_not_cluster_again(folder, monkeypatch):
    first = visual_clusters(Features.load(folder), k=3)
    assert len(list(folder.glob("clusters-*.safetensors"))) == 1
    monkeypatch.setattr(module, "_clustered", _never)
    again = visual_clusters(Features.load(folder), k=3)
    assert again.digest == first.digest
    assert again.silhouette == first.silhouette


@pytest.mark.parametrize("setting", [{"k": 4}, {"runs": 2}, {"seed": 5}])
def test_other_settings_are_clustered_anew(folder, setting):
    visual_clusters(Features.load(folder), k=3)
    visual_clusters(Features.load(folder), **{"k": 3, **setting})
    assert len(list(folder.glob("clusters-*.safetensors"))) == 2


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "another", "text"])
def test_a_damaged_or_foreign_file_is_made_anew(folder, damage, monkeypatch):
    first = visual_clusters(Features.load(folder), k=3)
    (file,) = folder.glob("clusters-*")
    data = file.read_bytes()
    if damage == "another":
        visual_clusters(Features.load(folder), k=2)
        (other,) = set(folder.glob("clusters-*")) - {file}
        file.write_bytes(other.read_bytes())
    else:
        flipped = data[:-1] + bytes([data[-1] ^ 64])
        file.write_bytes({"cut": data[:100], "flipped": flipped, "empty": b"", "text": b"hello"}[damage])
    assert visual_clusters(Features.load(folder), k=3).digest == first.digest
    monkeypatch.setattr(module, "_clustered", _never)
    assert visual_clusters(Features.load(folder), k=3).digest == first.digest


def test_a_folder_that_cannot_be_written_is_no_fault(folder, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(module, "replacing", refuse)
    assert len(visual_clusters(Features.load(folder), k=3)) == 3
    assert not list(folder.glob("clusters-*"))


def test_features_that_are_finished_otherwise_do_not_lie_in_the_folder(folder):
    features = Features.load(folder)
    assert features.folder == folder
    assert features.finish(l2=True).folder is None
