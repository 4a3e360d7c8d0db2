"""File names of item ids."""

from __future__ import annotations

import hashlib

import pytest

from visrec.data.file_names import file_stems


@pytest.mark.parametrize(
    "item", ["a", "007", "B00.x", "a b", "日本", "x" * 200, "a-b_c(1)", "console", "com"]
)
def test_an_id_that_can_be_a_file_name_is_one(item):
    assert file_stems([item]) == {item: item}


@pytest.mark.parametrize(
    "item",
    [
        "a/b",
        "a\\b",
        "..",
        ".x",
        "a:b",
        "a?",
        "a\n",
        "a\0",
        "CON",
        "nul.x",
        "LPT1",
        "x" * 201,
        "é" * 101,
        "a.",
        " a",
    ],
)
def test_an_id_that_cannot_gets_a_name_of_its_own(item):
    stem = file_stems([item])[item]
    assert stem.endswith("~" + hashlib.sha256(item.encode()).hexdigest()[:16])
    assert stem.isascii()
    assert len(stem) <= 60 + 17
    assert file_stems([stem]) != {stem: stem}  # nobody else's id can be that name


def test_ids_that_differ_in_capitals_or_composition_alone_get_different_names_on_any_disk():
    ids = ["Shoe", "shoe", "SHOE", "caf\u00e9", "cafe\u0301", "hat"]
    stems = file_stems(ids)
    assert stems["hat"] == "hat"
    assert len({stem.casefold() for stem in stems.values()}) == len(ids)
    assert all("~" in stems[item] for item in ids[:5])


def test_names_do_not_depend_on_order_and_avoid_what_is_there():
    assert file_stems(["b", "B"]) == file_stems(["B", "b"])
    assert file_stems(["a"], taken=["a"]) == {"a": "a"}
    assert file_stems(["a"], taken=["A"])["a"].startswith("a~")


def test_a_stem_that_belongs_to_another_id_is_not_used():
    stems = file_stems(["2", "A", "b"], others=["2", "a"])
    assert stems["b"] == "b"
    assert stems["2"].startswith("2~")
    assert stems["A"].startswith("A~")  # nor one that differs from it in capitals alone
