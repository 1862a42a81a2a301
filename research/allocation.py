"""Freed memory stays with the process: a step or a batch asks for as much again as the one before gave back.

By default glibc gives large blocks back to the system, which hands them out again a page at a time, each cleared.
"""

import ctypes
import os

TRIM_THRESHOLD, MMAP_MAX = -1, -4  # M_ in glibc's malloc.h


def keep_freed_memory() -> None:
    """From now on; does nothing where the C library is not glibc."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    if mallopt is not None:
        mallopt(MMAP_MAX, 0)
        mallopt(TRIM_THRESHOLD, 2**31 - 1)
