"""Event-sourced entities, and volatile ones beside them: both are unloaded when they are idle or too many.

The events are in the slots, or in the journal of the run where there is one.

A message is ``[sender, number, what, argument, reply to, witness]``. What an event-sourced entity does tells the
witness in every way there is: a tell, a child, a pipe, and once its events are committed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from casty.actor.behavior import Behavior, Behaviors
from casty.actor.context import ActorContext
from casty.actor.event_sourced import Persisted, SnapshotEvery
from casty.actor.ref import ActorRef
from casty.actor.sharding import ShardEnvelope, shard_of
from casty.cluster.actors.region_router import entity_path
from casty.cluster.control.placement import slot_of_region
from casty.errors import CastyError
from casty.system import ClusteredActorSystem

from ..checks.step.actors import Activation, ActorChecks
from ..checks.step.introspection import actors_of
from ..checks.step.ledgers import Entry, LedgerChecks, Sum
from ..checks.violation import Violation
from ..kernel.draws import Draws
from .deaths import died_since
from .journals import Journals
from .population import AS_PLANNED, Recorder

if TYPE_CHECKING:
    from ..world.process import Process

__all__ = ["LEDGERS", "LEDGER_IDS", "VISITS", "Ledgers", "Options"]

Message = list[Any]
Decision = Any
"""What a command comes to: events, a behaviour, None, or a coroutine that returns one of these."""

LEDGERS, VISITS = "ledgers", "visits"
LEDGER_IDS = ("a", "b", "c", "d", "e", "f/g")
_DRAWN = (*LEDGER_IDS, "a", "a", "a", "b")
NUM_SHARDS = 4
_WITNESS = "witness"
_TOO_MANY = 1_001
_ASK_S = 2.0
_TAKEN = 2
"""How often a question in peace may be taken by a death or by a failure: one of each."""


class Options(NamedTuple):
    """How entities of a run are unloaded, and how often snapshots are kept."""

    idle_s: float
    max_activations: int | None
    snapshot_every: int | None

    @classmethod
    def drawn(cls, seed: int) -> Options:
        """Return those of a seed."""
        draws = Draws(seed)

        def choice(what: str, items: tuple[Any, ...]) -> Any:
            return items[draws.between("ledgers", what, 0, 0, len(items) - 1)]

        return cls(
            choice("idle", (0.3, 0.3, 1.0, 3.0)),
            choice("most", (None, 1, 2, 3)),
            choice("snapshot", (None, 1, 2, 5)),
        )


class LedgerRecorder(Recorder, Protocol):
    """What the entities need of the recorder of their run."""

    journals: Journals
    """Who has the journal in which their events are; nobody where these are in the slots."""


class Ledgers:
    """The entities of one run.

    Parameters
    ----------
    stage
        The workload's side of the run.
    actors, checks
        Look at what entities handle, and at what they say.
    options
        Of the run.
    slots
        How many there are.
    """

    def __init__(
        self,
        recorder: LedgerRecorder,
        actors: ActorChecks,
        checks: LedgerChecks,
        options: Options,
        slots: int,
    ) -> None:
        self.recorder = recorder
        self.checks = checks
        self.options = options
        self._actors = actors
        self._slots = slots

    def hosted(self, process: Process, value: Any) -> None:
        """A node or client runs: it has a witness, and a node hosts the entities."""
        value.spawn(Behaviors.receive(self._witnessed), _WITNESS)
        if isinstance(value, ClusteredActorSystem):
            for region, make in ((LEDGERS, self._ledger), (VISITS, self._visit)):
                factory = partial(self._entity, region, make, process, value)
                most = self.options.max_activations if region == LEDGERS else None
                sharded = Behaviors.sharded(
                    factory, num_shards=NUM_SHARDS, idle_timeout=self.options.idle_s, max_activations=most
                )
                value.spawn(sharded, region)

    def _witnessed(self, ctx: ActorContext[Message], message: Message) -> None:
        entity_id, op, how = message
        self.checks.said(entity_id, op, how)

    def _entity(
        self,
        region: str,
        make: Callable[[Process, str, Activation], Behavior[Message]],
        process: Process,
        system: object,
        entity_id: str,
    ) -> Behavior[Message]:
        slot = slot_of_region(region, shard_of(entity_id, NUM_SHARDS), self._slots)
        self.checks.watch(region, entity_id, slot)
        life = self._actors.began(entity_path(region, entity_id), process, system, slot)
        return Behaviors.with_lifecycle(
            make(process, entity_id, life),
            post_stop=partial(self._stopped, life),
            pre_restart=partial(self._restarts, life),
        )

    async def _restarts(self, life: Activation, ctx: ActorContext[Message], error: Exception | None) -> None:
        """The next incarnation says that it lives; this one does nothing more."""
        life.is_over = True

    async def _stopped(self, life: Activation, ctx: ActorContext[Message]) -> None:
        self._actors.over(life)

    def _ledger(self, process: Process, entity_id: str, life: Activation) -> Behavior[Message]:
        every = self.options.snapshot_every
        return Behaviors.event_sourced(
            entity_id=entity_id,
            journal=self.recorder.journals.way(process.name),
            initial_state=Sum(),
            on_event=Sum.plus,
            on_command=_Ledger(self, self._actors, entity_id, life).on_command,
            snapshot_policy=None if every is None else SnapshotEvery(every),
        )

    def _visit(self, process: Process, entity_id: str, life: Activation) -> Behavior[Message]:
        del process, entity_id
        handled = [0]

        async def receive(ctx: ActorContext[Message], message: Message) -> None:
            del ctx
            sender, number, _, argument, reply_to, _ = message
            self._actors.handles(life, sender, number)
            await asyncio.sleep(argument / 1000)
            self._actors.goes_on(life)
            handled[0] += 1
            reply_to.tell(handled[0])

        return Behaviors.receive(receive)

    # -- what others do

    def message(
        self, process: Process, region: str, which: int, what: str, argument: int
    ) -> tuple[str, Message]:
        """Return the next message of a process to an entity, and its id."""
        entity_id = _DRAWN[which % len(_DRAWN)]
        sender = process.incarnation.label
        number = self.recorder.next_message(sender, entity_path(region, entity_id))
        actors = actors_of(process.value)
        witness = None if actors is None else actors.local.lookup(_WITNESS)
        return entity_id, [sender, number, what, argument, None, witness]

    def region(self, process: Process, name: str) -> ActorRef[ShardEnvelope[Message]] | None:
        """Return the ref of a region, None where the process leaves."""
        actors = actors_of(process.value)
        return None if actors is None else actors.entity_ref(name, num_shards=NUM_SHARDS)

    async def ask(
        self, process: Process, region: str, which: int, what: str, argument: int, timeout_s: float
    ) -> object:
        """Ask an entity, and check what it says; raises as `ask` does."""
        ref, actors = self.region(process, region), actors_of(process.value)
        if ref is None or actors is None:
            raise TimeoutError("the process is leaving")
        entity_id, own = self.message(process, region, which, what, argument)
        least = self.checks.ledger(entity_id).acknowledged
        answer = await actors.local.ask(ref, partial(_envelope, entity_id, own), timeout=timeout_s)
        if isinstance(answer, Sum):
            self.checks.read(entity_id, answer, least)
        elif isinstance(answer, list):
            op, place, total = answer
            self.checks.acknowledged(entity_id, op, place, total)
        return answer

    # -- the end of a run

    async def probe(self, process: Process, within_s: float) -> None:
        """In peace every entity takes an event, and says a state that all of its events give (3, 46)."""
        for which, entity_id in enumerate(LEDGER_IDS):
            for what in ("add", "read"):
                try:
                    answer = await self._ask_in_peace(process, which, what, within_s)
                except (TimeoutError, CastyError) as error:
                    self.recorder.violations.append(
                        Violation(46, f"entity {entity_id}", f"{what} in peace: {error!r}")
                    )
                    return
                known = self.checks.ledger(entity_id)
                if what == "read" and answer != known.sums[-1]:
                    text = f"{answer} was read in peace, the events give {known.sums[-1]}"
                    self.recorder.violations.append(Violation(3, f"entity {entity_id}", text))

    async def _ask_in_peace(self, process: Process, which: int, what: str, within_s: float) -> object:
        """Ask, and ask again where a death took the question, which happens once in peace, or a failure.

        What waited for a leader until now comes before the question, and may be a command that fails as planned: with
        it goes all that stands behind it.
        """
        for _ in range(_TAKEN):
            began_ns = self.recorder.world.now_ns
            try:
                return await self.ask(process, LEDGERS, which, what, 1, within_s)
            except (TimeoutError, CastyError) as error:
                if AS_PLANNED not in str(error) and not died_since(self.recorder.world, began_ns):
                    raise
        return await self.ask(process, LEDGERS, which, what, 1, within_s)

    def living(self) -> list[str]:
        """Return the paths of the entities that live."""
        found: list[str] = []
        for process in self.recorder.world.processes.values():
            actors = actors_of(process.value) if process.is_up else None
            host = None if actors is None else actors.host
            for activations in () if host is None else host.slots.values():
                found += [
                    path
                    for path in activations
                    if path.startswith((f"$region/{LEDGERS}", f"$region/{VISITS}"))
                ]
        return found


class _Ledger:
    """What one activation decides."""

    def __init__(self, ledgers: Ledgers, actors: ActorChecks, entity_id: str, life: Activation) -> None:
        self._ledgers = ledgers
        self._actors = actors
        self._entity_id = entity_id
        self._life = life

    def on_command(self, ctx: ActorContext[Message], state: Sum, message: Message) -> Decision:
        """Do what a message says: at once, but for what is slow, so that commands go to the log together."""
        sender, number, what, argument, *_ = message
        if not sender:  # a pipe's
            return None
        self._actors.handles(self._life, sender, number)
        self._ledgers.recorder.goal(f"ledgers did: {what}")
        if what == "slow":
            return self._slowly(ctx, state, message, argument / 1000)
        return self._decide(ctx, state, message)

    async def _slowly(
        self, ctx: ActorContext[Message], state: Sum, message: Message, seconds: float
    ) -> Decision:
        await asyncio.sleep(seconds)
        self._actors.goes_on(self._life)
        return self._decide(ctx, state, message)

    def _decide(self, ctx: ActorContext[Message], state: Sum, message: Message) -> Decision:
        sender, number, what, argument, reply_to, witness = message
        op = f"{sender}#{number}"
        if what == "read":
            _tell(reply_to, state)
            return None
        count = 1 + argument % 3
        entries = [Entry(op, state.count + at, 10 * at + number) for at in range(1, count + 1)]
        after = state
        for entry in entries:
            after = after.plus(entry)
        _tell(reply_to, [op, after.count, after.total])
        if what in ("effects", "refuse", "fail", "nested"):
            self._say(ctx, op, witness)
        if what == "fail":
            raise RuntimeError(AS_PLANNED)
        if what == "refuse":
            return Behaviors.persisted([Entry(op, state.count + at, 1) for at in range(1, _TOO_MANY + 1)])
        return Behaviors.persisted(entries, self._then(what, op, witness))

    def _say(self, ctx: ActorContext[Message], op: str, witness: Any) -> None:
        say = partial(_tell, witness)

        async def child(ctx: ActorContext[Message]) -> Behavior[Message]:
            del ctx
            say([self._entity_id, op, "a child"])
            return Behaviors.stopped()

        async def pipe() -> None:
            say([self._entity_id, op, "a pipe"])

        say([self._entity_id, op, "a tell"])
        ctx.spawn(Behaviors.setup(child), f"of {op.replace('/', '-')}")
        ctx.pipe_to_self(pipe(), mapper=lambda _: ["", 0, "", 0, None, None])

    def _then(self, what: str, op: str, witness: Any) -> Any:
        match what:
            case "stop":
                return Behaviors.stopped()
            case "restart":
                return Behaviors.restart()
            case "effects":
                return lambda state: _tell(witness, [self._entity_id, op, "what comes then"])
            case "nested":
                return lambda state: self._again(op, witness, state)
            case _:
                return None

    def _again(self, op: str, witness: Any, state: Sum) -> Persisted[Entry]:
        """Persist more, and say so before that is committed: it is held back as well."""
        op = f"{op}+"
        _tell(witness, [self._entity_id, op, "a tell of what comes then"])
        return Behaviors.persisted([Entry(op, state.count + 1, 1)])


def _tell(ref: Any, message: object) -> None:
    if ref is not None:
        ref.tell(message)


def _envelope(entity_id: str, own: Message, reply_to: Any) -> ShardEnvelope[Message]:
    sender, number, what, argument, _, witness = own
    return ShardEnvelope(entity_id, [sender, number, what, argument, reply_to, witness])
