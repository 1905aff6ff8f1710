"""What a status document says about a cluster: whether it serves, and what it lacks. Pure."""

from __future__ import annotations

from typing import Any, NamedTuple

__all__ = ["Health", "health_of"]

MOST_NAMED = 5
"""Slots named of many with the same fault."""


class Health(NamedTuple):
    """What keeps a cluster from serving, and what would keep it from serving after one more failure; in words."""

    lacks: list[str]
    risks: list[str]


def health_of(document: dict[str, Any]) -> Health:
    """Judge a status document.

    Parameters
    ----------
    document
        What `fetch_status` returned; what one node knows, which may be cut off from others that serve.

    Returns
    -------
    Health
        A cluster serves when the control group and every slot have a leader and it is not full; it is at risk where a
        slot has fewer replicas at members that are up than it should have.
    """
    slots = document["slots"]
    if not slots:
        return Health(["this node belongs to no cluster yet", *map(str, document["missing"])], [])
    lacks = [] if document["leader"] is not None else ["no leader of the control group is known"]
    led_by_nobody = [slot["slot"] for slot in slots if slot["leader"] is None and slot["target"]]
    if led_by_nobody:
        lacks.append(f"{_named(led_by_nobody)} without a leader")
    disk = document["disk"]
    if disk is not None and disk["state"] == "full":
        lacks.append(f"the disk of this node is full, it goes on when there is room: {disk['error']}")
    elif disk is not None and disk["state"] == "broken":
        lacks.append(f"the disk of this node failed, start it anew when that is in order: {disk['error']}")
    lacks += _lost(document["lost"])
    if document["memory"]["is_full"]:
        lacks.append("this node is full: it refuses what grows")
    return Health(lacks, _risks(document))


def _lost(rows: list[dict[str, Any]]) -> list[str]:
    """Groups that lack the same members are named together."""
    alike: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        if row["lacks_majority"]:
            alike.setdefault((", ".join(row["unreachable"]), ", ".join(row["copies"])), []).append(row)
    texts = []
    for (unreachable, copies), groups in alike.items():
        slots = [row["group"] - 1 for row in groups if row["group"]]
        what = " and ".join(
            [
                *(["the control group"] if len(slots) < len(groups) else []),
                *([_named(slots)] if slots else []),
            ]
        )
        texts.append(
            f"{what}: no majority for {max(row['for_s'] for row in groups)} s; copies are with {copies}, of these "
            f"{unreachable} cannot be reached from this node"
        )
    return texts


def _risks(document: dict[str, Any]) -> list[str]:
    statuses = {member["id"]: member["status"] for member in document["members"]}
    should = document["replication"]
    short: dict[str, list[int]] = {}
    for slot in document["slots"]:
        away = [
            f"{name} is {statuses.get(name, 'gone')}"
            for name in slot["replicas"]
            if statuses.get(name) != "up"
        ]
        lacking = should - len(slot["replicas"])
        if not slot["target"]:
            away.append(f"no member has the role {slot['role']!r}")
        elif lacking > 0:
            away.append(f"{lacking} of {should} replicas have no member")
        if slot.get("failed"):
            away.append(f"the replica of the asked node failed: {slot['failed']}")
        if away:
            short.setdefault(", ".join(away), []).append(slot["slot"])
    return [f"{_named(numbers)} below {should} replicas: {why}" for why, numbers in short.items()]


def _named(slots: list[int]) -> str:
    if len(slots) == 1:
        return f"slot {slots[0]}"
    more = f" and {len(slots) - MOST_NAMED} more" if len(slots) > MOST_NAMED else ""
    return f"{len(slots)} slots ({', '.join(map(str, slots[:MOST_NAMED]))}{more})"
