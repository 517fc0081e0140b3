"""Renders the rules as YAML files: inserts settings, and changes or omits alerts.

It writes the YAML itself, because the Helm chart finds the values to change by comments:
`> 900  # node_report_max_age_seconds`, `for: 5m  # node_down_for`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from textwrap import fill

from monitoring import account_alerts, bucket_alerts, exporter_alerts, node_alerts, recordings
from monitoring.ruleset import Alert, File, Group, Record
from monitoring.settings import EXAMPLES, SETTINGS, UNCHANGED, AlertChange, Overrides

WIDTH = 100

_NO_BREAK = "\0"

_SERIES = re.compile(
    r"\b((?:\w+:)?flashback_\w+(?::\w+)?)\b(?!\()(?:\{(?P<matchers>.*?)\})?", re.DOTALL
)
"""Each selector in an expression, with its matchers; no name followed by `(`."""

OPTIONAL = (*account_alerts.OPTIONAL, *node_alerts.OPTIONAL)
"""Groups that are rendered only if their setting is set."""

FILES = (
    File("flashback-recording.yaml", "Recording rules.", recordings.GROUPS),
    File(
        "flashback-days.yaml",
        "Each day's uptime. For backfilled days, see docs/backfill.md.",
        recordings.DAYS,
    ),
    File("flashback-uptime.yaml", "Uptime over weeks, from daily uptime.", recordings.OVER_DAYS),
    File(
        "flashback-alerts.yaml",
        "Alerts. docs/runbook.md has a section for each.",
        (
            *exporter_alerts.GROUPS,
            *account_alerts.GROUPS,
            *bucket_alerts.GROUPS,
            *node_alerts.GROUPS,
            *OPTIONAL,
        ),
    ),
)

ALERTS = tuple(
    rule
    for file in FILES
    for group in file.groups
    for rule in group.rules
    if isinstance(rule, Alert)
)

_HEAD = """\
# {title}
# Rendered by `python -m monitoring` from monitoring/settings.yaml: edit that file, not this one.
# The comment after a value is the name of its setting. The other values are:
{others}
groups:
"""

_MARKED = {f"@{each.name}@" for each in SETTINGS if each.is_marked}


def rendered(overrides: Overrides = UNCHANGED) -> dict[str, str]:
    """The text of each file, by name."""
    return {file.name: _file_text(file, overrides) for file in FILES}


def write(folder: Path, overrides: Overrides = UNCHANGED) -> None:
    """Write the files to a folder, which is created if missing."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in rendered(overrides).items():
        (folder / name).write_text(text)


def optional_groups_yaml() -> str:
    """The optional groups with example values, from which the Helm chart selects."""
    title = "Optional groups: each is rendered if rules.settings has the setting of its name."
    return _file_text(File("", title, OPTIONAL), Overrides(EXAMPLES, {}))


def _file_text(file: File, overrides: Overrides) -> str:
    texts = overrides.texts()
    others = "\n".join(
        f"# {name}: {text}" for name, text in texts.items() if f"@{name}@" not in _MARKED
    )
    writer = Writer(texts, overrides.alerts)
    lines = (line for group in file.groups for line in writer.group(group))
    return _HEAD.format(title=file.title, others=others) + "".join(f"{line}\n" for line in lines)


def _limited_to_job(expr: str) -> str:
    """The expression, limited to the exporter's job: Prometheus may have several."""

    def scoped(found: re.Match[str]) -> str:
        name, matchers = found.groups()
        return f"{name}{{@exporter_job@{f',{matchers}' if matchers else ''}}}"

    return _SERIES.sub(scoped, expr)


class Writer:
    """Makes the lines of a file."""

    def __init__(self, texts: Mapping[str, str], alert_changes: Mapping[str, AlertChange]) -> None:
        self._texts = texts
        self._alert_changes = alert_changes

    def group(self, group: Group) -> Iterator[str]:
        """The lines of a group; none if it or all of its alerts are disabled."""
        if group.needs is not None and group.needs not in self._texts:
            return
        rules = [line for rule in group.rules for line in self._rule(rule, group.page)]
        if rules:
            yield f"  - name: {group.name}"
            if group.interval is not None:
                yield f"    interval: {group.interval}"
            yield "    rules:"
            yield from rules

    def _rule(self, rule: Record | Alert, page: str) -> Iterator[str]:
        if isinstance(rule, Record):
            yield f"      - record: {rule.name}"
            yield from self._expression(rule.expr)
        elif (tuning := self._alert_changes.get(rule.name, AlertChange())).enabled:
            yield from self._alert(rule, tuning)
            yield from self._folded("dashboard_url", f"@grafana_url@/d/{page}")

    def _alert(self, alert: Alert, tuning: AlertChange) -> Iterator[str]:
        yield f"      - alert: {alert.name}"
        yield from self._expression(alert.expr)
        yield f"        for: {tuning.wait or self._filled(alert.wait)}"
        if alert.keep_firing_for is not None:
            yield f"        keep_firing_for: {self._filled(alert.keep_firing_for)}"
        yield "        labels:"
        yield f"          severity: {tuning.severity or alert.severity}"
        yield "        annotations:"
        yield from self._folded("summary", alert.summary)
        yield from self._folded("description", alert.description)
        yield from self._folded("runbook_url", f"@runbook_url@#{alert.name.lower()}")

    def _expression(self, text: str) -> Iterator[str]:
        if any(re.search(f"{token}(?!\n|$)", text) for token in _MARKED):
            raise ValueError(f"a setting that is a number or a duration must end its line:\n{text}")
        yield "        expr: |-"
        whole = self._filled(_limited_to_job(text))
        yield from (f"          {line}".rstrip() for line in whole.splitlines())

    def _folded(self, key: str, text: str) -> Iterator[str]:
        """A folded block scalar, whose lines YAML joins with single spaces."""
        if re.search(r"\s\s|\n", text):
            raise ValueError(f"folding would change consecutive white space: {text!r}")
        yield f"          {key}: >-"
        # The chart searches for a setting's text: keep it on one line.
        kept = self._filled(text, blank=_NO_BREAK)
        wrapped = fill(kept, WIDTH - 12, break_long_words=False, break_on_hyphens=False)
        lines = wrapped.replace(_NO_BREAK, " ").splitlines()
        yield from (f"            {line}" for line in lines)

    def _filled(self, text: str, blank: str = " ") -> str:
        return re.sub(r"@(\w+)@", lambda found: self._texts[found[1]].replace(" ", blank), text)
