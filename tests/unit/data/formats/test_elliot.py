from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from visrec.converting.conversion import convert, export
from visrec.converting.own import read_own, write_own
from visrec.data.dataset import load_dataset
from visrec.data.foreign import ForeignData, ForeignFeatures
from visrec.data.formats.elliot import ELLIOT
from visrec.errors import ConfigError, DataError
from visrec.features.features import Features

TRAIN = "1\t10\t5.0\t978300760\n2\t10\t3.0\t978302109\n"
VALID = "1\t30\t4.0\t978300800\n"
TEST = "1\t20\t2.5\t978300900\n2\t30\t1.0\t978302200\n"


def experiment(tmp_path, **files: str):
    (folder := tmp_path / "elliot").mkdir()
    for name, text in files.items():
        (folder / f"{name}.tsv").write_text(text, encoding="utf-8")
    return folder


def test_the_one_table_is_read(tmp_path):
    convert("elliot", experiment(tmp_path, dataset=TRAIN + TEST), tmp_path / "data")
    assert read_own(tmp_path / "data").interactions.rows() == [
        ("1", "10", 978300760, 5.0),
        ("2", "10", 978302109, 3.0),
        ("1", "20", 978300900, 2.5),
        ("2", "30", 978302200, 1.0),
    ]
    convert("elliot", tmp_path / "elliot" / "dataset.tsv", tmp_path / "again")
    assert read_own(tmp_path / "again").interactions.height == 4


@pytest.mark.parametrize(
    "names",
    [("train", "validation", "test"), ("trainingset", "validationset", "testset"), ("train", "val", "test")],
)
def test_tables_of_a_fixed_split_are_parts(names, tmp_path):
    folder = experiment(tmp_path, **dict(zip(names, (TRAIN, VALID, TEST), strict=True)))
    convert("elliot", folder, tmp_path / "data")
    rows = read_own(tmp_path / "data").interactions
    assert rows["evaluation"].to_list() == ["train", "train", "valid", "test", "test"]
    assert rows["item_id"].to_list() == ["10", "10", "30", "20", "30"]


def test_tables_of_other_names_are_named_by_options(tmp_path):
    folder = experiment(tmp_path, train_indexed=TRAIN, held=TEST, all=TRAIN + TEST)
    with pytest.raises(DataError, match=r"holds no dataset.tsv .* --set dataset=NAME"):
        convert("elliot", folder, tmp_path / "data")
    convert("elliot", folder, tmp_path / "data", options={"dataset": "all.tsv"})
    assert "evaluation" not in read_own(tmp_path / "data").interactions.columns
    options = {"train": "train_indexed.tsv", "test": "held.tsv"}
    convert("elliot", folder, tmp_path / "parts", options=options)
    assert read_own(tmp_path / "parts").interactions["evaluation"].to_list() == [
        "train",
        "train",
        "test",
        "test",
    ]
    with pytest.raises(DataError, match=r"holds train_indexed.tsv, but no test.tsv .* --set test=NAME"):
        convert("elliot", folder, tmp_path / "other", options={"train": "train_indexed.tsv"})


def test_two_columns_are_enough(tmp_path):
    made = convert("elliot", experiment(tmp_path, dataset="1\t10\n1\t20\n2\t10\n"), tmp_path / "data")
    rows = read_own(tmp_path / "data").interactions
    assert rows.rows() == [("1", "10", 0), ("1", "20", 1), ("2", "10", 0)]
    assert any("There are no times" in note for note in made.notes)


