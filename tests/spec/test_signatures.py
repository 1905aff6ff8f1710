"""Names, kinds and defaults of parameters, and what is a coroutine function, on both pages."""

from __future__ import annotations

import inspect

import pytest

import casty
from casty.distributed.facade import MapFactory, QueueFactory, SetFactory

Methods = dict[str, str]

CLIENT = {
    "__init__": "(*, contact_points, system_name, client_host='127.0.0.1', client_port=0, advertised_host=None, "
    "advertised_port=None, address_map=None, serializer=None, tls=None)",
    "__aenter__": "async ()",
    "__aexit__": "async (*exc)",
    "lookup": "(key)",
    "spawn": "(behavior, name)",
    "entity_ref": "(shard_type, *, num_shards)",
    "ask": "async (ref, msg_factory, *, timeout=5.0)",
    "region_ref": "(key, factory, *, num_shards)",
    "entity_ask": "async (ref, msg_factory, *, timeout)",
    "distributed": "()",
}
DISTRIBUTED = {
    "__init__": "(gateway, *, journal=None)",
    "counter": "(name, *, shards=100, timeout=5.0)",
    "lock": "(name, *, shards=100, timeout=5.0)",
    "semaphore": "(name, permits, *, shards=100, timeout=5.0)",
    "barrier": "(name, *, node_id=None, shards=10, timeout=60.0)",
}
GATEWAY = {
    "region_ref": "(key, factory, *, num_shards)",
    "entity_ask": "async (ref, msg_factory, *, timeout)",
}
BARRIER = {
    "__init__": "(*, gateway, region_ref, name, node_id, timeout=60.0)",
    "destroy": "async ()",
    "arrive": "async (expected)",
}
OWN = "(*, gateway, region_ref, name, timeout=5.0)"
COUNTER = {
    "__init__": OWN,
    "increment": "async (amount=1)",
    "decrement": "async (amount=1)",
    "destroy": "async ()",
    "get": "async ()",
}
DICT = {
    "__init__": OWN,
    "put": "async (key, value)",
    "get": "async (key, *, local=False)",
    "delete": "async (key)",
    "contains": "async (key)",
}
LOCK = {
    "__init__": OWN,
    "destroy": "async ()",
    "acquire": "async ()",
    "try_acquire": "async ()",
    "release": "async ()",
}
QUEUE = {
    "__init__": OWN,
    "destroy": "async ()",
    "enqueue": "async (value)",
    "dequeue": "async ()",
    "peek": "async ()",
    "size": "async ()",
}
SET = {
    "__init__": OWN,
    "destroy": "async ()",
    "add": "async (value)",
    "remove": "async (value)",
    "contains": "async (value)",
    "size": "async ()",
}
PAGES: dict[type, Methods] = {
    casty.ClusterClient: CLIENT,
    casty.Distributed: DISTRIBUTED,
    casty.EntityGateway: GATEWAY,
    casty.ClusteredActorSystem: GATEWAY,
    casty.Barrier: BARRIER,
    casty.Counter: COUNTER,
    casty.Dict: DICT,
    casty.Lock: LOCK,
    casty.Queue: QUEUE,
    casty.Semaphore: LOCK,
    casty.Set: SET,
}
ADDED: Methods = {
    "ClusterClient.__init__": (
        "(*, contact_points, system_name, client_host='127.0.0.1', client_port=0, advertised_host=None, "
        "advertised_port=None, address_map=None, serializer=None, tls=None, secret=None, "
        "session_ttl_s=None)"
    ),
    "ClusterClient.spawn": "(behavior, name, *, mailbox=None)",
    "Dict.get": "async (key, *, local=False, default=None)",
    "Dict.put": "async (key, value, *, ttl_s=None)",
    "Queue.__init__": "(*, gateway, region_ref, name, timeout=5.0, maxsize=None, max_deliveries=None)",
    "Semaphore.__init__": "(*, gateway, region_ref, name, permits=None, timeout=5.0)",
    "Semaphore.acquire": "async (n=1)",
    "Semaphore.try_acquire": "async (n=1)",
}
"""Where the library takes more than the page says."""

METHODS = [
    pytest.param(owner, name, id=f"{owner.__name__}.{name}") for owner, own in PAGES.items() for name in own
]


def signature_of(owner: type, name: str) -> inspect.Signature:
    """Return a method's signature as its callers see it, without annotations."""
    found = inspect.signature(getattr(owner, name))
    parameters = [
        parameter.replace(annotation=inspect.Parameter.empty)
        for parameter in found.parameters.values()
        if parameter.name != "self"
    ]
    return inspect.Signature(parameters)


def written(text: str) -> inspect.Signature:
    """Return a signature of the page."""
    names: dict[str, object] = {}
    exec(f"def method{text.removeprefix('async ')}: ...", names)
    method = names["method"]
    assert callable(method)
    return inspect.signature(method)


@pytest.mark.parametrize(("owner", "name"), METHODS)
def test_a_signature_is_that_of_the_page(owner: type, name: str) -> None:
    """Names, order, kinds, defaults; whether it is a coroutine function."""
    text = ADDED.get(f"{owner.__name__}.{name}", PAGES[owner][name])
    assert inspect.iscoroutinefunction(getattr(owner, name)) is text.startswith("async ")
    assert signature_of(owner, name) == written(text)


@pytest.mark.parametrize("which", ADDED)
def test_what_was_added_takes_every_call_of_the_page(which: str) -> None:
    """The page's parameters keep their kinds and defaults, and whatever comes besides has a default."""
    owner, _, name = which.partition(".")
    page, ours = written(PAGES[getattr(casty, owner)][name]), written(ADDED[which])
    for parameter in page.parameters.values():
        assert ours.parameters[parameter.name] == parameter
    extras = [extra for extra in ours.parameters.values() if extra.name not in page.parameters]
    assert extras
    assert all(extra.default is not inspect.Parameter.empty for extra in extras)


@pytest.mark.parametrize("name", ["map", "set", "queue"])
def test_the_typed_ones_are_properties(name: str) -> None:
    """``map property``, ``set property``, ``queue property``."""
    assert isinstance(inspect.getattr_static(casty.Distributed, name), property)


@pytest.mark.parametrize("factory", [MapFactory, SetFactory, QueueFactory])
def test_what_an_accessor_gives_is_called_with_a_name(factory: type) -> None:
    """``d.map[K, V]("name", shards=10)``, and alike for sets and queues."""
    more = ", maxsize=None, max_deliveries=None" if factory is QueueFactory else ""
    assert signature_of(factory, "__call__") == written(f"(name, *, shards=10, timeout=5.0{more})")


def test_the_page_s_names_are_public() -> None:
    """``casty.ClusterClient``, ``casty.Distributed``, ``casty.Barrier`` ..."""
    assert [owner.__name__ for owner in PAGES if owner.__name__ not in casty.__all__] == []
