"""Pinterest: MongoDB's dumps of 2015, and NCF's tables."""

from __future__ import annotations

import gzip
import struct
import zipfile
from pathlib import Path

import polars as pl
import pytest

from visrec.converting.conversion import convert
from visrec.data.dataset import load_dataset
from visrec.errors import DataError

BOARDS = [("119134421331766936", ["30", "20", "10"]), ("7", ["20", "99", "40"])]  # newest first
PINS = [
    ("10", "aa11.jpg", "http://media.example/aa11.jpg"),
    ("20", "bb22.jpg", "http://media.example/bb22.jpg"),
    ("30", "aa11.jpg", "http://media.example/aa11.jpg"),
    ("40", "cc33.jpg", "http://media.example/cc33.jpg"),
    ("50", "dd44.jpg", "http://media.example/dd44.jpg"),
]


def text(key: str, value: str) -> bytes:
    return (
        b"\x02" + key.encode() + b"\0" + struct.pack("<i", len(value.encode()) + 1) + value.encode() + b"\0"
    )


def document(*elements: bytes) -> bytes:
    body = b"\x07_id\0" + bytes(range(12)) + b"".join(elements)
    return struct.pack("<i", len(body) + 5) + body + b"\0"


def texts(key: str, values: list[str]) -> bytes:
    body = b"".join(text(str(n), value) for n, value in enumerate(values))
    return b"\x04" + key.encode() + b"\0" + struct.pack("<i", len(body) + 5) + body + b"\0"


def dump(folder: Path, *, packed: bool = False) -> Path:
    folder.mkdir(parents=True)
    boards = b"".join(
        document(text("board_url", f"/x/{board}/"), text("board_id", board), texts("pins", pins))
        for board, pins in BOARDS
    )
    pins = b"".join(
        document(text("im_url", url), text("im_name", name), text("pin_id", pin)) for pin, name, url in PINS
    )
    for name, content in (("board_pins", boards), ("pin_im", pins)):
        file = folder / f"subset_iccv_{name}.bson{'.gz' if packed else ''}"
        file.write_bytes(gzip.compress(content) if packed else content)
    return folder


def check_dump(data: Path, made) -> None:
    rows = pl.read_csv(data / "interactions.csv", infer_schema=False).rows()
    # The first board: pins 10, 20, 30 in the order in which they were pinned; 10 and 30 are one picture.
    assert rows == [
        ("119134421331766936", "aa11", "0"), ("119134421331766936", "bb22", "1"), ("119134421331766936", "aa11", "2"),
        ("7", "cc33", "0"), ("7", "bb22", "1"),
    ]  # fmt: skip
    items = pl.read_csv(data / "items.csv", infer_schema=False).sort("item_id")
    assert items["item_id"].to_list() == ["aa11", "bb22", "cc33", "dd44"]
    assert items["image_url"].to_list() == [f"http://media.example/{one}.jpg" for one in items["item_id"]]
    assert any(note.startswith("1 of 6 pins have no picture") for note in made.notes)
    assert any("fetch-images" in note for note in made.notes)


@pytest.mark.parametrize("packed", [False, True])
def test_a_dump_becomes_boards_pictures_and_addresses(tmp_path, packed):
    dump(tmp_path / "pinterest_iccv", packed=packed)
    check_dump(tmp_path / "data", convert("pinterest", tmp_path / "pinterest_iccv", tmp_path / "data"))


def test_the_zip_is_read_as_it_is_published(tmp_path):
    folder = dump(tmp_path / "pinterest_iccv")
    with zipfile.ZipFile(tmp_path / "pinterest_iccv.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for file in folder.iterdir():
            archive.write(file, f"pinterest_iccv/{file.name}")
        archive.writestr("pinterest_iccv/subset_iccv_board_cate.bson", document(text("cate_id", "art")))
    made = convert("pinterest", tmp_path / "pinterest_iccv.zip", tmp_path / "data")
    check_dump(tmp_path / "data", made)
    assert made.files[0]["file"].endswith("pinterest_iccv.zip/pinterest_iccv/subset_iccv_board_pins.bson")
    assert made.files[-1]["became"] == "nothing: boards are the users here"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("subset_iccv_board_pins.bson", document(text("board_id", "1"))[:-4], "is cut short in document 1"),
        (
            "subset_iccv_board_pins.bson",
            document(text("board_id", "1")),
            "document 1: the field pins is missing",
        ),
        (
            "subset_iccv_board_pins.bson",
            document(text("board_id", "1"), text("pins", "10")),
            "the field pins is str; expected list",
        ),
        ("subset_iccv_pin_im.bson", document(text("pin_id", "1")), "the field im_name is missing"),
        ("subset_iccv_pin_im.bson", b"", "holds no pins"),
        (
            "subset_iccv_pin_im.bson",
            document(text("pin_id", "x"), text("im_name", "y"), text("im_url", "z")),
            "none of",
        ),
    ],
)
def test_a_damaged_dump_is_told_and_nothing_is_written(tmp_path, name, content, message):
    folder = dump(tmp_path / "source")
    (folder / name).write_bytes(content)
    with pytest.raises(DataError, match=message) as failure:
        convert("pinterest", folder, tmp_path / "data")
    assert name in str(failure.value)
    assert not (tmp_path / "data").exists()


