from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from visrec.features.lanes import Lanes, torch_threads


def pictures(n: int) -> np.ndarray:
    return np.random.default_rng(0).integers(1, 256, (n, 5, 2), dtype=np.uint8)


@pytest.mark.parametrize("n", [1, 3, 4, 5, 8, 11])
def test_every_piece_has_one_size_and_answers_come_in_order(n: int):
    seen: list[np.ndarray] = []

    def sums(piece: np.ndarray) -> np.ndarray:
        seen.append(piece)
        return piece.sum(axis=2, dtype=np.int64)

    batch = pictures(n)
    with ThreadPoolExecutor(3) as pool:
        found = Lanes(pool, 4).submit(sums, batch).result()
    assert np.array_equal(found, batch.sum(axis=2, dtype=np.int64))
    assert [piece.shape for piece in seen] == [(4, 5, 2)] * -(-n // 4)
    assert all(piece.flags.c_contiguous for piece in seen)
    rows = np.concatenate(seen)
    assert len(rows[rows.any(axis=(1, 2))]) == n  # what fills up the last piece is zeros


def test_pieces_are_computed_at_the_same_time():
    together = threading.Barrier(3, timeout=20)

    def wait(piece: np.ndarray) -> np.ndarray:
        together.wait()
        return piece

    batch = pictures(6)
    with ThreadPoolExecutor(3) as pool:
        assert np.array_equal(Lanes(pool, 2).submit(wait, batch).result(), batch)


def test_an_error_in_a_thread_reaches_whoever_asks_for_the_result():
    def fail(piece: np.ndarray) -> np.ndarray:
        raise ValueError("no such picture")

    with ThreadPoolExecutor(2) as pool, pytest.raises(ValueError, match="no such picture"):
        Lanes(pool, 2).submit(fail, pictures(3)).result()


def test_what_is_cancelled_is_not_computed():
    begun, go_on = threading.Event(), threading.Event()
    seen: list[np.ndarray] = []

    def wait(piece: np.ndarray) -> np.ndarray:
        seen.append(piece)
        begun.set()
        assert go_on.wait(20)
        return piece

    with ThreadPoolExecutor(1) as pool:
        lanes = Lanes(pool, 2)
        batches = [lanes.submit(wait, pictures(6)) for _ in range(3)]
        assert begun.wait(20)
        for batch in batches:
            batch.cancel()
        go_on.set()
    assert len(seen) == 1  # the piece that had been begun


@pytest.mark.parametrize("n", [1, 3])
def test_torch_uses_one_thread_in_each_lane_and_as_many_as_before_outside(n: int):
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        together = threading.Barrier(n, timeout=20)

        def look(_: int) -> tuple[int, int]:
            together.wait()  # so that each looks in a thread of its own
            return threading.get_ident(), torch.get_num_threads()

        with torch_threads(n) as pool:
            found = list(pool.map(look, range(n)))
        assert len({thread for thread, _ in found}) == n
        assert [threads for _, threads in found] == [1] * n
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
