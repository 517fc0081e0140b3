"""Flags and their environment variables."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from exporter.app import Options
from exporter.cli import flags
from exporter.cli.commands import COMMANDS
from exporter.cli.run import web_options
from exporter.polling.sharding import Shard
from exporter.web.server import ListenAddress


def parsed(*arguments: str, environ: Mapping[str, str] | None = None) -> flags.Values:
    """The parsed values of `run`'s flags."""
    return flags.parse(flags.parser("run", "…"), COMMANDS["run"].flags, arguments, environ or {})


def variable(flag: flags.Flag) -> str:
    """The name of a flag's environment variable."""
    return flag.variable


def test_defaults() -> None:
    """Without flags and variables, the values are the documented defaults."""
    values = parsed()
    assert str(values["config.file"]) == "config.yaml"
    assert web_options(values) == Options(
        listen_addresses=(ListenAddress("", 10120),),
        telemetry_path="/metrics",
        max_requests=40,
        exporter_metrics=True,
    )
    assert (values["log.level"], values["log.format"]) == ("info", "logfmt")
    assert values.given == frozenset()


@pytest.mark.parametrize(
    "arguments",
    [
        ("--web.telemetry-path=/m", "--log.level=debug"),
        ("--web.telemetry-path", "/m", "--log.level", "debug"),
    ],
)
def test_values_with_and_without_equals_sign(arguments: tuple[str, ...]) -> None:
    """A value may follow its flag after `=` or as the next argument."""
    values = parsed(*arguments)
    assert (values["web.telemetry-path"], values["log.level"]) == ("/m", "debug")


def test_repeatable_flag_replaces_its_default() -> None:
    """Given listen addresses replace the default one."""
    values = parsed("--web.listen-address=:1", "--web.listen-address=[::1]:2")
    assert [str(address) for address in values["web.listen-address"]] == [":1", "[::1]:2"]


def test_each_flag_has_a_variable_of_its_name() -> None:
    """Each flag has a variable whose name is derived from the flag's."""
    assert variable(flags.LISTEN_ADDRESS) == "FLASHBACK_EXPORTER_WEB_LISTEN_ADDRESS"
    values = parsed(
        environ={
            "FLASHBACK_EXPORTER_CONFIG_FILE": "/etc/x.yaml",
            "FLASHBACK_EXPORTER_WEB_LISTEN_ADDRESS": ":1, localhost:2",
            "FLASHBACK_EXPORTER_WEB_MAX_REQUESTS": "7",
            "FLASHBACK_EXPORTER_WEB_DISABLE_EXPORTER_METRICS": "true",
            "FLASHBACK_EXPORTER_LOG_FORMAT": "json",
        }
    )
    assert str(values["config.file"]) == "/etc/x.yaml"
    assert [str(address) for address in values["web.listen-address"]] == [":1", "localhost:2"]
    assert values["web.max-requests"] == 7
    assert values["web.disable-exporter-metrics"] is True
    assert values["log.format"] == "json"


def test_flag_wins_over_its_variable() -> None:
    """A flag overrides its variable, also if it takes several values."""
    values = parsed(
        "--web.listen-address=:1",
        "--web.disable-exporter-metrics",
        environ={
            "FLASHBACK_EXPORTER_WEB_LISTEN_ADDRESS": ":2",
            "FLASHBACK_EXPORTER_WEB_DISABLE_EXPORTER_METRICS": "false",
        },
    )
    assert [str(address) for address in values["web.listen-address"]] == [":1"]
    assert values["web.disable-exporter-metrics"] is True


def test_other_variables_are_ignored() -> None:
    """Variables that Kubernetes sets for a Service of the same name are ignored."""
    values = parsed(
        environ={
            "FLASHBACK_EXPORTER_PORT": "tcp://10.0.0.1:10120",
            "FLASHBACK_EXPORTER_SERVICE_HOST": "10.0.0.1",
            "FLASHBACK_EXPORTER_WEB": "x",
            "FLASHBACK_EXPORTER_LOG_LEVEL": "",
        }
    )
    assert values.given == frozenset()


