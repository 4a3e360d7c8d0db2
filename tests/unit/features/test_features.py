from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from visrec.data.ids import IdMap
from visrec.errors import FeaturesError
from visrec.features.features import Features
from visrec.features.finishing import Finishing, Steps, present_rows
from visrec.files import file_digest


def example(*, missing: bool = True) -> Features:
    values = np.array([[3, 30], [1, 10], [2, 20]], dtype=np.float32)
    mask = np.array([False, missing, False])
    return Features.from_array(values, ["c", "a", "b"], missing=mask, provenance={"note": "by hand"})


def test_from_array_matches_rows_by_id_whatever_their_order():
    features = example(missing=False)
    assert features.items.values.to_list() == ["a", "b", "c"]
    assert features.values.tolist() == [[1, 10], [2, 20], [3, 30]]
    assert features.dim == 2
    again = Features.from_array([[2, 20], [1, 10], [3, 30]], ["b", "a", "c"])  # type: ignore[arg-type]
    assert again.digest == features.digest


def test_from_array_copies_and_freezes():
    values = np.ones((2, 2), dtype=np.float32)
    features = Features.from_array(values, ["a", "b"])
    values[0] = 7
    assert features.values.tolist() == [[1, 1], [1, 1]]
    with pytest.raises(ValueError, match="read-only"):
        features.values[0, 0] = 1


def test_from_array_zeroes_missing_rows_even_of_nan():
    values = np.array([[np.nan, 1], [2, 3]])
    features = Features.from_array(values, [7, 3], missing=np.array([True, False]))
    assert features.items.values.to_list() == [3, 7]
    assert features.values.tolist() == [[2, 3], [0, 0]]
    assert features.missing.tolist() == [False, True]
    assert features.failures.rows() == [(7, "marked as missing")]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e300])
def test_from_array_refuses_numbers_that_are_not_finite_and_names_the_item(bad: float):
    with pytest.raises(FeaturesError, match="1 rows hold NaN or infinity, first that of item 'x'"):
        Features.from_array(np.array([[bad], [1.0]]), ["x", "a"])


def test_from_array_refuses_repeated_ids_and_wrong_shapes():
    with pytest.raises(FeaturesError, match="'b' comes more than once"):
        Features.from_array(np.ones((3, 2)), ["a", "b", "b"])
    with pytest.raises(FeaturesError, match=r"2 item ids but values .* \(3, 2\)"):
        Features.from_array(np.ones((3, 2)), ["a", "b"])
    with pytest.raises(FeaturesError, match=r"shape \(2,\)"):
        Features.from_array(np.ones(2), ["a", "b"])
    with pytest.raises(FeaturesError, match="expected numbers"):
        Features.from_array(np.array([["x"]]), ["a"])
    with pytest.raises(FeaturesError, match="missing has shape"):
        Features.from_array(np.ones((2, 1)), ["a", "b"], missing=np.array([True]))
    with pytest.raises(FeaturesError, match="several types"):
        Features.from_array(np.ones((2, 1)), ["a", 1])  # type: ignore[list-item]


def test_features_refuse_parts_that_do_not_fit():
    items = IdMap(["a", "b"])
    none = pl.DataFrame(schema={"item_id": pl.String, "reason": pl.String})
    clear = np.zeros(2, dtype=bool)
    with pytest.raises(FeaturesError, match="expected float32"):
        Features(np.zeros((2, 3)), items, clear, none)
    with pytest.raises(FeaturesError, match="expected bool"):
        Features(np.zeros((2, 3), dtype=np.float32), items, np.zeros(3, dtype=bool), none)
    with pytest.raises(FeaturesError, match="1 items are missing"):
        Features(np.zeros((2, 3), dtype=np.float32), items, ~clear & [True, False], none)
    one = pl.DataFrame({"item_id": ["b"], "reason": ["gone"]})
    with pytest.raises(FeaturesError, match="must be 0"):
        Features(np.ones((2, 3), dtype=np.float32), items, np.array([False, True]), one)


