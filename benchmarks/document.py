"""`docs/performance.md`: the figures of one full run and where they come from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from benchmarks.table import Row, rows_to_markdown

PATH = Path(__file__).parents[1] / "docs" / "performance.md"

TEXT = """\
# Performance

Written by `python -m benchmarks --write`; do not edit. `make bench` prints the same table for your
machine.

What counts is the **ratio**: both sides ran beside each other, in processes of their own and in
rounds that alternate, on the same machine. Times are CPU time, the median of the rounds, and mean
little elsewhere. Memory is the highest that the whole process ever held. `here` is the exporter;
the aim is an aim, not a limit that a test enforces.

{table}
- **answer**: the bytes of an answer to a bucket's ready text, as after each poll.
- **poll**: `Client.poll` over loopback with the exporter's counters, its checks, parsing and
  rendering. The clients beside it make the same POST and decode the JSON, no more.
- **scrape**: all bytes of the page at a moment. The client library shows the same samples from a
  custom collector. Gzip is level 1 here (isal's where it is installed);
  the library's own server uses level 9. All servers scrape one state: what one more costs is its
  scrapes.
- **10,000 buckets**: the whole service, each bucket polled once a minute against a fast stub, two
  scrapes with gzip every fifteen seconds, beside the same with fewer buckets, at the same time. A
  hold is the CPU time of one turn of the event loop: neither what other processes take is counted,
  nor the waiting for a thread that prepares a reload; the first byte of a scrape has both in it.
  Once a day, within its first hours or after a start, each bucket is asked for its previous day as
  well; after a start as fast as `max_requests_per_second` allows, here twice the steady rate.
- **discovery**, **reload**: the whole service again. It starts without a bucket and finds all in
  one listing, or in one of each account; it reads a file that gives each bucket another name, while
  one scrape follows the other.

## Where this was measured

{machine}
"""


def performance(rows: Iterable[Row], machine: Mapping[str, str]) -> str:
    """The document's text."""
    properties = "\n".join(f"- {name}: {value}" for name, value in machine.items())
    return TEXT.format(table=rows_to_markdown(rows), machine=properties)
