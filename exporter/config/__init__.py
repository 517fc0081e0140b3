"""The configuration file: YAML text to a frozen `Config`, or one `ConfigError` with every problem.

Text → `tree` (values with places) → `document` (what the YAML says) → `settings` (what the program
uses); `loader` goes that way. Of the files that one names only bucket files and those for TLS are
opened here; those that hold tokens and passwords only where a person asks for it (`audited`).
"""

from exporter.config.loader import audited, load, parse
from exporter.config.problems import ConfigError, Problem
from exporter.config.settings import Account, Config, Discovery, Limits, Login, TlsConfig
from exporter.config.sources import Sources

__all__ = [
    "Account",
    "Config",
    "ConfigError",
    "Discovery",
    "Limits",
    "Login",
    "Problem",
    "Sources",
    "TlsConfig",
    "audited",
    "load",
    "parse",
]
