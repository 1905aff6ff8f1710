"""The format of a backup, record by record. Pure: bytes in, bytes out, one record in memory.

::

    magic      8 bytes, ``casty-bk``
    format     2 bytes, big-endian
    records    length (4 bytes), checksum (4 bytes), content in msgpack

    ["cluster", document]                what was backed up: name, cluster id, generation, slots of all nodes,
                                         replication, settings; where there are any: regions, the slots of roles
                                         (pools), and which of these never began to serve (blank) and do not follow
    ["slot", slot, epoch, index, term]   the state of a slot as of that entry of its log; its parts follow
    ["part", data]                       a part as `SlotDump` makes it
    ["end", parts]                       the slot is whole
    ["whole", slots, records]            the file is; nothing follows

A checksum covers its content and the checksum before it, so a record that decayed, is missing, is there twice or stands
in another place is found where it stands, and a file that was cut off lacks its last record. It is a CRC: it finds
decay, not malice. Keep backups where only those can write who may.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from typing import Any

from casty.cluster.control.schema import TAKEN_OVER, Agreed
from casty.errors import BackupDamaged, BackupUnknown, RemoteProtocolError
from casty.limits import MAX_GENERATION, MAX_NUMBER, MAX_POOL_SLOTS, MAX_POOLS, MAX_TEXT_BYTES
from casty.schema import Data, Fields, Number, Row, Rows, Rule, Text, compiled, flaw
from casty.settings import BOUNDS
from casty.wire.pack import Plain, pack, unpack

__all__ = ["FORMAT", "MAGIC", "BackupWriter", "read_records"]

MAGIC = b"casty-bk"
FORMAT = 1
HEAD_BYTES = len(MAGIC) + 2
RECORD_HEAD_BYTES = 8
MAX_RECORD_BYTES = 64 * 1024 * 1024
"""Far more than any part: a part holds one value of at most `max_value_bytes` or is about `snapshot_chunk_bytes`."""

_COUNT = Number(0, MAX_NUMBER)
_NAME = Text(MAX_TEXT_BYTES)


def _bounds(name: str) -> Number:
    bound = BOUNDS[name]
    return Number(int(bound.low), int(bound.high))


_DOCUMENT = Fields(
    {
        "name": _NAME, "cluster_id": _NAME, "generation": Number(1, MAX_GENERATION), "slots": _bounds("slots"),
        "replication": _bounds("replication"), "settings": Agreed(("session_ttl_s", "drift")),
    },
    {**TAKEN_OVER, "blank": Rows(_COUNT, most=MAX_POOLS * MAX_POOL_SLOTS)},
)  # fmt: skip
RECORDS: dict[str, Rule] = {
    "cluster": Row((_NAME, _DOCUMENT)),
    "slot": Row((_NAME, _COUNT, _COUNT, _COUNT, _COUNT)),
    "part": Row((_NAME, Data())),
    "end": Row((_NAME, _COUNT)),
    "whole": Row((_NAME, _COUNT, _COUNT)),
}
FOLLOWS: dict[str, tuple[str, ...]] = {
    "": ("cluster",),
    "cluster": ("slot", "whole"),
    "slot": ("part",),
    "part": ("part", "end"),
    "end": ("slot", "whole"),
    "whole": (),
}
"""What may come after what."""


class BackupWriter:
    """Makes the bytes of a backup.

    Attributes
    ----------
    checksum, records
        After what was made so far. Who takes bytes back, of a slot that has to be begun again, sets them back as well.
    """

    def __init__(self) -> None:
        self.checksum = 0
        self.records = 0

    @staticmethod
    def head() -> bytes:
        """Return the first bytes of a file."""
        return MAGIC + FORMAT.to_bytes(2, "big")

    def record(self, *fields: Plain) -> bytes:
        """Return the bytes of the next record."""
        content = pack(list(fields))
        self.checksum = zlib.crc32(content, self.checksum)
        self.records += 1
        return b"%s%s%s" % (len(content).to_bytes(4, "big"), self.checksum.to_bytes(4, "big"), content)


def read_records(read: Callable[[int], bytes]) -> Iterator[list[Any]]:
    """Return the records of a file, one after the other; the last one is ``["whole", ...]``.

    Parameters
    ----------
    read
        Returns the next bytes, fewer than asked for only at the end.

    Raises
    ------
    BackupUnknown
        It is no backup, or of another format.
    BackupDamaged
        It is cut off, or a record is not what was written.
    """
    _check_head(read(HEAD_BYTES))
    before, checksum, number, slots = "", 0, 0, 0
    while before != "whole":
        content, checksum = _content(read, checksum, number)
        row = _row(content, number)
        kind = row[0]
        if kind not in FOLLOWS[before]:
            raise BackupDamaged(f"record {number}: {kind!r} does not follow {before or 'the head'!r}")
        number, slots = number + 1, slots + (kind == "end")
        if kind == "whole" and row[1:] != [slots, number - 1]:
            raise BackupDamaged(
                f"expected {row[1]} slots in {row[2]} records, found {slots} slots in {number - 1} records"
            )
        before = kind
        yield row
    if read(1):
        raise BackupDamaged(
            f"something follows the last record, number {number - 1}; this is not the file that was written"
        )


def _check_head(head: bytes) -> None:
    if not MAGIC.startswith(head[: len(MAGIC)]) or not head:
        raise BackupUnknown(f"expected a backup of casty, which begins with {MAGIC!r}, found {head[:8]!r}")
    if len(head) < HEAD_BYTES:
        raise BackupDamaged("the file ends within its head")
    found = int.from_bytes(head[len(MAGIC) :], "big")
    if found != FORMAT:
        raise BackupUnknown(
            f"the backup is of format {found}, this version of casty reads {FORMAT}; use the version that wrote it"
        )


def _content(read: Callable[[int], bytes], checksum: int, number: int) -> tuple[bytes, int]:
    head = read(RECORD_HEAD_BYTES)
    size_bytes = int.from_bytes(head[:4], "big")
    if len(head) == RECORD_HEAD_BYTES and size_bytes > MAX_RECORD_BYTES:
        raise BackupDamaged(
            f"record {number}: expected at most {MAX_RECORD_BYTES} bytes, its head says {size_bytes}"
        )
    content = read(size_bytes) if len(head) == RECORD_HEAD_BYTES else b""
    if len(head) < RECORD_HEAD_BYTES or len(content) < size_bytes:
        raise BackupDamaged(f"the file ends within record {number}: it was cut off; use another backup")
    found = zlib.crc32(content, checksum)
    if found != int.from_bytes(head[4:], "big"):
        raise BackupDamaged(
            f"record {number}: its checksum does not fit its {size_bytes} bytes; use another backup"
        )
    return content, found


def _row(content: bytes, number: int) -> list[Any]:
    try:
        row = unpack(content)
    except RemoteProtocolError as error:
        raise BackupDamaged(f"record {number}: {error}") from None
    rule = RECORDS.get(row[0]) if isinstance(row, list) and row and isinstance(row[0], str) else None
    if rule is None or not compiled(rule)(row):
        text = "it is of no kind that there is" if rule is None else flaw(rule, row, "it")
        raise BackupDamaged(f"record {number}: {text}")
    checked: Any = row
    return list(checked)
