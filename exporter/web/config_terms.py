"""The words of exporter-toolkit's web configuration, and what they are to Python's ssl.

Tables only. A word that is in the format and that this server cannot honour stands here with the
reason, so that it is refused by name.
"""

from __future__ import annotations

import ssl

TOP_KEYS = ("tls_server_config", "http_server_config", "basic_auth_users")
HTTP_KEYS = ("http2", "headers")
TLS_KEYS = (
    *("cert_file", "key_file", "client_auth_type", "client_ca_file", "client_ca"),
    *("client_allowed_sans", "min_version", "max_version", "cipher_suites"),
    *("prefer_server_cipher_suites", "curve_preferences"),
)

KEYS_NOT_HONOURED = {
    "rate_limit": "this server has no rate limit: remove it, and see --web.max-requests",
    "cert": "Python reads the server's certificate from a file only: write cert_file",
    "key": "Python reads the server's key from a file only: write key_file",
}

AUTH_TYPES = {
    "NoClientCert": ssl.CERT_NONE,
    "VerifyClientCertIfGiven": ssl.CERT_OPTIONAL,
    "RequireAndVerifyClientCert": ssl.CERT_REQUIRED,
}
AUTH_TYPES_NOT_HONOURED = dict.fromkeys(
    ("RequestClientCert", "RequireAnyClientCert", "RequireClientCert"),
    "Python's ssl does not take certificates without verifying them: "
    "write RequireAndVerifyClientCert or VerifyClientCertIfGiven",
)

VERSIONS = {"TLS12": ssl.TLSVersion.TLSv1_2, "TLS13": ssl.TLSVersion.TLSv1_3}
VERSIONS_NOT_HONOURED = dict.fromkeys(
    ("TLS10", "TLS11"), "today's OpenSSL has it switched off: write TLS12 or TLS13"
)

SWITCH = {"true": True, "false": False}
HTTP2 = {"false": False}
HTTP2_NOT_HONOURED = {"true": "this server speaks HTTP/1.1 only: write false, or remove the key"}

CURVES = {
    "CurveP256": "prime256v1",
    "CurveP384": "secp384r1",
    "CurveP521": "secp521r1",
    "X25519": "X25519",
}

CIPHER_SUITES = {
    f"TLS_ECDHE_{key}_WITH_{go}": f"ECDHE-{key}-{openssl}"
    for key in ("ECDSA", "RSA")
    for go, openssl in {
        "AES_128_GCM_SHA256": "AES128-GCM-SHA256",
        "AES_256_GCM_SHA384": "AES256-GCM-SHA384",
        "CHACHA20_POLY1305_SHA256": "CHACHA20-POLY1305",
        "AES_128_CBC_SHA": "AES128-SHA",
        "AES_256_CBC_SHA": "AES256-SHA",
    }.items()
} | dict.fromkeys(
    ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"), ""
)
"""Go's names to OpenSSL's; those of TLS 1.3 have none, since they are never chosen, as in Go."""

HEADERS: dict[str, tuple[str, ...]] = {
    "Content-Security-Policy": (),
    "Strict-Transport-Security": (),
    "X-Content-Type-Options": ("nosniff",),
    "X-Frame-Options": ("deny", "sameorigin"),
    "X-XSS-Protection": (),
}
"""The headers that may be set, each with its values where only some may be."""
