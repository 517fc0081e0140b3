"""`python -m benchmarks [NAME]…`: run them, print one table."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from benchmarks import answers, changes, crowd, document, machine, polling, scraping
from benchmarks.table import Row, rows_to_markdown

BENCHMARKS: dict[str, Callable[[bool], list[Row]]] = {
    "answer": lambda quick: answers.compare(answers.QUICK if quick else answers.FULL),
    "poll": lambda quick: polling.compare(polling.QUICK if quick else polling.FULL),
    "scrape": lambda quick: scraping.compare(scraping.QUICK if quick else scraping.FULL),
    "crowd": lambda quick: crowd.compare(crowd.QUICK if quick else crowd.FULL),
    "changes": lambda quick: changes.compare(changes.QUICK if quick else changes.FULL),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is named, or all."""
    options = _options(arguments)
    rows: list[Row] = []
    for name in options.names or BENCHMARKS:
        print(f"{name} …", file=sys.stderr, flush=True)
        rows += BENCHMARKS[name](options.quick)
    print(rows_to_markdown(rows), end="")
    if options.write:
        text = document.performance(rows, machine.description(datetime.now(UTC).date()))
        document.PATH.write_text(text, "utf-8")


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
