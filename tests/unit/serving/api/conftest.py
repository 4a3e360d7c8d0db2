"""A small run, and the service of it as a page of its own, as a program, and as a stranger would ask it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import polars as pl
import pytest
from fastapi.testclient import TestClient

from visrec.data.datasets.synthetic import SyntheticConfig, write_synthetic
from visrec.experiment import Experiment
from visrec.runs import run
from visrec.serving.app import create_app
from visrec.serving.engine import Engine
from visrec.serving.settings import ServiceSettings

TOKEN = "a-token-that-nobody-guesses"
OURS = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"}
PROGRAM = {"Authorization": f"Bearer {TOKEN}", "Visrec-Session": "a-session-of-a-test"}
MODELS = ("random", "popularity", "item_knn", "ease", "visrank", "bpr")

Open = Callable[..., TestClient]


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """80 pictures, 40 people; every fourth item has a price, and one person an id with a slash."""
    folder = tmp_path_factory.mktemp("data") / "shop"
    write_synthetic(folder, SyntheticConfig(n_items=80, n_users=40, image_size=48), n_workers=1)
    items = pl.read_csv(folder / "items.csv", infer_schema=False)
    price = [str(5 + n) if n % 4 == 0 else None for n in range(items.height)]
    items.with_columns(pl.Series("price", price)).write_csv(folder / "items.csv")
    rows = pl.read_csv(folder / "interactions.csv", infer_schema=False)
    user = pl.when(pl.col("user_id") == "u0002").then(pl.lit("u/2 ä")).otherwise("user_id").alias("user_id")
    rows.with_columns(user).write_csv(folder / "interactions.csv")
    return folder


def train(data: Path, out: Path, models: tuple[str, ...] = MODELS, **settings: object) -> Path:
    """A run of some models, quickly."""
    of = {name: {"epochs": 3, "dim_gamma": 8} if name == "bpr" else {} for name in models}
    values = {"data": {"path": str(data)}, "models": of, "evaluation": {"cutoffs": [5, 20]}, **settings}
    run(Experiment(**values), out)
    return out


@pytest.fixture(scope="session")
def trained(shop: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run; tests must not write into it."""
    return train(shop, tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture(scope="session")
def engine(trained: Path) -> Engine:
    """Of the run."""
    return Engine.open(trained)


@pytest.fixture
def folder(trained: Path, tmp_path: Path) -> Path:
    """A copy of the run, for a service to write into."""
    return Path(shutil.copytree(trained, tmp_path / "run"))


@pytest.fixture
def opened(folder: Path) -> Iterator[Open]:
    """`opened(headers=…, token=…)`: a client of a service of the copy; by default one of its own pages."""
    with ExitStack() as stack:

        def make(*, path: Path = folder, headers: dict[str, str] = OURS, **settings: object) -> TestClient:
            app = create_app(path, ServiceSettings(reading_rate=0, writing_rate=0, upload_rate=0, **settings))
            return stack.enter_context(TestClient(app, base_url="http://127.0.0.1:8000", headers=headers))

        yield make


@pytest.fixture
def client(opened: Open) -> TestClient:
    """A page of the service's own."""
    return opened()
