"""What clients did and saw: one record per operation, made at the client's call and return, never by a node."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

__all__ = ["FAILED", "OK", "UNKNOWN", "History", "Record"]

OK, FAILED, UNKNOWN = "ok", "failed", "unknown"


@dataclass(slots=True)
class Record:
    """One operation.

    `status` stays ``unknown`` until the call returned: an operation of unknown outcome may take effect at any time
    after its call, once, or never. ``failed`` means that it provably had no effect.
    """

    process: str
    kind: str
    name: str
    action: str
    args: tuple[Any, ...]
    call_ns: int
    return_ns: int | None = None
    status: str = UNKNOWN
    result: Any = None
    error: str = ""


class History:
    """All operations of a run, in the order of their calls."""

    def __init__(self) -> None:
        self.records: list[Record] = []

    def call(self, process: str, kind: str, name: str, action: str, args: tuple[Any, ...], now_ns: int) -> Record:
        """Note a call; complete the record with `finish`."""
        record = Record(process, kind, name, action, args, now_ns)
        self.records.append(record)
        return record

    @staticmethod
    def finish(record: Record, status: str, result: Any, now_ns: int, error: str = "") -> None:
        """Note a return. An unknown outcome has no return time: it may still take effect."""
        record.status, record.result, record.error = status, result, error
        record.return_ns = None if status == UNKNOWN else now_ns

    def of(self, kind: str) -> dict[str, list[Record]]:
        """Return the records of one kind of structure, by name."""
        found: dict[str, list[Record]] = {}
        for record in self.records:
            if record.kind == kind:
                found.setdefault(record.name, []).append(record)
        return found

    def counts(self) -> dict[str, int]:
        """Return how many operations ended in which way."""
        counts = {OK: 0, FAILED: 0, UNKNOWN: 0}
        for record in self.records:
            counts[record.status] += 1
        return counts

    def to_edn(self) -> str:
        """Return the history in the format that Jepsen's checkers read."""
        events: list[tuple[int, int, str]] = []
        for number, record in enumerate(self.records):
            value = json.dumps([record.name, *record.args])
            head = f":process {number}, :f :{record.action}, :value {value}"
            events.append((record.call_ns, number, f"{{:type :invoke, {head}, :time {record.call_ns}}}"))
            kind = {OK: "ok", FAILED: "fail", UNKNOWN: "info"}[record.status]
            end_ns = record.return_ns if record.return_ns is not None else 1 << 62
            result = json.dumps([record.name, *record.args, record.result], default=str)
            tail = f":process {number}, :f :{record.action}, :value {result}"
            events.append((end_ns, number, f"{{:type :{kind}, {tail}, :time {end_ns}}}"))
        return "\n".join(text for _, _, text in sorted(events)) + "\n"

    def to_json(self) -> str:
        """Return the history as JSON lines with calls and returns, as Porcupine's visualisers read intervals."""
        lines = []
        for number, record in enumerate(self.records):
            lines.append(json.dumps({
                "id": number, "client": record.process, "kind": record.kind, "name": record.name,
                "action": record.action, "args": record.args, "call": record.call_ns, "return": record.return_ns,
                "status": record.status, "result": record.result,
            }, default=str))  # fmt: skip
        return "\n".join(lines) + "\n"
