"""Unusual but valid files: those in tests/data/good_config and the example load."""

from __future__ import annotations

import re
from pathlib import Path
from ssl import TLSVersion

import pytest
from pydantic import SecretStr

from exporter.config import Config, Discovery, Login, TlsConfig, load
from exporter.config.schema import MAPPINGS, keys
from exporter.config.sources import Pattern
from exporter.model import Bucket, Timing
from tests.config.samples import DATA, ENVIRON, TOKEN

GOOD = DATA / "good_config"
EXAMPLE = Path(__file__).parents[2] / "config.example.yaml"


def config(name: str) -> Config:
    """Load a file from tests/data/good_config."""
    return load(GOOD / f"{name}.yaml", ENVIRON)


@pytest.mark.parametrize("path", sorted(GOOD.glob("*.yaml")), ids=lambda path: path.stem)
def test_file_loads(path: Path) -> None:
    """Each file loads, and its accounts are complete."""
    for account in load(path, ENVIRON).accounts:
        assert account.credentials
        assert account.buckets or account.discovery or "later" in account.name
        assert not account.base_url.endswith("/")


def test_minimal_file_takes_every_default() -> None:
    """Without optional keys, all settings have their documented defaults."""
    minimal = config("minimal")
    assert minimal.limits.max_concurrent_requests == 16
    assert minimal.limits.max_requests_per_second == 20
    assert minimal.limits.max_nodes_per_bucket == 1000
    assert minimal.limits.max_response_bytes == 8 * 2**20
    assert minimal.known_statuses == ("ONLINE", "OFFLINE", "DISCONNECTED")
    (account,) = minimal.accounts
    assert account.base_url == "https://backend.flashback.tech"
    assert account.timing == Timing(60, 10, 300, 300, 600)
    assert account.credentials == GOOD / "token"
    assert account.tls == TlsConfig(None, None, None, None, None, insecure_skip_verify=False)
    assert (account.proxy_url, account.proxy_from_environment) == (None, False)
    assert account.discovery is None
    assert minimal.sources.config.keys() == {GOOD / "minimal.yaml"}
    assert minimal.sources.tls == {}
    assert minimal.sources.listings == {}
    assert minimal.buckets() == (Bucket("main", "65f1c0ffee", "65f1c0ffee"),)


def test_windows_file_is_the_same() -> None:
    """A file with BOM, CRLF and document markers loads the same."""
    assert config("windows") == config("minimal")


def test_mappings_without_entries_are_empty() -> None:
    """`global:` and `labels:` without a value are empty mappings."""
    assert config("empty_mappings") == config("minimal")


def test_scalars_keep_their_literal_text() -> None:
    """Texts that look like a number, time, boolean or null are kept as text."""
    (account,) = config("literal_text").accounts
    assert account.name == "007"
    assert account.credentials == GOOD / "2024-01-15"
    texts = ["0123", "12:30:45", "1e3", "true", "0x1F", "null", "="]
    assert [bucket.id for bucket in account.buckets] == texts
    odd, quoted = account.buckets[4:6]
    labels = {
        "feature": "off",
        "build": "1_000",
        "ratio": "1.50",
        "day": "2024-01-15",
        "nan": ".nan",
    }
    assert (odd.name, odd.labels) == ("no", labels)
    assert (quoted.name, quoted.labels) == ("~", {"empty": ""})


def test_merge_keys_and_aliases_work() -> None:
    """A mapping's own keys override merged ones, and earlier merged ones override later."""
    eu, us = config("merge_keys").accounts
    assert (eu.timing.poll_interval, eu.timing.stale_after) == (120, 900)
    assert (us.timing.poll_interval, us.timing.stale_after) == (180, 900)
    assert us.credentials == eu.credentials
    assert eu.buckets[0].labels == {"team": "media", "site": "eu"}
    assert us.buckets[0].labels == {"team": "media", "site": "us"}


def test_variables_are_expanded_in_every_kind_of_value() -> None:
    """Variables and defaults work in texts, numbers and list entries."""
    environment = config("environment")
    (account,) = environment.accounts
    assert account.base_url == "https://api.example.com:443"
    assert account.timing.poll_interval == 30
    assert environment.limits.max_nodes_per_bucket == 200
    assert environment.limits.max_requests_per_second == 2.5
    assert environment.known_statuses == ("ONLINE",)
    assert isinstance(account.credentials, SecretStr)
    assert account.credentials.get_secret_value() == TOKEN
    shorthand, mapping = account.buckets
    assert shorthand.id == "65f1c0ffee"
    assert (mapping.id, mapping.name) == ("price-$5", "${BUCKET} is 65f1c0ffee")
    assert mapping.labels == {"nested": "${WORD}", "none": "", "dollars": "$$"}


