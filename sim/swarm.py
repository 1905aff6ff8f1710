"""A seed becomes a plan. Swarm: every seed switches about half of the fault families and operation kinds off.

A plan in which everything happens at once hides what needs peace in some corner; so each seed draws which families
it has, and draws their ranges wide. Each choice is keyed by what it is for: adding a family moves no other draw.

Memory is the only durability here, so no plan takes away more replicas than are tolerated at once: nodes die one at
a time, and the next waits until the one before is back in its seats (`FaultEvent.after_ready`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .draws import Draws
from .plan import MAY_BE_UNAVAILABLE, MUST_HOLD, ClusterShape, FaultEvent, Plan, PlannedOperation

__all__ = ["ACTOR_KINDS", "ARGUMENTS", "FAMILIES", "SCENARIOS", "SCENARIO_KINDS", "expand"]

_SECOND_US = 1_000_000
_HALF = 500_000
_NODES = (3, 3, 3, 3, 5, 5, 5, 1, 2, 4, 7)
_MIN_FOR_CRASH = 3
_TTLS_S = (6, 6, 7, 10)
_HOLDS_MS = (0, 0, 0, 5, 5, 5, 5, 50, 50, 50, 50, 300, 300, 300, 300, 1500, 1500, 9000)
"""The longest outlives a session that nobody keeps alive."""
_DRIFT_PPM = 4_000
"""At most: two clocks then differ by less than the 1 % that `Settings.drift` allows."""

SCENARIO_KINDS: dict[str, tuple[str, ...]] = {
    "lock": ("lock.hold", "lock.try", "lock.guard", "lock.destroy"),
    "semaphore": ("semaphore.hold", "semaphore.try", "semaphore.available"),
    "barrier": ("barrier.arrive",),
    "counter": ("counter.add", "counter.subtract", "counter.get", "counter.destroy"),
    "map": ("map.put", "map.get", "map.delete", "map.contains"),
    "set": ("set.add", "set.remove", "set.contains", "set.size"),
    "queue": ("queue.enqueue", "queue.dequeue", "queue.peek", "queue.size"),
}
"""Scenario -> the kinds of operation it draws. The first two of each are never both switched off."""

ACTOR_KINDS = ("entity.tell", "entity.ask", "inbox.tell")
"""What ``mixed`` draws besides."""

SCENARIOS = (*SCENARIO_KINDS, "mixed")

FAMILIES: tuple[str, ...] = (
    "delay", "jitter", "loss", "fragment", "link_loss", "reset", "half_open", "one_way_cut", "split", "ring", "bridge",
    "crash", "restart", "pause", "clock_drift", "clock_offset", "client_crash", "client_pause", "client_cancel",
)  # fmt: skip
"""The fault families; ``clock_offset`` is part of the cluster's shape, the others are events."""


def expand(scenario: str, seed: int, *, duration_s: int = 20, do_members_call: bool = True) -> Plan:
    """Return the plan that a seed is short for.

    Parameters
    ----------
    scenario
        A key of `SCENARIO_KINDS`, or ``mixed`` for all of them.
    seed
        Any integer.
    duration_s
        How long the workload and the faults go on, in virtual seconds.
    do_members_call
        Whether nodes may use structures as well as clients; half of the seeds then let them.

    Examples
    --------
    >>> expand("lock", 7) == expand("lock", 7)
    True
    """
    if scenario not in SCENARIOS:
        raise ValueError(f"scenario: expected one of {list(SCENARIOS)}, found {scenario!r}")
    return _Swarm(scenario, seed, duration_s * _SECOND_US, do_members_call=do_members_call).plan()


