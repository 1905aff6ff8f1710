"""`suppress_dead_letters_on_shutdown`: what finds nobody at the end is counted, and said only if that is wanted."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from casty import ActorSystem, Behaviors, CastyConfig, DeadLetter, EventStreamSubscribe, Settings, load_config
from casty.config import ClusterSection
from casty.errors import AskFailed, ConfigError
from casty.system import ClusteredActorSystem
from sim import World


async def ended(config: CastyConfig | Settings | None) -> tuple[list[object], int, int]:
    """End a system whose actor speaks to one that is gone; return dead letters heard, before and at the end."""
    heard: list[object] = []
    async with ActorSystem("x", config=config) as system:
        system.event_stream.tell(
            EventStreamSubscribe(DeadLetter, lambda letter: heard.append(letter.message))
        )
        gone: Any = system.spawn(Behaviors.stopped(), "gone")
        await asyncio.sleep(0.1)
        gone.tell("before")

        async def last_words(ctx: Any) -> None:
            gone.tell("at the end")
            with pytest.raises(AskFailed):
                await system.ask(gone, lambda reply_to: reply_to, timeout=5)

        system.spawn(Behaviors.with_lifecycle(Behaviors.ignore(), post_stop=last_words), "speaker")
        await asyncio.sleep(0.1)
    return heard, system.core.dead_letters, len(heard)


@pytest.mark.parametrize(
    ("config", "count"),
    [
        (None, 3),
        (Settings(), 3),
        (CastyConfig(), 3),
        (CastyConfig(suppress_dead_letters_on_shutdown=True), 1),
    ],
    ids=["default", "settings", "config", "suppressed"],
)
def test_dead_letters_of_the_end_are_published_unless_they_are_suppressed(
    config: CastyConfig | Settings | None, count: int
) -> None:
    with World(1) as world:
        heard, counted, published = world.run(ended(config), limit_s=100)
    assert heard[0] == "before"
    assert (counted, published) == (3, count)


async def said_at_the_end_of_a_node(*, is_quiet: bool) -> list[object]:
    """Return the dead letters that were heard of while a node ended."""
    config = CastyConfig(
        cluster=ClusterSection(host="127.0.0.1", port=0), suppress_dead_letters_on_shutdown=is_quiet
    )
    async with ClusteredActorSystem.from_config(config) as node:
        heard: list[object] = []
        node.event_stream.tell(EventStreamSubscribe(DeadLetter, heard.append))
        gone = node.spawn(Behaviors.stopped(), "gone")

        async def last_words(ctx: Any) -> None:
            gone.tell("at the end")

        node.spawn(Behaviors.with_lifecycle(Behaviors.ignore(), post_stop=last_words), "speaker")
        await asyncio.sleep(0.1)
    return heard


@pytest.mark.slow
@pytest.mark.parametrize("is_quiet", [False, True])
async def test_a_node_takes_it_from_its_configuration(is_quiet: bool) -> None:
    assert bool(await said_at_the_end_of_a_node(is_quiet=is_quiet)) is not is_quiet


def test_file_and_environment_say_it() -> None:
    name = "CASTY_SYSTEM_SUPPRESS_DEAD_LETTERS_ON_SHUTDOWN"
    assert load_config(environ={name: "true"}).suppress_dead_letters_on_shutdown
    assert not load_config(environ={name: "False"}).suppress_dead_letters_on_shutdown
    with pytest.raises(ConfigError, match="expected true or false, found 'yes'"):
        load_config(environ={name: "yes"})
