"""The files of VBPR and VISTA: Amazon's reviews, Tradesy, Behance, and Caffe's features behind ids."""

from __future__ import annotations

import gzip
import json
import struct
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from visrec.converting.conversion import convert
from visrec.data.dataset import load_dataset
from visrec.data.datasets.record_lines import records
from visrec.data.datasets.vector_files import read_vectors
from visrec.data.published import Published
from visrec.errors import ConfigError, DataError
from visrec.features.features import Features


def vector(n: int) -> np.ndarray:
    return (np.arange(4096) % 7 + n).astype("<f4")


def write_vectors(path: Path, ids: list[str], width: int) -> Path:
    """As the readers of the field take them apart: an id filled with blanks, 4,096 float32."""
    path.write_bytes(b"".join(one.ljust(width).encode() + vector(n).tobytes() for n, one in enumerate(ids)))
    return path


def write_lines(path: Path, lines: list[str]) -> Path:
    text = "".join(line + "\n" for line in lines).encode()
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    return path


def table(folder: Path, name: str) -> pl.DataFrame:
    return pl.read_csv(folder / f"{name}.csv", infer_schema=False)


def check_vectors(folder: Path, expected: dict[str, int]) -> None:
    """Items with the vector of that number, and no others."""
    features = Features.load(folder / "features" / "caffe-fc7")
    there = {item: n for n, item in enumerate(features.items.written) if not features.missing[n]}
    assert set(there) == set(expected)
    for item, n in expected.items():
        np.testing.assert_array_equal(features.values[there[item]], vector(n))


# ---- Amazon ----------------------------------------------------------------------------------------

REVIEWS = [
    {
        "reviewerID": "A1",
        "asin": "0000031887",
        "helpful": [0, 0],
        "overall": 5.0,
        "unixReviewTime": 1297468800,
    },
    {
        "reviewerID": "A2",
        "asin": "B000000001",
        "reviewText": 'It\'s "so"',
        "overall": 2.0,
        "unixReviewTime": 946684800,
    },
    {"reviewerID": "A1", "asin": "B000000001", "overall": 4.0, "unixReviewTime": 1297468801},
    {"reviewerID": "A2", "asin": "B000000009", "overall": 1.0, "unixReviewTime": 946684799},
]
ROOT = "Clothing, Shoes & Jewelry"
PRODUCTS = [
    {
        "asin": "0000031887",
        "title": "Ballet \\ Tutu's",
        "price": 6.79,
        "imUrl": "http://x/1.jpg",
        "categories": [[ROOT, "Girls"], [ROOT, "Women", "Dresses"]],
        "related": {"also_bought": ["B00JHONN1S"]},
    },
    {"asin": "B000000001", "brand": "Café", "categories": [[ROOT, "Men"], ["Novelty", "Women"]]},
    {"asin": "B000000002", "title": "never rated", "categories": [[ROOT, "Women"]]},
]


def amazon(folder: Path, *, loose: bool = True) -> Path:
    write_lines(folder / "reviews_Clothing_5.json.gz", [json.dumps(one) for one in REVIEWS])
    write_lines(
        folder / "meta_Clothing.json.gz", [repr(one) if loose else json.dumps(one) for one in PRODUCTS]
    )
    write_vectors(folder / "image_features_Clothing.b", ["B000000001", "B0000000XX", "0000031887"], 10)
    return folder


RATED = [
    ("A1", "0000031887", "1297468800", "5.0"),
    ("A2", "B000000001", "946684800", "2.0"),
    ("A1", "B000000001", "1297468801", "4.0"),
    ("A2", "B000000009", "946684799", "1.0"),
]


