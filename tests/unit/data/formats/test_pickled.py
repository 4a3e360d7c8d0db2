"""Pickled arrays are read; nothing that a file names is run."""

from __future__ import annotations

import builtins
import codecs
import os
import pickle
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest

from visrec.data.formats.pickled import (
    ObjectArray,
    PlainArrayError,
    Stretch,
    plain,
    read_object_array,
    read_records,
    shown,
)
from visrec.errors import DataError


def _save(path: Path, value: object, protocol: int = 4) -> Path:
    """`value` behind the header of an array of objects, as `numpy.save` lays them out."""
    return _write(path, pickle.dumps(value, protocol=protocol))


def _write(path: Path, program: bytes) -> Path:
    with path.open("wb") as file:
        header = {"descr": "|O", "fortran_order": False, "shape": (1, 2)}
        np.lib.format.write_array_header_1_0(file, header)
        file.write(program)
    return path


def _embedding(dtype: str = "<f4") -> np.ndarray:
    table = np.empty((3, 2), dtype=object)
    for n in range(3):
        table[n, 0] = f"{n}.jpg"
        table[n, 1] = np.arange(4).astype(dtype) + n
    return table


class Reduced:
    """Pickles as a call of a function."""

    def __init__(self, function: object, *arguments: object, state: object = None) -> None:
        self.how = (function, arguments) if state is None else (function, arguments, state)

    def __reduce__(self):
        return self.how


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<f2", "<f8", "|u1", "<i8"])
def test_arrays_of_all_protocols_and_number_types_are_read(tmp_path, protocol, dtype):
    table = _embedding(dtype)
    found = read_object_array(_save(tmp_path / "x.npy", table, protocol))
    assert found.shape == (3, 2)
    assert found.cells[::2] == ["0.jpg", "1.jpg", "2.jpg"]
    for cell, expected in zip(found.cells[1::2], table[:, 1], strict=True):
        assert cell.dtype == expected.dtype
        np.testing.assert_array_equal(cell, expected)


def test_what_numpy_save_writes_is_read(tmp_path):
    table = _embedding()
    table[0, 0] = np.str_("ä.jpg")
    table[1, 0] = np.int64(12)
    np.save(tmp_path / "x.npy", table, allow_pickle=True)
    found = read_object_array(tmp_path / "x.npy")
    assert found.cells[0] == "ä.jpg"
    assert found.cells[2] == 12
    assert found.size == (tmp_path / "x.npy").stat().st_size


def test_the_module_names_of_numpy_1_and_2_are_both_read(tmp_path):
    program = pickle.dumps(_embedding(), protocol=2)
    new, old = b"numpy._core.multiarray", b"numpy.core.multiarray"
    assert new in program
    for names in (program, program.replace(new, old)):
        assert read_object_array(_write(tmp_path / "x.npy", names)).cells[4] == "2.jpg"


def test_maps_and_arrays_in_fortran_order_keep_their_places(tmp_path):
    cube = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    table = np.empty((2, 2), dtype=object)
    table[0, 0], table[0, 1], table[1, 0], table[1, 1] = "a", cube, "b", np.asfortranarray(cube)
    found = read_object_array(_save(tmp_path / "x.npy", np.asfortranarray(table)))
    assert [found.cells[0], found.cells[2]] == ["a", "b"]
    for cell in (found.cells[1], found.cells[3]):
        np.testing.assert_array_equal(cell, cube)


def test_lists_of_pairs_are_arrays_in_arrays(tmp_path):
    table = np.empty(2, dtype=object)
    table[0], table[1] = ["a.jpg", [1.0, 2.5]], ["b.jpg", [3.0, 4.0]]
    assert read_object_array(_save(tmp_path / "x.npy", table)).cells == [
        ["a.jpg", [1.0, 2.5]],
        ["b.jpg", [3.0, 4.0]],
    ]


def test_plain_arrays_are_said_to_be_so(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((3, 4)))
    with pytest.raises(PlainArrayError, match=r"float64 \(3, 4\) without names"):
        read_object_array(tmp_path / "x.npy")


# ---- strangers' files --------------------------------------------------------------------------------------


@pytest.fixture
def traps(monkeypatch, tmp_path):
    """Whatever of these is called leaves a mark."""
    calls: list[str] = []
    for module, name in ((os, "system"), (builtins, "eval"), (builtins, "exec"), (subprocess, "Popen")):
        monkeypatch.setattr(module, name, _trap(calls, module, name))
    return calls


