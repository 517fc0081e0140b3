"""The settings of the rules: reads `settings.yaml`, validates changes, and gives each value's text.

Nothing here knows the rules.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import jsonschema
import yaml

FILE = Path(__file__).with_name("settings.yaml")

Value: TypeAlias = str | float | list[str]
Schema: TypeAlias = dict[str, object]

_LABEL: Schema = {"type": "string", "pattern": "^[a-zA-Z_][a-zA-Z0-9_]*$"}
_DURATION: Schema = {
    "type": "string",
    "pattern": "^([0-9]+(ms|[smhdwy]))+$",
}

_KINDS: dict[str, Schema] = {
    "labels": {"type": "array", "items": _LABEL, "minItems": 1, "uniqueItems": True},
    "statuses": {
        "type": "array",
        "items": {"type": "string", "pattern": "^[A-Za-z0-9 _-]+$"},
        "minItems": 1,
        "uniqueItems": True,
    },
    "job": {"type": "string", "pattern": "^[A-Za-z0-9 ._/-]+$"},
    "url": {"type": "string", "pattern": "^https?://[^\\s#]+$"},
    "share": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
    "number": {"type": "number", "exclusiveMinimum": 0},
    "duration": _DURATION,
}

VARIABLES = ("job", "namespace", "cluster")
"""The scrape labels that the dashboards have as variables."""

_MARKED = frozenset({"share", "number", "duration"})


class SettingsError(ValueError):
    """A file of changes is invalid; the text lists the problems."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting."""

    name: str
    kind: str
    meaning: str
    default: Value | None = None  # None: rules that need the setting are omitted until it is set
    example: Value | None = None
    contains: Sequence[str] = ()  # required items of a list
    excludes: Sequence[str] = ()  # forbidden items of a list

    @property
    def is_marked(self) -> bool:
        """Whether its value ends a line, followed by its name as a comment.

        The Helm chart finds the value by that comment, other values by their default's text.
        """
        return self.kind in _MARKED

    def text(self, value: Value) -> str:
        """The text of a value in rules."""
        match self.kind, value:
            case "labels", list():
                return ", ".join(value)
            case "statuses", list():
                return "|".join(value)
            case "job", _:
                return f'job="{value}"'
        return f"{value}  # {self.name}" if self.is_marked else str(value)

    def schema(self) -> Schema:
        """The JSON Schema of the setting."""
        demands: list[Schema] = [{"contains": {"const": each}} for each in self.contains]
        if self.excludes:
            demands.append({"items": {"not": {"enum": list(self.excludes)}}})
        rules = _KINDS[self.kind] | ({"allOf": demands} if demands else {})
        given = {"examples": [self.example]} if self.default is None else {"default": self.default}
        return {"description": self.meaning, **given, **rules}


@dataclass(frozen=True, slots=True)
class AlertChange:
    """The changes to one alert."""

    enabled: bool = True
    severity: str | None = None
    wait: str | None = None  # its `for`


@dataclass(frozen=True, slots=True)
class Overrides:
    """All changes to settings and alerts."""

    settings: Mapping[str, Value]
    alerts: Mapping[str, AlertChange]

    def texts(self) -> dict[str, str]:
        """The text of each setting, and label matchers and arguments for queries in annotations."""
        kept = self.labels("aggregation_labels")
        values = [(each, self.settings.get(each.name, each.default)) for each in SETTINGS]
        return {
            **{each.name: each.text(value) for each, value in values if value is not None},
            "aggregation_matchers": ",".join(f"{label}=%+q" for label in kept),
            "aggregation_values": " ".join(f"$labels.{label}" for label in kept),
            "aggregation_variables": "&".join(
                f"var-{label}={{{{ $labels.{label} | urlquery }}}}"
                for label in kept
                if label in VARIABLES
            ),
        }

    def labels(self, name: str) -> list[str]:
        """The value of a setting that is a list of labels."""
        (setting,) = (each for each in SETTINGS if each.name == name)
        value = self.settings.get(name, setting.default)
        return value if isinstance(value, list) else []


def schema(alerts: Iterable[str]) -> Schema:
    """The JSON Schema of a file of changes, and of the chart's values under `rules`."""
    tuning = {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "enabled": {"type": "boolean"},
            "severity": {"type": "string", "pattern": "^[a-z][a-z0-9_-]*$"},
            "for": _DURATION,
        },
    }
    parts = {
        "settings": {each.name: each.schema() for each in SETTINGS},
        "alerts": dict.fromkeys(alerts, tuning),
    }
    return {
        name: {"type": "object", "additionalProperties": False, "properties": properties}
        for name, properties in parts.items()
    }


def read_overrides(changes: Mapping[str, object], alerts: Iterable[str]) -> Overrides:
    """The changes in a parsed file. Raises SettingsError."""
    whole = {"type": "object", "additionalProperties": False, "properties": schema(alerts)}
    validator = jsonschema.Draft7Validator(whole)
    problems = [f"{each.json_path}: {each.message}" for each in validator.iter_errors(changes)]
    if not problems:
        overrides = _overrides(changes)
        problems = list(_contradictions(overrides))
    if problems:
        raise SettingsError("\n".join(sorted(problems)))
    return overrides


def _contradictions(overrides: Overrides) -> Iterator[str]:
    """Problems of settings that are valid alone but not together."""
    kept, of_buckets, of_nodes = (
        set(overrides.labels(name))
        for name in ("aggregation_labels", "bucket_labels", "node_labels")
    )
    for label in of_buckets & kept:
        yield (
            f"$.settings: {label} is in aggregation_labels and in bucket_labels:"
            " leave it out of one of them"
        )
    for label in of_nodes - of_buckets - {"ip", "host"}:
        yield f"$.settings: {label} is in node_labels and not in bucket_labels: add it there"


def _overrides(changes: Mapping[str, object]) -> Overrides:
    settings, alerts = changes.get("settings", {}), changes.get("alerts", {})
    if not isinstance(settings, dict) or not isinstance(alerts, dict):
        raise SettingsError("settings and alerts must be mappings")
    alert_changes = {
        name: AlertChange(said.get("enabled", True), said.get("severity"), said.get("for"))
        for name, said in alerts.items()
    }
    return Overrides(settings, alert_changes)


def _listed() -> tuple[Setting, ...]:
    entries = yaml.safe_load(FILE.read_text())
    return tuple(Setting(name, **entry) for name, entry in entries.items())


SETTINGS = _listed()
"""Every setting, in the order of the file."""

UNCHANGED = Overrides({}, {})
"""The defaults."""

EXAMPLES: dict[str, Value] = {
    each.name: each.example for each in SETTINGS if each.example is not None
}
"""A value for each setting that has no default."""
