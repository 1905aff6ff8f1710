"""Event loops in several threads pack at the same time, and a finalizer packs while another value is being packed."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from casty.errors import EncodingError
from casty.wire import pack as packing
from casty.wire.pack import pack, unpack

VALUES = [[2**70 + number, "text" * 20, b"bytes" * 50, [number] * 20] for number in range(200)]


def test_threads_do_not_share_a_packer() -> None:
    """A large integer calls back into Python, where another thread may run."""
    wrong: list[Any] = []
    begin = threading.Barrier(4)

    def work() -> None:
        begin.wait()
        for _ in range(20):
            wrong.extend(value for value in VALUES if unpack(pack(value)) != value)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_packing_inside_of_packing(monkeypatch: Any) -> None:
    """What a callback packs does not end up in the value around it."""
    right = packing._pack_extension

    def extension(value: object) -> Any:
        assert unpack(pack(["inner"])) == ["inner"]
        return right(value)

    monkeypatch.setattr(packing, "_pack_extension", extension)
    monkeypatch.setattr(packing, "_idle", [])
    assert unpack(pack(["before", 2**70, "after"])) == ["before", 2**70, "after"]


def test_a_failed_packer_is_not_used_again(monkeypatch: Any) -> None:
    packer = packing._new_packer()
    monkeypatch.setattr(packing, "_idle", [packer])
    with pytest.raises(EncodingError):
        pack(["begun", object()])
    assert packing._idle == []
    assert pack([1]) == b"\x91\x01"
    assert packer not in packing._idle
