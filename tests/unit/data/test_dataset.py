"""load_dataset: what a folder is read as, and the one message that a fault ends in."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from visrec.data.dataset import Dataset, load_catalog, load_dataset
from visrec.errors import DataError

Make = Callable[..., Path]

CSV = "user_id,item_id,timestamp\nu1,i1,1\nu1,i2,2\nu2,i1,3\n"


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """A data set folder: files by name (bytes, text, a table; None: not there), and pictures by item id."""

    def write(
        interactions: str | bytes | pl.DataFrame | None = CSV,
        *,
        images: tuple[str, ...] | None = ("i1.jpg", "i2.jpg"),
        **files: str | bytes | pl.DataFrame,
    ) -> Path:
        folder = tmp_path / "shop"
        folder.mkdir(exist_ok=True)
        if images is not None:
            (folder / "images").mkdir(exist_ok=True)
            for name in images:
                (folder / "images" / name).write_bytes(b"not decoded here")
        for name, content in {"interactions": interactions, **files}.items():
            if isinstance(content, pl.DataFrame):
                content.write_parquet(folder / f"{name}.parquet")
            elif content is not None:
                data = content.encode() if isinstance(content, str) else content
                (folder / f"{name}.csv").write_bytes(data)
        return folder

    return write


def fault(folder: Path, **settings: object) -> str:
    """The message of loading, without the folder's own path."""
    with pytest.raises(DataError) as caught:
        load_dataset(folder, **settings)
    message = str(caught.value)
    assert "\n" not in message
    return message.replace(f"{folder}", "shop")


def rows_of(data: Dataset) -> list[tuple[object, ...]]:
    """(user id, item id, timestamp, weight) of all interactions."""
    found = data.interactions
    users, items = found.users.take(found.user).to_list(), found.items.take(found.item).to_list()
    return list(zip(users, items, found.timestamp.tolist(), found.weight.tolist(), strict=True))


def test_folder_is_read_as_interactions_and_catalogue(make: Make):
    folder = make(images=("i1.jpg", "i2.PNG", "i3.webp", "notes.txt", ".hidden.jpg"))
    data = load_dataset(str(folder))

    assert rows_of(data) == [("u1", "i1", 1, 1.0), ("u1", "i2", 2, 1.0), ("u2", "i1", 3, 1.0)]
    assert data.interactions.evaluation is None
    assert data.catalog.items is data.interactions.items
    assert data.catalog.items.values.to_list() == ["i1", "i2", "i3"]
    assert data.catalog.paths == tuple(folder / "images" / name for name in ("i1.jpg", "i2.PNG", "i3.webp"))
    assert data.catalog.metadata.to_dict(as_series=False) == {"item_id": ["i1", "i2", "i3"]}
    assert data.folder == folder
    assert data.notes == ()


def test_weight_and_evaluation_are_read(make: Make):
    data = load_dataset(
        make("timestamp,weight,item_id,user_id,evaluation\n1,0.5,i1,u1,train\n2,3,i2,u1,true\n")
    )

    assert rows_of(data) == [("u1", "i1", 1, 0.5), ("u1", "i2", 2, 3.0)]
    assert data.interactions.evaluation is not None
    assert data.interactions.evaluation.tolist() == [0, 2]


def test_ids_leading_zeros(make: Make):
    """Tutorial error: 012 and 12 are two items."""
    folder = make("user_id,item_id,timestamp\n01,012,1\n1,12,2\n", images=("012.jpg", "12.jpg"))
    data = load_dataset(folder)

    assert rows_of(data) == [("01", "012", 1, 1.0), ("1", "12", 2, 1.0)]
    assert data.catalog.paths[data.catalog.items.index("012")] == folder / "images" / "012.jpg"


def test_leading_zeros_of_metadata_survive(make: Make):
    data = load_dataset(make(items="item_id,code\ni1,007\ni2,99999999999999999999\n"))

    assert data.catalog.metadata["code"].to_list() == ["007", "99999999999999999999"]


