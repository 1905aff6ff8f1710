"""How both ends of a new link prove that they share a secret: challenge and response, the dialler first.

=========  ==========  =============================================================================
frame      sent by     carries
=========  ==========  =============================================================================
HELLO      dialler     who it is, and 16 random bytes of its own
CHALLENGE  acceptor    16 random bytes of its own, and who it is
PROOF      dialler     a code over both frames, as the dialler
WELCOME    acceptor    what it always carries, and a code over both frames, as the acceptor
=========  ==========  =============================================================================

The code is HMAC-SHA256 with the secret. Both frames as they travelled are in it: the random bytes of both ends, so that
no proof is of use for another link; and names, ids, incarnations, addresses, roles and the cluster of both. The side is
in it as well, so that nobody is answered with his own proof. The acceptor proves nothing to whoever has not proved
himself: who only dials gets nothing to try guesses on.

An end without a secret sends what it always sent, and takes what it always took. One that has a secret takes nobody
who does not prove it. This is no encryption: who can change what is on the wire can wait until both have proved
themselves, and then speak for either.
"""

from __future__ import annotations

from casty.errors import RemoteProtocolError
from casty.ports import Entropy
from casty.secret import Secrets
from casty.wire.hello import NONCE_BYTES, Challenge, Hello, Refusal, Welcome, judge
from casty.wire.pack import pack

__all__ = ["Challenged", "Proving", "refusal_without_proof"]

LABEL = "casty secret 1"
DIALLER, ACCEPTOR = "dialler", "acceptor"

HINT = "give both the same secret= (CASTY_CLUSTER_SECRET, or secret in [cluster]), or neither"


def _statement(side: str, hello: bytes, challenge: bytes) -> bytes:
    return pack([LABEL, side, hello, challenge])


def _nonce(entropy: Entropy) -> bytes:
    return entropy.token("challenge", NONCE_BYTES)


def _named(hello: Hello) -> str:
    return f"{hello.role} {hello.node_id}"


def refusal_without_proof(secrets: Secrets | None, theirs: Hello, mine: Hello) -> Refusal | None:
    """Say what an acceptor has against a hello where only one end has a secret."""
    if secrets is None and theirs.challenge:
        text = f"{_named(theirs)} asks for a proof of a shared secret, and {_named(mine)} has none: {HINT}"
    elif secrets is not None and not theirs.challenge:
        text = (
            f"{_named(mine)} takes only whoever proves a shared secret, and {_named(theirs)} has none: {HINT}"
        )
    else:
        return None
    return Refusal("secret", text)


class Challenged:
    """An acceptor's side: a dialler that was asked for its proof.

    Attributes
    ----------
    theirs, mine
        What both said; the welcome repeats `mine`.
    challenge
        The body of the frame that asks.
    """

    __slots__ = ("_hello", "_secrets", "challenge", "mine", "theirs")

    def __init__(self, secrets: Secrets, entropy: Entropy, hello: bytes, theirs: Hello, mine: Hello) -> None:
        self._secrets = secrets
        self._hello = hello
        self.theirs = theirs
        self.mine = mine
        self.challenge = Challenge(_nonce(entropy), mine).encode()

    def refusal(self, proof: bytes) -> Refusal | None:
        """Judge the dialler's proof."""
        if self._secrets.accepts(_statement(DIALLER, self._hello, self.challenge), proof):
            return None
        text = f"{_named(self.theirs)} has another secret than {_named(self.mine)}: {HINT}"
        return Refusal("secret", text)

    def proof(self) -> bytes:
        """Return the acceptor's own proof, for one that has proved itself."""
        return self._secrets.prove(_statement(ACCEPTOR, self._hello, self.challenge))


class Proving:
    """A dialler's side of one handshake; without secrets it asks for nothing and proves nothing.

    Attributes
    ----------
    mine
        What the dialler says about itself.
    hello
        The body of the frame that says it.
    """

    __slots__ = ("_challenge", "_expected", "_secrets", "hello", "mine")

    def __init__(self, secrets: Secrets | None, entropy: Entropy, mine: Hello) -> None:
        self._secrets = secrets
        self._challenge = b""
        self._expected: Hello | None = None
        self.mine = mine if secrets is None else mine._replace(challenge=_nonce(entropy))
        self.hello = self.mine.encode()

    def answer(self, body: bytes) -> bytes:
        """Return the proof that a challenge asks for; raises `RemoteProtocolError` for one that nobody may ask."""
        challenge = Challenge.decode(body)
        refusal = judge(challenge.hello, self.mine)
        if refusal is not None:
            raise RemoteProtocolError(refusal.text)
        if self._secrets is None or self._expected is not None:
            raise RemoteProtocolError(f"expected a welcome, found a challenge of {_named(challenge.hello)}")
        self._challenge, self._expected = body, challenge.hello
        return self._secrets.prove(_statement(DIALLER, self.hello, body))

    def flaw(self, welcome: Welcome) -> str | None:
        """Say what is wrong with the other end's proof."""
        if self._secrets is None:
            return None
        theirs = _named(welcome.hello)
        if self._expected is None:
            return f"{_named(self.mine)} links only with whoever proves a shared secret, and {theirs} has none: {HINT}"
        if welcome.hello != self._expected:
            return f"expected a welcome of {_named(self._expected)}, which asked for a proof, found one of {theirs}"
        if not self._secrets.accepts(_statement(ACCEPTOR, self.hello, self._challenge), welcome.proof):
            return f"{theirs} has another secret than {_named(self.mine)}: {HINT}"
        return None
