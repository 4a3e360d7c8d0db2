"""Who learns against whom, with which settings, and what `--tune` tries for each."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TUNED = Path(__file__).resolve().parents[1] / "results" / "tuned.json"


@dataclass(frozen=True)
class Contestant:
    """A library's model, its settings, and the values that `--tune` tries.

    All have the tutorial's sizes: gamma 200 and, in VBPR, theta 100. What is not in the grid is as in the library: of
    cornac's VBPR the L2, for one.

    Attributes:
        library: whose it is.
        model: "vbpr" or "bpr".
        budget: training seconds.
        sizes: settings that are the same for all.
        untuned: settings out of the grid that are in force until it is tuned.
        grid: what is tried.
    """

    library: str
    model: str
    budget: float
    sizes: dict[str, Any]
    untuned: dict[str, Any]
    grid: dict[str, list[Any]]

    @property
    def name(self) -> str:
        return f"{self.library} {self.model.upper()}"

    @property
    def environment(self) -> str:
        """The tutorial's way is plain torch: it runs in visrec's."""
        return "visrec" if self.library == "tutorial" else self.library

    @property
    def is_tuned(self) -> bool:
        """Whether `--tune --write` has found its settings."""
        return self.name in tuned()

    @property
    def settings(self) -> dict[str, Any]:
        """Those in force, without the sizes."""
        return tuned().get(self.name, self.untuned)

    def candidates(self) -> Iterator[dict[str, Any]]:
        """The whole grid."""
        for chosen in itertools.product(*self.grid.values()):
            yield dict(zip(self.grid, chosen, strict=True))


def tuned() -> dict[str, dict[str, Any]]:
    """The settings that `--tune --write` has kept, by the contestant's name."""
    return json.loads(TUNED.read_text()) if TUNED.is_file() else {}


def keep(name: str, settings: dict[str, Any]) -> None:
    """Keep what tuning has found for a contestant."""
    TUNED.write_text(json.dumps({**tuned(), name: settings}, indent=1) + "\n")


_POOLS = ["catalog", "interacted"]  # negatives from all items, or from those that somebody took
CONTESTANTS = [
    Contestant(
        "tutorial",
        "vbpr",
        75,
        {},
        {"triples": "alike for each user"},
        {"triples": ["alike for each user", "alike for each interaction"]},
    ),
    Contestant(
        "visrec",
        "vbpr",
        30,
        {"dim_gamma": 200, "dim_theta": 100},
        {
            "batch_size": 16_384,
            "learning_rate": 0.03,
            "negatives": "catalog",
            "n_negatives": 1,
            "optimizer": "adagrad",
        },
        {
            "batch_size": [8_192, 16_384],
            "learning_rate": [0.01, 0.03, 0.06],
            "negatives": _POOLS,
            "n_negatives": [1],
            "optimizer": ["adam", "adagrad"],
        },
    ),
    Contestant(
        "cornac",
        "vbpr",
        40,
        {"k": 200, "k2": 100},
        {"batch_size": 2_048, "learning_rate": 0.005, "negatives": "catalog", "features": "raw"},
        # Time and memory of a step grow with the square of the batch: (B,) + (B, 1) makes its loss (B, B).
        {
            "batch_size": [256, 512, 1_024, 2_048],
            "learning_rate": [0.001, 0.005, 0.01],
            "negatives": _POOLS,
            "features": ["raw", "standardized"],
        },
    ),
    Contestant(
        "visrec",
        "bpr",
        15,
        {"dim_gamma": 200},
        {
            "batch_size": 32_768,
            "learning_rate": 0.03,
            "negatives": "interacted",
            "n_negatives": 1,
            "optimizer": "adagrad",
        },
        {
            "batch_size": [16_384, 32_768, 65_536],
            "learning_rate": [0.01, 0.03, 0.06],
            "negatives": _POOLS,
            "n_negatives": [1],
            "optimizer": ["adam", "adagrad"],
        },
    ),
    Contestant(
        "implicit",
        "bpr",
        15,
        {"factors": 200},
        {"learning_rate": 0.03, "regularization": 0.01},
        {"learning_rate": [0.01, 0.03, 0.1], "regularization": [0.003, 0.01, 0.03]},
    ),
    Contestant(
        "cornac",
        "bpr",
        15,
        {"k": 200},
        {"learning_rate": 0.03, "lambda_reg": 0.01, "negatives": "interacted"},
        {"learning_rate": [0.01, 0.03, 0.1, 0.3], "lambda_reg": [0.003, 0.01, 0.03], "negatives": _POOLS},
    ),
]