def test_parquet_with_numbers_and_csv_with_text_give_the_same_indices(make: Make, tmp_path: Path):
    table = pl.DataFrame({"user_id": [2, 10, 2], "item_id": [10, 9, 9], "timestamp": [1, 2, 3]})
    pictures = ("9.jpg", "10.jpg", "100.jpg")
    numbers = load_dataset(make(table, images=pictures))
    shutil.rmtree(tmp_path / "shop")
    texts = load_dataset(make(table.write_csv(), images=pictures))

    assert numbers.interactions.digest == texts.interactions.digest
    assert numbers.interactions.items.values.to_list() == [9, 10, 100]
    assert texts.interactions.items.values.to_list() == ["9", "10", "100"]
    assert numbers.catalog.metadata["item_id"].to_list() == [9, 10, 100]


@pytest.mark.parametrize("other", ["05", "cover"])
def test_numbers_become_text_where_one_item_id_is_no_number(make: Make, other: str):
    table = pl.DataFrame({"user_id": [1], "item_id": [5], "timestamp": [1]})
    data = load_dataset(make(table, images=("5.jpg", f"{other}.jpg")))

    assert data.catalog.items.values.to_list() == ["5", other]
    assert rows_of(data) == [(1, "5", 1, 1.0)]


def test_reading_tells_how_far_it_is(make: Make):
    told: list[tuple[int, int, str]] = []
    load_dataset(make(), progress=lambda *word: told.append(word))

    steps = told[-1][1]
    assert [done for done, _, _ in told] == list(range(steps + 1))
    assert {total for _, total, _ in told} == {steps}
    assert (told[0][2], told[-1][2]) == ("reading interactions.csv", "3 interactions")


def test_users_and_items_whose_rows_are_all_left_out_are_not_known(make: Make):
    folder = make(
        "user_id,item_id,timestamp,rating\nu1,i1,1,5\nu2,i1,2,1\nu1,i9,3,1\n", images=("i1.jpg",)
    )  # u2 and i9 have low ratings alone
    data = load_dataset(folder, min_rating=3, missing_images="mask")

    assert data.interactions.users.values.to_list() == ["u1"]
    assert data.catalog.items.values.to_list() == ["i1"]


def test_row_of_an_unknown_item_is_counted_in_the_file(make: Make):
    rows = "u1,i1,5\nu1,i1,6\nu2,i1,1\nu1,i9,3\nu2,i9,2\n"  # the first is older than the second: left out
    folder = make(f"user_id,item_id,timestamp\n{rows}", items="item_id\ni1\n")

    assert "row 4 below the header: item 'i9' is not in items.csv (1 such items in all)" in fault(folder)


@pytest.mark.parametrize("kind", [pl.Categorical, pl.Int32, pl.UInt64, pl.Int64, pl.String])
def test_ids_of_any_type_are_the_same_ids(make: Make, kind: type[pl.DataType]):
    table = pl.DataFrame({"user_id": ["12", "7", "12"], "item_id": ["1", "1", "2"], "timestamp": [3, 1, 2]})
    typed = table.with_columns(
        pl.col("user_id", "item_id").cast(pl.Int64).cast(kind)
        if kind not in (pl.Categorical, pl.String)
        else pl.col("user_id", "item_id").cast(kind)
    )
    data = load_dataset(make(typed, images=("1.jpg", "2.jpg")))

    assert data.interactions.users.written.to_list() == ["7", "12"]
    found = data.interactions
    assert (found.user.tolist(), found.item.tolist(), found.timestamp.tolist()) == (
        [0, 1, 1],
        [0, 1, 0],
        [1, 2, 3],
    )


