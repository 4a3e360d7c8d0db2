"""Whatever was done to a folder, the doctor says something sensible about it."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from visrec.checks.checkup import check
from visrec.checks.codes import CODES
from visrec.checks.duplicates import MOST_BITS, SURE_BITS, near_pairs
from visrec.errors import DataError

NOW = 1_700_000_000
CELLS = st.sampled_from(
    [
        "u1",
        "u2",
        "i1",
        "i2",
        "",
        " ",
        "nan",
        "-1",
        "0",
        "1600000000",
        "9e99",
        "inf",
        "2020-01-01",
        "true",
        "test",
        '"',
        "é",
        "\0",
    ]
)


def write(folder: Path) -> None:
    (folder / "images").mkdir()
    lines = ["user_id,item_id,timestamp,rating,evaluation"]
    for user in range(3):
        lines += [
            f"u{user},i{item},{1_600_000_000 + item},5,{'test' if item == 3 else 'train'}"
            for item in range(4)
        ]
    (folder / "interactions.csv").write_text("\n".join(lines) + "\n")
    (folder / "items.csv").write_text("item_id,title\n" + "".join(f"i{n},t\n" for n in range(4)))
    for n in range(4):
        pixels = np.random.default_rng(n).integers(0, 256, (40, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "images" / f"i{n}.jpg")


def is_sensible(folder: Path) -> None:
    found = check(folder, n_workers=0, now=NOW)
    json.dumps(found.as_dict(), allow_nan=False).encode()
    assert all(one.code in CODES and one.count > 0 for one in found.findings)
    codes = [(one.code, one.examples) for one in found.findings]
    assert len(set(codes)) == len(codes)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_bytes_changed_anywhere_never_end_a_check(data):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder)
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        for path in data.draw(st.lists(st.sampled_from(files), min_size=1, max_size=3)):
            old = path.read_bytes()
            at = data.draw(st.integers(0, len(old)))
            new = data.draw(st.binary(max_size=8))
            keep = data.draw(st.booleans())  # else: cut off here
            path.write_bytes(old[:at] + new + (old[at + len(new) :] if keep else b""))
        is_sensible(folder)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(CELLS, CELLS, CELLS, CELLS, CELLS), min_size=1, max_size=8))
def test_cells_of_any_kind_never_end_a_check(rows):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder)
        with (folder / "interactions.csv").open("a", encoding="utf-8") as file:
            file.writelines(",".join(row) + "\n" for row in rows)
        is_sensible(folder)


@pytest.mark.parametrize("name", ["absent", "file"])
def test_what_is_no_folder_is_refused(tmp_path, name):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="expected a folder"):
        check(tmp_path / name)


def test_a_folder_with_nothing_in_it_is_told_so(tmp_path):
    with pytest.raises(DataError, match="is no data set folder"):  # or a mistyped folder would pass
        check(tmp_path, now=NOW)
    (tmp_path / "images").mkdir()
    Image.new("RGB", (40, 40), "red").save(tmp_path / "images" / "a.png")
    codes = [one.code for one in check(tmp_path, n_workers=0, now=NOW).findings]
    assert codes == ["blank-image", "no-interactions"]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, SURE_BITS))
def test_no_near_pair_is_missed_and_none_is_invented(seed, bits):
    """Among random hashes, pairs that differ in a few chosen bits: a loop over all pairs finds the same."""
    rng = np.random.default_rng(seed)
    hashes = rng.integers(0, 2**64, 40, dtype=np.uint64)
    for place in range(0, 20, 2):
        flips = rng.choice(64, bits, replace=False).astype(np.uint64)
        hashes[place + 1] = hashes[place] ^ np.bitwise_or.reduce(np.uint64(1) << flips, initial=np.uint64(0))
    signatures = np.zeros((40, 12), dtype=np.uint8)
    found = {tuple(pair) for pair in near_pairs(hashes, signatures, np.arange(40)).tolist()}
    apart = {(a, b): int(hashes[a] ^ hashes[b]).bit_count() for a in range(40) for b in range(a + 1, 40)}
    assert {pair for pair, n in apart.items() if n <= SURE_BITS} <= found
    assert found <= {pair for pair, n in apart.items() if n <= MOST_BITS}


def test_pictures_whose_small_copies_differ_are_no_near_pair():
    hashes = np.array([7, 7, 7], dtype=np.uint64)
    signatures = np.array([[0] * 6 + [200] * 6, [0] * 6 + [202] * 6, [200] * 6 + [0] * 6], dtype=np.uint8)
    assert near_pairs(hashes, signatures, np.arange(3)).tolist() == [[0, 1]]