def _trap(calls: list[str], module: object, name: str):
    def trap(*arguments: object) -> None:
        calls.append(name)

    trap.__module__, trap.__qualname__, trap.__name__ = module.__name__, name, name
    return trap


def _programs(mark: Path) -> dict[str, tuple[object, str]]:
    nested = _embedding()
    nested[1, 1] = Reduced(os.system, f"touch {mark}")
    deep = _embedding()
    deep[2, 1] = [[Reduced(builtins.eval, f"open({str(mark)!r}, 'w')")]]
    return {
        "os.system": (Reduced(os.system, f"touch {mark}"), r"wants to run (posix|nt|os)\.system"),
        "eval": (Reduced(builtins.eval, "1"), r"wants to run _*builtins?_*\.eval"),
        "exec": (Reduced(builtins.exec, "1"), r"wants to run _*builtins?_*\.exec"),
        "subprocess": (
            Reduced(subprocess.Popen, ["touch", str(mark)]),
            r"wants to run (subprocess|commands)\.Popen",
        ),
        "write a file": (Reduced(open, str(mark), "w"), r"wants to run _?io\.open"),
        "in the array": (nested, r"wants to run (posix|nt|os)\.system"),
        "in a list in the array": (deep, r"wants to run _*builtins?_*\.eval"),
        "getattr": (Reduced(getattr, "", "format"), r"wants to run _*builtins?_*\.getattr"),
        "a path": (Path("a.jpg"), r"wants to run pathlib"),
        "numpy.load": (Reduced(np.load, str(mark)), r"wants to run numpy\.load"),
        "numpy.memmap": (Reduced(np.memmap, str(mark), "u1", "w+", 0, (4,)), r"wants to run numpy\.memmap"),
        "a dictionary": ({"a": 1}, "other objects than arrays"),
    }


@pytest.mark.parametrize("name", _programs(Path("mark")))
@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_tutorial_error_14_nothing_that_a_file_of_features_names_is_run(tmp_path, traps, name, protocol):
    mark = tmp_path / "mark"
    program, message = _programs(mark)[name]
    path = _save(tmp_path / "x.npy", program, protocol)
    with pytest.raises(DataError, match=message) as error:
        read_object_array(path)
    assert str(error.value).startswith(str(path))
    assert traps == []
    assert not mark.exists()


_OLD = b"(S'touch x'\nios\nsystem\n."  # INST
_EXTENSION = b"\x82\x01."
_PERSISTENT = b"Pwhatever\n."
_NEW_OBJECT = pickle.dumps(np.dtype, 2)[:-1] + b")\x81."
_BUILD_FUNCTION = pickle.dumps(np.ndarray, 2)[:-1] + b"N}X\x01\x00\x00\x00aK\x01s\x86b."


@pytest.mark.parametrize(
    ("program", "message"),
    [
        (_OLD, r"wants to run os\.system"),
        (_EXTENSION, "other objects"),
        (_PERSISTENT, "other objects"),
        (_NEW_OBJECT, "other objects"),
        (_BUILD_FUNCTION, "other objects|state of a"),
        (pickle.dumps(np.ndarray, 2)[:-1] + b"Nb.", "sets the state of a type"),
        (b"\xff.", "readable"),
        (b"", "cut short"),
        (b"\x80\x04", "cut short"),
        (b"]\x94h\x00a.", "holds list"),  # contains itself
    ],
)
def test_tutorial_error_14_no_other_step_of_a_pickle_is_taken(tmp_path, program, message):
    with pytest.raises(DataError, match=message):
        read_object_array(_write(tmp_path / "x.npy", program))


def _array(shape: object, dtype: object, data: object) -> Reduced:
    reconstruct = np.zeros(1).__reduce__()[0]
    return Reduced(reconstruct, np.ndarray, (0,), b"b", state=(1, shape, dtype, False, data))