class _Swarm:
    """The drawing of one plan."""

    def __init__(self, scenario: str, seed: int, duration_us: int, *, do_members_call: bool) -> None:
        self._scenario = scenario
        self._seed = seed
        self._draws = Draws(seed)
        self._duration_us = duration_us
        self._nodes = self._choice("nodes", 0, _NODES)
        self._clients = self._between("clients", 0, 2, 6)
        self._node_names = [f"node-{index + 1}" for index in range(self._nodes)]
        self._client_names = [f"client-{index + 1}" for index in range(self._clients)]
        self._do_members_call = do_members_call and self._is_on("callers", "members")
        self._families = [family for family in FAMILIES if self._is_on("family", family)]

    # -- draws

    def _between(self, what: str, number: int, low: int, high: int) -> int:
        return self._draws.between("plan", f"{self._scenario}/{what}", number, low, high)

    def _choice(self, what: str, number: int, items: Sequence[int]) -> int:
        return items[self._between(what, number, 0, len(items) - 1)]

    def _name(self, what: str, number: int, names: Sequence[str]) -> str:
        return names[self._between(what, number, 0, len(names) - 1)]

    def _is_on(self, what: str, name: str) -> bool:
        return self._draws.chance("plan-on", f"{self._scenario}/{what}/{name}", 0, _HALF)

    # -- the plan

    def plan(self) -> Plan:
        """Draw everything."""
        faults = self._faults()
        return Plan(
            scenario=self._scenario,
            seed=self._seed,
            cluster=self._cluster(),
            operations=self._operations(),
            faults=faults,
            duration_us=self._duration_us,
            label=MAY_BE_UNAVAILABLE if faults else MUST_HOLD,
        )

    def _cluster(self) -> ClusterShape:
        clocks: dict[str, tuple[int, int]] = {}
        if "clock_offset" in self._families:
            for number, name in enumerate(self._node_names + self._client_names):
                offset_us = self._between("clock-offset", number, -3600, 3600) * _SECOND_US
                clocks[name] = (offset_us, self._between("clock-ppm", number, -_DRIFT_PPM, _DRIFT_PPM))
        is_mixed = self._scenario == "mixed"
        settings: dict[str, int | float | str] = {
            "slots": self._choice("slots", 0, (2, 3, 4, 6, 8)),
            "session_ttl_s": float(self._choice("ttl", 0, _TTLS_S)),
            "snapshot_entries": self._choice("snapshot", 0, (8, 12, 20) if is_mixed else (8, 20, 60, 1000)),
            "snapshot_chunk_bytes": self._choice("chunk", 0, (64, 512, 4096)),
        }
        latency_us = self._choice("latency", 0, (1, 2, 10, 50))
        network = {"latency_min_ns": 100_000, "latency_max_ns": latency_us * 500_000}
        return ClusterShape(self._nodes, self._clients, settings, network, clocks)

    # -- the workload

    def _kinds(self) -> list[str]:
        kinds: list[str] = []
        for scenario, own in SCENARIO_KINDS.items():
            if self._scenario in (scenario, "mixed"):
                chosen = [kind for kind in own if self._is_on("kind", kind)]
                kinds += chosen if set(chosen) & set(own[:2]) else [*own[:2], *chosen]
        if self._scenario == "mixed":
            kinds += [kind for kind in ACTOR_KINDS if self._is_on("kind", kind)]
        # Rare ones: a name that is destroyed all the time tells little about anything else.
        return [kind for kind in kinds for _ in range(1 if kind.endswith("destroy") else 8)]

    def _operations(self) -> tuple[PlannedOperation, ...]:
        kinds = self._kinds()
        count = self._between("operations", 0, 3, 12) * self._duration_us // _SECOND_US
        operations = [self._operation(number, kinds) for number in range(count)]
        if "barrier.arrive" in kinds:
            operations += self._arrivals()
        return tuple(sorted(operations, key=lambda operation: operation.at_us))

    def _operation(self, number: int, kinds: Sequence[str]) -> PlannedOperation:
        kind = self._name(
            "kind", number, [kind for kind in kinds if kind != "barrier.arrive"] or ["counter.add"]
        )
        structure = kind.partition(".")[0]
        at_us = self._between("at", number, 0, self._duration_us)
        if self._between("burst", number, 0, 3) == 0:
            at_us -= at_us % _SECOND_US
        names = 1 + self._between("names", 0, 0, 2)
        entity = f"{structure}-{self._between('entity', number, 1, names)}"
        return PlannedOperation(
            at_us, self._caller(number, structure), kind, entity, self._args(kind, number)
        )

    def _caller(self, number: int, structure: str) -> str:
        is_for_all = self._do_members_call and structure in SCENARIO_KINDS
        if is_for_all and self._between("by-member", number, 0, 2) == 0:
            return self._name("member", number, self._node_names)
        return self._name("client", number, self._client_names)

    def _args(self, kind: str, number: int) -> dict[str, int | str | bool | None]:
        makers: dict[str, Callable[[int], dict[str, int | str | bool | None]]] = {
            "lock": self._lock_args,
            "semaphore": self._semaphore_args,
            "counter": lambda at: {"amount": self._between("amount", at, 1, 9)},
            "map": lambda at: {"key": self._between("key", at, 1, 3), "value": at},
            "set": lambda at: {"value": self._between("member", at, 1, 4)},
            "queue": lambda at: {"value": at},
            "entity": lambda at: {
                "count": self._between("told", at, 1, 4),
                "timeout_ms": self._timeout_ms(at),
            },
            "inbox": lambda at: {
                "count": self._between("told", at, 1, 4),
                "which": self._between("inbox", at, 0, 9),
            },
        }
        args = makers[kind.partition(".")[0]](number)
        return {name: value for name, value in args.items() if name in ARGUMENTS[kind]}

    def _timeout_ms(self, number: int) -> int:
        return self._choice("timeout", number, (300, 1000, 3000, 5000, 8000))

    def _lock_args(self, number: int) -> dict[str, int | str | bool | None]:
        hold_ms = self._choice("hold", number, _HOLDS_MS)
        return {"timeout_ms": self._timeout_ms(number), "hold_ms": hold_ms}

    def _semaphore_args(self, number: int) -> dict[str, int | str | bool | None]:
        permits = self._between("permits", 0, 1, 4)
        return {**self._lock_args(number), "permits": permits, "n": self._between("n", number, 1, permits)}

    def _arrivals(self) -> list[PlannedOperation]:
        """Rounds: most parties come about the same time, some late, some twice, some not at all."""
        parties = self._between("parties", 0, 2, max(2, self._clients))
        rounds = self._between("rounds", 0, 3, 8)
        arrivals = []
        for index in range(rounds * parties):
            cycle, party = divmod(index, parties)
            if self._between("absent", index, 0, 19) == 0:
                continue
            start_us = cycle * self._duration_us // rounds
            at_us = start_us + self._between("late", index, 0, 1500) * 1000
            args: dict[str, int | str | bool | None] = {
                "party": f"party-{party + 1}",
                "expected": parties,
                "timeout_ms": self._choice("arrive-timeout", index, (800, 3000, 6000)),
            }
            client = self._client_names[party % self._clients]
            arrivals.append(PlannedOperation(at_us, client, "barrier.arrive", "barrier-1", args))
        return arrivals

    # -- the faults

    def _faults(self) -> tuple[FaultEvent, ...]:
        makers = self._makers()
        faults: list[FaultEvent] = []
        for family in self._families:
            if family in makers and (self._nodes >= _MIN_FOR_CRASH or family not in ("crash", "restart")):
                least, most = (1, 3) if family in ("crash", "restart") else (1, 6)
                for number in range(self._between(f"{family}-count", 0, least, most)):
                    faults.append(makers[family](family, number))
        return tuple(sorted(faults, key=lambda fault: fault.at_us))

    def _makers(self) -> dict[str, Callable[[str, int], FaultEvent]]:
        direction = {"delay": "delay_us", "jitter": "jitter_us", "loss": "ppm", "fragment": "ppm"}
        makers: dict[str, Callable[[str, int], FaultEvent]] = dict.fromkeys(direction, self._on_direction)
        makers |= dict.fromkeys(("link_loss", "reset", "half_open", "one_way_cut"), self._on_link)
        makers |= dict.fromkeys(("split", "ring", "bridge"), self._partition)
        makers |= dict.fromkeys(("crash", "restart", "pause", "clock_drift"), self._on_node)
        makers |= dict.fromkeys(("client_crash", "client_pause", "client_cancel"), self._on_client)
        return makers

    def _at_us(self, family: str, number: int) -> int:
        return self._between(f"{family}-at", number, 0, self._duration_us * 9 // 10)

    def _duration_of(self, family: str, number: int) -> int:
        most_ms = self._choice(
            f"{family}-range", number, (20, 20, 20, 300, 300, 300, 2000, 2000, 5000, 12000)
        )
        if self._between(f"{family}-near", number, 0, 11) == 0:
            # About as long as a session lives: expiry and keep-alive cross.
            near_ms = 1000 * self._choice("ttl", 0, _TTLS_S)
            return self._between(f"{family}-duration", number, near_ms - 800, near_ms + 800) * 1000
        return self._between(f"{family}-duration", number, 1, most_ms) * 1000

    def _pair(self, family: str, number: int) -> tuple[str, str]:
        names = self._node_names + self._client_names
        first = self._between(f"{family}-first", number, 0, len(names) - 1)
        # Mostly between nodes: there the interesting part happens.
        is_inside = self._nodes > 1 and self._between(f"{family}-inside", number, 0, 3) > 0
        if is_inside:
            first %= self._nodes
        others = [name for name in (self._node_names if is_inside else names) if name != names[first]]
        return names[first], self._name(f"{family}-second", number, others)

    def _on_direction(self, family: str, number: int) -> FaultEvent:
        ranges = {"delay": 1_500_000, "jitter": 800_000, "loss": 300_000, "fragment": 1_000_000}
        args = {"delay": "delay_us", "jitter": "jitter_us", "loss": "ppm", "fragment": "ppm"}
        amount = self._between(f"{family}-amount", number, 1_000, ranges[family])
        targets = self._pair(family, number)
        duration_us = self._duration_of(family, number)
        return FaultEvent(self._at_us(family, number), family, targets, duration_us, {args[family]: amount})

    def _on_link(self, family: str, number: int) -> FaultEvent:
        is_lasting = family in ("link_loss", "one_way_cut")
        duration_us = self._duration_of(family, number) if is_lasting else 0
        return FaultEvent(self._at_us(family, number), family, self._pair(family, number), duration_us)

    def _partition(self, family: str, number: int) -> FaultEvent:
        names = self._node_names + self._client_names if family == "split" else self._node_names
        order = self._draws.shuffled("plan", f"{self._scenario}/{family}-order/{number}", names)
        size = (
            self._between(f"{family}-size", number, 1, max(1, len(names) // 2))
            if family == "split"
            else len(order)
        )
        return FaultEvent(
            self._at_us(family, number), family, tuple(order[:size]), self._duration_of(family, number)
        )

    def _on_node(self, family: str, number: int) -> FaultEvent:
        target = (self._name(f"{family}-who", number, self._node_names),)
        at_us = self._at_us(family, number)
        if family == "restart":
            return FaultEvent(at_us, family, target, after_ready=True)
        duration_us = self._duration_of(family, number)
        if family == "crash":
            args = {"is_power_loss": self._between("power", number, 0, 1)}
            return FaultEvent(at_us, family, target, duration_us, args, after_ready=True)
        if family == "clock_drift":
            ppm = self._between("drift-ppm", number, -_DRIFT_PPM, _DRIFT_PPM)
            return FaultEvent(at_us, family, target, duration_us, {"ppm": ppm})
        return FaultEvent(at_us, family, target, duration_us)

    def _on_client(self, family: str, number: int) -> FaultEvent:
        target = (self._name(f"{family}-who", number, self._client_names),)
        at_us = self._at_us(family, number)
        if family == "client_cancel":
            return FaultEvent(at_us, family, target, args={"which": self._between("cancel", number, 0, 9)})
        return FaultEvent(at_us, family, target, self._duration_of(family, number))


ARGUMENTS: dict[str, tuple[str, ...]] = {
    "lock.hold": ("timeout_ms", "hold_ms"),
    "lock.try": ("hold_ms",),
    "lock.guard": ("timeout_ms", "hold_ms"),
    "lock.destroy": (),
    "semaphore.hold": ("timeout_ms", "hold_ms", "permits", "n"),
    "semaphore.try": ("hold_ms", "permits", "n"),
    "semaphore.available": ("permits",),
    "barrier.arrive": ("party", "expected", "timeout_ms"),
    "counter.add": ("amount",),
    "counter.subtract": ("amount",),
    "counter.get": (),
    "counter.destroy": (),
    "map.put": ("key", "value"),
    "map.get": ("key",),
    "map.delete": ("key",),
    "map.contains": ("key",),
    "set.add": ("value",),
    "set.remove": ("value",),
    "set.contains": ("value",),
    "set.size": (),
    "queue.enqueue": ("value",),
    "queue.dequeue": (),
    "queue.peek": (),
    "queue.size": (),
    "entity.tell": ("count",),
    "entity.ask": ("timeout_ms",),
    "inbox.tell": ("count", "which"),
}
"""Kind of operation -> its arguments."""