def test_repeated_pair_keeps_its_newest_row(make: Make):
    data = load_dataset(
        make("user_id,item_id,timestamp,weight\nu1,i1,5,1\nu1,i1,9,2\nu1,i1,7,3\nu1,i2,1,4\n")
    )

    assert rows_of(data) == [("u1", "i2", 1, 4.0), ("u1", "i1", 9, 2.0)]
    assert data.notes == ("2 repeated user-item pairs: the newest row of each was kept.",)


def test_min_rating_drops_what_lies_below(make: Make):
    folder = make("user_id,item_id,timestamp,rating\nu1,i1,1,3.5\nu1,i2,2,4\nu2,i1,3,5\nu3,i1,4,1\n")

    assert [row[:2] for row in rows_of(load_dataset(folder, min_rating=4))] == [("u1", "i2"), ("u2", "i1")]
    assert load_dataset(folder, min_rating=4).interactions.users.values.to_list() == ["u1", "u2"]
    assert load_dataset(folder, min_rating=4).interactions.n_items == 2  # candidates all the same
    assert load_dataset(folder, min_rating=4).notes == ("2 of 4 interactions are rated below 4: left out.",)
    assert len(load_dataset(folder).interactions) == 4
    assert "all ratings count as liked" in load_dataset(folder).notes[0]


def test_min_rating_looks_at_the_newest_rating_of_a_pair(make: Make):
    folder = make("user_id,item_id,timestamp,rating\nu1,i1,1,5\nu1,i1,2,1\nu1,i2,1,1\nu1,i2,2,5\n")

    assert rows_of(load_dataset(folder, min_rating=4)) == [("u1", "i2", 2, 1.0)]


def test_metadata_are_in_index_order_whatever_the_order_of_the_file(make: Make):
    data = load_dataset(make(items="title,item_id,note\nSecond,i2,\nFirst,i1,x\n"))

    assert data.catalog.metadata.columns == ["item_id", "title", "note"]
    assert data.catalog.metadata.rows() == [("i1", "First", "x"), ("i2", "Second", None)]
    assert data.catalog.title(1) == "Second"


def test_metadata_of_parquet_keep_their_types(make: Make):
    items = pl.DataFrame({"item_id": ["i2", "i1"], "year": [1999, 1984], "tags": [["a"], ["b", "c"]]})

    assert load_dataset(make(items=items)).catalog.metadata.rows() == [
        ("i1", 1984, ["b", "c"]),
        ("i2", 1999, ["a"]),
    ]


def test_images_of_no_item_are_ignored_with_a_note(make: Make):
    data = load_dataset(make(images=("i1.jpg", "i2.jpg", "i3.jpg"), items="item_id\ni1\ni2\n"))

    assert len(data.catalog) == 2
    assert data.notes == ("1 images belong to no item of items.csv: ignored.",)


def test_images_csv_says_where_the_images_are(make: Make, tmp_path: Path):
    outside = tmp_path / "elsewhere.png"
    outside.touch()
    folder = make(images=("a.jpg",))
    (folder / "images.csv").write_text(f"path,item_id\nimages/a.jpg,i1\n{outside},i2\n")

    assert load_dataset(folder).catalog.paths == (folder / "images" / "a.jpg", outside)


def test_missing_images_can_be_masked(make: Make):
    for files in ({}, {"items": "item_id\ni1\ni2\n"}):
        data = load_dataset(make(images=("i1.jpg",), **files), missing_images="mask")
        assert [path is None for path in data.catalog.paths] == [False, True]
        assert data.notes == ("1 items have no image: they have no visual features.",)


def test_images_can_be_missing_altogether(make: Make):
    data = load_dataset(make(images=None), missing_images="mask")

    assert data.catalog.items.values.to_list() == ["i1", "i2"]
    assert data.catalog.paths == (None, None)


def test_images_csv_may_point_to_nothing_where_missing_images_are_masked(make: Make):
    folder = make(images=None)
    (folder / "images.csv").write_text("item_id,path\ni1,\ni2,images/no.jpg\n")

    assert load_dataset(folder, missing_images="mask").catalog.paths == (None, None)


