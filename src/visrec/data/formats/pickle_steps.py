"""The steps of a pickle that make data, taken one after the other; at any other the file is refused."""

from __future__ import annotations

import mmap
import pickle
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, ClassVar, NoReturn

import numpy as np

from visrec.data.formats.stand_ins import FACTORIES, SHOWN, STANDS_FOR, PickledArray, PickledType, shown
from visrec.errors import DataError

_DEEPEST = 1000  # lists, tuples and dictionaries within each other that are not finished
_OFTEN = 1 << 18  # steps between two reports
_SLACK = 1 << 24  # bytes that copies may take in any file
_KEY_LIMIT = 1 << 60  # beyond, whole numbers can be chosen so that they collide in a dictionary


@dataclass(frozen=True, slots=True)
class Stretch:
    """Bytes that were left in the file.

    Attributes:
        at: where they begin.
        size: how many.
    """

    at: int
    size: int

    def read(self, file: IO[bytes]) -> bytes:
        """The bytes, from the file that they were left in."""
        file.seek(self.at)
        return file.read(self.size)


class _Done(Exception):  # noqa: N818
    """The pickle has ended, with a value."""

    def __init__(self, value: Any) -> None:
        super().__init__()
        self.value = value


# The base is the one written in Python: that in C takes as much memory as a place in its memo claims, some 30 GB for
# ten bytes. What comes by the million in a large file is written again here, without a call a byte.
class Reader(pickle._Unpickler):
    """Takes the steps that make numbers, texts, lists, tuples and arrays, and no other.

    The memory that it takes is proportional to the file: nothing is taken for what the file merely claims, and what
    copies (a text made bytes, an array of texts) is counted.

    Args:
        path: for messages.
        content: the whole file.
        start: where the pickle begins.
        keep_bytes: leave the strings of Python 2 bytes, which they were; False: each byte becomes a letter (latin1).
        leave: bytes of this length and more stay in the file, as `Stretch`; None: all are read.
        progress: called with (bytes read, bytes in all, a note).
    """

    stack: list[Any]
    metastack: list[list[Any]]
    append: Callable[[Any], None]
    names: ClassVar[dict[str, Callable[..., Any]]] = STANDS_FOR

    def __init__(
        self,
        path: Path,
        content: mmap.mmap,
        start: int,
        *,
        keep_bytes: bool = False,
        leave: int | None = None,
        progress: Callable[[int, int, str], None] | None = None,
    ) -> None:
        super().__init__(content, encoding="bytes" if keep_bytes else "latin1")
        self._path, self._content, self._progress = path, content, progress
        self._at, self._end = start, len(content)
        self._keeps_bytes = keep_bytes
        self._leave = self._end + 1 if leave is None else leave
        self._budget = 2 * self._end + _SLACK
        self._places: list[Any] = [_NOTHING]  # the memo; Python 2 counts from 1
        self._far: dict[int, Any] = {}  # places in no order

    def load(self) -> Any:
        """Take all steps; what they made."""
        self.metastack, self.stack, self.proto = [], [], 0
        self.append = self.stack.append
        table = self.dispatch
        try:
            while True:
                for _ in range(_OFTEN):
                    if self._at >= self._end:
                        self._refuse_cut(1)
                    step = self._content[self._at]
                    self._at += 1
                    table[step](self)
                if self._progress is not None:
                    self._progress(self._at, self._end, "reading")
        except _Done as done:
            return done.value

    def load_stop(self) -> NoReturn:
        raise _Done(self.stack.pop())

    # ---- bytes ---------------------------------------------------------------------------------------

    def read(self, n: int) -> bytes:
        """The next n bytes, refused before memory is taken for more than there are."""
        start = self._at
        if start + n > self._end:
            self._refuse_cut(n)
        self._at = start + n
        return self._content[start : self._at]

    def readline(self) -> bytes:
        """The bytes up to and with the next line end."""
        stop = self._content.find(b"\n", self._at)
        if stop < 0:
            self._refuse_cut(1)
        return self.read(stop + 1 - self._at)

    def _refuse_cut(self, n: int) -> NoReturn:
        left = max(self._end - self._at, 0)
        raise DataError(
            f"{self._path}: claims {n:,} more bytes where {left:,} are left: it is cut short, or damaged on purpose."
        )

    def _string(self, n: int) -> None:
        """A string of Python 2."""
        if n >= self._leave:
            self._stretch(n)
        else:
            found = self.read(n)
            self.append(found if self._keeps_bytes else found.decode("latin1"))

    def _bytes(self, n: int) -> None:
        if n >= self._leave:
            self._stretch(n)
        else:
            self.append(self.read(n))

    def _stretch(self, n: int) -> None:
        if self._at + n > self._end:
            self._refuse_cut(n)
        self.append(Stretch(self._at, n))
        self._at += n

    def _whole(self, value: Any) -> Any:
        """The bytes for what was left in the file, where they are needed at once."""
        if not isinstance(value, Stretch):
            return value
        self._spend(value.size)
        return self._content[value.at : value.at + value.size]

    def load_short_binstring(self) -> None:
        self._string(self.read(1)[0])

    def load_binstring(self) -> None:
        n = int.from_bytes(self.read(4), "little", signed=True)
        if n < 0:
            raise ValueError("a string has a negative length")
        self._string(n)

    def load_binbytes(self) -> None:
        self._bytes(int.from_bytes(self.read(4), "little"))

    def load_short_binbytes(self) -> None:
        self._bytes(self.read(1)[0])

    def load_binbytes8(self) -> None:
        self._bytes(int.from_bytes(self.read(8), "little"))

    def load_byte_array(self) -> None:
        self.append(bytearray(self.read(int.from_bytes(self.read(8), "little"))))

    def load_frame(self) -> None:
        n = int.from_bytes(self.read(8), "little")
        if self._at + n > self._end:
            self._refuse_cut(n)

    # ---- the memo: places are given in order, so that a list does for a dictionary ----------------------

    def _put(self, place: int) -> None:
        places = self._places
        if place == len(places):
            places.append(self.stack[-1])
        elif place < len(places):
            places[place] = self.stack[-1]
        else:
            self._far[place] = self.stack[-1]

    def _get(self, place: int) -> None:
        found = self._places[place] if place < len(self._places) else self._far.get(place, _NOTHING)
        if found is _NOTHING:
            raise ValueError(f"place {place} is asked for, where nothing was put")
        self.append(found)

    def load_binput(self) -> None:
        self._put(self.read(1)[0])

    def load_long_binput(self) -> None:
        self._put(int.from_bytes(self.read(4), "little"))

    def load_put(self) -> None:
        self._put(_place(self.readline()))

    def load_memoize(self) -> None:
        first = self._places[0] is _NOTHING and len(self._places) == 1
        self._put(0 if first else len(self._places))

    def load_binget(self) -> None:
        self._get(self.read(1)[0])

    def load_long_binget(self) -> None:
        self._get(int.from_bytes(self.read(4), "little"))

    def load_get(self) -> None:
        self._get(_place(self.readline()))

    # ---- what could do more than make data -----------------------------------------------------------

    def load_mark(self) -> None:
        if len(self.metastack) >= _DEEPEST:
            raise ValueError(f"more than {_DEEPEST:,} lists are begun within each other")
        self.metastack.append(self.stack)
        self.stack = []
        self.append = self.stack.append

    def pop_mark(self) -> list[Any]:
        """What was made since the last mark."""
        made = self.stack
        self.stack = self.metastack.pop()
        self.append = self.stack.append
        return made

    def find_class(self, module: str, name: str) -> Any:
        """What stands for a name; nothing is imported."""
        found = self.names.get(f"{module}.{name}")
        if found is None:
            named = f"{module}.{name}"[:SHOWN]
            raise DataError(
                f"{self._path}: wants to run {named}, which no file of features needs. Nothing was run. Do "
                f"not open it with numpy.load(allow_pickle=True) or pickle either, unless you trust whoever made it."
            )
        return found

    def load_old_instance(self) -> NoReturn:
        module, name = (self.readline()[:-1].decode("utf-8", "replace") for _ in range(2))
        self.find_class(module, name)
        self.load_other()

    def load_reduce(self) -> None:
        given = self.stack.pop()
        made = self.stack[-1](*(self._whole(one) for one in given))
        self._count(made)
        self.stack[-1] = made

    def load_build(self) -> None:
        state = self.stack.pop()
        target = self.stack[-1]
        if not isinstance(target, PickledArray | PickledType):
            raise DataError(f"{self._path}: sets the state of a {type(target).__name__}. {_REFUSED}")
        if isinstance(state, tuple):
            state = tuple(self._whole(part) for part in state)
        target.__setstate__(state)
        self._count(target)

    def _count(self, made: Any) -> None:
        """Count what was copied: a few bytes of a file can ask for the same copy again and again."""
        made = made.value if isinstance(made, PickledArray) else made
        if isinstance(made, bytes | str):
            self._spend(len(made) * (4 if isinstance(made, str) else 1))
        elif isinstance(made, np.ndarray):
            self._spend(made.nbytes)

    def _spend(self, size: int) -> None:
        self._budget -= size
        if self._budget < 0:
            raise DataError(
                f"{self._path}: makes far more of its {self._end:,} bytes than they hold. {_REFUSED}"
            )

    def load_other(self) -> NoReturn:
        raise DataError(f"{self._path}: makes other objects than arrays, numbers and texts. {_REFUSED}")

    dispatch: ClassVar[dict[int, Callable[..., Any]]] = {
        **dict.fromkeys(pickle._Unpickler.dispatch, load_other),
        **{
            step[0]: pickle._Unpickler.dispatch[step[0]]
            for step in (
                *(pickle.PROTO, pickle.POP, pickle.POP_MARK, pickle.DUP),
                *(pickle.NONE, pickle.NEWTRUE, pickle.NEWFALSE, pickle.INT),
                *(pickle.BININT, pickle.BININT1, pickle.BININT2, pickle.LONG, pickle.LONG1, pickle.LONG4),
                *(pickle.FLOAT, pickle.BINFLOAT, pickle.STRING),
                *(pickle.UNICODE, pickle.BINUNICODE, pickle.SHORT_BINUNICODE, pickle.BINUNICODE8),
                *(pickle.EMPTY_LIST, pickle.LIST, pickle.APPEND, pickle.APPENDS),
                *(pickle.EMPTY_TUPLE, pickle.TUPLE, pickle.TUPLE1, pickle.TUPLE2, pickle.TUPLE3),
                *(pickle.GLOBAL, pickle.STACK_GLOBAL),
            )
        },
        pickle.STOP[0]: load_stop,
        pickle.FRAME[0]: load_frame,
        pickle.MARK[0]: load_mark,
        pickle.BINSTRING[0]: load_binstring,
        pickle.SHORT_BINSTRING[0]: load_short_binstring,
        pickle.BINBYTES[0]: load_binbytes,
        pickle.SHORT_BINBYTES[0]: load_short_binbytes,
        pickle.BINBYTES8[0]: load_binbytes8,
        pickle.BYTEARRAY8[0]: load_byte_array,
        pickle.PUT[0]: load_put,
        pickle.BINPUT[0]: load_binput,
        pickle.LONG_BINPUT[0]: load_long_binput,
        pickle.MEMOIZE[0]: load_memoize,
        pickle.GET[0]: load_get,
        pickle.BINGET[0]: load_binget,
        pickle.LONG_BINGET[0]: load_long_binget,
        pickle.REDUCE[0]: load_reduce,
        pickle.INST[0]: load_old_instance,
        pickle.BUILD[0]: load_build,
    }


