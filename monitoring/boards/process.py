"""The last sections of the exporter's dashboard: shards, configuration, and resource usage."""

from __future__ import annotations

from monitoring.boards import colours, panels, tables
from monitoring.boards.layout import Section, line
from monitoring.boards.panels import Query, Text, Values

_INSTANCE = "{{instance}}"
_OFF = " Not available with --web.disable-exporter-metrics."


def sections(who: str) -> tuple[Section, ...]:
    """The sections for the exporters that these matchers select."""
    return _builds(who), _resources(who)


def _builds(who: str) -> Section:
    build = "instance, version, revision, python_version"
    ordinal = "instance, shard_ordinal"
    dropped = f"flashback_exporter_log_lines_dropped_total{{{who}}}"
    reloaded = "flashback_exporter_config_last_reload_success_timestamp_seconds"
    return Section(
        "Shards and configuration",
        (
            line(
                8,
                tables.rows(
                    Text(
                        "Builds, shards and configurations",
                        "Build, shard, buckets and configuration of each exporter. Every ordinal"
                        " below the number of shards must exist, and all exporters must have the"
                        " same number of shards.",
                    ),
                    {
                        "instance": "Instance",
                        "version": "Version",
                        "revision": "Revision",
                        "python_version": "Python",
                        "shard_ordinal": "Shard",
                    },
                    tables.Column(
                        "Build",
                        f"max by ({build}) (flashback_exporter_build_info{{{who}}})",
                        hidden=True,
                    ),
                    tables.Column(
                        "Ordinal",
                        f"max by ({ordinal}) (flashback_exporter_shard_ordinal{{{who}}})",
                        hidden=True,
                    ),
                    tables.Column("Shards", _own("flashback_exporter_shards", who)),
                    tables.Column("Buckets", _own("flashback_exporter_buckets", who)),
                    tables.Column(
                        "Configuration",
                        _own("flashback_exporter_config_last_reload_successful", who),
                        meanings=colours.SUCCESS,
                    ),
                    tables.Column("Loaded", f"time() - {_own(reloaded, who)}", "s"),
                    tables.Column(
                        "Log lines dropped",
                        f"sum by (instance) (increase({dropped}[$__range]))",
                    ),
                ),
            ),
            line(
                6,
                panels.lines(
                    Text(
                        "Shards",
                        "Configured number of shards, and number of different ordinals. All "
                        "lines should be equal.",
                        alert="FlashbackShardMissing",
                    ),
                    Values("short", low=0, decimals=0),
                    Query(_own("flashback_exporter_shards", who, "min"), "configured (minimum)"),
                    Query(_own("flashback_exporter_shards", who, "max"), "configured (maximum)"),
                    Query(
                        "count("
                        + _own("flashback_exporter_shard_ordinal", who, "max by (shard_ordinal)")
                        + ")",
                        "ordinals present",
                    ),
                ),
                panels.states(
                    Text(
                        "Configuration over time",
                        "Whether the last load succeeded. If not, the previous configuration "
                        "stays active.",
                        alert="FlashbackConfigReloadFailed",
                    ),
                    Values("short", colours.ZERO_IS_BAD, colours.SUCCESS),
                    Query(_own("flashback_exporter_config_last_reload_successful", who), _INSTANCE),
                ),
            ),
        ),
    )


def _resources(who: str) -> Section:
    cpu = f"sum by (instance) (rate(process_cpu_seconds_total{{{who}}}[$__rate_interval]))"
    pauses = (
        "sum by (instance, generation)"
        f" (rate(python_gc_collections_total{{{who}}}[$__rate_interval]))"
    )
    return Section(
        "Process",
        (
            line(
                7,
                panels.lines(
                    Text("CPU", "Cores in use. One exporter uses at most about one." + _OFF),
                    Values("short", low=0),
                    Query(cpu, _INSTANCE),
                ),
                panels.lines(
                    Text("Memory", "Resident memory." + _OFF),
                    Values("bytes", low=0),
                    Query(_own("process_resident_memory_bytes", who), _INSTANCE),
                ),
                panels.lines(
                    Text("File descriptors", "Open file descriptors and their limit." + _OFF),
                    Values("short", low=0, decimals=0),
                    Query(_own("process_open_fds", who), "{{instance}} open"),
                    Query(_own("process_max_fds", who), "{{instance}} limit"),
                ),
            ),
            line(
                6,
                panels.lines(
                    Text("Age", "Time since the start. A drop is a restart." + _OFF),
                    Values("s", low=0),
                    Query(f"time() - {_own('process_start_time_seconds', who)}", _INSTANCE),
                ),
                panels.lines(
                    Text("Garbage collections", "Runs of Python's collector per second." + _OFF),
                    Values("cps", low=0),
                    Query(pauses, "{{instance}} generation {{generation}}"),
                ),
            ),
        ),
    )


def _own(metric: str, who: str, reduced: str = "max by (instance)") -> str:
    return f"{reduced} ({metric}{{{who}}})"
