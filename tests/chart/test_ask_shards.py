"""The script that `helm test` runs, against real exporters."""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from exporter.polling.sharding import Shard
from tests.chart.helm import CHART
from tests.harness.stack import ANYWHERE, running_on_sockets
from tests.web.guarded import TLS, USERS, Site

SCRIPT = (CHART / "files" / "ask_shards.py").read_text()


async def asked(*addresses: str, **environment: str) -> tuple[int | None, str]:
    """The script's exit code and output, run as in the test pod."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", SCRIPT, *addresses),
        stdout=asyncio.subprocess.PIPE,
        env=os.environ | environment,
    )
    async with asyncio.timeout(60):
        output, _ = await process.communicate()
    return process.returncode, output.decode()


async def test_shards_that_work_pass() -> None:
    """Shards that are ready and have the right ordinals pass."""
    first, second = (replace(ANYWHERE, shard=Shard(ordinal, 2)) for ordinal in range(2))
    async with (
        running_on_sockets(options=first) as one,
        running_on_sockets(options=second) as other,
    ):
        addresses = [f"http://{each.address}" for each in (one, other)]
        assert await asked(*addresses) == (0, "".join(f"{each}: ok\n" for each in addresses))


async def test_shards_that_mistake_themselves_fail() -> None:
    """A shard fails if its ordinal or number of shards differs from the chart's."""
    async with running_on_sockets(options=replace(ANYWHERE, shard=Shard(1, 3))) as at_work:
        code, output = await asked(f"http://{at_work.address}")
    assert code == 1
    assert 'lack flashback_exporter_shard_ordinal{shard_ordinal="0"}' in output
    assert "flashback_exporter_shards 1.0" in output


async def test_metrics_elsewhere_fail() -> None:
    """A shard whose metrics have another path fails."""
    async with running_on_sockets() as at_work:
        code, output = await asked(f"http://{at_work.address}", TELEMETRY_PATH="/other")
    assert (code, "no metrics: 404" in output) == (1, True)


async def test_shard_that_is_not_there_fails() -> None:
    """A shard that does not respond within the timeout fails."""
    code, output = await asked("http://127.0.0.1:9", TIMEOUT="0")
    assert (code, "not ready: 0" in output) == (1, True)


@pytest.mark.parametrize(
    ("guard", "scheme"),
    [(USERS, "http"), (TLS, "https"), (TLS + USERS, "https")],
    ids=["password", "TLS", "both"],
)
async def test_guarded_shards_pass(tmp_path: Path, guard: str, scheme: str) -> None:
    """A shard that requires a password passes without it, and any certificate is accepted."""
    path = Site(tmp_path, guard).path
    options = replace(ANYWHERE, web_config_file=path, health_without_auth=True)
    async with running_on_sockets(options=options) as at_work:
        address = f"{scheme}://{at_work.address}"
        assert await asked(address) == (0, f"{address}: ok\n")


async def test_no_shards_at_all_fail() -> None:
    """Without any addresses the script fails."""
    assert await asked() == (1, "")
