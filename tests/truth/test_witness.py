"""How much memory a process says that it has in use."""

from __future__ import annotations

import gc
import threading
from pathlib import Path

from tests.truth.witness import bear_witness, in_use

MEGABYTE = 2**20
MANY = 16 * MEGABYTE


def test_what_is_held_is_in_use_and_what_is_dropped_is_not() -> None:
    """Small objects and large ones count alike, whatever the allocators keep of them."""
    gc.collect()  # what other tests have left in cycles must not go meanwhile
    before = in_use()
    small = [(number,) for number in range(MANY // 82)]
    with_small = in_use()
    large = [bytearray(100_000) for _ in range(MANY // 100_000)]
    with_both = in_use()
    del small, large
    assert with_small - before > MANY
    assert with_both - with_small > MANY // 2
    assert abs(in_use() - before) < MANY // 4


def test_figure_is_there_at_once_and_whole(tmp_path: Path) -> None:
    """Who reads the file finds a number of bytes, however early."""
    ended = threading.Event()
    ended.set()
    bear_witness(tmp_path / "in-use", ended)
    assert int((tmp_path / "in-use").read_text("ascii")) > MEGABYTE
