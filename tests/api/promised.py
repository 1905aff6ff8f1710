"""The wider API as a table: where each name is, what it takes, its parts, and which tests show what it does."""

from __future__ import annotations

__all__ = ["MEMBERS", "PROMISES", "SIGNATURES"]

SIGNATURES = {
    "casty:ActorAddress": "(system, path, host=None, port=None, node_id=None, incarnation=None, number=None)",
    "casty:ActorAddress.from_uri": "(uri)",
    "casty:ActorAddress.to_uri": "()",
    "casty:Behaviors.receive": "(handler)",
    "casty:Behaviors.setup": "(factory)",
    "casty:Behaviors.same": "()",
    "casty:Behaviors.stopped": "()",
    "casty:Behaviors.unhandled": "()",
    "casty:Behaviors.restart": "()",
    "casty:Behaviors.ignore": "()",
    "casty:Behaviors.with_lifecycle": (
        "(behavior, *, pre_start=None, post_stop=None, pre_restart=None, post_restart=None)"
    ),
    "casty:Behaviors.supervise": "(behavior, strategy)",
    "casty:Behaviors.spy": "(behavior, observer, *, spy_children=False)",
    "casty:Behaviors.event_sourced": (
        "(*, entity_id, journal=None, initial_state, on_event, on_command, snapshot_policy=None, "
        "replica_refs=None, replication=None, upcast=None)"
    ),
    "casty:Behaviors.persisted": "(events, then=None)",
    "casty:Behaviors.sharded": (
        "(entity_factory, *, num_shards=100, replication=None, idle_timeout=None, max_activations=None, role=None)"
    ),
    "casty:Behaviors.singleton": "(factory, *, role=None)",
    "casty:Behaviors.broadcasted": "(behavior)",
    "casty:Behaviors.discoverable": "(behavior, *, key)",
    "casty:ActorContext.spawn": "(behavior, name, *, mailbox=None)",
    "casty:ActorContext.stop": "(ref)",
    "casty:ActorContext.watch": "(ref)",
    "casty:ActorContext.unwatch": "(ref)",
    "casty:ActorContext.on_stop": "(callback)",
    "casty:ActorContext.register_interceptor": "(interceptor)",
    "casty:ActorContext.pipe_to_self": "(awaitable, mapper=None, on_failure=None)",
    "casty:ActorContext.schedule": "(message, *, delay=None, interval=None, key=None)",
    "casty:Mailbox": ("(capacity=None, overflow=<MailboxOverflowStrategy.drop_new: 'drop_new'>)"),
    "casty:OneForOneStrategy": "(max_restarts=3, within=60.0, decider=None)",
    "casty:SupervisionStrategy.decide": "(exception, *, child_id)",
    "casty:SpyEvent": "(actor_path, event, timestamp)",
    "casty:Terminated": "(ref)",
    "casty:EventStreamSubscribe": "(event_type, handler)",
    "casty:EventStreamUnsubscribe": "(event_type, handler)",
    "casty:Publish": "(event)",
    "casty:event_stream_actor": "()",
    "casty:ActorStarted": "(ref)",
    "casty:ActorStopped": "(ref)",
    "casty:ActorRestarted": "(ref, exception)",
    "casty:DeadLetter": "(message, intended_ref)",
    "casty:UnhandledMessage": "(message, ref)",
    "casty:MemberUp": "(member)",
    "casty:MemberLeft": "(member)",
    "casty:UnreachableMember": "(member)",
    "casty:ReachableMember": "(member)",
    "casty:scheduler": "()",
    "casty:ScheduleTick": "(key, target, message, interval)",
    "casty:ScheduleOnce": "(key, target, message, delay)",
    "casty:CancelSchedule": "(key)",
    "casty:ActorSystem": "(name='casty-system', *, config=None)",
    "casty:ActorSystem.spawn": "(behavior, name, *, mailbox=None)",
    "casty:ActorSystem.ask": "async (ref, msg_factory, *, timeout=5.0)",
    "casty:ActorSystem.ask_or_none": "async (ref, msg_factory, *, timeout=5.0)",
    "casty:ActorSystem.lookup": "(path)",
    "casty:ActorSystem.shutdown": "async ()",
    "casty:ClusteredActorSystem": (
        "(*, name, host, port, node_id=None, seed_nodes=None, roles=frozenset(), bind_host=None, config=None, "
        "tls=None, required_quorum=None, serializer=None, data_dir=None, secret=None, zone=None, weight=100, "
        "suppress_dead_letters_on_shutdown=False)"
    ),
    "casty:ClusteredActorSystem.from_config": "(config, **overrides)",
    "casty:ClusteredActorSystem.spawn": "(behavior, name, *, mailbox=None)",
    "casty:ClusteredActorSystem.get_cluster_state": "async (timeout=5.0)",
    "casty:ClusteredActorSystem.wait_for": "async (n, timeout=60.0)",
    "casty:ClusteredActorSystem.barrier": "async (name, n, timeout=60.0)",
    "casty:ClusteredActorSystem.lookup": "(path, *, node=None, timeout=5.0)",
    "casty:ClusteredActorSystem.region_ref": "(key, factory, *, num_shards)",
    "casty:ClusteredActorSystem.entity_ask": "async (ref, msg_factory, *, timeout)",
    "casty:ClusteredActorSystem.distributed": "(*, journal=None)",
    "casty:ClusteredActorSystem.leave": "async (timeout=60.0)",
    "casty:ClusteredActorSystem.shutdown": "async ()",
    "casty:ClusterClient.ready": "async (timeout=5.0)",
    "casty:ShardEnvelope": "(entity_id, message)",
    "casty:ServiceKey": "(name)",
    "casty:Listing": "(key, instances)",
    "casty:ServiceInstance": "(ref, node)",
    "casty:Register": "(key, ref)",
    "casty:Deregister": "(key, ref)",
    "casty:Subscribe": "(key, reply_to)",
    "casty:Find": "(key, reply_to)",
    "casty:NodeAddress": "(host, port)",
    "casty:Counter": "(*, gateway, region_ref, name, timeout=5.0)",
    "casty:Distributed": "(gateway, *, journal=None)",
    "casty:EventJournal.load": "async (entity_id, from_sequence_nr=0, *, limit=None)",
    "casty:PersistedEvent": "(sequence_nr, event, timestamp)",
    "casty:Snapshot": "(sequence_nr, state, timestamp=0.0)",
    "casty:InMemoryJournal": "(*, codec=None)",
    "casty:SnapshotEvery": "(n_events)",
    "casty:ReplicationConfig": "(replicas=0, min_acks=0, ack_timeout=5.0)",
    "casty:Serializer.serialize": "(obj)",
    "casty:Serializer.deserialize": "(data, *, ref_factory=None)",
    "casty.tls:Config": "(server_context, client_context)",
    "casty.tls:Config.from_paths": "(*, certfile, cafile, keyfile=None)",
    "casty.config:load_config": "(path=None, *, environ=None)",
    "casty.config:discover_config": "(start=None)",
    "casty.streams:stream_producer": "(*, buffer_size=64, timeout=30.0)",
    "casty.streams:stream_consumer": "(producer, *, timeout=30.0, initial_demand=16)",
    "casty.streams:GetSink": "(reply_to)",
    "casty.streams:GetSource": "(reply_to)",
    "casty.streams:CompleteStream": "()",
    "casty.streams:SinkRef.put": "async (element)",
    "casty.streams:SinkRef.complete": "async ()",
    "casty.streams:SinkRef.fail": "async (reason)",
    "casty.streams:SinkRef.closed": "async ()",
    "casty.streams:SourceRef.cancel": "()",
    "casty.streams:SourceRef.fail": "(reason)",
    "casty.tasks:task_runner": "(*, max_tasks=10000)",
    "casty.tasks:RunTask": "(fn, args=(), kwargs=(), reply_to=None, key='')",
    "casty.messaging:LocalTransport": "(*, max_pending_per_path=64)",
    "casty.messaging:MessageTransport.deliver": "(address, message, /)",
}
"""Path -> parameters, without annotations."""

