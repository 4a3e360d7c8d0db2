"""NumPy arrays of objects in `.npy` files, which are pickles: read without running anything that the file names.

A pickle is a program: it names functions and has them called. Here only the steps that make numbers, texts, lists
and arrays are taken, and the few functions of NumPy that a pickled array calls are replaced by classes of our own.
NumPy's own would not do: the state that it takes for an array or a type can be crafted so that it reads any memory.
"""

from __future__ import annotations

import pickle
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import IO, Any, ClassVar, NoReturn

import numpy as np

from visrec.errors import DataError

_MAX_DIMENSIONS = 8
_SHOWN = 80  # characters of a value in a message
_CODE = re.compile(r"(b1|[iu][1248]|f[248]|[US][1-9][0-9]{0,6}|O[48]?)")


class PlainArrayError(DataError):
    """The file is a sound `.npy` file of another kind: plain numbers without names."""


@dataclass(frozen=True, eq=False)
class ObjectArray:
    """An array of objects.

    Attributes:
        shape: of the array.
        cells: its elements in row-major order: texts, numbers, arrays of numbers `np.ndarray`, lists, `ObjectArray`s.
        size: bytes of the file that it was read from.
    """

    shape: tuple[int, ...]
    cells: list[Any]
    size: int = 0


def read_object_array(path: Path) -> ObjectArray:
    """The array of objects in a `.npy` file, as `numpy.save(path, array, allow_pickle=True)` wrote it.

    Raises:
        PlainArrayError: it holds plain numbers.
        DataError: it is no such file, is damaged, claims more than it holds, or wants something run.
    """
    with path.open("rb") as file:
        try:
            _check_header(path, file)
            value = _plain(_Reader(_Bounded(path, file)).load())
            if not isinstance(value, ObjectArray):
                raise ValueError(f"the pickle in it holds {type(value).__name__}, no array of objects")
            return ObjectArray(value.shape, [_plain(cell) for cell in value.cells], file.seek(0, 2))
        except DataError:
            raise
        except _DAMAGE as error:
            what = " ".join(str(error).split())[:300] or type(error).__name__
            raise DataError(f"{path}: is not a readable .npy file of objects ({what}).") from None


_DAMAGE = (
    *(pickle.UnpicklingError, EOFError, LookupError, ValueError, TypeError, AttributeError),
    *(ArithmeticError, MemoryError, RecursionError, struct.error, AssertionError),
)


def shown(value: object) -> str:
    """A value out of a file for a message: texts and whole numbers, cut short; of all else the kind.

    Lists that share lists take a few bytes in a file, and written out, twice as many with each level.
    """
    if isinstance(value, str | bytes):
        return repr(value[:_SHOWN]) + ("…" if len(value) > _SHOWN else "")
    if isinstance(value, int | np.integer):
        return str(value) if abs(int(value)) < 10**_SHOWN else f"a number of {int(value).bit_length():,} bits"
    return type(value).__name__


def _check_header(path: Path, file: IO[bytes]) -> None:
    version = np.lib.format.read_magic(file)
    readers: dict[tuple[int, int], Callable[[IO[bytes]], tuple[tuple[int, ...], bool, np.dtype[Any]]]] = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    if version not in readers:
        raise ValueError(f"version {version} of the format")
    shape, _, dtype = readers[version](file)
    if dtype != np.dtype(object):
        raise PlainArrayError(f"{path}: holds an array {dtype} {shape} without names of items.")


class _Bounded:
    """A file that refuses to read more than there is, before memory is taken for it."""

    def __init__(self, path: Path, file: IO[bytes]) -> None:
        self._path, self._file = path, file
        at = file.tell()
        self._left = file.seek(0, 2) - at
        file.seek(at)

    def read(self, n: int) -> bytes:
        if n > self._left:
            raise DataError(
                f"{self._path}: claims {n:,} more bytes where {self._left:,} are left: it is cut short, or damaged "
                f"on purpose."
            )
        self._left -= n
        return self._file.read(n)

    def readline(self) -> bytes:
        line = self._file.readline()
        self._left -= len(line)
        return line


# ---- what stands for NumPy's functions ----------------------------------------------------------------------


class NumpyArrayName:
    """Stands for the name `numpy.ndarray`, which `_reconstruct` is given."""

    def __init__(self) -> None:
        raise ValueError("an array is made in a way that NumPy never writes")


