"""Each registered model has a page under docs/models that knows what its class knows."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from visrec import registry
from visrec.models.listing import own_settings

PAGES = Path(__file__).resolve().parents[3] / "docs" / "models"
BUILTIN = list(registry.BUILTIN["models"])


@pytest.fixture(params=BUILTIN)
def name(request):
    return request.param


@pytest.fixture
def page(name):
    path = PAGES / f"{name}.md"
    assert path.is_file(), f"docs/models/{name}.md is missing"
    return path.read_text(encoding="utf-8")


def test_the_page_names_the_class_and_the_paper(name, page):
    cls = registry.resolve("models", name)
    assert f"`visrec.{cls.__name__}`" in page
    words = set(re.findall(r"\w+", cls.paper)) - {"et", "al"}
    assert words <= set(re.findall(r"\w+", page.lower())) | set(re.findall(r"\w+", page))


def test_the_page_explains_every_setting_of_the_model(name, page):
    missing = [one for one in own_settings(registry.resolve("models", name)) if f"`{one}`" not in page]
    assert not missing


def test_the_page_points_to_the_figures(page):
    assert "## Our numbers" in page
    assert "../../benchmarks/README.md" in page


def test_the_index_links_the_page_and_says_what_the_class_says(name):
    index = (PAGES / "README.md").read_text(encoding="utf-8")
    row = next(line for line in index.splitlines() if line.startswith(f"| [`{name}`]({name}.md) |"))
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    cls = registry.resolve("models", name)
    assert cells[2] == cls.learns
    assert cells[4:6] == ["yes" if served else "no" for served in (cls.new_users, cls.new_items)]
    ranks_for = {
        "nothing": "nobody in particular",
        "user": "a user",
        "history": "a history",
        "both": "user and history",
    }
    assert cells[3] == ranks_for[cls.query]
