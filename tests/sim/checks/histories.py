"""Histories written down by hand, or drawn from a seed."""

from __future__ import annotations

from collections.abc import Mapping

from sim.checks.history.models import COUNTER_MODEL, QUEUE_MODEL, REGISTER_MODEL, SET_MODEL
from sim.history import History, Operation, Value
from sim.kernel.draws import Draws

__all__ = ["MODELS", "Script", "drawn"]

KINDS: dict[str, tuple[str, ...]] = {
    "counter": (
        "counter.add", "counter.add", "counter.subtract", "counter.get", "counter.destroy", "counter.reset",
        "counter.compare_and_set",
    ),
    "set": ("set.add", "set.add", "set.remove", "set.contains", "set.size", "set.destroy"),
    "queue": ("queue.enqueue", "queue.enqueue", "queue.dequeue", "queue.peek", "queue.size", "queue.destroy"),
    "map": ("map.put", "map.put", "map.get", "map.delete", "map.put_if_absent", "map.contains", "map.sweep"),
}  # fmt: skip
MODELS = {"counter": COUNTER_MODEL, "set": SET_MODEL, "queue": QUEUE_MODEL, "map": REGISTER_MODEL}
NUMBERS: tuple[Value, ...] = tuple(range(-20, 21))
ANSWERS: tuple[Value, ...] = (None, True, False, *range(14))
COUNTED = ("counter.add", "counter.subtract", "counter.get", "counter.reset")


class Script:
    """A history of one entity; times are small integers, of nanoseconds where not of something longer."""

    def __init__(self, entity: str, unit_ns: int = 1) -> None:
        self._entity = entity
        self._unit_ns = unit_ns
        self.history = History()

    @property
    def operations(self) -> list[Operation]:
        """What was written so far."""
        return list(self.history)

    def _call(self, call: int, kind: str, args: Mapping[str, Value]) -> Operation:
        client = f"client-{len(self.history) % 3}"
        return self.history.call(client, kind, self._entity, args, call * self._unit_ns)

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
        self.history.ok(operation, value, back * self._unit_ns)
        operation.until_ns = None if until is None else until * self._unit_ns
        return operation

    def failed(
        self, call: int, back: int, kind: str, args: Mapping[str, Value], error: str = "Unavailable"
    ) -> Operation:
        """An operation that was certainly not applied."""
        operation = self._call(call, kind, args)
        self.history.failed(operation, error, back * self._unit_ns)
        return operation

    def unknown(self, call: int, kind: str, args: Mapping[str, Value]) -> Operation:
        """An operation that never came back."""
        return self._call(call, kind, args)


def drawn(structure: str, seed: int) -> list[Operation]:
    """Return up to nine operations that overlap: answered as the model does, and half of the time one is not."""
    draws = Draws(seed)
    model = MODELS[structure]
    script = Script("x")
    planned = []
    for number in range(draws.between("count", "", 0, 2, 9)):
        call = draws.between("call", "", number, 0, 12)
        point = call + draws.between("point", "", number, 0, 5)
        back = point + draws.between("back", "", number, 1, 5)
        kind = draws.choice("kind", "", number, KINDS[structure])
        planned.append((point, number, call, back, kind, _args(draws, structure, kind, number)))
    state = model.initial
    for _, number, call, back, kind, args in sorted(planned):
        if draws.below("open", "", number, 3) == 0:
            operation = script.unknown(call, kind, args)
            after = model.step(state, operation) if draws.below("applied", "", number, 2) else state
        else:
            operation = script.add(call, back, kind, args)
            after = None
            for operation.value in NUMBERS if kind in COUNTED else ANSWERS:
                after = model.step(state, operation)
                if after is not None:
                    break
            if draws.below("wrong", "", number, 12) == 0:
                operation.value = draws.choice("value", "", number, (None, True, False, 0, 1, 2, 3))
        state = state if after is None else after
    return [one for one in script.operations if _has_sense(one)]


def _has_sense(operation: Operation) -> bool:
    """Whether an answer is of the type that the structure answers with."""
    expected = int if operation.kind in COUNTED else bool
    return (
        not operation.is_ok or not operation.kind.startswith("counter") or type(operation.value) is expected
    )


def _args(draws: Draws, structure: str, kind: str, number: int) -> dict[str, Value]:
    if structure == "counter":
        if kind == "counter.compare_and_set":
            return {
                "expected": draws.below("expected", "", number, 3),
                "value": draws.below("set", "", number, 4),
            }
        is_sum = kind in ("counter.add", "counter.subtract")
        return {"amount": draws.between("amount", "", number, 1, 2)} if is_sum else {}
    if structure == "set":
        return (
            {}
            if kind in ("set.size", "set.destroy")
            else {"value": draws.between("member", "", number, 1, 2)}
        )
    if structure == "queue":
        return {"value": number} if kind == "queue.enqueue" else {}
    return {"key": 1, "value": number}
