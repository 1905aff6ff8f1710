"""What an entry of the control group looks like: one row of fields for each kind. Pure.

Whoever proposes an entry checks it, and every replica checks it again before it applies it: what does not fit is then
an outcome, the same everywhere, and never an exception in one replica or in all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from casty.address import MAX_PORT
from casty.cluster.offers import WHOLE
from casty.errors import RemoteProtocolError
from casty.limits import MAX_GENERATION, MAX_NUMBER, MAX_REGION_NAME_BYTES, MAX_TEXT_BYTES
from casty.settings import BOUNDS
from casty.wire.pack import pack, unpack

__all__ = ["FOUND", "JOIN", "REGION", "SCHEMAS", "SERVICE", "SILENT", "STATUS", "check_entry", "check_join"]

FOUND, JOIN, STATUS, REGION, SERVICE, SILENT = 1, 2, 3, 4, 5, 6
STATUSES = ("joining", "up", "leaving", "down", "removed")


class Rule(Protocol):
    """What a field must be."""

    def fits(self, value: object) -> bool:
        """Whether a value is such a one."""
        ...

    def __str__(self) -> str:
        """Return what is expected, to read behind "expected"."""
        ...


class Text(NamedTuple):
    """A text that can be written as UTF-8, of one byte at least."""

    max_bytes: int

    def fits(self, value: object) -> bool:
        """See `Rule`."""
        return type(value) is str and 0 < _utf8_length(value) <= self.max_bytes

    def __str__(self) -> str:
        return f"a text of 1 to {self.max_bytes} bytes"


class Number(NamedTuple):
    """An integer, both bounds included."""

    low: int
    high: int

    def fits(self, value: object) -> bool:
        """See `Rule`."""
        return type(value) is int and self.low <= value <= self.high

    def __str__(self) -> str:
        return f"a number from {self.low} to {self.high}"


class OneOf(NamedTuple):
    """One of a few values, of exactly their type."""

    values: tuple[object, ...]

    def fits(self, value: object) -> bool:
        """See `Rule`."""
        return any(type(value) is type(known) and value == known for known in self.values)

    def __str__(self) -> str:
        return f"one of {list(self.values)}"


class Row(NamedTuple):
    """A list of so many fields."""

    rules: tuple[Rule, ...]

    def fits(self, value: object) -> bool:
        """See `Rule`."""
        if not isinstance(value, list) or len(value) != len(self.rules):
            return False
        return all(rule.fits(field) for rule, field in zip(self.rules, value, strict=True))

    def __str__(self) -> str:
        return f"a list of {', '.join(map(str, self.rules))}"


class Rows(NamedTuple):
    """A list of rows that are alike."""

    row: Row
    least: int = 0

    def fits(self, value: object) -> bool:
        """See `Rule`."""
        return isinstance(value, list) and len(value) >= self.least and all(map(self.row.fits, value))

    def __str__(self) -> str:
        return f"{self.least} or more rows, each {self.row}"


class Fields(NamedTuple):
    """A dictionary of these keys."""

    rules: Mapping[str, Rule]

    def fits(self, value: object) -> bool:
        """See `Rule`."""
        if not isinstance(value, dict) or value.keys() != self.rules.keys():
            return False
        return all(rule.fits(value[key]) for key, rule in self.rules.items())

    def __str__(self) -> str:
        return "a dictionary of " + ", ".join(f"{key}: {rule}" for key, rule in self.rules.items())


class Agreed(NamedTuple):
    """A dictionary of settings, of this version or another, with those in it that every version needs."""

    needed: tuple[str, ...]

    def fits(self, value: object) -> bool:
        """See `Rule`."""
        if not isinstance(value, dict) or not all(_is_setting(item) for item in value.values()):
            return False
        return all(_is_number(value.get(name)) for name in self.needed)

    def __str__(self) -> str:
        return f"a dictionary of numbers, words and truth values, with numbers from 0 for {', '.join(self.needed)}"


def _is_setting(value: object) -> bool:
    if type(value) is int:
        return abs(value) <= MAX_NUMBER
    return type(value) in (bool, float) or NAME.fits(value)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= MAX_NUMBER


def _utf8_length(text: str) -> int:
    try:
        return len(text.encode())
    except UnicodeEncodeError:
        return 0  # half of a surrogate pair: it cannot be sent on


def _bounds(name: str) -> Number:
    bound = BOUNDS[name]
    return Number(int(bound.low), int(bound.high))


NAME = Text(MAX_TEXT_BYTES)
ANY_TEXT = Text(MAX_NUMBER)
"""Of an instance of a service; what is too long for the registry is refused there, instance by instance."""
COUNT = Number(0, MAX_NUMBER)
TRUTH = OneOf((False, True))
IDENTITY = (NAME, NAME, NAME, Number(1, MAX_PORT))

SCHEMAS: dict[int, Row] = {
    FOUND: Row(
        (
            Fields(
                {
                    "id": NAME, "founder": NAME, "name": NAME, "generation": Number(1, MAX_GENERATION),
                    "cluster_id": NAME, "slots": _bounds("slots"), "replication": _bounds("replication"),
                    "settings": Agreed(("session_ttl_s", "drift")), "founders": Rows(Row(IDENTITY), least=1),
                }
            ),
        )
    ),
    JOIN: Row(IDENTITY),
    STATUS: Row((NAME, NAME, OneOf(STATUSES))),
    REGION: Row((Text(MAX_REGION_NAME_BYTES), Number(1, MAX_NUMBER))),
    SERVICE: Row((NAME, NAME, Number(WHOLE, MAX_NUMBER), COUNT, Rows(Row((ANY_TEXT, ANY_TEXT, TRUTH))))),
    SILENT: Row((NAME, NAME, TRUTH)),
}  # fmt: skip


def check_entry(data: bytes) -> list[Any]:
    """Return the decoded entry; raises `RemoteProtocolError` for anything that is none.

    The error names the first field that does not fit, and not what was found: that may be of any size.
    """
    entry = unpack(data)
    if not isinstance(entry, list) or not entry or type(entry[0]) is not int:
        raise RemoteProtocolError("control entry: expected a list that starts with a number")
    schema = SCHEMAS.get(entry[0])
    if schema is None:
        raise RemoteProtocolError(f"control entry: expected a kind from {min(SCHEMAS)} to {max(SCHEMAS)}")
    rules, fields = schema.rules, entry[1:]
    if len(fields) != len(rules):
        raise RemoteProtocolError(
            f"control entry {entry[0]}: expected {len(rules)} fields, found {len(fields)}"
        )
    for number, (rule, value) in enumerate(zip(rules, fields, strict=True), 1):
        if not rule.fits(value):
            raise RemoteProtocolError(
                f"control entry {entry[0]}, field {number}: expected {rule}, found something else, "
                f"a {type(value).__name__}"
            )
    return entry


def check_join(body: bytes) -> list[Any]:
    """Return the fields of a JOIN frame, which are those of the entry; raises `RemoteProtocolError`."""
    fields = unpack(body)
    if not isinstance(fields, list):
        raise RemoteProtocolError("join: expected a list of fields")
    return check_entry(pack([JOIN, *fields]))[1:]
