"""The part of msgpack that casty uses; the package brings no types."""

from collections.abc import Callable

class ExtType:
    def __new__(cls, code: int, data: bytes) -> ExtType: ...

class Timestamp: ...
class UnpackException(Exception): ...

class Packer:
    def __init__(
        self, *, default: Callable[[object], object] | None = ..., use_bin_type: bool = ...
    ) -> None: ...
    def pack(self, obj: object) -> bytes: ...

class Unpacker:
    def __init__(
        self,
        *,
        max_buffer_size: int = ...,
        read_size: int = ...,
        raw: bool = ...,
        strict_map_key: bool = ...,
        ext_hook: Callable[[int, bytes], object] = ...,
        max_str_len: int = ...,
        max_bin_len: int = ...,
        max_ext_len: int = ...,
        max_array_len: int = ...,
        max_map_len: int = ...,
    ) -> None: ...
    def feed(self, data: bytes) -> None: ...
    def unpack(self) -> object: ...
    def read_bytes(self, count: int) -> bytes: ...

def unpackb(
    packed: bytes,
    *,
    raw: bool = ...,
    strict_map_key: bool = ...,
    ext_hook: Callable[[int, bytes], object] = ...,
    max_str_len: int = ...,
    max_bin_len: int = ...,
    max_ext_len: int = ...,
    max_array_len: int = ...,
    max_map_len: int = ...,
) -> object: ...
