"""``casty disk check``: what is in a data directory, and whether all of it can be read."""

from __future__ import annotations

import argparse
import json

from casty.consensus import Restored
from casty.disk import read_all
from casty.durable.loading import Stored, load_group
from casty.durable.records import (
    MANIFEST,
    Corrupt,
    Manifest,
    decode_manifest,
    decode_part,
    group_of,
    index_of,
    part_key,
)
from casty.errors import CastyError, DiskError

__all__ = ["run_disk"]


def run_disk(options: argparse.Namespace) -> int:
    """Print what was found; 1 where something is damaged."""
    rows = read_all(options.directory)
    manifest = _manifest(dict(rows).get(MANIFEST), options.directory)
    groups = [_group(number, manifest, rows) for number in sorted(manifest.groups)]
    damaged = [group for group in groups if group["damage"] is not None]
    document = {
        "cluster": manifest.name,
        "cluster_id": manifest.cluster_id,
        "generation": manifest.generation,
        "node_id": manifest.node_id,
        "starts": manifest.starts,
        "groups": groups,
    }
    if options.json:
        print(json.dumps(document))
    else:
        _print(manifest, groups)
    return 1 if damaged else 0


def _manifest(value: bytes | None, directory: str) -> Manifest:
    if value is None:
        raise DiskError(f"{directory}: it does not say whose it is: no node was started with it")
    return decode_manifest(value)


def _group(number: int, manifest: Manifest, rows: list[tuple[bytes, bytes]]) -> dict[str, object]:
    """Return what there is of one replica."""
    row = manifest.groups[number]
    own = [(key, value) for key, value in rows if group_of(key) == number]
    found: dict[str, object] = {
        "group": number,
        "epoch": row.epoch,
        "term": None,
        "first_index": None,
        "last_index": None,
        "snapshot_index": None,
        "records": len(own),
        "damage": None,
    }
    try:
        stored = load_group(number, row, [pair for pair in own if pair[0][5:6] != b"p"], 0)
        _check_parts(number, stored, dict(own))
    except CastyError as error:
        found["damage"] = str(error)
        return found
    restored: Restored = stored.restored
    first = (restored.offset or 0) + 1
    found |= {"term": restored.term, "first_index": first, "last_index": first - 1 + len(restored.entries)}
    if restored.snapshot is not None:
        found["snapshot_index"] = restored.snapshot.index
    return found


def _check_parts(number: int, stored: Stored, rows: dict[bytes, bytes]) -> None:
    head = stored.head
    for part in range(0 if head is None else head.parts):
        assert head is not None, "only a head has parts"
        key = part_key(number, head.serial, part)
        if key not in rows:
            raise Corrupt(f"part {index_of(key)} of the snapshot is missing")
        decode_part(key, rows[key])


def _print(manifest: Manifest, groups: list[dict[str, object]]) -> None:
    where = (
        f"cluster {manifest.name!r}, generation {manifest.generation} ({manifest.cluster_id or 'none yet'})"
    )
    print(f"node {manifest.node_id} of {where}, started {manifest.starts} times, {len(groups)} replicas")
    for group in groups:
        number = group["group"]
        name = f"slot {int(str(number)) - 1}" if number else "control group"
        if group["damage"] is not None:
            print(
                f"{name}: DAMAGED: {group['damage']}; it is filled from the others when the node is started"
            )
        else:
            print(
                f"{name}: term {group['term']}, entries {group['first_index']} to {group['last_index']}, "
                f"snapshot {group['snapshot_index'] or '-'}"
            )