def _wicked_type() -> Reduced:
    """The type of objects without the flag that says so: NumPy would take 8 bytes of the file for an address."""
    return Reduced(np.dtype, "O8", False, True, state=(3, "|", None, None, None, 8, 8, 0))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (_array((1,), _wicked_type(), struct.pack("<Q", 0x4141414141414141)), "holds bytes"),
        (_array((1 << 40,), np.dtype("f4"), b"1234"), "claims the shape .* and holds 4"),
        (_array((-1,), np.dtype("f4"), b"1234"), "whole numbers from 0 on"),
        (_array((1 << 62, 1 << 62), np.dtype("f4"), b""), "claims the shape"),
        (_array((2,), np.dtype("O"), ["a"]), r"2 objects, and holds 1 objects"),
        (_array((1,) * 40, np.dtype("f4"), b"1234"), "at most 8"),
        (_array("ab", np.dtype("f4"), b"1234"), "has the shape 'ab'"),
        (_array((1,), "f4", b"1234"), "has no type"),
        (_array((1,), np.dtype([("a", "O")]), [1]), "type"),
        (Reduced(np.dtype, "V8", state=(3, "|", ("f4", (2,)), None, None, 8, 1, 0)), "of type 'V8'"),
        (Reduced(np.zeros(1).__reduce__()[0], np.matrix, (0,), b"b"), "numpy.matrix"),
        (_array((1,), np.dtype("U1"), b"\xff\xff\xff\xff"), "no array of objects|readable"),
    ],
)
def test_tutorial_error_14_a_wicked_state_of_an_array_is_refused(tmp_path, value, message):
    with pytest.raises(DataError, match=message):
        read_object_array(_save(tmp_path / "x.npy", value))


def _shared_lists(levels: int = 60) -> list[object]:
    """Each level holds the one below twice: 9 bytes a level in a file, and 2^levels lists when written out."""
    found: list[object] = ["a"]
    for _ in range(levels):
        found = [found, found]
    return found


@pytest.mark.parametrize(
    "value",
    [
        Reduced(np.dtype, _shared_lists(), False, True),
        Reduced(np.dtype, "f4", False, True, state=(3, _shared_lists(), None, None, None, 4, 4, 0)),
        _array(_shared_lists(), np.dtype("f4"), b"1234"),
        _array((_shared_lists(),), np.dtype("f4"), b"1234"),
        _array((_shared_lists(),) * 9, np.dtype("f4"), b"1234"),
        _array((1,), np.dtype("f4"), _shared_lists()),
        Reduced(codecs.encode, "a", _shared_lists()),
        Reduced(codecs.encode, _shared_lists(), "latin1"),
        Reduced(codecs.encode, "a", "x" * 10_000),
        _array((10**5000,), np.dtype("f4"), b"1234"),
    ],
)
def test_values_that_are_endless_when_written_out_end_in_a_short_message(tmp_path, value):
    path = _save(tmp_path / "x.npy", value, protocol=2)
    with pytest.raises(DataError) as error:
        read_object_array(path)
    assert len(str(error.value)) < 400 + len(str(path))


def test_a_call_of_a_value_that_is_endless_when_written_out_ends_in_a_short_message(tmp_path):
    path = _write(tmp_path / "x.npy", pickle.dumps(_shared_lists(), protocol=2)[:-1] + b")R.")
    with pytest.raises(DataError, match="not callable") as error:
        read_object_array(path)
    assert len(str(error.value)) < 400 + len(str(path))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a" * 80, repr("a" * 80)),
        ("a" * 81, repr("a" * 80) + "…"),
        (b"ab", "b'ab'"),
        (-12, "-12"),
        (np.int64(7), "7"),
        (10**80, "a number of 266 bits"),
        (1.5, "float"),
        (["a"], "list"),
        (None, "NoneType"),
    ],
)
def test_texts_and_whole_numbers_are_shown_and_of_all_else_the_kind(value, text):
    assert shown(value) == text


@pytest.mark.parametrize(
    "program",
    [
        b"\x80\x04B\xff\xff\xff\x7f1234.",  # BINBYTES of 2 GiB
        b"\x80\x04\x8e" + struct.pack("<Q", 1 << 50) + b".",  # BINBYTES8 of a pebibyte
        b"\x80\x05\x96" + struct.pack("<Q", 1 << 50) + b".",  # BYTEARRAY8
        b"\x80\x04\x95" + struct.pack("<Q", 1 << 40) + b"N.",  # FRAME
        b"\x80\x04X\xff\xff\xff\x7fab.",  # BINUNICODE
    ],
)
def test_a_claim_of_more_bytes_than_the_file_has_takes_no_memory(tmp_path, program):
    with pytest.raises(DataError, match="more bytes where"):
        read_object_array(_write(tmp_path / "x.npy", program))


