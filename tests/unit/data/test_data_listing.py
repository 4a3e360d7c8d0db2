from __future__ import annotations

import pytest

from visrec import registry
from visrec.data import listing
from visrec.declarations import Unreadable

TEXTS = {"datasets": ("name", "what", "size"), "formats": ("title", "what")}
ABLE = {"datasets": (), "formats": ("read", "convert", "write")}


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind in TEXTS for name in registry.BUILTIN[kind]]
)
def test_the_source_says_what_the_imported_object_says(kind, name):
    entry = registry.resolve(kind, name)
    expected = {one: getattr(entry, one) for one in TEXTS[kind]}
    expected |= {one: getattr(entry, one) is not None for one in ABLE[kind]}
    assert listing.stated(kind, name, TEXTS[kind], ABLE[kind]) == expected


def test_what_the_source_leaves_in_doubt_is_asked_of_the_imported_object(monkeypatch):
    read = listing.formats()

    def unreadable(*_: object) -> None:
        raise Unreadable

    monkeypatch.setattr(listing, "stated", unreadable)
    assert listing.formats() == read
    images = next(row for row in read if row["format"] == "images")
    assert (images["of"], images["commands"]) == ("a folder of pictures", "convert")
