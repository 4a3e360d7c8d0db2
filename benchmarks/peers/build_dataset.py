"""RecTools, Cornac and LensKit, each making its own data set of a table; runs in the peers' environments.

    python build_dataset.py rectools|cornac|lenskit TABLE

Reads with pandas, as their documentation does, makes the data set, and asks it for its matrix. Prints JSON.
"""

from __future__ import annotations

import itertools
import json
import resource
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

TEXT = {"user_id": str, "item_id": str}


def read(path: Path) -> pd.DataFrame:
    """The columns that the data sets are made of."""
    columns = ["user_id", "item_id", "timestamp", "rating"]
    if path.suffix == ".parquet":
        return pd.read_parquet(path, columns=columns)
    return pd.read_csv(path, usecols=columns, dtype=TEXT)


def rectools(table: pd.DataFrame) -> Any:
    """`Dataset.construct`. Repeated pairs stay, and add up in the matrix."""
    from rectools.dataset import Dataset

    table = table.rename(columns={"rating": "weight", "timestamp": "datetime"})
    table["datetime"] = pd.to_datetime(table["datetime"], unit="s")
    return Dataset.construct(table).get_user_item_matrix()


def cornac(table: pd.DataFrame) -> Any:
    """`Dataset.from_uirt`. Of repeated pairs the first row stays."""
    from cornac.data import Dataset

    columns = (table[name].tolist() for name in ("user_id", "item_id", "rating", "timestamp"))
    return Dataset.from_uirt(list(zip(*columns, strict=True)), seed=0).csr_matrix


def lenskit(table: pd.DataFrame) -> Any:
    """`from_interactions_df`, which takes no repeated pairs: the newest row of each is kept before."""
    from lenskit.data import from_interactions_df

    table = table.sort_values("timestamp").drop_duplicates(["user_id", "item_id"], keep="last")
    return from_interactions_df(table).interactions().matrix().scipy("rating")


def main(name: str, path: str) -> None:
    """Make it, and say what it took."""
    make = {"rectools": rectools, "cornac": cornac, "lenskit": lenskit}[name]
    make(
        pd.DataFrame(
            {
                "user_id": ["a", "b"] * 9,
                "item_id": [f"i{n}" for n in range(18)],
                "timestamp": [*range(18)],
                "rating": 1.0,
            }
        )
    )
    moments = [(time.process_time(), time.perf_counter())]
    table = read(Path(path))
    moments.append((time.process_time(), time.perf_counter()))
    matrix = make(table)
    moments.append((time.process_time(), time.perf_counter()))
    first, second = (
        [b - a for a, b in zip(start, end, strict=True)] for start, end in itertools.pairwise(moments)
    )
    facts = {
        "steps": {"read": first, "data set and matrix": second},
        "peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        "kept": int(matrix.nnz),
        "version": version(name),
    }
    print(json.dumps(facts))


if __name__ == "__main__":
    main(*sys.argv[1:])
