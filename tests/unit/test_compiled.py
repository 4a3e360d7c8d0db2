import time

import numpy as np
import pytest
import torch

from visrec import compiled as module
from visrec.compiled import Compiled, compiled, in_parallel, n_threads


@compiled
def squares(start, stop, x, out):
    for i in range(start, stop):
        out[i] = x[i] * x[i] / x[i]


@compiled
def squared(x):
    return x * x


@compiled
def sum_of_squares(x):
    total = 0.0
    for one in x:
        total += squared(one)
    return total


def test_one_may_call_another():
    assert sum_of_squares(np.array([1.0, 2.0, 3.0])) == 14.0


def test_where_nothing_can_be_written_it_is_compiled_all_the_same(monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("numba.core.caching.FunctionCache.save_overload", full)
    one, other = Compiled(squared.function), Compiled(sum_of_squares.function)
    assert [one(3.0), one(4.0)] == [9.0, 16.0]
    assert other(np.array([1, 2, 3])) == 14


@pytest.mark.parametrize("n", [0, 1, 7, 1000])
def test_each_row_is_written_once_however_many_threads_there_are(n, monkeypatch):
    x = np.arange(n, dtype=np.float64) + 1
    for threads in (1, 2, 3):
        monkeypatch.setattr(module, "n_threads", lambda threads=threads: threads)
        out = np.zeros(n)
        in_parallel(squares, n, x, out, least=2)
        np.testing.assert_array_equal(out, x)


def test_division_by_zero_gives_what_numpy_gives():
    out = np.zeros(1)
    squares(0, 1, np.zeros(1), out)
    assert np.isnan(out[0])


@pytest.mark.parametrize(("part", "error"), [(0, KeyboardInterrupt), (1, OSError)])
def test_an_error_in_one_part_reaches_the_caller_once_none_writes_any_more(part, error, monkeypatch):
    """Of three parts, the last is slow."""
    monkeypatch.setattr(module, "n_threads", lambda: 3)

    def write(start, stop, out):
        if start == part:
            raise error("of a part")
        time.sleep(0.05 * start)
        out[start:stop] = 1

    out = np.zeros(3)
    with pytest.raises(error, match="of a part"):
        in_parallel(write, 3, out, least=1)
    assert out.tolist() == [float(one != part) for one in range(3)]


def test_an_interruption_of_the_waiting_does_not_end_it(monkeypatch):
    monkeypatch.setattr(module, "n_threads", lambda: 2)
    wait, asked = module.wait, []

    def interrupted_at_first(waiting):
        asked.append(len(waiting))
        if len(asked) == 1:
            raise KeyboardInterrupt
        return wait(waiting)

    def write(start, stop, out):
        time.sleep(0.05 * start)
        out[start:stop] = 1

    monkeypatch.setattr(module, "wait", interrupted_at_first)
    out = np.zeros(2)
    with pytest.raises(KeyboardInterrupt):
        in_parallel(write, 2, out, least=1)
    assert out.tolist() == [1, 1]


def test_threads_are_those_of_torch():
    assert n_threads() == torch.get_num_threads()
