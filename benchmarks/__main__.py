"""`python -m benchmarks [NAME]…`: run benchmarks and print one table."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from collections.abc import Callable, Sequence

from benchmarks import basic_auth, commands, poll, rules, scrape, service
from benchmarks.table import Row, rows_to_markdown

BENCHMARKS: dict[str, Callable[[bool], list[Row]]] = {
    "poll": poll.compare,
    "scrape": scrape.compare,
    "service": service.steady,
    "discovery": service.discovery,
    "reload": service.reload,
    "small": service.small,
    "commands": commands.compare,
    "rules": rules.compare,
    "basic-auth": basic_auth.compare,
}
"""Each function's argument: whether to use small sizes."""


def main(arguments: Sequence[str] | None = None) -> None:
    parser = ArgumentParser(
        prog="python -m benchmarks", description="Compare the exporter's speed with baselines."
    )
    names = ", ".join(BENCHMARKS)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"any of {names}; default: all")
    parser.add_argument("--quick", action="store_true", help="small sizes: a smoke test")
    options = parser.parse_args(arguments)
    if unknown := sorted(set(options.names) - set(BENCHMARKS)):
        parser.error(f"no such benchmark: {', '.join(unknown)}; there are {names}")
    rows: list[Row] = []
    for name in options.names or BENCHMARKS:
        print(f"{name} …", file=sys.stderr, flush=True)
        rows += BENCHMARKS[name](options.quick)
    print(rows_to_markdown(rows), end="")


if __name__ == "__main__":
    main()
