"""A header name that is no text stops nobody who reads the topic."""

from collections.abc import Sequence

import pytest
from aiokafka import TopicPartition
from aiokafka.consumer import fetcher
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy
from aiokafka.record.memory_records import MemoryRecords

from services.runtime.header_names import read_any_header_name
from services.runtime.testing import NoText

CODECS = {"plain": 0, "gzip": 1, "lz4": 3}


def batch(first_offset: int, names: Sequence[str], codec: int = 0) -> bytes:
    """Make a batch of a record with one header for each of ``names``, as a producer would."""
    builder = _DefaultRecordBatchBuilderPy(
        magic=2,
        compression_type=codec,
        is_transactional=0,
        producer_id=-1,
        producer_epoch=-1,
        base_sequence=-1,
        batch_size=1 << 20,
    )
    for number, name in enumerate(names):
        builder.append(number, 1, b"key", b"value", [(name, b"%d" % number)])
    return first_offset.to_bytes(8, "big") + bytes(builder.build())[8:]


def read(data: bytes, begin: int) -> list[fetcher.ConsumerRecord]:
    """Read an answer from offset ``begin`` on as aiokafka's fetcher does."""
    reading = fetcher.PartitionRecords(
        TopicPartition("t", 0),
        fetcher.MemoryRecords(data),
        aborted_transactions=None,
        fetch_offset=begin,
        key_deserializer=None,
        value_deserializer=None,
        check_crcs=False,
        isolation_level=fetcher.READ_COMMITTED,
    )
    return list(reading)


@pytest.fixture(autouse=True)
def any_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read any header name in this test, and only here."""
    monkeypatch.setattr(fetcher, "MemoryRecords", MemoryRecords)
    read_any_header_name()


@pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)
def test_record_with_such_a_name_and_those_around_it_are_read_once_each(codec: int) -> None:
    """Its bytes are written out; everything else is as it was sent."""
    plain = ["a", "b", "c"]
    answer = batch(0, plain, codec) + batch(3, ["a", NoText(), "c"], codec) + batch(6, plain, codec)
    found = read(answer, begin=1)
    assert [record.offset for record in found] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert [record.headers for record in found[2:5]] == [
        (("a", b"0"),), ((r"\xff\xfex", b"1"),), (("c", b"2"),),
    ]  # fmt: skip
    assert {(record.key, record.value) for record in found} == {(b"key", b"value")}


def test_parser_of_the_library_gives_such_a_record_to_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """When it does one day, this module can go."""
    monkeypatch.setattr(fetcher, "MemoryRecords", MemoryRecords)
    with pytest.raises(UnicodeDecodeError):
        read(batch(0, [NoText()]), begin=0)