def test_a_folder_of_arrays_is_features_by_the_names_of_its_files(tmp_path):
    folder = experiment(tmp_path, dataset=TRAIN + TEST)
    for name, shape in (("visual/layer4", (1, 3)), ("plain", (3,)), ("maps", (2, 3))):
        (arrays := folder / name).mkdir(parents=True)
        for item in (10, 30, 999):
            np.save(arrays / f"{item}.npy", np.full(shape, item / 8))
    made = convert("elliot", folder, tmp_path / "data")
    items = load_dataset(tmp_path / "data", missing_images="mask").catalog.items
    for name, shape in (("visual-layer4", (3,)), ("plain", (3,)), ("maps", (2, 3))):
        features = Features.load(tmp_path / "data" / "features" / name).align(items)
        assert features.values.shape == (3, *shape)
        for item in ("10", "30"):
            np.testing.assert_array_equal(features.values[items.index(item)], np.full(shape, int(item) / 8))
        assert features.missing[items.index("20")]
    assert any("1 vectors are of no item" in note for note in made.notes)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"dataset": "1\t10\t5\t3\n1\t20\t5\n"}, "line 2 has 3 cells, the first line 4"),
        ({"dataset": "1\t10\t5\t3\t7\n"}, "line 1 has 5 cells; expected at most 4"),
        (
            {"dataset": "user\titem\trating\ttime\n1\t2\t3\t4\n"},
            "line 1, column rating: 'rating': is not a finite number",
        ),
        ({"dataset": "1,10,5,3\n"}, "has one column; expected user, item, rating and time between tabs"),
        ({"dataset": "1\t10\t5\t2020-01-01\n"}, "line 1, column timestamp: '2020-01-01'"),
        ({"dataset": "1\t10\t\t3\n1\t20\t5\t4\n"}, "line 1, column rating: an empty cell"),
        ({"dataset": "1\t\t5\t3\n"}, "column item_id: an empty cell: the id is missing"),
        ({"dataset": ""}, "is empty"),
        ({"train": TRAIN, "test": "1\t20\n"}, "the parts differ in what they hold"),
        ({"dataset": TRAIN, "item_ids": "20\tx\n"}, "line 1, column item_id: '10': is not in item_ids.tsv"),
        ({"dataset": TRAIN, "item_ids": "10\tx\n10\ty\n"}, "line 1, column number: '10': occurs twice"),
        ({"dataset": TRAIN, "item_ids": "10\n"}, "expected a number and an id"),
    ],
)
def test_damaged_tables_end_in_one_message(files, message, tmp_path):
    with pytest.raises(DataError, match=message):
        convert("elliot", experiment(tmp_path, **files), tmp_path / "data")
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros(4), r"30.npy: holds an array \(4,\), 10.npy one \(3,\)"),
        (np.array([object()]), "30.npy: is not a readable .npy file of numbers"),
        (np.array(["a"]), "30.npy: holds an array"),
        (np.array([1, np.inf, 0]), "the vector of item '30' holds NaN or infinity"),
    ],
)
def test_arrays_that_are_no_vectors_are_refused(array, message, tmp_path):
    folder = experiment(tmp_path, dataset=TRAIN + TEST)
    (folder / "v").mkdir()
    np.save(folder / "v" / "10.npy", np.zeros(3))
    np.save(folder / "v" / "30.npy", array)
    with pytest.raises(DataError, match=message):
        convert("elliot", folder, tmp_path / "data")


# ---- writing ---------------------------------------------------------------------------------------


def ours(tmp_path, ids: tuple[str, ...], *, users=("1", "2", "1"), **columns):
    """Three interactions with the first two of three items, of which the first and the last have a vector."""
    rows = {"user_id": users, "item_id": [ids[0], ids[0], ids[1]], "timestamp": [3, 1, 2]} | columns
    blocks = lambda: iter([np.float32([[1, 2], [3, 4]])])  # noqa: E731
    looks = ForeignFeatures("looks", pl.Series([ids[2], ids[0]]), (2,), blocks)
    (folder := tmp_path / "ours").mkdir()
    write_own(ForeignData(pl.DataFrame(rows), pl.DataFrame({"item_id": ids}), features=(looks,)), folder)
    return folder, [folder / "features" / "looks"]


def test_plain_numbers_stay_as_they_are(tmp_path):
    folder, features = ours(tmp_path, ("10", "20", "5"), rating=[1.5, 2.0, 3.0])
    export("elliot", folder, tmp_path / "out", features=features, options={"name": "shop"})
    out = tmp_path / "out"
    assert (out / "dataset.tsv").read_text() == "1\t10\t1.5\t3\n2\t10\t2.0\t1\n1\t20\t3.0\t2\n"
    assert {path.name: np.load(path).tolist() for path in (out / "looks").iterdir()} == {
        "5.npy": [1, 2],
        "10.npy": [3, 4],
    }
    assert not (out / "item_ids.tsv").exists()
    assert not (out / "user_ids.tsv").exists()
    text = (out / "shop.yml").read_text()
    assert "strategy: dataset\n    dataset_path: ../data/{0}/dataset.tsv" in text
    assert "dataloader: VisualAttribute\n        visual_features: ../data/{0}/looks" in text