@pytest.mark.parametrize("loose", [True, False])
def test_amazons_reviews_products_and_vectors_become_a_data_set(tmp_path, loose):
    made = convert("amazon-2014", amazon(tmp_path, loose=loose), data := tmp_path / "data")
    rows = table(data, "interactions")
    assert rows.columns == ["user_id", "item_id", "timestamp", "rating"]
    assert rows.rows() == RATED
    items = {row["item_id"]: row for row in table(data, "items").to_dicts()}
    assert set(items) == {"0000031887", "B000000001", "B000000009"}
    first, second = items["0000031887"], items["B000000001"]
    assert (first["title"], first["price"], first["image_url"]) == (
        "Ballet \\ Tutu's",
        "6.79",
        "http://x/1.jpg",
    )
    assert first["category"] == f"{ROOT}|Girls|Women|Dresses"
    assert (second["brand"], second["category"]) == ("Café", f"{ROOT}|Men|Novelty|Women")
    check_vectors(data, {"B000000001": 0, "0000031887": 2})
    notes = " ".join(made.notes)
    assert "1 products were rated by nobody" in notes
    assert "Of products, related is left out." in notes
    assert "1 vectors are of no item of the data set" in notes
    assert load_dataset(data, min_rating=4, missing_images="mask").interactions.users.written.to_list() == [
        "A1"
    ]


@pytest.mark.parametrize(
    ("within", "expected"),
    [
        ("Women", ["0000031887", "B000000001", "B000000002"]),
        (f"{ROOT} > Women", ["0000031887", "B000000002"]),
        (f"{ROOT}>Women>Dresses", ["0000031887"]),
    ],
)
def test_a_part_of_amazon_is_chosen_by_names_on_a_path(tmp_path, within, expected):
    options = {"within": within, "all_items": "true"}
    made = convert("amazon-2014", amazon(tmp_path), data := tmp_path / "data", options=options)
    assert sorted(table(data, "items")["item_id"]) == expected
    assert table(data, "interactions").rows() == [row for row in RATED if row[1] in expected]
    outside = sum(row[1] not in expected for row in RATED)
    assert any(note.startswith(f"{outside} of 4 ratings are of products outside") for note in made.notes)


def test_a_part_of_amazon_needs_products_and_a_name_that_is_there(tmp_path):
    amazon(tmp_path)
    with pytest.raises(DataError, match="holds no products within women; names are written as in the file"):
        convert("amazon-2014", tmp_path, tmp_path / "data", options={"within": "women"})
    (tmp_path / "meta_Clothing.json.gz").unlink()
    with pytest.raises(DataError, match=r"holds no meta_\*\.json\.gz, which says what lies within Women"):
        convert("amazon-2014", tmp_path, tmp_path / "data", options={"within": "Women"})
    assert not (tmp_path / "data").exists()


def test_ratings_only_are_read_as_well(tmp_path):
    write_lines(tmp_path / "ratings_Clothing.csv", [f"{u},{i},{r},{t}" for u, i, t, r in RATED])
    convert("amazon-2014", tmp_path, tmp_path / "data")
    assert table(tmp_path / "data", "interactions").rows() == RATED
    write_lines(tmp_path / "reviews_Clothing.json", [json.dumps(REVIEWS[0])])
    made = convert("amazon-2014", tmp_path, tmp_path / "both")
    assert table(tmp_path / "both", "interactions").rows() == RATED[:1]
    assert made.files[1]["became"] == "nothing: those of reviews_Clothing.json are taken"


