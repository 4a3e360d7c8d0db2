from __future__ import annotations

import polars as pl
import pytest

from visrec.data.formats.json_lines import read_objects
from visrec.data.published import Published
from visrec.errors import DataError


def write(tmp_path, content: bytes, name: str = "items.jsonl"):
    (path := tmp_path / name).write_bytes(content)
    return path


SCHEMA = {"id": pl.String, "n": pl.Int64, "list": pl.List(pl.String)}


@pytest.mark.parametrize("size", [1, 1000])
def test_objects_keep_the_fields_that_are_asked_for(tmp_path, size):
    content = b'{"id":"a","n":1,"list":["x","y"],"more":{"k":[1]}}\n\n{"n":2,"id":7}\n{"id":null}'
    found = [
        row
        for _, table in read_objects(Published.at(write(tmp_path, content)), SCHEMA, size=size)
        for row in table.rows()
    ]
    assert found == [("a", 1, ["x", "y"]), ("7", 2, None), (None, None, None)]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"id":"b","n":', "line 2 is no JSON"),
        (b'{"id":"b"} more', "line 2 is no JSON"),
        (b'{"id":"\xff"}', "line 2 is no JSON"),
        (b"[1,2]", "line 2 holds .*; expected a JSON object"),
        (b'{"id":"b","list":{"k":1}}', "line 2: list is .*k.*; expected what the published"),
    ],
)
def test_a_line_that_is_no_such_object_is_told(tmp_path, line, message):
    path = write(tmp_path, b'{"id":"a"}\n' + line + b"\n")
    with pytest.raises(DataError, match=message):
        list(read_objects(Published.at(path), SCHEMA))


def test_a_file_of_blank_lines_is_told(tmp_path):
    with pytest.raises(DataError, match="holds no rows"):
        list(read_objects(Published.at(write(tmp_path, b"\n \n")), SCHEMA))