def test_align_never_gives_an_item_another_items_row():
    # Sorted as numbers 2 comes before 10, as text after it; and the catalogue may come in any order.
    values = np.array([[10.0], [2.0], [3.0]])
    numbers = Features.from_array(values, [10, 2, 3], missing=np.array([False, False, True]))
    for ids in (["2", "3", "10"], ["10", "3", "2"], [3, 10, 2]):
        items = IdMap(ids, kind="item")  # type: ignore[arg-type]
        aligned = numbers.align(items)
        rows = {item: aligned.values[items.index(item)].tolist() for item in ids}
        assert {str(item): row for item, row in rows.items()} == {"2": [2], "3": [0], "10": [10]}
        assert aligned.missing[items.index("3")]


def test_align_to_the_same_ids_costs_nothing():
    features = example()
    assert features.align(IdMap(["c", "b", "a"])) is features


def test_align_refuses_any_other_set_of_ids():
    features = example()
    with pytest.raises(FeaturesError, match=r"1 of 4 items of the catalogue have no features \(first 'd'\)"):
        features.align(IdMap(["a", "b", "c", "d"]))
    with pytest.raises(
        FeaturesError, match=r"1 of 3 items of the features are not in the .*'c'.*visrec extract"
    ):
        features.align(IdMap(["a", "b"]))
    with pytest.raises(
        FeaturesError, match=r"3 of 3 items of the catalogue.* and 3 of 3 items of the features"
    ):
        features.align(IdMap(["x", "y", "z"]))


def test_standardize_uses_only_items_that_have_a_vector():
    values = np.array([[1, 5, 0.1], [3, 5, 0.1], [0, 0, 0]], dtype=np.float32)
    features = Features.from_array(values, ["a", "b", "c"], missing=np.array([False, False, True]))
    standard = features.standardize()
    # Column 0: mean 2, deviation 1; columns 1 and 2 are constant.
    assert standard.values.tolist() == [[-1, 0, 0], [1, 0, 0], [0, 0, 0]]
    assert standard.provenance["steps"] == ["standardize"]
    finishing = standard.finishing
    assert finishing.mean is not None
    assert finishing.std is not None
    assert finishing.mean[:2].tolist() == [2, 5]
    assert finishing.std.tolist() == [1, 0, 0]
    assert standard.standardize() is standard
    assert features.values.tolist() == values.tolist()
    assert finishing.apply(np.array([[4, 9, 9]])).tolist() == [[2, 0, 0]]


