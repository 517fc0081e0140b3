"""The fuzz targets: each takes any bytes, and raises only if the code misbehaves."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory

from exporter.config import ConfigError, parse
from exporter.model import ApiError
from exporter.upstream.discovery import parse_listing
from exporter.upstream.events import POSSIBLE_DRIFT
from exporter.upstream.parsing import ResponseLimits, parse_stats, server_message
from exporter.upstream.request import retry_after_seconds
from exporter.web.config import WebConfigError, load_web_config
from exporter.web.metrics_handler import wants_gzip, wants_openmetrics

DAY = date(2024, 1, 15)
LIMITS = ResponseLimits(frozenset({"ONLINE", "OFFLINE", "DISCONNECTED"}), 10)


def answer(data: bytes) -> None:
    """A stats response gives valid nodes, or an error on one line."""
    parsed = parse_stats(data, DAY, LIMITS)
    assert parsed.drift.keys() <= set(POSSIBLE_DRIFT)
    if isinstance(parsed.result, ApiError):
        assert "\n" not in parsed.result.message
        assert "\n" not in server_message(data)
        return
    nodes = parsed.result.nodes
    assert len({each.identity for each in nodes}) == len(nodes) <= LIMITS.max_nodes
    for each in nodes:
        assert each.ip or each.host
        assert each.uptime_ratio is None or 0 <= each.uptime_ratio <= 1
        for seconds in (each.latency_average_seconds, each.latency_last_seconds):
            assert seconds is None or 0 <= seconds < float("inf")


def listing(data: bytes) -> None:
    """A list response gives valid and unique ids, or an error."""
    parsed = parse_listing(data)
    assert parsed.drift.keys() <= set(POSSIBLE_DRIFT)
    if not isinstance(parsed.result, ApiError):
        ids = [each.id for each in parsed.result.buckets]
        assert len(ids) == len(set(ids))
        assert not {"", ".", ".."} & set(ids)


def config(data: bytes) -> None:
    """A configuration is valid, or has problems that name the file."""
    text, path = data.decode("utf-8", "replace"), Path("config.yaml")
    lines = _problems(lambda: parse(text, path=path, environ={"A": "value"}))
    assert all(line.startswith(f"{path}:") for line in lines)


def web_config(data: bytes) -> None:
    """A web configuration is valid, or has problems that name the file."""
    with TemporaryDirectory() as directory:
        path = Path(directory) / "web.yaml"
        path.write_bytes(data)
        lines = _problems(lambda: load_web_config(path))
    assert all(line.startswith(f"{path}:") for line in lines)


def _problems(load: Callable[[], object]) -> list[str]:
    try:
        load()
    except (ConfigError, WebConfigError) as error:
        return str(error).split("\n")
    return []


def negotiation(data: bytes) -> None:
    """Any headers select a format; gzip and OpenMetrics are used only if requested."""
    accept, _, encoding = data.decode("latin-1").partition("\n")
    assert isinstance(wants_openmetrics(accept), bool)
    assert isinstance(wants_gzip(encoding), bool)
    assert "openmetrics" in accept.lower() or not wants_openmetrics(accept)
    assert not wants_gzip("")


def retry_after(data: bytes) -> None:
    """Retry-After gives a delay of at least 0, or None."""
    seconds = retry_after_seconds(data.decode("latin-1"), wall=1705320000.0)
    assert seconds is None or 0 <= seconds < float("inf")


TARGETS: dict[str, Callable[[bytes], None]] = {
    each.__name__: each for each in (answer, listing, config, web_config, negotiation, retry_after)
}
