"""Secrets that all processes of a cluster share: they keep strangers out where TLS is too much. Pure.

A secret is never sent, logged or shown: each end of a new link proves that it has it by a code over what both have just
said and drawn (see `casty.transport.proving`). It encrypts nothing, and whoever has it is trusted with everything.
"""

from __future__ import annotations

import hmac
from typing import Any

from casty.errors import ConfigError

__all__ = ["MAX_SECRETS", "MIN_BYTES", "Secrets"]

MIN_BYTES = 16
"""Whoever takes part in a handshake can try guesses at leisure afterwards: a secret has to be beyond guessing."""
MAX_BYTES = 1024
MAX_SECRETS = 8
"""While secrets are replaced there are two; each costs a comparison at each handshake."""

HOW = "make one with: python -c 'import secrets; print(secrets.token_urlsafe(32))'"


class Secrets:
    """One secret, or several while they are replaced: the first one proves, any of them is accepted.

    Parameters
    ----------
    what
        The name of the setting, for errors.
    texts
        The secrets.

    Raises
    ------
    ConfigError
        There is none or more than `MAX_SECRETS`, or one is shorter than `MIN_BYTES` bytes, longer than 1,024, or no
        text that UTF-8 can encode.
    TypeError
        One is no text. No error shows a secret.

    Examples
    --------
    >>> old, new = Secrets.of("secret", "o" * 16), Secrets.of("secret", ["n" * 16, "o" * 16])
    >>> new.accepts(b"said", old.prove(b"said")), old.accepts(b"said", new.prove(b"said"))
    (True, False)
    >>> new
    <Secrets: 2>
    """

    __slots__ = ("_keys",)

    def __init__(self, what: str, texts: list[object]) -> None:
        if not 1 <= len(texts) <= MAX_SECRETS:
            raise ConfigError(f"{what}: expected 1 to {MAX_SECRETS} secrets, found {len(texts)}")
        self._keys = tuple(_key(what, text) for text in texts)

    @classmethod
    def of(cls, what: str, value: object) -> Secrets | None:
        """Return the secrets that a parameter gives: None, a text, a list of texts, or what this returned before."""
        if value is None or isinstance(value, Secrets):
            return value
        if isinstance(value, str):
            return cls(what, [value])
        if isinstance(value, list | tuple):
            return cls(what, list(value))
        raise TypeError(f"{what}: expected a text, a list of texts, or None, found {type(value).__name__}")

    @classmethod
    def of_lines(cls, what: str, text: str) -> Secrets:
        """Return the secrets that a file has, one a line; empty lines do not count."""
        return cls(what, [line.strip() for line in text.splitlines() if line.strip()])

    def prove(self, statement: bytes) -> bytes:
        """Return the code that shows for a statement that whoever made it has the first secret."""
        return hmac.digest(self._keys[0], statement, "sha256")

    def accepts(self, statement: bytes, proof: bytes) -> bool:
        """Whether a code is of one of the secrets; takes as long whichever it is."""
        found = False
        for key in self._keys:
            found |= hmac.compare_digest(hmac.digest(key, statement, "sha256"), proof)
        return found

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {len(self._keys)}>"

    def __reduce_ex__(self, protocol: object) -> Any:
        """Refuse to be pickled, and so to be written anywhere."""
        raise TypeError("secrets cannot be pickled")

    def __copy__(self) -> Secrets:
        return self

    def __deepcopy__(self, memo: object) -> Secrets:
        return self


def _key(what: str, text: object) -> bytes:
    if not isinstance(text, str):
        raise TypeError(f"{what}: expected a text, found {type(text).__name__}")
    try:
        key = text.encode()
    except UnicodeEncodeError:
        raise ConfigError(f"{what}: expected a text that UTF-8 can encode") from None
    if not MIN_BYTES <= len(key) <= MAX_BYTES:
        raise ConfigError(f"{what}: expected {MIN_BYTES} to {MAX_BYTES} bytes, found {len(key)}; {HOW}")
    return key
