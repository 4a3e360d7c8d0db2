from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from visrec.converting.conversion import convert, export
from visrec.converting.own import read_own, write_own
from visrec.data.dataset import load_dataset
from visrec.data.foreign import ForeignData, ForeignFeatures
from visrec.errors import ConfigError, DataError
from visrec.features.features import Features

INTER = """user_id:token\titem_id:token\trating:float\ttimestamp:float
1\t1193\t5\t978300760
1\t661\t3\t978302109
01\t661\t4\t978300275
"""
ITEM = """item_id:token\tmovie_title:token_seq\trelease_year:token\tgenre:token_seq
1193\tOne Flew Over the Cuckoo's Nest\t1975\tDrama
661\t"Great" Peach\t1996\tAnimation Children's Musical
0661\tNobody's\t\t
"""


def ml(tmp_path, **files: str):
    """The example of RecBole's documentation, with what a test changes: inter is ml.inter, a_inter ml.a.inter."""
    (folder := tmp_path / "ml").mkdir()
    for suffix, text in ({"inter": INTER, "item": ITEM} | files).items():
        (folder / f"ml.{suffix.replace('_', '.')}").write_text(text, encoding="utf-8")
    return folder


def test_interactions_and_items_are_read(tmp_path):
    made = convert("recbole", ml(tmp_path, user="user_id:token\tage:token\n1\t1\n"), tmp_path / "data")
    back = read_own(tmp_path / "data")
    assert back.interactions.rows() == [
        ("1", "1193", 978300760, 5.0),
        ("1", "661", 978302109, 3.0),
        ("01", "661", 978300275, 4.0),
    ]
    assert back.items.columns == ["item_id", "title", "release_year", "genre"]
    assert back.items.sort("item_id").rows() == [
        ("0661", "Nobody's", None, None),
        ("1193", "One Flew Over the Cuckoo's Nest", "1975", "Drama"),
        ("661", '"Great" Peach', "1996", "Animation|Children's|Musical"),
    ]
    assert load_dataset(tmp_path / "data", missing_images="mask").interactions.n_users == 2
    assert {row["file"]: row["became"] for row in made.files}["ml.user"] == "nothing: left out"


def test_benchmark_files_are_parts(tmp_path):
    head, *rows = INTER.splitlines(keepends=True)
    parts = {f"{part}_inter": head + row for part, row in zip(("part1", "part2", "part3"), rows, strict=True)}
    folder = ml(tmp_path, **parts)
    convert("recbole", folder, tmp_path / "whole", options={"name": "ml"})
    assert "evaluation" not in read_own(tmp_path / "whole").interactions.columns
    made = convert("recbole", folder, tmp_path / "data", options={"parts": "part1,part2,part3"})
    back = read_own(tmp_path / "data").interactions
    assert back["evaluation"].to_list() == ["train", "valid", "test"]
    assert back["item_id"].to_list() == ["1193", "661", "661"]
    assert "nothing: the parts hold them" in [row["became"] for row in made.files]
    (folder / "ml.part3.inter").unlink()
    with pytest.raises(DataError, match=r"holds ml.part1.inter, ml.part2.inter, but no ml.part3.inter"):
        convert("recbole", folder, tmp_path / "other", options={"parts": "part1,part2,part3"})
    with pytest.raises(ConfigError, match="expected three"):
        convert("recbole", folder, tmp_path / "other", options={"parts": "part1,part2"})


def test_vectors_stand_by_id_whatever_the_order(tmp_path):
    emb = "iid:token\titem_emb:float_seq\n661\t-115.08 13.60\n0661\t1e-3 2\n1193\t0 7\n"
    users = "uid:token\tuser_emb:float_seq\n1\t1 2\n"
    made = convert("recbole", ml(tmp_path, itememb=emb, useremb=users), tmp_path / "data")
    items = load_dataset(tmp_path / "data", missing_images="mask").catalog.items
    features = Features.load(tmp_path / "data" / "features" / "itememb").align(items)
    expected = {"661": [-115.08, 13.6], "0661": [1e-3, 2], "1193": [0, 7]}
    for item, vector in expected.items():
        np.testing.assert_array_equal(features.values[items.index(item)], np.float32(vector))
    became = {row["file"]: row["became"] for row in made.files}
    assert became["ml.useremb"] == "nothing; vectors of items: --set vectors=useremb"


def test_vectors_in_the_table_of_items_are_features_too(tmp_path):
    item = "item_id:token\tv:float_seq\tname:token\n661\t1 2\tPeach\n1193\t\tNest\n"
    convert("recbole", ml(tmp_path, item=item), tmp_path / "data")
    features = Features.load(tmp_path / "data" / "features" / "v")
    assert features.missing.tolist() == [False, True]  # 661 before 1193, which has none
    assert features.values[0].tolist() == [1, 2]
    assert read_own(tmp_path / "data").items["title"].to_list() == ["Peach", "Nest"]


