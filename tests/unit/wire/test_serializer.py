"""The serializer port."""

from __future__ import annotations

import pickle

import pytest

from casty.address import ActorAddress
from casty.errors import EncodingError
from casty.wire.serializer import CodecSerializer, PickleSerializer, Serializer


class Ref:
    def __init__(self, address: ActorAddress) -> None:
        self.address = address

    def __casty_ref__(self) -> ActorAddress:
        return self.address


ADDRESS = ActorAddress("shop", "/cart", "h", 1, "n")


def pickled() -> PickleSerializer:
    with pytest.warns(UserWarning, match="run code"):
        return PickleSerializer()


@pytest.mark.parametrize("make", [CodecSerializer, pickled])
def test_values_and_refs(make: type[CodecSerializer]) -> None:
    serializer: Serializer = make()
    assert serializer.deserialize(serializer.serialize({"a": (1, {2})})) == {"a": (1, {2})}
    data = serializer.serialize([Ref(ADDRESS)])
    again = serializer.deserialize(data, ref_factory=Ref)
    assert isinstance(again, list)
    assert again[0].address == ADDRESS
    with pytest.raises(EncodingError):
        serializer.deserialize(data)
    with pytest.raises(EncodingError):
        serializer.deserialize(b"\xc1")
    with pytest.raises(EncodingError):
        serializer.serialize(lambda: None)


def test_the_default_is_not_pickle() -> None:
    with pytest.raises(EncodingError):
        CodecSerializer().deserialize(pickle.dumps(1))
