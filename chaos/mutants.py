"""Values out of a schema: such as fit it, and such as have one thing wrong. Random numbers of a seed, nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

from casty.cluster.control.schema import Agreed
from casty.schema import (
    Case,
    Data,
    Fields,
    Integer,
    Maybe,
    Number,
    OneOf,
    Row,
    Rows,
    Rule,
    Tagged,
    Text,
)
from casty.wire.pack import pack

__all__ = ["HUGE", "Mutants"]

HUGE = 10**5000
"""More digits than Python turns into a text."""


def _nested(depth: int) -> list[Any]:
    return [_nested(depth - 1)] if depth else []


DEEP = _nested(200)

JUNK: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2**31, 2**63 - 1, 2**63, 2**64, -(2**63), HUGE, -HUGE, 0.0, -0.0, 0.5, float("nan"),
    float("inf"), "", "a", "1", "\n\x1b[31m", "\u202e", "\U0010ffff", "x" * 2_000, b"", b"\xc1", b"\xff" * 3,
    b"y" * 3_000, [], [[]], [1], [None] * 7, DEEP, {}, {"a": 1}, {"": HUGE},
)  # fmt: skip


class Mutants:
    """Draws values of rules.

    Parameters
    ----------
    seed
        The same seed draws the same.
    most
        Numbers that fit are rarely above their lowest one and this: entries have to meet in the same few sessions.
    """

    def __init__(self, seed: int, most: int = 8) -> None:
        self.random = Random(seed)
        self._most = most

    # -- what fits

    def fitting(self, rule: Rule) -> Any:
        """Return a value that fits."""
        match rule:
            case Tagged(rows):
                return self._row(rule.row(self.random.choice(list(rows))))
            case Row():
                return self._row(rule)
            case Rows(row, least, most):
                return [self.fitting(row) for _ in range(self.random.randint(least, min(most, least + 3)))]
            case Fields(rules):
                return {key: self.fitting(field) for key, field in rules.items()}
            case Maybe(inner):
                return None if self.random.random() < 0.3 else self.fitting(inner)
            case Agreed(needed):
                return {**dict.fromkeys(needed, 0.01), "other": self.random.choice([True, 7, "word"])}
            case _:
                return self._leaf(rule)

    def _leaf(self, rule: Rule) -> Any:
        choose, dice = self.random.choice, self.random.random()
        match rule:
            case Number(low, high):
                if dice < 0.9:
                    return self.random.randint(low, min(high, low + self._most))
                return choose([low, high, self.random.randint(low, high)])
            case Integer(max_bits):
                most = (1 << max_bits) - 1
                return choose([0, 1, 2, 3, -1, 2**63, -(2**64)]) if dice < 0.95 else choose([most, -most])
            case Text(max_bytes):
                return choose(["a", "b", "c", "é" * 4]) if dice < 0.95 else "x" * min(max_bytes, 600)
            case Data(max_bytes):
                return choose([b"", b"a", b"b", b"\xff"]) if dice < 0.95 else b"d" * min(max_bytes, 1024)
            case OneOf(values):
                return choose(values)
            case _:
                raise AssertionError(rule)

    def _row(self, row: Row) -> list[Any]:
        values: list[Any] = [None if isinstance(rule, Case) else self.fitting(rule) for rule in row.rules]
        for at, rule in enumerate(row.rules):
            if isinstance(rule, Case):
                values[at] = self.fitting(rule.given(values))
        return values

    # -- what does not, or hardly

    def mutant(self, rule: Rule, value: Any) -> Any:
        """Return a value like one that fits, with one thing replaced, dropped, added or moved, at any depth."""
        if isinstance(value, list) and self.random.random() < 0.9:
            return self._list(rule, value)
        if isinstance(value, dict) and value and self.random.random() < 0.9:
            return self._dictionary(rule, value)
        if self.random.random() < 0.6:
            return self.random.choice(self._wrong(rule))
        return self.random.choice(JUNK)

    def _list(self, rule: Rule, value: list[Any]) -> list[Any]:
        value, dice = list(value), self.random.random()
        at = self.random.randrange(len(value) + 1)
        if at == len(value) or dice > 0.95:
            value.insert(at, self.random.choice([*JUNK, *value]))
        elif dice < 0.75:
            value[at] = self.mutant(_inner(rule, value, at), value[at])
        elif dice < 0.85:
            del value[at]
        else:
            other = self.random.randrange(len(value))
            value[at], value[other] = value[other], value[at]
        return value

    def _dictionary(self, rule: Rule, value: dict[str, Any]) -> dict[str, Any]:
        key, dice = self.random.choice(sorted(value)), self.random.random()
        rules = rule.rules if isinstance(rule, Fields) else {}
        if dice < 0.7:
            return {**value, key: self.mutant(rules.get(key, _ANY), value[key])}
        if dice < 0.85:
            return {name: field for name, field in value.items() if name != key}
        return {**value, self.random.choice(["", "other", "x" * 2_000]): self.random.choice(JUNK)}

    def _wrong(self, rule: Rule) -> Sequence[Any]:
        """Return what is beside the bounds of a rule, and what looks like it and is of another type."""
        match rule:
            case Number(low, high):
                return (low - 1, low, high, high + 1, float(low), str(low), bool(low), [low], HUGE, -HUGE)
            case Integer(max_bits):
                return (1 << max_bits, -(1 << max_bits), (1 << max_bits) - 1, 1.0, True, "1")
            case Text(max_bytes):
                most = min(max_bytes, 5_000)
                return ("", "x" * most, "x" * (most + 1), "é" * (most // 2 + 1), b"text", ["a"])
            case Data(max_bytes):
                most = min(max_bytes, 5_000)
                return (b"z" * most, b"z" * (most + 1), "text", bytearray(b"a"), [97])
            case OneOf(values):
                return (*values, *(str(value) for value in values), *map(bool, values), 0, 1)
            case _:
                return JUNK

    def flipped(self, data: bytes) -> bytes:
        """Return bytes of which some are replaced, dropped or added."""
        changed = bytearray(data)
        for _ in range(self.random.randrange(1, 4)):
            at, dice = self.random.randrange(len(changed) + 1), self.random.random()
            if at == len(changed) or dice > 0.75:
                changed.insert(at, self.random.randrange(256))
            elif dice < 0.5:
                changed[at] = self.random.randrange(256)
            else:
                del changed[at]
        return bytes(changed)

    def packed(self, rule: Rule) -> tuple[Any, bytes]:
        """Return what is sent: a third as it should be, the others with something wrong; the value and its bytes."""
        value, dice = self.fitting(rule), self.random.random()
        if dice > 0.3:
            value = self.mutant(rule, value)
        data = pack(value)
        return value, self.flipped(data) if dice > 0.9 else data


_ANY = OneOf((None,))


def _inner(rule: Rule, value: list[Any], at: int) -> Rule:
    """Return the rule of one field of a list that fits, or nearly."""
    if isinstance(rule, Rows):
        return rule.row
    if isinstance(rule, Tagged):
        known = type(value[0]) is int and value[0] in rule.rows
        rule = rule.row(value[0]) if known else _ANY
    if not isinstance(rule, Row) or at >= len(rule.rules):
        return _ANY
    inner = rule.rules[at]
    if isinstance(inner, Case):
        try:
            return inner.given(value)
        except (TypeError, IndexError):
            return _ANY  # the field that it depends on is a mutant itself
    return inner
