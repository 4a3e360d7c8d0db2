"""Each data set has a page that says where its files are and what to type."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from visrec import registry

PAGES = Path(__file__).resolve().parents[4] / "docs" / "datasets"
NAMES = list(registry.BUILTIN["datasets"])


@pytest.mark.parametrize("name", NAMES)
def test_a_data_set_has_its_page(name):
    found = registry.resolve("datasets", name)
    page = (PAGES / f"{name}.md").read_text(encoding="utf-8")
    assert found.name == name
    assert f"visrec convert {name} " in page or f"visrec datasets {name} --out" in page
    for address in re.findall(r"https://[^ ,;)]+", found.home):
        assert address.rstrip("/") in page
    assert "Licence" in page
