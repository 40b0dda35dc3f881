"""Order of time: merge by append time when behind, holding without rules, ticks as records."""

import time
from pathlib import Path
from typing import Any

from integration_tests.streaming.harness import META, PARTITIONS, Stream, make_stream


def appended(stream: Stream) -> dict[bytes, Any]:
    """Return every source record by the name its timeline entry has."""
    return {
        f"{r.topic}|{r.partition}|{r.offset}".encode(): r
        for topic in stream.arguments["source_topics"]
        for r in stream.read(topic)
    }


def test_stream_with_one_topic_delayed_applies_in_append_order(
    kafka_bootstrap: str, run_directory: Path
) -> None:
    """A tick must not overtake an event that was appended before it and is fetched later."""
    stream = make_stream(kafka_bootstrap, run_directory)
    for _ in range(4):
        stream.send(240)
        for partition in range(PARTITIONS):
            stream.send_one(stream.control, partition, b"tick", b"tick")
    with stream.worker("only", fault="delay_first_event_topic") as worker:
        others = 4 * (240 * 2 // 3 + PARTITIONS)
        delivered = run_directory / "only.delivered"
        worker.wait_until(lambda: delivered.exists() and int(delivered.read_text() or 0) >= others)
        time.sleep(1.5)  # long enough for records that do not wait to be told of
        early = len(stream.entries())
        (run_directory / "only.release").touch()
        stream.wait_for_entries(4 * (240 + PARTITIONS))
    assert early < 4 * 240 / 3, "records of the other topics did not wait"
    sources = appended(stream)
    running: dict[tuple[str, int], int] = {}
    sort_times: dict[bytes, int] = {}
    for name, record in sorted(sources.items(), key=lambda item: item[1].offset):
        log = (record.topic, record.partition)
        running[log] = max(running.get(log, 0), record.timestamp)
        sort_times[name] = running[log]
    ranks = {topic: rank for rank, topic in enumerate(stream.arguments["source_topics"])}
    for partition in range(PARTITIONS):
        order = [e.key for e in stream.entries() if e.partition == partition]
        keys = [(sort_times[n], ranks[sources[n].topic], sources[n].offset) for n in order]
        assert keys == sorted(keys)


def test_stream_without_a_rule_bundle_waits_for_it(
    kafka_bootstrap: str, run_directory: Path
) -> None:
    """While the step holds, only control records are processed; the first bundle frees the rest."""
    stream = make_stream(kafka_bootstrap, run_directory, needs_bundle=True)
    stream.send(240)
    with stream.worker("only") as worker:
        worker.wait_for("partitions_open")
        time.sleep(1.0)
        assert stream.entries() == []
        for partition in range(PARTITIONS):
            stream.send_one(stream.control, partition, b"bundle", b"bundle")
        entries = stream.wait_for_entries(240 + PARTITIONS)
    for partition in range(PARTITIONS):
        first = next(e for e in entries if e.partition == partition)
        assert first.value == b"bundle"


def test_stream_with_ticks_reads_its_own_ticks_back_once(
    kafka_bootstrap: str, run_directory: Path
) -> None:
    """A tick is a record of its partition, written in a transaction, and read as any other."""
    settings = {"tick_interval_s": 1.0}
    stream = make_stream(kafka_bootstrap, run_directory, settings=settings, ticks=True)
    with stream.worker("only") as worker:
        worker.wait_for("partitions_open")
        stream.send(120)
        stream.wait_for_entries(120 + 3 * PARTITIONS)
        worker.kill()
        ticks = {f"{r.topic}|{r.partition}|{r.offset}" for r in stream.read(stream.control)}
        told = [
            e.key.decode() for e in stream.entries() if e.key.startswith(stream.control.encode())
        ]
        assert len(told) == len(set(told))
        assert set(told) <= ticks
        assert {int(name.split("|")[1]) for name in told} == set(range(PARTITIONS))


def test_stream_meta_is_the_last_record_of_every_unit_in_both_topics(
    kafka_bootstrap: str, run_directory: Path
) -> None:
    """Who has passed a META record has seen the whole unit; units count without a gap."""
    stream = make_stream(kafka_bootstrap, run_directory)
    with stream.worker("only", settings={"unit_records": 10}) as worker:
        worker.wait_for("partitions_open")
        stream.send(600)
        stream.wait_for_entries(600)
    for word in ("changelog_topic", "timeline_topic"):
        records = stream.read(stream.arguments[word])
        for partition in range(PARTITIONS):
            mine = [r for r in records if r.partition == partition]
            if not mine:
                continue
            assert mine[-1].key == META
            units = [r.value.split(b'"unit":')[1].split(b",")[0] for r in mine if r.key == META]
            assert [int(u) for u in units] == list(range(1, len(units) + 1))


def test_store_of_another_partition_is_wiped_and_read_anew(
    kafka_bootstrap: str, run_directory: Path
) -> None:
    """A local store that does not belong to the changelog is recognised by its owner's name."""
    stream = make_stream(kafka_bootstrap, run_directory)
    with stream.worker("only") as worker:
        worker.wait_for("partitions_open")
        stream.send(600)
        stream.wait_for_entries(600)
        worker.kill()
        data = run_directory / "only"
        (data / "partition-02").rename(data / "kept")
        (data / "partition-03").rename(data / "partition-02")
        (data / "kept").rename(data / "partition-03")
        worker.start()
        worker.wait_for("partitions_open", times=2)
        assert worker.log.read_text().count(", not of ") == 2
        stream.send(600)
        stream.wait_for_entries(1_200)
    stream.judge()