def test_byte_order_mark_and_windows_line_ends_are_read_silently(make: Make, tmp_path: Path):
    plain = load_dataset(make())
    shutil.rmtree(tmp_path / "shop")
    windows = load_dataset(make(b"\xef\xbb\xbf" + CSV.replace("\n", "\r\n").encode()))

    assert windows.interactions.digest == plain.interactions.digest
    assert windows.notes == ()


HEADER = "user_id,item_id,timestamp"
EXTRA = f"{HEADER},weight,rating,evaluation"

BAD_INTERACTIONS = {
    "missing column": ("user,item_id,timestamp\nu1,i1,1\n", ["column user_id is missing. Found: 'user', 'item_id'"]),
    "semicolons": (CSV.replace(",", ";"), ["separate them by commas"]),
    "empty file": ("", ["is empty"]),
    "header only": (f"{HEADER}\n", ["has column names but no rows"]),
    "duplicate header": (f"{HEADER},item_id\nu1,i1,1,i1\n", ["column 'item_id' occurs twice"]),
    "unparsable time": (f"{CSV}u2,i2,yesterday\n", ["column timestamp, row 4 below the header: 'yesterday'"]),
    "mixed times": (f"{CSV}u2,i2,2021-01-01\n", ["column timestamp, row 4 below the header: '2021-01-01'"]),
    "NaN time": (f"{CSV}u2,i2,NaN\n", ["column timestamp, row 4 below the header: 'NaN' is not a time"]),
    "empty time": (f"{CSV}u2,i2,\n", ["column timestamp, row 4 below the header: an empty field is not a time"]),
    "short row": (f"{CSV}u2,i2\n", ["column timestamp, row 4 below the header: an empty field"]),
    "long row": (f"{CSV}u2,i2,5,6\n", ["row 4 below the header has 4 fields, the header has 3"]),
    "NaN id": (f"{CSV}nan,i2,4\n", ["column user_id, row 4 below the header: the id is missing"]),
    "empty id": (f"{CSV}u2,,4\n", ["column item_id, row 4 below the header: the id is missing"]),
    "quoted empty id": (f'{CSV}u2,"",4\n', ["column item_id, row 4 below the header: the id is missing"]),
    "blank line between": (f"{CSV}\nu2,i2,4\n", ["column user_id, row 4 below the header: the id is missing"]),
    "latin-1 body": (f"{CSV}\xe9,i2,4\n".encode("latin-1"), ["is not UTF-8 text. Convert it"]),
    "latin-1 header": (f"{HEADER},caf\xe9\nu1,i1,1,1\n".encode("latin-1"), ["is not UTF-8 text. Convert it"]),
    "utf-16": (CSV.encode("utf-16"), ["is UTF-16 text; expected CSV as UTF-8 text"]),
    "open quotation": (f'{CSV}"u2,i2,4\n', ["row 4 below the header: wrong quotation marks"]),
    "negative weight": (f"{EXTRA}\nu1,i1,1,1,5,0\nu1,i2,2,-1,5,0\n", ["column weight, row 2 below the header: '-1'"]),
    "weight in words": (f"{EXTRA}\nu1,i1,1,much,5,0\n", ["column weight, row 1 below the header: 'much'"]),
    "rating in words": (f"{EXTRA}\nu1,i1,1,1,good,0\n", ["column rating, row 1 below the header: 'good'"]),
    "unknown part": (f"{EXTRA}\nu1,i1,1,1,5,perhaps\n", ["column evaluation, row 1", "'perhaps' is not a part"]),
    "item without image": (f"{CSV}u2,i9,4\nu1,i8,4\n", ["2 item(s) have no image, first 'i9' (interactions.csv,"]),
    "null id": (
        pl.DataFrame({"user_id": [1, None], "item_id": ["i1", "i2"], "timestamp": [1, 2]}),
        ["interactions.parquet: column user_id, row 2: the id is missing"],
    ),
    "float id": (
        pl.DataFrame({"user_id": [1.0, float("nan")], "item_id": ["i1", "i2"], "timestamp": [1, 2]}),
        ["interactions.parquet: column user_id holds floating-point numbers; 1 are missing, first in row 2"],
    ),
    "NaN time in parquet": (
        pl.DataFrame({"user_id": ["u1"], "item_id": ["i1"], "timestamp": [float("nan")]}),
        ["interactions.parquet: column timestamp, row 1: nan is not a time"],
    ),
    "no rows in parquet": (
        pl.DataFrame({"user_id": [], "item_id": [], "timestamp": []}),
        ["interactions.parquet: has column names but no rows"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_INTERACTIONS)
def test_bad_interactions_end_in_one_message(make: Make, name: str):
    content, expected = BAD_INTERACTIONS[name]
    message = fault(make(content))

    for part in ("shop/", "interactions.", *expected):
        assert part in message


def test_rows_are_named_as_they_stand_in_the_file_also_after_sorting(make: Make):
    """The newest rows come first, one of them is a repetition, and the unknown items stand in rows 2 and 4."""
    rows = f"{HEADER}\nu1,i1,9\nu1,i8,8\nu1,i1,3\nu1,i9,1\n"

    assert "first 'i8' (interactions.csv, row 2 below the header)" in fault(make(rows))
    message = fault(make(rows, items="item_id\ni1\ni2\n"))
    assert "interactions.csv: row 2 below the header: item 'i8' is not in items.csv (2 such items" in message


def test_min_rating_that_leaves_nothing_is_refused(make: Make):
    assert "interactions.csv: min_rating is 4 but there is no column rating" in fault(make(), min_rating=4)
    message = fault(make(f"{EXTRA}\nu1,i1,1,1,3.5,0\n"), min_rating=4)
    assert "no rating is at least 4; the highest is 3.5. Choose a lower min_rating." in message


def test_item_without_image_is_named_by_the_items_file_where_nobody_took_it(make: Make):
    message = fault(make(items="item_id\ni1\ni3\ni2\n"))

    assert "shop/images: 1 item(s) have no image, first 'i3' (items.csv)" in message
    assert '--allow-missing-images (in an experiment\'s file missing_images = "mask" under [data]' in message


@pytest.mark.parametrize("listing", [None, "item_id,path\ni1,gone.jpg\n"])
@pytest.mark.parametrize("images", [None, (), ("i1.jpg",)])
def test_every_refusal_of_missing_images_says_how_to_allow_them(
    make: Make, images: tuple[str, ...] | None, listing: str | None
):
    folder = make(images=images)
    if listing is not None:
        (folder / "images.csv").write_text(listing)
    assert '--allow-missing-images (in an experiment\'s file missing_images = "mask"' in fault(folder)
    load_dataset(folder, missing_images="mask")


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"items": "item_id\ni1\ni2\ni1\n"}, "items.csv: item 'i1' occurs twice, in row 1 below the header and in"),
        ({"items": "id,title\ni1,a\n"}, "items.csv: column item_id is missing. Found: 'id', 'title'"),
        ({"items": "item_id,title\n,a\n"}, "items.csv: column item_id, row 1 below the header: the id is missing"),
        ({"items": "item_id,title\ni1,a,b\n"}, "items.csv: row 1 below the header has 3 fields, the header has 2"),
        ({"items": ""}, "items.csv: is empty"),
        ({"images": ("i1.jpg", "i2.jpg", "i1.png")}, "images: item 'i1' has two images, i1.jpg and i1.png; keep one"),
        ({"images": ()}, "shop/images: holds no picture. Put each item's picture there as <item_id>.jpg"),
        ({"images": None}, "shop: no images/ folder and no images.csv. Put each item's picture at"),
    ],
)  # fmt: skip
def test_bad_catalogue_ends_in_one_message(make: Make, files: dict[str, object], expected: str):
    assert expected in fault(make(**files))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("item_id,path\ni1,images/i1.jpg\ni2,no.jpg\n", "row 2 below the header: item 'i2': no image file at 'no"),
        ("item_id,path\ni1,images/i1.jpg\ni2,\n", "row 2 below the header: item 'i2': no image file at ''"),
        (f"item_id,path\ni1,{'x' * 5000}\n", "row 1 below the header: item 'i1': no image file at 'xxx"),
        ("item_id,path\ni1,images\n", "row 1 below the header: item 'i1': no image file at 'images'"),
        ("item_id,path\ni1,a\0b\n", "row 1 below the header: item 'i1': no image file"),
        ("item_id,path\ni1,images/i1.jpg\ni1,images/i2.jpg\n", "item 'i1' occurs twice"),
        ("item_id,path\ni1,images/i1.jpg\n", "1 item(s) have no image, first 'i2' (interactions.csv, row 2"),
        ("item,path\ni1,images/i1.jpg\n", "column item_id is missing"),
    ],
)  # fmt: skip
def test_bad_images_csv_ends_in_one_message(make: Make, content: str, expected: str):
    folder = make()
    (folder / "images.csv").write_text(content)

    assert f"images.csv: {expected}" in fault(folder)