def test_every_key_reaches_the_settings() -> None:
    """Every key of a file sets its setting."""
    everything = config("all_keys")
    main, test = everything.accounts
    assert main.base_url == "http://[::1]:8080"
    assert main.timing == Timing(5, 1.5, 604800, 86400, 0)
    assert isinstance(main.credentials, SecretStr)
    assert main.credentials.get_secret_value() == TOKEN
    assert main.buckets[0].name == "Médiathèque ☁"
    assert test.base_url == "http://10.0.0.1"
    assert test.timing == Timing(90, 1.5, 3600, 86400, 0)
    assert test.credentials == GOOD / "../secrets/token"
    assert everything.limits.max_response_bytes == 65536
    assert everything.known_statuses == ("ONLINE", "OFFLINE", "ERROR", "404")
    assert [bucket.key for bucket in everything.buckets()] == [
        ("main", "65f1c0ffee"),
        ("test", "a/b c"),
    ]


def test_json_is_yaml() -> None:
    """A file in JSON loads."""
    assert [bucket.id for bucket in config("json").buckets()] == ["65f1c0ffee", "65f1c0ffef"]


def test_open_timing_follows_the_interval() -> None:
    """If poll_timeout and stale_after are not set, they are adapted to the poll interval."""
    slow, fast = config("short_interval").accounts
    assert slow.timing == Timing(600, 10, 1210, 300, 600)
    assert fast.timing == Timing(5, 5, 300, 300, 600)


def test_logins_are_read() -> None:
    """A login has its password as literal text, from a variable or in a file."""
    file, literal, variable = (account.credentials for account in config("login").accounts)
    assert file == Login("ops@example.com", GOOD / "../secrets/password")
    assert literal == Login("ops+exporter@example.com", SecretStr(" 0123 ${WORD} "))
    assert variable == Login("ops@example.com", SecretStr(ENVIRON["PHRASE"]))


def test_discovery_is_on_where_it_stands() -> None:
    """`discovery` without keys finds all buckets; an account with it needs no other buckets."""
    everything, some = config("discovery").accounts
    assert everything.discovery == Discovery(None, 600, (), ())
    assert some.discovery == Discovery(
        "0065", 90, (re.compile("media-.*"), re.compile("hunter2")), (re.compile(".*-tmp"),)
    )
    assert some.buckets == ()


def test_bucket_files_come_after_the_account_s_own() -> None:
    """Bucket files are read after the account's own buckets, sorted by name, each file once."""
    loaded = config("bucket_files")
    main, later = loaded.accounts
    assert [(bucket.id, bucket.name) for bucket in main.buckets] == [
        ("65f1c0ffee", "65f1c0ffee"),
        ("0123", "65f1c0ffee"),
        ("65f1c0ffee0", "65f1c0ffee0"),
        ("us", "us"),
    ]
    assert main.buckets[1] == Bucket("main", "0123", "65f1c0ffee", {"team": "media"})
    assert later.buckets == ()
    names = ("ap", "eu", "us")
    files = tuple(GOOD / "buckets" / f"{name}.yaml" for name in names)
    assert loaded.sources.bucket_files.keys() == set(files)
    patterns = ("buckets/*.yaml", "buckets/eu.yaml", "later/*.yaml", "later/[ab]?.yaml")
    found = (files, files[1:2], (), ())
    assert loaded.sources.listings == {
        Pattern(GOOD, pattern): paths for pattern, paths in zip(patterns, found, strict=True)
    }


def test_way_to_the_api_is_read() -> None:
    """Proxy and TLS settings are loaded."""
    proxy, environment = config("connection").accounts
    assert proxy.proxy_url == SecretStr("http://ops:hunter2@[::1]:3128")
    assert proxy.no_proxy == "10.0.0.0/8, [::1]:443,*.example.com"
    assert proxy.tls == TlsConfig(
        None, None, None, "api.example.com", TLSVersion.TLSv1_3, insecure_skip_verify=True
    )
    assert not proxy.proxy_from_environment
    assert (environment.proxy_url, environment.proxy_from_environment) == (None, True)
    assert environment.tls == config("minimal").accounts[0].tls


def test_example_loads_as_it_is() -> None:
    """The example loads with its variable set, and has the default settings."""
    example = load(EXAMPLE, ENVIRON)
    minimal = config("minimal")
    assert (example.limits, example.known_statuses) == (minimal.limits, minimal.known_statuses)
    assert example.accounts[0].timing == minimal.accounts[0].timing
    assert example.accounts[0].base_url == minimal.accounts[0].base_url


@pytest.mark.parametrize("mapping", MAPPINGS)
def test_example_names_every_key(mapping: str) -> None:
    """The example contains every key, possibly in a comment."""
    text = EXAMPLE.read_text(encoding="utf-8")
    assert not [key for key in keys(mapping) if f"{key}:" not in text]
