from __future__ import annotations

import gzip
import json

import polars as pl
import pytest

from visrec.converting.conversion import convert
from visrec.data.dataset import load_dataset
from visrec.data.datasets.amazon_2023 import read_amazon_2023
from visrec.data.splits import by_evaluation
from visrec.errors import DataError

HEADER = "user_id,parent_asin,rating,timestamp"
ANN, BOB = "AGKHLEW2SOWHNMFQIJGBECAF7INQ", "AHBNYRP5AN5XHRE5ONRT2YRAIUHA"
ROWS = {
    "train": [(ANN, "B0007OEIWU", "5.0", 1400000000001), (BOB, "0970408285", "2.0", 1300000000500)],
    "valid": [(ANN, "B000A3I26O", "4.0", 1500000000000)],
    "test": [(ANN, "0970408285", "1.0", 1600000000000)],
}
LARGE, HIGH = (
    "https://m.media-amazon.com/images/I/{}._AC_.jpg",
    "https://m.media-amazon.com/images/I/{}._SL1500_.jpg",
)


def image(name: str, variant: str, *, large: bool = True, high: bool = True) -> dict[str, str | None]:
    return {
        "thumb": LARGE.format(f"{name}-thumb"),
        "large": LARGE.format(name) if large else None,
        "variant": variant,
        "hi_res": HIGH.format(name) if high else None,
    }


META = [
    {
        "main_category": "Musical Instruments",
        "title": "Strings, 0.09 – 0.42",
        "average_rating": 4.4,
        "rating_number": 12,
        "features": ["nickel"],
        "description": [],
        "price": 13.44,
        "images": [image("side", "PT01"), image("front", "MAIN", high=False)],
        "videos": [],
        "store": "Ernie Ball",
        "categories": ["Musical Instruments", "Strings"],
        "details": {"Item Weight": "1 ounce"},
        "parent_asin": "B0007OEIWU",
        "bought_together": None,
    },
    {
        "title": " ",
        "price": "None",
        "images": [image("only", "PT01", large=False)],
        "parent_asin": "0970408285",
    },
    {
        "title": "Unseen",
        "price": "from 9.99",
        "images": [],
        "store": None,
        "parent_asin": "B0UNSEEN00",
        "categories": [],
    },
]


def lines(rows) -> str:
    return "".join(f"{line}\n" for line in [HEADER, *(",".join(map(str, row)) for row in rows)])


def objects(rows) -> str:
    return "".join(f"{json.dumps(row)}\n" for row in rows)


@pytest.fixture
def source(tmp_path):
    """The official parts, two of them gzipped, and the metadata, as they lie on the pages."""
    (parts := tmp_path / "amazon" / "last_out").mkdir(parents=True)
    (parts / "Musical_Instruments.train.csv").write_text(lines(ROWS["train"]))
    for part in ("valid", "test"):
        (parts / f"Musical_Instruments.{part}.csv.gz").write_bytes(gzip.compress(lines(ROWS[part]).encode()))
    (tmp_path / "amazon" / "meta_Musical_Instruments.jsonl").write_text(objects(META))
    return tmp_path / "amazon"


def test_the_official_parts_become_a_data_set_that_is_split_by_them(source, tmp_path):
    convert("amazon-2023", source, tmp_path / "data")
    data = load_dataset(tmp_path / "data", missing_images="mask")
    split = by_evaluation(data.interactions)
    for part, rows in ROWS.items():
        found = getattr(split, part)
        pairs = zip(found.users.take(found.user), found.items.take(found.item), found.timestamp, strict=True)
        assert sorted(pairs) == sorted((user, item, time) for user, item, _, time in rows)
    assert data.catalog.items.written.to_list() == ["0970408285", "B0007OEIWU", "B000A3I26O"]


def test_ratings_and_times_are_kept_as_they_are(source):
    found = read_amazon_2023(source).interactions
    assert found is not None
    expected = [
        (user, item, time, float(rating), part)
        for part, rows in ROWS.items()
        for user, item, rating, time in rows
    ]
    assert found.rows() == expected
    assert found.columns == ["user_id", "item_id", "timestamp", "rating", "evaluation"]


def test_items_have_titles_and_the_address_of_their_main_picture(source):
    found = read_amazon_2023(source)
    assert found.items is not None
    strings, unnamed = found.items.to_dicts()
    assert strings == {
        "item_id": "B0007OEIWU",
        "title": "Strings, 0.09 – 0.42",
        "category": "Musical Instruments",
        "categories": "Musical Instruments|Strings",
        "store": "Ernie Ball",
        "price": "13.44",
        "average_rating": 4.4,
        "rating_number": 12,
        "image_url": LARGE.format("front"),
    }
    assert unnamed == dict.fromkeys(strings) | {"item_id": "0970408285", "image_url": HIGH.format("only")}
    assert "1 of 3 rated items do not stand in meta_Musical_Instruments.jsonl." in found.notes
    assert [note for note in found.notes if "1 of 3 items were rated by nobody here: left out" in note]


