"""What changed between two versions of a topology, as a plain value for the wire. Pure.

Layout: ``[base version, version, members, members gone, slots, regions, regions gone, services, hints]``. Members are
whole rows, slots ``[number, epoch, node ids]``, regions a dictionary; services hold per key ``[uris gone, new rows]``.
A version is the same on every node, so a delta fits every observer that has its base.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from casty.cluster.control.topology import MemberInfo, Topology
from casty.errors import RemoteProtocolError

__all__ = ["DELTA", "WHOLE", "delta_of", "hints_of_delta", "patched"]

WHOLE, DELTA = 0, 1
"""What a ``TOPOLOGY`` document is, in front of the value: a topology, or a delta."""

Rows = tuple[tuple[str, str], ...]


def delta_of(base: Topology, new: Topology, slots: Iterable[int]) -> list[object] | None:
    """Return what makes `new` of `base`, with the hints of `slots`; None where only the whole says it.

    The whole is needed between clusters and generations, and where the order of a dictionary changed: a delta is
    returned only when it gives `new` back exactly.
    """
    if not _is_comparable(base, new):
        return None
    plain: list[object] = [
        base.version, new.version,
        [row.plain for key, row in new.members.items() if base.members.get(key) != row],
        _gone(base.members, new.members),
        [[number, slot[0], list(slot[1])] for number, slot in enumerate(new.slots) if slot != base.slots[number]],
        {name: count for name, count in new.regions.items() if base.regions.get(name) != count},
        _gone(base.regions, new.regions),
        {
            key: _rows_delta(base.services.get(key, ()), new.services.get(key, ()))
            for key in {**base.services, **new.services}
            if base.services.get(key) != new.services.get(key)
        },
        new.leaders.rows(slots),
    ]  # fmt: skip
    return plain if _is_same(patched(base, plain), new) else None


def patched(base: Topology, plain: Any) -> Topology:
    """Return the topology that a delta makes of its base.

    Raises
    ------
    RemoteProtocolError
        It is no delta, or not one of this base.
    """
    try:
        base_version, version, members, members_gone, slots, regions, regions_gone, services, _ = plain
        if base_version != base.version:
            raise RemoteProtocolError(
                f"topology: expected a delta of {base.version}, found of {base_version}"
            )
        table = list(base.slots)
        for number, epoch, nodes in slots:
            table[number] = (int(epoch), tuple(nodes))
        return replace(
            base,
            version=int(version),
            members=_updated(
                base.members, {row[0]: MemberInfo.of_plain(row) for row in members}, members_gone
            ),
            slots=tuple(table),
            regions=_updated(base.regions, regions, regions_gone),
            services=_patched_services(base.services, services),
        )
    except (TypeError, ValueError, LookupError, AttributeError) as error:
        raise RemoteProtocolError(
            f"topology: expected a delta of nine well-formed fields: {error}"
        ) from error


def hints_of_delta(plain: list[Any]) -> object:
    """Return the rows of leader hints in a delta that `patched` took."""
    return plain[8]


def _is_comparable(base: Topology, new: Topology) -> bool:
    return _rare(base) == _rare(new)


def _rare(topology: Topology) -> tuple[object, ...]:
    """Return what a delta says nothing of."""
    return (
        topology.generation, topology.cluster_id, topology.ttl_s, topology.drift, len(topology.slots),
        topology.region_roles, topology.pools,
    )  # fmt: skip


def _is_same(made: Topology, new: Topology) -> bool:
    """Whether they are equal, their dictionaries also in order."""
    return made == new and all(
        list(getattr(made, name)) == list(getattr(new, name)) for name in ("members", "regions", "services")
    )


def _gone(before: Mapping[str, object], after: Mapping[str, object]) -> list[str]:
    return [key for key in before if key not in after]


def _rows_delta(before: Rows, after: Rows) -> list[object]:
    known, kept = dict.fromkeys(before), dict.fromkeys(after)
    return [[row[0] for row in before if row not in kept], [list(row) for row in after if row not in known]]


def _updated(before: Mapping[str, Any], changed: Mapping[str, Any], gone: Iterable[str]) -> dict[str, Any]:
    """Return the dictionary with what changed in its old place, what is new at the end, and without what is gone."""
    after = {**before, **changed}
    for key in gone:
        del after[key]
    return after


def _patched_services(before: Mapping[str, Rows], changed: Mapping[str, Any]) -> dict[str, Rows]:
    after = dict(before)
    for key, (gone, added) in changed.items():
        lost = dict.fromkeys(gone)
        rows = [row for row in before.get(key, ()) if row[0] not in lost]
        rows.extend((str(uri), str(node_id)) for uri, node_id in added)
        if rows:
            after[key] = tuple(rows)
        else:
            after.pop(key, None)
    return after
