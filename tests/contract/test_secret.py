"""The shared secret over every transport: who is linked, what either side learns, and what a stranger can do."""

from __future__ import annotations

from typing import Any

import pytest

from casty import runtime
from casty.config import Settings
from casty.errors import RemoteProtocolError
from casty.secret import Secrets
from casty.transport.peers import Peer
from casty.transport.proving import Challenged, Proving, refusal_without_proof
from casty.wire import frames
from casty.wire.framing import frame
from casty.wire.hello import Challenge, Hello, Refusal, Welcome
from casty.wire.pack import unpack
from tests.contract.ends import End, Listening, Side, dial
from tests.contract.environments import Environment
from tests.contract.test_connections import finish, refused
from tests.kit.entropy import CountedEntropy, lowest

SETTINGS = Settings()
TEXT, OTHER = "a secret of the shop", "another secret, of no use"
SHARED, FOREIGN = Secrets("secret", [TEXT]), Secrets("secret", [OTHER])
ROTATION = [
    (["old" * 6], ["old" * 6, "new" * 6]),
    (["old" * 6, "new" * 6], ["new" * 6, "old" * 6]),
    (["new" * 6, "old" * 6], ["new" * 6]),
]


async def sides(
    environment: Environment, acceptor: Secrets | None, dialler: Secrets | None, role: str = "node"
) -> tuple[Side, Side, Peer]:
    server, client = Side("a", SETTINGS), Side("b", SETTINGS, role)
    server.secrets, client.secrets = acceptor, dialler
    return (
        server,
        client,
        client.dial(await server.listen(environment.host, environment.tls), environment.tls),
    )


@pytest.mark.parametrize("role", ["node", "client", "status"])
def test_both_prove_it_and_talk(environment: Environment, role: str) -> None:
    async def main() -> None:
        server, client, peer = await sides(environment, SHARED, SHARED, role)
        await client.until(lambda: bool(client.opened))
        await server.until(lambda: bool(server.opened))
        assert (client.opened[0].remote.node_id, server.opened[0].remote.node_id) == ("a", "b")
        client.opened[0].send(40, b"hello")
        await client.until(lambda: client.frames == [(42, b"hello")])
        await finish(server, peer)

    environment.run(main)


@pytest.mark.parametrize("role", ["node", "client", "status"])
@pytest.mark.parametrize(
    ("acceptor", "dialler", "text"),
    [
        (
            SHARED,
            None,
            "node a takes only whoever proves a shared secret, and {role} b has none: give both the same",
        ),
        (
            None,
            SHARED,
            "{role} b asks for a proof of a shared secret, and node a has none: give both the same secret=",
        ),
        (
            SHARED,
            FOREIGN,
            "{role} b has another secret than node a: give both the same secret= (CASTY_CLUSTER_SECRET",
        ),
    ],
    ids=["dialler has none", "acceptor has none", "different"],
)
def test_whoever_does_not_share_it_is_refused_and_told_which_setting_it_is(
    environment: Environment, acceptor: Secrets | None, dialler: Secrets | None, text: str, role: str
) -> None:
    async def main() -> None:
        server, client, peer = await sides(environment, acceptor, dialler, role)
        await refused(peer)
        assert text.format(role=role) in str(peer.last_refusal)
        assert not peer.is_refused_for_now
        assert (server.opened, client.opened) == ([], [])
        await finish(server, peer)

    environment.run(main)


@pytest.mark.parametrize(("one", "two"), ROTATION)
def test_secrets_are_replaced_while_everybody_talks(
    environment: Environment, one: list[object], two: list[object]
) -> None:
    async def main() -> None:
        for acceptor, dialler in ((one, two), (two, one)):
            server, client, peer = await sides(
                environment, Secrets("secret", acceptor), Secrets("secret", dialler)
            )
            await client.until(lambda client=client: bool(client.opened))
            await server.until(lambda server=server: bool(server.opened))
            await finish(server, peer)

    environment.run(main)


async def challenged(environment: Environment) -> tuple[Side, End, bytes]:
    """A link made by hand that was asked for its proof, and the hello that it said."""
    server = Side("a", SETTINGS)
    server.secrets = SHARED
    end = await dial(await server.listen(environment.host, environment.tls), environment.tls)
    hello = Side("b", SETTINGS, "client").hello()._replace(challenge=b"0123456789abcdef").encode()
    end.link.write(frame(frames.HELLO, hello))
    [(kind, _)] = await end.frames(1)
    assert kind == frames.CHALLENGE
    return server, end, hello


def test_a_proof_is_of_no_use_for_another_link(environment: Environment) -> None:
    async def main() -> None:
        server, end, hello = await challenged(environment)
        secret, mine = SHARED, Hello.decode(hello)
        proving = Proving(secret, runtime.current().entropy, mine)
        proving.mine, proving.hello = mine, hello
        proof = proving.answer((await end.frames(1))[0][1])
        end.link.write(frame(frames.PROOF, proof))
        assert (await end.frames(2))[1][0] == frames.WELCOME
        again = await dial(server.hello().address, environment.tls)
        again.link.write(frame(frames.HELLO, hello))
        await again.frames(1)
        again.link.write(frame(frames.PROOF, proof))
        kind, body = (await again.frames(2))[1]
        assert (kind, Refusal.decode(body).kind) == (frames.REFUSED, "secret")
        end.link.abort()
        again.link.abort()
        await finish(server)

    environment.run(main)