@pytest.mark.parametrize(
    ("arguments", "environ", "message"),
    [
        (["--web.listen-address=10120"], {}, "'10120' is not ':port'"),
        (["--web.telemetry-path=metrics"], {}, "'metrics' is not a path"),
        (["--web.telemetry-path=/{x}"], {}, "is not a path"),
        (["--web.max-requests=-1"], {}, "'-1' is not a whole number"),
        (
            ["--config.auto-reload-interval=293y"],
            {},
            "'293y' is not a duration such as 30s, at most 292y",
        ),
        (["--log.level=loud"], {}, "invalid choice: 'loud'"),
        (["--log.lev=info"], {}, "unrecognized arguments: --log.lev=info"),
        (["check"], {}, "unrecognized arguments: check"),
        (
            [],
            {"FLASHBACK_EXPORTER_LOG_LEVEL": "loud"},
            "variable FLASHBACK_EXPORTER_LOG_LEVEL: 'loud' is invalid: use one of debug, info",
        ),
        (
            [],
            {"FLASHBACK_EXPORTER_WEB_DISABLE_EXPORTER_METRICS": "yes"},
            "'yes' is invalid: use true or false",
        ),
        ([], {"FLASHBACK_EXPORTER_WEB_LISTEN_ADDRESS": ":1,nine"}, "'nine' is not ':port'"),
    ],
)
def test_usage_errors_say_what_and_where(
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    environ: dict[str, str],
    message: str,
) -> None:
    """A wrong value exits with 2 and names the flag or variable."""
    with pytest.raises(SystemExit) as caught:
        parsed(*arguments, environ=environ)
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--shard.ordinal=3", "--shard.total=3"], "invalid shard ordinal: 3"),
        (["--shard.total=0"], "invalid number of shards: 0"),
        (["--shard.ordinal=one"], "'one' is not a whole number"),
    ],
)
def test_impossible_shards_are_usage_errors(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    """A shard ordinal or total that is out of range exits with 2."""
    parser = flags.parser("run", "…")
    with pytest.raises(SystemExit) as caught:
        flags.shard(flags.parse(parser, COMMANDS["run"].flags, arguments, {}))
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


def test_shard_by_the_name_of_the_pod(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With `auto` the ordinal is taken from the host name, which must end in one."""
    monkeypatch.setattr("socket.gethostname", lambda: "flashback-exporter-2")
    parser = flags.parser("run", "…")
    arguments = ["--shard.ordinal=auto", "--shard.total=3"]
    assert flags.shard(flags.parse(parser, COMMANDS["run"].flags, arguments, {})) == Shard(2, 3)
    monkeypatch.setattr("socket.gethostname", lambda: "laptop")
    with pytest.raises(SystemExit):
        parsed(*arguments)
    assert "'laptop' does not end in an ordinal" in capsys.readouterr().err


def test_simulator_flags() -> None:
    """The simulator's flags are validated."""

    def simulated(*arguments: str) -> flags.Values:
        return flags.parse(flags.parser("x", "…"), flags.SIMULATOR_FLAGS, arguments, {})

    values = simulated("--seed=3", "--speed=60", "--scenario=churn,hang/share=0.5")
    assert (values["seed"], values["speed"]) == (3, 60.0)
    assert [trouble.scenario.name for trouble in values["scenario"]] == ["churn", "hang"]
    assert values["start"] is None
    assert simulated("--start=23:59")["start"] == 86340
    for mistake in ("--start=25:00", "--speed=0", "--speed=fast", "--scenario=chrun", "--seed=-1"):
        with pytest.raises(SystemExit):
            simulated(mistake)


@pytest.mark.parametrize("path", ["/buckets", "/help/metrics"])
def test_path_like_that_of_another_page_is_allowed(path: str) -> None:
    """--web.telemetry-path may begin like the path of another page."""
    assert parsed(f"--web.telemetry-path={path}")["web.telemetry-path"] == path


@pytest.mark.parametrize("path", ["/-/healthy", "/api/v1/status", "/assets/x", "/bucket", "/help"])
def test_path_of_another_page_is_refused(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    """--web.telemetry-path must not be a path of another page; the error is one line."""
    with pytest.raises(SystemExit):
        parsed(f"--web.telemetry-path={path}")
    (line,) = capsys.readouterr().err.splitlines()
    assert f"'{path}' is used by the exporter: choose another path" in line