@pytest.mark.parametrize(
    ("name", "lines", "message"),
    [
        ("reviews_X.json", ["{'reviewerID': __import__('os')}"], "line 1 is no record"),
        ("reviews_X.json", [json.dumps(REVIEWS[0]), "", "[1]"], "line 3 is no record"),
        (
            "reviews_X.json",
            ['{"reviewerID": "A", "asin": "B", "overall": 5}'],
            "line 1 lacks one of reviewerID",
        ),
        ("reviews_X.json", [json.dumps(REVIEWS[0] | {"unixReviewTime": "today"})], "line 1 lacks one of"),
        ("reviews_X.json", ["(" * 100_000], "line 1 is no record"),
        ("reviews_X.json", [], "is empty"),
        ("reviews_X.json", [""], "holds no ratings"),
        ("ratings_X.csv", ["A,B,5.0"], "line 1 has 3 fields; expected 4"),
        (
            "ratings_X.csv",
            ["A,B,5.0,1", "A,B,five,1"],
            "line 2: rating is 'five'; expected a number",
        ),
        ("other.csv", ["A,B,5.0,1"], r"holds no reviews_\*\.json\.gz and no ratings_\*\.csv"),
    ],
)
def test_damaged_ratings_of_amazon_are_named_by_their_line(tmp_path, name, lines, message):
    write_lines(tmp_path / name, lines)
    with pytest.raises(DataError, match=message):
        convert("amazon-2014", tmp_path, tmp_path / "data")
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{'title': 'x'}", "line 2 has no 'asin'"),
        ("{'asin': 'B', 'categories': ['Women']}", "line 2: 'categories' of 'B' is no list of paths"),
        ("{'asin': 'B'", "line 2 is no record"),
    ],
)
def test_damaged_products_of_amazon_are_named_by_their_line(tmp_path, line, message):
    write_lines(amazon(tmp_path) / "meta_Clothing.json.gz", [repr(PRODUCTS[0]), line])
    with pytest.raises(DataError, match=rf"meta_Clothing\.json\.gz: {message}"):
        convert("amazon-2014", tmp_path, tmp_path / "data")


def test_products_that_come_again_count_once(tmp_path):
    write_lines(
        amazon(tmp_path) / "meta_Clothing.json.gz",
        [repr(PRODUCTS[0]), repr(PRODUCTS[0] | {"title": "other"})],
    )
    made = convert("amazon-2014", tmp_path, data := tmp_path / "data")
    assert table(data, "items").filter(pl.col("item_id") == "0000031887")["title"].to_list() == [
        "Ballet \\ Tutu's"
    ]
    assert any("1 products come again" in note for note in made.notes)


# ---- Tradesy ---------------------------------------------------------------------------------------

PEOPLE = [
    {"lists": {"bought": ["466", "0459"], "selling": ["7"], "want": ["466", "12"], "sold": []}, "uid": "2"},
    {"lists": {"bought": [], "selling": ["12", "99"], "want": ["7"], "sold": ["466"]}, "uid": "13"},
    {"lists": {"bought": [], "selling": ["12"], "want": [], "sold": []}, "uid": "4"},
]


def tradesy(folder: Path) -> Path:
    write_lines(folder / "tradesy.json.gz", [repr(one) for one in PEOPLE])
    write_vectors(folder / "image_features_tradesy.b", ["12", "466", "0459", "1000"], 10)
    write_lines(
        folder / "tradesy_item_urls.json.gz",
        [repr({"itemID": "466", "imageUrl": "http://x/466.jpg"}), repr({"itemID": "7", "imageUrl": None})],
    )
    return folder


def test_tradesy_takes_what_was_bought_and_what_is_wanted(tmp_path):
    made = convert("tradesy-vbpr", tradesy(tmp_path), data := tmp_path / "data")
    expected = [("2", "466", "0"), ("2", "0459", "1"), ("2", "12", "2"), ("13", "7", "0")]
    assert table(data, "interactions").rows() == expected
    items = {row["item_id"]: row for row in table(data, "items").to_dicts()}
    assert {item: row["seller"] for item, row in items.items()} == {
        "466": "13",
        "0459": None,
        "12": "13|4",
        "7": "2",
    }
    assert {item: row["image_url"] for item, row in items.items() if row["image_url"]} == {
        "466": "http://x/466.jpg"
    }
    check_vectors(data, {"12": 0, "466": 1, "0459": 2})
    notes = " ".join(made.notes)
    assert "1 entries stand twice among a user's lists" in notes
    assert "1 items are on none of these lists" in notes  # 99, which is for sale
    assert "have no times" in notes


