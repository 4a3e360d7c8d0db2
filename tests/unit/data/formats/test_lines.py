from __future__ import annotations

import gzip

import pytest

from visrec.data.formats.lines import line_blocks
from visrec.data.published import Published

TABLE = b"user,item,time\nu,a,1\nv,b,2\nw,c,3\n"


def write(tmp_path, content: bytes, name: str = "table.csv"):
    (path := tmp_path / name).write_bytes(content)
    return path


@pytest.mark.parametrize("size", [1, 5, 6, 7, 1000])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_blocks_hold_whole_lines_and_know_their_first(tmp_path, size, pack):
    path = write(tmp_path, pack(TABLE))
    blocks = [*line_blocks(Published.at(path), size=size)]
    assert b"".join(block.data for block in blocks) == TABLE
    for block in blocks:
        before = TABLE[: TABLE.index(block.data)]
        assert block.first == 1 + before.count(b"\n")
        assert block.data.endswith(b"\n")


def test_progress_ends_at_the_size_of_the_file(tmp_path):
    path = write(tmp_path, TABLE)
    seen = []
    list(line_blocks(Published.at(path), size=8, progress=lambda *told: seen.append(told)))
    assert seen[-1] == (len(TABLE), len(TABLE), "table.csv")
