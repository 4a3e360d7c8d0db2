"""Fixtures for all tests."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

# As the command line does, and for the same reason; it must stand before anything imports torch.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# Tensors of tests are tiny: more threads only wait for each other, for very long where the machine is busy. torch is
# told so without being imported: most tests do not need it, and it takes seconds in each process.
os.environ.setdefault("OMP_NUM_THREADS", "1")

SHARED = Path(__file__).resolve().parents[1].parent / "shared"


@pytest.fixture(params=[1, 3], ids=["one part", "three parts"])
def parts(request, monkeypatch):
    """Compiled loops run over so many parts, however little there is to do."""
    monkeypatch.setattr("visrec.compiled.n_parts", lambda n, _: max(1, min(request.param, n)))


@pytest.fixture(scope="session")
def shared() -> Callable[[str], Path]:
    """`shared("weights/squeezenet1_0.pth")`: a file or folder beside the repository, or the test is skipped."""

    def find(name: str) -> Path:
        path = SHARED / name
        if not path.exists():
            pytest.skip(f"{path} is absent: real weights and data are not part of the repository")
        return path

    return find