def test_standardize_in_blocks_agrees_with_numpy_and_keeps_large_means(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("visrec.features.finishing._BLOCK", 28)  # 7 rows
    generator = np.random.default_rng(0)
    values = (1e4 + generator.normal(size=(50, 4))).astype(np.float32)
    missing = generator.random(50) < 0.3
    fitted = Finishing.fit(Steps(), present_rows(values, missing), 4)
    rows = values[~missing].astype(np.float64)
    assert fitted.mean is not None
    assert fitted.std is not None
    np.testing.assert_allclose(fitted.mean, rows.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(fitted.std, rows.std(axis=0), rtol=1e-9)
    np.testing.assert_allclose(
        fitted.apply(values), (values - rows.mean(axis=0)) / rows.std(axis=0), atol=1e-6
    )


def test_standardize_with_nothing_but_missing_items_stays_zero():
    features = Features.from_array(np.ones((2, 2)), ["a", "b"], missing=np.array([True, True]))
    assert not features.standardize().values.any()


def test_digest_depends_on_ids_values_and_missing_only():
    features = example()
    other = Features.from_array(features.values, features.items.values, missing=features.missing)
    assert other.provenance != features.provenance
    assert other.digest == features.digest
    assert example(missing=False).digest != features.digest
    renamed = Features.from_array(features.values, ["a", "b", "z"], missing=features.missing)
    assert renamed.digest != features.digest


@pytest.mark.parametrize("mmap", [True, False])
@pytest.mark.parametrize("standardize", [True, False])
def test_save_and_load_keep_everything(tmp_path: Path, mmap: bool, standardize: bool):
    features = example().standardize() if standardize else example()
    features.save(tmp_path / "f")
    files = {path.name for path in (tmp_path / "f").iterdir()}
    assert files == {"values.npy", "items.parquet", "meta.json"} | (
        {"raw.npy", "finishing.safetensors"} if standardize else set()
    )
    loaded = Features.load(tmp_path / "f", mmap=mmap)
    assert isinstance(loaded.values, np.memmap) == mmap
    assert np.array_equal(loaded.values, features.values)
    assert loaded.items == features.items
    assert loaded.missing.tolist() == features.missing.tolist()
    assert loaded.failures.equals(features.failures)
    assert loaded.provenance == features.provenance
    assert loaded.digest == features.digest
    if standardize:
        assert loaded.finishing.mean is not None
        assert features.finishing.mean is not None
        assert loaded.finishing.mean.tolist() == features.finishing.mean.tolist()
        assert loaded.standardize() is loaded
        assert np.array_equal(loaded.raw, example().values)  # type: ignore[arg-type]


def test_save_replaces_a_folder_whole_and_integers_stay_integers(tmp_path: Path):
    example().standardize().save(tmp_path / "f")
    Features.from_array(np.zeros((1, 0)), [5]).save(tmp_path / "f")
    loaded = Features.load(tmp_path / "f")
    assert loaded.items.values.to_list() == [5]
    assert loaded.values.shape == (1, 0)
    assert [path.name for path in tmp_path.iterdir()] == ["f"]
    assert not (tmp_path / "f" / "finishing.safetensors").exists()


def test_load_notices_a_changed_value_unless_told_not_to_look(tmp_path: Path):
    example().save(tmp_path / "f")
    values = np.load(tmp_path / "f" / "values.npy")
    values[1, 1] += 1
    np.save(tmp_path / "f" / "values.npy", values)
    with pytest.raises(FeaturesError, match="digest mismatch"):
        Features.load(tmp_path / "f")
    assert Features.load(tmp_path / "f", verify=False).dim == 2


def test_load_of_a_damaged_folder_ends_in_one_features_error(tmp_path: Path):
    folder = tmp_path / "f"
    example().standardize().save(folder)
    for name in ("values.npy", "items.parquet", "meta.json", "finishing.safetensors"):
        whole = (folder / name).read_bytes()
        for damaged in (b"", whole[: len(whole) // 2], b"\x93NUMPY nonsense", b"{}", b"[1]"):
            (folder / name).write_bytes(damaged)
            with pytest.raises(FeaturesError, match="f"):
                Features.load(folder)
        (folder / name).unlink()
        with pytest.raises(FeaturesError, match=r"damaged|holds no"):
            Features.load(folder)
        (folder / name).write_bytes(whole)
    Features.load(folder)


def test_load_refuses_pickles_other_versions_and_other_folders(tmp_path: Path):
    folder = tmp_path / "f"
    example().save(folder)
    whole = (folder / "values.npy").read_bytes()
    np.save(folder / "values.npy", np.array([[{}]], dtype=object), allow_pickle=True)
    with pytest.raises(FeaturesError, match=r"damaged.*allow_pickle|damaged.*Python objects"):
        Features.load(folder)
    (folder / "values.npy").write_bytes(whole)
    about = json.loads((folder / "meta.json").read_text())
    (folder / "meta.json").write_text(json.dumps({**about, "version": 3}))
    with pytest.raises(FeaturesError, match="format version 3"):
        Features.load(folder)
    (folder / "meta.json").write_text(json.dumps({"format": "other"}))
    with pytest.raises(FeaturesError, match="does not describe features"):
        Features.load(folder)
    with pytest.raises(FeaturesError, match=r"holds no meta\.json"):
        Features.load(tmp_path)
    with pytest.raises(FeaturesError, match=r"no such folder.*visrec extract"):
        Features.load(tmp_path / "none")


def test_load_refuses_items_out_of_order(tmp_path: Path):
    # Sorted order is what gives a row its item: another order would hand out another item's row.
    example().save(tmp_path / "f")
    table = pl.read_parquet(tmp_path / "f" / "items.parquet")
    table.reverse().write_parquet(tmp_path / "f" / "items.parquet")
    with pytest.raises(FeaturesError, match=r"items\.parquet: is damaged"):
        Features.load(tmp_path / "f", verify=False)
    about = json.loads((tmp_path / "f" / "meta.json").read_text())
    about["files"]["items.parquet"] = file_digest(tmp_path / "f" / "items.parquet")
    (tmp_path / "f" / "meta.json").write_text(json.dumps(about))
    with pytest.raises(FeaturesError, match="not in order"):
        Features.load(tmp_path / "f", verify=False)


def test_load_notices_a_changed_raw_value(tmp_path: Path):
    example().standardize().save(tmp_path / "f")
    raw = np.load(tmp_path / "f" / "raw.npy")
    raw[0, 0] += 1
    np.save(tmp_path / "f" / "raw.npy", raw)
    with pytest.raises(FeaturesError, match="digest mismatch"):
        Features.load(tmp_path / "f")


def test_finished_numbers_that_float16_cannot_hold_are_refused():
    values = np.full((4, 30), 30000, dtype=np.float16) * np.array([[1], [-1], [1], [-1]], dtype=np.float16)
    features = Features.from_array(values, list("abcd"))
    with pytest.raises(FeaturesError, match="numbers that float16 cannot"):
        features.finish(standardize=False, pca=1)


def test_standardize_does_not_throw_other_steps_away():
    features = Features.from_array(np.eye(4), list("abcd")).finish(standardize=False, l2=True)
    with pytest.raises(FeaturesError, match=r"finished without it \(l2\)"):
        features.standardize()


def test_importing_features_does_not_import_torch_or_cv2():
    code = (
        "import sys, visrec.features.features, visrec.features.extraction, visrec.features.backbones, "
        "visrec.features.handcrafted.sift, visrec.features.worker, visrec.features.decoding, "
        "visrec.features.listing; print({'torch', 'torchvision', 'timm', 'cv2', 'PIL'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_features_of_the_first_version_are_read(tmp_path: Path):
    folder = tmp_path / "f"
    standard = example(missing=False).standardize()
    standard.save(folder)
    about = json.loads((folder / "meta.json").read_text())
    both = np.stack([standard.finishing.mean, standard.finishing.std])  # type: ignore[list-item]
    np.save(folder / "standardize.npy", both)
    for name in ("finishing.safetensors", "raw.npy"):
        (folder / name).unlink()
    old = {key: about[key] for key in ("format", "n_items", "digest", "provenance")}
    old |= {"version": 1, "dim": 2, "standardize_digest": hashlib.sha256(both.tobytes()).hexdigest()}
    (folder / "meta.json").write_text(json.dumps(old))
    loaded = Features.load(folder)
    assert loaded.digest == standard.digest
    assert loaded.finishing.apply(example(missing=False).values).tolist() == standard.values.tolist()
    assert loaded.images is None


def test_regions_and_half_precision_are_kept(tmp_path: Path):
    values = np.arange(24, dtype=np.float16).reshape(2, 4, 3)
    features = Features.from_array(values, ["b", "a"])
    assert (features.n_regions, features.dim) == (4, 3)
    assert features.values.dtype == np.float16
    features.save(tmp_path / "f")
    loaded = Features.load(tmp_path / "f")
    assert np.array_equal(loaded.values, values[::-1])
    assert loaded.digest == features.digest
    as_float32 = Features.from_array(values.astype(np.float32), ["b", "a"])
    assert as_float32.digest != features.digest  # other bytes, other features


def test_regions_are_standardized_over_all_regions_of_all_items():
    values = np.random.default_rng(0).normal(3, 2, size=(5, 4, 3)).astype(np.float32)
    standard = Features.from_array(values, list("abcde")).standardize()
    flat = values.reshape(-1, 3).astype(np.float64)
    np.testing.assert_allclose(
        standard.values.reshape(-1, 3), (flat - flat.mean(axis=0)) / flat.std(axis=0), atol=1e-6
    )


def test_finish_starts_from_the_raw_values_each_time():
    features = Features.from_array(np.random.default_rng(0).normal(size=(9, 4)), [f"i{n}" for n in range(9)])
    once = features.standardize().finish(standardize=False, l2=True)
    np.testing.assert_allclose(
        once.values, features.values / np.linalg.norm(features.values, axis=1, keepdims=True), rtol=1e-6
    )
    assert once.provenance["steps"] == ["l2"]
    assert features.finish(standardize=False).raw is None


def test_named_columns_are_readable_whatever_was_done_to_the_values():
    values = np.array([[0.25, 10], [0.75, 30], [0, 0]], dtype=np.float32)
    missing = np.array([False, False, True])
    about = {"columns": ["brightness", "entropy"]}
    features = Features.from_array(values, ["a", "b", "c"], missing=missing, provenance=about)
    for one in (features, features.standardize(), features.finish(pca=1)):
        table = one.attributes
        assert table is not None
        assert table.rows() == [("a", 0.25, 10.0), ("b", 0.75, 30.0), ("c", None, None)]
    assert example().attributes is None
