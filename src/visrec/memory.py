"""What a process does with memory that it has freed."""

from __future__ import annotations

import ctypes
import os

_VERSION = "CS_GNU_LIBC_VERSION"  # other C libraries have no such thing, or leave it empty
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of mallopt, in malloc.h of glibc


def keep_freed_memory() -> None:
    """Let this process use freed memory again instead of giving it back, where its C library is glibc.

    glibc asks the system for each array of more than 128 KiB anew, which then has to clear all of it: for a process
    that goes through one picture after another, up to half of its time. For processes of bounded work, since what
    they once held at most they keep (in pieces of up to 32 MiB).
    """
    if _VERSION in getattr(os, "confstr_names", {}) and os.confstr(_VERSION):
        library = ctypes.CDLL(None)
        library.mallopt(_MMAP_THRESHOLD, 32 << 20)  # the most that it takes
        library.mallopt(_TRIM_THRESHOLD, 256 << 20)
