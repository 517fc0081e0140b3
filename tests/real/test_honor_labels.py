"""Target labels that conflict with the exporter's labels."""

from __future__ import annotations

import time
from pathlib import Path

from tests.harness.stack import running_on_sockets
from tests.real.databases import Database, Series, prometheus
from tests.real.programs import until

NAMES = ("account", "name", "host", "team")
"""Labels of the exporter that users also give to targets."""


async def test_labels_of_the_target_do_not_take_the_place_of_the_exporter_s(
    prometheus_path: str, tmp_path: Path
) -> None:
    """With `honor_labels`, series keep the exporter's account, name and host labels."""
    labels = [{"target_label": name, "replacement": "the-target"} for name in NAMES]
    how = {"honor_labels": True, "relabel_configs": labels}

    async with (
        running_on_sockets() as at_work,
        prometheus(
            prometheus_path, tmp_path, {"flashback": at_work.address}, "5s", how
        ) as database,
    ):
        await until(lambda: _shown(database))
        found = await database.samples('{job="flashback"}', time.time())
    up = Series.of("up", dict.fromkeys(NAMES, "the-target"))
    assert found[up] == 1
    infos = [each for each in found if each.name == "flashback_bucket_info"]
    nodes = [each for each in found if each.name == "flashback_node_uptime_ratio"]
    assert infos
    assert {info.label("account") for info in infos} == {"main"}
    assert "the-target" not in {info.label("name") for info in infos}
    assert nodes
    assert "the-target" not in {node.label("host") for node in nodes}


async def _shown(database: Database) -> bool | None:
    return bool(await database.samples("flashback_node_uptime_ratio", time.time())) or None
