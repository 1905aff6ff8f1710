"""What an entry of the control group looks like: one row of fields for each kind. Pure.

Whoever proposes an entry checks it, and every replica checks it again before it applies it: what does not fit is then
an outcome, the same everywhere, and never an exception in one replica or in all of them.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from casty.address import MAX_PORT
from casty.cluster.control.service_offers import WHOLE
from casty.errors import RemoteProtocolError
from casty.limits import (
    MAX_GENERATION,
    MAX_NUMBER,
    MAX_POOL_SLOTS,
    MAX_POOLS,
    MAX_REGION_NAME_BYTES,
    MAX_REGIONS,
    MAX_TEXT_BYTES,
)
from casty.schema import Fields, Maybe, Number, OneOf, Row, Rows, Rule, Tagged, Test, Text, compiled, flaw
from casty.settings import BOUNDS
from casty.traits import MAX_ROLES, MAX_TRAIT_BYTES, MAX_WEIGHT
from casty.wire.pack import pack, unpack

__all__ = [
    "ENTRIES", "FORGET", "FOUND", "HELD", "JOIN", "MAX_FORMER_CLUSTERS", "MAX_FORMER_MEMBERS", "PLACE",
    "REGION", "SERVICE", "SILENT", "STATUS", "TAKEN_OVER", "Agreed", "check_entry", "check_join",
]  # fmt: skip

FOUND, JOIN, STATUS, REGION, SERVICE, SILENT, PLACE, HELD, FORGET = 1, 2, 3, 4, 5, 6, 7, 8, 9
MAX_FORMER_CLUSTERS = 16
"""Former generations that a recovered one names, the latest ones."""
MAX_FORMER_MEMBERS = 1024
"""Addresses of their members: more than a cluster has members."""
STATUSES = ("joining", "up", "leaving", "down", "removed")


class Agreed(NamedTuple):
    """A dictionary of settings, of this version or another, with those in it that every version needs."""

    needed: tuple[str, ...]

    @property
    def types(self) -> tuple[type, ...]:
        """See `Rule`."""
        return (dict,)

    def test(self) -> Test:
        """See `Rule`."""
        needed = self.needed
        return lambda value: (
            type(value) is dict
            and all(map(_is_setting, value.values()))
            and all(_is_number(value.get(name)) for name in needed)
        )

    def __str__(self) -> str:
        return f"a dictionary of numbers, words and truth values, with numbers from 0 for {', '.join(self.needed)}"


def _is_setting(value: object) -> bool:
    if type(value) is int:
        return abs(value) <= MAX_NUMBER
    return type(value) in (bool, float) or _is_name(value)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= MAX_NUMBER


def _bounds(name: str) -> Number:
    bound = BOUNDS[name]
    return Number(int(bound.low), int(bound.high))


NAME = Text(MAX_TEXT_BYTES)
_is_name = compiled(NAME)
ANY_TEXT = Text(MAX_NUMBER)
"""Of an instance of a service; what is too long for the registry is refused there, instance by instance."""
COUNT = Number(0, MAX_NUMBER)
TRUTH = OneOf((False, True))
FORMER = Fields(
    {
        "clusters": Rows(Row((NAME, Number(1, MAX_GENERATION))), most=MAX_FORMER_CLUSTERS),
        "members": Rows(Row((NAME, Number(1, MAX_PORT))), most=MAX_FORMER_MEMBERS),
    }
)
"""Of which generations a recovered one takes the place, (cluster id, generation), and where their members listened."""
TRAIT = Text(MAX_TRAIT_BYTES)
TRAITS = Row((Maybe(TRAIT), Number(1, MAX_WEIGHT), Rows(TRAIT, most=MAX_ROLES)))
REGION_FIELDS = Row((Text(MAX_REGION_NAME_BYTES), Number(1, MAX_NUMBER), Maybe(TRAIT)))
"""A region, its shard count, and the role that it is limited to."""
TAKEN_OVER: dict[str, Rule] = {
    "regions": Rows(REGION_FIELDS, most=MAX_REGIONS),
    "pools": Rows(Row((TRAIT, Number(1, MAX_POOL_SLOTS))), most=MAX_POOLS),
}
"""By what the logs of entities are found: a cluster made out of another one has them from the beginning. Pools are in
the order of their slots, each with how many it has."""
IDENTITY = (NAME, NAME, NAME, Number(1, MAX_PORT), TRAITS)

ENTRIES = Tagged({
    FOUND: Row(
        (
            Fields(
                {
                    "id": NAME, "founder": NAME, "name": NAME, "generation": Number(1, MAX_GENERATION),
                    "cluster_id": NAME, "slots": _bounds("slots"), "replication": _bounds("replication"),
                    "settings": Agreed(("session_ttl_s", "drift")), "founders": Rows(Row(IDENTITY), least=1),
                },
                {"former": FORMER, **TAKEN_OVER},
            ),
        )
    ),
    JOIN: Row(IDENTITY),
    STATUS: Row((NAME, NAME, OneOf(STATUSES))),
    REGION: REGION_FIELDS,
    SERVICE: Row((NAME, NAME, Number(WHOLE, MAX_NUMBER), COUNT, Rows(Row((ANY_TEXT, ANY_TEXT, TRUTH))))),
    SILENT: Row((NAME, NAME, TRUTH)),
    PLACE: Row((COUNT, COUNT, NAME, NAME)),
    HELD: Row((COUNT, COUNT, COUNT, COUNT, Rows(NAME, least=1), COUNT)),
    FORGET: Row((NAME, NAME)),
})  # fmt: skip
"""By kind; `control` says what the fields are."""

_is_entry = compiled(ENTRIES)


def check_entry(data: bytes) -> list[Any]:
    """Return the decoded entry; raises `RemoteProtocolError` for anything that is none.

    The error names the first field that does not fit, and not what was found: that may be of any size.
    """
    entry: Any = unpack(data)
    if not _is_entry(entry):
        raise RemoteProtocolError(flaw(ENTRIES, entry, "control entry") or "control entry: it fits no schema")
    checked: list[Any] = entry
    return checked


def check_join(body: bytes) -> list[Any]:
    """Return the fields of a JOIN frame, which are those of the entry; raises `RemoteProtocolError`."""
    fields = unpack(body)
    if not isinstance(fields, list):
        raise RemoteProtocolError("join: expected a list of fields")
    return check_entry(pack([JOIN, *fields]))[1:]