MEMBERS = {
    "casty:ActorRef": "id tell",
    "casty:RemoteActorRef": "id tell address",
    "casty:ActorAddress": "is_local",
    "casty:BroadcastRef": "tell members",
    "casty:Behavior": "on_receive on_setup signal",
    "casty:Signal": "same stopped restart unhandled",
    "casty:Directive": "restart stop escalate",
    "casty:ActorContext": "self system log",
    "casty:Mailbox": "put put_async get size empty",
    "casty:MailboxOverflowStrategy": "drop_new drop_oldest reject",
    "casty:ActorSystem": "name event_stream scheduler",
    "casty:ClusteredActorSystem": "self_node receptionist name event_stream scheduler ask ask_or_none",
    "casty:MemberStatus": "joining up leaving down removed",
    "casty:Member": "address status roles id",
    "casty:ClusterState": "members leader unreachable",
    "casty:TopologySnapshot": "members leader unreachable registry",
    "casty:JournalKind": "local centralized",
    "casty:EventJournal": "kind persist load save_snapshot load_snapshot",
    "casty:SqliteJournal": "close persist load save_snapshot load_snapshot",
    "casty:EntityGateway": "region_ref entity_ask",
    "casty:CastyConfig": "settings cluster tls suppress_dead_letters_on_shutdown",
    "casty:PickleSerializer": "serialize deserialize",
    "casty.testing:BehaviorTestKit": "run",
    "casty.testing:TestProbe": "expect",
}
"""Path -> attributes and fields that its users name."""

