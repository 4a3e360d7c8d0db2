"""Databases for the tests: the same ones run on SQLite and on a real PostgreSQL server."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from visrec.feedback.store import Store

_PATH = Path(__file__).parents[2] / "postgres_server.py"
_numbers = count()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Any]:
    """A server, where there is one to start."""
    spec = importlib.util.spec_from_file_location("postgres_server", _PATH)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["postgres_server"] = module
    spec.loader.exec_module(module)
    if module.programs() is None:
        pytest.skip("there is no PostgreSQL server here (apt-get install postgresql)")
    pytest.importorskip("psycopg", reason="there is no driver of PostgreSQL: pip install 'visrec[postgres]'")
    server = module.PostgresServer()
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture(params=["sqlite", "postgresql"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'feedback.db'}"
    return str(request.getfixturevalue("postgres").database(f"test{next(_numbers)}"))


@pytest.fixture
def store(address: str) -> Iterator[Store]:
    """An open store on it."""
    with Store.open(address) as found:
        yield found


@pytest.fixture
def running(tmp_path: Path) -> Callable[[], Store]:
    """A store in a file, where it does not matter which database it is."""
    return lambda: Store.open(tmp_path / "feedback.db")
