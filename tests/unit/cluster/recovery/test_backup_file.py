"""The format of a backup: whatever happened to a file is found, and said with its name."""

from __future__ import annotations

import io

import pytest

from casty.cluster.recovery.backup_file import FORMAT, HEAD_BYTES, MAGIC, BackupWriter, read_records
from casty.errors import BackupDamaged, BackupError, BackupUnknown

DOCUMENT = {
    "name": "shop", "cluster_id": "c1", "generation": 7, "slots": 2, "replication": 3,
    "settings": {"session_ttl_s": 15.0, "drift": 0.01},
}  # fmt: skip


def written(slots: int = 2) -> bytes:
    writer = BackupWriter()
    parts = [BackupWriter.head(), writer.record("cluster", DOCUMENT)]
    for slot in range(slots):
        parts.append(writer.record("slot", slot, 5, 10, 1))
        parts += [writer.record("part", b"data %d" % part) for part in range(2)]
        parts.append(writer.record("end", 2))
    parts.append(writer.record("whole", slots, writer.records))
    return b"".join(parts)


def read(data: bytes) -> list[list[object]]:
    return list(read_records(io.BytesIO(data).read))


def test_what_was_written_is_read() -> None:
    rows = read(written())
    assert [row[0] for row in rows] == ["cluster", *["slot", "part", "part", "end"] * 2, "whole"]
    assert rows[0][1] == DOCUMENT and rows[1] == ["slot", 0, 5, 10, 1] and rows[-1] == ["whole", 2, 9]


def test_a_file_that_was_cut_off_is_found_wherever_that_was() -> None:
    data = written()
    for length in range(len(data)):
        with pytest.raises(BackupError):
            read(data[:length])
    with pytest.raises(BackupDamaged, match="cut off"):
        read(data[:-3])


def test_any_bit_that_turned_is_found() -> None:
    data = written()
    for place in range(len(data)):
        changed = bytearray(data)
        changed[place] ^= 4
        with pytest.raises(BackupError):
            read(bytes(changed))


def test_records_that_are_missing_doubled_or_swapped_are_found() -> None:
    data, records, offset = written(), list[bytes](), HEAD_BYTES
    while offset < len(data):
        size = 8 + int.from_bytes(data[offset : offset + 4], "big")
        records.append(data[offset : offset + size])
        offset += size
    head = data[:HEAD_BYTES]
    for at in range(len(records) - 1):
        missing = records[:at] + records[at + 1 :]
        doubled = [*records[:at], records[at], *records[at:]]
        swapped = [*records[:at], records[at + 1], records[at], *records[at + 2 :]]
        for changed in (missing, doubled, swapped):
            with pytest.raises(BackupDamaged):
                read(head + b"".join(changed))
    with pytest.raises(BackupDamaged, match="something follows"):
        read(data + records[-1])


def test_a_foreign_file_and_one_of_another_format_are_told_apart() -> None:
    with pytest.raises(BackupUnknown, match="expected a backup of casty"):
        read(b"SQLite format 3\0 and so on")
    with pytest.raises(BackupUnknown, match="expected a backup of casty"):
        read(b"")
    newer = MAGIC + (FORMAT + 1).to_bytes(2, "big") + written()[HEAD_BYTES:]
    with pytest.raises(BackupUnknown, match=f"format {FORMAT + 1}, this version of casty reads {FORMAT}"):
        read(newer)


def test_a_record_of_another_kind_or_order_is_named() -> None:
    writer = BackupWriter()
    head = BackupWriter.head()
    with pytest.raises(BackupDamaged, match="record 0: it is of no kind that there is"):
        read(head + writer.record("actor", 1))
    writer = BackupWriter()
    with pytest.raises(BackupDamaged, match="record 0: 'slot' does not follow"):
        read(head + writer.record("slot", 0, 1, 1, 1))
    writer = BackupWriter()
    with pytest.raises(BackupDamaged, match="record 0: it, field 1, generation"):
        read(head + writer.record("cluster", {**DOCUMENT, "generation": 0}))


def test_a_length_that_no_record_has_takes_no_memory() -> None:
    asked: list[int] = []
    stream = io.BytesIO(BackupWriter.head() + b"\xff\xff\xff\xff" + b"\0" * 100)

    def counted(size: int) -> bytes:
        asked.append(size)
        return stream.read(size)

    with pytest.raises(BackupDamaged, match="expected at most"):
        list(read_records(counted))
    assert max(asked) < 100