def test_other_lists_of_tradesy_are_taken_on_demand(tmp_path):
    options = {"lists": "sold, selling", "all_items": "true"}
    convert("tradesy-vbpr", tradesy(tmp_path), data := tmp_path / "data", options=options)
    expected = [("2", "7", "0"), ("13", "12", "0"), ("13", "99", "1"), ("13", "466", "2"), ("4", "12", "0")]
    assert table(data, "interactions").rows() == expected
    assert sorted(table(data, "items")["item_id"]) == ["0459", "12", "466", "7", "99"]
    for wrong in ("liked", " , "):
        with pytest.raises(ConfigError, match="The lists: bought, want, selling, sold"):
            convert("tradesy-vbpr", tmp_path, tmp_path / "other", options={"lists": wrong})


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([repr(PEOPLE[0]), "{'uid': '3'}"], "line 2 has no 'uid' or no 'lists'"),
        ([repr(PEOPLE[0]), repr(PEOPLE[0])], "line 2 is the second of user '2'"),
        (["{'lists': {'want': [None]}, 'uid': '3'}"], "line 1: 'want' of user '3' is no list of item ids"),
        (["{'lists': {'want': '12'}, 'uid': '3'}"], "line 1: 'want' of user '3' is no list of item ids"),
        (["{'lists': {'sold': ['12']}, 'uid': '3'}"], "holds no item on the lists bought, want"),
    ],
)
def test_damaged_lists_of_tradesy_are_named_by_their_line(tmp_path, lines, message):
    write_lines(tmp_path / "tradesy.json.gz", lines)
    with pytest.raises(DataError, match=message):
        convert("tradesy-vbpr", tmp_path, tmp_path / "data")


# ---- Behance ---------------------------------------------------------------------------------------

APPRECIATED = ["276633 01588231 1307583271", "1238354 01529213 1307583273", "276633 01529213 1307583337"]


def behance(folder: Path) -> Path:
    write_lines(folder / "Behance_appreciate_1M.gz", APPRECIATED)
    write_lines(
        folder / "Behance_Item_to_Owners.gz", ["01588231 83", "01588231 85", "01588231 83", "00000042 5"]
    )
    write_vectors(folder / "Behance_Image_Features.b", ["01529213", "00000042", "01588231"], 8)
    return folder


def test_behance_becomes_a_data_set_with_owners_and_vectors(tmp_path):
    made = convert("behance", behance(tmp_path), data := tmp_path / "data")
    assert table(data, "interactions").rows() == [tuple(line.split(" ")) for line in APPRECIATED]
    items = dict(table(data, "items").select("item_id", "artist").rows())
    assert items == {"01588231": "83|85", "01529213": None}
    check_vectors(data, {"01529213": 0, "01588231": 2})
    assert any("1 items were appreciated by nobody" in note for note in made.notes)
    assert [row["became"] for row in made.files] == [
        "interactions",
        "column artist of the items",
        "features/caffe-fc7",
    ]


def test_behances_appreciations_suffice_unpacked_too(tmp_path):
    path = write_lines(tmp_path / "Behance_appreciate_1M", APPRECIATED)
    convert("behance", path, tmp_path / "data")
    assert table(tmp_path / "data", "interactions").height == 3


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1 2", "line 4 is '1 2'; expected 3 words: user_id, item_id, timestamp"),
        ("1  2", "line 4 is '1  2'; expected 3 words"),
        ("1 2 3 4", "line 4 is '1 2 3 4'; expected 3 words"),
        ("1 2 today", "line 4 has the time 'today'; expected Unix seconds"),
    ],
)
def test_damaged_lines_of_behance_are_named(tmp_path, line, message):
    write_lines(tmp_path / "Behance_appreciate_1M.gz", [*APPRECIATED, line])
    with pytest.raises(DataError, match=message):
        convert("behance", tmp_path, tmp_path / "data")


@pytest.mark.parametrize("cut", [12, 60, -9, -1])
def test_behances_gzip_that_is_cut_short_is_an_error(tmp_path, cut):
    path = write_lines(tmp_path / "Behance_appreciate_1M.gz", APPRECIATED)
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(DataError, match="cannot be read"):
        convert("behance", tmp_path, tmp_path / "data")


