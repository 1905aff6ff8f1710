"""Histories written down by hand."""

from __future__ import annotations

from collections.abc import Mapping

from sim.history import History, Operation, Value

__all__ = ["Script"]


class Script:
    """A history of one entity; times are small integers."""

    def __init__(self, entity: str) -> None:
        self._entity = entity
        self.history = History()

    @property
    def operations(self) -> list[Operation]:
        """What was written so far."""
        return list(self.history)

    def _call(self, call: int, kind: str, args: Mapping[str, Value]) -> Operation:
        client = f"client-{len(self.history) % 3}"
        return self.history.call(client, kind, self._entity, args, call)

    def add(
        self,
        call: int,
        back: int,
        kind: str,
        args: Mapping[str, Value],
        value: Value = None,
        until: int | None = None,
    ) -> Operation:
        """An operation that was answered; `until`: a hold that was sure up to then."""
        operation = self._call(call, kind, args)
        self.history.ok(operation, value, back)
        operation.until_ns = until
        return operation

    def failed(
        self, call: int, back: int, kind: str, args: Mapping[str, Value], error: str = "Unavailable"
    ) -> Operation:
        """An operation that was certainly not applied."""
        operation = self._call(call, kind, args)
        self.history.failed(operation, error, back)
        return operation

    def unknown(self, call: int, kind: str, args: Mapping[str, Value]) -> Operation:
        """An operation that never came back."""
        return self._call(call, kind, args)