def test_images_parquet_with_numbers_for_paths_is_refused(make: Make):
    folder = make()
    pl.DataFrame({"item_id": ["i1"], "path": [1]}).write_parquet(folder / "images.parquet")

    assert "images.parquet: column path is of type Int64; store it as text." in fault(folder)


def test_folder_where_a_file_should_be_and_the_reverse(make: Make, tmp_path: Path):
    folder = make(None)
    (folder / "interactions.csv").mkdir()
    assert fault(folder) == "shop/interactions.csv: is a folder; expected a file."

    (folder / "interactions.csv").rmdir()
    (folder / "interactions.csv").write_text(CSV)
    shutil.rmtree(folder / "images")
    (folder / "images").touch()
    assert fault(folder) == "shop/images: is a file; expected a folder of pictures."


def test_folder_named_like_a_picture_is_no_picture(make: Make):
    folder = make(images=("i1.jpg",))
    (folder / "images" / "i2.jpg").mkdir()

    assert "first 'i2'" in fault(folder)


def test_file_name_that_is_not_utf8_is_named(make: Make):
    folder = make()
    try:
        (folder / "images" / "caf\udce9.jpg").touch()
    except OSError:
        pytest.skip("this file system refuses names that are not UTF-8")

    assert r"shop/images: the file name b'caf\xe9.jpg' is not UTF-8; rename it." in fault(folder)


