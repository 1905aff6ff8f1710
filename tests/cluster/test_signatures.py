"""The parameters that programs rely on, by name, kind and default."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest

import casty
from casty import ActorSystem, Behaviors, ClusterClient, ClusteredActorSystem, Distributed

NODE = (
    "(*, name, host, port, node_id=None, seed_nodes=None, roles=frozenset(), bind_host=None, config=None, "
    "tls=None, required_quorum=None, serializer=None, data_dir=None, secret=None, zone=None, "
    "weight=100, suppress_dead_letters_on_shutdown=False)"
)
CLIENT = (
    "(*, contact_points, system_name, client_host='127.0.0.1', client_port=0, advertised_host=None, "
    "advertised_port=None, address_map=None, serializer=None, tls=None, secret=None, session_ttl_s=None)"
)
SIGNATURES: list[tuple[Callable[..., Any], str]] = [
    (
        ClusteredActorSystem,
        NODE,
    ),
    (
        ClusterClient,
        CLIENT,
    ),
    (ActorSystem, "(name='casty-system', *, config=None)"),
    (Distributed, "(gateway, *, journal=None)"),
    (ClusteredActorSystem.from_config, "(config, **overrides)"),
    (ClusteredActorSystem.get_cluster_state, "(self, timeout=5.0)"),
    (ClusteredActorSystem.wait_for, "(self, n, timeout=60.0)"),
    (ClusteredActorSystem.barrier, "(self, name, n, timeout=60.0)"),
    (ClusteredActorSystem.lookup, "(self, path, *, node=None, timeout=5.0)"),
    (ClusteredActorSystem.spawn, "(self, behavior, name, *, mailbox=None)"),
    (ClusteredActorSystem.region_ref, "(self, key, factory, *, num_shards)"),
    (ClusteredActorSystem.entity_ask, "(self, ref, msg_factory, *, timeout)"),
    (ClusteredActorSystem.ask, "(self, ref, msg_factory, *, timeout=5.0)"),
    (ClusteredActorSystem.ask_or_none, "(self, ref, msg_factory, *, timeout=5.0)"),
    (ClusteredActorSystem.distributed, "(self, *, journal=None)"),
    (ClusterClient.lookup, "(self, key)"),
    (ClusterClient.spawn, "(self, behavior, name, *, mailbox=None)"),
    (ClusterClient.entity_ref, "(self, shard_type, *, num_shards)"),
    (ClusterClient.ask, "(self, ref, msg_factory, *, timeout=5.0)"),
    (ClusterClient.region_ref, "(self, key, factory, *, num_shards)"),
    (ClusterClient.entity_ask, "(self, ref, msg_factory, *, timeout)"),
    (ClusterClient.distributed, "(self)"),
    (
        Behaviors.sharded,
        "(entity_factory, *, num_shards=100, replication=None, idle_timeout=None, max_activations=None, role=None)",
    ),
    (
        Behaviors.with_lifecycle,
        "(behavior, *, pre_start=None, post_stop=None, pre_restart=None, post_restart=None)",
    ),
]


@pytest.mark.parametrize(
    ("function", "expected"), SIGNATURES, ids=lambda item: getattr(item, "__qualname__", "")
)
def test_parameters(function: Callable[..., Any], expected: str) -> None:
    signature = inspect.signature(function)
    bare = [
        parameter.replace(annotation=inspect.Parameter.empty) for parameter in signature.parameters.values()
    ]
    assert str(inspect.Signature(bare)) == expected


NAMES = """
ActorAddress ActorContext ActorFailed ActorRef ActorRestarted ActorStarted ActorStopped ActorSystem Behavior Behaviors
ClusterClient ClusterState ClusteredActorSystem DeadLetter Deregister Distributed EntityGateway EventStreamSubscribe
EventStreamUnsubscribe Find Listing Mailbox MailboxOverflowStrategy Member MemberLeft MemberStatus MemberUp NodeAddress
PickleSerializer Publish ReachableMember Register RemoteActorRef Serializer ServiceInstance ServiceKey ShardEnvelope
Signal Subscribe Terminated TopologySnapshot UnhandledMessage UnreachableMember event_stream_actor
"""


def test_names() -> None:
    assert [name for name in NAMES.split() if name not in casty.__all__] == []
