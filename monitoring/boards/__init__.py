"""Grafana dashboards as code; `render` writes the JSON files that are committed.

`queries` has the shared PromQL, `panels` and `tables` the panel types. Each dashboard has a module.
"""

from __future__ import annotations

import json
from pathlib import Path

from monitoring.boards import bucket, exporter, node, overview, slo
from monitoring.boards.layout import Defaults
from monitoring.boards.sdk import JSONEncoder
from monitoring.settings import SETTINGS, UNCHANGED, Overrides


def texts(overrides: Overrides = UNCHANGED) -> dict[str, str]:
    """The JSON of every board by the name of its file, formatted for diffs."""
    defaults = _defaults(overrides)
    boards = [each.board(defaults) for each in (overview, bucket, node, slo, exporter)]
    models = {f"flashback-{board.name}.json": board.model(defaults.runbook) for board in boards}
    return {
        name: json.dumps(model, cls=JSONEncoder, indent=2, sort_keys=True) + "\n"
        for name, model in models.items()
    }


def render(folder: Path, overrides: Overrides = UNCHANGED) -> None:
    """Write `flashback-<name>.json` for every board, and remove the files of removed boards."""
    folder.mkdir(parents=True, exist_ok=True)
    files = texts(overrides)
    for file in folder.glob("flashback-*.json"):
        if file.name not in files:
            file.unlink()
    for name, text in files.items():
        (folder / name).write_text(text)


def _defaults(overrides: Overrides) -> Defaults:
    settings = {each.name: each.default for each in SETTINGS} | dict(overrides.settings)
    texts = overrides.texts()
    return Defaults(
        down=texts["down_statuses"],
        target=float(str(settings["slo_target"])),
        job=texts["exporter_job"],
        runbook=texts["runbook_url"],
    )
