"""Mutants of the entries of a group, against what its proposer and its replicas do; they come from the schemas.

What no mutant may do: make the check raise anything but `RemoteProtocolError`, make applying raise at all, be applied
in one replica and refused in another, be refused by the check and change something, or be answered by what cannot be
sent. Two replicas apply everything, and the second begins from the first one's snapshot now and then.
"""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from casty.cluster.control import schema as control_schema
from casty.cluster.control.machine import MALFORMED, ControlMachine
from casty.cluster.control.schema import FOUND
from casty.cluster.slots import schema as slot_schema
from casty.cluster.slots.leader import SlotLeader
from casty.cluster.slots.machine import Applied, MachineLimits, SlotMachine
from casty.cluster.slots.operations import SCAN
from casty.cluster.slots.window import Window
from casty.distributed.machines.base import BAD
from casty.errors import RemoteProtocolError
from casty.schema import Rule, compiled, flaw
from casty.wire.pack import pack, unpack

from .mutants import Mutants

__all__ = ["FUZZERS", "Report", "fuzz_control", "fuzz_slot"]

LIFE = 2_000
"""Entries that one machine lives for: its state stays small, and what comes first happens often."""

COMPARED = 41
"""Every so many entries the replicas are compared as a whole."""

_LEADERS = (slot_schema.EXPIRE, slot_schema.LAPSE, slot_schema.APPENDED, slot_schema.PAY)
"""Entries that fit and are taken of no gateway."""

ADDED_BYTES = 5_000
"""What a reply may be longer than what it answers."""


class Report(NamedTuple):
    """What a run counted, and its faults: where, and the first of each kind."""

    counts: Counter[str]
    faults: dict[str, str]


class _Run:
    """Counts, and takes down what must not be."""

    def __init__(self, schema: Rule, check: Callable[[bytes], Any]) -> None:
        self.report = Report(Counter(), {})
        self._schema = schema
        self._fits = compiled(schema)
        self._check = check

    def fault(self, what: str, data: bytes, error: BaseException | None = None) -> None:
        """Take down the first of a kind."""
        place = ""
        if error is not None:
            frames = traceback.extract_tb(error.__traceback__)
            place = " " + " < ".join(
                f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames[::-1][:3]
            )
            what = f"{what}: {type(error).__name__}"
        self.report.counts["faults"] += 1
        self.report.faults.setdefault(what + place, f"{error!r:.150} {data[:80].hex()}")

    def fits(self, data: bytes) -> bool:
        """Whether the proposer takes an entry; what the schema says by its two ways is compared on the way."""
        self.report.counts["entries"] += 1
        try:
            plain: Any = unpack(data)
            if self._fits(plain) != (flaw(self._schema, plain, "entry") is None):
                self.fault("the two ways to ask a schema differ", data)
            self._check(data)
        except RemoteProtocolError as error:
            if len(str(error)) > ADDED_BYTES:
                self.fault("a refusal of any length", data)
            self.report.counts["refused"] += 1
            return False
        except Exception as error:
            self.fault("check", data, error)
            return False
        if not self._fits(plain):
            self.fault("taken and does not fit", data)
        return True

    def answered(self, data: bytes, reply: list[Any]) -> None:
        """Look whether a reply can be sent."""
        self.report.counts["applied"] += 1
        if len(pack(reply)) > 4 * len(data) + ADDED_BYTES:
            self.fault("a reply of any length", data)


def fuzz_slot(count: int, seed: int) -> Report:
    """Apply so many mutants of the entries of a slot; reads and keep-alives in between."""
    mutants = Mutants(seed)
    run = _Run(slot_schema.ENTRIES, slot_schema.check_entry)
    pair = _slots(mutants)
    leader = SlotLeader(pair[0], 10**9, 0, Window(16, 2_000))
    for number in range(1, count + 1):
        if number % LIFE == 0:
            pair = _slots(mutants)
            leader = SlotLeader(pair[0], 10**9, 0, Window(16, 2_000))
        data = _misnamed(pair[0], mutants) if number % 11 == 0 else mutants.packed(slot_schema.ENTRIES)[1]
        is_taken = run.fits(data)
        try:
            _apply_to_slots(run, pair, number, data, is_taken)
            if number % 5 == 0:
                _ask_slot(run, pair[0], mutants)
            if number % 7 == 0:
                data = _keep_alive(run, pair[0], leader, mutants, number) or data
        except Exception as error:
            run.fault("apply", data, error)
            pair = _slots(mutants)
            leader = SlotLeader(pair[0], 10**9, 0, Window(16, 2_000))
    return run.report


def _requests(machine: SlotMachine, session: int, mutants: Mutants) -> list[list[Any]]:
    """Return requests that a session made, said to be of any kind and name: who sends them may say what it likes."""
    known = machine.sessions[session]
    numbers = [*known.waits, *known.replies, *known.outcomes]
    chosen = mutants.random.sample(numbers, min(len(numbers), 3))
    return [[seq, mutants.fitting(slot_schema.KIND), mutants.random.choice([b"a", b"b"])] for seq in chosen]


