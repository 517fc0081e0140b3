"""`promtool check metrics` on the exporter's metrics."""

from __future__ import annotations

import asyncio
from asyncio.subprocess import PIPE, STDOUT
from dataclasses import replace

import httpx
import pytest

from tests.harness.stack import ANYWHERE, all_polled, running_on_sockets
from tests.real.programs import TIMEOUTS


async def lint(promtool: str, page: bytes) -> tuple[int | None, str]:
    """The exit code and output of `promtool check metrics`."""
    command = (promtool, "check", "metrics")
    process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, stderr=STDOUT)
    async with asyncio.timeout(TIMEOUTS):
        output, _ = await process.communicate(page)
    return process.returncode, output.decode()


@pytest.mark.parametrize("runtime_metrics", [True, False], ids=["with runtime", "without runtime"])
async def test_linter_has_nothing_to_say(promtool_path: str, *, runtime_metrics: bool) -> None:
    """Names, types, units and HELP texts are valid, including those of the client library."""
    options = replace(ANYWHERE, exporter_metrics=runtime_metrics)
    trouble = "bad-request/share=1/bucket=b2,unknown-status/bucket=b3"
    async with running_on_sockets(trouble, options=options) as at_work:
        await at_work.scrape_when(all_polled)
        async with httpx.AsyncClient(trust_env=False) as client:
            page = (await client.get(f"http://{at_work.address}/metrics")).content
    assert (b"\nprocess_" in page) == runtime_metrics
    assert await lint(promtool_path, page) == (0, "")


async def test_linter_does_lint(promtool_path: str) -> None:
    """`promtool check metrics` rejects an invalid page, so the other test can fail."""
    code, output = await lint(promtool_path, b"# TYPE things counter\nthings 1\n")
    assert code == 3
    assert "things" in output
