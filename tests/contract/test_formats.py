"""What every format that is read and written keeps: ids, times, parts, ratings, facts of items, vectors by id.

A format may have no place for something; then a note of the export says so. What it holds must come back as it was.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from visrec import registry
from visrec.converting.conversion import Conversion, convert, export
from visrec.converting.own import read_own, write_own
from visrec.data.foreign import ForeignData, ForeignFeatures
from visrec.errors import DataError

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108020000009077"
    "53de0000000c4944415408d763f8cfc000000301010018dd8db00000000049454e44ae426082"
)
USERS = ["007", "7", "anna lee", "Zoë", "o'neil"]
ITEMS = ["0010", "10", "two words", "日本-3", "a,b", "x:y/z", 'the "best"', "plain", "idle"]
WITHOUT_VECTOR, IDLE = "plain", "idle"  # the last has no interaction


def both_ways() -> list[str]:
    """The formats that are read and written."""
    entries = {name: registry.resolve("formats", name) for name in registry.names("formats")}
    return [name for name, one in entries.items() if one.write is not None and (one.read or one.convert)]


def vector_of(item: str) -> np.ndarray:
    """Numbers that float32 holds and that no short text of them rounds away."""
    return np.array([ITEMS.index(item) + 1, 1 / (ITEMS.index(item) + 3), -1e-7, 12345.678], dtype=np.float32)


def interactions() -> pl.DataFrame:
    """Four items a user, in another order of times than of rows; three parts; one pair taken twice."""
    rows = [
        (user, ITEMS[(n + 2 * at) % 8], 1_600_000_000 + 1000 * ((at * 3 + n) % 5), float(1 + at % 5))
        for n, user in enumerate(USERS)
        for at in range(4)
    ]
    rows.append((USERS[0], ITEMS[0], 1_500_000_000, 2.5))
    table = pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp", "rating"], orient="row")
    age = pl.col("timestamp").rank("ordinal", descending=True).over("user_id")
    late = pl.when(age == 1).then(pl.lit("test")).when(age == 2).then(pl.lit("valid"))
    return table.with_columns(evaluation=late.otherwise(pl.lit("train")))


@dataclass(frozen=True)
class Case:
    """A data set folder, features of it, and what stands in both."""

    folder: Path
    features: Path
    rows: pl.DataFrame
    items: pl.DataFrame


def made(folder: Path, rows: pl.DataFrame, items: pl.DataFrame) -> Case:
    """Write a data set: items in an order that is neither sorted nor that of the vectors."""
    with_vector = [one for one in sorted(items["item_id"], reverse=True) if one != WITHOUT_VECTOR]
    vectors = ForeignFeatures(
        "looks",
        pl.Series(with_vector),
        (4,),
        lambda: iter([np.stack([vector_of(one) for one in with_vector])]),
    )
    folder.mkdir()
    pictures = lambda: ((one, PNG) for one in items["item_id"])  # noqa: E731
    write_own(ForeignData(interactions=rows, items=items, encoded=pictures, features=(vectors,)), folder)
    return Case(folder, folder / "features" / "looks", rows, items)


@pytest.fixture(scope="module")
def case(tmp_path_factory) -> Case:
    items = pl.DataFrame(
        {
            "item_id": ITEMS,
            "title": [
                "One, or two",
                None,
                'A "quoted" one',
                '"Q" first',
                "ünï",
                "007",
                "seven",
                "eight",
                "nine",
            ],
            "artist": ["Ada", "Ada", "Bo Li", None, "0042", "C", "C", "D", "E"],
            "tags": ["red|big", "red", None, "big|old", "old", "red", "red|old", "big", "big"],
        }
    ).sample(fraction=1, shuffle=True, seed=3)
    return made(tmp_path_factory.mktemp("formats") / "data", interactions(), items)


def there_and_back(name: str, case: Case, folder: Path) -> tuple[ForeignData, Conversion]:
    """What a data set is after an export and a conversion, and what the export said."""
    said = export(name, case.folder, folder / "out", features=[case.features])
    convert(name, folder / "out", folder / "back")
    kept = folder / "back" / "features"
    return read_own(folder / "back", features=sorted(kept.iterdir()) if kept.exists() else []), said


@pytest.fixture(scope="module", params=both_ways())
def trip(request, case, tmp_path_factory) -> tuple[ForeignData, Conversion]:
    """The data set after it went out in a format and came in again; once for each format."""
    return there_and_back(request.param, case, tmp_path_factory.mktemp("trip"))


def noted(said: Conversion, *words: str) -> bool:
    """Whether a note says something of one of these words."""
    return any(word in note.lower() for note in said.notes for word in words)


def order(table: pl.DataFrame) -> pl.DataFrame:
    return table.sort("user_id", "item_id", "timestamp", *(c for c in ("rating",) if c in table.columns))


def test_interactions_come_back_as_they_were(trip, case):
    back, said = trip
    if back.interactions is None:
        assert noted(said, "interaction")
        return
    columns = [one for one in case.rows.columns if one in back.interactions.columns]
    lost = {"rating": ("rating",), "evaluation": ("evaluation", "part"), "timestamp": ("time",)}
    for column in set(case.rows.columns) - set(columns):
        assert noted(said, *lost[column]), f"{column} is gone, and no note says so"
    found = order(back.interactions.select(columns))
    assert found.select("user_id", "item_id").equals(order(case.rows).select("user_id", "item_id"))
    if not found.equals(order(case.rows).select(columns), null_equal=True):
        changed = [c for c in columns if not found[c].equals(order(case.rows)[c])]
        assert all(noted(said, *lost[column]) for column in changed), (
            f"{changed} changed, and no note says so"
        )
        assert "evaluation" not in changed


def test_items_come_back_as_they_were(trip, case):
    back, said = trip
    assert back.items is not None
    lacking = set(ITEMS) - set(back.items["item_id"])
    assert not set(back.items["item_id"]) - set(ITEMS)
    assert lacking <= {IDLE}
    assert not lacking or noted(said, "without interactions")
    for column in ("title", "artist", "tags"):
        if column not in back.items.columns:
            assert noted(said, column, "known of items"), f"{column} is gone, and no note says so"
            continue
        expected = case.items.filter(~pl.col("item_id").is_in(lacking)).sort("item_id")
        assert back.items.sort("item_id")[column].to_list() == expected[column].to_list()


def test_vectors_come_back_by_id(trip):
    back, said = trip
    if not back.features:
        assert noted(said, "vector", "feature")
        return
    (features,) = back.features
    vectors = dict(zip(features.ids, np.concatenate([*features.blocks()]), strict=True))
    for item, vector in vectors.items():
        np.testing.assert_array_equal(vector, vector_of(item))
    lacking = set(ITEMS) - {WITHOUT_VECTOR} - vectors.keys()
    assert lacking <= {IDLE}
    assert not lacking or noted(said, "without interactions")
    assert WITHOUT_VECTOR not in vectors


def test_pictures_come_back_or_a_note_says_that_there_is_no_place_for_them(trip):
    back, said = trip
    if not back.pictures:
        assert noted(said, "picture")
        return
    assert {one: path.read_bytes() for one, path in back.pictures.items()} == dict.fromkeys(ITEMS, PNG)


@pytest.mark.parametrize("name", both_ways())
def test_what_is_not_in_the_data_is_not_made_up(name, tmp_path):
    rows = pl.DataFrame(
        {
            "user_id": ["a", "a", "b", "b", "b"],
            "item_id": ["plain", "10", "10", "a,b", "plain"],
            "timestamp": [5, 3, 9, 1, 4],
        }
    )
    items = pl.DataFrame({"item_id": ["plain", "10", "a,b"]})
    back, said = there_and_back(name, made(tmp_path / "data", rows, items), tmp_path)
    if back.interactions is None:
        return
    added = set(back.interactions.columns) - set(rows.columns)
    assert added <= {"evaluation"}
    assert not added or noted(said, "evaluation", "part")
    assert order(back.interactions.select(rows.columns)).equals(order(rows)) or noted(said, "time")


HOSTILE = (  # what quoting, numbering, stripping and guessing of types would change
    "a\tb",
    "a\nb",
    "a\rb",
    "NA",
    "null",
    "a|b",
    '"quoted"',
    "'",
    " led",
    "trailed ",
    "#",
    "=1+1",
    "-1",
    "1e5",
    "1.0",
)


@pytest.mark.parametrize("name", both_ways())
def test_an_id_is_kept_or_refused_never_changed(name, tmp_path):
    kept, refusal = [*HOSTILE], "at first there is none"
    while refusal:
        rows = hostile_rows(kept)
        pictures = [(one, PNG) for one in rows["item_id"].unique()]
        (data := tmp_path / f"data-{len(kept)}").mkdir()
        write_own(ForeignData(interactions=rows, encoded=lambda found=pictures: iter(found)), data)
        refusal = refusal_of(name, data, tmp_path / "out")
        if refusal:
            assert not (tmp_path / "out").exists()
            named = [one for one in kept if repr(one) in refusal]
            assert named, f"names no id that was given: {refusal}"
            kept.remove(named[0])
    assert len(kept) > len(HOSTILE) / 2
    convert(name, tmp_path / "out", tmp_path / "back")
    back = read_own(tmp_path / "back")
    assert back.items is not None
    assert back.interactions is not None
    assert set(back.items["item_id"]) == {"plain", *kept}
    pairs = back.interactions.select("user_id", "item_id")
    assert pairs.sort(pairs.columns).equals(rows.select(pairs.columns).sort(pairs.columns))


def refusal_of(name: str, data: Path, out: Path) -> str:
    """The message with which an export is refused; "" where it is not."""
    try:
        export(name, data, out)
    except DataError as error:
        return str(error)
    return ""


def hostile_rows(ids: list[str]) -> pl.DataFrame:
    """A user and an item of each id, each with the other users and items that are plain."""
    return pl.DataFrame(
        {
            "user_id": [*ids, *ids, *["plain"] * len(ids)],
            "item_id": [*ids, *["plain"] * len(ids), *ids],
            "timestamp": range(3 * len(ids)),
        }
    )