class PickledType:
    """Stands for `numpy.dtype`: a type of plain values, or of objects. Only the byte order of its state counts."""

    __slots__ = ("code", "order")

    def __init__(self, code: object, align: object = False, copy: object = False) -> None:  # noqa: ARG002
        text = code.decode("ascii") if isinstance(code, bytes) else code
        if not isinstance(text, str) or not _CODE.fullmatch(text):
            raise ValueError(f"an array is of type {shown(code)}; expected numbers, texts or objects")
        self.code, self.order = text, "<"

    def __setstate__(self, state: object) -> None:
        if not isinstance(state, tuple) or len(state) < 5 or any(part is not None for part in state[2:5]):
            raise ValueError("an array is of a type with fields; expected numbers, texts or objects")
        order = state[1].decode("ascii") if isinstance(state[1], bytes) else state[1]
        if order not in ("<", ">", "=", "|"):
            raise ValueError(f"an array has the byte order {shown(order)}; expected '<' or '>'")
        self.order = str(order)

    @property
    def is_object(self) -> bool:
        return self.code.startswith("O")

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of plain values."""
        return np.dtype(self.order + self.code)


class PickledArray:
    """Stands for `numpy.core.multiarray._reconstruct`, which makes an empty array; its state says what is in it."""

    __slots__ = ("value",)

    def __init__(self, kind: object, shape: object = (), code: object = b"") -> None:  # noqa: ARG002
        if kind is not NumpyArrayName:
            raise ValueError("an array is of a class of its own; expected numpy.ndarray")
        self.value: np.ndarray | ObjectArray | None = None

    def __setstate__(self, state: object) -> None:
        if not isinstance(state, tuple) or len(state) not in (4, 5):
            raise ValueError("an array has a state that NumPy never writes")
        shape, kind, fortran, data = state[-4:]
        self.value = _array(shape, kind, data, fortran=bool(fortran))


def _array(shape: object, kind: object, data: object, *, fortran: bool) -> np.ndarray | ObjectArray:
    if not isinstance(shape, tuple) or len(shape) > _MAX_DIMENSIONS:
        found = f"{len(shape):,} dimensions" if isinstance(shape, tuple) else f"the shape {shown(shape)}"
        raise ValueError(f"an array has {found}; expected at most {_MAX_DIMENSIONS} whole numbers")
    for n in shape:
        if type(n) is not int or n < 0:
            raise ValueError(f"an array has a shape with {shown(n)} in it; expected whole numbers from 0 on")
    if not isinstance(kind, PickledType):
        raise ValueError("an array has no type")
    n = prod(shape)
    if kind.is_object:
        if not isinstance(data, list) or len(data) != n:
            held = f"{len(data):,} objects" if isinstance(data, list) else type(data).__name__
            raise ValueError(f"an array claims the shape {shape}, {n:,} objects, and holds {held}")
        return ObjectArray(shape, data)  # in row-major order, whatever `fortran` says
    if isinstance(data, str):
        data = data.encode("latin1")  # from Python 2
    size = n * kind.dtype.itemsize
    if not isinstance(data, bytes | bytearray) or len(data) != size:
        held = f"{len(data):,}" if isinstance(data, bytes | bytearray) else type(data).__name__
        raise ValueError(
            f"an array claims the shape {shape} of {kind.code}, {size:,} bytes, and holds {held}."
        )
    flat = np.frombuffer(data, dtype=kind.dtype) if n else np.empty(0, dtype=kind.dtype)
    return flat.reshape(shape, order="F" if fortran else "C")


def pickled_scalar(kind: object, data: object = None) -> Any:
    """Stands for `numpy.core.multiarray.scalar`: one number or text."""
    if isinstance(kind, PickledType) and kind.is_object:
        raise ValueError("a single value is of type object; expected a number or a text")
    found = _array((1,), kind, data, fortran=False)
    assert isinstance(found, np.ndarray)
    return found[0]


def _from_buffer(buffer: object, kind: object, shape: object, order: object = "C") -> PickledArray:
    """Stands for `numpy.core.numeric._frombuffer`, which protocol 5 calls."""
    made = PickledArray(NumpyArrayName)
    made.value = _array(shape, kind, buffer, fortran=order == "F")
    return made


def encoded(text: object, encoding: object = "latin1") -> bytes:
    """Stands for `_codecs.encode`, by which protocols 0 to 2 write bytes."""
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise ValueError(f"bytes are written in the encoding {shown(encoding)}; expected latin1")
    return text.encode("latin1")


STANDS_FOR: dict[str, Callable[..., Any]] = {
    "numpy.ndarray": NumpyArrayName,
    "numpy.dtype": PickledType,
    "numpy.core.multiarray._reconstruct": PickledArray,
    "numpy._core.multiarray._reconstruct": PickledArray,
    "numpy.core.multiarray.scalar": pickled_scalar,
    "numpy._core.multiarray.scalar": pickled_scalar,
    "numpy.core.numeric._frombuffer": _from_buffer,
    "numpy._core.numeric._frombuffer": _from_buffer,
    "_codecs.encode": encoded,
}
"""All names that a file may call, and what is called in their stead."""


def _plain(value: Any) -> Any:
    """an array for what stood for it."""
    if not isinstance(value, PickledArray):
        return value
    if value.value is None:
        raise ValueError("an array in the file has no content, or contains itself")
    return value.value


# ---- the unpickler -------------------------------------------------------------------------------------------

_TAKEN = (
    *(pickle.PROTO, pickle.FRAME, pickle.STOP, pickle.MARK, pickle.POP, pickle.POP_MARK, pickle.DUP),
    *(
        pickle.NONE,
        pickle.NEWTRUE,
        pickle.NEWFALSE,
        pickle.INT,
        pickle.BININT,
        pickle.BININT1,
        pickle.BININT2,
    ),
    *(pickle.LONG, pickle.LONG1, pickle.LONG4, pickle.FLOAT, pickle.BINFLOAT),
    *(pickle.STRING, pickle.BINSTRING, pickle.SHORT_BINSTRING),
    *(pickle.BINBYTES, pickle.BINBYTES8, pickle.SHORT_BINBYTES),
    *(pickle.UNICODE, pickle.BINUNICODE, pickle.SHORT_BINUNICODE, pickle.BINUNICODE8),
    *(pickle.EMPTY_LIST, pickle.LIST, pickle.APPEND, pickle.APPENDS),
    *(pickle.EMPTY_TUPLE, pickle.TUPLE, pickle.TUPLE1, pickle.TUPLE2, pickle.TUPLE3),
    *(pickle.GET, pickle.BINGET, pickle.LONG_BINGET, pickle.PUT, pickle.BINPUT, pickle.LONG_BINPUT),
    *(pickle.MEMOIZE, pickle.GLOBAL, pickle.STACK_GLOBAL, pickle.REDUCE),
)


# The one written in Python: that in C takes as much memory as a place in its memo claims, some 30 GB for ten bytes.
class _Reader(pickle._Unpickler):
    """Takes the steps that make data, and no other."""

    stack: list[Any]
    append: Callable[[Any], None]
    read: Callable[[int], bytes]
    readline: Callable[[], bytes]

    def __init__(self, file: _Bounded) -> None:
        super().__init__(file, encoding="latin1")
        self._path = file._path

    def find_class(self, module: str, name: str) -> Any:
        found = STANDS_FOR.get(f"{module}.{name}")
        if found is None:
            named = f"{module}.{name}"[:_SHOWN]
            raise DataError(
                f"{self._path}: wants to run {named}, which no file of features needs. Nothing was run. Do "
                f"not open it with numpy.load(allow_pickle=True) or pickle either, unless you trust whoever made it."
            )
        return found

    def load_old_instance(self) -> NoReturn:
        module, name = (self.readline()[:-1].decode("utf-8", "replace") for _ in range(2))
        self.find_class(module, name)
        self.load_other()

    def load_build(self) -> None:
        state = self.stack.pop()
        target = self.stack[-1]
        if not isinstance(target, PickledArray | PickledType):
            raise DataError(f"{self._path}: sets the state of a {type(target).__name__}. {_REFUSED}")
        target.__setstate__(state)

    def load_byte_array(self) -> None:
        (n,) = struct.unpack("<Q", self.read(8))
        self.append(bytearray(self.read(n)))

    def load_other(self) -> NoReturn:
        raise DataError(f"{self._path}: makes other objects than arrays, numbers and texts. {_REFUSED}")

    dispatch: ClassVar[dict[int, Callable[..., Any]]] = {
        **dict.fromkeys(pickle._Unpickler.dispatch, load_other),
        **{step[0]: pickle._Unpickler.dispatch[step[0]] for step in _TAKEN},
        pickle.INST[0]: load_old_instance,
        pickle.BUILD[0]: load_build,
        pickle.BYTEARRAY8[0]: load_byte_array,
    }


_REFUSED = "No file of features needs that. Nothing was run."
