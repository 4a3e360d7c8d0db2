"""Where contenders run: each set of peers in an environment of its own, made from the registry at its first use."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

ENVIRONMENTS = Path.home() / ".cache" / "visrec-benchmarks"

# The peers' wheels as they are; where they need torch and NumPy, those that visrec runs on.
SAME = [f"{name}=={version(name).split('+')[0]}" for name in ("torch", "numpy")]
PEERS = {
    "cornac": ["cornac==3.0.1", *SAME],
    "implicit": ["implicit==0.7.3", SAME[1]],
    "rectools": ["rectools==0.19.0"],
    "ranx": ["ranx==0.3.21"],
}

_ONE_BLAS_THREAD = ("implicit", "rectools")


def pythons(names: Iterable[str], folder: Path = ENVIRONMENTS) -> dict[str, str]:
    """The interpreter of each library: visrec's is this one; an environment that is not there is made."""
    return {name: _python(folder / name, PEERS[name]) if name in PEERS else sys.executable for name in names}


def variables(threads: int, library: str) -> dict[str, str]:
    """The environment variables of a contender: each library that has threads gets the same number.

    But OpenBLAS has one in implicit, which warns of its threads beside its own, and in RecTools, which ranks with
    implicit.

    How threads wait for one another is left as it comes. They spin, which is what the tutorial's small batches are
    fastest with where nothing else runs; where something does, all suffer.
    """
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
    others = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    given = dict.fromkeys(names, str(threads))
    if library in _ONE_BLAS_THREAD:
        given["OPENBLAS_NUM_THREADS"] = "1"
    return {**others, **given}


def _python(folder: Path, packages: list[str]) -> str:
    note, python = folder / "installed.txt", folder / "bin" / "python"
    wanted = "\n".join(packages)
    if not note.is_file() or note.read_text() != wanted:
        print(f"Installing {', '.join(packages)} into {folder}", flush=True)
        own = f"{sys.version_info.major}.{sys.version_info.minor}"
        subprocess.run(["uv", "venv", "--quiet", "--clear", "--python", own, str(folder)], check=True)
        subprocess.run(["uv", "pip", "install", "--quiet", "--python", str(python), *packages], check=True)
        note.write_text(wanted)
    return str(python)
