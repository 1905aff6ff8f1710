"""An order from the log explains what any order explains, and never more."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casty.distributed.machines.base import COUNTER, DESTROY, MAP, OK, SET
from casty.distributed.machines.counter import ADD
from casty.distributed.machines.map import PUT
from casty.distributed.machines.set import ADD as ADD_MEMBER
from casty.distributed.machines.set import REMOVE
from casty.wire.codec import default_codec
from casty.wire.pack import pack
from sim.checks.history.check import check_history
from sim.checks.history.committed import CommandLog, is_explained_by, kept_order
from sim.checks.history.linearizability import BUDGET, Model, linearize, search
from sim.checks.history.models import COUNTER_MODEL, QUEUE_MODEL
from sim.checks.history.queue_rows import FREE, LOST, MOVED, REVIVED, Change, Row
from sim.history import Operation
from sim.plans.keys import key_of, large_item
from tests.sim.checks.histories import MODELS, Script, drawn


def changing(operations: Sequence[Operation], model: Model) -> list[Operation]:
    """Return those that changed something in this order, as a log has them."""
    state, found = model.initial, []
    for operation in operations:
        after = model.step(state, operation)
        assert after is not None
        if after != state:
            found.append(operation)
        state = after
    return found


@pytest.mark.parametrize("structure", ["counter", "queue", "map", "set"])
@given(seed=st.integers(0, 1 << 40))
@settings(max_examples=300, deadline=None)
def test_what_a_search_finds_is_explained_by_its_own_order(structure: str, seed: int) -> None:
    operations, model = drawn(structure, seed), MODELS[structure]
    end = search(operations, model)
    if end.is_ok:
        assert is_explained_by(changing(end.prefix, model), operations, model)


@pytest.mark.parametrize("structure", ["counter", "queue", "map", "set"])
@given(seed=st.integers(0, 1 << 40))
@settings(max_examples=100, deadline=None)
def test_no_order_explains_what_no_search_can(structure: str, seed: int) -> None:
    operations, model = drawn(structure, seed)[:5], MODELS[structure]
    if search(operations, model).is_ok:
        return
    for count in range(len(operations) + 1):
        for order in itertools.permutations(operations, count):
            assert not is_explained_by(order, operations, model)


def test_what_ended_before_a_call_stays_before_it() -> None:
    script = Script("c")
    later = script.add(10, 12, "counter.add", {"amount": 1}, 1)
    sooner = script.add(0, 5, "counter.add", {"amount": 1}, 2)
    assert not is_explained_by([later, sooner], script.operations, COUNTER_MODEL)


def test_a_read_stays_between_what_it_follows_and_what_follows_it() -> None:
    for call, back, value, is_right in [
        (6, 8, 1, True),
        (6, 8, 0, False),
        (6, 8, 2, False),
        (6, 11, 2, True),
    ]:
        script = Script("c")
        order = [
            script.add(0, 5, "counter.add", {"amount": 1}, 1), script.add(10, 12, "counter.add", {"amount": 1}, 2)
        ]  # fmt: skip
        script.add(call, back, "counter.get", {}, value)
        assert is_explained_by(order, script.operations, COUNTER_MODEL) is is_right


def test_a_read_does_not_go_back_behind_an_earlier_one() -> None:
    script = Script("c")
    order = [script.add(0, 20, "counter.add", {"amount": 1}, 1)]
    script.add(1, 3, "counter.get", {}, 1)
    script.add(4, 6, "counter.get", {}, 0)
    assert not is_explained_by(order, script.operations, COUNTER_MODEL)


def test_the_one_that_was_answered_so_is_found() -> None:
    script = Script("c")
    late = script.add(0, 20, "counter.add", {"amount": 1}, 1)
    early = script.add(0, 8, "counter.subtract", {"amount": -1}, 1)
    other = script.add(1, 9, "counter.add", {"amount": 1}, 2)
    open_one = script.unknown(2, "counter.add", {"amount": 1})
    log = CommandLog()
    for t_ns, answer in ((4, 1), (5, 2), (6, 1), (7, 4)):
        log.take(COUNTER, b"c", t_ns, [ADD, 1], [OK, answer])
    assert kept_order(script.operations, log.of("counter", "c")[1]) == [early, other, late, open_one]


def test_a_log_of_what_nobody_recorded_explains_nothing() -> None:
    script = Script("q")
    script.add(0, 5, "queue.enqueue", {"value": 7})
    script.add(6, 9, "queue.dequeue", {}, 7)
    log = CommandLog()
    log.take_row(enqueued(7), 3)
    log.take_row(dequeued(7), 7)
    assert kept_order(script.operations, log.of("queue", "q")[1]) == script.operations
    log.take_row(enqueued(8), 8)
    assert kept_order(script.operations, log.of("queue", "q")[1]) is None
    assert not check_history(script.history, log=log), "then the search is asked, as without a log"


def test_what_a_reservation_is_called_in_a_history_is_in_no_log() -> None:
    script = Script("q")
    script.add(0, 5, "queue.enqueue", {"value": 7})
    script.add(6, 9, "queue.reserve", {}, 7)
    script.add(10, 14, "queue.ack", {"value": 7, "of": 1}, True)
    log = CommandLog()
    log.take_row(enqueued(7), 3)
    log.take_row(Row(b"q", "reserve", (), pack(7)), 7)
    log.take_row(Row(b"q", "ack", (pack(7),), True), 12)
    assert kept_order(script.operations, log.of("queue", "q")[1]) == script.operations


@pytest.mark.parametrize("is_had", [True, False])
def test_what_may_be_free_again_is_so_where_somebody_had_it_afterwards(is_had: bool) -> None:
    script = Script("q")
    script.add(0, 5, "queue.enqueue", {"value": 7})
    script.unknown(6, "queue.dequeue", {})
    log = CommandLog()
    log.take_row(enqueued(7), 3)
    log.take_row(dequeued(7), 7)
    log.take_row(Row(b"q", REVIVED, (pack(7), FREE), None), 10)
    if is_had:
        script.add(11, 14, "queue.dequeue", {}, 7)
        log.take_row(dequeued(7), 12)
    else:
        script.add(11, 14, "queue.enqueue", {"value": 8})
        script.add(15, 19, "queue.dequeue", {}, 8)
        log.take_row(enqueued(8), 12)
        log.take_row(dequeued(8), 16)
    order = kept_order(script.operations, log.of("queue", "q")[1])
    assert order is not None
    assert sum(one.kind == "queue.revived" for one in order) == is_had
    assert is_explained_by(order, script.operations, QUEUE_MODEL)


CAME, LEFT = Change(b"q", b"life", 5), Change(b"q", b"life", 6)


def reserved(value: object) -> Row:
    """What the log says of an item that somebody reserved."""
    return Row(b"q", "reserve", (), pack(value))


US = 1_000_000
"""Long beside an instant: whatever moves by itself overlaps with all that is of its instant."""


def lost_with_its_memory(script: Script) -> CommandLog:
    """Two items came, the second off the record, and both were reserved; then the cluster lost its memory."""
    script.add(0, 5, "queue.enqueue", {"value": 7})
    script.add(10, 15, "queue.reserve", {}, 7)
    script.unknown(20, "queue.enqueue", {"value": 8})
    script.unknown(30, "queue.reserve", {})
    script.add(40, 45, "queue.nack", {"value": 7, "of": 1}, True)
    log = CommandLog()
    rows = [
        (3, enqueued(7)), (12, reserved(7)), (23, enqueued(8)), (33, reserved(8)),
        # Its gateway could not confirm it, and gave it back.
        (36, Row(b"q", "nack", (pack(8),), True)), (36, Row(b"q", MOVED, (pack(8), FREE), None)),
        (42, Row(b"q", "nack", (pack(7),), True)), (42, Row(b"q", MOVED, (pack(7), FREE), None)),
        (47, Row(b"q", LOST, (pack(8), FREE), None, CAME)),
    ]  # fmt: skip
    for at, row in rows:
        log.take_row(row, at * US)
    return log


@pytest.mark.parametrize("is_on_record", [True, False])
@pytest.mark.parametrize("found", [1, 2])
def test_what_came_off_the_record_is_gone_with_the_memory_and_nothing_else_is(
    found: int, is_on_record: bool
) -> None:
    script = Script("q", US)
    log = lost_with_its_memory(script)
    script.add(50, 55, "queue.size", {}, found)
    log.reconcile(lambda change: is_on_record and change == CAME)
    order = kept_order(script.operations, log.of("queue", "q")[1])
    assert order is not None, "that a gateway gave something back is nobody's call"
    is_right = found == 1 + is_on_record
    assert is_explained_by(order, script.operations, QUEUE_MODEL) is is_right
    assert bool(linearize(script.operations + log.moved("q"), QUEUE_MODEL, "q")) is not is_right
    assert bool(check_history(script.history, log=log)) is not is_right


@pytest.mark.parametrize("values", [(7, 8), (7,), (8, 7)])
def test_what_is_lost_is_not_handed_out_afterwards(values: tuple[int, ...]) -> None:
    script = Script("q", US)
    log = lost_with_its_memory(script)
    for at, value in enumerate((*values, None)):
        script.add(50 + 10 * at, 55 + 10 * at, "queue.dequeue", {}, value)
        log.take_row(Row(b"q", "dequeue", (), None if value is None else pack(value)), (52 + 10 * at) * US)
    assert bool(check_history(script.history, log=log)) is (values != (7,))


def test_an_ack_that_came_to_nothing_need_not_say_of_what() -> None:
    script, log = Script("q", US), CommandLog()
    script.add(0, 1, "queue.enqueue", {"value": 7})
    script.add(2, 3, "queue.ack", {"value": 8, "of": 1}, False)
    script.add(4, 5, "queue.dequeue", {}, 7)
    for at, row in [(1, enqueued(7)), (3, Row(b"q", "ack", (None,), False)), (5, dequeued(7))]:
        log.take_row(row, at * US)
    order = kept_order(script.operations, log.of("queue", "q")[1])
    assert order is not None and is_explained_by(order, script.operations, QUEUE_MODEL)
    unknown = CommandLog()
    unknown.take_row(Row(b"q", "ack", (None,), True), US)
    assert kept_order(script.operations, unknown.of("queue", "q")[1]) is None, "that one took something"


def test_what_moved_at_the_instant_of_an_answer_may_have_moved_before_it() -> None:
    script, log = Script("q", US), CommandLog()
    script.add(0, 1, "queue.enqueue", {"value": 7})
    script.add(2, 3, "queue.reserve", {}, 7)
    script.add(4, 5, "queue.dequeue", {}, 7)
    rows = [
        (1, enqueued(7)), (3, reserved(7)), (5, Row(b"q", MOVED, (pack(7), FREE), None)), (5, dequeued(7)),
    ]  # fmt: skip
    for at, row in rows:
        log.take_row(row, at * US)
    order = kept_order(script.operations, log.of("queue", "q")[1])
    assert order is not None and is_explained_by(order, script.operations, QUEUE_MODEL)
    assert not linearize(script.operations + log.moved("q"), QUEUE_MODEL, "q")
    late = script.add(6, 7, "queue.dequeue", {}, None)
    assert not check_history(script.history, log=log)
    late.value = 7
    assert check_history(script.history, log=log)


def test_an_item_given_back_by_nobody_has_to_have_moved() -> None:
    """A refusal that no client asked for explains nothing by itself."""
    script, log = Script("q"), CommandLog()
    us = 1_000_000
    script.add(0, us, "queue.enqueue", {"value": 7})
    script.add(2 * us, 3 * us, "queue.reserve", {}, 7)
    script.add(6 * us, 7 * us, "queue.reserve", {}, 7)
    rows = [enqueued(7), reserved(7), Row(b"q", "nack", (pack(7),), True), reserved(7)]
    for t_ns, row in zip((us // 2, 2 * us, 5 * us, 6 * us), rows, strict=True):
        log.take_row(row, t_ns)
    order = kept_order(script.operations, log.of("queue", "q")[1])
    assert order is not None and not is_explained_by(order, script.operations, QUEUE_MODEL)


@pytest.mark.parametrize("is_on_record", [True, False])
def test_what_left_on_record_does_not_come_back(is_on_record: bool) -> None:
    """What was acknowledged is on record; of what nobody heard of either may be."""
    script, log = Script("q"), CommandLog()
    script.add(0, 5, "queue.enqueue", {"value": 7})
    script.add(10, 15, "queue.reserve", {}, 7)
    script.unknown(20, "queue.ack", {"value": 7, "of": 1})
    script.add(30, 35, "queue.reserve", {}, 7)
    rows = [
        (3, enqueued(7)), (12, reserved(7)), (22, Row(b"q", "ack", (pack(7),), True)),
        (27, Row(b"q", REVIVED, (pack(7), FREE), None, LEFT)), (32, reserved(7)),
    ]  # fmt: skip
    for t_ns, row in rows:
        log.take_row(row, t_ns)
    log.reconcile(lambda change: is_on_record and change == LEFT)
    assert bool(check_history(script.history, log=log)) is is_on_record


@pytest.mark.parametrize(("recorded", "is_there"), [(4, True), (5, False), (6, True)])
def test_where_an_item_is_that_was_taken_and_put_back_off_the_record(recorded: int, is_there: bool) -> None:
    """Nobody heard of it: what is on record of that tells, and the first change that is not."""
    script, log, us = Script("q"), CommandLog(), 1_000_000
    script.add(0, 5 * us, "queue.enqueue", {"value": 7})
    script.unknown(10 * us, "queue.dequeue", {})
    last = script.add(50 * us, 55 * us, "queue.dequeue", {}, 7 if is_there else None)
    rows = [
        (3, enqueued(7)), (12, dequeued(7)), (15, Row(b"q", MOVED, (pack(7), FREE), None)),
        (30, Row(b"q", REVIVED, (pack(7), FREE), None, Change(b"q", b"life", 5))),
        (30, Row(b"q", LOST, (pack(7), FREE), None, Change(b"q", b"life", 6))),
        (52, Row(b"q", "dequeue", (), pack(7) if is_there else None)),
    ]  # fmt: skip
    for t_us, row in rows:
        log.take_row(row, t_us * us)
    log.reconcile(lambda change: change.number <= recorded)
    order = kept_order(script.operations, log.of("queue", "q")[1])
    assert order is not None and is_explained_by(order, script.operations, QUEUE_MODEL)
    assert not linearize(script.operations + log.moved("q"), QUEUE_MODEL, "q")
    last.value = None if is_there else 7
    assert linearize(script.operations + log.moved("q"), QUEUE_MODEL, "q")


def test_an_item_that_nobody_saw_is_left_out_with_all_that_became_of_it() -> None:
    """Also where the order of the log explains nothing: the search is not asked to place where the item went."""
    script, log = Script("q"), CommandLog()
    script.unknown(0, "queue.enqueue", {"value": 7})
    script.add(10, 15, "queue.enqueue", {"value": 8})
    script.add(20, 25, "queue.dequeue", {}, 8)
    for t_ns, row in [(3, enqueued(9)), (5, enqueued(7)), (6, Row(b"q", MOVED, (pack(7), FREE), None))]:
        log.take_row(row, t_ns)
    assert kept_order(script.operations, log.of("queue", "q")[1]) is None
    assert not check_history(script.history, log=log)
    script.add(30, 35, "queue.dequeue", {}, 8)
    assert check_history(script.history, log=log)


def test_each_key_of_a_map_has_an_order_and_a_sweep_is_a_deletion_in_it() -> None:
    script = Script("m")
    script.add(0, 5, "map.put", {"key": 1, "value": 7}, None)
    script.add(1, 6, "map.put", {"key": 2, "value": 8}, None)
    script.unknown(2, "map.put", {"key": 1, "value": 9})
    script.add(10, 20, "map.destroy", {}, True)
    script.add(21, 22, "map.get", {"key": 1}, None)
    log = CommandLog()
    for t_ns, key, command, answer in [
        (2, 1, [PUT, pack(7)], None), (3, 2, [PUT, pack(8)], None), (4, 1, [PUT, pack(9)], pack(7)),
        (12, 2, [DESTROY], True), (13, 1, [DESTROY], True),
    ]:  # fmt: skip
        log.take(MAP, pack(["m", pack(key)]), t_ns, command, [OK, answer])
    assert len(log.of("map", "m")) == 3
    first = [one for one in script.operations if one.args.get("key") == 1]
    swept = Operation(3, "client-0", "map.sweep", "m", {}, 10)
    swept.outcome, swept.return_ns, swept.value = "ok", 20, True
    operations = [*first[:2], swept, first[2]]
    orders = [kept_order(operations, committed) for committed in log.of("map", "m")]
    assert orders == [[], [*first[:2], swept], None]
    assert not check_history(script.history, log=log)


def test_members_and_large_items_are_told_by_their_numbers() -> None:
    members, items, log = Script("set-mixed"), Script("q"), CommandLog()
    members.add(0, 5, "set.add", {"value": 2}, True)
    members.add(6, 9, "set.remove", {"value": 2}, True)
    canonical = default_codec().canonical(key_of("set-mixed", 2, 1))
    log.take(SET, b"set-mixed", 3, [ADD_MEMBER, canonical], [OK, True])
    log.take(SET, b"set-mixed", 7, [REMOVE, canonical], [OK, True])
    items.add(0, 5, "queue.enqueue", {"value": 3})
    items.add(6, 9, "queue.dequeue", {}, 3)
    log.take_row(enqueued(large_item(3)), 3)
    log.take_row(dequeued(large_item(3)), 7)
    for script, committed in [(members, log.of("set", "set-mixed")[1]), (items, log.of("queue", "q")[1])]:
        assert kept_order(script.operations, committed) == script.operations


def enqueued(value: object) -> Row:
    """What the log says of an item that came."""
    return Row(b"q", "enqueue", (pack(value),), None)


def dequeued(value: object) -> Row:
    """What the log says of an item that somebody took."""
    return Row(b"q", "dequeue", (), pack(value))


def test_what_no_client_hears_explains_what_clients_see() -> None:
    """An item that somebody had, who is gone, is there again: the log knows when."""
    script, log = Script("q"), CommandLog()
    script.add(0, 5, "queue.enqueue", {"value": 1})
    script.add(6, 9, "queue.enqueue", {"value": 2})
    script.unknown(10, "queue.dequeue", {})
    script.add(20, 25, "queue.dequeue", {}, 2)
    script.add(30, 35, "queue.reserve", {}, 1)
    script.add(36, 39, "queue.nack", {"value": 1, "of": 4}, True)
    script.add(40, 45, "queue.dead", {}, 1)
    rows = [
        (3, enqueued(1)), (7, enqueued(2)), (12, dequeued(1)), (22, dequeued(2)),
        (27, Row(b"q", "moved", (pack(1), "free"), None)), (32, Row(b"q", "reserve", (), pack(1))),
        (38, Row(b"q", "nack", (pack(1),), True)), (38, Row(b"q", "moved", (pack(1), "dead"), None)),
        (42, Row(b"q", "dead", (), pack(1))),
    ]  # fmt: skip
    for t_ns, row in rows:
        log.take_row(row, t_ns)
    assert not check_history(script.history, log=log)
    assert [one.kind for one in log.moved("q")] == ["queue.moved"] * 2
    assert not linearize(script.operations + log.moved("q"), QUEUE_MODEL, "q"), "the search finds it as well"
    assert linearize(script.operations, QUEUE_MODEL, "q"), "and without it nothing explains what was seen"


def hard_queue() -> tuple[Script, CommandLog]:
    """Return what a search gives up on: counts, with dozens of unknown outcome that may explain each of them."""
    script, log, count = Script("q"), CommandLog(), 0
    for number in range(60):
        at = 100 * number
        script.unknown(at, "queue.enqueue", {"value": 1000 + number})
        script.unknown(at, "queue.dequeue", {})
        script.add(at + 1, at + 90, "queue.enqueue", {"value": number})
        log.take_row(enqueued(number), at + 50)
        count += 1
        if number % 3 == 0:
            log.take_row(enqueued(1000 + number), at + 60)
            count += 1
        script.add(at + 70, at + 95, "queue.size", {}, count)
    return script, log


def test_the_log_decides_what_the_search_gives_up_on() -> None:
    script, log = hard_queue()
    undecided: list[str] = []
    assert not check_history(script.history, undecided, log)
    assert not undecided
    assert search(script.operations, QUEUE_MODEL, BUDGET // 50).is_ok is None


def test_a_wrong_answer_is_a_violation_whatever_the_log_says() -> None:
    script = Script("c")
    script.add(0, 5, "counter.add", {"amount": 1}, 1)
    script.add(6, 9, "counter.add", {"amount": 1}, 5)
    log = CommandLog()
    log.take(COUNTER, b"c", 3, [ADD, 1], [OK, 1])
    log.take(COUNTER, b"c", 7, [ADD, 1], [OK, 5])
    assert check_history(script.history, log=log)
