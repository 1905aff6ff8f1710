"""A port whose values are encoded by the codec of its system instead of the default one."""

from __future__ import annotations

from casty.distributed.port import Port
from casty.wire.serializer_codec import ValueCodec

__all__ = ["ValuePort"]


class ValuePort:
    """The `Port` of a system or client: calls go to the inner port as they are, without a step between.

    Parameters
    ----------
    port
        The way to the entities.
    codec
        Encodes and decodes values, so that refs in them work and a serializer is used for them.
    """

    __slots__ = (
        "_port", "canonical", "command", "decode", "encode", "host_label", "pages", "read", "read_at", "release",
        "scan", "slot_count", "slot_of", "wait", "when_left",
    )  # fmt: skip

    def __init__(self, port: Port, codec: ValueCodec) -> None:
        self._port = port
        self.host_label = port.host_label
        self.encode = codec.encode
        self.decode = codec.decode
        self.canonical = codec.canonical
        self.command = port.command
        self.read = port.read
        self.wait = port.wait
        self.release = port.release
        self.scan = port.scan
        self.pages = port.pages
        self.slot_count = port.slot_count
        self.slot_of = port.slot_of
        self.read_at = port.read_at
        self.when_left = port.when_left

    @property
    def cluster(self) -> tuple[int, str] | None:
        """See `Port.cluster`."""
        return self._port.cluster