def test_fields_of_other_names_are_named_by_options(tmp_path):
    text = "u:token\ti:token\tstars:float\tat:float\treview:token_seq\na\tb\t1.5\t3.0\twhat a thing\n"
    item = "i:token\titem_id:token\tblurb:token_seq\nb\tother\tmany words here\n"
    folder = ml(tmp_path, inter=text, item=item)
    options = {"user": "u", "item": "i", "rating": "stars", "time": "at", "text": "blurb"}
    made = convert("recbole", folder, tmp_path / "data", options=options)
    back = read_own(tmp_path / "data")
    assert back.interactions.rows() == [("a", "b", 3, 1.5)]
    assert back.items.to_dicts() == [{"item_id": "b", "item_id_": "other", "blurb": "many words here"}]
    assert "ml.inter: fields review are left out." in made.notes
    with pytest.raises(DataError, match=r"has no field 'user_id'. Found: u, i, .* --set user=FIELD"):
        convert("recbole", folder, tmp_path / "other")


def test_without_times_the_place_of_a_row_stands_for_them(tmp_path):
    made = convert(
        "recbole",
        ml(tmp_path, inter="user_id:token\titem_id:token\na\t661\nb\t661\na\t1193\n"),
        tmp_path / "d",
    )
    assert read_own(tmp_path / "d").interactions["timestamp"].to_list() == [0, 0, 1]
    assert any("no field timestamp" in note for note in made.notes)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"inter": INTER[:-12]}, "ml.inter: line 4 has 3 cells, the first line 4"),
        ({"inter": INTER.replace(":token", "")}, "header has a cell 'user_id'; expected name:type"),
        ({"inter": INTER.replace(":token", ":str")}, "header has a cell 'user_id:str'"),
        ({"inter": INTER.replace("\t", ",")}, "expected name:type, a type of token.*tabs between"),
        (
            {"inter": INTER.replace("\t5\t", "\tfive\t")},
            "line 2, column rating:float: 'five': is not a finite",
        ),
        (
            {"inter": INTER.replace("\n01\t", "\n\t")},
            "line 4, column user_id:token: an empty cell: the id is missing",
        ),
        ({"inter": INTER.replace("978302109", "")}, "line 3, column timestamp:float: an empty cell"),
        ({"item": ITEM + "661\tAgain\t\t\n"}, "661.* stands twice"),
        ({"item": ITEM.replace("item_id", "movie_id")}, "ml.item: has no field 'item_id'. Found: movie_id"),
        (
            {"itememb": "iid:token\te:float_seq\n661\t1 2\n1193\t1 2 3\n"},
            "line 3: 3 numbers in e, where the first has 2",
        ),
        ({"itememb": "iid:token\te:float_seq\n661\t1 x\n"}, "line 2: no vector of numbers"),
        ({"itememb": "iid:token\te:float_seq\n661\t1 nan\n"}, "holds NaN or infinity"),
        ({"itememb": "iid:token\te:float_seq\n661\n"}, "line 2 has 1 cells, the header 2"),
        ({"itememb": "iid:token\te:float_seq\n"}, "a header and no vectors"),
        ({"itememb": "iid:token\tx:float\n661\t1\n"}, "expected one of the type token, the item, and one of"),
        ({"itememb": "iid:token\te:float_seq\n661\t1 2\n661\t1 2\n"}, "item '661' has two rows"),
        ({"train_inter": INTER}, "holds ml.train.inter, but no ml.test.inter"),
    ],
)
def test_damaged_files_end_in_one_message(files, message, tmp_path):
    with pytest.raises(DataError, match=message):
        convert("recbole", ml(tmp_path, **files), tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_a_folder_of_several_data_sets_or_none_asks_for_one(tmp_path):
    folder = ml(tmp_path)
    (folder / "other.inter").write_text(INTER)
    with pytest.raises(DataError, match=r"several data sets: ml, other. Choose one: --set name=ml"):
        convert("recbole", folder, tmp_path / "data")
    convert("recbole", folder / "other.inter", tmp_path / "data")
    with pytest.raises(DataError, match=r"holds no \.inter file"):
        convert("recbole", tmp_path / "data", tmp_path / "d2")
    with pytest.raises(DataError, match="does not exist"):
        convert("recbole", tmp_path / "nothing", tmp_path / "d2")


# ---- writing ---------------------------------------------------------------------------------------


def ours(tmp_path, rows: dict, items: dict, *features: ForeignFeatures):
    (folder := tmp_path / "ours").mkdir()
    write_own(ForeignData(pl.DataFrame(rows), pl.DataFrame(items), features=features), folder)
    return folder


ROWS = {"user_id": ["u", "v", "u"], "item_id": ["007", "a b", "a b"], "timestamp": [3, 1, 2]}
ITEMS = {
    "item_id": ["007", "a b"],
    "title": ["A  b\tc", None],
    "tags": ["sci fi|old", "old"],
    "x:y": ["1", "2"],
}


def test_files_are_written_as_recbole_reads_them(tmp_path):
    vectors = ForeignFeatures(
        "looks", pl.Series(["a b"]), (2,), lambda: iter([np.array([[0.1, 2]], np.float32)])
    )
    more = ForeignFeatures("more", pl.Series(["a b"]), (1,), lambda: iter([np.array([[5]], np.float32)]))
    rows = ROWS | {
        "evaluation": ["train", "valid", "test"],
        "rating": [1.0, 2.5, 3.0],
        "weight": [1.0, 2.0, 1.0],
    }
    folder = ours(tmp_path, rows, ITEMS, vectors, more)
    features = [folder / "features" / one for one in ("looks", "more")]
    made = export("recbole", folder, tmp_path / "out", features=features, options={"name": "shop"})
    texts = {path.name: path.read_text() for path in (tmp_path / "out").iterdir()}
    head = "user_id:token\titem_id:token\ttimestamp:float\trating:float\tweight:float\n"
    assert texts["shop.inter"] == f"{head}u\t007\t3\t1.0\t1.0\nv\ta b\t1\t2.5\t2.0\nu\ta b\t2\t3.0\t1.0\n"
    assert texts["shop.valid.inter"] == f"{head}v\ta b\t1\t2.5\t2.0\n"
    assert texts["shop.item"] == (
        "item_id:token\ttitle:token_seq\ttags:token_seq\tx_y:token\n007\tA  b c\tsci_fi old\t1\na b\t\told\t2\n"
    )
    assert texts["shop.itememb"] == "iid:token\titem_emb:float_seq\na b\t0.1 2.0\n"
    assert texts["shop.itememb2"] == "iid2:token\titem_emb2:float_seq\na b\t5.0\n"
    assert texts["shop.yaml"] == (
        'dataset: shop\nfield_separator: "\\t"\nseq_separator: " "\nload_col:\n'
        "  inter: [user_id, item_id, timestamp, rating, weight]\n  item: [item_id, title, tags, x_y]\n"
        "  itememb: [iid, item_emb]\n  itememb2: [iid2, item_emb2]\nadditional_feat_suffix: [itememb, itememb2]\n"
        "alias_of_item_id: [iid, iid2]\npreload_weight:\n  iid: item_emb\n  iid2: item_emb2\n"
        "benchmark_filename: [train, valid, test]\n"
    )
    assert len(texts) == 8
    for said in (
        "tags: 1 items have values with ' '",
        "title: 1 cells have spaces",
        "Column 'x:y' is named 'x_y'",
    ):
        assert any(said in note for note in made.notes), said


def test_two_parts_are_written_and_recbole_splits_itself(tmp_path):
    folder = ours(tmp_path, ROWS | {"evaluation": ["train", "train", "test"]}, ITEMS)
    made = export("recbole", folder, tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").glob("*.inter")) == [
        *("visrec.inter", "visrec.test.inter", "visrec.train.inter")
    ]
    assert "benchmark_filename" not in (tmp_path / "out" / "visrec.yaml").read_text()
    assert any("There is no part valid" in note for note in made.notes)


def test_dates_are_written_as_seconds(tmp_path):
    folder = ours(tmp_path, ROWS | {"timestamp": ["1970-01-03", "1970-01-01", "1970-01-02"]}, ITEMS)
    made = export("recbole", folder, tmp_path / "out")
    assert "u\t007\t172800\n" in (tmp_path / "out" / "visrec.inter").read_text()
    assert any("Unix seconds" in note for note in made.notes)


@pytest.mark.parametrize("word", ["NA", "None", "null"])
def test_ids_that_recbole_reads_as_missing_are_refused(word, tmp_path):
    folder = ours(tmp_path, ROWS | {"user_id": ["u", word, "u"]}, ITEMS)
    with pytest.raises(DataError, match=f"RecBole: the user id '{word}' is read as a missing value"):
        export("recbole", folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_regions_and_names_that_are_none_are_refused(tmp_path):
    regions = ForeignFeatures(
        "grid", pl.Series(["007"]), (3, 2), lambda: iter([np.ones((1, 3, 2), np.float32)])
    )
    folder = ours(tmp_path, ROWS, ITEMS, regions)
    with pytest.raises(DataError, match="Features grid: 3 x 2 numbers an item"):
        export("recbole", folder, tmp_path / "out", features=[folder / "features" / "grid"])
    with pytest.raises(ConfigError, match=r"--set name=a/b"):
        export("recbole", folder, tmp_path / "out", options={"name": "a/b"})


def test_vectors_among_the_items_are_told(tmp_path):
    (tmp_path / "x.inter").write_text("user_id:token\titem_id:token\nu\ta\n")
    (tmp_path / "x.item").write_text("item_id:token\tlooks:float_seq\na\t0.5 1\n")
    made = convert("recbole", tmp_path, tmp_path / "made")
    assert [row["became"] for row in made.files] == ["interactions", "items, features/looks"]
