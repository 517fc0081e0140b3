"""`python -m tests.truth.memory_probe FILE …`: runs the exporter and writes its memory use.

Resident memory does not distinguish a leak from allocators that keep memory for reuse. So a thread
reads the statistics of the allocators regularly. `flatness` judges the figures.
"""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import psutil

from exporter.cli import main

LOOK_EVERY = 1.0  # seconds

BLOCK = 82
"""Average bytes of a block from Python's allocator, which reports only their number.

No block has more than 512 bytes.
"""


def in_use() -> int:
    """Bytes that this process has allocated from Python's and C's allocators.

    Raises AttributeError if the C library has no statistics.
    """
    heap = psutil.heap_info()
    return int(heap.heap_used + heap.mmap_used) + sys.getallocatedblocks() * BLOCK


def write_memory(file: Path, ended: threading.Event) -> None:
    """Write the allocated memory to a file regularly and atomically, until `ended` is set."""
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
