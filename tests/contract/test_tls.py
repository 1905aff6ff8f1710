"""TLS on real sockets: who is taken, who is not, and what either side learns."""

from __future__ import annotations

import datetime as dt
import re
import ssl
from pathlib import Path

import pytest
import trustme

from casty import ClusterClient, ClusteredActorSystem, runtime
from casty.config import Settings
from casty.tls import Config, TlsError
from casty.transport.peers import Peer
from casty.wire import frames
from casty.wire.hello import Refusal
from tests.contract.ends import Side, dial
from tests.contract.environments import HOST, contexts_of, run_for_real

SETTINGS = Settings()


async def outcome(server_tls: Config | None, client_tls: Config | None, role: str) -> str | None:
    """Return None when the two link and can talk, else the refusal that the dialler learns."""
    server, client = Side("a", SETTINGS), Side("b", SETTINGS, role)
    peer: Peer = client.dial(await server.listen(HOST, server_tls), client_tls)
    while peer.last_refusal is None and not client.frames:
        if client.opened and client.opened[0].is_open:
            client.opened[0].send(40, b"hello")
        await runtime.current().clock.sleep(0.01)
    refusal = None if client.frames else peer.last_refusal
    peer.close()
    assert server.acceptor is not None
    await server.acceptor.close()
    return refusal


def learn(server_tls: Config | None, client_tls: Config | None, role: str = "node") -> str | None:
    found: list[str | None] = []

    async def main() -> None:
        found.append(await outcome(server_tls, client_tls, role))

    run_for_real(main)
    return found[0]


def test_mutual_tls(tls: Config) -> None:
    assert learn(tls, tls) is None


def test_tls_at_the_acceptor_only(tls: Config) -> None:
    assert "found TLS" in str(learn(tls, None))


def test_tls_at_the_dialler_only(tls: Config) -> None:
    assert "expected TLS, found plain bytes" in str(learn(None, tls))


