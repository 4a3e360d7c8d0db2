"""A process that prepares pictures: `python -m visrec.features.worker`.

Reads lines of JSON on stdin: first the preparation, `{"target": "module:Class", "settings": {…}}`, then one path a
line. Says `READY` once the preparation is made, and answers each path, on what was stdout: the length of a header
(4 bytes, little-endian), the header as JSON, and the bytes of the array. Ends when stdin does.
"""

from __future__ import annotations

import io
import json
import os
import signal
import struct
import sys
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from visrec.errors import ImageError
from visrec.features.extractor import Preparation
from visrec.memory import keep_freed_memory

READY = "ready"
"""The first answer: what ends the process from now on is not its start."""
_LONGEST_HEADER = 1 << 20  # bytes; what claims to be longer is no answer of ours


def prepare(preparation: Preparation, path: Path) -> np.ndarray | str:
    """The prepared picture of a file, or the reason why there is none."""
    try:
        return preparation.of_file(path)
    except ImageError as error:
        return str(error)
    except Exception as error:  # noqa: BLE001 - OpenCV's own is a plain Exception
        # A picture that a descriptor cannot take must not end an extraction of a million.
        return f"{path}: {type(preparation).__name__} failed ({type(error).__name__}: {error})."


def target_of(preparation: Preparation) -> dict[str, Any]:
    """What a process needs to make the same preparation."""
    cls = type(preparation)
    return {
        "target": f"{cls.__module__}:{cls.__qualname__}",
        "settings": preparation.model_dump(mode="json"),
    }


def made_from(found: dict[str, Any]) -> Preparation:
    """The preparation that `target_of` described."""
    module, _, name = found["target"].partition(":")
    made: Preparation = getattr(import_module(module), name)(**found["settings"])
    return made


def write_answer(stream: BinaryIO, answer: np.ndarray | str) -> None:
    """One answer, see the module."""
    if isinstance(answer, str):
        text, body = json.dumps({"reason": answer}).encode(), b""
    else:
        text = json.dumps({"dtype": answer.dtype.str, "shape": answer.shape}).encode()
        body = answer.tobytes()
    stream.write(struct.pack("<I", len(text)) + text)
    stream.write(body)
    stream.flush()


def read_answer(stream: io.BufferedReader) -> np.ndarray | str | None:
    """What `write_answer` wrote; None where the stream ends before, or holds something else."""
    start = stream.read(4)
    if len(start) < 4:
        return None
    (length,) = struct.unpack("<I", start)
    if length > _LONGEST_HEADER:
        return None
    text = stream.read(length)
    try:
        header = json.loads(text)
    except ValueError:
        return None
    if "reason" in header:
        return str(header["reason"])
    array = np.empty(header["shape"], dtype=np.dtype(header["dtype"]))
    body = array.reshape(-1).view(np.uint8).data
    done = 0
    while done < len(body):
        got = stream.readinto(body[done:])
        if not got:
            return None
        done += got
    return array


def main() -> None:
    """Answer until stdin ends."""
    # Whatever else is printed here (by a plug-in, by a library in C) must not come between the answers.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    sys.stdout = sys.stderr

    import cv2

    keep_freed_memory()
    cv2.setNumThreads(1)  # the processes share the processors already
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for whoever started this; stdin then ends
    preparation = made_from(json.loads(sys.stdin.buffer.readline()))
    with suppress(BrokenPipeError), answers:
        write_answer(answers, READY)
        for line in sys.stdin.buffer:
            write_answer(answers, prepare(preparation, Path(json.loads(line))))


if __name__ == "__main__":
    main()
