"""Tables: CSV and Parquet columns read strictly, faults named by file, row and column."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from visrec.data.tables import (
    Columns,
    find_table,
    id_column,
    number_column,
    part_column,
    read_table,
    row_name,
    time_column,
    weight_column,
)
from visrec.errors import DataError

CSV, PARQUET = Path("a.csv"), Path("a.parquet")


def csv_of(folder: Path, content: str | bytes) -> Path:
    path = folder / "a.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def times(values: list[object] | pl.Series) -> np.ndarray:
    return time_column(CSV, pl.DataFrame({"t": values}), "t")


def fault(function: object, *arguments: object, **settings: object) -> str:
    """The message of the `DataError` that a call raises."""
    with pytest.raises(DataError) as caught:
        function(*arguments, **settings)
    return str(caught.value)


def test_find_table_prefers_neither_csv_nor_parquet(tmp_path: Path):
    assert find_table(tmp_path, "a") is None
    (tmp_path / "a.parquet").touch()
    assert find_table(tmp_path, "a") == tmp_path / "a.parquet"
    (tmp_path / "a.csv").touch()
    assert "holds both a.csv and a.parquet; keep one" in fault(find_table, tmp_path, "a")


def test_csv_values_are_kept_as_they_are_written(tmp_path: Path):
    table = read_table(csv_of(tmp_path, "a,b\n007,1.50\n NA ,null\n"), required=("a",))

    assert table.rows() == [("007", "1.50"), (" NA ", "null")]


def test_csv_byte_order_mark_line_ends_and_quotes_do_not_matter(tmp_path: Path):
    plain = read_table(csv_of(tmp_path, "a,b\n1,2\n3,4\n"), required=("a", "b"))

    for content in (
        b"\xef\xbb\xbfa,b\n1,2\n3,4\n",
        b'\xef\xbb\xbf"a",b\n1,"2"\n3,4\n',
        b"a,b\r\n1,2\r\n3,4",
        b"\na,b\n1,2\n3,4\n\n\n",
        b"a,b\n1,2\n3,4\n,\n",
    ):
        assert read_table(csv_of(tmp_path, content), required=("a", "b")).equals(plain), content


def test_csv_blank_line_between_rows_counts_as_a_row(tmp_path: Path):
    """So that row numbers in messages are those of the file."""
    table = read_table(csv_of(tmp_path, "a,b\n1,2\n\n3,4\n"), required=("a",))

    assert table.rows() == [("1", "2"), (None, None), ("3", "4")]


def test_csv_in_a_folder_with_signs_of_patterns_is_read(tmp_path: Path):
    folder = tmp_path / "shop[1]*"
    folder.mkdir()
    pl.DataFrame({"a": ["1"]}).write_parquet(folder / "a.parquet")

    assert read_table(csv_of(folder, "a\n1\n"), required=("a",)).rows() == [("1",)]
    assert read_table(folder / "a.parquet", required=("a",)).rows() == [("1",)]


def test_parquet_column_is_not_made_of_the_folder_name(tmp_path: Path):
    folder = tmp_path / "year=2020"
    folder.mkdir()
    pl.DataFrame({"a": ["1"]}).write_parquet(folder / "a.parquet")

    assert read_table(folder / "a.parquet", required=("a",)).columns == ["a"]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", "is empty; expected a first line with the names of the columns"),
        ("\n\n", "is empty; expected a first line"),
        ("user,item\n1,2\n", "column a, b is missing. Found: 'user', 'item'. The first line must be the header"),
        ("1,2\n3,4\n", "column a, b is missing. Found: '1', '2'. The first line must be the header"),
        ("a, b\n1,2\n", "column b is missing. Found: 'a', ' b'."),
        ("a;b\n1;2\n", "Found: 'a;b'. The columns seem to be separated by another sign; separate them by commas"),
        ("a\tb\n1\t2\n", "separate them by commas"),
        ("a,b\n", "has column names but no rows"),
        ("a,b\n\n\n", "has column names but no rows"),
        ("a,b,a\n1,2,3\n", "column 'a' occurs twice in the header; keep one"),
        ("a,b\n1,2\n1,2,3\n4,5\n", "row 2 below the header has 3 fields, the header has 2. Put a field"),
        ("a,b\n\n1,2\n1,x, y\n", "row 3 below the header has 3 fields, the header has 2."),
        ('a,b\n1,2\n1,"x" y\n', "row 2 below the header: wrong quotation marks"),
        ('a,b\n1,2\n1,"x\n4,5\n', "row 2 below the header: wrong quotation marks"),
        ('"a" x,b\n1,2,3\n', "the header: wrong quotation marks"),
        ("\n\na,b\n1,2\n1,2,3\n", "row 2 below the header has 3 fields"),
        ("a,b\n1,é\n".encode("latin-1"), "is not UTF-8 text. Convert it, for example: iconv -f latin1"),
        (b"a,b\n" + b"1,2\n" * 9000 + b"1,\xe9\n", "is not UTF-8 text"),
        ("é,b\n1,2\n".encode("latin-1"), "is not UTF-8 text"),
        ("a,b\n1,2\n".encode("utf-16"), "is UTF-16 text; expected CSV as UTF-8 text. Convert it: iconv -f utf-16"),
        ("a,b\n1,2\n".encode("utf-16-le"), "is not UTF-8 text"),
        (b"PAR1\x15\x00\xff\xff", "is a Parquet file; expected CSV as UTF-8 text. Rename it to .parquet"),
        (b"PK\x03\x04\x14\x00\x06\x00\xff", "is a spreadsheet or ZIP file"),
        (b"\x1f\x8b\x08\x00\xff", "is compressed"),
    ],
)  # fmt: skip
def test_csv_fault_is_named_with_its_remedy(tmp_path: Path, content: str | bytes, expected: str):
    path = csv_of(tmp_path, content)
    message = fault(read_table, path, required=("a", "b"))

    assert message.startswith(f"{path}: ")
    assert expected in message
    assert "\n" not in message


def test_message_stays_short_whatever_the_header(tmp_path: Path):
    assert len(fault(read_table, csv_of(tmp_path, "x" * 100_000 + "\n1\n"), required=("a",))) < 1000
    assert "\n" not in fault(read_table, csv_of(tmp_path, '"x\ny"\n1\n'), required=("a",))


@pytest.mark.parametrize("content", [b"", b"a,b\n1,2\n", b"PAR1" + b"\0" * 20])
def test_parquet_that_is_none_is_refused(tmp_path: Path, content: bytes):
    (tmp_path / "a.parquet").write_bytes(content)

    assert "a.parquet: is not a readable Parquet file" in fault(
        read_table, tmp_path / "a.parquet", required=("a",)
    )


def test_parquet_cut_short_anywhere_is_refused(tmp_path: Path):
    path = tmp_path / "a.parquet"
    pl.DataFrame({"a": ["1", "2"], "b": [1.0, 2.0]}).write_parquet(path)
    whole = path.read_bytes()

    for size in range(0, len(whole), 7):
        path.write_bytes(whole[:size])
        assert "is not a readable Parquet file" in fault(read_table, path, required=("a",))


def test_row_name_says_whether_the_header_counts():
    assert row_name(CSV, 3) == "row 3 below the header"
    assert row_name(PARQUET, 3) == "row 3"


def test_id_column_keeps_text_and_whole_numbers():
    table = pl.DataFrame(
        {
            "text": ["007", "x"],
            "small": pl.Series([7, 8], dtype=pl.UInt8),
            "large": pl.Series([2**63, 8], dtype=pl.UInt64),
            "category": pl.Series(["b", "a"], dtype=pl.Categorical),
        }
    )

    assert id_column(CSV, table, "text").to_list() == ["007", "x"]
    assert id_column(CSV, table, "small").to_list() == [7, 8]
    assert id_column(CSV, table, "large").to_list() == [str(2**63), "8"]
    assert id_column(CSV, table, "category").to_list() == ["b", "a"]


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (["a", None, None], "column u, row 2: the id is missing (so in 2 of 3 rows). Fill it in, or"),
        (["a", "b", ""], "column u, row 3: the id is missing (so in 1 of 3 rows)"),
        (["a", " ", "c"], "row 2: the id is missing"),
        (["NaN", "a", "nan"], "row 1: the id is missing (so in 2 of 3 rows)"),
        ([1, None, 2], "row 2: the id is missing"),
        ([None, None, None], "row 1: the id is missing (so in 3 of 3 rows)"),
        ([1.0, float("nan"), 2.0], "holds floating-point numbers; 1 are missing, first in row 2"),
        ([1.0, 2.0, 3.0], "holds floating-point numbers. Ids must be text or whole numbers"),
        ([True, False, True], "column u is of type Boolean; store it as text or whole numbers"),
        ([[1], [2], [3]], "column u is of type List(Int64)"),
    ],
)  # fmt: skip
def test_id_column_fault_is_named(column: list[object], expected: str):
    assert expected in fault(id_column, PARQUET, pl.DataFrame({"u": column}), "u")


def test_number_column_reads_numbers_and_their_text():
    for column in ([1, 2], [1.0, 2.0], ["1", " 2.0 "], ["1e0", "+2"], [Decimal("1.0"), Decimal(2)]):
        assert number_column(CSV, pl.DataFrame({"r": column}), "r").tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (["1", "x", "y"], "column r, row 2 below the header: 'x' is not a finite number (so in 2 of 3 rows). Mend"),
        (["1", "2", None], "row 3 below the header: an empty field is not a finite number"),
        (["1", "", "2"], "row 2 below the header: an empty field is"),
        (["1", "nan", "inf"], "row 2 below the header: 'nan' is not a finite number (so in 2 of 3 rows)"),
        (["1", "1e999", "2"], "'1e999' is not"),
        (["1", "2,5", "2"], "'2,5' is not"),
        ([[1], [2], [3]], "column r is of type List(Int64); store it as numbers"),
    ],
)  # fmt: skip
def test_number_column_fault_is_named(column: list[object], expected: str):
    assert expected in fault(number_column, CSV, pl.DataFrame({"r": column}), "r")


def test_weight_column_must_be_positive_as_float32():
    assert weight_column(CSV, pl.DataFrame({"w": ["0.5", "2"]}), "w").tolist() == [0.5, 2.0]
    for bad in ("0", "-1", "1e300", "1e-300"):
        message = fault(weight_column, CSV, pl.DataFrame({"w": ["1", bad]}), "w")
        assert f"column w, row 2 below the header: '{bad}' is no weight (so in 1 of 2 rows)" in message


SECOND = 1_000_000  # microseconds
EPOCH_2021 = int(datetime(2021, 4, 13, 10, 30, tzinfo=UTC).timestamp()) * SECOND


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("2021-04-13T10:30:00", EPOCH_2021),
        ("2021-04-13 10:30:00", EPOCH_2021),
        ("2021-04-13T10:30:00.250", EPOCH_2021 + SECOND // 4),
        ("2021-04-13 10:30:00.5", EPOCH_2021 + SECOND // 2),
        ("2021-04-13T10:30:00Z", EPOCH_2021),
        ("2021-04-13T12:30:00+02:00", EPOCH_2021),
        ("2021-04-13 12:30:00+0200", EPOCH_2021),
        ("2021-04-13T10:30", EPOCH_2021),
        ("2021-04-13 10:30", EPOCH_2021),
        ("2021-04-13", EPOCH_2021 - (10 * 60 + 30) * 60 * SECOND),
        ("2021/04/13", EPOCH_2021 - (10 * 60 + 30) * 60 * SECOND),
        (" 1618309800 ", 1_618_309_800),
        ("1618309800.5", 1_618_309_800.5),
        ("-5", -5),
    ],
)
def test_time_column_reads_the_usual_forms(written: str, expected: float):
    assert times([written, written]).tolist() == [expected, expected]


def test_time_column_keeps_whole_numbers_exact():
    large = 2**62 + 1  # not a float64

    assert times([str(large), "1"]).tolist() == [large, 1]
    assert times([large, 1]).dtype == np.int64
    assert times(["1", "2.5"]).tolist() == [1.0, 2.5]


def test_time_column_of_parquet_types():
    moment = datetime(2021, 4, 13, 10, 30)
    east = datetime(2021, 4, 13, 12, 30, tzinfo=timezone(timedelta(hours=2)))

    assert times([moment]).tolist() == [EPOCH_2021]
    assert times(pl.Series([moment], dtype=pl.Datetime("ms"))).tolist() == [EPOCH_2021]
    assert times(pl.Series([east])).tolist() == [EPOCH_2021]
    assert times([date(2021, 4, 13)]).tolist() == [EPOCH_2021 - (10 * 60 + 30) * 60 * SECOND]
    assert times(pl.Series([1.5], dtype=pl.Float32)).dtype == np.float64
    assert times([Decimal("1.5")]).tolist() == [1.5]


def test_time_column_zero_has_one_form():
    assert times(["-0.0", "0.0"]).tobytes() == np.zeros(2).tobytes()


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (["1", "2", "soon"], "column t, row 3 below the header: 'soon' is not a time as the other rows have it ("),
        (["soon", "1", "2"], "row 1 below the header: 'soon'"),
        (["2021-04-13", "2021-04-14", "1618309800"], "row 3 below the header: '1618309800' is not a time"),
        (["2021-04-13", "2021-02-30", "2021-04-14"], "row 2 below the header: '2021-02-30'"),
        (["2021-04-13", "2021-04-13T10:00", "2021-04-14"], "row 2 below the header: '2021-04-13T10:00'"),
        (["1", "nan", "2"], "row 2 below the header: 'nan'"),
        (["1", "", "2"], "row 2 below the header: an empty field is not a time"),
        (["1", None, "2"], "row 2 below the header: an empty field"),
        ([1.0, float("nan"), 2.0], "row 2 below the header: nan"),
        ([1, None, 2], "row 2 below the header: an empty field"),
        (["x" * 1000, "1", "2"], "x…"),
        ([True, False, True], "column t is of type Boolean; store it as numbers or dates"),
        (pl.Series([2**63, 1, 2], dtype=pl.UInt64), "row 1 below the header: 9223372036854775808"),
        (pl.Series([1, 2, 2**62]).cast(pl.Datetime("ms")), "row 3 below the header: 4611686018427387904"),
    ],
)  # fmt: skip
def test_time_column_fault_is_named(column: list[object], expected: str):
    message = fault(times, column)

    assert expected in message
    assert len(message) < 400


def test_part_column_reads_flags_and_names():
    words = ["true", "False", "1", "0", "train", "VALID", "validation", " test "]

    assert part_column(CSV, pl.DataFrame({"e": words}), "e").tolist() == [2, 0, 2, 0, 0, 1, 1, 2]
    assert part_column(CSV, pl.DataFrame({"e": [True, False]}), "e").tolist() == [2, 0]
    assert part_column(CSV, pl.DataFrame({"e": [1, 0]}), "e").tolist() == [2, 0]


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (["true", "maybe"], "column e, row 2 below the header: 'maybe' is not a part (so in 1 of 2 rows). Expected"),
        (["true", None], "row 2 below the header: an empty field is not a part"),
        ([True, None], "row 2 below the header: an empty field is not a part"),
        ([1, 2], "row 2 below the header: 2 is not a part"),
        ([[1], [0]], "column e is of type List(Int64)"),
        ([b"\xff", b"1"], "column e is of type Binary"),
    ],
)  # fmt: skip
def test_part_column_fault_is_named(column: list[object], expected: str):
    assert expected in fault(part_column, CSV, pl.DataFrame({"e": column}), "e")


# ---- column by column ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_columns_are_taken_one_by_one(tmp_path, kind):
    table = pl.DataFrame({"a": ["x", "y", "z"], "b": ["1", "2", "3"], "c": ["p", "q", "r"]})
    path = tmp_path / f"t.{kind}"
    table.write_csv(path) if kind == "csv" else table.write_parquet(path)
    columns = Columns(path, required=("a", "b"))
    assert (columns.names, columns.height, columns.found) == (["a", "b", "c"], 3, "'a', 'b', 'c'")
    assert columns.take("b").equals(table.select("b"))
    assert columns.take("a").equals(table.select("a"))
    assert columns.take("c").equals(table.select("c"))


def test_columns_are_checked_as_a_table_is(tmp_path):
    pl.DataFrame({"a": [1]}).write_parquet(tmp_path / "t.parquet")
    pl.DataFrame({"a": []}).write_parquet(tmp_path / "empty.parquet")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 and no more")
    for name, required in (("t", ("a", "b")), ("empty", ("a",)), ("broken", ("a",))):
        path = tmp_path / f"{name}.parquet"
        assert fault(Columns, path, required=required) == fault(read_table, path, required=required)
