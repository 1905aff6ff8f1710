"""What the core of sessions, and its driver, do at the moments that are rare."""

from __future__ import annotations

from typing import Any

import pytest

from casty.cluster.sessions.core import effects as out
from casty.cluster.sessions.core import inputs
from casty.cluster.sessions.core.call import Call
from casty.cluster.sessions.core.effects import Effect
from casty.cluster.sessions.core.life import CallState
from casty.cluster.sessions.gateway import Gateway
from casty.config import Settings
from casty.distributed.machines.base import (
    BUSY,
    COUNTER,
    DESTROY,
    EXPIRED,
    LOCK,
    NOT_LEADER,
    OK,
    SEMAPHORE,
    Reply,
)
from casty.distributed.machines.lock import ACQUIRE, RELEASE
from casty.distributed.machines.semaphore import ACQUIRE as SEMAPHORE_ACQUIRE
from casty.distributed.machines.semaphore import RESIZE
from casty.distributed.port import LOST_EXPIRED
from casty.errors import InternalError, MessageTooLarge, NotStarted, OutcomeUnknown, RemoteProtocolError
from casty.wire import frames
from casty.wire.pack import pack, unpack
from tests.kit.clock import ManualClock
from tests.kit.entropy import CountedEntropy, lowest
from tests.kit.ports import Ports
from tests.unit.cluster.sessions.core_bench import Bench, Place, is_send

SESSION = 7


def open_bench() -> Bench:
    """A bench with an open session and no call."""
    bench = Bench()
    first = bench.write(COUNTER, [1, 1])
    bench.reply(sent(bench.begin(first))[0], [OK, SESSION])
    bench.reply(first.call_id, [OK, 1])
    return bench


def sent(effects: list[Effect]) -> list[int]:
    """The calls that were sent."""
    return [effect[1][0] for effect in effects if is_send(effect)]


def waiting(bench: Bench) -> Call:
    call = bench.write(LOCK, [ACQUIRE])
    call.is_waiting = True
    bench.begin(call)
    return call


def test_a_parked_call_that_a_late_answer_redirects_is_sent_once() -> None:
    bench = open_bench()
    call = bench.write(COUNTER, [1, 1])
    bench.begin(call)
    bench.reply(call.call_id, [BUSY])
    assert call.state is CallState.PARKED
    assert sent(bench.reply(call.call_id, [NOT_LEADER, "b", 9])) == [call.call_id]
    assert call.state is CallState.SENT and bench.core.table.parked_count == 0
    assert sent(bench.advance(1.0)) == [], "it is not parked as well"


def test_what_ended_since_it_was_chosen_is_not_sent() -> None:
    bench = open_bench()
    calls = [bench.write(COUNTER, [1, 1]) for _ in range(3)]
    bench.place.elect(None)
    for call in calls:
        bench.begin(call)
    router, chosen = bench.core._router, bench.core.table.routed(0, 3)
    bench.give(inputs.GiveUp(calls[1]))
    bench.place.elect("b")
    for call in chosen:
        router.resume(call)
    # What the calls above came to is told by the next step.
    assert sent(bench.give(inputs.AskSoon(bench.core.sessions_by_slot[0]))) == [
        calls[0].call_id,
        calls[2].call_id,
    ]
    assert calls[1].state is CallState.DONE
    assert bench.core.table.of_slot(0) == [calls[0], calls[2]]


def test_a_release_whose_session_is_gone_is_sent_to_nobody() -> None:
    bench = open_bench()
    call = waiting(bench)
    bench.reply(call.call_id, [OK, 41])
    held = call.held
    assert held is not None and bench.core.is_held(held)
    bench.give(held)
    bench.place.epoch = 2  # nobody said so yet
    release = bench.write(LOCK, [RELEASE, held.seq])
    release.is_urgent, release.only_in = True, held.session
    assert bench.begin(release) == [release]
    assert release.reply == [OK, False]


def test_a_grant_of_a_session_that_is_lost_is_lost_at_once() -> None:
    bench = open_bench()
    call = waiting(bench)
    session = call.session
    assert session is not None
    # The acknowledgement overtakes the answer, which was on its way before the session expired.
    bench.give(inputs.AskSoon(session))
    asked = [one for one in bench.advance(0.01) if isinstance(one, out.SendKeepAlive)]
    bench.give(inputs.KeptAlive(asked[0].nonce, [[0, EXPIRED, [], [], [], None, 1]]))
    bench.advance(0.0)
    finish, *more = bench.reply(call.call_id, [OK, 41])
    assert finish is call and call.reply == [OK, 41]
    assert call.held is not None and call.held.is_over
    assert more == [out.Lost(call.held, LOST_EXPIRED)]


def test_the_same_inputs_give_the_same_effects() -> None:
    def told() -> list[str]:
        bench = open_bench()
        for call in (bench.write(COUNTER, [1, 1], 1.0), bench.read(COUNTER, [1], 0.5)):
            bench.begin(call)
        waiting(bench)
        bench.advance(9.0)
        return [repr(tuple(effect)[1:]) for effect in bench.effects if isinstance(effect, tuple)]

    assert told() == told()


