"""Checks of what callers pass in: each says what was expected and what was found."""

from __future__ import annotations

from operator import index

__all__ = [
    "check_callable", "check_count", "check_integer", "check_name", "check_seconds", "check_text", "check_timeout",
    "shown",
]  # fmt: skip

LONGEST_S = 1e30
"""More is not finite in nanoseconds, or soon."""


def shown(value: object, most: int = 100) -> str:
    """Return the `repr` of something that is not ours, at most so long, for the text of an error; never raises.

    Examples
    --------
    >>> shown("a" * 10, 5)
    "'aaaa"
    """
    try:
        return repr(value)[:most]
    except Exception as error:
        kind = type(value)
        return f"<{kind.__module__}.{kind.__qualname__}, whose repr raised {type(error).__qualname__}>"


def check_integer(name: str, value: int) -> int:
    """Return `value` as an int; `TypeError` unless it is one."""
    try:
        return int(index(value))
    except TypeError:
        raise TypeError(f"{name}: expected an int, found {shown(value)}") from None


def check_count(name: str, value: int, least: int) -> int:
    """Return `value` as an int; `TypeError` or `ValueError` unless it is one and at least `least`."""
    count = check_integer(name, value)
    if count < least:
        raise ValueError(f"{name}: expected at least {least}, found {shown(count)}")
    return count


def check_text(text: object, what: str) -> None:
    """Raise `TypeError` or `ValueError` unless it is a text that can travel."""
    if not isinstance(text, str):
        raise TypeError(f"{what}: expected a text, found {shown(text)}")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"{what}: expected a text that UTF-8 can encode, found {shown(text)}") from error


def check_name(name: object, what: str = "name") -> None:
    """Raise `TypeError` or `ValueError` unless it is a text that can name something and travel."""
    check_text(name, what)
    if not name:
        raise ValueError(f"{what}: expected at least one character, found an empty text")


def check_callable(value: object, what: str) -> None:
    """Raise `TypeError` unless it can be called."""
    if not callable(value):
        raise TypeError(f"{what}: expected a function, found {shown(value)}")


def check_timeout(timeout_s: object) -> None:
    """Raise `TypeError` or `ValueError` unless it is None or a number of seconds."""
    if timeout_s is not None:
        _check_seconds(timeout_s, " or None", ", or None to wait for ever")


def check_seconds(timeout_s: object) -> None:
    """Raise `TypeError` or `ValueError` unless it is a number of seconds."""
    _check_seconds(timeout_s, "", "")


def _check_seconds(timeout_s: object, kind: str, advice: str) -> None:
    if isinstance(timeout_s, bool) or not isinstance(timeout_s, (int, float)):
        raise TypeError(f"timeout: expected seconds{kind}, found {shown(timeout_s)}")
    if not 0 <= timeout_s <= LONGEST_S:
        raise ValueError(f"timeout: expected finite seconds >= 0{advice}; found {shown(timeout_s)}")