_ACTORS = "unit/actor/test_actors.py::"
_NODES = "cluster/test_nodes.py::"
_CLIENTS = "cluster/test_clients.py::"
_REMOTE = "unit/actor/test_remote_refs.py::"
_SOURCED = "unit/actor/test_event_sourced.py::"

PROMISES = {
    "tell never raises for a dead target": f"{_ACTORS}an_exception_stops_the_actor_and_its_mail_is_dead",
    "tell raises QueueFull for a full mailbox that rejects": f"{_ACTORS}full_mailboxes",
    "refs of a plain system do not travel": f"{_REMOTE}local_refs_do_not_leave_the_process",
    "refs of a cluster are addresses": f"{_REMOTE}own_refs_are_addresses_and_are_found_again",
    "addresses are uris": "unit/values/test_address.py::uris unit/values/test_address.py::anything_else_is_refused",
    "ask on a broadcast gives a tuple": "cluster/test_singletons.py::a_broadcast_reaches_every_member_that_is_up",
    "a behavior is exactly one thing": f"{_ACTORS}a_behavior_is_exactly_one_thing",
    "receive takes plain and coroutine functions": f"{_ACTORS}tell_and_ask_keep_order_and_state",
    "setup may nest, and frees the name where it raises": (
        f"{_ACTORS}setups_may_nest_and_must_not_end_in_same {_ACTORS}a_failing_setup_frees_the_name_and_is_an_event"
    ),
    "unhandled publishes, restart keeps mail": (
        f"{_ACTORS}unhandled_and_restart_are_published {_ACTORS}restart_ends_children_first_and_keeps_mail"
    ),
    "children end before a restart": f"{_ACTORS}restart_ends_children_first_and_keeps_mail",
    "hooks surround each incarnation": f"{_ACTORS}lifecycle_hooks_surround_each_incarnation",
    "post_stop runs on a forced stop": (
        f"{_ACTORS}shutdown_stops_by_force_what_does_not_end_and_still_runs_the_hooks"
    ),
    "supervision restarts, stops and escalates": (
        "unit/actor/test_supervision.py::a_restart_keeps_the_mail_and_loses_the_message_in_hand "
        "unit/actor/test_supervision.py::who_fails_too_often_stops "
        "unit/actor/test_supervision.py::what_nobody_decides_makes_the_parent_fail"
    ),
    "an unsupervised exception stops the actor": f"{_ACTORS}an_exception_stops_the_actor_and_its_mail_is_dead",
    "a spy sees each handled message and the end": (
        "unit/actor/test_spying.py::each_handled_message_and_the_end_are_seen "
        "unit/actor/test_spying.py::children_are_spied_on_where_that_is_asked_for"
    ),
    "an event-sourced actor recovers before its first message": (
        f"{_SOURCED}the_state_is_what_its_events_make_of_it_in_each_life"
    ),
    "a reply leaves after its events are on record": f"{_SOURCED}nothing_leaves_before_the_events_are_committed",
    "each then of persisted is honoured": f"{_SOURCED}each_kind_of_then_is_honoured",
    "journal=None works in a region": (
        "cluster/test_entity_events.py::an_entity_outlives_its_node_and_nothing_acknowledged_is_lost"
    ),
    "a sharded region has one activation of an entity": (
        "unit/cluster/actors/test_regions.py::messages_reach_one_activation_from_everywhere"
    ),
    "a singleton is one, and is moved": (
        "cluster/test_singletons.py::it_lives_once_without_being_asked_and_moves_when_its_node_is_gone"
    ),
    "a discoverable actor is found while it lives": (
        "cluster/test_discoverable.py::an_actor_is_found_while_it_lives_also_after_a_restart"
    ),
    "an interceptor consumes": f"{_ACTORS}interceptors_consume",
    "pipe_to_self maps results and failures": f"{_ACTORS}pipe_to_self",
    "the order of a stop": f"{_ACTORS}stop_order",
    "watching one that stopped answers at once": (
        f"{_ACTORS}watch_of_a_stopped_actor_answers_at_once_and_unwatch_silences"
    ),
    "watching works over processes, and node loss counts": (
        f"{_REMOTE}remote_watch_tells_of_stop_of_absence_and_of_node_loss "
        "cluster/test_watches.py::each_end_is_told_once"
    ),
    "names are unique, and free after the stop": f"{_ACTORS}names_are_unique_free_after_stop_and_checked",
    "a mailbox has a bound and strategies": "unit/actor/test_mailbox.py::overflow",
    "the configured bound holds": f"{_ACTORS}the_configured_bound_holds_for_plain_mailboxes",
    "put_async waits for room": (
        "unit/actor/test_mailbox.py::put_async_waits_for_room_in_order_and_survives_cancellation"
    ),
    "the event stream takes functions": (
        f"{_ACTORS}event_stream_takes_plain_and_coroutine_handlers_and_unsubscribes"
    ),
    "the event stream takes refs": "unit/actor/test_events.py::an_actor_hears_events_by_its_ref_until_it_stops",
    "an event stream of one's own": (
        "unit/actor/test_events.py::a_stream_of_ones_own_ends_though_its_handler_does_not"
    ),
    "events of members are published": (
        "cluster/test_membership_events.py::"
        "every_node_and_client_hears_of_a_paused_node_within_four_seconds_and_of_its_return"
    ),
    "once comes once, a tick after one interval": (
        "unit/actor/test_scheduling.py::once_comes_once_and_a_tick_after_each_interval"
    ),
    "a key of the scheduler is replaced": "unit/actor/test_scheduling.py::a_key_is_replaced_and_cancelled",
    "lookup finds the same object, nested, with and without slash": (
        f"{_ACTORS}lookup_finds_the_same_object_nested_with_and_without_slash"
    ),
    "ask times out": f"{_ACTORS}ask_times_out_with_the_name_of_the_actor",
    "from_config without [cluster] is an error that names it": (
        f"{_NODES}without_a_cluster_section_the_error_names_it"
    ),
    "a founder waits for required_quorum members": f"{_NODES}only_a_founder_waits_for_the_required_members",
    "a start that takes too long closes everything": f"{_NODES}a_start_that_takes_too_long_closes_everything",
    "lookup here, there, and of services": f"{_NODES}lookup_here_there_and_of_services",
    "the state of the cluster, and waiting for members": f"{_NODES}state_and_waiting_for_members",
    "region_ref is idempotent, and another shard count raises": (
        f"{_NODES}a_region_is_one_whoever_asks_and_however_often "
        f"{_NODES}a_wrong_shard_count_that_was_refused_leaves_nothing_behind"
    ),
    "any number of facades": "cluster/test_facades.py::another_number_of_shards_is_an_event_whichever_facade_is_used",
    "leave": "cluster/test_elastic.py::the_last_member_leaves_by_stopping_and_one_of_two_takes_everything_along",
    "the shard of an entity": f"{_REMOTE}shards_are_the_first_four_bytes_of_md5",
    "a subscriber hears the present and each change": (
        "unit/cluster/actors/test_services.py::subscribers_hear_the_present_and_every_change_once"
    ),
    "a client's calls wait for the topology": (
        f"{_CLIENTS}questions_wait_for_the_topology_within_their_deadline"
    ),
    "a client's refusal is the error of every call": (
        f"{_CLIENTS}a_refusal_is_the_error_of_every_call_and_names_both_sides"
    ),
    "a client outside its async with": (
        f"{_CLIENTS}before_and_after_its_life_every_use_says_so spec/test_client.py::there_has_to_be_a_contact_point"
    ),
    "ask to a client's own actor stays in process": f"{_CLIENTS}questions_to_its_own_actors_need_no_cluster",
    "structures can be built by hand": "spec/test_facade.py::the_structures_can_be_built_by_hand",
    "with a journal changes are on record": (
        "spec/test_facade.py::with_a_journal_changes_are_on_record_before_calls_return"
    ),
    "all journals pass one suite": "unit/journal/test_suite.py::suite",
    "a journal refuses a stale writer": f"{_SOURCED}a_stale_writer_is_refused_and_says_nothing",
    "pickle by choice only, with a warning": (
        "cluster/test_serializers.py::pickle_by_choice_only_and_with_a_warning"
    ),
    "unknown keys of a configuration are refused": "unit/values/test_config_file.py::mistakes_are_named",
    "discovery of a configuration walks up": "unit/values/test_config_file.py::discovery_walks_up",
    "replies have types": "spec/test_typed_asks.py::the_type_of_a_reply_follows_from_the_question",
    "streams are ordered, bounded, and end on both sides": (
        "spec/test_streams.py::all_elements_come_in_order_and_both_sides_hear_of_the_end "
        "spec/test_streams.py::whoever_puts_is_as_fast_as_the_reader "
        "spec/test_streams.py::failures_are_told_to_the_other_side_with_their_reason "
        "spec/test_streams.py::the_loss_of_a_side_ends_the_stream_for_the_other"
    ),
    "a task runner tells how tasks ended": (
        "unit/actor/test_tasks.py::results_failures_and_plain_functions_are_told_with_their_key"
    ),
    "dead letters of the end can be suppressed": (
        "unit/actor/test_quiet_end.py::dead_letters_of_the_end_are_published_unless_they_are_suppressed"
    ),
    "delivery by address": (
        "unit/actor/test_messaging.py::messages_wait_for_their_path_in_order_up_to_the_bound"
    ),
}
"""What is promised -> the tests that show it, below ``tests``, without ``test_``."""
