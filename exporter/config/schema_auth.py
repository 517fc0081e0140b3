"""The part of the YAML for access to the API: tokens, logins, TLS, proxies.

One pydantic model per mapping; descriptions and examples are used as in `schema`. `tls` checks the
files, `rules` what needs more than one key.
"""

from __future__ import annotations

from pydantic import ConfigDict, Field

from exporter.config.fields import (
    Credentials,
    Email,
    FilePath,
    Host,
    NoProxy,
    Password,
    ProxyUrl,
    StrictMapping,
    Switch,
    TlsVersion,
)


class AuthorizationDocument(StrictMapping):
    """The bearer token. Exactly one of the two keys is required."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [{"required": ["credentials"]}, {"required": ["credentials_file"]}]
        }
    )

    credentials: Credentials = Field(
        None,
        description="The token, ideally a variable. Inside `{…}` or `[…]`, quote the variable. "
        "Default: none.",
        examples=["${FLASHBACK_TOKEN}"],
    )
    credentials_file: FilePath = Field(
        None,
        description="A file that contains only the token; surrounding white space is removed. "
        "A change is read within 2 seconds, and at once when the API refuses the token. "
        "Default: none.",
        examples=["token"],
    )


class LoginDocument(StrictMapping):
    """The user that logs in. email and exactly one of the other two keys are required."""

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [{"required": ["password"]}, {"required": ["password_file"]}]}
    )

    email: Email = Field(
        description="The e-mail address of the user. The user must not have MFA.",
        examples=["ops@example.com"],
    )
    password: Password = Field(
        None,
        description="The password, ideally a variable. Used literally, white space included. "
        "Inside `{…}` or `[…]`, quote the variable. Default: none.",
        examples=["${FLASHBACK_PASSWORD}"],
    )
    password_file: FilePath = Field(
        None,
        description="A file that contains only the password; surrounding white space is removed. "
        "A change is read within 2 seconds. Default: none.",
        examples=["password"],
    )


class TlsDocument(StrictMapping):
    """TLS settings for an https:// base_url. Every key is optional."""

    model_config = ConfigDict(
        json_schema_extra={
            "dependentRequired": {"cert_file": ["key_file"], "key_file": ["cert_file"]}
        }
    )

    ca_file: FilePath = Field(
        None,
        description="A PEM file with the CA certificates to trust. The content is read on reload. "
        "Default: the system's CA certificates.",
        examples=["ca.pem"],
    )
    cert_file: FilePath = Field(
        None,
        description="A PEM file with the client certificate. Requires `key_file`. The content is "
        "read on reload. Default: none.",
        examples=["client.pem"],
    )
    key_file: FilePath = Field(
        None,
        description="A PEM file with the private key of `cert_file`, without a passphrase. "
        "Requires `cert_file`. The content is read on reload. Default: none.",
        examples=["client.key"],
    )
    server_name: Host = Field(
        None,
        description="The name to verify in the API's certificate, also sent as SNI. "
        "Default: the host of `base_url`.",
        examples=["api.example.com"],
    )
    min_version: TlsVersion = Field(
        None,
        description="The oldest TLS version to accept: `TLS12` or `TLS13`, and `TLS10` or `TLS11` "
        "if the machine's OpenSSL allows them. Default: Python's default, usually `TLS12`.",
        examples=["TLS13"],
    )
    insecure_skip_verify: Switch = Field(
        default=False,
        description="Accept any certificate. Anyone on the network path can then read the token: "
        "for test networks only.",
        examples=[True],
    )


class ProxyDocument(StrictMapping):
    """How an account reaches the API through a proxy. Without these keys no proxy is used."""

    proxy_url: ProxyUrl = Field(
        None,
        description="The proxy: `http(s)://[user:password@]host[:port]`. Percent-encode special "
        "characters in the password. Default: none.",
        examples=["http://exporter:${PROXY_PASSWORD}@proxy.example.com:3128"],
    )
    no_proxy: NoProxy = Field(
        None,
        description="Hosts to reach without `proxy_url`, separated by commas: `*`, `10.0.0.0/8`, "
        "`10.1.2.3:443`, `example.com` (with its subdomains), `.example.com` (only its "
        "subdomains). Requires `proxy_url`. Default: none.",
        examples=["10.0.0.0/8, .example.com"],
    )
    proxy_from_environment: Switch = Field(
        default=False,
        description="Take the proxy from the environment variables `HTTPS_PROXY`, `HTTP_PROXY` and "
        "`NO_PROXY`, instead of `proxy_url` and `no_proxy`.",
        examples=[True],
    )
