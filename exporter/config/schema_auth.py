"""How an account gets to the API, as the YAML says it: tokens, logins, TLS, proxies.

One pydantic model per mapping. Whether files are what they should be is seen in `tls`; rules that
need more than one key live in `rules`.
"""

from __future__ import annotations

from pydantic import ConfigDict, Field

from exporter.config.fields import (
    Credentials,
    Email,
    Host,
    Name,
    NoProxy,
    Password,
    ProxyUrl,
    StrictMapping,
    Switch,
    TlsVersion,
)


class AuthorizationDocument(StrictMapping):
    """Where the bearer token comes from: exactly one of the two keys."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [{"required": ["credentials"]}, {"required": ["credentials_file"]}]
        }
    )

    credentials: Credentials = Field(
        None,
        description='The token itself, or better a variable: "${FLASHBACK_TOKEN}", '
        "in quotes where it stands in {…}.",
    )
    credentials_file: Name[str | None] = Field(
        None,
        description="A file that holds the token, relative to this one. "
        "White space around the token is trimmed.",
    )


class LoginDocument(StrictMapping):
    """Who logs in to get tokens: the address and exactly one of the two passwords."""

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [{"required": ["password"]}, {"required": ["password_file"]}]}
    )

    email: Email = Field(description="The e-mail address of the user.")
    password: Password = Field(
        None,
        description='The password itself, taken literally, or better a variable: "${PASSWORD}", '
        "in quotes where it stands in {…}.",
    )
    password_file: Name[str | None] = Field(
        None,
        description="A file that holds the password, relative to this one. "
        "White space around the password is trimmed.",
    )


class TlsDocument(StrictMapping):
    """What is particular about the TLS connections to an https:// base_url."""

    model_config = ConfigDict(
        json_schema_extra={
            "dependentRequired": {"cert_file": ["key_file"], "key_file": ["cert_file"]}
        }
    )

    ca_file: Name[str | None] = Field(
        None,
        description="A PEM file with the certificates of the authorities to trust, relative to "
        "this one. Default: those that the system trusts.",
    )
    cert_file: Name[str | None] = Field(
        None,
        description="A PEM file with the exporter's own certificate, relative to this one. "
        "Together with key_file.",
    )
    key_file: Name[str | None] = Field(
        None,
        description="A PEM file with the private key to cert_file, without a passphrase, "
        "relative to this one.",
    )
    server_name: Host = Field(
        None,
        description="The name that the API's certificate must have. Default: base_url's host.",
    )
    min_version: TlsVersion = Field(
        None,
        description="The oldest version of TLS that is spoken: TLS12 or TLS13, and TLS10 or TLS11 "
        "where the machine's OpenSSL allows them. Default: Python's own, usually TLS12.",
    )
    insecure_skip_verify: Switch = Field(
        default=False,
        description="Accept any certificate: whoever is in between gets the token. "
        "For test networks only.",
    )


class ProxyDocument(StrictMapping):
    """Through which proxy an account reaches the API, if through any.

    A URL, perhaps with exceptions from it, or what the environment says.
    """

    proxy_url: ProxyUrl = Field(
        None,
        description="The proxy: http(s)://[user:password@]host[:port]. Default: none.",
    )
    no_proxy: NoProxy = Field(
        None,
        description="Hosts that are reached without proxy_url, between commas, as NO_PROXY has "
        "them: *, 10.0.0.0/8, 10.1.2.3:443, example.com with its subdomains, .example.com for "
        "those alone.",
    )
    proxy_from_environment: Switch = Field(
        default=False,
        description="Take the proxy from HTTPS_PROXY, HTTP_PROXY and NO_PROXY. "
        "In place of proxy_url and no_proxy.",
    )
