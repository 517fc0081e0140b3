"""`python -m tests.truth.memory_probe FILE …`: the exporter, and how much memory it has in use.

Resident memory alone cannot tell a leak from allocators that keep what was once needed. So a
thread beside the exporter reads their books again and again and writes the newest figure to a
file. How it is judged is `flatness`'s business.
"""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import psutil

from exporter.cli import main

LOOK_EVERY = 1.0  # seconds

BLOCK = 82
"""Bytes that a block of Python's own allocator has on average; it tells how many there are only,
and gives no block of more than 512 bytes."""


def in_use() -> int:
    """Bytes that this process has asked of both allocators, Python's and C's, and not given back.

    Raises AttributeError where the C library keeps no such books.
    """
    heap = psutil.heap_info()
    return int(heap.heap_used + heap.mmap_used) + sys.getallocatedblocks() * BLOCK


def write_memory(file: Path, ended: threading.Event) -> None:
    """Write what is in use to a file, over and over, until the end: whole at any moment."""
    draft = file.with_suffix(".draft")
    while True:
        draft.write_text(str(in_use()), "ascii")
        draft.replace(file)
        if ended.wait(LOOK_EVERY):
            return


if __name__ == "__main__":
    memory_file = Path(sys.argv.pop(1))
    threading.Thread(
        target=write_memory, args=(memory_file, threading.Event()), daemon=True
    ).start()
    main()
