"""The programs that tests ask for; where one is missing, its tests skip or, in CI, fail.

What scrapes, queries, evaluates rules, routes or imports is tried in two generations: what people
run now, and, among the tests that take long, the oldest that we promise.
"""

from __future__ import annotations

import pytest

from tests.real.programs import program


@pytest.fixture(scope="session", params=["current", pytest.param("oldest", marks=pytest.mark.long)])
def generation(request: pytest.FixtureRequest) -> str:
    """The folder of `install-tools`: each generation in turn."""
    name: str = request.param
    return name


@pytest.fixture(scope="session")
def prometheus_path(generation: str) -> str:
    """Prometheus."""
    return program("prometheus", generation)


@pytest.fixture(scope="session")
def promtool_path(generation: str) -> str:
    """Prometheus's linter, importer and tester of rules."""
    return program("promtool", generation)


@pytest.fixture(scope="session")
def alertmanager_path(generation: str) -> str:
    """Alertmanager."""
    return program("prometheus-alertmanager", generation)


@pytest.fixture(scope="session")
def amtool_path(generation: str) -> str:
    """Alertmanager's tool."""
    return program("amtool", generation)


@pytest.fixture(scope="session")
def victoria_metrics_path(generation: str) -> str:
    """VictoriaMetrics."""
    return program("victoria-metrics", generation)
