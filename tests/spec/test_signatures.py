"""Names, parameters, defaults and coroutines of both pages. Defaults written as ``?`` are the library's own."""

from __future__ import annotations

import inspect

import pytest

import casty

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
PAGES: dict[type, dict[str, str]] = {
    casty.ClusterClient: CLIENT,
    casty.Distributed: DISTRIBUTED,
    casty.EntityGateway: GATEWAY,
    casty.Barrier: BARRIER,
    casty.Counter: COUNTER,
    casty.Dict: DICT,
    casty.Lock: LOCK,
    casty.Queue: QUEUE,
    casty.Semaphore: LOCK,
    casty.Set: SET,
}


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
    exec(f"def method{text}: ...", names)
    method = names["method"]
    assert callable(method)
    return inspect.signature(method)


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        pytest.param(owner, name, id=f"{owner.__name__}.{name}")
        for owner, own in PAGES.items()
        for name in own
    ],
)
def test_a_call_as_on_the_page_is_taken(owner: type, name: str) -> None:
    """Every parameter is there, of the same kind and with the same default; what comes besides has a default."""
    text = PAGES[owner][name]
    is_async = text.startswith("async ")
    assert inspect.iscoroutinefunction(getattr(owner, name)) is is_async
    ours = signature_of(owner, name)
    if text == "async (*exc)":
        ours.bind(None, None, None)
        return
    page = written(text.removeprefix("async "))
    for parameter in page.parameters.values():
        mine = ours.parameters[parameter.name]
        assert (mine.kind, mine.default) == (parameter.kind, parameter.default), parameter.name
    order = [one for one in ours.parameters if one in page.parameters]
    assert order == list(page.parameters)
    for extra in set(ours.parameters) - set(page.parameters):
        assert ours.parameters[extra].default is not inspect.Parameter.empty, extra


@pytest.mark.parametrize("name", ["map", "set", "queue"])
def test_the_typed_ones_are_properties(name: str) -> None:
    assert isinstance(inspect.getattr_static(casty.Distributed, name), property)


def test_a_structure_s_timeout_is_settable_at_the_accessor() -> None:
    """``d.map[K, V]("name", shards=10)``: the name comes first, the rest by keyword."""
    from casty.distributed.facade import MapFactory

    call = signature_of(MapFactory, "__call__")
    assert list(call.parameters) == ["name", "shards", "timeout"]
    assert call.parameters["shards"].kind is inspect.Parameter.KEYWORD_ONLY
