"""Portraits of machines: every attribute counts, whether a dump knows of it or not."""

from __future__ import annotations

from casty.cluster.slots.machine import MachineLimits, SlotMachine
from casty.cluster.slots.schema import COMMAND, OPEN
from casty.distributed.machines.barrier import Assembly
from casty.distributed.machines.base import BARRIER, COUNTER, LOCK, MAP
from casty.entity_order import RUN
from casty.wire.pack import pack
from sim.checks.step.portrait import differing, portrait_of


def machine() -> SlotMachine:
    made = SlotMachine(MachineLimits(), 1)
    made.apply(1, pack([OPEN, b"attempt", b"client"]))
    made.apply(2, pack([COMMAND, 1, 1, 1, 1, LOCK, b"e", [1]]))
    made.apply(3, pack([COMMAND, 1, 2, 1, 1, COUNTER, b"e", [1, 5]]))
    return made


def test_equal_machines_look_equal() -> None:
    one, other = machine(), machine()
    other.load(one.dump())
    assert differing(portrait_of(one), portrait_of(other)) == []


def test_each_attribute_counts() -> None:
    one, other = machine(), machine()
    other._counter += 1
    other.sessions[1].wait_low += 1
    other.entities[LOCK, b"e"].taken += 1
    assert differing(portrait_of(one), portrait_of(other)) == ["_counter", "entities", "sessions"]


def test_what_is_shared_looks_like_what_is_not() -> None:
    one, other = machine(), machine()
    reply = [0, 5]
    one.sessions[1].replies.update({7: reply, 8: reply})
    other.sessions[1].replies.update({7: [0, 5], 8: [0, 5]})
    assert differing(portrait_of(one), portrait_of(other)) == []


def test_the_order_of_waiting_counts() -> None:
    one, other = machine(), machine()
    for made, sessions in ((one, (8, 9)), (other, (9, 8))):
        for session in sessions:
            made.entities[LOCK, b"e"].wait((session, 1), made.entities[LOCK, b"e"].grants[1, 1])
    assert differing(portrait_of(one), portrait_of(other)) == ["entities"]


def test_a_table_that_everybody_left_is_like_one_that_was_never_made() -> None:
    one, other = machine(), machine()
    line = one.entities[LOCK, b"e"]
    line.wait((8, 1), line.grants[1, 1])
    del line.waiters[8, 1]
    line.dismiss({(8, 1): [0]})
    del line.dismissed[8, 1]
    line.revoke({(8, 1): line.grants[1, 1]})
    line.revoked.clear()
    assert differing(portrait_of(one), portrait_of(other)) == []


def test_the_order_of_an_index_does_not_count() -> None:
    one, other = machine(), machine()
    for made, keys in ((one, [(8, 1), (8, 2), (9, 1)]), (other, [(9, 1), (8, 2), (8, 1)])):
        for key in keys:
            made.entities[LOCK, b"e"].owners.add(key)
    assert differing(portrait_of(one), portrait_of(other)) == []


def test_the_order_of_counted_parties_does_not_count_but_their_number_does() -> None:
    one, other = Assembly(), Assembly()
    for made, parties in ((one, ("a", "b")), (other, ("b", "a"))):
        made.arrivals = {(1, 1): "a", (2, 1): "b"}
        made.parties = dict.fromkeys(parties, 1)
    first, second = machine(), machine()
    first.entities[BARRIER, b"e"], second.entities[BARRIER, b"e"] = one, other
    assert differing(portrait_of(first), portrait_of(second)) == []
    other.parties["a"] += 1
    assert differing(portrait_of(first), portrait_of(second)) == ["entities"]


def test_how_names_in_order_are_cut_does_not_count_but_each_of_them_does() -> None:
    one, other = machine(), machine()
    names = [b"%04d" % number for number in range(2 * RUN + 100)]
    for made, ordered in ((one, names), (other, names[::-1])):
        for name in ordered:
            made._orders[MAP].add(name)
    assert [*map(len, one._orders[MAP].runs)] != [*map(len, other._orders[MAP].runs)]
    assert differing(portrait_of(one), portrait_of(other)) == []
    other._orders[MAP].remove(names[7])
    assert differing(portrait_of(one), portrait_of(other)) == ["_orders"]
