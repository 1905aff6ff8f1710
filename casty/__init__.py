"""casty: typed actors, sharded entities and coordination structures on a cluster, simulation-tested."""

from casty.actor.behavior import Behavior, Behaviors, Signal
from casty.actor.cluster_refs import BroadcastRef
from casty.actor.context import ActorContext
from casty.actor.event_sourced import Persisted, ReplicationConfig, SnapshotEvery
from casty.actor.events import (
    ActorFailed,
    ActorRestarted,
    ActorStarted,
    ActorStopped,
    DeadLetter,
    EventStreamSubscribe,
    EventStreamUnsubscribe,
    MemberLeft,
    MemberUp,
    MessagesLost,
    Publish,
    ReachableMember,
    Terminated,
    UnhandledMessage,
    UnreachableMember,
)
from casty.actor.mailbox import Mailbox, MailboxOverflowStrategy
from casty.actor.ref import ActorRef, RemoteActorRef
from casty.actor.scheduling import CancelSchedule, ScheduleOnce, ScheduleTick
from casty.actor.services import Deregister, Find, Listing, Register, ServiceInstance, ServiceKey, Subscribe
from casty.actor.sharding import ShardEnvelope
from casty.actor.spawnable import event_stream_actor, scheduler
from casty.actor.spying import SpyEvent
from casty.actor.supervision import Directive, OneForOneStrategy, SupervisionStrategy
from casty.actor.system import ActorSystem
from casty.address import ActorAddress, NodeAddress
from casty.client import ClusterClient
from casty.config import CastyConfig, discover_config, load_config
from casty.distributed.barrier import Barrier
from casty.distributed.counter import Counter
from casty.distributed.election import Election
from casty.distributed.facade import Distributed
from casty.distributed.fence import Fence
from casty.distributed.lock import Lock
from casty.distributed.map import Dict
from casty.distributed.port import EntityGateway
from casty.distributed.queue import Queue
from casty.distributed.semaphore import Semaphore
from casty.distributed.set import Set
from casty.journal.base import EventJournal, JournalKind, PersistedEvent, Snapshot
from casty.journal.memory import InMemoryJournal
from casty.journal.postgres import PostgresJournal
from casty.journal.sqlite import SqliteJournal
from casty.members import ClusterState, Member, MemberStatus, TopologySnapshot
from casty.settings import Settings
from casty.system import ClusteredActorSystem
from casty.version import __version__
from casty.wire.registry import message
from casty.wire.serializer import PickleSerializer, Serializer

__all__ = [
    "ActorAddress",
    "ActorContext",
    "ActorFailed",
    "ActorRef",
    "ActorRestarted",
    "ActorStarted",
    "ActorStopped",
    "ActorSystem",
    "Barrier",
    "Behavior",
    "Behaviors",
    "BroadcastRef",
    "CancelSchedule",
    "CastyConfig",
    "ClusterClient",
    "ClusterState",
    "ClusteredActorSystem",
    "Counter",
    "DeadLetter",
    "Deregister",
    "Dict",
    "Directive",
    "Distributed",
    "Election",
    "EntityGateway",
    "EventJournal",
    "EventStreamSubscribe",
    "EventStreamUnsubscribe",
    "Fence",
    "Find",
    "InMemoryJournal",
    "JournalKind",
    "Listing",
    "Lock",
    "Mailbox",
    "MailboxOverflowStrategy",
    "Member",
    "MemberLeft",
    "MemberStatus",
    "MemberUp",
    "MessagesLost",
    "NodeAddress",
    "OneForOneStrategy",
    "Persisted",
    "PersistedEvent",
    "PickleSerializer",
    "PostgresJournal",
    "Publish",
    "Queue",
    "ReachableMember",
    "Register",
    "RemoteActorRef",
    "ReplicationConfig",
    "ScheduleOnce",
    "ScheduleTick",
    "Semaphore",
    "Serializer",
    "ServiceInstance",
    "ServiceKey",
    "Set",
    "Settings",
    "ShardEnvelope",
    "Signal",
    "Snapshot",
    "SnapshotEvery",
    "SpyEvent",
    "SqliteJournal",
    "Subscribe",
    "SupervisionStrategy",
    "Terminated",
    "TopologySnapshot",
    "UnhandledMessage",
    "UnreachableMember",
    "__version__",
    "discover_config",
    "event_stream_actor",
    "load_config",
    "message",
    "scheduler",
]
