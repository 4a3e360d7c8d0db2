from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from visrec.converting.conversion import convert, export
from visrec.converting.own import read_own, write_own
from visrec.data.dataset import load_dataset
from visrec.data.foreign import ForeignData, ForeignFeatures
from visrec.data.formats.mmrec import MMREC
from visrec.data.splits import leave_last_out
from visrec.errors import ConfigError, DataError
from visrec.features.features import Features

INTER = """userID\titemID\trating\ttimestamp\tx_label
1\t0\t5.0\t1328140800\t0
0\t2\t4.0\t1330387200\t1
1\t1\t4.0\t1328400000\t2
"""
USERS = "user_id\tuserID\nA3PMSRCL80KSA1\t0\nA1SNLWGLFXD70K\t1\n"
# The order of the file is not that of the numbers.
ITEMS = "asin\titemID\n0000031852\t2\n7245456259\t1\nB000002NUS\t0\n"
META = """itemID,asin,title,price,imUrl,brand,categories
1,7245456259,"Band, single",10.4,http://x/1.jpg,,"[['Sports & Outdoors', 'Exercise'], ['Sports & Outdoors', 'Bands']]"
2,0000031852,,7.0,,Ghost,[]
"""
IMAGES = np.arange(12, dtype=np.float64).reshape(3, 4) / 7  # as the published arrays: doubles


def sports(tmp_path, **files):
    """A folder as MMRec's preparation leaves it, with what a test changes; None: without that file."""
    (folder := tmp_path / "sports").mkdir()
    names = {
        "inter": "sports.inter",
        "users": "u_id_mapping.csv",
        "items": "i_id_mapping.csv",
        "meta": "meta-sports.csv",
    }
    names["missed"] = "missed_img_itemIDs.csv"
    for key, text in ({"inter": INTER, "users": USERS, "items": ITEMS, "meta": META} | files).items():
        if key in names and text is not None:
            (folder / names[key]).write_text(text, encoding="utf-8")
        elif text is not None:
            np.save(folder / f"{key}.npy", text)
    return folder


def vectors(folder, name: str) -> dict[str, list[float]]:
    """The vectors of a converted folder, by id."""
    (features,) = read_own(folder, features=[folder / "features" / name]).features
    return dict(zip(features.ids, np.concatenate([*features.blocks()]).tolist(), strict=True))


def test_numbers_become_ids_and_labels_parts(tmp_path):
    convert("mmrec", sports(tmp_path), tmp_path / "data")
    back = read_own(tmp_path / "data")
    assert back.interactions.rows() == [
        ("A1SNLWGLFXD70K", "B000002NUS", 1328140800, 5.0, "train"),
        ("A3PMSRCL80KSA1", "0000031852", 1330387200, 4.0, "valid"),
        ("A1SNLWGLFXD70K", "7245456259", 1328400000, 4.0, "test"),
    ]
    about = {row["item_id"]: row for row in back.items.to_dicts()}
    assert about["7245456259"] == {
        "item_id": "7245456259",
        "title": "Band, single",
        "price": "10.4",
        "image_url": "http://x/1.jpg",
        "brand": None,
        "category": "Sports & Outdoors|Exercise|Bands",
    }
    assert about["0000031852"]["brand"] == "Ghost"
    assert about["B000002NUS"]["title"] is None


def test_rows_of_an_array_are_items_by_number_not_by_the_order_of_any_file(tmp_path):
    texts = np.float32([[1], [2], [3]])
    convert("mmrec", sports(tmp_path, image_feat=IMAGES, text_feat=texts), tmp_path / "data")
    by_number = ["B000002NUS", "7245456259", "0000031852"]
    assert vectors(tmp_path / "data", "image") == {
        item: np.float32(row).tolist() for item, row in zip(by_number, IMAGES, strict=True)
    }
    assert vectors(tmp_path / "data", "text") == {"B000002NUS": [1], "7245456259": [2], "0000031852": [3]}


def test_rows_that_are_means_are_no_vectors(tmp_path):
    made = convert("mmrec", sports(tmp_path, image_feat=IMAGES, missed="1\n"), tmp_path / "data")
    items = load_dataset(tmp_path / "data", missing_images="mask").catalog.items
    features = Features.load(tmp_path / "data" / "features" / "image").align(items)
    assert items.take(np.flatnonzero(features.missing)).to_list() == ["7245456259"]
    assert any("1 items in missed_img_itemIDs.csv" in note for note in made.notes)
    (again := tmp_path / "none").mkdir()
    convert(
        "mmrec", sports(again, image_feat=IMAGES, missed=""), again / "data"
    )  # as numpy.savetxt writes no numbers
    assert len(vectors(again / "data", "image")) == 3


