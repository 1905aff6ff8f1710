"""Streams between actors, by name; see docs/streams.md."""

from __future__ import annotations

from casty.actor.streams.behaviors import (
    CompleteStream,
    ConsumerMessage,
    GetSink,
    GetSource,
    ProducerMessage,
    stream_consumer,
    stream_producer,
)
from casty.actor.streams.sink import SinkRef
from casty.actor.streams.source import SourceRef

__all__ = [
    "CompleteStream", "ConsumerMessage", "GetSink", "GetSource", "ProducerMessage", "SinkRef", "SourceRef",
    "stream_consumer", "stream_producer",
]  # fmt: skip
