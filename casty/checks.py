"""Checks of what callers pass in: each says what was expected and what was found."""

from __future__ import annotations

__all__ = ["check_name", "check_seconds", "check_timeout"]

LONGEST_S = 1e30
"""More is not finite in nanoseconds, or soon."""


def check_name(name: object, what: str = "name") -> None:
    """Raise `TypeError` or `ValueError` unless `name` is a text that can name something and travel."""
    if not isinstance(name, str):
        raise TypeError(f"{what}: expected a text, found {name!r:.100}")
    if not name:
        raise ValueError(f"{what}: expected at least one character, found an empty text")
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"{what}: expected a text that UTF-8 can encode, found {name!r:.100}") from error


def check_timeout(timeout_s: object) -> None:
    """Raise `TypeError` or `ValueError` unless it is None or a number of seconds."""
    if timeout_s is not None:
        _check_seconds(timeout_s, " or None", ", or None to wait for ever")


def check_seconds(timeout_s: object) -> None:
    """Raise `TypeError` or `ValueError` unless it is a number of seconds."""
    _check_seconds(timeout_s, "", "")


def _check_seconds(timeout_s: object, kind: str, advice: str) -> None:
    if isinstance(timeout_s, bool) or not isinstance(timeout_s, (int, float)):
        raise TypeError(f"timeout: expected seconds{kind}, found {timeout_s!r:.100}")
    if not 0 <= timeout_s <= LONGEST_S:
        raise ValueError(f"timeout: expected finite seconds >= 0{advice}; found {timeout_s!r:.100}")
