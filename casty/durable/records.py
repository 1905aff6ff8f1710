"""The records of a data directory: keys, values and checksums. Pure; every device holds the same ones.

A device is an ordered map of bytes to bytes that takes whole batches of changes or nothing of them.

==========================  ==================================================================================
``m``                       the manifest: whose directory it is, and which groups have a replica in it
``g`` group ``h``           term and vote
``g`` group ``l`` index     one entry of the log
``g`` group ``p`` serial    a part of a machine's state; a serial is one state
number
``g`` group ``s``           which serial is whole, and what it stands for
==========================  ==================================================================================

Numbers in keys are big-endian, so the order of keys is that of logs. A value begins with the version of this format and
a checksum over its key and its content: a record that was torn, decayed, or stands in another one's place is found when
it is read, and nothing of its replica is believed then.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any, NamedTuple

from casty.consensus import Entry, Membership, Snapshot
from casty.errors import DiskError, RemoteProtocolError
from casty.wire.pack import Plain, pack, unpack

__all__ = [
    "FORMAT", "MANIFEST", "Batch", "Corrupt", "GroupRow", "Head", "Manifest", "decode_entry", "decode_hard_state",
    "decode_head", "decode_manifest", "decode_part", "encode_entry", "encode_hard_state", "encode_head",
    "encode_manifest", "encode_part", "group_of", "hard_key", "head_key", "index_of", "log_key", "part_key",
]  # fmt: skip

FORMAT = 4
"""The version of the format; a directory of another one is refused."""

MANIFEST = b"m"
MAX_INDEX = (1 << 64) - 1
HEADER_BYTES = 5


class Corrupt(DiskError):
    """A record is not what was written."""


class Batch:
    """Changes that become durable together, in the order in which they were asked for."""

    __slots__ = ("changes", "size_bytes")

    def __init__(self) -> None:
        self.changes: list[tuple[bytes, bytes | None, bytes]] = []
        """(key, None, value) puts a record; (first key, key behind the last one, b"") removes all between."""
        self.size_bytes = 0

    def put(self, key: bytes, value: bytes) -> None:
        """Put a record in, over what was there."""
        self.changes.append((key, None, value))
        self.size_bytes += len(key) + len(value)

    def remove(self, first: bytes, behind: bytes) -> None:
        """Remove all records from `first` on that stand before `behind`."""
        self.changes.append((first, behind, b""))
        self.size_bytes += len(first)


class GroupRow(NamedTuple):
    """A replica that the directory has.

    Parameters
    ----------
    epoch
        Of its group.
    replica_number
        How often the node began it anew.
    membership
        The configuration that the group began with; None for a replica that began blank.
    """

    epoch: int
    replica_number: int
    membership: Membership | None


class Manifest(NamedTuple):
    """Whose directory it is.

    Parameters
    ----------
    name, node_id
        Of the cluster and of the node.
    disk
        The identity of the directory: under it the node takes part in groups. Drawn once.
    starts
        How often a process was started with it. Each of them is another incarnation.
    quiet_ns
        The longest election timeout that any of these processes promised to keep quiet for.
    cluster_id, generation, settings
        Of the cluster that it is part of; empty, 0 and empty before it is.
    founding
        The founding entry, for a founder; empty for a node that joined.
    members
        Where the members listened when that was last known.
    groups
        By number.
    successor
        The cluster id and generation that took the place of this directory's cluster: it is out of use then. Empty and
        0 while nothing did.
    """

    name: str
    node_id: str
    disk: str
    starts: int
    quiet_ns: int
    cluster_id: str
    generation: int
    settings: dict[str, float]
    founding: bytes
    members: tuple[tuple[str, int], ...]
    groups: dict[int, GroupRow]
    successor: tuple[str, int] = ("", 0)


class Head(NamedTuple):
    """Which state is whole: its parts, what it stands for, and from where on the log is kept.

    The log holds the entries after `offset`, of which the one at `offset` had `offset_term`; it may reach back before
    the snapshot, for peers that are a little behind.
    """

    serial: int
    parts: int
    size_bytes: int
    snapshot: Snapshot
    offset: int
    offset_term: int


def hard_key(group: int) -> bytes:
    """Return the key of a group's term and vote."""
    return b"g%sh" % group.to_bytes(4, "big")


def head_key(group: int) -> bytes:
    """Return the key of a group's snapshot."""
    return b"g%ss" % group.to_bytes(4, "big")


def log_key(group: int, index: int) -> bytes:
    """Return the key of an entry."""
    return b"g%sl%s" % (group.to_bytes(4, "big"), index.to_bytes(8, "big"))


