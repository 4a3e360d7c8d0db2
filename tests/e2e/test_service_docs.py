"""docs/service.md: its examples, executed as they stand."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "service.md"
TOKEN = "a-token-that-nobody-guesses"

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="no curl here")


def test_every_example_of_the_guide_is_answered(
    served: Callable[..., str], finished: Path, shop: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(finished, tmp_path / "run")
    shutil.copy(next((shop / "images").iterdir()), tmp_path / "photo.jpg")
    address = served(folder, token=TOKEN)
    environment = {**os.environ, "TOKEN": TOKEN, "SESSION": "a-session-of-a-test"}
    blocks = re.findall(r"```sh\n(.*?)```", GUIDE.read_text(encoding="utf-8"), flags=re.DOTALL)
    commands = re.sub(r"\\\n *", " ", "".join(blocks)).splitlines()
    answered = set()
    for command in commands:
        line = command.replace("http://127.0.0.1:8000", address).replace(
            "curl -s", "curl -sS --fail-with-body", 1
        )
        done = subprocess.run(
            ["bash", "-c", line], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
        assert "-X DELETE" in line or json.loads(done.stdout)
        answered |= set(re.findall(r"/v1/[a-z/]+", line))
    assert len(commands) >= 15
    routes = {
        "/v1/recommendations",
        "/v1/similar",
        "/v1/events",
        "/v1/session",
        "/v1/items",
        "/v1/users",
        "/v1/models",
    }
    assert routes | {"/v1/metrics", "/v1/reload", "/v1/pictures"} <= answered
