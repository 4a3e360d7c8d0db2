"""The command line as a real process, and a small data set for it."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.browser import CHROMIUM

from visrec.cli import main
from visrec.data.datasets.synthetic import SyntheticConfig, write_synthetic

Visrec = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def here() -> Visrec:
    """Run `visrec …` in this process: the same words, the same texts and exit status, without the start-up time."""

    def call(*words: object, cwd: Path | None = None, status: int = 0) -> subprocess.CompletedProcess[str]:
        given = [str(word) for word in words]
        out, err = io.StringIO(), io.StringIO()
        with (
            contextlib.chdir(cwd or Path.cwd()),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            pytest.raises(SystemExit) as stop,
        ):
            main(given)
        assert stop.value.code == status, f"{given}\n{out.getvalue()}\n{err.getvalue()}"
        return subprocess.CompletedProcess(given, status, out.getvalue(), err.getvalue())

    return call


@pytest.fixture(scope="session")
def visrec() -> Visrec:
    """Run `visrec …` in a process of its own and wait for it."""

    def call(*words: object, cwd: Path | None = None, status: int = 0) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "visrec.cli", *map(str, words)]
        environment = {**os.environ, "COLUMNS": "140", "NO_COLOR": "1"}
        done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == status, f"{command}\n{done.stdout}\n{done.stderr}"
        return done

    return call


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set folder of 80 pictures and 40 people."""
    folder = tmp_path_factory.mktemp("data") / "my-shop"
    write_synthetic(folder, SyntheticConfig(n_items=80, n_users=40, image_size=64), n_workers=1)
    return folder


@pytest.fixture(scope="session")
def finished(visrec: Visrec, shop: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of all models on `shop`."""
    out = tmp_path_factory.mktemp("runs") / "run"
    models = "random,popularity,item_knn,visrank,bpr,vbpr"
    visrec("run", shop, "--models", models, "--extractor", "color", "--out", out)
    return out


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium."""
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="playwright is absent: uv sync installs it"
    )
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="session")
def served() -> Iterator[Callable[..., str]]:
    """`served(folder, token=…)`: a service of a run, in a process of its own; its address. Ended with the tests."""
    script = (
        "import sys, json; from visrec.serving.app import create_app; from visrec.serving.server import serve;"
        "from visrec.serving.settings import ServiceSettings; settings = ServiceSettings(**json.loads(sys.argv[2]));"
        "serve(create_app(sys.argv[1], settings), settings, begun=lambda address: print(address, flush=True))"
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    begun: list[subprocess.Popen[str]] = []

    def start(folder: Path, **settings: object) -> str:
        words = [sys.executable, "-c", script, str(folder), json.dumps({"port": 0, **settings})]
        process = subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, text=True)
        begun.append(process)
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        assert address, process.wait()
        return address.rstrip("/")

    yield start
    for process in begun:
        process.send_signal(signal.SIGINT)
    for process in begun:
        with process:
            assert process.wait(timeout=30) == 0