def test_the_large_address_stands_in_for_the_other(source):
    found = read_amazon_2023(source, picture="hi_res", all_items=True)
    assert found.items is not None
    assert found.items["image_url"].to_list() == [LARGE.format("front"), HIGH.format("only"), None]
    assert found.items["title"].to_list()[-1] == "Unseen"
    assert "1 of 3 items have no address of a picture." in found.notes


def test_reviews_are_read_where_there_are_no_ratings(tmp_path):
    reviews = [
        {
            "rating": rating,
            "title": "Fine",
            "text": 'It is "fine",\nindeed',
            "images": [{"small_image_url": "https://x/s.jpg", "attachment_type": "IMAGE"}] * n,
            "asin": "B0VARIANT0",
            "parent_asin": "0970408285",
            "user_id": ANN,
            "timestamp": 1600000000000 + n,
            "helpful_vote": n,
            "verified_purchase": True,
        }
        for n, rating in enumerate((5.0, 1.0))
    ]
    (tmp_path / "All_Beauty.jsonl.gz").write_bytes(gzip.compress(objects(reviews).encode()))
    found = read_amazon_2023(tmp_path)
    assert found.interactions is not None
    assert found.interactions.rows() == [
        (ANN, "0970408285", 1600000000000, 5.0),
        (ANN, "0970408285", 1600000000001, 1.0),
    ]
    assert "There is no meta_All_Beauty.jsonl" in found.notes[0]
    (tmp_path / "All_Beauty.csv").write_text(lines(ROWS["train"]))
    found = read_amazon_2023(tmp_path)
    assert found.interactions is not None
    assert found.interactions["item_id"].to_list() == ["B0007OEIWU", "0970408285"]
    assert found.files[1] == {
        "file": "All_Beauty.jsonl.gz",
        "what": "the same interactions",
        "became": "left out: those above say more",
    }


def test_interactions_that_only_histories_name_are_counted(tmp_path):
    rows = {
        "train": [(ANN, "b", "5.0", 2, "a")],
        "valid": [(ANN, "c", "5.0", 3, "a b")],
        "test": [(ANN, "d", "5.0", 4, "a b c")],
    }
    for part, found in rows.items():
        (tmp_path / f"Books.{part}.csv").write_text(
            lines(found).replace("timestamp\n", "timestamp,history\n")
        )
    (note,) = [note for note in read_amazon_2023(tmp_path).notes if "history" in note]
    assert note.startswith("1 interactions stand only in the column history")


def test_a_category_is_chosen_where_there_are_several(source):
    (source / "Video_Games.csv").write_text(lines(ROWS["valid"]))
    with pytest.raises(
        DataError, match=r"several categories\. There are: Musical_Instruments, Video_Games. Say which"
    ):
        read_amazon_2023(source)
    found = read_amazon_2023(source, category="Video_Games").interactions
    assert found is not None
    assert found.height == 1
    with pytest.raises(DataError, match="There are: Musical_Instruments, Video_Games"):
        read_amazon_2023(source, category="Books")


def test_parts_of_two_kinds_are_refused(source):
    (source / "timestamp").mkdir()
    (source / "timestamp" / "Musical_Instruments.test.csv").write_text(lines(ROWS["test"]))
    with pytest.raises(DataError, match="several files test of Musical_Instruments"):
        read_amazon_2023(source)


def test_an_item_that_is_described_twice_counts_once(source):
    path = source / "meta_Musical_Instruments.jsonl"
    path.write_text(objects([*META, META[0] | {"title": "Other"}]))
    found = read_amazon_2023(source)
    assert found.items is not None
    assert found.items.filter(pl.col("item_id") == "B0007OEIWU")["title"].to_list() == [
        "Strings, 0.09 – 0.42"
    ]
    assert [note for note in found.notes if "1 items stand twice" in note]


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("last_out/Musical_Instruments.train.csv", lambda text: text[:-25], r"line 3 (has|: timestamp)"),
        (
            "last_out/Musical_Instruments.train.csv",
            lambda text: text.replace("5.0", "five"),
            "rating is 'five'",
        ),
        ("last_out/Musical_Instruments.train.csv", lambda text: text[len(HEADER) + 1 :], "its first line is"),
        ("meta_Musical_Instruments.jsonl", lambda text: text[:-30], "line 3 is no JSON .*cut short"),
        (
            "meta_Musical_Instruments.jsonl",
            lambda text: text.replace('"parent_asin"', '"asin"', 1),
            "line 1 has no parent",
        ),
        (
            "meta_Musical_Instruments.jsonl",
            lambda text: text.replace("4.4", '{"a":1}', 1),
            "line 1: average_rating is",
        ),
    ],
)
def test_damaged_files_are_told_and_nothing_is_left(source, tmp_path, name, change, message):
    path = source / name
    path.write_text(change(path.read_text()))
    with pytest.raises(DataError, match=message):
        convert("amazon-2023", source, tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_what_is_missing_is_named(source, tmp_path):
    (source / "last_out" / "Musical_Instruments.valid.csv.gz").unlink()
    with pytest.raises(DataError, match=r"Musical_Instruments\.valid\.csv is missing"):
        read_amazon_2023(source)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="Put the files there, under their published names"):
        read_amazon_2023(tmp_path / "empty")