@pytest.mark.parametrize("stem", ["interactions", "items", "images"])
def test_csv_and_parquet_at_once_are_refused(make: Make, stem: str):
    folder = make()
    (folder / f"{stem}.csv").touch()
    (folder / f"{stem}.parquet").touch()

    assert fault(folder) == f"shop: holds both {stem}.csv and {stem}.parquet; keep one of them."


@pytest.mark.parametrize("content", [CSV.encode(), b"", b"PAR1PAR1"])
def test_file_named_parquet_that_is_none_is_refused(make: Make, content: bytes):
    folder = make(None)
    (folder / "interactions.parquet").write_bytes(content)

    assert "interactions.parquet: is not a readable Parquet file" in fault(folder)


def test_folder_that_is_no_data_set_is_refused(make: Make, tmp_path: Path):
    assert fault(tmp_path / "shop") == (
        "shop: does not exist; expected a folder with interactions.csv and images/."
    )
    (tmp_path / "file").touch()
    assert "shop: is a file; expected a folder" in fault(tmp_path / "file")
    assert "shop: no interactions.csv or interactions.parquet. Expected one with" in fault(make(None))
    assert "cannot be read (File name too long)" in fault(Path("x" * 5000))
    assert "missing_images is 'maybe'; expected 'error' or 'mask'" in fault(make(), missing_images="maybe")


