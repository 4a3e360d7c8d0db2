"""A process that decodes pictures from strangers: `python -m visrec.serving.decoder`.

Reads on stdin a line of JSON, `{"max_pixels": …, "side": …}`, and then pictures: the length (4 bytes, little-endian)
and the bytes of the file. Answers as `visrec.features.worker` does: the array of the upright RGB picture, its longer
side at most `side`, or a text of JSON, `{"kind": …, "message": …}`, that says why there is none.

A file made to break a decoder finds little here: no memory beyond what the largest picture needs, no file that could
be written, no further process. Who started it ends it when it takes too long.
"""

from __future__ import annotations

import json
import os
import signal
import struct
import sys
from contextlib import suppress
from typing import BinaryIO

import numpy as np

from visrec.data.images import decode_bytes
from visrec.errors import ImageError
from visrec.features.worker import READY, write_answer

NAME = "The picture"
"""What messages call it."""

_BYTES_A_PIXEL = (
    20  # Pillow holds 4 a picture: as decoded, with transparency, on white, turned, and one to spare
)
_BYTES_BESIDE = 256 << 20  # the file, the buffers of the decoders, and threads


def picture_of(data: bytes, *, max_pixels: int, side: int) -> np.ndarray | str:
    """The array `(H, W, 3)` uint8 of a file's picture, or the reason why there is none, as in the module's text."""
    try:
        image = decode_bytes(data, name=NAME, max_pixels=max_pixels, least_side=side)
        image.thumbnail((side, side))
        return np.asarray(image)
    except ImageError as error:
        if not isinstance(error.__cause__, MemoryError):
            return json.dumps({"kind": error.kind, "message": str(error)})
    except MemoryError:
        pass
    return json.dumps({"kind": "oversized", "message": f"{NAME}: takes too much memory to decode."})


def confine(max_pixels: int) -> None:
    """Give up, for this process, whatever decoding does not need; where the system has no such limits, nothing."""
    try:
        import resource
    except ImportError:  # Windows
        return
    limits = [(resource.RLIMIT_FSIZE, 0), (resource.RLIMIT_CORE, 0), (resource.RLIMIT_NOFILE, 64)]
    if sys.platform == "linux":  # elsewhere, the address space is not what is taken
        with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123 - no path of anybody's
            taken = int(file.read().split()[0]) * resource.getpagesize()
        limits.append((resource.RLIMIT_AS, taken + _BYTES_A_PIXEL * max_pixels + _BYTES_BESIDE))
    for which, limit in limits:
        with suppress(ValueError, OSError):  # already lower
            resource.setrlimit(which, (limit, limit))


def main() -> None:
    """Answer until stdin ends."""
    # Whatever else is printed here (by a library in C) must not come between the answers.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for whoever started this; stdin then ends
    pictures = sys.stdin.buffer
    settings = json.loads(pictures.readline())
    picture_of(
        b"\xff\xd8\xff", **settings
    )  # what is imported with the first picture is imported before the limits
    confine(settings["max_pixels"])
    with suppress(BrokenPipeError), answers:
        write_answer(answers, READY)
        while (data := _next(pictures)) is not None:
            write_answer(answers, picture_of(data, **settings))


def _next(stream: BinaryIO) -> bytes | None:
    start = stream.read(4)
    if len(start) < 4:
        return None
    (length,) = struct.unpack("<I", start)
    return stream.read(length)


if __name__ == "__main__":
    main()
