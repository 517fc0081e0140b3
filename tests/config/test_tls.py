"""TLS files are checked when the configuration is loaded."""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from exporter.config import TlsConfig, load
from tests.config.samples import ACCOUNT, ENVIRON, load_problems, written

OTHER_KEY = "this key does not match the certificate in cert_file"


@pytest.fixture(scope="module")
def pems(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a CA, several key pairs, and unusable files."""
    directory = tmp_path_factory.mktemp("pems")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(directory / "ca.pem")
    kinds = {
        "ec": trustme.KeyType.ECDSA,
        "other": trustme.KeyType.ECDSA,
        "rsa": trustme.KeyType.RSA,
    }
    for name, kind in kinds.items():
        pair = authority.issue_cert("client.example.com", key_type=kind)
        pair.cert_chain_pems[0].write_to_path(directory / f"{name}.pem")
        pair.private_key_pem.write_to_path(directory / f"{name}.key")
    (directory / "empty.pem").touch()
    (directory / "locked.key").write_bytes(locked((directory / "ec.key").read_bytes()))
    return directory


def locked(key: bytes) -> bytes:
    """The same private key, encrypted with a passphrase."""
    return load_pem_private_key(key, None).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"hunter2")
    )


def config_file(directory: Path, files: Mapping[str, str]) -> Path:
    """A configuration file with these TLS files, of which the first is in line 6."""
    lines = "".join(f"      {key}: {file}\n" for key, file in files.items())
    return written(directory, f"{ACCOUNT}    tls_config:\n{lines}")


def test_usable_files_are_named(pems: Path) -> None:
    """Valid TLS files are in the settings and in the watched files."""
    files = {"ca_file": "ca.pem", "cert_file": "ec.pem", "key_file": f"{pems}/ec.key"}
    path = config_file(pems, files)
    config = load(path, ENVIRON)
    expected = (pems / "ca.pem", pems / "ec.pem", pems / "ec.key")
    assert config.accounts[0].tls == TlsConfig(*expected, None, None, insecure_skip_verify=False)
    assert config.sources.tls.keys() == set(expected)


@pytest.mark.parametrize(
    ("cert", "key", "line", "fault"),
    [
        ("ec.pem", "other.key", 7, f"key_file: {OTHER_KEY}"),
        ("ec.pem", "rsa.key", 7, f"key_file: {OTHER_KEY}"),
        ("ec.pem", "locked.key", 7, "key_file: this key has a passphrase"),
        ("ec.pem", "ec.pem", 7, "key_file: this file has no PEM private key"),
        ("ec.pem", "gone.key", 7, "key_file: this file cannot be read (No such file"),
        ("ec.key", "ec.key", 6, "cert_file: this file has no PEM certificate"),
        ("empty.pem", "ec.key", 6, "cert_file: this file has no PEM certificate"),
        ("gone.pem", "ec.key", 6, "cert_file: this file cannot be read (No such file"),
    ],
)
def test_unusable_pair_is_a_problem(pems: Path, cert: str, key: str, line: int, fault: str) -> None:
    """An unusable certificate or key is reported at the key that names it."""
    (problem,) = load_problems(config_file(pems, {"cert_file": cert, "key_file": key}))
    assert problem.startswith(f"config.yaml:{line}: accounts[0].tls_config.{fault}")


@pytest.mark.parametrize("key", ["ca_file", "cert_file", "key_file"])
def test_pipe_is_a_problem_and_hangs_nothing(pems: Path, tmp_path: Path, key: str) -> None:
    """A FIFO as TLS file is rejected without hanging."""
    os.mkfifo(tmp_path / "fifo")
    files = {
        "ca_file": f"{pems}/ca.pem",
        "cert_file": f"{pems}/ec.pem",
        "key_file": f"{pems}/ec.key",
    }
    path = config_file(tmp_path, files | {key: "fifo"})
    (problem,) = load_problems(path)
    assert f"accounts[0].tls_config.{key}: this file cannot be read (it is not a" in problem


@pytest.mark.parametrize("name", ["x" * 300, "ca.pem/x"])
def test_name_of_no_file_is_a_problem(pems: Path, name: str) -> None:
    """A TLS file name that cannot exist is reported at its key."""
    (problem,) = load_problems(config_file(pems, {"ca_file": name}))
    assert problem.startswith("config.yaml:6: accounts[0].tls_config.ca_file: this file cannot")


def context_with(ciphers: str) -> ssl.SSLContext:
    """A context with these cipher suites, independent of the machine."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_ciphers(ciphers)
    return context


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1:DeprecationWarning")
@pytest.mark.parametrize("version", ["TLS10", "TLS11"])
def test_old_versions_are_taken_where_openssl_allows_them(
    version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TLS 1.0 and 1.1 are errors if OpenSSL has no cipher suites for them."""
    path = config_file(tmp_path, {"min_version": version})
    monkeypatch.setattr("exporter.config.tls._context", lambda: context_with("ECDHE+AESGCM"))
    (problem,) = load_problems(path)
    assert problem == (
        "config.yaml:6: accounts[0].tls_config.min_version: Python's OpenSSL on this "
        "machine has no cipher suites for this version: write TLS12 or TLS13"
    )
    monkeypatch.setattr("exporter.config.tls._context", lambda: context_with("ALL:@SECLEVEL=0"))
    if ssl.HAS_TLSv1 and ssl.HAS_TLSv1_1:
        assert load(path, ENVIRON).accounts[0].tls.min_version in {
            ssl.TLSVersion.TLSv1,
            ssl.TLSVersion.TLSv1_1,
        }


def test_certificates_stand_between_other_text(pems: Path, tmp_path: Path) -> None:
    """A CA file may contain other text between certificates, in any encoding."""
    heading = "Autorité, é\n".encode("latin-1")
    (tmp_path / "bundle.pem").write_bytes(heading + (pems / "ca.pem").read_bytes())
    assert load(config_file(tmp_path, {"ca_file": "bundle.pem"}), ENVIRON).accounts


def test_other_content_makes_another_configuration(pems: Path, tmp_path: Path) -> None:
    """A changed TLS file makes the configuration unequal; the same content, rewritten, does not."""
    path, file = config_file(tmp_path, {"ca_file": "copy.pem"}), tmp_path / "copy.pem"
    file.write_bytes((pems / "ca.pem").read_bytes())
    before = load(path, ENVIRON)
    file.write_bytes((pems / "ca.pem").read_bytes())
    assert load(path, ENVIRON) == before
    file.write_bytes((pems / "ec.pem").read_bytes())
    assert load(path, ENVIRON) != before


def test_files_are_tried_beside_other_problems(pems: Path) -> None:
    """All bad TLS files are reported, even next to other problems."""
    files = {"ca_file": "ec.key", "cert_file": "rsa.pem", "key_file": "ec.key", "cafile": "x"}
    assert [problem.split(": ")[1] for problem in load_problems(config_file(pems, files))] == [
        "accounts[0].tls_config.ca_file",
        "accounts[0].tls_config.key_file",
        "accounts[0].tls_config",
    ]