def test_a_folder_of_one_file_an_item_is_features_too(tmp_path):
    folder = sports(tmp_path)
    (ducho := folder / "visual" / "torch" / "resnet50").mkdir(parents=True)
    np.save(ducho / "0000031852.npy", np.float32([[1, 2]]))  # Ducho keeps the batch's axis
    np.save(ducho / "B000002NUS.npy", np.float32([[3, 4]]))
    convert("mmrec", folder, tmp_path / "data")
    assert vectors(tmp_path / "data", "visual-torch-resnet50") == {"0000031852": [1, 2], "B000002NUS": [3, 4]}


def test_without_tables_of_ids_numbers_are_ids(tmp_path):
    made = convert(
        "mmrec", sports(tmp_path, users=None, items=None, meta=None, image_feat=IMAGES), tmp_path / "data"
    )
    assert read_own(tmp_path / "data").interactions["item_id"].to_list() == ["0", "2", "1"]
    assert vectors(tmp_path / "data", "image")["2"] == np.float32(IMAGES[2]).tolist()
    assert sum("are taken as their ids" in note for note in made.notes) == 2


def test_columns_of_other_names_are_named_by_options(tmp_path):
    text = "u\ti\tweek\n0\t1\t3\n"
    folder = sports(tmp_path, inter=text, users=None, items=None, meta=None)
    made = convert("mmrec", folder, tmp_path / "data", options={"user": "u", "item": "i", "time": "t"})
    assert read_own(tmp_path / "data").interactions.rows() == [("0", "1", 0)]
    assert any("There is no column t:" in note for note in made.notes)
    assert "sports.inter: columns week are left out." in made.notes
    with pytest.raises(
        DataError, match=r"has no column 'userID'. Found: u, i, week. Name it: --set user=COLUMN"
    ):
        convert("mmrec", folder, tmp_path / "other")


