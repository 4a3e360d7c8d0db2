import numpy as np
import pytest
import torch

from visrec.compiled import compiled, in_parallel, n_threads


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


@pytest.mark.parametrize("n", [0, 1, 7, 1000])
def test_each_row_is_written_once_however_many_threads_there_are(n):
    x = np.arange(n, dtype=np.float64) + 1
    for threads in (1, 2, 3):
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            out = np.zeros(n)
            in_parallel(squares, n, x, out, least=2)
        finally:
            torch.set_num_threads(before)
        np.testing.assert_array_equal(out, x)


def test_division_by_zero_gives_what_numpy_gives():
    out = np.zeros(1)
    squares(0, 1, np.zeros(1), out)
    assert np.isnan(out[0])


def test_an_error_in_one_part_reaches_the_caller():
    def half_broken(start, stop):
        if start:
            raise OSError("of the second part")

    with pytest.raises(OSError, match="second part"):
        in_parallel(half_broken, 1000 * n_threads() + 1000, least=1000) if n_threads() > 1 else half_broken(
            1, 2
        )


def test_threads_are_those_of_torch():
    assert n_threads() == torch.get_num_threads()
