"""Fixtures: the supported versions of Helm, and the values files of the test cases."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chart.helm import CASES, Helm
from tests.real.programs import program


@pytest.fixture(scope="session", params=["helm", pytest.param("helm3", marks=pytest.mark.long)])
def helm(request: pytest.FixtureRequest) -> Helm:
    """Each version of Helm that the chart supports."""
    return Helm(program(request.param))


@pytest.fixture(params=CASES, ids=lambda case: case.stem)
def case(request: pytest.FixtureRequest) -> Path:
    """The values file of a test case."""
    path: Path = request.param
    return path