def objects() -> np.ndarray:
    return np.array([{"a": 1}, None, []], dtype=object)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"image_feat": IMAGES[:2]}, "image_feat.npy: has 2 rows, but there are 3 items"),
        ({"image_feat": np.zeros((4, 2))}, "has 4 rows, but there are 3 items"),
        ({"image_feat": np.zeros(3)}, r"holds an array \(3,\)"),
        ({"image_feat": objects()}, "is not a readable .npy file of numbers"),
        ({"image_feat": np.array([[1, np.nan]] * 3)}, "holds NaN or infinity"),
        ({"image_feat": IMAGES, "missed": "3\n"}, "'3': is no row of the array"),
        (
            {"inter": INTER.replace("1\t0\t5.0", "1\t3\t5.0")},
            "line 2, column itemID: '3': has no id in i_id_mapping.csv",
        ),
        ({"inter": INTER.replace("1\t0\t5.0", "1\tx\t5.0")}, "'x': is no whole number from 0 on"),
        ({"inter": INTER.replace("800\t0", "800\t3")}, "line 2, column x_label: '3': is no part"),
        ({"inter": INTER[:-3]}, "line 4 has 4 cells, the first line 5"),
        ({"items": ITEMS.replace("\t2", "\t1")}, "line 2, column itemID: '1': occurs twice"),
        ({"items": ITEMS.replace("\t2", "\t3")}, "'3': leaves a gap"),
        ({"items": ITEMS.replace("0000031852", "7245456259")}, "column asin: '7245456259': occurs twice"),
        ({"items": ITEMS.replace("\t", ",")}, "expected an id and itemID, a tab between"),
        (
            {"meta": META.replace("1,7245456259", "1,B000002NUS")},
            "'B000002NUS' has the number 1, which .* '7245456259'",
        ),
        (
            {"meta": META.replace("1,7245456259", "2,7245456259")},
            "row 1 below the header: itemID '2'; expected each of 0 to 2",
        ),
    ],
)
def test_what_does_not_fit_ends_in_one_message(files, message, tmp_path):
    with pytest.raises(DataError, match=message):
        convert("mmrec", sports(tmp_path, **files), tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_an_array_that_is_cut_short_is_refused(tmp_path):
    folder = sports(tmp_path, image_feat=IMAGES)
    whole = (folder / "image_feat.npy").read_bytes()
    (folder / "image_feat.npy").write_bytes(whole[:-8])
    with pytest.raises(DataError, match=r"image_feat\.npy: is not a readable \.npy file"):
        convert("mmrec", folder, tmp_path / "data")


def test_a_category_that_is_an_expression_is_only_text(tmp_path):
    meta = "itemID,categories\n0,[__import__('os').getcwd()]\n1,plain\n"
    convert("mmrec", sports(tmp_path, meta=meta), tmp_path / "data")
    about = dict(read_own(tmp_path / "data").items.select("item_id", "category").rows())
    assert about == {"B000002NUS": "[__import__('os').getcwd()]", "7245456259": "plain", "0000031852": None}


# ---- writing ---------------------------------------------------------------------------------------

ROWS = {"user_id": ["v", "u", "u", "u"], "item_id": ["y", "x", "y", "007"], "timestamp": [4, 1, 2, 3]}
ABOUT = {
    "item_id": ["idle", "007", "x", "y"],
    "title": ["I", "a, b", None, "Y"],
    "image_url": [None, "h", None, None],
}


def ours(tmp_path, *features: ForeignFeatures, rows=ROWS):
    (folder := tmp_path / "ours").mkdir()
    write_own(ForeignData(pl.DataFrame(rows), pl.DataFrame(ABOUT), features=features), folder)
    return folder, [folder / "features" / one.name for one in features]


def looks(name: str = "resnet50") -> ForeignFeatures:
    """Vectors of y, idle and x, in this order; none of 007."""
    blocks = lambda: iter([np.float32([[1, 2], [9, 9]]), np.float32([[3, 6]])])  # noqa: E731
    return ForeignFeatures(name, pl.Series(["y", "idle", "x"]), (2,), blocks)


def test_files_are_written_as_mmrec_reads_them(tmp_path):
    folder, features = ours(tmp_path, looks(), looks("text-bert"))
    made = export("mmrec", folder, tmp_path / "out", features=features, options={"name": "shop"})
    out = tmp_path / "out"
    # the items of the catalogue in its order (x, y, 007), the one that nobody took last; users as they come
    assert (out / "i_id_mapping.csv").read_text() == "asin\titemID\nx\t0\ny\t1\n007\t2\nidle\t3\n"
    assert (out / "u_id_mapping.csv").read_text() == "user_id\tuserID\nv\t0\nu\t1\n"
    assert (out / "shop.inter").read_text() == (
        "userID\titemID\ttimestamp\tx_label\n0\t1\t4\t0\n1\t0\t1\t0\n1\t1\t2\t1\n1\t2\t3\t2\n"
    )
    array = np.load(out / "image_feat.npy")
    assert array.dtype == np.float32
    assert array.tolist() == [[3, 6], [1, 2], [2, 4]]  # 007 has the mean of x and y
    np.testing.assert_array_equal(np.load(out / "text_feat.npy"), array)
    assert (out / "missed_img_itemIDs.csv").read_text() == "2\n"
    assert (
        out / "meta-shop.csv"
    ).read_text() == 'itemID,asin,title,imUrl\n0,x,,\n1,y,Y,\n2,007,"a, b",h\n3,idle,I,\n'
    assert "inter_file_name: 'shop.inter'" in (out / "shop.yaml").read_text()
    for said in (
        "evaluation: the data set says no parts",
        "1 items without interactions have an id and no vector",
    ):
        assert any(said in note for note in made.notes), said


def test_parts_are_made_as_visrec_makes_them(tmp_path):
    rng = np.random.default_rng(5)
    rows = {
        "user_id": [f"u{n}" for n in rng.integers(0, 9, 60)],
        "item_id": [f"i{n}" for n in range(60)],
        "timestamp": rng.integers(0, 12, 60).tolist(),
    }
    about = pl.DataFrame({"item_id": rows["item_id"]})
    (folder := tmp_path / "ours").mkdir()
    write_own(ForeignData(pl.DataFrame(rows), about), folder)
    export("mmrec", folder, tmp_path / "out")
    convert("mmrec", tmp_path / "out", tmp_path / "back")
    found = read_own(tmp_path / "back").interactions
    split = leave_last_out(load_dataset(folder, missing_images="mask").interactions)
    for name in ("train", "valid", "test"):
        part = split.part(name)
        pairs = set(zip(part.users.take(part.user), part.items.take(part.item), strict=True))
        assert set(found.filter(pl.col("evaluation") == name).select("user_id", "item_id").rows()) == pairs


def test_what_mmrec_cannot_hold_is_refused(tmp_path):
    grid = ForeignFeatures("grid", pl.Series(["x"]), (3, 2), lambda: iter([np.ones((1, 3, 2), np.float32)]))
    folder, (first, second, third) = ours(tmp_path, looks(), looks("other"), grid)
    with pytest.raises(DataError, match=r"Features other: resnet50 is image_feat.npy already"):
        export("mmrec", folder, tmp_path / "out", features=[first, second])
    with pytest.raises(DataError, match="Features grid: 3 x 2 numbers an item"):
        export("mmrec", folder, tmp_path / "out", features=[third])
    with pytest.raises(ConfigError, match="--set name="):
        export("mmrec", folder, tmp_path / "out", options={"name": "a/b"})
    assert not (tmp_path / "out").exists()


def test_columns_whose_names_mmrec_has_for_itself_are_left_out_and_named(tmp_path):
    rows = pl.DataFrame({"user_id": ["u"], "item_id": ["a"], "timestamp": [1]})
    items = pl.DataFrame({"item_id": ["a"], "asin": ["B0"], "title": ["A"]})
    notes = MMREC.write(ForeignData(interactions=rows, items=items), tmp_path)
    assert "Columns asin of items are left out: MMRec has these names for itself." in notes
    assert (tmp_path / "meta-visrec.csv").read_text() == "itemID,asin,title\n0,a,A\n"
