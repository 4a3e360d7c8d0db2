"""`visrec serve` and `visrec demo` as real processes."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

TOKEN = "a-token-that-nobody-guesses"
Visrec = Callable[..., subprocess.CompletedProcess[str]]


@contextmanager
def running(*words: object, **environment: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """`visrec …` until it says where it can be opened; it must end quietly, with status 0, on Ctrl-C."""
    command = [sys.executable, "-m", "visrec.cli", *map(str, words)]
    process = subprocess.Popen(
        command,
        env={**os.environ, "OMP_NUM_THREADS": "1", "NO_COLOR": "1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        for line in process.stdout:
            if found := re.fullmatch(r"Open (http://\S+/)\n", line):
                break
        else:
            raise AssertionError(process.stderr.read() if process.stderr else "")
        yield found[1], process
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=30)
        assert process.returncode == 0, told
        assert "Traceback" not in told
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def folder(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "run"))


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that another program listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_a_run_is_served_until_ctrl_c(folder: Path) -> None:
    with running("serve", folder, "--port", 0, VISREC_TOKEN=TOKEN) as (address, _):
        assert address.startswith("http://127.0.0.1:")
        assert httpx.get(address).status_code == 200
        assert httpx.get(f"{address}readyz").json()["status"] == "ready"
        like = {"kind": "like", "item": "00001"}
        headers = {"Visrec-Session": "a-session-of-a-test"}
        assert httpx.post(f"{address}v1/events", json=like, headers=headers).status_code == 401
        headers |= {"Authorization": f"Bearer {TOKEN}"}
        assert httpx.post(f"{address}v1/events", json=like, headers=headers).status_code == 201
        assert httpx.get(f"{address}v1/recommendations", headers=headers).json()["items"]
    with running("serve", folder, "--port", 0, "--read-only", "--model", "bpr") as (address, _):
        assert httpx.get(f"{address}v1/session", headers=headers | {"Authorization": ""}).status_code == 200
        assert httpx.get(f"{address}v1/recommendations?user=u0001").json()["model"] == "bpr"


def test_a_port_that_is_taken_is_named(visrec: Visrec, finished: Path, taken: int) -> None:
    done = visrec("serve", finished, "--port", taken, "--read-only", status=2)
    assert done.stderr.startswith(f"visrec: Port {taken} of 127.0.0.1 is taken")
    assert f"--port {taken + 1}" in done.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--host", "0.0.0.0"], "Give a token"),
        (["--token", "short"], "at least 16"),
        (["--model", "vbpr2"], "There is no model 'vbpr2'"),
        (["--database", "mysql://shop"], "not supported"),
    ],
)
def test_what_cannot_be_served_says_why(here: Visrec, folder: Path, words: list[str], told: str) -> None:
    done = here("serve", folder, "--port", 0, *words, status=2)
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_a_folder_that_is_no_run_says_so(here: Visrec, tmp_path: Path) -> None:
    assert "is not a run folder" in here("serve", tmp_path, status=2).stderr


@pytest.mark.slow
def test_the_demo_ends_in_a_page_at_a_port_that_is_free(tmp_path: Path, taken: int) -> None:
    words = ("demo", "--out", tmp_path / "demo", "--items", 60, "--users", 20, "--port", taken)
    with running(*words) as (address, _):
        assert int(address.rstrip("/").rpartition(":")[2]) > taken
        assert "<h1" in httpx.get(address).text
