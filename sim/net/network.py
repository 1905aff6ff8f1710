"""The simulated network: machines by name, listeners, links, and what can be done to them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from casty.ports import LinkFactory

from ..kernel.draws import Draws
from ..kernel.incarnation import Handle, Incarnation
from ..kernel.loop import SimLoop
from .link import Batch, SimLink
from .path import NetworkProfile, Path

__all__ = ["Network", "SimListener", "every_direction"]

_FIRST_FREE_PORT = 40_000
_PIECE_GAP_NS = 50_000
_MAX_PIECES = 8
_OWN = ("", "0.0.0.0", "::", "127.0.0.1", "::1", "localhost")


class SimListener:
    """A bound port of a machine."""

    __slots__ = ("_network", "address", "is_open", "is_tls", "machine", "on_link", "owner")

    def __init__(
        self,
        network: Network,
        owner: Incarnation,
        machine: str,
        address: tuple[str, int],
        on_link: LinkFactory,
        is_tls: bool,
    ) -> None:
        self._network = network
        self.owner = owner
        self.machine = machine
        self.address = address
        self.on_link = on_link
        self.is_tls = is_tls
        self.is_open = True

    async def close(self) -> None:
        """Take no more links."""
        self.is_open = False
        self._network.unbind(self)


class Network:
    """All machines and what lies between them.

    Parameters
    ----------
    loop, draws
        The world's.
    profile
        The network in good health.
    """

    def __init__(self, loop: SimLoop, draws: Draws, profile: NetworkProfile) -> None:
        self.loop = loop
        self.draws = draws
        self.profile = profile
        self.watchers: list[Callable[[Incarnation, bytes], None]] = []
        """Told of everything that processes write, before anything happens to it."""
        self.dialled: list[Callable[[Incarnation, tuple[str, int]], None]] = []
        """Told who dials which address."""
        self.names: dict[str, str] = {}  # what resolves to which machine
        self.records: dict[str, list[str]] = {}
        """What a name of many hosts stands for, as a resolver says it."""
        self.down: dict[str, bool] = {}  # machines without power: not even a refusal comes back
        self._paths: dict[tuple[str, str], Path] = {}
        self._listeners: dict[tuple[str, int], SimListener] = {}
        self._ports: dict[str, int] = {}
        self._dials: dict[str, int] = {}
        self._links: dict[int, SimLink] = {}
        self._links_made = 0

    # -- machines and names

    def add_machine(self, machine: str) -> None:
        """Make a name resolve to a machine of the same name."""
        self.names[machine] = machine

    def machines(self) -> list[str]:
        """Return the names of all machines, oldest first."""
        return [name for name, machine in self.names.items() if name == machine]

    def resolve(self, machine: str, host: str) -> str | None:
        """Return the machine that a host name means on a machine."""
        return machine if host in _OWN else self.names.get(host)

    def addresses(self, machine: str, name: str) -> list[str]:
        """Return what a name stands for: the hosts of its record, or itself; raises `OSError` where nobody has it."""
        hosts = self.records.get(name)
        if hosts is None:
            hosts = [name] if self.resolve(machine, name) is not None else []
        if not hosts:
            raise OSError(-2, f"name or service not known: {name!r}")
        return sorted(hosts)

    def path(self, source: str, target: str) -> Path:
        """Return the direction between two machines, for reading it or changing its fields."""
        path = self._paths.get((source, target))
        if path is None:
            path = self._paths[(source, target)] = Path(self.draws, self.profile, source, target)
        return path

    # -- listeners

    def bind(
        self, owner: Incarnation, machine: str, host: str, port: int, on_link: LinkFactory, is_tls: bool
    ) -> SimListener:
        """Bind a port; a host that nobody has becomes a name of this machine."""
        if self.resolve(machine, host) is None:
            self.names[host] = machine
        if self.resolve(machine, host) != machine:
            raise OSError(99, f"cannot assign requested address {host!r} on {machine}")
        if port == 0:
            port = self._free_port(machine)
        if (machine, port) in self._listeners:
            raise OSError(98, f"address already in use: {host}:{port}")
        listener = SimListener(self, owner, machine, (host, port), on_link, is_tls)
        self._listeners[(machine, port)] = listener
        return listener

    def _free_port(self, machine: str) -> int:
        port = self._ports.get(machine, _FIRST_FREE_PORT)
        self._ports[machine] = port + 1
        return port

    def unbind(self, listener: SimListener) -> None:
        """Free a port."""
        key = (listener.machine, listener.address[1])
        if self._listeners.get(key) is listener:
            del self._listeners[key]

    def listener_at(self, machine: str, port: int) -> SimListener | None:
        """Return who listens."""
        return self._listeners.get((machine, port))

    # -- links

    def connect(
        self, owner: Incarnation, source: str, address: tuple[str, int], number: int, listener: SimListener
    ) -> tuple[SimLink, SimLink]:
        """Make both ends of a link: of a process on a machine, which dialled that address, and of a listener."""
        target = listener.machine
        path = self.path(source, target)
        near_label, far_label = f"{source}>{target}#{number}", f"{target}<{source}#{number}"
        near = SimLink(self, owner, path, near_label, address)
        near_host = address[0] if source == target else source
        far_peer = (near_host, self._free_port(source))
        far = SimLink(self, listener.owner, self.path(target, source), far_label, far_peer)
        near.remote, far.remote = far, near
        for link in (near, far):
            self._links_made += 1
            link.number = self._links_made
            self._links[self._links_made] = link
        return near, far

    def count_dial(self, source: str, target: str) -> int:
        """Number the dials of a direction."""
        label = f"{source}>{target}"
        number = self._dials.get(label, 0) + 1
        self._dials[label] = number
        return number

    def forget(self, link: SimLink) -> None:
        """Drop an ended link once both sides know."""
        if link.remote.is_gone:
            self._links.pop(link.number, None)
            self._links.pop(link.remote.number, None)

    def links_between(self, first: str, second: str) -> list[SimLink]:
        """Return one end of each open link between two machines, oldest first."""
        pair = ((first, second), (second, first))
        return [
            link
            for link in self._links.values()
            if (link.path.source, link.path.target) in pair
            and link.number < link.remote.number
            and not (link.is_gone and link.remote.is_gone)
        ]

    def post(self, owner: Incarnation, callback: Callable[..., object], *args: object) -> None:
        """Run a callback in a process's context, when the process gets to it."""
        self.loop.enqueue(Handle(owner, callback, args, owner.context))

    def deliver_at(self, due_ns: int, link: SimLink, batch: Batch) -> None:
        """Let a batch arrive; at one instant the link's draw decides, within a link the order of writing."""
        handle = self.loop.schedule(due_ns, self.loop.kernel, link.arrive, batch, tie=link.tie)
        if link.path.bytes_per_s:
            link.slowed.append((handle, batch))

    def send_fragments(self, link: SimLink, batch: Batch, due_ns: int, sequence: int) -> int:
        """Send a batch in drawn pieces; returns when the last one arrives."""
        data = b"".join(batch.parts)
        count = self.draws.between("pieces", link.label, sequence, 2, min(_MAX_PIECES, len(data)))
        cuts = sorted(
            self.draws.between("piece", link.label, sequence * _MAX_PIECES + index, 1, len(data) - 1)
            for index in range(count - 1)
        )
        for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
            if start < end:
                self.deliver_at(due_ns, link, link.numbered(Batch(data[start:end])))
                due_ns += _PIECE_GAP_NS
        return due_ns

    def drop_process(self, owner: Incarnation, *, is_silent: bool) -> None:
        """End everything that a dead process had."""
        for listener in [known for known in self._listeners.values() if known.owner is owner]:
            listener.is_open = False
            self.unbind(listener)
        for link in [known for known in self._links.values() if known.owner is owner]:
            link.die(is_silent=is_silent)
            self.forget(link)

    def power_off(self, machine: str) -> None:
        """Take a machine off the network without a word."""
        self.down[machine] = True

    def power_on(self, machine: str) -> None:
        """Bring a machine back: bytes for its former processes are answered with a reset from now on."""
        self.down[machine] = False
        for link in [known for known in self._links.values() if known.path.source == machine]:
            if link.owner.is_dead:
                link.is_silent = False

    # -- faults

    def cut(self, source: str, target: str) -> None:
        """Let nothing pass in one direction; bytes wait. Cuts add up."""
        self.path(source, target).cuts += 1

    def uncut(self, source: str, target: str) -> None:
        """Undo one `cut`; when it was the last, what waited is sent on."""
        path = self.path(source, target)
        path.cuts = max(0, path.cuts - 1)
        if not path.is_cut:
            for link in [known for known in self._links.values() if known.path is path]:
                link.release()

    def sever(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Cut many directions."""
        for source, target in pairs:
            self.cut(source, target)

    def mend(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Undo `sever`."""
        for source, target in pairs:
            self.uncut(source, target)

    def heal(self) -> None:
        """Undo every cut and every change of a path. Links lost or silent stay so."""
        for (source, target), path in list(self._paths.items()):
            path.mend()
            self.hurry(path)
            while path.is_cut:
                self.uncut(source, target)

    def hurry(self, path: Path) -> None:
        """Send on what a limit of throughput that is over put off."""
        for link in self._links.values():
            if link.path is path:
                link.hurry()

    def reset_links(self, first: str, second: str) -> int:
        """Reset every link between two machines; returns how many."""
        links = self.links_between(first, second)
        for link in links:
            link.reset()
        return len(links)

    def silence_links(self, first: str, second: str) -> int:
        """Make every link between two machines half-open: bytes vanish and no end is reported."""
        links = self.links_between(first, second)
        for link in links:
            link.is_silent = link.remote.is_silent = True
        return len(links)


def every_direction(first: Sequence[str], second: Sequence[str]) -> list[tuple[str, str]]:
    """Return both directions between each member of two sides."""
    return [pair for a in first for b in second for pair in ((a, b), (b, a))]