def test_movielens_posters_are_read_whole(shared: Callable[[str], Path]):
    data = load_dataset(shared("data/movielens-posters"), min_rating=4)

    assert data.interactions.n_users == 609
    assert data.interactions.n_items == len(data.catalog) == 5629
    assert len(data.interactions) == 44130
    assert data.catalog.title(data.catalog.items.index(1)).startswith("Toy Story")
    pairs = data.interactions.user.astype(np.int64) * 5629 + data.interactions.item
    assert len(np.unique(pairs)) == 44130


def test_fashion_photos_without_interactions_are_refused(shared: Callable[[str], Path]):
    folder = shared("data/fashion-photos")

    assert "no interactions.csv or interactions.parquet" in fault(folder)


def test_a_catalogue_needs_no_interactions(make: Make):
    folder = make(None, images=("b.jpg", "a b – 図.png", "notes.txt"))
    catalog = load_catalog(str(folder))

    assert catalog.items.values.to_list() == ["b", "a b – 図"]  # shorter ids first
    assert catalog.paths == (folder / "images" / "b.jpg", folder / "images" / "a b – 図.png")
    assert catalog.metadata.to_dict(as_series=False) == {"item_id": ["b", "a b – 図"]}


def test_a_catalogue_of_numbers_without_interactions_keeps_leading_zeros(make: Make):
    folder = make(None, images=("007.jpg", "12.jpg"), items="item_id,title\n12,twelve\n007,seven\n")
    catalog = load_catalog(folder)

    assert catalog.items.values.to_list() == ["12", "007"]
    assert [catalog.title(index) for index in range(2)] == ["twelve", "seven"]


def test_with_interactions_the_catalogue_is_that_of_the_data_set(make: Make):
    table = pl.DataFrame({"user_id": [7, 7], "item_id": [1, 2], "timestamp": [1, 2]})
    folder = make(table, images=("1.jpg", "2.jpg", "10.jpg"), items="item_id,title\n10,ten\n2,two\n1,one\n")
    catalog, expected = load_catalog(folder), load_dataset(folder).catalog

    assert catalog.items.values.to_list() == expected.items.values.to_list() == [1, 2, 10]
    assert catalog.paths == expected.paths
    assert catalog.metadata.equals(expected.metadata)


def catalog_fault(folder: Path, **settings: object) -> str:
    with pytest.raises(DataError) as caught:
        load_catalog(folder, **settings)
    assert "\n" not in str(caught.value)
    return str(caught.value).replace(f"{folder}", "shop")


def test_a_bad_catalogue_without_interactions_ends_in_one_message(make: Make, tmp_path: Path):
    assert "shop: does not exist; expected a folder" in catalog_fault(tmp_path / "shop")
    folder = make(None, images=None)
    assert "shop: no images/ folder and no images.csv" in catalog_fault(folder)
    make(None, images=())
    assert "shop/images: holds no picture" in catalog_fault(folder)
    make(None, images=("i1.jpg",), items="item_id\ni1\ni2\n")
    assert "1 item(s) have no image, first 'i2' (items.csv)" in catalog_fault(folder)
    assert load_catalog(folder, missing_images="mask").paths == (folder / "images" / "i1.jpg", None)
    make("user_id,item_id,timestamp\nu1,i1,yesterday\n")  # where there are any, they are checked
    assert "interactions.csv" in catalog_fault(folder)


def test_fashion_photos_are_a_catalogue(shared: Callable[[str], Path]):
    catalog = load_catalog(shared("data/fashion-photos"))

    assert len(catalog) == 11800
    assert catalog.items.written[0] == "0111565001"
    assert None not in catalog.paths