def test_a_far_place_in_the_memo_takes_no_memory(tmp_path):
    # The unpickler in C makes room for 4 billion places here.
    with pytest.raises(DataError, match="holds NoneType"):
        read_object_array(_write(tmp_path / "x.npy", b"\x80\x04Nr\xff\xff\xff\x7f."))


def test_an_array_that_contains_itself_is_refused(tmp_path):
    table = np.empty(1, dtype=object)
    table[0] = table
    found = read_object_array(_save(tmp_path / "x.npy", table))
    assert isinstance(found.cells[0], ObjectArray)  # one step down, no further
    assert found.cells[0].shape == (1,)


def test_a_header_of_a_foreign_file_is_an_error(tmp_path):
    (tmp_path / "x.npy").write_bytes(b"PK\x03\x04 anything")
    with pytest.raises(DataError, match=r"is not a readable \.npy file"):
        read_object_array(tmp_path / "x.npy")


@pytest.mark.parametrize("cut", [20, 130, 200, 300, 400])
def test_files_cut_short_are_an_error(tmp_path, cut):
    whole = _save(tmp_path / "x.npy", _embedding()).read_bytes()
    (tmp_path / "y.npy").write_bytes(whole[:cut])
    with pytest.raises(DataError, match=r"y\.npy"):
        read_object_array(tmp_path / "y.npy")


def test_marks_without_end_are_refused(tmp_path):
    with pytest.raises(DataError, match="more than 1,000 lists are begun within each other"):
        read_object_array(_write(tmp_path / "x.npy", b"\x80\x02" + b"(" * 100_000 + b"."))


def test_the_same_copy_again_and_again_does_not_fill_the_memory(tmp_path):
    # 14 bytes for each copy of a text of a megabyte.
    text = "x" * (1 << 20)
    program = b"\x80\x02" + pickle.dumps(codecs.encode, 2)[2:-1] + b"q\x01X" + struct.pack("<I", len(text))
    program += text.encode() + b"U\x06latin1\x86q\x02" + b"h\x01h\x02R" * 200 + b"."
    with pytest.raises(DataError, match=r"makes far more of its .* bytes than they hold"):
        read_object_array(_write(tmp_path / "x.npy", program))


@pytest.mark.parametrize("program", [b"h\x05.", b"j\x05\x00\x00\x00.", b"g5\n.", b"h\x00.", b"Np-1\n."])
def test_places_where_nothing_was_put_are_an_error(tmp_path, program):
    with pytest.raises(DataError, match=r"nothing was put|is negative"):
        read_object_array(_write(tmp_path / "x.npy", program))


def test_places_in_any_order_are_found_again(tmp_path):
    # Put at 300, 2, 1, 0 and 2 again, taken back as 300, 2, 1, 0.
    program = b"\x80\x02]q\x64(K\x01r,\x01\x00\x00K\x02q\x02K\x03q\x01K\x04q\x00K\x05q\x02"
    program += b"j,\x01\x00\x00h\x02h\x01h\x00e."
    found = read_records(_write(tmp_path / "x.npy", _in_array(program[2:-1], 9)))
    assert found.cells == [1, 2, 3, 4, 5, 1, 5, 3, 4]


# ---- records of Python 2 ---------------------------------------------------------------------------


def _in_array(cells: bytes, n: int) -> bytes:
    """An array of objects as the NumPy of Python 2 pickled it, around a list of n cells."""
    return (
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\nq\x90cnumpy\nndarray\nq\x91K\x00\x85q\x92U\x01bq\x93\x87q\x94R"
        b"q\x95(K\x01K"
        + bytes([n])
        + b"\x85q\x96cnumpy\ndtype\nq\x97U\x02O8q\x98K\x00K\x01\x87q\x99Rq\x9a(K\x03U\x01|"
        b"q\x9bNNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK?tq\x9cb\x89" + cells + b"tq\x9db."
    )


def _records(path: Path, *cells: bytes) -> list[object]:
    return read_records(_write(path / "x.npy", _in_array(b"](" + b"".join(cells) + b"e", len(cells)))).cells


def test_records_are_dictionaries_of_bytes_texts_and_numbers(tmp_path):
    cells = _records(
        tmp_path,
        b"}q\x01(U\x01aq\x02K\x07U\x01bq\x03X\x02\x00\x00\x00\xc3\xa9u",
        b"}q\x04h\x02]q\x05(\x88Ne" + b"s",
        b"(K\x01U\x01xI5\nS'y\\n'\nd",  # as protocol 0 makes one
    )
    assert cells == [{b"a": 7, b"b": "é"}, {b"a": [True, None]}, {1: b"x", 5: b"y\n"}]


