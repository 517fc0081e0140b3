"""The programs that tests ask for; where one is missing, its tests skip or, in CI, fail."""

from __future__ import annotations

import pytest

from tests.real.programs import program


@pytest.fixture(scope="session")
def prometheus_path() -> str:
    """Prometheus."""
    return program("prometheus")


@pytest.fixture(scope="session")
def promtool_path() -> str:
    """Prometheus's linter."""
    return program("promtool")


@pytest.fixture(scope="session")
def victoria_metrics_path() -> str:
    """VictoriaMetrics."""
    return program("victoria-metrics")
