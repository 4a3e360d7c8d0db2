"""The README's code blocks, executed as they stand."""

from __future__ import annotations

import contextlib
import re
import shlex
from pathlib import Path

import pytest

README = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


@pytest.fixture
def folder(shop, tmp_path):
    (tmp_path / "my-shop").symlink_to(shop)
    with contextlib.chdir(tmp_path):
        yield tmp_path


def test_commands_of_the_readme_work(here, folder):
    commands = [line for block in blocks("sh") for line in block.splitlines() if line.startswith("visrec ")]
    assert len(commands) >= 4
    for line in commands:
        here(*shlex.split(line, comments=True)[1:], cwd=folder)


def test_python_of_the_readme_works(folder, capsys):
    names: dict[str, object] = {}
    found = blocks("python")
    assert len(found) >= 2
    for block in found:
        exec(compile(block, "README.md", "exec"), names)
    assert "item_id" in capsys.readouterr().out
