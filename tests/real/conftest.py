"""Fixtures for real programs. If one is missing, its tests are skipped, or fail in CI.

Programs that scrape, query, evaluate rules, route alerts or import data are tested in two versions:
the current one and, in the long tests, the oldest supported one.
"""

from __future__ import annotations

import pytest

from tests.real.programs import program


@pytest.fixture(scope="session", params=["current", pytest.param("oldest", marks=pytest.mark.long)])
def generation(request: pytest.FixtureRequest) -> str:
    """Each directory of `install-tools`: the current versions and the oldest ones."""
    name: str = request.param
    return name


@pytest.fixture(scope="session")
def prometheus_path(generation: str) -> str:
    """The path of Prometheus."""
    return program("prometheus", generation)


@pytest.fixture(scope="session")
def promtool_path(generation: str) -> str:
    """The path of promtool."""
    return program("promtool", generation)


@pytest.fixture(scope="session")
def alertmanager_path(generation: str) -> str:
    """The path of Alertmanager."""
    return program("prometheus-alertmanager", generation)


@pytest.fixture(scope="session")
def amtool_path(generation: str) -> str:
    """The path of amtool."""
    return program("amtool", generation)


@pytest.fixture(scope="session")
def victoria_metrics_path(generation: str) -> str:
    """The path of VictoriaMetrics."""
    return program("victoria-metrics", generation)
