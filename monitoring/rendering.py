"""Rules become files: settings are put in, alerts are changed or left out, and YAML is written.

The YAML is written by hand, since the files carry marks as comments by which the Helm chart finds
what it may change: `> 900  # node_report_max_age_seconds`, `for: 5m  # node_down_for`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from textwrap import fill

from monitoring import account_alerts, bucket_alerts, exporter_alerts, node_alerts, recordings
from monitoring.ruleset import Alert, File, Group, Record
from monitoring.settings import EXAMPLES, SETTINGS, UNCHANGED, Choice, Tuning

WIDTH = 100

_UNPARTED = "\0"

_SERIES = re.compile(
    r"\b((?:\w+:)?flashback_\w+(?::\w+)?)\b(?!\()(?:\{(?P<matchers>.*?)\})?", re.DOTALL
)
"""Each selector of an expression, with its matchers; a name in a string ends in a bracket."""

OPTIONAL = (*account_alerts.OPTIONAL, *node_alerts.OPTIONAL)
"""Groups that are there once their setting is set."""

FILES = (
    File("flashback-recording.yaml", "Recording rules.", recordings.GROUPS),
    File(
        "flashback-days.yaml",
        "Each day's uptime. For backfilled days, see docs/backfill.md.",
        recordings.DAYS,
    ),
    File("flashback-uptime.yaml", "Uptime over weeks, from that of days.", recordings.OVER_DAYS),
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
# Rendered by `python -m monitoring` from monitoring/settings.yaml: change that, not this.
# A comment behind a value is the name of the setting that it comes from. The other settings are:
{others}
groups:
"""

_MARKED = {f"@{each.name}@" for each in SETTINGS if each.is_marked}


def rendered(choice: Choice = UNCHANGED) -> dict[str, str]:
    """The text of each file, by name."""
    return {file.name: _file_text(file, choice) for file in FILES}


def write(folder: Path, choice: Choice = UNCHANGED) -> None:
    """Put the files into a folder, which is made if need be."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in rendered(choice).items():
        (folder / name).write_text(text)


def optional_text() -> str:
    """All that is left out by default, with examples, for the Helm chart to choose from."""
    title = "What rules.settings adds: a group is there once the setting of its name is set."
    return _file_text(File("", title, OPTIONAL), Choice(EXAMPLES, {}))


def _file_text(file: File, choice: Choice) -> str:
    texts = choice.texts()
    others = "\n".join(
        f"# {name}: {text}" for name, text in texts.items() if f"@{name}@" not in _MARKED
    )
    writer = Writer(texts, choice.alerts)
    lines = (line for group in file.groups for line in writer.group(group))
    return _HEAD.format(title=file.title, others=others) + "".join(f"{line}\n" for line in lines)


def _of_own_job(expr: str) -> str:
    """An expression that looks at the exporter's own job alone: there may be others beside it."""

    def scoped(found: re.Match[str]) -> str:
        name, matchers = found.groups()
        return f"{name}{{@exporter_job@{f',{matchers}' if matchers else ''}}}"

    return _SERIES.sub(scoped, expr)


class Writer:
    """Makes the lines of a file."""

    def __init__(self, texts: Mapping[str, str], tunings: Mapping[str, Tuning]) -> None:
        self._texts = texts
        self._tunings = tunings

    def group(self, group: Group) -> Iterator[str]:
        """The lines of a group; none where it or all of its alerts are left out."""
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
        elif (tuning := self._tunings.get(rule.name, Tuning())).enabled:
            yield from self._alert(rule, tuning)
            yield from self._folded("dashboard_url", f"@grafana_url@/d/{page}")

    def _alert(self, alert: Alert, tuning: Tuning) -> Iterator[str]:
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
            raise ValueError(f"what follows a number or a duration would be a comment:\n{text}")
        yield "        expr: |-"
        whole = self._filled(_of_own_job(text))
        yield from (f"          {line}".rstrip() for line in whole.splitlines())

    def _folded(self, key: str, text: str) -> Iterator[str]:
        """Lines that YAML joins with one space each, which is where the text was parted."""
        if re.search(r"\s\s|\n", text):
            raise ValueError(f"white space in a row would not outlive the folding: {text!r}")
        yield f"          {key}: >-"
        # The chart looks for a setting's text: it must not be parted.
        kept = self._filled(text, blank=_UNPARTED)
        wrapped = fill(kept, WIDTH - 12, break_long_words=False, break_on_hyphens=False)
        lines = wrapped.replace(_UNPARTED, " ").splitlines()
        yield from (f"            {line}" for line in lines)

    def _filled(self, text: str, blank: str = " ") -> str:
        return re.sub(r"@(\w+)@", lambda found: self._texts[found[1]].replace(" ", blank), text)