def _misnamed(machine: SlotMachine, mutants: Mutants) -> bytes:
    """Return an entry that withdraws what it does not know."""
    if not machine.sessions:
        return mutants.packed(slot_schema.ENTRIES)[1]
    session = mutants.random.choice(list(machine.sessions))
    return pack([slot_schema.ABANDON, session, 0, _requests(machine, session, mutants)])


def _slots(mutants: Mutants) -> list[SlotMachine]:
    limits = MachineLimits(*(mutants.random.choice(few) for few in ([3, 50], [2, 5], [1, 3, 20])))
    return [SlotMachine(limits, 1) for _ in range(2)]


def _apply_to_slots(run: _Run, pair: list[SlotMachine], index: int, data: bytes, is_taken: bool) -> None:
    first, second = pair
    is_compared = index % COMPARED == 0
    before = first.dump() if is_compared else b""
    applied = first.apply(index, data)
    if second.apply(index, data) != applied:
        run.fault("replicas answer differently", data)
    run.answered(data, [applied.reply, *map(list, applied.effects)])
    if applied.reply[0] == BAD:
        if is_taken:
            run.fault("taken and then refused", data)
        if applied != Applied(applied.reply) or (is_compared and first.dump() != before):
            run.fault("refused and yet it did something", data)
    elif not is_taken and slot_schema.applicable(data)[0] not in _LEADERS:
        run.fault("refused and then applied", data)
    if is_compared:
        whole = first.dump()
        if second.dump() != whole:
            run.fault("replicas differ", data)
        pair[1] = SlotMachine(first.limits, 1)
        pair[1].load(whole)


def _ask_slot(run: _Run, machine: SlotMachine, mutants: Mutants) -> None:
    plain, data = mutants.packed(slot_schema.READ)
    try:
        plain = unpack(data)
        kind, entity, query = slot_schema.check_read(plain)
    except RemoteProtocolError:
        return
    if query[0] == SCAN:
        run.answered(data, list(machine.scan(kind, entity, query[1], 1_000)))
    else:
        run.answered(data, machine.query(kind, entity, query))


def _keep_alive(
    run: _Run, machine: SlotMachine, leader: SlotLeader, mutants: Mutants, now_ns: int
) -> bytes | None:
    rule = mutants.random.choice(list(slot_schema.KEEPALIVES.values()))
    _, data = mutants.packed(rule)
    if machine.sessions and mutants.random.random() < 0.5:
        session = mutants.random.choice(list(machine.sessions))
        named = [_requests(machine, session, mutants) for _ in range(3)]
        data = pack([0, 1, session, *named, mutants.fitting(slot_schema.COUNT)])
    try:
        row = slot_schema.check_keepalive(unpack(data))
    except RemoteProtocolError:
        return None
    answer, entry = leader.keep_alive(row, now_ns)
    run.answered(data, answer)
    if entry is not None:
        slot_schema.applicable(entry)
    return entry


FOUNDING: dict[str, Any] = {
    "id": "f", "founder": "a", "name": "n", "generation": 3, "cluster_id": "c", "slots": 4, "replication": 3,
    "settings": {"session_ttl_s": 15.0, "drift": 0.01},
    "founders": [["a", "a", "a", 1, [None, 100, []]], ["b", "b", "b", 1, [None, 100, []]]],
}  # fmt: skip


def fuzz_control(count: int, seed: int) -> Report:
    """Apply so many mutants of the entries of the control group."""
    mutants = Mutants(seed)
    run = _Run(control_schema.ENTRIES, control_schema.check_entry)
    pair: list[ControlMachine] = []
    for number in range(count):
        if number % LIFE == 0:
            pair = [ControlMachine(), ControlMachine()]
            if mutants.random.random() < 0.9:
                for machine in pair:
                    machine.apply(pack([FOUND, FOUNDING]))
        value, data = mutants.packed(control_schema.ENTRIES)
        if _is_large(value, pair[0]):
            continue  # a founding of thousands of slots takes seconds to place
        is_taken = run.fits(data)
        try:
            _apply_to_controls(run, pair, number, data, is_taken)
        except Exception as error:
            run.fault("apply", data, error)
            pair = [ControlMachine(), ControlMachine()]
    return run.report


def _is_large(value: Any, machine: ControlMachine) -> bool:
    if machine.is_founded or not isinstance(value, list) or len(value) < 2 or not isinstance(value[1], dict):
        return False
    slots = value[1].get("slots")
    return isinstance(slots, int) and slots > 64


def _apply_to_controls(
    run: _Run, pair: list[ControlMachine], number: int, data: bytes, is_taken: bool
) -> None:
    first, second = pair
    is_compared = number % COMPARED == 0
    before = first.dump() if is_compared else b""
    reply = first.apply(data)
    if second.apply(data) != reply:
        run.fault("replicas answer differently", data)
    run.answered(data, reply)
    if (reply[0] == MALFORMED) == is_taken:
        run.fault("check and apply do not say the same", data)
    if is_compared:
        whole = first.dump()
        if reply[0] == MALFORMED and whole != before:
            run.fault("refused and yet it did something", data)
        if second.dump() != whole:
            run.fault("replicas differ", data)
        pair[1] = ControlMachine()
        pair[1].load(whole)


FUZZERS: dict[str, Callable[[int, int], Report]] = {"slot": fuzz_slot, "control": fuzz_control}
"""By group."""
