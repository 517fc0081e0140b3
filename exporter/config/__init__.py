"""The configuration file: YAML text to a frozen `Config`, or one `ConfigError` with every problem.

Text → `tree` (values with places) → `document` (what the YAML says) → `settings` (what the program
uses); `loader` goes that way. Nothing that a file names is read or opened here.
"""

from exporter.config.demand import Demand, demand, shortages
from exporter.config.loader import load, parse
from exporter.config.problems import ConfigError, Problem
from exporter.config.settings import Account, Config, Limits

__all__ = [
    "Account",
    "Config",
    "ConfigError",
    "Demand",
    "Limits",
    "Problem",
    "demand",
    "load",
    "parse",
    "shortages",
]
