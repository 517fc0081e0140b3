"""The configuration file: YAML text to a frozen `Config`, or one `ConfigError` with every problem.

Text → `yaml_tree` (values with line numbers) → `schema` (the YAML's structure) → `settings` (what
the program uses); `loader` runs these steps. Bucket files and TLS files are read here; files with
tokens and passwords only by `load_and_check`, for the command `check`.
"""

from exporter.config.loader import load, load_and_check, parse
from exporter.config.problems import ConfigError, Problem
from exporter.config.settings import Account, Config, Discovery, Limits, Login, TlsConfig, proxy_url
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
    "load",
    "load_and_check",
    "parse",
    "proxy_url",
]
