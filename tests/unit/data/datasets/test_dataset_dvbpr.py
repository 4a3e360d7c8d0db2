"""The files of DVBPR, written here step by step as Python 2 and its NumPy wrote them."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from visrec import registry
from visrec.converting.conversion import convert
from visrec.data.dataset import load_dataset
from visrec.data.datasets.dvbpr import read_partitioned
from visrec.errors import DataError

JPEG = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00"  # how one begins; what follows here is no picture


class Python2:
    """What cPickle of Python 2 writes with protocol 2: `bytes` are its `str`, `str` its `unicode`."""

    def __init__(self) -> None:
        self.out = bytearray(b"\x80\x02")
        self.places = 0
        self.known: dict[object, int] = {}

    def put(self, key: object = None) -> None:
        self.places += 1  # the first place is 1
        self.out += (
            b"q" + bytes([self.places]) if self.places < 256 else b"r" + struct.pack("<I", self.places)
        )
        if key is not None:
            self.known[key] = self.places

    def get(self, key: object) -> bool:
        place = self.known.get(key)
        if place is not None:
            self.out += b"h" + bytes([place]) if place < 256 else b"j" + struct.pack("<I", place)
        return place is not None

    def name(self, module: str, name: str) -> None:
        if not self.get((module, name)):
            self.out += f"c{module}\n{name}\n".encode()
            self.put((module, name))

    def write(self, value: object) -> None:
        if value is None:
            self.out += b"N"
        elif isinstance(value, bool):
            self.out += b"\x88" if value else b"\x89"
        elif isinstance(value, int):
            self.whole(value)
        elif isinstance(value, float):
            self.out += b"G" + struct.pack(">d", value)
        elif isinstance(value, bytes):
            if len(value) < 12 and self.get(value):  # names in a program are one object
                return
            short = len(value) < 256
            self.out += (
                b"U" + bytes([len(value)]) if short else b"T" + struct.pack("<i", len(value))
            ) + value
            self.put(value if len(value) < 12 else None)
        elif isinstance(value, str):
            encoded = value.encode()
            self.out += b"X" + struct.pack("<I", len(encoded)) + encoded
            self.put()
        elif isinstance(value, list):
            self.out += b"]"
            self.put()
            self.batches(value, b"a", b"e")
        elif isinstance(value, dict):
            self.out += b"}"
            self.put()
            self.batches([*value.items()], b"s", b"u")
        elif isinstance(value, np.ndarray):
            self.array(value)
        elif isinstance(value, np.generic):
            self.name("numpy.core.multiarray", "scalar")
            self.dtype(value.dtype)
            self.write(value.tobytes())
            self.out += b"\x86"
            self.put()
            self.out += b"R"
            self.put()
        else:
            raise TypeError(type(value))

    def whole(self, value: int) -> None:
        if 0 <= value < 256:
            self.out += b"K" + bytes([value])
        elif 0 <= value < 65536:
            self.out += b"M" + struct.pack("<H", value)
        else:
            self.out += b"J" + struct.pack("<i", value)

    def batches(self, values: list, one: bytes, many: bytes) -> None:
        for start in range(0, len(values), 1000):
            batch = values[start : start + 1000]
            if len(batch) > 1:
                self.out += b"("
            for value in batch:
                if isinstance(value, tuple):
                    self.write(value[0])
                    self.write(value[1])
                else:
                    self.write(value)
            self.out += many if len(batch) > 1 else one

    def dtype(self, dtype: np.dtype) -> None:
        if self.get(dtype):
            return
        is_object = dtype == np.dtype(object)
        self.name("numpy", "dtype")
        self.write(b"O8" if is_object else dtype.str[1:].encode())
        self.out += b"K\x00K\x01\x87"
        self.put()
        self.out += b"R"
        self.put(dtype)
        self.out += b"(K\x03"
        self.write(b"|" if is_object else dtype.str[:1].encode())
        self.out += b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xff" + (b"K?" if is_object else b"K\x00") + b"t"
        self.put()
        self.out += b"b"

    def array(self, value: np.ndarray) -> None:
        self.name("numpy.core.multiarray", "_reconstruct")
        self.name("numpy", "ndarray")
        self.out += b"K\x00\x85"
        self.put()
        self.write(b"b")
        self.out += b"\x87"
        self.put()
        self.out += b"R"
        self.put()
        self.out += b"(K\x01"
        for n in value.shape:
            self.whole(n)
        self.out += {1: b"\x85", 2: b"\x86"}[value.ndim]
        self.put()
        self.dtype(value.dtype)
        self.out += b"\x89"
        self.write(value.tolist() if value.dtype == np.dtype(object) else value.tobytes())
        self.out += b"t"
        self.put()
        self.out += b"b"


def save(path: Path, parts: list) -> Path:
    """`numpy.save(path, parts)` under Python 2."""
    array = np.empty(len(parts), dtype=object)
    array[:] = parts
    pickled = Python2()
    pickled.array(array)
    header = f"{{'descr': '|O', 'fortran_order': False, 'shape': ({len(parts)},), }}"
    header += " " * (-(len(header) + 11) % 16) + "\n"
    path.write_bytes(
        b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + bytes(pickled.out) + b"."
    )
    return path


def picture(n: int, size: int = 3000) -> bytes:
    return JPEG + bytes((n * 7 + k) % 256 for k in range(size))


def likes(*numbers: int) -> list[dict]:
    return [{b"productid": n} for n in numbers]


def fashion() -> list:
    """Three people, four items; the second has a picture shorter than what is left in the file."""
    items = {
        n: {
            b"imgs": picture(n, 30 if n == 1 else 3000),
            b"c": np.array([n == k for k in range(6)]).astype(int),
        }
        for n in range(4)
    }
    items[3][b"c"] = np.array([1, 0, 0, 0, 0, 1])
    return [
        {0: likes(2, 0), 1: likes(3), 2: likes(1, 1)},
        {0: likes(1), 1: likes(0), 2: []},
        {0: likes(3), 1: likes(2), 2: likes(0)},
        items,
        3,
        4,
    ]


def women() -> list:
    names = [[b"Clothing, Shoes & Jewelry", b"Women", b"Dresses"], [b"Clothing, Shoes & Jewelry", b"A|B"]]
    items = {
        0: {
            b"asin": b"0000031852",
            b"imgs": picture(0),
            b"categories": names,
            b"title": "Tutu é",
            b"price": 3.17,
            b"serial": 1_234_567_891,
        },
        1: {
            b"asin": b"B00JHONN1S",
            b"imgs": picture(1),
            b"categories": [[b"Shoes"]],
            b"title": b"Caf\xc3\xa9",
            b"serial": 7,
        },
        2: {b"asin": b"b00jhonn1s", b"imgs": b"", b"related": {b"also_bought": [b"X"]}},
    }
    return [{0: likes(0, 1)}, {0: likes(2)}, {0: likes(1)}, items, 1, 3]


# ---- what is read ----------------------------------------------------------------------------------


def test_amazon_fashion_becomes_a_data_set(tmp_path):
    save(tmp_path / "AmazonFashion6ImgPartitioned.npy", fashion())
    made = convert("amazon-fashion", tmp_path, tmp_path / "data")
    table = pl.read_csv(tmp_path / "data" / "interactions.csv", infer_schema=False)
    expected = [
        *(("0", "2", 0, "train"), ("0", "0", 1, "train"), ("0", "1", 2, "valid"), ("0", "3", 3, "test")),
        *(("1", "3", 0, "train"), ("1", "0", 1, "valid"), ("1", "2", 2, "test")),
        *(("2", "1", 0, "train"), ("2", "1", 1, "train"), ("2", "0", 2, "test")),
    ]
    assert table.columns == ["user_id", "item_id", "timestamp", "evaluation"]
    assert table.rows() == [(u, i, str(t), p) for u, i, t, p in expected]
    items = pl.read_csv(tmp_path / "data" / "items.csv", infer_schema=False)
    assert items.rows() == [("0", "0", "0"), ("1", "1", "1"), ("2", "2", "2"), ("3", "3", "0|5")]
    assert items.columns == ["item_id", "productid", "category"]
    for n in range(4):
        found = (tmp_path / "data" / "images" / f"{n}.jpg").read_bytes()
        assert found == picture(n, 30 if n == 1 else 3000)
    data = load_dataset(tmp_path / "data")
    assert (len(data.interactions.users), len(data.catalog.items)) == (3, 4)
    assert any("no times" in note for note in made.notes)
    assert any("called by their number" in note for note in made.notes)
    assert made.files[0]["what"] == "10 interactions, 4 items with their pictures"


def test_items_are_called_by_their_asin_where_all_have_one(tmp_path):
    path = save(tmp_path / "AmazonWomenWithImgPartitioned.npy", women())
    made = convert("amazon-women", path, tmp_path / "data")
    items = pl.read_csv(tmp_path / "data" / "items.csv", infer_schema=False)
    assert items["item_id"].to_list() == ["0000031852", "B00JHONN1S", "b00jhonn1s"]
    assert items["productid"].to_list() == ["0", "1", "2"]
    assert items["title"].to_list() == ["Tutu é", "Café", None]
    assert items["price"].to_list() == ["3.17", None, None]
    assert items["serial"].to_list() == ["1234567891", "7", None]
    assert items["category"].to_list() == ["Clothing, Shoes & Jewelry|Women|Dresses|A/B", "Shoes", None]
    data = load_dataset(tmp_path / "data", missing_images="mask")
    paths = dict(zip(data.catalog.items.written, data.catalog.paths, strict=True))
    assert paths["0000031852"].read_bytes() == picture(0)
    assert paths["B00JHONN1S"].read_bytes() == picture(1)
    assert paths["b00jhonn1s"] is None
    assert any("related is left out" in note for note in made.notes)
    assert any("1 of 3 items have no picture" in note for note in made.notes)


@pytest.mark.parametrize(
    ("name", "file"),
    [("amazon-men", "AmazonMenWithImgPartitioned.npy"), ("tradesy", "TradesyImgPartitioned.npy")],
)
def test_the_other_two_have_files_of_the_same_kind(tmp_path, name, file):
    save(tmp_path / file, women())
    convert(name, tmp_path, tmp_path / "data")
    assert load_dataset(tmp_path / "data", missing_images="mask").catalog.items.written.len() == 3
    assert registry.resolve("datasets", name).files[0].name == file


def test_lists_arrays_and_numbers_of_numpy_are_read_too(tmp_path):
    parts = fashion()
    items = np.empty(4, dtype=object)
    items[:] = [*parts[3].values()]
    for part in parts[:3]:
        for entries in part.values():
            for entry in entries:
                entry[b"productid"] = np.int64(entry[b"productid"])
    parts[0] = [*parts[0].values()]
    parts[3:] = [items, np.int64(3), np.int64(4)]
    found = read_partitioned(save(tmp_path / "x.npy", parts))
    plain = read_partitioned(save(tmp_path / "y.npy", fashion()))
    assert found.interactions.equals(plain.interactions)
    assert found.items.equals(plain.items)
    assert [*found.encoded()] == [*plain.encoded()]
    assert not any("states" in note for note in found.notes)


def test_what_is_not_used_is_told(tmp_path):
    parts = fashion()
    for entry in parts[0][0]:
        entry[b"helpful"] = 1
    parts[4:] = [9, 8]
    notes = read_partitioned(save(tmp_path / "x.npy", parts)).notes
    assert "Of interactions, helpful is left out." in notes
    assert "The file states 9 users, and holds 3." in notes
    assert "The file states 8 items, and holds 4." in notes


def test_shared_asins_do_not_become_ids(tmp_path):
    parts = women()
    parts[3][2][b"asin"] = b"B00JHONN1S"
    found = read_partitioned(save(tmp_path / "x.npy", parts))
    assert found.items["item_id"].to_list() == ["0", "1", "2"]
    assert any("share an `asin`" in note for note in found.notes)


def test_pictures_are_read_from_the_file_only_when_they_are_written(tmp_path):
    path = save(tmp_path / "x.npy", fashion())
    found = read_partitioned(path)
    assert [*found.encoded()] == [*found.encoded()]
    whole = path.read_bytes()
    path.write_bytes(whole.replace(picture(2), b"\0" * len(picture(2))))
    assert dict(found.encoded())["2"] == b"\0" * len(picture(2))


# ---- damaged and hostile files ---------------------------------------------------------------------


def changed(change) -> list:
    parts = fashion()
    change(parts)
    return parts


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: p.pop(), r"shape \(5,\); expected 6 parts: user_train, .*itemnum"),
        (lambda p: p[0][0].append({b"productid": 4}), r"user_train\[0\].*'productid' is 4; .*4 items"),
        (lambda p: p[1][1].append({b"item": 1}), r"user_validation\[1\].*'productid' is NoneType"),
        (lambda p: p[2][1].append(3), r"user_test\[1\].*'productid' is NoneType"),
        (lambda p: p[0].update({1: 5}), r"user_train\[1\] is of type int"),
        (lambda p: p[0].update({b"1": []}), r"user_train has the key b'1'"),
        (lambda p: p.__setitem__(1, 7), "user_validation is of type int"),
        (lambda p: p[3].update({2: b"x"}), r"Item\[2\] is of type bytes"),
        (lambda p: p[3][2].update({b"imgs": 3}), r"'imgs' of Item\[2\] is of type int"),
        (lambda p: p[3][2].update({b"c": b"x"}), r"'c' of Item\[2\]"),
        (lambda p: p[3][2].update({b"categories": b"x"}), r"'categories' of Item\[2\]"),
        (lambda p: p[3][2].update({b"categories": [[1]]}), r"'categories' of Item\[2\]"),
        (lambda p: p.__setitem__(slice(0, 3), [{}, {}, {}]), "holds no interactions"),
        (lambda p: p[3][2].update({b"x%d" % n: 1 for n in range(300)}), "300 different fields"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path, change, message):
    path = save(tmp_path / "AmazonFashion6ImgPartitioned.npy", changed(change))
    with pytest.raises(DataError, match=message) as error:
        convert("amazon-fashion", tmp_path, tmp_path / "data")
    assert str(error.value).startswith(str(path))
    assert [*tmp_path.iterdir()] == [path]


def test_every_cut_is_an_error_and_leaves_nothing(tmp_path):
    whole = save(tmp_path / "AmazonFashion6ImgPartitioned.npy", fashion()).read_bytes()
    path = tmp_path / "cut.npy"
    for end in range(1, len(whole), 97):
        path.write_bytes(whole[:end])
        with pytest.raises(DataError, match=r"cut\.npy"):
            read_partitioned(path)


def shared(first: bytes, again: bytes, n: int) -> bytes:
    """The same value under many numbers: a few bytes each."""
    out = b"}(K\x00" + first + b"r" + struct.pack("<I", 77)
    for k in range(1, n):
        out += b"J" + struct.pack("<i", k) + again
    return out + b"u"


def file_of(path: Path, parts: list[bytes]) -> Path:
    """A file whose parts are pickled by hand."""
    save(path, [0] * 6)
    whole = path.read_bytes()
    at = (
        whole.index(b"](" + b"K\x00" * 6)
        if b"](" + b"K\x00" * 6 in whole
        else whole.index(b"(" + b"K\x00" * 6) - 1
    )
    body = b"(" + b"".join(parts) + b"e"
    head, tail = whole[:at], whole[at:].split(b"K\x00" * 6 + b"e", 1)
    path.write_bytes(head + tail[0][:-1] + body + tail[1])
    return path


def test_the_same_picture_for_many_items_does_not_fill_the_disk(tmp_path):
    items = shared(
        b"}U\x04imgsT" + struct.pack("<i", 9000) + b"x" * 9000 + b"s", b"j" + struct.pack("<I", 77), 50
    )
    path = file_of(
        tmp_path / "x.npy", [b"}K\x00](}U\x09productidK\x00ses", b"}", b"}", items, b"K\x01", b"K\x32"]
    )
    with pytest.raises(DataError, match="450,000 bytes of pictures in a file of"):
        read_partitioned(path)


def test_the_same_list_for_many_users_does_not_fill_the_memory(tmp_path):
    entry = b"}U\x09productidK\x00s"
    people = shared(b"](" + entry * 200 + b"e", b"j" + struct.pack("<I", 77), 1000)
    path = file_of(tmp_path / "x.npy", [people, b"}", b"}", b"}K\x00}s", b"M\xe8\x03", b"K\x01"])
    with pytest.raises(DataError, match="more interactions than it has bytes"):
        read_partitioned(path)


def test_the_same_paths_for_many_items_do_not_fill_the_memory(tmp_path):
    names = b"".join(b"U\x1e" + str(n).zfill(30).encode() for n in range(100))
    paths = shared(b"}U\x0acategories](](" + names + b"ees", b"j" + struct.pack("<I", 77), 1000)
    path = file_of(
        tmp_path / "x.npy", [b"}K\x00](}U\x09productidK\x00ses", b"}", b"}", paths, b"K\x01", b"K\x01"]
    )
    with pytest.raises(DataError, match="more names of categories"):
        read_partitioned(path)


def test_nothing_in_the_file_is_run(tmp_path):
    mark = tmp_path / "mark"
    call = b"cposix\nsystem\nU" + bytes([6 + len(str(mark))]) + f"touch {mark}".encode() + b"\x85R"
    path = file_of(tmp_path / "x.npy", [call, b"}", b"}", b"}", b"K\x01", b"K\x01"])
    with pytest.raises(DataError, match=r"wants to run posix\.system"):
        read_partitioned(path)
    assert not mark.exists()


def test_a_missing_file_is_asked_for_by_its_published_name(tmp_path):
    with pytest.raises(DataError, match=r"holds no AmazonFashion6ImgPartitioned\.npy"):
        convert("amazon-fashion", tmp_path, tmp_path / "data")
