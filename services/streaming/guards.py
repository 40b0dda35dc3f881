"""Refuse to run on libraries this engine was not written against.

The engine replaces a few methods of Faust and aiokafka and relies on how their neighbours behave.
Versions are pinned, and the source of every method replaced or relied upon is compared with the one
that was read when the engine was written: a changed library fails at the start, with a clear
message, instead of losing records quietly.
"""

# ruff: noqa: E501  A name and its hash belong on one line.

import hashlib
import importlib
import importlib.metadata
import inspect
from collections.abc import Mapping

from services.streaming.exits import EngineError, ExitCode

VERSIONS: Mapping[str, str] = {
    "aiokafka": "0.14.0",
    "faust-streaming": "0.15.3",
    "mode-streaming": "0.7.1",
}

SOURCES: Mapping[str, str] = {
    "aiokafka.consumer.fetcher:FetchResult": "d7db13f06de8248c",
    "aiokafka.consumer.fetcher:Fetcher._create_fetch_waiter": "61d840568746477e",
    "aiokafka.consumer.fetcher:Fetcher._fetch_requests_routine": "2a8ec5932644c9b0",
    "aiokafka.consumer.fetcher:Fetcher._get_actions_per_node": "1dab2cf937d165d0",
    "aiokafka.consumer.fetcher:Fetcher._notify": "d3a30d94f34fd3a0",
    "aiokafka.consumer.fetcher:Fetcher._proc_fetch_request": "59bf948fff47eed5",
    "aiokafka.consumer.fetcher:Fetcher._update_fetch_positions": "d7774d8241dc6a7e",
    "aiokafka.consumer.fetcher:Fetcher.close": "1cd24bc1c442149e",
    "aiokafka.consumer.fetcher:Fetcher.fetched_records": "be4348896b9b66af",
    "aiokafka.consumer.fetcher:Fetcher.seek_to": "f0ba6aba6c22ef83",
    "aiokafka.consumer.fetcher:PartitionRecords._consumer_record": "e668541600b047ab",
    "aiokafka.consumer.fetcher:PartitionRecords._unpack_records": "b803e6d46480732c",
    "aiokafka.consumer.group_coordinator:GroupCoordinator._coordination_routine": "75273e127d4a4f5d",
    "aiokafka.consumer.subscription_state:SubscriptionState.fetch_context": "ff2a654dca239cfe",
    "aiokafka.consumer.subscription_state:TopicPartitionState": "2b83334afadf6d98",
    "aiokafka.producer.producer:AIOKafkaProducer.commit_transaction": "c7f9677c89413f97",
    "aiokafka.producer.producer:AIOKafkaProducer.send_batch": "bf42b0f0c5c0646d",
    "aiokafka.producer.sender:AddPartitionsToTxnHandler.handle_response": "67266db24da2dfaf",
    "aiokafka.producer.transaction_manager:TransactionManager.maybe_add_partition_to_txn": "e0a118be379a7f75",
    "aiokafka.protocol.fetch:FetchRequest": "ef21d383f1372a25",
    "aiokafka.record.default_records:_DefaultRecordBatchPy._maybe_uncompress": "c9d0dc2bed50cc86",
    "aiokafka.record.default_records:_DefaultRecordBatchPy._read_msg": "0997ab7a58505c93",
    "faust.app.base:App._on_partitions_assigned": "de932b7927db85b3",
    "faust.app.base:App._on_partitions_revoked": "d5c895bbe57dc73a",
    "faust.assignor.client_assignment:CopartitionedAssignment.unassign_extras": "e644e7c125b197c4",
    "faust.assignor.copartitioned_assignor:CopartitionedAssignor": "71f50fd84ef06b98",
    "faust.channels:Channel.queue.fget": "549dd774f3e314a7",
    "faust.tables.recovery:Recovery._resume_streams": "d986a6710c1aca98",
    "faust.transport.consumer:Consumer._drain_messages": "44a2500309e83c63",
    "faust.transport.consumer:Consumer.perform_seek": "0e8c130ff4b0afd8",
    "faust.transport.consumer:Consumer.verify_event_path": "aead7dc3d8dc43fa",
    "faust.transport.consumer:ConsumerThread": "4914fd92c2a06b39",
    "faust.transport.consumer:Fetcher": "c922e4ab78d9e296",
    "faust.transport.consumer:ThreadDelegateConsumer.threadsafe_partitions_assigned": "50fac26841ad9934",
    "faust.transport.consumer:ThreadDelegateConsumer.threadsafe_partitions_revoked": "6c55d67e9eb06ca5",
    "faust.transport.drivers.aiokafka:AIOKafkaConsumerThread._create_worker_consumer": "c2701bfc3e6f6cad",
    "faust.transport.drivers.aiokafka:AIOKafkaConsumerThread._ensure_consumer": "ff4a4c693b7ec63f",
    "faust.transport.drivers.aiokafka:AIOKafkaConsumerThread.on_start": "38b4e8bd1e10723a",
    "faust.transport.drivers.aiokafka:Consumer._new_consumer_thread": "0870ec53dea75083",
    "faust.transport.drivers.aiokafka:ConsumerRebalanceListener": "f3d04f29dfb3f716",
    "mode.utils.queues:FlowControlQueue.put": "0ba84eb5e357a17e",
    "mode.utils.queues:ThrowableQueue.clear": "d18f09e451acf62e",
}


def fingerprint(name: str) -> str:
    """Return the first 16 hex digits of SHA-256 of the source of ``module:Class.method``."""
    module, _, path = name.partition(":")
    target = importlib.import_module(module)
    for part in path.split("."):
        target = getattr(target, part)
    return hashlib.sha256(inspect.getsource(target).encode()).hexdigest()[:16]


def problems(
    versions: Mapping[str, str] = VERSIONS, sources: Mapping[str, str] = SOURCES
) -> list[str]:
    """Return what differs from what the engine was written against; empty if nothing does."""
    found = []
    for package, wanted in versions.items():
        installed = importlib.metadata.version(package)
        if installed != wanted:
            found.append(f"{package} is {installed}, not {wanted}")
    for name, wanted in sources.items():
        try:
            actual = fingerprint(name)
        except (ImportError, AttributeError, OSError, TypeError) as error:
            found.append(f"{name} cannot be read: {error!r}")
            continue
        if actual != wanted:
            found.append(f"{name} has source {actual}, not {wanted}")
    return found


def check() -> None:
    """Raise if any library differs.

    Raises:
        EngineError: GUARD, naming every difference.
    """
    found = problems()
    if found:
        raise EngineError(
            ExitCode.GUARD,
            "libraries differ from those the engine was written against (依赖库与引擎不符): "
            + "; ".join(found),
        )