def test_a_gzip_file_cut_short_is_told(tmp_path):
    folder = dump(tmp_path / "source", packed=True)
    file = folder / "subset_iccv_pin_im.bson.gz"
    file.write_bytes(file.read_bytes()[:-12])
    with pytest.raises(DataError, match="cannot be read to its end"):
        convert("pinterest", folder, tmp_path / "data")


# ---- NCF -----------------------------------------------------------------------------------------------


def ncf(folder: Path, *, times: bool) -> Path:
    folder.mkdir(parents=True)
    end = (lambda time: f"\t{time}") if times else (lambda _: "")
    train = [(0, 0, 20), (0, 1, 10), (1, 1, 5), (1, 2, 6)]
    test = [(0, 2, 30), (1, 0, 7)]
    for part, rows in (("train", train), ("test", test)):
        lines = [f"{user}\t{item}\t1{end(time)}" for user, item, time in rows]
        (folder / f"pinterest-20.{part}.rating").write_text("\n".join(lines) + "\n")
    (folder / "pinterest-20.test.negative").write_text("(0,2)\t3\t4\n(1,0)\t4\t3\n")
    return folder


@pytest.mark.parametrize("times", [False, True])
def test_ncf_has_its_test_and_times_where_there_are_any(tmp_path, times):
    made = convert("pinterest", ncf(tmp_path / "Data", times=times), tmp_path / "data")
    table = pl.read_csv(tmp_path / "data" / "interactions.csv", infer_schema=False)
    assert table.columns == ["user_id", "item_id", "timestamp", "evaluation"]
    expected = ["20", "10", "5", "6", "30", "7"] if times else ["0", "1", "0", "1", "2", "2"]
    assert table["timestamp"].to_list() == expected
    assert table["evaluation"].to_list() == ["train"] * 4 + ["test"] * 2
    assert table["item_id"].to_list() == ["0", "1", "1", "2", "2", "0"]
    assert any("has no times" in note for note in made.notes) is not times
    assert made.files[-1]["file"] == "pinterest-20.test.negative"
    data = load_dataset(tmp_path / "data", missing_images="mask")
    assert (data.interactions.n_users, len(data.interactions)) == (2, 6)


def test_one_table_of_four_columns_is_read_without_parts(tmp_path):
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "users.rating").write_text("0\t5\t4.5\t100\n0\t6\t1\t101\n")
    convert("pinterest", tmp_path / "source", tmp_path / "data")
    table = pl.read_csv(tmp_path / "data" / "interactions.csv", infer_schema=False)
    assert table.rows() == [("0", "5", "100", "4.5"), ("0", "6", "101", "1.0")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        ("0\t1\n", r"line 1 is '0\\t1'"),
        ("0\t1\t1\t5\n0\tx\t1\t5\n", "line 2: item_id is 'x'; expected digits alone"),
        ("0\t1\t1\t5\n0\t1\t1\t5\t6\n", "line 2 has 5 fields; expected 4"),
        (b"\xff\xfe\x00", "line 1 is"),
    ],
)
def test_what_ncf_never_writes_is_told(tmp_path, content, message):
    folder = ncf(tmp_path / "source", times=True)
    raw = content if isinstance(content, bytes) else content.encode()
    (folder / "pinterest-20.train.rating").write_bytes(raw)
    with pytest.raises(DataError, match=message):
        convert("pinterest", folder, tmp_path / "data")


def test_a_missing_half_and_both_releases_are_told(tmp_path):
    folder = ncf(tmp_path / "source", times=True)
    (folder / "pinterest-20.test.rating").unlink()
    with pytest.raises(DataError, match=r"holds no pinterest-20\.test\.rating"):
        convert("pinterest", folder, tmp_path / "data")
    both = ncf(tmp_path / "both" / "Data", times=True).parent
    dump(both / "pinterest_iccv")
    with pytest.raises(DataError, match="holds both releases"):
        convert("pinterest", both, tmp_path / "data")
    convert("pinterest", both, tmp_path / "data", options={"release": "ncf"})
    assert pl.read_csv(tmp_path / "data" / "interactions.csv").height == 6
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds neither subset_iccv_board_pins"):
        convert("pinterest", tmp_path / "empty", tmp_path / "other")
