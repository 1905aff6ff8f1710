"""The configuration that a command is given."""

from __future__ import annotations

from casty.config_file import CastyConfig, load_config
from casty.errors import ConfigError

__all__ = ["read_config"]


def read_config(path: str | None) -> CastyConfig:
    """Read the configuration; `ConfigError` when there is no such file, as for anything else in it."""
    try:
        return load_config(path)
    except OSError as error:
        raise ConfigError(f"cannot read the configuration {error.filename}: {error.strerror}") from None