def test_a_proof_that_comes_with_the_hello_is_answered(environment: Environment) -> None:
    async def main() -> None:
        server = Side("a", SETTINGS)
        server.secrets = SHARED
        end = await dial(await server.listen(environment.host, environment.tls), environment.tls)
        hello = Side("b", SETTINGS, "client").hello()._replace(challenge=b"0123456789abcdef")
        end.link.write(frame(frames.HELLO, hello.encode()) + frame(frames.PROOF, b"guessed"))
        kinds = [kind for kind, _ in await end.frames(2)]
        assert kinds == [frames.CHALLENGE, frames.REFUSED]
        await end.lost()
        assert server.opened == []
        await finish(server)

    environment.run(main)


@pytest.mark.parametrize("kind", [frames.HELLO, frames.WELCOME, frames.REQUEST])
def test_nothing_but_a_proof_follows_a_challenge(environment: Environment, kind: int) -> None:
    async def main() -> None:
        server, end, hello = await challenged(environment)
        end.link.write(frame(kind, hello))
        assert (await end.frames(2))[1][0] == frames.REFUSED
        await end.lost()
        await finish(server)

    environment.run(main)


def test_who_is_challenged_and_says_nothing_is_let_go(environment: Environment) -> None:
    async def main() -> None:
        server, end, _ = await challenged(environment)
        assert server.acceptor is not None
        assert server.acceptor.half_open_links == 1
        kind, body = (await end.frames(2))[1]
        assert (kind, Refusal.decode(body).kind) == (frames.REFUSED, "late")
        await end.lost()
        await finish(server)

    environment.run(main)


def test_an_acceptor_that_cannot_prove_it_is_left(environment: Environment) -> None:
    async def main() -> None:
        for proof, text in ((None, "node a has none"), (b"x" * 32, "node a has another secret")):
            listening = Listening()
            address = await listening.start(environment.host, environment.tls)
            client = Side("b", SETTINGS, "client")
            client.secrets = SHARED
            peer = client.dial(address, environment.tls)
            far = await listening.ends.get()
            said = (await far.frames(1))[0][1]
            mine = Side("a", SETTINGS).hello()
            if proof is not None:
                far.link.write(frame(frames.CHALLENGE, Challenge(b"n" * 16, mine).encode()))
                assert (await far.frames(2))[1][0] == frames.PROOF
            far.link.write(frame(frames.WELCOME, Welcome(1, mine, {}, proof or b"").encode()))
            await far.lost()
            assert text in str(peer.last_refusal)
            assert TEXT.encode() not in bytes(far.data)
            assert len(Hello.decode(said).challenge) == 16
            peer.close()
            assert listening.listener is not None
            await listening.listener.close()
            while not listening.ends.empty():
                listening.ends.get_nowait().link.abort()

    environment.run(main)


# -- the values

MINE = Hello("shop", "node", "a", "1", "h", 1)
THEIRS = Hello("shop", "client", "b", "2", "h", 2)


def exchange() -> tuple[Proving, Challenged]:
    draws = CountedEntropy(lowest)
    proving = Proving(SHARED, draws, THEIRS)
    return proving, Challenged(SHARED, draws, proving.hello, proving.mine, MINE)


def test_nobody_is_answered_with_his_own_proof() -> None:
    proving, asked = exchange()
    proof = proving.answer(asked.challenge)
    assert asked.refusal(proof) is None
    assert proving.flaw(Welcome(1, MINE, {}, asked.proof())) is None
    assert asked.refusal(asked.proof()) is not None
    assert proving.flaw(Welcome(1, MINE, {}, proof)) is not None


@pytest.mark.parametrize(
    "change", [{"node_id": "c"}, {"incarnation": "3"}, {"host": "g"}, {"role": "status"}, {"generation": 9}]
)
def test_what_either_end_says_is_in_the_proof(change: dict[str, Any]) -> None:
    proving, asked = exchange()
    changed = proving.mine._replace(**change)
    bent = Challenged(SHARED, CountedEntropy(lowest), changed.encode(), changed, MINE)
    bent.challenge = asked.challenge
    assert bent.refusal(proving.answer(asked.challenge)) is not None
    assert proving.flaw(Welcome(1, MINE._replace(**change), {}, asked.proof())) is not None


def test_a_challenge_counts_once_and_only_where_there_is_a_secret() -> None:
    proving, asked = exchange()
    proving.answer(asked.challenge)
    with pytest.raises(RemoteProtocolError, match="expected a welcome, found a challenge of node a"):
        proving.answer(asked.challenge)
    with pytest.raises(RemoteProtocolError, match="found a challenge"):
        Proving(None, CountedEntropy(lowest), THEIRS).answer(asked.challenge)
    with pytest.raises(RemoteProtocolError, match="wrong cluster name"):
        exchange()[0].answer(Challenge(b"n" * 16, MINE._replace(cluster="store")).encode())
    for body in (b"", b"\x90", Challenge(b"short", MINE).encode()):
        with pytest.raises(RemoteProtocolError):
            Challenge.decode(body)


def test_without_a_secret_everything_is_as_it_was() -> None:
    draws = CountedEntropy(lowest)
    proving = Proving(None, draws, THEIRS)
    assert proving.hello == THEIRS.encode()
    plain = unpack(proving.hello)
    assert isinstance(plain, list)
    assert len(plain) == 11
    assert proving.flaw(Welcome(1, MINE, {})) is None
    assert refusal_without_proof(None, THEIRS, MINE) is None
    assert draws.drawn == 0
    welcome = unpack(Welcome(1, MINE, {}).encode())
    assert isinstance(welcome, list)
    assert len(welcome) == 3
