from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from visrec.features.rows import RowReader, RowWriter


def array_of(shape: tuple[int, ...], dtype: str = "f4") -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype(dtype)


def write(path: Path, array: np.ndarray, step: int) -> None:
    with RowWriter(path, array.dtype, array.shape) as writer:
        for start, stop in ((at, min(at + step, len(array))) for at in range(0, len(array), step)):
            writer.write(array[start:stop])


@pytest.mark.parametrize("dtype", ["f4", "f2", "i8"])
@pytest.mark.parametrize("shape", [(0, 3), (1, 1), (23, 5), (9, 4, 3), (6,)])
def test_what_is_written_by_rows_is_the_file_that_numpy_writes(
    tmp_path: Path, shape: tuple[int, ...], dtype: str
):
    array = array_of(shape, dtype)
    write(tmp_path / "rows.npy", array, 4)
    np.save(tmp_path / "numpy.npy", array)
    assert (tmp_path / "rows.npy").read_bytes() == (tmp_path / "numpy.npy").read_bytes()


def test_rows_are_written_in_the_type_and_order_of_the_file(tmp_path: Path):
    array = array_of((6, 4), "f8")
    with RowWriter(tmp_path / "a.npy", np.dtype(np.float16), (6, 4)) as writer:
        writer.write(np.asfortranarray(array[:3]))
        writer.write(array[::-1][:3])
    expected = np.concatenate([array[:3], array[::-1][:3]]).astype(np.float16)
    assert np.array_equal(np.load(tmp_path / "a.npy"), expected)


@pytest.mark.parametrize("shape", [(20, 3), (20, 2, 3), (20,)])
def test_rows_are_read_as_indexing_would(tmp_path: Path, shape: tuple[int, ...]):
    array = array_of(shape)
    np.save(tmp_path / "a.npy", array)
    reader = RowReader(tmp_path / "a.npy")
    assert (reader.shape, reader.dtype, len(reader)) == (shape, array.dtype, 20)
    for start, stop in ((0, 20), (7, 8), (3, 3), (18, 20)):
        assert np.array_equal(reader.read(start, stop), array[start:stop])
    rng = np.random.default_rng(1)
    for n in (0, 1, 5, 40):
        indices = rng.integers(0, 20, n)  # in no order, some more than once, some side by side
        found = reader.take(indices)
        assert found.shape == (n, *shape[1:])
        assert np.array_equal(found, array[indices])
    assert np.array_equal(reader.take(np.arange(20)[::-1]), array[::-1])


def test_a_file_that_is_not_whole_is_refused(tmp_path: Path):
    path = tmp_path / "a.npy"
    np.save(path, array_of((10, 3)))
    whole = path.read_bytes()
    for length in (0, 5, 40, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError):
            RowReader(path)
    path.write_bytes(whole + b"more")
    with pytest.raises(ValueError, match=r"a\.npy is cut short"):
        RowReader(path)
    with RowWriter(path, np.dtype(np.float32), (10, 3)) as writer:
        writer.write(np.zeros((9, 3)))
    with pytest.raises(ValueError, match=r"a\.npy is cut short"):
        RowReader(path)


@pytest.mark.parametrize("array", [np.asfortranarray(array_of((4, 3))), np.array([["a"], [None]])])
def test_a_file_that_holds_no_plain_rows_is_refused(tmp_path: Path, array: np.ndarray):
    np.save(tmp_path / "a.npy", array, allow_pickle=True)
    with pytest.raises(ValueError, match="not an array of plain rows"):
        RowReader(tmp_path / "a.npy")
