"""The host's part in snapshots, for worlds whose states are short byte strings."""

from __future__ import annotations

from casty.consensus import Core, Outbound, Snapshot


class Snapshots:
    """Cuts the states of one replica for its peers, and puts together what comes in."""

    def __init__(self, part_bytes: int) -> None:
        self.part_bytes = part_bytes
        self.going: dict[str, tuple[Outbound, bytes]] = {}
        self.coming = b""
        self.begun = 0

    def begin(self, core: Core, now_ns: int, index: int, data: bytes) -> None:
        """Begin what is wanted: the state is `data` at `index`."""
        while (peer := core.begin_snapshot(now_ns, index)) is not None:
            outbound = core.outbound(peer)
            assert outbound is not None
            self.begun += 1
            self.going[peer] = (outbound, data)

    def work(self, core: Core, now_ns: int) -> tuple[Snapshot, bytes] | None:
        """Make the parts that are wanted, restore those that came; return a state that takes effect now."""
        for peer, (outbound, data) in list(self.going.items()):
            if core.outbound(peer) is not outbound:
                del self.going[peer]
                continue
            while core.wants_part(outbound):
                offset = (outbound.acked + len(outbound.parts)) * self.part_bytes
                is_last = offset + self.part_bytes >= len(data)
                core.provide_part(now_ns, outbound, data[offset : offset + self.part_bytes], is_last)
        while (inbound := core.inbound) is not None and inbound.parts:
            if not inbound.restored:
                self.coming = b""
            self.coming += inbound.parts[0].data
            if core.part_restored(inbound):
                return inbound.snapshot, self.coming
        return None
