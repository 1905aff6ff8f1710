"""``casty member``: who the members are, and what an operator does about one of them."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from typing import Any

from casty.cli.status import access_of, ask_node, fetch_status, traits_of
from casty.errors import ConfigError, ProtocolError
from casty.wire import frames

__all__ = ["members_of", "run_member"]


def run_member(options: argparse.Namespace) -> int:
    """Print the members, or do something about one; 1 when that was refused."""
    if (options.node_id is None) != (options.what == "list"):
        raise ConfigError("casty member: expected list, remove ID, or drain ID")
    config, secrets = access_of(options)
    if options.what == "list":
        document = asyncio.run(fetch_status(options.contact, options.timeout, config, secrets))
        members = members_of(document)
        print(json.dumps(members, indent=2) if options.json else render(members))
        return 0
    answer = asyncio.run(
        ask_node(
            options.contact,
            frames.COMMAND,
            [options.what, options.node_id],
            frames.COMMAND_REPLY,
            options.timeout,
            config,
            secrets,
        )
    )
    if not isinstance(answer, list) or [type(part) for part in answer] != [bool, str]:
        raise ProtocolError(f"expected [is done, text] as the answer to a command, found {answer!r:.100}")
    is_done, text = answer
    if options.json:
        print(json.dumps({"done": is_done, "text": text}))
    else:
        print(text, file=sys.stdout if is_done else sys.stderr)
    return 0 if is_done else 1


def members_of(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the members of a status document, each with the slots that it should have, has, and leads."""
    slots = document["slots"]
    return [
        {
            **member,
            "planned": sum(member["id"] in slot["target"] for slot in slots),
            "replicas": sum(member["id"] in slot["replicas"] for slot in slots),
            "leads": sum(member["id"] == slot["leader"] for slot in slots),
        }
        for member in document["members"]
    ]


def render(members: list[dict[str, Any]]) -> str:
    """Return the members for people."""
    lines = [f"{'id':<24} {'address':<24} {'status':<8} replicas leads"]
    for member in members:
        replicas = f"{member['replicas']} of {member['planned']}"
        lines.append(
            f"{member['id']:<24} {member['address']:<24} {member['status']:<8} {replicas:<8} {member['leads']:<5} "
            f"{traits_of(member)}".rstrip()
        )
    return "\n".join(lines)
