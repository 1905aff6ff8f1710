"""The files that a command is given: its configuration, and the shared secret."""

from __future__ import annotations

from pathlib import Path

from casty.config_file import CastyConfig, load_config
from casty.errors import ConfigError
from casty.secret import Secrets

__all__ = ["read_config", "read_secrets"]


def read_config(path: str | None) -> CastyConfig:
    """Read the configuration; `ConfigError` when there is no such file, as for anything else in it."""
    try:
        return load_config(path)
    except OSError as error:
        raise ConfigError(f"cannot read the configuration {error.filename}: {error.strerror}") from None


def read_secrets(path: str | None) -> Secrets | None:
    """Read the secrets of a file, one a line; None for no file, `ConfigError` for one that cannot be read."""
    if path is None:
        return None
    try:
        return Secrets.of_lines(f"--secret-file {path}", Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"--secret-file: cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"--secret-file {path}: expected text in UTF-8") from None
