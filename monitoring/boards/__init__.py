"""Grafana's dashboards, written down as code; `render` makes the JSON files that are committed.

`queries` has the PromQL, `panels` and `tables` the looks, a module for each board what is on it.
"""

from __future__ import annotations

import json
from pathlib import Path

from monitoring.boards import bucket, exporter, node, overview, slo
from monitoring.boards.layout import Defaults
from monitoring.boards.sdk import JSONEncoder
from monitoring.settings import SETTINGS, UNCHANGED, Choice


def texts(choice: Choice = UNCHANGED) -> dict[str, str]:
    """The JSON of every board by the name of its file, in a form that is good to compare."""
    defaults = _defaults(choice)
    boards = [each.board(defaults) for each in (overview, bucket, node, slo, exporter)]
    models = {f"flashback-{board.name}.json": board.model(defaults.runbook) for board in boards}
    return {
        name: json.dumps(model, cls=JSONEncoder, indent=2, sort_keys=True) + "\n"
        for name, model in models.items()
    }


def render(folder: Path, choice: Choice = UNCHANGED) -> None:
    """Write `flashback-<name>.json` for every board; files of boards that are gone are removed."""
    folder.mkdir(parents=True, exist_ok=True)
    files = texts(choice)
    for file in folder.glob("flashback-*.json"):
        if file.name not in files:
            file.unlink()
    for name, text in files.items():
        (folder / name).write_text(text)


def _defaults(choice: Choice) -> Defaults:
    settings = {each.name: each.default for each in SETTINGS} | dict(choice.settings)
    texts = choice.texts()
    return Defaults(
        down=texts["down_statuses"],
        target=float(str(settings["slo_target"])),
        job=texts["exporter_job"],
        runbook=texts["runbook_url"],
    )
