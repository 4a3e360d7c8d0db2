from __future__ import annotations

import errno
import tempfile

import numpy as np
import pytest
import torch

from visrec.errors import RunError
from visrec.features.features import Features
from visrec.training import regions
from visrec.training.regions import ItemRegions, principal_directions

EVERY = torch.arange(6)


@pytest.fixture
def features() -> Features:
    """Six items of four regions in five dimensions, of unlike length; item 2 has no image."""
    values = np.random.default_rng(3).normal(0.4, 1, size=(6, 4, 5)) * [3.0, 0.1, 2.0, 0.2, 1.0]
    return Features.from_array(values.astype(np.float16), list("abcdef"), missing=np.arange(6) == 2)


def test_directions_are_those_in_which_regions_are_longest(features):
    basis, share = principal_directions(features, EVERY, 2)
    rows = np.concatenate([features.values[item] for item in (0, 1, 3, 4, 5)]).astype(np.float64)
    _, length, directions = np.linalg.svd(rows)
    for found, expected in zip(basis.numpy(), directions, strict=False):
        assert abs(found @ expected) == pytest.approx(1, abs=1e-5)
    assert share == pytest.approx((length[:2] ** 2).sum() / (rows**2).sum(), rel=1e-4)
    torch.testing.assert_close(basis @ basis.T, torch.eye(2))


def test_directions_are_found_by_a_bounded_sample_of_the_items_given(features, monkeypatch):
    monkeypatch.setattr(regions, "_SAMPLE", 8)
    basis, share = principal_directions(features, torch.tensor([0, 2, 3, 5]), 1)
    rows = np.concatenate([features.values[0], features.values[5]]).astype(np.float64)  # the ends of 0, 3, 5
    _, length, directions = np.linalg.svd(rows)
    assert abs(basis[0].numpy() @ directions[0]) == pytest.approx(1, abs=1e-5)
    assert share == pytest.approx(length[0] ** 2 / (rows**2).sum(), rel=1e-4)


def test_without_any_image_directions_are_still_orthonormal(features):
    basis, share = principal_directions(features, torch.tensor([2]), 3)
    torch.testing.assert_close(basis @ basis.T, torch.eye(3))
    assert share == 1


def test_a_region_is_read_in_the_basis(features):
    basis, _ = principal_directions(features, EVERY, 3)
    found = ItemRegions(features).read(torch.tensor([1, 5]), basis)
    for item, maps in zip((1, 5), found, strict=True):
        for m, region in enumerate(maps):
            expected = [row @ features.values[item, m].astype(float) for row in basis.numpy()]
            np.testing.assert_allclose(region, expected, rtol=2e-3, atol=2e-3)  # rounded to float16


def test_without_a_basis_regions_are_read_as_they_are(features):
    found = ItemRegions(features).read(torch.tensor([0, 4]), torch.zeros(0, 5))
    assert torch.equal(found, torch.from_numpy(features.values[[0, 4]].astype(np.float32)))


@pytest.mark.parametrize("in_memory", [1 << 28, 0])
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_kept_regions_are_the_same_bit_for_bit(features, monkeypatch, tmp_path, in_memory, dtype):
    monkeypatch.setattr(regions, "_IN_MEMORY", in_memory)
    monkeypatch.setattr(regions, "_BLOCK", 40)
    features = Features.from_array(features.values.astype(dtype), list("abcdef"), missing=features.missing)
    basis, _ = principal_directions(features, EVERY, 2)
    plain, keeping = ItemRegions(features), ItemRegions(features, np.array([0, 3, 4, 5]), folder=tmp_path)
    everything = plain.read(EVERY, basis)
    for items in ([0], [3, 5], [0, 3, 4, 5], [4, 1], []):  # item 1 is not kept
        index = torch.tensor(items, dtype=torch.int64)
        found = keeping.read(index, basis, learning=True)
        assert torch.equal(found, plain.read(index, basis))
        assert torch.equal(found, everything[index])
    assert keeping.kept.values.numpy().dtype == dtype
    assert plain.kept is None
    assert not list(tmp_path.iterdir())  # nothing is left behind


def test_regions_are_kept_from_the_first_reading_to_learn_from_until_they_are_let_go_of(
    features, monkeypatch
):
    basis, _ = principal_directions(features, EVERY, 2)
    regions = ItemRegions(features, EVERY.numpy())
    expected = regions.read(EVERY, basis)
    assert regions.kept is None
    regions.read(EVERY[:1], basis, learning=True)
    reduced = ItemRegions._reduced
    monkeypatch.setattr(ItemRegions, "_reduced", lambda *_: pytest.fail("computed again"))
    for learning in (True, False):
        assert torch.equal(regions.read(EVERY, basis, learning=learning), expected)
    monkeypatch.setattr(ItemRegions, "_reduced", reduced)
    regions.release()
    assert regions.kept is None
    assert torch.equal(regions.read(EVERY, -basis, learning=True), -expected)


@pytest.mark.parametrize("in_memory", [1 << 28, 0])
def test_numbers_that_float16_does_not_hold_are_kept_as_they_are(monkeypatch, tmp_path, in_memory):
    """1,500 in 2,048 places have the length 1,500 sqrt(2,048) = 67,882; float16 ends at 65,504."""
    monkeypatch.setattr(regions, "_IN_MEMORY", in_memory)
    values = np.full((3, 1, 2048), 1500, dtype=np.float16)
    values[1] = 0.7
    features = Features.from_array(values, list("abc"))
    basis = torch.full((1, 2048), 2048**-0.5)
    plain, keeping = ItemRegions(features), ItemRegions(features, np.arange(3), folder=tmp_path)
    found = plain.read(torch.arange(3), basis)
    assert found[:, 0, 0].tolist() == pytest.approx([67882.25, 0.7 * 2048**0.5, 67882.25], rel=1e-3)
    assert found[1].half().float() == found[1]  # the others are rounded
    for items in ([0], [1], [0, 1, 2]):
        index = torch.tensor(items)
        assert torch.equal(keeping.read(index, basis, learning=True), found[index])
        assert torch.equal(plain.read(index, basis), found[index])
    assert keeping.kept.values.dtype == torch.float32


def test_a_full_disk_is_said_with_what_to_do(features, monkeypatch, tmp_path):
    class Full(tempfile.SpooledTemporaryFile):
        def write(self, _):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(regions, "_IN_MEMORY", 0)
    monkeypatch.setattr(regions.tempfile, "TemporaryFile", lambda **_: Full())
    with pytest.raises(RunError, match=r"No space left on device.*fewer components"):
        ItemRegions(features, EVERY.numpy(), folder=tmp_path).read(EVERY, torch.eye(5)[:2], learning=True)
