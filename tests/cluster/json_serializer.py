"""A serializer that knows one class and refs, and nothing of the library's own."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from casty.actor.ref import ActorRef, RemoteActorRef
from casty.address import ActorAddress
from casty.wire.codec import RefFactory

__all__ = ["JsonSerializer", "Question"]


@dataclass(frozen=True)
class Question:
    text: str
    reply_to: ActorRef[Any]


class JsonSerializer:
    """Counts what it is asked for."""

    def __init__(self) -> None:
        self.written: list[object] = []

    def serialize(self, obj: object) -> bytes:
        self.written.append(obj)
        return json.dumps(obj, default=_plain).encode()

    def deserialize(self, data: bytes, *, ref_factory: RefFactory | None = None) -> object:
        def made(row: dict[str, Any]) -> object:
            if "uri" in row:
                assert ref_factory is not None
                address = ActorAddress.from_uri(row["uri"])
                return ref_factory(
                    ActorAddress(address.system, address.path, address.host, address.port, row["node"])
                )
            return Question(**row) if "reply_to" in row else row

        return json.loads(data, object_hook=made)


def _plain(value: object) -> object:
    if isinstance(value, Question):
        return {"text": value.text, "reply_to": value.reply_to}
    assert isinstance(value, RemoteActorRef), value
    return {"uri": value.address.to_uri(), "node": value.address.node_id}