@pytest.mark.parametrize("ids", [("007", "7", "5"), ("10", "x", "5"), ("10", "-1", "5"), ("10", "1.0", "5")])
def test_ids_that_elliot_would_change_are_numbered(ids, tmp_path):
    folder, features = ours(tmp_path, ids, users=("01", "1", "01"))
    made = export("elliot", folder, tmp_path / "out", features=features)
    numbers = dict(
        line.split("\t")[::-1] for line in (tmp_path / "out" / "item_ids.tsv").read_text().splitlines()
    )
    assert sorted(numbers.values()) == ["0", "1", "2"]
    assert np.load(tmp_path / "out" / "looks" / f"{numbers[ids[0]]}.npy").tolist() == [3, 4]
    rows = [line.split("\t") for line in (tmp_path / "out" / "dataset.tsv").read_text().splitlines()]
    assert rows == [
        ["0", numbers[ids[0]], "", "3"],
        ["1", numbers[ids[0]], "", "1"],
        ["0", numbers[ids[1]], "", "2"],
    ]
    assert (tmp_path / "out" / "user_ids.tsv").read_text() == "0\t01\n1\t1\n"
    assert sum("are numbered from 0 on" in note for note in made.notes) == 2
    convert("elliot", tmp_path / "out", tmp_path / "back")
    assert read_own(tmp_path / "back").interactions["item_id"].to_list() == [ids[0], ids[0], ids[1]]
    assert set(read_own(tmp_path / "back").items["item_id"]) == set(ids)


def test_parts_are_tables_and_an_empty_validation_part_is_none(tmp_path):
    folder, _ = ours(tmp_path, ("10", "20", "5"), evaluation=["test", "train", "train"])
    export("elliot", folder, tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "test.tsv",
        "train.tsv",
        "visrec.yml",
    ]
    assert (tmp_path / "out" / "test.tsv").read_text() == "1\t10\t\t3\n"
    assert "validation_path" not in (tmp_path / "out" / "visrec.yml").read_text()


def test_names_that_are_no_file_names_are_refused(tmp_path):
    folder, _ = ours(tmp_path, ("10", "20", "5"))
    with pytest.raises(ConfigError, match=r"--set name=\.\./x"):
        export("elliot", folder, tmp_path / "out", options={"name": "../x"})


def test_without_ratings_elliot_is_told_to_take_one_for_all(tmp_path):
    folder, _ = ours(tmp_path, ("10", "20", "5"))
    export("elliot", folder, tmp_path / "out")
    assert "  binarize: True\n" in (tmp_path / "out" / "visrec.yml").read_text()


def test_ratings_are_what_elliot_learns_from(tmp_path):
    folder, _ = ours(tmp_path, ("10", "20", "5"), rating=[0.0, -1.0, 3.0])
    export("elliot", folder, tmp_path / "out")
    assert "binarize" not in (tmp_path / "out" / "visrec.yml").read_text()
    assert (tmp_path / "out" / "dataset.tsv").read_text() == "1\t10\t0.0\t3\n2\t10\t-1.0\t1\n1\t20\t3.0\t2\n"


def test_regions_are_written_and_not_named_as_vectors(tmp_path):
    rows = pl.DataFrame({"user_id": ["1"], "item_id": ["10"], "timestamp": [1]})
    regions, vectors = np.arange(6, dtype=np.float32).reshape(1, 2, 3), np.ones((1, 4), dtype=np.float32)
    features = tuple(
        ForeignFeatures(name, pl.Series(["10"]), values.shape[1:], lambda values=values: iter([values]))
        for name, values in (("parts", regions), ("whole", vectors))
    )
    (out := tmp_path / "out").mkdir()
    notes = ELLIOT.write(ForeignData(interactions=rows, features=features), out)
    assert "parts: vectors of regions, which visrec.yml does not name." in notes
    assert np.load(out / "parts" / "10.npy").tolist() == regions[0].tolist()
    text = (out / "visrec.yml").read_text()
    assert "visual_features: ../data/{0}/whole" in text
    assert "parts" not in text