class RecordReader(Reader):
    """Takes dictionaries too, whose keys are texts or whole numbers."""

    names: ClassVar[dict[str, Callable[..., Any]]] = STANDS_FOR | FACTORIES

    def load_set_item(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._target()[_key(key)] = value

    def load_set_items(self) -> None:
        items = self.pop_mark()
        target = self._target()
        for n in range(0, len(items), 2):
            target[_key(items[n])] = items[n + 1]

    def load_dict(self) -> None:
        items = self.pop_mark()
        self.append({_key(items[n]): items[n + 1] for n in range(0, len(items), 2)})

    def _target(self) -> dict[Any, Any]:
        found = self.stack[-1]
        if type(found) is not dict:
            raise ValueError(f"a {type(found).__name__} is filled like a dictionary")
        return found

    dispatch: ClassVar[dict[int, Callable[..., Any]]] = {
        **Reader.dispatch,
        pickle.EMPTY_DICT[0]: pickle._Unpickler.dispatch[pickle.EMPTY_DICT[0]],
        pickle.DICT[0]: load_dict,
        pickle.SETITEM[0]: load_set_item,
        pickle.SETITEMS[0]: load_set_items,
    }


def _key(key: Any) -> Any:
    """A key that cannot make a dictionary slow: tuples of tuples take forever to hash, chosen numbers collide."""
    if type(key) in (bytes, str) or (type(key) is int and -_KEY_LIMIT < key < _KEY_LIMIT):
        return key
    if isinstance(key, np.integer) and -_KEY_LIMIT < int(key) < _KEY_LIMIT:
        return int(key)
    raise ValueError(f"a dictionary has the key {shown(key)}; expected texts or whole numbers")


def _place(line: bytes) -> int:
    place = int(line[:-1])
    if place < 0:
        raise ValueError("a place in the memo is negative")
    return place


_NOTHING = object()
_REFUSED = "No file of features needs that. Nothing was run."
DAMAGE = (
    *(pickle.UnpicklingError, EOFError, LookupError, ValueError, TypeError, AttributeError),
    *(ArithmeticError, MemoryError, RecursionError, struct.error, AssertionError),
)
"""What a damaged pickle may raise on its way."""