def test_behance_that_is_no_text_is_refused(tmp_path):
    (tmp_path / "Behance_appreciate_1M").write_bytes(b"1 \xff\xfe 3\n" * 3)
    with pytest.raises(DataError, match="no UTF-8 text"):
        convert("behance", tmp_path, tmp_path / "data")


# ---- files of vectors and of records ---------------------------------------------------------------


def test_the_first_vector_of_an_id_counts_and_blocks_join_up(tmp_path):
    ids = [f"i{n}" for n in range(1030)]
    ids[1025] = "i3"  # beyond the first block
    path = write_vectors(tmp_path / "x.b", ids, 10)
    features, notes = read_vectors(path, id_bytes=10)
    expected = [n for n in range(1030) if n != 1025]
    assert features.ids.to_list() == [f"i{n}" for n in expected]
    for _ in range(2):
        found = np.concatenate([*features.blocks()])
        np.testing.assert_array_equal(found[:, 0], [vector(n)[0] for n in expected])
    assert notes == ("x.b: 1 vectors of ids that came before are left out.",)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda whole: whole[:-1], "has 32,787 bytes; expected records of 16,394"),
        (lambda whole: b"", "has 0 bytes"),
        (lambda whole: whole[:16394] + b"\xff" + whole[16395:], r"record 2 is b'\\xff.*no ASCII"),
        (lambda whole: whole[:16394] + b"a b" + whole[16397:], "record 2 is 'a b"),
        (lambda whole: b" " * 10 + whole[10:], "record 1 is ''"),
    ],
)
def test_damaged_vectors_are_named_by_their_place(tmp_path, change, message):
    path = write_vectors(tmp_path / "x.b", ["B000000001", "B000000002"], 10)
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(DataError, match=message):
        read_vectors(path, id_bytes=10)


def test_ids_of_another_length_are_noticed(tmp_path):
    path = write_vectors(tmp_path / "x.b", ["01588231"] * 3, 8)
    with pytest.raises(DataError, match="expected records of 16,394"):
        read_vectors(path, id_bytes=10)


def test_vectors_with_nan_end_the_conversion(tmp_path):
    path = behance(tmp_path) / "Behance_Image_Features.b"
    whole = bytearray(path.read_bytes())
    whole[8:12] = struct.pack("<f", float("nan"))
    path.write_bytes(bytes(whole))
    with pytest.raises(DataError, match="vector of item '01529213' holds NaN"):
        convert("behance", tmp_path, tmp_path / "data")
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("cut", [5, 40, -10, -1])
def test_a_gzip_that_is_cut_short_is_an_error(tmp_path, cut):
    path = write_lines(tmp_path / "tradesy.json.gz", [repr(one) for one in PEOPLE])
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(DataError, match="cannot be read to its end"):
        convert("tradesy-vbpr", tmp_path, tmp_path / "data")


def test_records_are_literals_and_nothing_is_run(tmp_path):
    mark = tmp_path / "mark"
    path = write_lines(tmp_path / "x.json", [f"{{'a': open({str(mark)!r}, 'w')}}"])
    with pytest.raises(DataError, match="line 1 is no record"):
        [*records(Published.at(path))]
    assert not mark.exists()


def test_halves_of_letters_do_not_stop_a_table(tmp_path):
    path = write_lines(
        tmp_path / "x.json", [r'{"a": ["x\ud83d", "\ud83d\ude00"], "b\udc00": 1}', r"{'a': 'y\d\ud83d'}"]
    )
    assert [*records(Published.at(path))] == [(1, {"a": ["x?", "😀"], "b?": 1}), (2, {"a": "y\\d?"})]


def test_reading_tells_how_far_it_is(tmp_path):
    path = write_lines(tmp_path / "x.json", ["{}"] * 25_000)
    told = []
    assert len([*records(Published.at(path), progress=lambda *how: told.append(how))]) == 25_000
    assert told == [(75_000, 75_000, "x.json")]
