"""A run with a model of each kind that is explained in its own way, and its service."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from fastapi.testclient import TestClient

from visrec.data.datasets.synthetic import SyntheticConfig, write_synthetic
from visrec.experiment import Experiment
from visrec.explain import attribute_table
from visrec.runs import run
from visrec.serving.app import create_app
from visrec.serving.engine import Engine
from visrec.serving.settings import ServiceSettings

TITLE = '<b>"Ships" & more</b>'
PERSON = "u/2 ä"


@pytest.fixture(scope="session")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on 60 pictures and 30 people, whose second has an id with a slash; item 00003 has a title of markup."""
    data, out = tmp_path_factory.mktemp("data") / "gallery", tmp_path_factory.mktemp("runs") / "gallery"
    write_synthetic(data, SyntheticConfig(n_items=60, n_users=30, image_size=48), n_workers=1)
    items = pl.read_csv(data / "items.csv", infer_schema=False)
    title = pl.when(pl.col("item_id") == "00003").then(pl.lit(TITLE)).otherwise("title").alias("title")
    items.with_columns(title).write_csv(data / "items.csv")
    rows = pl.read_csv(data / "interactions.csv", infer_schema=False)
    user = pl.when(pl.col("user_id") == "u0002").then(pl.lit(PERSON)).otherwise("user_id").alias("user_id")
    rows.with_columns(user).write_csv(data / "interactions.csv")
    small = {"epochs": 1, "dim_gamma": 4}
    models = {
        "popularity": {},
        "item_knn": {},
        "visrank": {},
        "vbpr": {**small, "dim_theta": 4},
        "acf": small,
        "dvbpr": {"epochs": 1, "dim_theta": 4, "channels": [4, 4, 4, 4, 4], "dim_fc": 8},
    }
    settings = {
        "data": {"path": str(data)},
        "features": {"extractor": "color"},
        "regions": {"extractor": "color", "options": {"grid": 4}},
        "images": {"size": 32},
        "models": models,
        "evaluation": {"cutoffs": [5, 20]},
    }
    done = run(Experiment(**settings), out)
    attribute_table(done.data.catalog, out / "attributes", n_workers=1)
    return out


@pytest.fixture(scope="session")
def hung(gallery: Path) -> Engine:
    """The engine of the run."""
    return Engine.open(gallery)


@pytest.fixture(scope="session")
def visitor(gallery: Path) -> Iterator[TestClient]:
    """A browser that reads."""
    app = create_app(gallery, ServiceSettings(reading_rate=0))
    headers = {"Accept": "text/html", "Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "navigate"}
    with TestClient(app, base_url="http://127.0.0.1:8000", headers=headers) as client:
        yield client
