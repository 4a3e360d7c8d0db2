"""What stands for the functions of NumPy that a pickled array calls.

NumPy's own would not do: the state that it takes for an array or a type can be crafted so that it reads any memory.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

_MAX_DIMENSIONS = 8
SHOWN = 80
"""Characters of a value in a message."""
_CODE = re.compile(r"(b1|[iu][1248]|f[248]|[US][1-9][0-9]{0,6}|O[48]?)")


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


def shown(value: object) -> str:
    """A value out of a file for a message: texts and whole numbers, cut short; of all else the kind.

    Lists that share lists take a few bytes in a file, and written out, twice as many with each level.
    """
    if isinstance(value, str | bytes):
        return repr(value[:SHOWN]) + ("…" if len(value) > SHOWN else "")
    if isinstance(value, int | np.integer):
        return str(value) if abs(int(value)) < 10**SHOWN else f"a number of {int(value).bit_length():,} bits"
    return type(value).__name__


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


def _no_value(*_: object) -> None:
    """Stands for `list` and its like, which say what a dictionary makes for a key that it lacks."""
    raise ValueError("a list is made in a way that no file of records needs")


def _dictionary(factory: object = None) -> dict[Any, Any]:
    """Stands for `collections.defaultdict`: a dictionary."""
    if factory is not None and factory is not _no_value:
        raise ValueError(f"a dictionary is made with {shown(factory)}")
    return {}


FACTORIES: dict[str, Callable[..., Any]] = {
    "collections.defaultdict": _dictionary,
    **{
        f"{module}.{name}": _no_value
        for module in ("__builtin__", "builtins")
        for name in ("list", "dict", "int")
    },
}
"""What a file of records may call besides."""


def plain(value: Any) -> Any:
    """An array for what stood for it; anything else as it is.

    Raises:
        ValueError: the array has no content, or contains itself.
    """
    if not isinstance(value, PickledArray):
        return value
    if value.value is None:
        raise ValueError("an array in the file has no content, or contains itself")
    return value.value