def part_key(group: int, serial: int, number: int) -> bytes:
    """Return the key of a part of a state."""
    return b"g%sp%s%s" % (group.to_bytes(4, "big"), serial.to_bytes(8, "big"), number.to_bytes(8, "big"))


def index_of(key: bytes) -> int:
    """Return the last number in a key: the index of an entry, the number of a part."""
    return int.from_bytes(key[-8:], "big")


def group_of(key: bytes) -> int | None:
    """Return the group that a record belongs to; None for the manifest."""
    return int.from_bytes(key[1:5], "big") if key[:1] == b"g" else None


# -- values


def _seal(key: bytes, plain: Plain) -> bytes:
    content = pack(plain)
    return b"%c%s%s" % (FORMAT, zlib.crc32(content, zlib.crc32(key)).to_bytes(4, "big"), content)


def _open(key: bytes, value: bytes) -> Any:
    if not value or len(value) <= HEADER_BYTES:
        raise Corrupt(f"record {key.hex()}: expected more than {HEADER_BYTES} bytes, found {len(value)}")
    content = value[HEADER_BYTES:]
    found = zlib.crc32(content, zlib.crc32(key))
    if value[0] != FORMAT and key == MANIFEST:
        raise DiskError(f"the directory is of format {value[0]}, this version of casty reads {FORMAT}")
    if value[0] != FORMAT or int.from_bytes(value[1:HEADER_BYTES], "big") != found:
        raise Corrupt(f"record {key.hex()}: its checksum does not fit its {len(content)} bytes")
    try:
        return unpack(content)
    except RemoteProtocolError as error:
        raise Corrupt(f"record {key.hex()}: {error}") from None


def _fields(key: bytes, value: bytes, count: int) -> list[Any]:
    plain = _open(key, value)
    if not isinstance(plain, list) or len(plain) != count:
        raise Corrupt(f"record {key.hex()}: expected {count} fields")
    return plain


def encode_hard_state(group: int, term: int, vote: str | None) -> bytes:
    """Return the record of a term and a vote."""
    return _seal(hard_key(group), [term, vote])


def decode_hard_state(group: int, value: bytes) -> tuple[int, str | None]:
    """Read it; raises `Corrupt`, as all readers here do."""
    term, vote = _fields(hard_key(group), value, 2)
    return term, vote


def encode_entry(key: bytes, entry: Entry) -> bytes:
    """Return the record of an entry."""
    return _seal(key, entry)


def decode_entry(key: bytes, value: bytes) -> Entry:
    """Read it."""
    term, kind, data = _fields(key, value, 3)
    return Entry(term, kind, data)


def encode_part(key: bytes, data: bytes) -> bytes:
    """Return the record of a part of a state."""
    return _seal(key, data)


def decode_part(key: bytes, value: bytes) -> bytes:
    """Read it."""
    data = _open(key, value)
    if not isinstance(data, bytes):
        raise Corrupt(f"record {key.hex()}: expected bytes")
    return data


def encode_head(group: int, head: Head) -> bytes:
    """Return the record of which state is whole."""
    snapshot = head.snapshot
    return _seal(
        head_key(group),
        [head.serial, head.parts, head.size_bytes, snapshot.index, snapshot.term, snapshot.membership, snapshot.since,
         head.offset, head.offset_term],
    )  # fmt: skip


def decode_head(group: int, value: bytes) -> Head:
    """Read it."""
    serial, parts, size_bytes, index, term, membership, since, offset, offset_term = _fields(
        head_key(group), value, 9
    )
    snapshot = Snapshot(index, term, _membership(membership), since)
    return Head(serial, parts, size_bytes, snapshot, offset, offset_term)


def encode_manifest(manifest: Manifest) -> bytes:
    """Return the record of the manifest."""
    groups = [[number, *row] for number, row in manifest.groups.items()]
    return _seal(MANIFEST, [*manifest[:10], groups, manifest.successor])


def decode_manifest(value: bytes) -> Manifest:
    """Read it; `DiskError` for one of another format."""
    fields = _fields(MANIFEST, value, len(Manifest._fields))
    members = tuple((str(host), int(port)) for host, port in fields[9])
    groups = {
        number: GroupRow(epoch, replica_number, None if membership is None else _membership(membership))
        for number, epoch, replica_number, membership in fields[10]
    }
    name, node_id, disk, starts, quiet_ns, cluster_id, generation, settings, founding = fields[:9]
    return Manifest(
        name, node_id, disk, starts, quiet_ns, cluster_id, generation, settings, founding, members, groups,
        (str(fields[11][0]), int(fields[11][1])),
    )  # fmt: skip


def _membership(plain: Sequence[Sequence[str]]) -> Membership:
    voters, outgoing, learners = plain
    return Membership(tuple(voters), tuple(outgoing), tuple(learners))
