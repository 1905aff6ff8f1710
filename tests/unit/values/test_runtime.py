"""The doors: the outlet of events and the context variable."""

from __future__ import annotations

import contextvars

from casty import runtime
from casty.events import LinkUp
from casty.ports import Outlet, Runtime


def test_an_outlet_is_false_until_someone_listens() -> None:
    outlet = Outlet()
    heard: list[object] = []
    assert not outlet
    outlet.subscribe(heard.append)
    assert outlet
    outlet(LinkUp("a"))
    outlet.unsubscribe(heard.append)
    outlet.unsubscribe(print)
    assert heard == [LinkUp("a")]


def test_unsubscribing_takes_away_that_listener_only() -> None:
    outlet = Outlet()
    first: list[object] = []
    second: list[object] = []
    forget = first.append
    outlet.subscribe(forget)
    outlet.subscribe(second.append)
    outlet.unsubscribe(forget)
    outlet(LinkUp("a"))
    assert (first, second) == ([], [LinkUp("a")])


def test_a_context_has_its_own_runtime() -> None:
    real = runtime.current()
    other = Runtime(real.clock, real.entropy, real.transport, real.storage, Outlet())

    def inside() -> Runtime:
        runtime.use(other)
        return runtime.current()

    assert contextvars.copy_context().run(inside) is other
    assert runtime.current() is real


def test_buggify_is_off_in_production() -> None:
    assert runtime.current().buggify("anything") is False
