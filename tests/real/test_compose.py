"""The files that compose mounts, checked by promtool and amtool.

Not every machine has a compose engine, so the services are not started here.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.deploy.composed import lay_out, services


def config_file(name: str, root: Path) -> Path:
    """A service's configuration file, in the directory that represents its root."""
    flag = "--config.file="
    command: list[str] = services()[name]["command"]
    (path,) = (each for each in command if each.startswith(flag))
    return root / path.removeprefix(flag).removeprefix("/")


def verdict(*command: str | Path) -> tuple[int, str]:
    """A tool's exit code and output."""
    done = subprocess.run(
        [str(each) for each in command], capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout + done.stderr


def test_prometheus_takes_configuration_and_rules(promtool_path: str, tmp_path: Path) -> None:
    """Promtool accepts the mounted configuration, and finds the rules that it names."""
    config = config_file("prometheus", lay_out("prometheus", tmp_path))
    code, said = verdict(promtool_path, "check", "config", config)
    assert code == 0, said
    assert "rules found" in said


def test_alertmanager_takes_its_configuration(amtool_path: str, tmp_path: Path) -> None:
    """Amtool accepts the configuration that is mounted for Alertmanager."""
    config = config_file("alertmanager", lay_out("alertmanager", tmp_path))
    code, said = verdict(amtool_path, "check-config", config)
    assert code == 0, said
