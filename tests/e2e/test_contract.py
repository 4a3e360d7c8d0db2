"""The REST service against its own OpenAPI document: nothing breaks, whatever is asked; answers are as it says."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

TOKEN = "a-token-that-nobody-guesses"
HEADERS = {"Authorization": f"Bearer {TOKEN}", "Visrec-Session": "a-session-of-a-test"}
LEFT_OUT = "positive_data_acceptance,ignored_auth"
"""An id that the document allows may be unknown, and reading needs no token on this machine."""


@pytest.fixture(scope="module")
def address(served: Callable[..., str], finished: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = shutil.copytree(finished, tmp_path_factory.mktemp("served") / "run")
    return served(folder, token=TOKEN, upload_rate=0)


def fuzz(address: str, folder: Path, *words: str) -> None:
    """schemathesis as a program, since its plugin for pytest follows pytest's internals; what it finds is shown."""
    headers = [word for name, value in HEADERS.items() for word in ("-H", f"{name}: {value}")]
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"{address}/v1/openapi.json", *headers]
    command += ["--exclude-checks", LEFT_OUT, "--seed", "1", "--no-color", "--warnings", "off", *words]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2000:]


@pytest.mark.slow
def test_whatever_is_asked_is_answered_as_documented(address: str, tmp_path: Path) -> None:
    fuzz(address, tmp_path, "--phases", "examples,coverage,fuzzing", "--max-examples", "6")


@pytest.mark.slow
def test_whatever_is_asked_for_long_is_answered_as_documented(address: str, tmp_path: Path) -> None:
    fuzz(address, tmp_path, "--phases", "examples,coverage,fuzzing,stateful", "--max-examples", "150")


def test_examples_of_the_document_are_answered(address: str, finished: Path) -> None:
    """What a reader copies from it works: ids of the demo aside."""
    users = json.loads(httpx.get(f"{address}/v1/users?n=1").text)["users"]
    document = httpx.get(f"{address}/v1/openapi.json").json()
    tried = 0
    for path, methods in document["paths"].items():
        content = (
            methods.get("post", {}).get("requestBody", {}).get("content", {}).get("application/json", {})
        )
        for name, example in content.get("examples", {}).items():
            body: Any = example["value"]
            if isinstance(body, dict) and "user" in body:
                body = {**body, "user": users[0]["id"]}
            answer = httpx.post(f"{address}{path}", json=body, headers=HEADERS)
            assert answer.status_code < 300, (path, name, answer.text)
            tried += 1
    assert tried >= 5
