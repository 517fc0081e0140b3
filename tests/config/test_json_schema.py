"""The JSON Schema accepts and rejects the same files as the loader."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

import exporter.config
from exporter.config.json_schema import schema, schema_text
from tests.config.samples import DATA

VALIDATOR = jsonschema.Draft202012Validator(schema())


class Loader(yaml.SafeLoader):
    """Loads YAML as editors do, where dates and `=` are texts."""


Loader.yaml_implicit_resolvers = {
    first: [
        (tag, pattern) for tag, pattern in resolvers if not tag.endswith((":timestamp", ":value"))
    ]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def document(path: Path) -> Any:  # noqa: ANN401  # whatever the YAML holds
    """The file's content as an editor parses it."""
    return yaml.load(path.read_bytes(), Loader=Loader)  # noqa: S506  # Loader is a SafeLoader


def editor_accepts(path: Path) -> bool:
    """Whether an editor with the schema accepts the file."""
    try:
        return bool(VALIDATOR.is_valid(document(path)))
    except (yaml.YAMLError, ValueError):
        return False


LOADER_ONLY = {
    "a schema opens no other file": {
        "bucket_file_duplicates",
        "bucket_file_not_utf8",
        "bucket_file_of_two_accounts",
        "bucket_file_syntax",
        "bucket_files_directory",
        "bucket_files_directory_missing",
        "bucket_files_missing",
        "file_names_too_long",
        "tls_ca_is_directory",
        "tls_ca_missing",
        "tls_ca_not_pem",
        "tls_pair_unusable",
    },
    "an editor has no regular expressions of Python's": {
        "discovery_regex_broken",
        "discovery_regex_posix",
        "discovery_regex_too_large",
    },
    "a schema does not know what is written elsewhere": {
        "duplicate_account",
        "duplicate_bucket",
        "duplicate_bucket_of_other_account",
        "unknown_as_status",
    },
    "a schema cannot compare durations": {
        "account_interval_too_long_for_stale_after",
        "account_interval_too_short_for_timeout",
        "account_poll_interval_too_short",
        "account_stale_after_too_short",
        "duration_too_long",
        "discovery_refresh_too_short",
        "duration_zero",
        "poll_interval_too_short",
        "poll_timeout_too_long",
        "recheck_interval_zero",
        "rollover_grace_too_long",
        "stale_after_too_short",
    },
    "whether a base_url is allowed depends on other keys": {
        "plain_http",
        "plain_http_address",
        "plain_http_of_global",
        "tls_with_http",
    },
    "a pattern for the parts of a URL would be unreadable": {
        "no_proxy_network",
        "no_proxy_port",
        "no_proxy_url",
        "no_proxy_without_commas",
        "proxy_port",
        "url_address",
        "url_host",
        "url_port",
        "url_port_zero",
    },
    "a token may contain quotes, but not at its ends": {
        "credentials_with_quotes",
    },
    "an editor does not know the environment": {
        "variable_empty",
        "variable_holds_no_duration",
        "variable_holds_number",
        "variable_holds_spaces",
        "variable_not_set",
        "variables_not_set",
    },
    "any text with a variable may be valid after expansion": {
        "variable_malformed",
        "variable_nested",
        "variable_unclosed",
    },
    "Python's YAML parser is laxer than others and than the loader": {
        "bad_escape",
        "duplicate_key",
        "duplicate_merge_key",
        "utf16",
    },
}
"""Files that only the loader rejects, by reason."""


def test_shipped_schema_is_the_generated_one() -> None:
    """config.schema.json is up to date with the generated schema."""
    shipped = Path(__file__).parents[2] / "config.schema.json"
    assert shipped.read_text(encoding="utf-8") == schema_text()


def test_module_prints_the_schema(capsys: pytest.CaptureFixture[str]) -> None:
    """`python -m exporter.config.json_schema` prints the schema."""
    runpy.run_path(exporter.config.json_schema.__file__, run_name="__main__")
    assert capsys.readouterr().out == schema_text()


def test_schema_is_one() -> None:
    """The schema is a valid JSON Schema."""
    jsonschema.Draft202012Validator.check_schema(schema())


@pytest.mark.parametrize(
    "path",
    [*sorted((DATA / "good_config").glob("*.yaml")), DATA.parents[1] / "config.example.yaml"],
    ids=lambda path: path.stem,
)
def test_good_file_is_accepted(path: Path) -> None:
    """Each file that the loader accepts is valid by the schema."""
    VALIDATOR.validate(document(path))


@pytest.mark.parametrize(
    "path", sorted((DATA / "bad_config").glob("*.yaml")), ids=lambda path: path.stem
)
def test_bad_shape_is_refused(path: Path) -> None:
    """The schema rejects each bad file, except those in LOADER_ONLY."""
    assert editor_accepts(path) == (path.stem in set().union(*LOADER_ONLY.values()))
