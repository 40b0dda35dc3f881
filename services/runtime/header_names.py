r"""Read records whose header names are not UTF-8 (记录头名称并非 UTF-8).

A broker takes any bytes for the name of a header; aiokafka's parser raises on those that are no
UTF-8, at the same record for ever. Whoever may write to a topic could so stop everybody who reads
it, by one record. Where that happens, the batch is parsed once more, with such bytes written out as
``\xff``: then the record is judged like any other. Key, value and header values are untouched.

Costs the others nothing that can be measured: only the object of a batch is another one.
"""

import struct
from collections.abc import Callable, Iterator
from typing import Any, SupportsIndex, overload

from aiokafka.consumer import fetcher
from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.memory_records import MemoryRecords

_HEAD = struct.Struct(">qi")
"""Base offset of a batch, and the length of what follows."""


def read_any_header_name() -> None:
    """Let every aiokafka consumer of this process read such records, from now on."""
    fetcher.MemoryRecords = _Records


class _Records:
    """The batches of a fetch answer."""

    __slots__ = ("_data", "_next_batch", "has_next", "size_in_bytes")

    def __init__(self, data: bytes) -> None:
        records = MemoryRecords(data)
        self._data = data
        self._next_batch: Callable[[], Any] = records.next_batch
        self.has_next: Callable[[], bool] = records.has_next
        self.size_in_bytes: Callable[[], int] = records.size_in_bytes

    def next_batch(self) -> Any:
        return _Batch(self._next_batch(), self._data)


class _Batch:
    """A batch as aiokafka gives it, within the bytes of its answer."""

    __slots__ = ("_batch", "_data")

    def __init__(self, batch: Any, data: bytes) -> None:
        self._batch = batch
        self._data = data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __next__(self) -> Any:
        return next(self._batch)

    def __iter__(self) -> Iterator[Any]:
        try:
            yield from self._batch
        except UnicodeDecodeError:
            # From the batch's beginning: aiokafka's fetcher skips offsets that it has given out.
            yield from _BatchOfAnyNames(self._bytes())

    def _bytes(self) -> bytes:
        """The batch's own bytes."""
        begin = 0
        while True:
            base_offset, length = _HEAD.unpack_from(self._data, begin)
            end = begin + _HEAD.size + length
            if base_offset == self._batch.base_offset:
                return bytes(self._data[begin:end])
            begin = end


class _BatchOfAnyNames(_DefaultRecordBatchPy):  # type: ignore[misc]
    _buffer: bytearray

    def _maybe_uncompress(self) -> None:
        super()._maybe_uncompress()
        if not isinstance(self._buffer, _Text):
            self._buffer = _Text(self._buffer)


class _Text(bytearray):
    """Bytes whose parts can be read as text, whatever they are."""

    @overload
    def __getitem__(self, at: SupportsIndex) -> int: ...
    @overload
    def __getitem__(self, at: slice) -> bytearray: ...
    def __getitem__(self, at: SupportsIndex | slice) -> int | bytearray:
        part = super().__getitem__(at)
        return _Text(part) if isinstance(part, bytearray) else part

    def decode(self, encoding: str = "utf-8", _errors: str = "strict") -> str:
        return super().decode(encoding, "backslashreplace")
