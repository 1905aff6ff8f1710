"""The ports: the event_sink of events and the context variable."""

from __future__ import annotations

import contextvars

from casty import runtime
from casty.events import LinkUp
from casty.ports import EventSink, Runtime


def test_an_event_sink_is_false_until_someone_listens() -> None:
    event_sink = EventSink()
    heard: list[object] = []
    assert not event_sink
    event_sink.subscribe(heard.append)
    assert event_sink
    event_sink(LinkUp("a"))
    event_sink.unsubscribe(heard.append)
    event_sink.unsubscribe(print)
    assert heard == [LinkUp("a")]


def test_unsubscribing_takes_away_that_listener_only() -> None:
    event_sink = EventSink()
    first: list[object] = []
    second: list[object] = []
    forget = first.append
    event_sink.subscribe(forget)
    event_sink.subscribe(second.append)
    event_sink.unsubscribe(forget)
    event_sink(LinkUp("a"))
    assert (first, second) == ([], [LinkUp("a")])


def test_a_context_has_its_own_runtime() -> None:
    real = runtime.current()
    other = Runtime(real.clock, real.entropy, real.transport, real.storage, EventSink())

    def inside() -> Runtime:
        runtime.use(other)
        return runtime.current()

    assert contextvars.copy_context().run(inside) is other
    assert runtime.current() is real


def test_buggify_is_off_in_production() -> None:
    assert runtime.current().buggify("anything") is False
