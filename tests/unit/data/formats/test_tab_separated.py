from __future__ import annotations

import polars as pl
import pytest

from visrec.data.formats import tab_separated
from visrec.data.formats.tab_separated import (
    one_line,
    read_separated,
    refuse_ids,
    write_separated,
)
from visrec.errors import DataError


def file(tmp_path, content: bytes):
    (path := tmp_path / "table.tsv").write_bytes(content)
    return path


@pytest.fixture(params=[1, 3, 7, 1 << 22])
def blocks(request, monkeypatch):
    """Lines that fall into one block, and lines that blocks cut."""
    monkeypatch.setattr(tab_separated, "_BLOCK", request.param)


@pytest.mark.parametrize(
    "content",
    [
        b"id\tn\n007\t1.5\nx\t\n",
        b"id\tn\n007\t1.5\nx\t",
        b"id\tn\r\n007\t1.5\r\nx\t\r\n",
        b"\xef\xbb\xbfid\tn\n007\t1.5\nx\t\n\n\n",
        b"id\tn\r\n007\t1.5\r\nx\t\r\n\r\n\r\n",
    ],
)
def test_lines_however_they_end_are_rows(content, blocks, tmp_path):
    table = read_separated(file(tmp_path, content))
    assert table.rows.rows() == [("007", "1.5"), ("x", None)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"id\tn\nx\t1\ny\nz\t2\n", "line 3 has 1 cells, the first line 2"),
        (b"id\tn\nx\t1\ny\t2\tz\n", "line 3 has 3 cells, the first line 2"),
        (b"id\tn\nx\t1\n\nz\t2\n", "line 3 has 1 cells"),
        (b"id\tn\nx\t1\nz", "line 3 has 1 cells"),
        (b'id\tn\nx\t1\n"y\tz"\t2\n', "line 3 has 3 cells"),
        (b"", "is empty"),
        (b"\n\n", "is empty"),
        (b"id\tid\nx\t1\n", "column 'id' occurs twice"),
        (b"id\tn\nx\xff\t1\n", "is not UTF-8 text"),
        (b"i\xffd\tn\nx\t1\n", "is not UTF-8 text"),
    ],
)
def test_damaged_tables_are_refused_with_the_line(content, message, blocks, tmp_path):
    with pytest.raises(DataError, match=message):
        read_separated(file(tmp_path, content))


def test_a_table_may_have_a_header_alone(tmp_path):
    assert read_separated(file(tmp_path, b"id\tn\n")).rows.shape == (0, 2)


def test_without_a_header_the_first_line_is_a_row(tmp_path):
    table = read_separated(file(tmp_path, b"1\t2\n3\t4\n"), names=["a", "b", "c"])
    assert table.rows.to_dicts() == [{"a": "1", "b": "2"}, {"a": "3", "b": "4"}]
    with pytest.raises(DataError, match="line 1 has 2 cells; expected at most 1: a"):
        read_separated(file(tmp_path, b"1\t2\n"), names=["a"])


def test_only_a_cell_that_is_quoted_whole_is_unquoted(tmp_path):
    cells = ['"a"', '"a ""b"""', '"Q" first', '"lone', 'in"side', '""', '"', '"a" and "b"']
    table = read_separated(file(tmp_path, "\n".join(["x\tn", *(f"{one}\t1" for one in cells)]).encode()))
    expected = ["a", 'a "b"', '"Q" first', '"lone', 'in"side', None, '"', '"a" and "b"']
    assert table.rows["x"].to_list() == expected


def test_what_is_written_is_read_again(tmp_path):
    texts = ["a", 'a "b"', '"Q" first', '"lone', 'in"side', '"', " led", "日本", None, "a,b", "#"]
    table = pl.DataFrame({"x": texts, "n": range(len(texts))})
    write_separated(table, tmp_path / "t.tsv", header=True)
    assert read_separated(tmp_path / "t.tsv").rows["x"].to_list() == texts


def test_numbers_name_the_line_that_is_none(tmp_path):
    table = read_separated(file(tmp_path, b"a\tb\n1\t2.5\n2\tinf\n"))
    assert table.numbers("a").to_list() == [1, 2]
    with pytest.raises(
        DataError, match=r"line 3, column b: 'inf': is not a finite number \(so in 1 of 2 lines\)"
    ):
        table.numbers("b")
    headless = read_separated(file(tmp_path, b"1\t\n"), names=["a", "b"])
    with pytest.raises(DataError, match="line 1, column b: an empty cell"):
        headless.numbers("b")
    with pytest.raises(DataError, match="'-1': is no whole number from 0 on"):
        read_separated(file(tmp_path, b"a\tb\n-1\t\n")).indices("a")
    with pytest.raises(DataError, match="line 2, column a: 'nan': the id is missing"):
        read_separated(file(tmp_path, b"a\tb\nnan\t\n")).ids("a")


def test_whole_times_are_whole_numbers_however_they_are_written(tmp_path):
    table = read_separated(file(tmp_path, b"a\tb\n978300760.0\t1.5\n9.783e8\t2\n"))
    assert table.times("a").to_list() == [978300760, 978300000]
    assert table.times("a").dtype == pl.Int64
    assert table.times("b").to_list() == [1.5, 2.0]


@pytest.mark.parametrize("word", ["NA", "null", "None", "a\tb", "a\nb"])
def test_ids_that_pandas_would_lose_are_refused(word):
    with pytest.raises(DataError, match="RecBole: the item id"):
        refuse_ids(pl.Series(["x", word]), kind="item", program="RecBole")
    refuse_ids(pl.Series(["x", "na", "007", 'a "b"']), kind="item", program="RecBole")


def test_texts_of_several_lines_become_one():
    plain, changed = one_line(pl.Series(["a\n\tb", "c", None]))
    assert plain.to_list() == ["a b", "c", None]
    assert changed == 1
