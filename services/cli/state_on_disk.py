"""The latest state records of a big topic, held on disk while they are digested (视图摘要).

A compacted topic still holds older records of a key, anywhere before the newest, so all of it has
to be read before a digest can be taken. A database in a temporary folder keeps the newest of each
key in the order of the keys: memory stays the same however big the state is.
"""

from collections.abc import Iterable, Iterator
from heapq import merge
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from rocksdict import Options, Rdict, WriteBatch

from services.cli.topic_reading import TopicRecord
from services.lifecycle.digest import entity_digests, total_digest

BATCH_RECORDS = 2_000
_LATEST = b"r"
"""Prefix: partition byte ‖ state key → newest value."""
_DIGEST = b"d"
"""Prefix: partition byte ‖ entity key → digest."""


class PartitionDigest(NamedTuple):
    """Digest of the state records of one partition."""

    partition: int
    digest: str
    entities: int
    records: int


class StateOnDisk:
    """Use as a context manager: ``take`` all records in order, then ask for digests."""

    def __init__(self, folder: Path) -> None:
        options = Options(raw_mode=True)
        options.set_write_buffer_size(16 << 20)
        options.set_max_open_files(64)
        self._db = Rdict(str(folder / "state"), options)

    def __enter__(self) -> Self:
        """Open already."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close; the folder is the caller's."""
        self._db.close()

    def take(self, records: Iterable[TopicRecord]) -> None:
        """Keep the newest record of each key; each partition's records come in offset order."""
        batch, count = WriteBatch(raw_mode=True), 0
        for record in records:
            key = _LATEST + bytes([record.partition]) + record.key
            if record.value is None:
                batch.delete(key)
            else:
                batch.put(key, record.value)
            count += 1
            if count == BATCH_RECORDS:
                self._db.write(batch)
                batch, count = WriteBatch(raw_mode=True), 0
        self._db.write(batch)

    def digest_partition(self, partition: int) -> PartitionDigest:
        """Digest a partition; raises what `digest_records` raises."""
        batch, records, entities = WriteBatch(raw_mode=True), 0, 0
        prefix = bytes([partition])
        for each in entity_digests(self._items(_LATEST + prefix)):
            records += each.records
            entities += 1
            batch.put(_DIGEST + prefix + each.entity_key.encode(), bytes.fromhex(each.digest))
            if entities % BATCH_RECORDS == 0:
                self._db.write(batch)
                batch = WriteBatch(raw_mode=True)
        self._db.write(batch)
        return PartitionDigest(partition, total_digest(self._of(partition)), entities, records)

    def entities(self, partitions: Iterable[int]) -> Iterator[tuple[bytes, str]]:
        """Yield entity key and digest over all partitions, in the order of the keys.

        An entity stands in one partition only; of one found in several the lowest counts here.
        """
        for _, same in self._by_entity(partitions):
            name, digest, _ = next(same)
            yield name, digest

    def doubled(self, partitions: Iterable[int]) -> Iterator[tuple[bytes, list[int]]]:
        """Yield the entities that stand in several partitions, and in which."""
        for name, same in self._by_entity(partitions):
            numbers = [number for _, _, number in same]
            if len(numbers) > 1:
                yield name, numbers

    def _by_entity(
        self, partitions: Iterable[int]
    ) -> Iterator[tuple[bytes, Iterator[tuple[bytes, str, int]]]]:
        """Group what stands of an entity in each partition, lowest first: key, digest, number."""
        everything = merge(*map(self._numbered, partitions), key=itemgetter(0))
        return groupby(everything, key=itemgetter(0))

    def _numbered(self, partition: int) -> Iterator[tuple[bytes, str, int]]:
        for name, digest in self._of(partition):
            yield name, digest, partition

    def _of(self, partition: int) -> Iterator[tuple[bytes, str]]:
        for name, digest in self._items(_DIGEST + bytes([partition])):
            yield name, digest.hex()

    def _items(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield key without prefix and value, in the order of keys."""
        for key, value in self._db.items(from_key=prefix):
            assert isinstance(key, bytes)
            if not key.startswith(prefix):
                return
            yield key[len(prefix) :], value