def test_the_acceptor_says_so_to_plain_and_to_tls_strangers(tls: Config) -> None:
    async def main() -> None:
        plain, secure = Side("a", SETTINGS), Side("a", SETTINGS)
        end = await dial(await secure.listen(HOST, tls), None)
        end.link.write(b"\0\0\0\5\1hell")
        await end.lost()
        assert bytes(end.data)[:2] == b"\x15\x03"
        shaker = await dial(await plain.listen(HOST, None), None)
        shaker.link.write(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
        await shaker.lost()
        [(kind, body)] = await shaker.frames(1)
        assert kind == frames.REFUSED
        assert "found TLS" in Refusal.decode(body).text
        for side in (plain, secure):
            assert side.acceptor is not None
            await side.acceptor.close()

    run_for_real(main)


def test_a_certificate_for_another_host_is_refused(authority: trustme.CA, tls: Config) -> None:
    other = contexts_of(authority, "db.example")
    text = str(learn(other, tls))
    assert "certificate was refused" in text
    assert HOST in text


def test_a_certificate_of_another_authority_is_refused_by_the_dialler(tls: Config) -> None:
    stranger = contexts_of(trustme.CA(), HOST)
    assert "certificate was refused" in str(learn(stranger, tls))


def test_a_dialler_of_another_authority_is_refused_by_the_acceptor(
    authority: trustme.CA, tls: Config
) -> None:
    stranger = contexts_of(trustme.CA(), HOST)
    authority.configure_trust(stranger.client_context)
    assert "refused by the other end: it does not trust the authority that signed" in str(
        learn(tls, stranger)
    )


def test_a_dialler_whose_certificate_has_expired_is_told_so(authority: trustme.CA, tls: Config) -> None:
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(client)
    yesterday = dt.datetime.now(dt.UTC) - dt.timedelta(days=1)
    authority.issue_cert(HOST, not_after=yesterday).configure_cert(client)
    assert "the certificate shown here has expired" in str(learn(tls, Config(tls.server_context, client)))


def test_a_dialler_without_a_certificate(authority: trustme.CA, tls: Config) -> None:
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(client)
    anonymous = Config(tls.server_context, client)
    assert "none was shown here" in str(learn(tls, anonymous))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(HOST).configure_cert(server)
    assert learn(Config(server, client), anonymous, "client") is None
    assert "no certificate that names this host" in str(learn(Config(server, client), anonymous))
    assert "no certificate that names this host" in str(learn(Config(server, client), tls)), (
        "nobody asked for it"
    )


def test_a_certificate_makes_a_node_of_the_host_that_it_names_only(
    authority: trustme.CA, tls: Config
) -> None:
    job = contexts_of(authority, "job.example")
    assert learn(tls, job, "client") is None
    assert learn(tls, job, "status") is None
    text = str(learn(tls, job))
    assert "node b says that it is reached at '127.0.0.1', and showed node a no certificate" in text
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(HOST).configure_cert(server)
    authority.configure_trust(server)
    server.verify_mode = ssl.CERT_OPTIONAL
    assert learn(Config(server, tls.client_context), tls) is None, "it showed one although it need not"


def test_a_node_that_answers_proves_its_host(tls: Config) -> None:
    """Who asked to join was dialled at its own address, and could answer as a member of another host."""

    async def main() -> None:
        server = Side("a", SETTINGS)
        server.host = "member.example"
        address = await server.listen(HOST, tls)
        client, node = Side("c", SETTINGS, "client"), Side("b", SETTINGS)
        linked, peer = client.dial(address, tls), node.dial(address, tls)
        await client.until(lambda: bool(client.opened))
        while peer.last_refusal is None:
            await runtime.current().clock.sleep(0.01)
        assert "its certificate does not name this host" in peer.last_refusal
        assert node.opened == []
        for side in (linked, peer):
            side.close()
        assert server.acceptor is not None
        await server.acceptor.close()

    run_for_real(main)


def test_certificates_may_be_replaced_in_the_living_contexts(authority: trustme.CA) -> None:
    async def main() -> None:
        living = contexts_of(authority, HOST)
        assert living.server_context is not None
        server, old = Side("a", SETTINGS), Side("b", SETTINGS)
        address = await server.listen(HOST, living)
        first = old.dial(address, living)
        await old.until(lambda: bool(old.opened))
        successor = trustme.CA()
        certificate = successor.issue_cert(HOST)
        for context in (living.server_context, living.client_context):
            certificate.configure_cert(context)
            successor.configure_trust(context)
        new = Side("c", SETTINGS)
        second = new.dial(address, contexts_of(successor, HOST))
        await new.until(lambda: bool(new.opened))
        for side, peer in ((new, second), (old, first)):
            side.opened[0].send(40, b"both go on")
            await side.until(lambda side=side: bool(side.frames))
            peer.close()
        assert server.acceptor is not None
        await server.acceptor.close()

    run_for_real(main)


def test_links_stuck_in_the_tls_handshake_are_bounded(tls: Config) -> None:
    async def main() -> None:
        server = Side("a", Settings(max_half_open_links=10))
        address = await server.listen(HOST, tls)
        ends = [await dial(address, None) for _ in range(100)]
        for end in ends[:-10]:
            await end.lost()
        assert server.acceptor is not None
        assert server.acceptor.half_open_links <= 10
        await server.acceptor.close()
        for end in ends:
            await end.lost()

    run_for_real(main)


def test_garbage_in_the_tls_handshake(tls: Config) -> None:
    async def main() -> None:
        server = Side("a", SETTINGS)
        address = await server.listen(HOST, tls)
        end = await dial(address, None)
        end.link.write(b"\x16\x03\x01\x00\x05garbage" * 20)
        await end.lost()
        client = Side("b", SETTINGS)
        peer = client.dial(address, tls)
        await client.until(lambda: bool(client.opened))
        peer.close()
        assert server.acceptor is not None
        await server.acceptor.close()

    run_for_real(main)


def test_the_reason_of_a_lost_link_is_a_tls_error(tls: Config) -> None:
    async def main() -> None:
        plain = Side("a", SETTINGS)
        end = await dial(await plain.listen(HOST, None), tls)
        assert isinstance(await end.lost(), TlsError)
        assert plain.acceptor is not None
        await plain.acceptor.close()

    run_for_real(main)


def test_from_paths(authority: trustme.CA, tmp_path: Path, tls: Config) -> None:
    certificate = authority.issue_cert(HOST)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    certificate.private_key_and_cert_chain_pem.write_to_path(tmp_path / "both.pem")
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    one = Config.from_paths(certfile=tmp_path / "both.pem", cafile=tmp_path / "ca.pem")
    two = Config.from_paths(
        certfile=str(tmp_path / "cert.pem"), cafile=tmp_path / "ca.pem", keyfile=tmp_path / "key.pem"
    )
    for config in (one, two):
        assert config.server_context is not None
        assert config.server_context.verify_mode == ssl.CERT_REQUIRED
        assert config.client_context.verify_mode == ssl.CERT_REQUIRED
        assert config.client_context.check_hostname
        assert learn(tls, config) is None
        assert learn(config, tls) is None


def test_a_bad_file_is_named(authority: trustme.CA, tmp_path: Path) -> None:
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    authority.issue_cert(HOST).private_key_and_cert_chain_pem.write_to_path(tmp_path / "both.pem")
    (tmp_path / "text.pem").write_text("nothing")
    bad = [("none", "ca", None), ("both", "none", None), ("both", "ca", "none"), ("text", "ca", None)]
    bad += [("both", "text", None), ("both", "ca", "text")]
    for certfile, cafile, keyfile in bad:
        wrong = "none.pem" if "none" in (certfile, cafile, keyfile) else "text.pem"
        key = None if keyfile is None else tmp_path / f"{keyfile}.pem"
        with pytest.raises(OSError, match=re.escape(str(tmp_path / wrong))):
            Config.from_paths(
                certfile=tmp_path / f"{certfile}.pem", cafile=tmp_path / f"{cafile}.pem", keyfile=key
            )


def test_a_client_does_without_a_server_context(tls: Config) -> None:
    config = Config(server_context=None, client_context=tls.client_context)
    assert learn(tls, config) is None
    ClusterClient(contact_points=[(HOST, 1)], system_name="a", tls=config)
    with pytest.raises(TypeError, match="tls: expected a server_context, found None"):
        ClusteredActorSystem(name="a", host=HOST, port=0, tls=config)
    for contexts in ((5, tls.client_context), (tls.server_context, None)):
        with pytest.raises(TypeError, match=r"_context: expected an ssl\.SSLContext, found"):
            Config(*contexts)  # type: ignore[arg-type]


def test_a_client_context_that_takes_anybody_is_refused(tls: Config) -> None:
    lax = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    lax.check_hostname = False
    with pytest.raises(ValueError, match="check_hostname"):
        Config(tls.server_context, lax)
    lax.verify_mode = ssl.CERT_NONE
    with pytest.raises(ValueError, match="CERT_REQUIRED"):
        Config(tls.server_context, lax)
    with pytest.raises(ValueError, match="other side"):
        Config(tls.client_context, tls.client_context)
