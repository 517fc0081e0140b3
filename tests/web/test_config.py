"""The web configuration file: the settings from valid files, and errors about invalid ones."""

from __future__ import annotations

import os
import re
import shutil
import ssl
import subprocess
from contextlib import nullcontext, suppress
from pathlib import Path

import pytest
import trustme

from exporter.config import ConfigError
from exporter.web import config_format as terms
from exporter.web.config import Pem, load_web_config
from tests.config.samples import DATA
from tests.real.programs import program

GOOD = DATA / "web_config" / "good"
BAD = DATA / "web_config" / "bad"
HASH = "$2y$04$rQ3DM3xb9Z0KRD.NSN8Xi.c/K1DP3x6SANSw5fusm6wwj4St5bfsW"


@pytest.mark.parametrize("name", sorted(path.stem for path in BAD.glob("*.yaml")))
def test_error_is_exactly_the_expected_one(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error has one line for each problem of a file, with place and remedy."""
    monkeypatch.chdir(BAD)
    with pytest.raises(ConfigError) as caught:
        load_web_config(Path(f"{name}.yaml"))
    assert f"{caught.value}\n" == Path(f"{name}.txt").read_text(encoding="utf-8")


def test_every_expected_error_has_its_file() -> None:
    """Each invalid file has an expected error, and each expected error has a file."""
    assert {path.stem for path in BAD.glob("*.txt")} == {path.stem for path in BAD.glob("*.yaml")}


def test_no_error_shows_a_secret() -> None:
    """Errors contain neither hashes nor passwords that were given instead of hashes."""
    for path in BAD.glob("*.txt"):
        text = path.read_text(encoding="utf-8")
        assert "hunter2" not in text
        assert "rQ3DM3xb9Z0KRD" not in text


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("", "Is a directory"),
        ("web.yaml", "No such file or directory"),
        ("x" * 300, "File name too long"),
    ],
)
def test_a_file_that_cannot_be_read_is_a_problem(tmp_path: Path, path: str, reason: str) -> None:
    """The error about a file that cannot be read has the reason, and no line number."""
    with pytest.raises(ConfigError) as caught:
        load_web_config(tmp_path / path)
    assert str(caught.value) == (
        f"{tmp_path / path}: cannot be read ({reason}): set the path with --web.config.file"
    )


def test_pipe_is_a_problem_and_hangs_nothing(tmp_path: Path) -> None:
    """A named pipe is refused, because reading it would block until another process writes."""
    os.mkfifo(tmp_path / "web.yaml")
    with pytest.raises(ConfigError, match=r"cannot be read \(it is not a regular file\): save it"):
        load_web_config(tmp_path / "web.yaml")


def test_defaults_are_the_toolkits() -> None:
    """Missing keys have the defaults of exporter-toolkit."""
    config = load_web_config(GOOD / "tls.yaml")
    tls = config.tls
    assert tls
    assert (tls.min_version, tls.max_version) == (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)
    assert (tls.client_certificates, tls.client_ca) == (ssl.CERT_NONE, None)
    assert (tls.ciphers, tls.prefer_server_ciphers, tls.curve) == ("", True, "")
    assert tls.client_allowed_sans == frozenset()
    assert (config.users, config.headers) == ({}, {})


def test_files_are_found_beside_the_web_configuration() -> None:
    """Paths are relative to the file's directory, and are stored with their line and key."""
    path = GOOD / "client_certificates.yaml"
    tls = load_web_config(path).tls
    assert tls
    assert tls.cert == Pem(GOOD / "../good/server.pem", f"{path}:2: tls_server_config.cert_file")
    assert tls.key == Pem(GOOD / "server.key", f"{path}:3: tls_server_config.key_file")
    assert tls.client_ca == Pem(GOOD / "ca.pem", f"{path}:5: tls_server_config.client_ca_file")


def test_every_key_arrives() -> None:
    """Each key becomes a setting as Python's ssl and the server need it."""
    config = load_web_config(GOOD / "all_keys.yaml")
    tls = config.tls
    assert tls
    assert tls.client_certificates is ssl.CERT_REQUIRED
    assert tls.ciphers == "ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305"
    assert (tls.prefer_server_ciphers, tls.curve) == (False, "secp384r1")
    assert config.headers == {"X-Frame-Options": "deny"}
    assert config.users == {"alice": HASH}


def test_newer_keys_arrive() -> None:
    """Keys that older versions of exporter-toolkit do not know become settings too."""
    tls = load_web_config(GOOD / "newer" / "allowed_sans.yaml").tls
    assert tls
    assert tls.client_allowed_sans == {
        *("prometheus.example.com", "10.0.0.1", "spiffe://example.com/prometheus"),
    }
    inline = load_web_config(GOOD / "newer" / "inline_ca.yaml").tls
    assert inline
    assert inline.client_ca
    assert isinstance(inline.client_ca.source, str)
    assert inline.client_ca.source.startswith("-----BEGIN CERTIFICATE-----\n")


@pytest.mark.parametrize(
    "word", ["true", "True", "TRUE", "y", "Y", "yes", "Yes", "YES", "on", "On"]
)
def test_true_has_the_spellings_of_yaml(tmp_path: Path, word: str) -> None:
    """Each spelling of true that Go's YAML parser accepts is true here too."""
    assert switched(tmp_path, word) is True


@pytest.mark.parametrize(
    "word", ["false", "FALSE", "n", "N", "no", "No", "NO", "off", "Off", "OFF"]
)
def test_false_has_the_spellings_of_yaml(tmp_path: Path, word: str) -> None:
    """Each spelling of false that Go's YAML parser accepts is false here too."""
    assert switched(tmp_path, word) is False


def switched(directory: Path, word: str) -> bool:
    """The value of a switch whose default is true."""
    file = directory / "web.yaml"
    file.write_text(
        f"tls_server_config: {{cert_file: a, key_file: b, prefer_server_cipher_suites: {word}}}\n"
        f"http_server_config:\n  http2: {word}\n"
    )
    tls = load_web_config(file).tls
    assert tls
    return tls.prefer_server_ciphers


@pytest.mark.parametrize(
    "limit",
    [
        "interval: 0",
        "interval: 0s",
        "interval: 0h0m0s, burst: 0",
        "burst: 0",
        "interval: 0, burst: 9",
    ],
)
def test_rate_limit_may_be_off(tmp_path: Path, limit: str) -> None:
    """A rate limit that is off is accepted, although rate limits are not supported."""
    file = tmp_path / "web.yaml"
    file.write_text(f"rate_limit: {{{limit}}}\nbasic_auth_users: {{alice: {HASH}}}\n")
    assert load_web_config(file).users == {"alice": HASH}


def test_certificates_of_clients_may_be_left_to_them() -> None:
    """Client certificates can be optional or not requested."""
    optional = load_web_config(GOOD / "optional_client_certificates.yaml").tls
    none = load_web_config(GOOD / "no_client_certificates.yaml").tls
    assert optional
    assert none
    assert optional.client_certificates is ssl.CERT_OPTIONAL
    assert none.client_certificates is ssl.CERT_NONE


def test_names_and_hashes_keep_their_text() -> None:
    """User names and header values are as written in the file, quoted or not."""
    assert list(load_web_config(GOOD / "users.yaml").users) == ["alice", "bob smith"]
    assert load_web_config(GOOD / "headers.yaml").headers["X-XSS-Protection"] == "0"


def test_no_hash_shows_in_a_repr() -> None:
    """The repr of the web configuration, which a traceback may show, contains no hashes."""
    assert HASH not in repr(load_web_config(GOOD / "all_keys.yaml"))


def test_openssl_knows_every_name() -> None:
    """Python's ssl can set each cipher suite and curve that a file may name."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    for name in filter(None, terms.CIPHER_SUITES.values()):
        context.set_ciphers(name)
        assert name in {cipher["name"] for cipher in context.get_ciphers()}
    for curve in terms.CURVES.values():
        with suppress(ValueError, ssl.SSLError) if curve == "X25519" else nullcontext():
            context.set_ecdh_curve(curve)  # X25519 fails on Debian 12


def test_promtool_accepts_what_is_accepted_here(tmp_path: Path) -> None:
    """Every valid file passes `promtool check web-config`, if promtool knows its keys."""
    promtool = program("promtool")
    good = tmp_path / "good"
    shutil.copytree(GOOD, good)
    authority = trustme.CA()
    authority.cert_pem.write_to_path(good / "ca.pem")
    server = authority.issue_cert("localhost")
    server.private_key_pem.write_to_path(good / "server.key")
    server.cert_chain_pems[0].write_to_path(good / "server.pem")
    version = subprocess.check_output((promtool, "--version"), text=True)
    found = re.search(r"version (\d+)\.(\d+)", version)
    assert found
    version_of = (int(found[1]), int(found[2]))
    files = sorted(good.glob("*.yaml"))
    for directory, since in {"newer": (2, 53), "newest": (3, 8)}.items():
        if version_of >= since:
            files += sorted((good / directory).glob("*.yaml"))
    finished = subprocess.run(
        (promtool, "check", "web-config", *files), capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stderr
    assert finished.stderr.count("SUCCESS") + finished.stdout.count("SUCCESS") == len(files)


def test_the_page_names_every_key() -> None:
    """docs/security.md names all keys of the format, including unsupported ones."""
    page = (Path(__file__).parents[2] / "docs" / "security.md").read_text(encoding="utf-8")
    words = {
        *(*terms.TOP_KEYS, *terms.TLS_KEYS, *terms.HTTP_KEYS, *terms.UNSUPPORTED_KEYS),
        *(terms.RATE_LIMIT, *terms.RATE_LIMIT_KEYS),
        *(*terms.AUTH_TYPES, *terms.VERSIONS, *terms.UNSUPPORTED_VERSIONS),
    }
    assert not [word for word in words if word not in page]
