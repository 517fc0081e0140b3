"""`python -m benchmarks [NAME]…`: run them, print one table."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from benchmarks import poll, report, scrape, service

BENCHMARKS: dict[str, Callable[[bool], list[report.Row]]] = {
    "poll": poll.compare,
    "scrape": scrape.compare,
    "service": service.steady,
    "discovery": service.discovery,
    "reload": service.reload,
    "small": service.small,
}
"""Each takes whether it is to be quick."""


def main(arguments: Sequence[str] | None = None) -> None:
    options = _options(arguments)
    rows: list[report.Row] = []
    for name in options.names or BENCHMARKS:
        print(f"{name} …", file=sys.stderr, flush=True)
        rows += BENCHMARKS[name](options.quick)
    print(report.rows_to_markdown(rows), end="")
    if options.write:
        old, machine = report.PATH.read_text("utf-8"), report.machine(datetime.now(UTC).date())
        text = report.renewed(old, rows, machine)
        report.PATH.write_text(text, "utf-8")


def _options(arguments: Sequence[str] | None) -> Namespace:
    names = ", ".join(BENCHMARKS)
    parser = ArgumentParser(prog="python -m benchmarks", description="Speed, as ratios.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"any of {names}; without: all")
    parser.add_argument("--quick", action="store_true", help="small sizes: a smoke test")
    parser.add_argument("--write", action="store_true", help="write docs/performance.md as well")
    options = parser.parse_args(arguments)
    unknown = set(options.names) - set(BENCHMARKS)
    if unknown:
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}; there are {names}")
    if options.write and (options.quick or options.names):
        parser.error("--write is for a full run: without --quick and names")
    return options