def test_an_answer_that_no_call_of_its_kind_has_is_an_error_of_the_slot() -> None:
    bench = open_bench()
    call = bench.write(COUNTER, [1, 1])
    bench.begin(call)
    (finish,) = bench.reply(call.call_id, [20])
    assert isinstance(finish, out.Fail) and isinstance(finish.error, InternalError)


class OneNode(Place):
    """The routes of a node's own gateway, which answers itself at once."""

    def __init__(self) -> None:
        super().__init__()
        self.gateway: Gateway
        self.order: list[str] = []
        self.is_taken = True

    def send(self, node_id: str, kind: int, body: bytes) -> bool:
        assert node_id == "a"
        message: Any = unpack(body)
        if not self.is_taken:
            raise MessageTooLarge("no frame can hold it")
        if kind == frames.KEEPALIVE:
            self.order.append("asked")
            self.gateway.on_keepalive_ack(pack([message[0], [[0, OK, [], [], [], None, 1]]]))
            self.order.append("answered")
            return True
        replies: list[Reply] = [[row[0], [OK, SESSION]] for row in message]
        self.gateway.on_reply(pack(replies))
        return True

    def hint(self, slot: int, leader: str | None, term: int) -> None:
        """Nobody redirects."""


async def test_a_node_that_answers_itself_is_heard_when_the_step_is_done() -> None:
    clock = ManualClock()
    place = OneNode()
    place.gateway = gateway = Gateway(Ports(clock, CountedEntropy(lowest)).runtime, place, Settings(), b"own")
    assert (await gateway.command(COUNTER, b"it", [1, 1], timeout_s=None))[0] == OK
    core, steps = gateway.core, []
    right = type(core).step

    class Watched:
        """The core, and how deep its steps are in each other."""

        depth = 0

        def __getattr__(self, name: str) -> Any:
            return getattr(core, name)

        def step(self, now_ns: int, one: inputs.Input) -> list[Effect]:
            steps.append((type(one), list(place.order)))
            return right(core, now_ns, one)

    watched: Any = Watched()
    gateway._driver.core = watched
    gateway._driver.step(inputs.AskSoon(core.sessions_by_slot[0]))
    clock.advance(0.001)
    assert place.order == ["asked", "answered"]
    assert (inputs.KeptAlive, ["asked", "answered"]) in steps, (
        "no step begins in the middle of another one's effects"
    )
    covered_ns = core.sessions_by_slot[0].covered_until_ns
    clock.advance(0.5)
    assert place.order == ["asked", "answered"], "the answer counts: nothing is asked again"
    assert core.sessions_by_slot[0].covered_until_ns == covered_ns


async def test_a_frame_that_no_link_takes_stops_no_alarm() -> None:
    clock = ManualClock()
    place = OneNode()
    place.gateway = gateway = Gateway(Ports(clock, CountedEntropy(lowest)).runtime, place, Settings(), b"own")
    assert (await gateway.command(COUNTER, b"it", [1, 1], timeout_s=None))[0] == OK
    place.is_taken = False
    gateway._driver.step(inputs.AskSoon(gateway.core.sessions_by_slot[0]))
    with pytest.raises(MessageTooLarge):
        clock.advance(0.001)
    place.is_taken = True
    clock.advance(1.0)
    assert place.order == ["asked", "answered"]


def test_a_row_of_a_passed_on_keep_alive_has_seven_parts() -> None:
    bench = open_bench()
    bench.place.links.remove("a")
    bench.give(inputs.LinkDown("a"))
    bench.advance(1.5)
    (call_id,) = sent(bench.advance(1.0))[:1]
    with pytest.raises(RemoteProtocolError, match="rows of seven"):
        bench.reply(call_id, [OK, [0, OK]])


@pytest.mark.parametrize(
    ("kind", "command", "is_waiting", "error"),
    [
        (LOCK, [ACQUIRE], True, NotStarted),
        (SEMAPHORE, [SEMAPHORE_ACQUIRE, 3, 1], True, NotStarted),
        (LOCK, [RELEASE, 1], False, OutcomeUnknown),
        (LOCK, [DESTROY], False, OutcomeUnknown),
        (SEMAPHORE, [RESIZE, 3, 5], False, OutcomeUnknown),
    ],
)
def test_who_leaves_is_told_that_a_call_came_to_nothing_only_where_that_is_so(
    kind: int, command: list[object], is_waiting: bool, error: type[Exception]
) -> None:
    """A grant ends with its session. That a lock was destroyed or a semaphore resized does not."""
    bench = open_bench()
    call = bench.write(kind, command)
    call.is_waiting = is_waiting
    bench.begin(call)
    ended = [one for one in bench.give(inputs.EndCalls(9)) if isinstance(one, out.Fail)]
    assert [type(one.error) for one in ended] == [error]
