"""``casty recover``: a new generation of a cluster that lost its majority for good, from what the survivors have."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack

from casty import runtime as runtimes
from casty.cli.places import new_directory, open_directory, writer_of
from casty.cluster.multiraft.numbers import slot_of
from casty.cluster.recovery.directory import NewCluster
from casty.cluster.recovery.making import NewNode, Survey, recovered, superseded, survey, write_recovered
from casty.cluster.recovery.renewal import Renewed
from casty.cluster.recovery.survivors import GroupReport
from casty.errors import ConfigError, RecoveryError
from casty.ports import Device

__all__ = ["described", "document_of", "new_node", "run_recover"]

log = logging.getLogger("casty.recover")

MOST_NAMED = 5


def run_recover(options: argparse.Namespace) -> int:
    """Say what may be lost, ask, and make the new generation; 1 when the operator does not agree."""
    if (options.host is None) != (options.port is None):
        raise ConfigError("casty recover: expected --host and --port, or neither")
    return asyncio.run(_recover(options))


async def _recover(options: argparse.Namespace) -> int:
    async with AsyncExitStack() as stack:
        devices = [await open_directory(path) for path in dict.fromkeys(options.directories)]
        for device in devices:
            stack.callback(device.close)
        sources = list(zip(dict.fromkeys(options.directories), devices, strict=True))
        found = await survey(sources, again=options.again)
        node = _node_of(found, options)
        new = recovered(found, node)
        document = document_of(found, new)
        print(json.dumps(document, indent=2) if options.json else described(found, new))
        if options.dry_run:
            return 0
        _check_empty(found, allow=options.accept_empty)
        if not options.yes and not _agrees(new.name):
            print("nothing was changed", file=sys.stderr)
            return 1
        what = await _make(found, devices, new, node, options.data_dir)
    _report(found, new, what, options)
    return 0


async def _make(
    found: Survey, devices: Sequence[Device], new: NewCluster, node: NewNode, path: str
) -> Renewed:
    async with new_directory(path) as (device, put_in_place):
        what = await write_recovered(found, devices, new, node, writer_of(device))
        for survivor, source in zip(found.survivors, devices, strict=True):
            await writer_of(source)(superseded(survivor, new))
        await put_in_place()
    return what


def _report(found: Survey, new: NewCluster, what: Renewed, options: argparse.Namespace) -> None:
    log.warning(
        "cluster %r: generation %d (%s) was recovered from generation %d (%s), out of %s; %d groups may lack what was "
        "acknowledged",
        new.name, new.generation, new.cluster_id, found.control.generation, found.control.cluster_id,
        ", ".join(one.source for one in found.survivors), len(found.may_lack),
    )  # fmt: skip
    print(
        f"{options.data_dir}: generation {new.generation} of {new.name!r}, {what.entities} structures; {what.holds} "
        f"locks and permits were held and are free, {what.waiting} calls waited and are gone, {what.on_record} "
        "structures are left to their journal; nothing is locked for one session_ttl_s after the start",
        file=sys.stderr,
    )
    print(
        f"start: casty node --name {new.name} --node-id {new.node_id} --host {new.host} --port {new.port} --data-dir "
        f"{options.data_dir}; all other nodes with empty directories and --seed {new.host}:{new.port}",
        file=sys.stderr,
    )


def new_node(node_id: str, host: str, port: int) -> NewNode:
    """Return the node that a new cluster begins with, with what is drawn for it."""
    runtime = runtimes.current()
    entropy = runtime.entropy
    return NewNode(
        node_id=node_id,
        host=host,
        port=port,
        cluster_id=entropy.token("cluster", 8).hex(),
        disk=entropy.token("incarnation", 8).hex(),
        wall_s=runtime.clock.wall_s(),
        mark=lambda: entropy.token("former", 16),
    )


def _node_of(found: Survey, options: argparse.Namespace) -> NewNode:
    """Return the node as it was told, or as the first survivor was."""
    first = found.survivors[0].manifest.node_id
    node_id = options.node_id or first
    row = found.control.members.get(node_id)
    if options.host is not None:
        return new_node(node_id, options.host, options.port)
    if row is None:
        raise ConfigError(f"casty recover: where will node {node_id} be reached? say --host and --port")
    return new_node(node_id, row.host, row.port)


def _check_empty(found: Survey, *, allow: bool) -> None:
    if found.empty and not allow:
        raise RecoveryError(
            f"nobody has a replica of {_slots(found.empty)} that can be read: all of that is lost. Find another "
            "survivor, or say --accept-empty"
        )


def _agrees(name: str) -> bool:
    if not sys.stdin.isatty():
        raise ConfigError("casty recover: nobody is there to agree; say --yes to go on without a question")
    answer = input(f"Members that are not named here must never run again. Type {name} to go on: ")
    return answer.strip() == name


# -- what may be lost, in words


def described(found: Survey, new: NewCluster) -> str:
    """Return what is found, what may be lost, and what will be made."""
    control = found.control
    whose = f"cluster {control.name!r}, generation {control.generation} ({control.cluster_id})"
    lines = [f"{whose}, {len(control.slots)} slots, members {', '.join(control.members)}"]
    lines += [f"survivor {one.manifest.node_id}: {one.source}" for one in found.survivors]
    lines += [_line(found, report) for report in found.reports]
    lacking = [report for report in found.reports if report.may_lack]
    if lacking:
        missing = dict.fromkeys(node_id for report in lacking for node_id in report.missing)
        lines.append(
            f"MAY BE LOST: what only {', '.join(missing) or 'others'} stored of {_groups(lacking)}. Whatever was "
            "acknowledged there in the last moments may be missing"
        )
    else:
        lines.append("nothing that was acknowledged is lost: every majority has a survivor")
    if found.empty:
        lines.append(f"LOST: all of {_slots(found.empty)}")
    lines.append(
        f"will be made: generation {new.generation} ({new.cluster_id}) with node {new.node_id} at "
        f"{new.host}:{new.port}; every session ends, every lock is free after one session_ttl_s"
    )
    return "\n".join(lines)


def _line(found: Survey, report: GroupReport) -> str:
    parts = []
    for at, held in report.held.items():
        state = f"entry {held.last_index} of term {held.last_term}" if held.is_usable else _why(held.damage)
        mark = " (taken)" if at == report.chosen else ""
        parts.append(f"{found.survivors[at].manifest.node_id} has {state}{mark}")
    missing = f"; missing: {', '.join(report.missing)}" if report.missing else ""
    may = "; MAY LACK acknowledged entries" if report.may_lack else ""
    return f"{_name(report.number)}: {', '.join(parts) or 'nobody has it'}{missing}{may}"


def _why(damage: str | None) -> str:
    return "nothing yet" if damage is None else f"a damaged replica ({damage})"


def _name(number: int) -> str:
    return f"slot {slot_of(number)}" if number else "control group"


def _groups(reports: Sequence[GroupReport]) -> str:
    slots = [slot_of(report.number) for report in reports if report.number]
    what = [] if len(slots) == len(reports) else ["the control group"]
    return " and ".join([*what, *([_slots(slots)] if slots else [])])


def _slots(slots: Sequence[int]) -> str:
    more = f" and {len(slots) - MOST_NAMED} more" if len(slots) > MOST_NAMED else ""
    return f"slot{'s' if len(slots) > 1 else ''} {', '.join(map(str, slots[:MOST_NAMED]))}{more}"


def document_of(found: Survey, new: NewCluster) -> dict[str, object]:
    """Return the same for programs."""
    return {
        "cluster": found.control.name,
        "cluster_id": found.control.cluster_id,
        "generation": found.control.generation,
        "survivors": [{"id": one.manifest.node_id, "directory": one.source} for one in found.survivors],
        "groups": [
            {
                "group": report.number,
                "taken": None if report.chosen is None else found.survivors[report.chosen].manifest.node_id,
                "held": {
                    found.survivors[at].manifest.node_id: {
                        "last_term": held.last_term, "last_index": held.last_index, "usable": held.is_usable,
                        "damage": held.damage,
                    }
                    for at, held in report.held.items()
                },
                "missing": list(report.missing),
                "may_lack": report.may_lack,
            }
            for report in found.reports
        ],
        "new": {"cluster_id": new.cluster_id, "generation": new.generation, "node_id": new.node_id},
    }  # fmt: skip
