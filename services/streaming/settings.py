"""The engine's numbers, each with its unit and its reason; the shell may override any of them."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """Bounds and times of one stream worker.

    Obligations between them: ``heartbeat`` is a quarter of ``session_timeout_s``;
    ``unit_timeout_s`` is below ``rebalance_timeout_s``, else the group expels a worker that waits
    for its last unit; ``transaction_timeout_ms`` bounds how long a dead worker's open transaction
    holds back readers when nobody takes its partition over.
    """

    session_timeout_s: float = 10.0
    """Silence after which the group gives a worker's partitions away. Range 6-45."""
    rebalance_timeout_s: float = 60.0
    """How long the group waits for a member to give back its partitions."""
    unit_timeout_s: float = 20.0
    """Longest wait for units in flight before a rebalance; then the process ends."""
    stop_timeout_s: float = 6.0
    """The same wait at a clean stop, so that a stop takes at most ten seconds."""
    start_timeout_s: float = 60.0
    """How long to wait for brokers and topics at the start."""
    fetch_wait_ms: int = 100
    """Longest long poll at the broker: idle partitions must not stall the others."""
    fetch_wait_many_ms: int = 20
    """The same where several brokers lead partitions of this worker: what one of them brought waits
    until the long poll of each of the others has ended."""
    poll_records: int = 8_000
    """Records taken from the consumer's buffers at a time: as many as a unit may have."""
    partition_fetch_bytes: int = 1 << 20
    """Bytes of one partition in one fetch answer."""
    fetch_bytes: int = 16 << 20
    """Bytes of one fetch answer, which is in memory three times over while it is parsed."""
    backlog_records: int = 8_000
    """Records of one topic-partition held undigested; beyond it (plus a poll) it is not polled."""
    backlog_bytes: int = 96 << 20
    """Memory for all undigested records, in even shares of the owned topic-partitions; a share that
    is used up (plus a poll) is not polled."""
    unit_records: int = 8_000
    """Most records of one unit of work, however quick its step is. 2,000 instead of 8,000 cost the
    peers' fold 38 % more processor time an event (docs/benchmarks/engine-profile.md)."""
    unit_step_s: float = 0.25
    """Time a unit's step should stay below: units above it make the next ones smaller. Partitions
    take turns, so a record may wait for this long from each of the others."""
    unit_input_bytes: int = 8 << 20
    """Keys and values of one unit's records; a single larger record is a unit of its own."""
    unit_output_bytes: int = 16 << 20
    """Output a unit should stay below: units above it make the next ones smaller."""
    record_bytes: int = 900_000
    """Largest key + value + headers of a record the step may write (the topics' limit is 1 MiB)."""
    batch_bytes: int = 900_000
    """Size of a producer batch."""
    timeline_batch_bytes: int = 64 << 10
    """The same for the timeline topic, of which single records are read back by offset."""
    transactions_per_s: float = 200.0
    """Transactions a worker starts in a second; above it units gather more records instead."""
    transaction_timeout_ms: int = 10_000
    """After it the broker aborts a transaction nobody ended."""
    request_timeout_ms: int = 10_000
    """Timeout of one request to a broker."""
    tick_interval_s: float = 30.0
    """How often a partition's step is asked for a tick."""
    group_commit_s: float = 0.5
    """How often group offsets are committed, for display only."""
    rebuild: bool = False
    """Fold a partition without state again although guarded topics hold records of it."""
    answer_age_s: float = 30.0
    """No answer of a broker about an open partition for so long: the worker is not ready. A fetch
    is answered within ``fetch_wait_ms``; a large one over a slow line, or the election of another
    leader, takes ten seconds and more."""
    soon_offsets: int = 2_000
    """A partition whose local copy lacks no more of its changelog is opened before others are read;
    a tenth of a second's reading each."""
    leftovers_s: float = 15.0
    """How often a worker looks whether a broker left undecided what it has committed."""
    watchdog_s: float = 120.0
    """No progress for so long while work waits: the process ends."""
    behind_s: float = 60.0
    """A partition whose oldest known record waits so long has fallen behind (a log line)."""
    write_buffer_bytes: int = 4 << 20
    """RocksDB write buffer of one partition (two of them exist at most)."""
    block_cache_bytes: int = 64 << 20
    """RocksDB block cache, shared by all partitions of the process."""

    def __post_init__(self) -> None:
        if self.unit_timeout_s >= self.rebalance_timeout_s:
            raise ValueError(
                f"unit_timeout_s={self.unit_timeout_s} must be below "
                f"rebalance_timeout_s={self.rebalance_timeout_s} (单元超时须小于再均衡超时)"
            )
