"""`python -m monitoring`: writes the rules and dashboards."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import yaml

from monitoring import boards
from monitoring.rendering import ALERTS, write
from monitoring.settings import UNCHANGED, Overrides, SettingsError, read_overrides

HERE = Path(__file__).parent


def main(arguments: Sequence[str]) -> int:
    """Write everything. Returns 1 if the values file is invalid."""
    parser = argparse.ArgumentParser(prog="python -m monitoring", description=__doc__)
    parser.add_argument("--values", type=Path, help="a file that changes settings and alerts")
    parser.add_argument("--output", type=Path, default=HERE, help="the folder to write to")
    options = parser.parse_args(arguments)
    try:
        overrides = UNCHANGED if options.values is None else _changes(options.values)
    except (OSError, SettingsError, yaml.YAMLError) as error:
        sys.stderr.write(f"{options.values}:\n{error}\n")
        return 1
    write(options.output / "rules", overrides)
    boards.render(options.output / "dashboards", overrides)
    return 0


def _changes(file: Path) -> Overrides:
    return read_overrides(yaml.safe_load(file.read_text()) or {}, [alert.name for alert in ALERTS])


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
