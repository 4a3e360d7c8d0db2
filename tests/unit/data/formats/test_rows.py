from __future__ import annotations

import gzip

import polars as pl
import pytest

from visrec.data.formats.rows import days_of, digits_of, numbers_of, read_rows, whole_numbers_of
from visrec.data.published import Published
from visrec.errors import DataError

TABLE = b"user,item,time\nu,a,1\nv,b,2\nw,c,3\n"


def write(tmp_path, content: bytes, name: str = "table.csv"):
    (path := tmp_path / name).write_bytes(content)
    return path


def rows(path, columns=("user", "time"), **options) -> list[tuple]:
    return [row for _, table in read_rows(Published.at(path), columns, **options) for row in table.rows()]


@pytest.mark.parametrize("size", [1, 1000])
@pytest.mark.parametrize(
    "content",
    [
        TABLE,
        TABLE.replace(b"\n", b"\r\n"),
        b"\xef\xbb\xbf" + TABLE,
        TABLE + b"\n\n",
        TABLE.rstrip(),
        gzip.compress(TABLE, mtime=0),
    ],
    ids=["plain", "crlf", "bom", "blank-end", "no-end", "gzip"],
)
def test_columns_are_text_in_the_order_of_the_file(tmp_path, content, size):
    assert rows(write(tmp_path, content), size=size) == [("u", "1"), ("v", "2"), ("w", "3")]


def test_a_quoted_field_may_hold_the_separator(tmp_path):
    path = write(tmp_path, b'user,item,time\nu,"a,b",1\n"v ""x""",c,2\n')
    assert rows(path) == [("u", "1"), ('v "x"', "2")]


def test_optional_columns_are_taken_where_they_are_there(tmp_path):
    path = write(tmp_path, TABLE)
    assert rows(path, ("user",), optional=("time", "none")) == [("u", "1"), ("v", "2"), ("w", "3")]


def test_a_file_without_names_has_those_that_are_given(tmp_path):
    path = write(tmp_path, b"u\ta b\n", "pairs.tsv")
    assert rows(path, ("who", "what"), names=("who", "what"), separator="\t") == [("u", "a b")]


@pytest.mark.parametrize("size", [1, 1000])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (TABLE + b"x,d", r"line 5 has (2 fields|no time).*cut short"),
        (b"user,item,time\nu,a,1\nv,,2,9\n", "line 3 has 4 fields; expected 3"),
        (b"user,item,time\nu,a,1\n\xff,b,2\n", "line 3 is no UTF-8 text"),
        (b'user,item,time\nu,"a,1\n', "line 2: wrong quotation marks"),
        (b"user,item\nu,a\n", "its first line is 'user,item'; expected .* user, time among them"),
        (b"user,time,time\nu,1,1\n", "each once"),
        (b"user,item,time\n", "holds no rows"),
        (b"", "is empty"),
        (b"PK\x03\x04" + TABLE, "is a ZIP file. Unpack it: unzip table.csv"),
        (b"<!DOCTYPE html><html>", "is a web page, not the data"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "only points to the data"),
        (gzip.compress(TABLE * 99, mtime=0)[:-30], "cannot be read to its end"),
    ],
)  # fmt: skip
def test_a_fault_is_told_with_its_line(tmp_path, content, message, size):
    with pytest.raises(DataError, match=message):
        rows(write(tmp_path, content), size=size)


@pytest.mark.parametrize("size", [1, 1000])
def test_an_id_that_is_cut_short_is_no_id(tmp_path, size):
    """Columns behind it, which nobody asks for, say that it is not whole."""
    path = write(tmp_path, b"user,item,price\nu,0108775015,1\nv,01087")
    with pytest.raises(DataError, match=r"line 3 has 2 fields; expected 3\. The file is cut short"):
        rows(path, ("user", "item"), size=size)


def test_a_separator_may_be_of_several_signs(tmp_path):
    path = write(tmp_path, b"1::a:b::3\n2::c::4\n", "ratings.dat")
    assert rows(path, ("u", "v"), names=("u", "i", "v"), separator="::") == [("1", "3"), ("2", "4")]
    path = write(tmp_path, b"1::a::3\n2:c::4\n", "ratings.dat")
    with pytest.raises(DataError, match=r"line 2 (has 2 fields|has no v)"):
        rows(path, ("u", "v"), names=("u", "i", "v"), separator="::")


def test_numbers_and_days_are_parsed_or_told(tmp_path):
    path = Published(tmp_path / "table.csv", None, 0)
    table = pl.DataFrame(
        {
            "n": ["7", " -2 ", "9"],
            "x": ["1.5", "2", "1e3"],
            "i": ["007", "7", "0"],
            "d": ["1970-01-02", "2020-02-29", "1970-01-01"],
        }
    )
    assert whole_numbers_of(path, 1, table, "n").to_list() == [7, -2, 9]
    assert numbers_of(path, 1, table, "x").to_list() == [1.5, 2.0, 1000.0]
    assert digits_of(path, 1, table, "i").to_list() == ["007", "7", "0"]
    assert days_of(path, 1, table, "d").to_list() == [86400, 1582934400, 0]
    faulty = pl.DataFrame(
        {"n": ["7", "7.5"], "x": ["1", "inf"], "d": ["2020-02-29", "2021-02-29"], "i": ["7", "-7"]}
    )
    for parse, name in ((whole_numbers_of, "n"), (numbers_of, "x"), (days_of, "d"), (digits_of, "i")):
        with pytest.raises(DataError, match=f"line 12: {name} is '{faulty[name][1]}'; expected (a|digits)"):
            parse(path, 11, faulty, name)
