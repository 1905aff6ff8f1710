"""What clients did and saw, recorded at the client's call and return, never by nodes.

An operation that never returned, or whose outcome its client does not know, stays open: it took effect at some time
after its call, or never. Only checkers decide what it may have done.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

__all__ = ["FAILED", "OK", "OPEN", "UNKNOWN", "History", "Operation", "Value"]

OK = "ok"
FAILED = "failed"
UNKNOWN = "unknown"
OPEN = "open"
"""Outcomes: applied; provably not applied; perhaps applied; no answer at all (the client died or still waits)."""

Value = int | str | bool | None
FOREVER_NS = 1 << 62


class Operation:
    """One call of one client.

    Attributes
    ----------
    number
        Its place in the history.
    client, kind, entity, args
        Who asked what of whom.
    call_ns, return_ns
        World times; None while it has not returned.
    outcome
        `OK`, `FAILED`, `UNKNOWN` or `OPEN`.
    value
        What it returned.
    error
        Name of the error that it raised.
    until_ns
        For holds: the last moment at which the client was sure to hold; None when it never was.
    """

    __slots__ = (
        "args", "call_ns", "client", "entity", "error", "kind", "number", "outcome", "return_ns", "until_ns", "value",
    )  # fmt: skip

    def __init__(
        self, number: int, client: str, kind: str, entity: str, args: Mapping[str, Value], call_ns: int
    ) -> None:
        self.number = number
        self.client = client
        self.kind = kind
        self.entity = entity
        self.args = args
        self.call_ns = call_ns
        self.return_ns: int | None = None
        self.outcome = OPEN
        self.value: Value = None
        self.error = ""
        self.until_ns: int | None = None

    @property
    def end_ns(self) -> int:
        """When it certainly had no effect any more; far away for one of unknown outcome."""
        if self.return_ns is None or self.outcome in (UNKNOWN, OPEN):
            return FOREVER_NS
        return self.return_ns

    @property
    def is_ok(self) -> bool:
        """Whether it was applied and answered."""
        return self.outcome == OK

    @property
    def is_possible(self) -> bool:
        """Whether it may have taken effect."""
        return self.outcome != FAILED

    def __str__(self) -> str:
        args = ", ".join(f"{name}={value!r}" for name, value in self.args.items())
        end = "..." if self.return_ns is None else f"{self.return_ns / 1e9:.6f}"
        answer = {OK: f"= {self.value!r}", OPEN: "never returned"}.get(
            self.outcome, f"{self.outcome} ({self.error})"
        )
        head = f"#{self.number} {self.client} {self.kind} {self.entity}({args})"
        return f"{head} [{self.call_ns / 1e9:.6f}, {end}] {answer}"


class History:
    """All operations of a run, in the order of their calls.

    Examples
    --------
    >>> history = History()
    >>> operation = history.call("client-1", "counter.add", "hits", {"amount": 1}, 5)
    >>> history.ok(operation, 1, 9)
    >>> len(history), history.counts()
    (1, {'ok': 1, 'failed': 0, 'unknown': 0})
    """

    def __init__(self) -> None:
        self._operations: list[Operation] = []

    def __len__(self) -> int:
        return len(self._operations)

    def __iter__(self) -> Iterator[Operation]:
        return iter(self._operations)

    def call(self, client: str, kind: str, entity: str, args: Mapping[str, Value], now_ns: int) -> Operation:
        """Record a call."""
        operation = Operation(len(self._operations), client, kind, entity, args, now_ns)
        self._operations.append(operation)
        return operation

    def ok(self, operation: Operation, value: Value, now_ns: int) -> None:
        """Record an answer."""
        self._end(operation, OK, now_ns)
        operation.value = value

    def failed(self, operation: Operation, error: str, now_ns: int) -> None:
        """Record an error that says that nothing was applied."""
        self._end(operation, FAILED, now_ns)
        operation.error = error

    def unknown(self, operation: Operation, error: str, now_ns: int) -> None:
        """Record an error that leaves open whether it was applied."""
        self._end(operation, UNKNOWN, now_ns)
        operation.error = error

    def _end(self, operation: Operation, outcome: str, now_ns: int) -> None:
        assert operation.outcome == OPEN, f"{operation} returned twice"
        operation.outcome = outcome
        operation.return_ns = now_ns

    # -- looking at it

    def by_entity(self, structure: str) -> dict[str, list[Operation]]:
        """Return the operations of one kind of structure, entity by entity."""
        found: dict[str, list[Operation]] = {}
        for operation in self._operations:
            if operation.kind.partition(".")[0] == structure:
                found.setdefault(operation.entity, []).append(operation)
        return found

    def counts(self) -> dict[str, int]:
        """Return how many operations ended how; those that never returned count as unknown."""
        counts = {OK: 0, FAILED: 0, UNKNOWN: 0}
        for operation in self._operations:
            counts[UNKNOWN if operation.outcome == OPEN else operation.outcome] += 1
        return counts

    def overlapping(self) -> int:
        """Return how many operations began while another one on the same entity was under way."""
        ends: dict[tuple[str, str], int] = {}
        count = 0
        for operation in self._operations:
            key = (operation.kind.partition(".")[0], operation.entity)
            last_ns = ends.get(key, -1)
            count += operation.call_ns < last_ns
            return_ns = FOREVER_NS if operation.return_ns is None else operation.return_ns
            ends[key] = max(last_ns, return_ns)
        return count

    # -- for other tools

    def events(self) -> list[tuple[int, int, str, int, Operation]]:
        """Return calls and returns as (time, order, type, process, operation), sorted.

        A process of those tools does one thing at a time and never comes back from an operation of unknown outcome,
        so each client is spread over as many processes as it needs.
        """
        events = []
        for operation, lane in zip(self._operations, _lanes(self._operations), strict=True):
            events.append((operation.call_ns, 1, "invoke", lane, operation))
            if operation.return_ns is not None:
                kind = {OK: "ok", FAILED: "fail"}.get(operation.outcome, "info")
                events.append((operation.return_ns, 0, kind, lane, operation))
        return sorted(events, key=lambda event: (event[0], event[1], event[4].number))

    def to_edn(self) -> str:
        """Return the history as Jepsen reads it, one operation map a line."""
        lines = []
        for index, (t_ns, _, kind, lane, operation) in enumerate(self.events()):
            value = operation.value if kind == "ok" else None
            lines.append(
                f"{{:index {index}, :time {t_ns}, :type :{kind}, :process {lane}, :f :{operation.kind}, "
                f":value [{_edn(operation.entity)} {_edn_map(operation.args)} {_edn(value)}]}}"
            )
        return "\n".join(lines) + "\n"

    def to_json(self) -> str:
        """Return the history as Porcupine's operations: client, input, output, call and return times."""
        rows = [
            {
                "ClientId": lane,
                "Input": {"op": operation.kind, "key": operation.entity, **operation.args},
                "Output": {"outcome": operation.outcome, "value": operation.value, "error": operation.error},
                "Call": operation.call_ns,
                "Return": operation.end_ns,
            }
            for operation, lane in zip(self._operations, _lanes(self._operations), strict=True)
        ]
        return "[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n"


def _lanes(operations: Sequence[Operation]) -> list[int]:
    free_ns: list[int] = []
    owners: list[str] = []
    lanes = []
    for operation in operations:
        lane = next(
            (
                at
                for at, owner in enumerate(owners)
                if owner == operation.client and free_ns[at] < operation.call_ns
            ),
            len(owners),
        )
        if lane == len(owners):
            owners.append(operation.client)
            free_ns.append(0)
        free_ns[lane] = operation.end_ns
        lanes.append(lane)
    return lanes


def _edn(value: Value) -> str:
    if value is None:
        return "nil"
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int) else json.dumps(value)


def _edn_map(args: Mapping[str, Value]) -> str:
    return "{" + ", ".join(f":{name} {_edn(value)}" for name, value in args.items()) + "}"