def test_a_default_dictionary_is_a_dictionary(tmp_path):
    start = b"ccollections\ndefaultdict\nq\x01"
    factory = b"c__builtin__\nlist\nq\x02\x85R"
    assert _records(tmp_path, start + factory + b"K\x01]s", start + b")RK\x02Ns") == [{1: []}, {2: None}]
    for wrong in (start + b"U\x01x\x85R", b"c__builtin__\nlist\n)R"):
        with pytest.raises(DataError, match="is made"):
            _records(tmp_path, wrong)


def test_a_long_string_that_is_taken_out_again_and_again_is_counted(tmp_path, monkeypatch):
    """Twelve bytes that copy 1,200: gigabytes would be copied for hours."""
    monkeypatch.setattr("visrec.data.formats.pickle_steps._SLACK", 0)
    string = b"T" + struct.pack("<i", 600) + b"x" * 600 + b"q\x010"
    names = b"cnumpy.core.multiarray\n_reconstruct\nq\x020cnumpy\nndarray\nq\x030"
    again = b"h\x02(h\x03h\x01h\x01tR0"
    with pytest.raises(DataError, match="makes far more of its"):
        _records(tmp_path, string + names + again * 50 + b"N")


def test_long_strings_stay_in_the_file(tmp_path):
    long, short = b"\xff\xd8" + b"x" * 510, b"x" * 511
    cells = _records(
        tmp_path,
        b"T" + struct.pack("<i", 512) + long,
        b"T" + struct.pack("<i", 511) + short,
        b"B" + struct.pack("<I", 512) + long,
    )
    assert cells[1] == short
    with (tmp_path / "x.npy").open("rb") as file:
        for cell in (cells[0], cells[2]):
            assert isinstance(cell, Stretch)
            assert cell.read(file) == long


def test_arrays_and_numbers_in_records_are_whole(tmp_path):
    numbers = np.arange(200, dtype="<f8")  # 1,600 bytes: a string that an array needs is read
    program = pickle.dumps({"a": numbers, "b": np.float32(2.5)}, protocol=2)[2:-1]
    (record,) = _records(tmp_path, program)
    np.testing.assert_array_equal(plain(record["a"]), numbers)
    assert record["b"] == np.float32(2.5)


def _tuples(levels: int) -> bytes:
    """A tuple of tuples that takes 2^levels steps to hash."""
    return b")" + b"q\x01h\x01\x86" * levels


@pytest.mark.parametrize(
    "key", [_tuples(60), b"N", b"G?\xf0" + bytes(6), b"]", b"\x8a\x09" + bytes(8) + b"\x01", b"}"]
)
def test_keys_that_can_make_a_dictionary_slow_are_refused(tmp_path, key):
    with pytest.raises(DataError, match=r"a dictionary has the key .*; expected texts or whole numbers"):
        _records(tmp_path, b"}" + key + b"K\x01s")
    with pytest.raises(DataError, match="a dictionary has the key"):
        _records(tmp_path, b"(" + key + b"K\x01d")


def test_only_dictionaries_are_filled_like_one(tmp_path):
    with pytest.raises(DataError, match="a list is filled like a dictionary"):
        _records(tmp_path, b"]K\x00K\x01s")
    with pytest.raises(DataError, match="is not a readable"):
        _records(tmp_path, b"}(K\x00u")  # a key without a value


@pytest.mark.parametrize("name", sorted(set(_programs(Path("mark"))) - {"a dictionary"}))
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_nothing_that_records_name_is_run(tmp_path, traps, name, protocol):
    mark = tmp_path / "mark"
    program, message = _programs(mark)[name]
    with pytest.raises(DataError, match=message):
        read_records(_save(tmp_path / "x.npy", {"a": [program]}, protocol))
    assert traps == []
    assert not mark.exists()


@pytest.mark.parametrize(
    "claim", [b"T\xff\xff\xff\x7f", b"T\xff\xff\xff\xff", b"B\xff\xff\xff\xff", b"U\xff"]
)
def test_records_that_claim_more_than_the_file_has_are_cut_short(tmp_path, claim):
    with pytest.raises(DataError, match=r"more bytes where|negative length"):
        _records(tmp_path, b"}" + claim)
