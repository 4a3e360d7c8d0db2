"""The pages of formats and data sets are held to what is registered."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from visrec import registry

DOCS = Path(__file__).parents[3] / "docs"


@pytest.mark.parametrize("kind", ["formats", "datasets"])
def test_the_list_of_pages_is_that_of_the_registry(kind: str):
    listed = re.findall(r"^\| \[`([^`]+)`\]\(\1\.md\)", (DOCS / kind / "README.md").read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(registry.names(kind))


@pytest.mark.parametrize("name", registry.names("formats"))
def test_a_format_has_a_page_with_its_commands(name: str):
    page = (DOCS / "formats" / f"{name}.md").read_text()
    found = registry.resolve("formats", name)
    assert f"visrec convert {name} " in page
    assert (f"visrec export {name} " in page) is (found.write is not None)
