"""Topics, workers and an independent judge for the streaming tests.

The judge reads the raw topics with kafka-python and knows nothing of the engine but its promises:
one timeline entry per event (named by topic, partition and offset), states that are the fold of the
events, an alert at every tenth event of a key.
"""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient
from kafka.errors import TopicAlreadyExistsError

PARTITIONS = 12
META = b"\x00meta"
WORKER = Path(__file__).with_name("worker.py")
PATIENCE_SECONDS = 180.0
"""Bound of every wait: on an idle machine each ends within seconds, on a crowded one it may not."""
# A session as short as the broker allows; transactions as long as an overloaded machine needs.
SETTINGS = {
    "session_timeout_s": 6.0,
    "transaction_timeout_ms": 30_000,
    "request_timeout_ms": 30_000,
}


@dataclass
class Stream:
    """The topics of one test and the arguments every worker of it gets."""

    bootstrap: str
    directory: Path
    arguments: dict[str, Any]
    topics: dict[str, dict[str, Any]]
    sent: list[tuple[str, bytes, int]] = field(default_factory=list)

    @property
    def events(self) -> list[str]:
        """The event topics."""
        return list(self.arguments["source_topics"][1:])

    @property
    def partition_count(self) -> int:
        """Partitions of every topic."""
        return int(self.arguments["partition_count"])

    @property
    def control(self) -> str:
        """The control topic."""
        return str(self.arguments["control_topic"])

    @contextmanager
    def worker(self, name: str, **overrides: Any) -> Iterator["Worker"]:
        """Run a worker with a directory of its own; killed at the end if it still runs."""
        worker = Worker(self, name, overrides)
        worker.start()
        try:
            yield worker
        finally:
            worker.kill()

    def send(self, count: int, *, keys: int = 60, topic: int | None = None) -> None:
        """Append events with values 0..count-1, over all event topics or one of them."""
        with KafkaProducer(bootstrap_servers=self.bootstrap, acks="all", linger_ms=5) as producer:
            for number in range(count):
                name = self.events[number % len(self.events) if topic is None else topic]
                key = b"key-%d" % (number % keys)
                producer.send(name, key=key, value=b"%d" % number)
                self.sent.append((name, key, number))
            producer.flush()

    def send_one(self, topic: str, partition: int, key: bytes, value: bytes) -> None:
        """Append one record to a partition."""
        with KafkaProducer(bootstrap_servers=self.bootstrap, acks="all") as producer:
            producer.send(topic, key=key, value=value, partition=partition).get(PATIENCE_SECONDS)
        if topic in self.events:
            self.sent.append((topic, key, int(value)))

    @contextmanager
    def reader(self, topic: str) -> Iterator[Callable[[], list[Any]]]:
        """Yield a function that returns all committed records of a topic so far."""
        partitions = [TopicPartition(topic, n) for n in range(self.partition_count)]
        records: list[Any] = []
        consumer = KafkaConsumer(
            bootstrap_servers=self.bootstrap,
            isolation_level="read_committed",
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            fetch_max_wait_ms=100,
        )

        def read_on() -> list[Any]:
            ends = consumer.end_offsets(partitions)
            while any(consumer.position(tp) < ends[tp] for tp in partitions):
                for batch in consumer.poll(timeout_ms=200).values():
                    records.extend(batch)
            return records

        try:
            consumer.assign(partitions)
            yield read_on
        finally:
            consumer.close()

    def read(self, topic: str) -> list[Any]:
        """Return all committed records of a topic."""
        with self.reader(topic) as read_on:
            return read_on()

    def make_anew(self, topic: str) -> None:
        """Delete a topic with all it holds, and create it again under the same name."""
        with KafkaAdminClient(bootstrap_servers=self.bootstrap) as admin:
            admin.delete_topics([topic])
            deadline = time.monotonic() + PATIENCE_SECONDS
            while True:
                try:
                    admin.create_topics({topic: self.topics[topic]})
                    break
                except TopicAlreadyExistsError:  # it is still being deleted
                    assert time.monotonic() < deadline
                    time.sleep(0.2)
            admin.wait_for_topics([topic])

    def delete_group(self) -> None:
        """Delete the workers' consumer group, once the broker sees that its members are gone."""
        group = self.arguments["app_id"]
        with KafkaAdminClient(bootstrap_servers=self.bootstrap) as admin:
            deadline = time.monotonic() + PATIENCE_SECONDS
            while admin.describe_groups([group])[group]["members"]:
                assert time.monotonic() < deadline
                time.sleep(0.2)
            admin.delete_groups([group])

    def state(self, changelog: str | None = None) -> list[dict[bytes, bytes]]:
        """Return the newest value of each key of a changelog, by partition, without META."""
        found: list[dict[bytes, bytes]] = [{} for _ in range(self.partition_count)]
        for record in self.read(changelog or self.arguments["changelog_topic"]):
            if record.key != META:
                found[record.partition][record.key] = record.value
        return found

    def positions(self, changelog: str | None = None) -> dict[int, Any]:
        """Return the newest META of a changelog by partition, as JSON."""
        records = self.read(changelog or self.arguments["changelog_topic"])
        return {r.partition: json.loads(r.value) for r in records if r.key == META}

    def entries(self) -> list[Any]:
        """Return the timeline's entries, without META."""
        return [r for r in self.read(self.arguments["timeline_topic"]) if r.key != META]

    def wait_for_entries(self, count: int, timeout_s: float = PATIENCE_SECONDS) -> list[Any]:
        """Wait until the timeline holds ``count`` entries; return them."""
        deadline = time.monotonic() + timeout_s
        with self.reader(self.arguments["timeline_topic"]) as read_on:
            while True:
                entries = [r for r in read_on() if r.key != META]
                if len(entries) >= count:
                    return entries
                assert time.monotonic() < deadline, f"{len(entries)} of {count} entries"
                time.sleep(0.1)

    def next_version(self, *, shadow: bool) -> dict[str, Any]:
        """Return what a worker of the next version is given, after its changelog was made."""
        changelog = self.arguments["changelog_topic"] + "-next"
        if changelog not in self.topics:
            self.topics[changelog] = self.topics[self.arguments["changelog_topic"]]
            with KafkaAdminClient(bootstrap_servers=self.bootstrap) as admin:
                admin.create_topics({changelog: self.topics[changelog]})
                admin.wait_for_topics([changelog], timeout_ms=60_000)
        return {
            "app_id": self.arguments["app_id"] + "-next",
            "changelog_topic": changelog,
            "predecessor": {
                "app_id": self.arguments["app_id"],
                "changelog": self.arguments["changelog_topic"],
                "shadow": shadow,
            },
        }

    def judge(self, *, rebuilt: bool = False) -> None:
        """Assert that nothing is lost and nothing doubled, on any topic.

        What is in the dead letters must be nowhere else. ``rebuilt``: entries were written again
        under their keys.
        """
        events = [r for topic in self.events for r in self.read(topic)]
        assert len(events) == len(self.sent)
        names = {f"{r.topic}|{r.partition}|{r.offset}".encode(): r for r in events}
        aside = [r.key for r in self.read(self.arguments["dead_letter_topic"])]
        assert len(aside) == len(set(aside))
        wanted = Counter(names.keys()) - Counter(aside)
        names_told = [r.key for r in self.entries() if not r.key.startswith(self.control.encode())]
        found = Counter(set(names_told) if rebuilt else names_told)
        assert not wanted - found, f"lost: {list(wanted - found)[:5]}"
        assert not found - wanted, f"doubled: {list(found - wanted)[:5]}"
        fold: dict[bytes, list[int]] = {}
        for name in wanted:
            event = names[name]
            state = fold.setdefault(event.key, [0, 0])
            state[0] += 1
            state[1] += int(event.value)
        changelog = self.read(self.arguments["changelog_topic"])
        last = {r.key: json.loads(r.value) for r in changelog if r.key in fold}
        assert last == fold
        alerts = Counter((r.key, r.value) for r in self.read(self.arguments["alerts_topic"]))
        expected = Counter(
            (key, hashlib.sha256(key + b"|%d" % n).hexdigest().encode())
            for key, (count, _) in fold.items()
            for n in range(10, count + 1, 10)
        )
        assert alerts == expected


@dataclass(eq=False)
class Worker:
    """One worker process; its log is the test's evidence."""

    stream: Stream
    name: str
    overrides: dict[str, Any]
    process: subprocess.Popen[bytes] | None = None
    starts: int = 0

    @property
    def log(self) -> Path:
        """File of everything it printed, over all its starts."""
        return self.stream.directory / f"{self.name}.log"

    def start(self) -> None:
        """Start it, or start it again with the same directory."""
        arguments = {
            **self.stream.arguments,
            "data_dir": str(self.stream.directory / self.name),
            **self.overrides,
        }
        arguments["settings"] = {**self.stream.arguments["settings"], **arguments["settings"]}
        self.starts += 1
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(WORKER), json.dumps(arguments)],
                stdout=log,
                stderr=log,
                env={**os.environ, "PYTHONPATH": str(WORKER.parents[2])},
            )

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        """End it as a crash does."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def exit_code(self, timeout_s: float = PATIENCE_SECONDS) -> int:
        """Wait for its end and return the code; the log is shown if it does not end."""
        assert self.process is not None
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running:\n{self.log.read_text()[-3000:]}") from None

    def restart_after(self, codes: Iterable[int]) -> None:
        """Start it again if it ended with one of ``codes``, as a supervisor does."""
        assert self.process is not None
        code = self.process.poll()
        if code is not None:
            assert code in codes, f"ended with {code}:\n{self.log.read_text()[-3000:]}"
            self.start()

    def died_in(self) -> set[str]:
        """Return the phases in which the fault `die_once_a_phase` has ended it."""
        marks = (self.stream.directory / self.name).glob("died-*")
        return {mark.name.removeprefix("died-") for mark in marks}

    def wait_until(self, condition: Callable[[], bool], exits: Iterable[int] = ()) -> None:
        """Wait until a condition holds, starting it again whenever it ends with one of ``exits``.

        AssertionError with the log when it ends otherwise, or the condition never holds.
        """
        deadline = time.monotonic() + 3 * PATIENCE_SECONDS
        while not condition():
            self.restart_after(exits)
            assert time.monotonic() < deadline, self.log.read_text()[-3000:]
            time.sleep(0.2)

    def wait_for(self, text: str, timeout_s: float = PATIENCE_SECONDS, *, times: int = 1) -> None:
        """Wait until the log contains a text ``times`` times."""
        deadline = time.monotonic() + timeout_s
        while self.log.read_text().count(text) < times:
            assert self.process is not None
            ended = self.process.poll()
            assert ended is None, f"ended with {ended}:\n{self.log.read_text()[-3000:]}"
            assert time.monotonic() < deadline, f"no {text!r}:\n{self.log.read_text()[-3000:]}"
            time.sleep(0.1)


def make_stream(bootstrap: str, directory: Path, **overrides: Any) -> Stream:
    """Create the topics of a test: control and three event topics as sources, and the outputs.

    ``partitions`` maps a topic's last word to another partition count; ``timestamp_type`` is
    LogAppendTime unless a test writes append times itself.
    """
    prefix = f"stream-{uuid.uuid4().hex[:8]}."
    counts: dict[str, int] = overrides.pop("partitions", {})
    timestamp_type = overrides.pop("timestamp_type", "LogAppendTime")
    sources = [prefix + word for word in ("control", "red", "green", "blue")]
    outputs = [prefix + word for word in ("lifecycle", "timeline", "alerts", "dead")]
    topics = {
        topic: {
            "num_partitions": counts.get(topic.removeprefix(prefix), PARTITIONS),
            "replication_factor": 1,
            "configs": {"message.timestamp.type": timestamp_type}
            if topic in sources
            else {"cleanup.policy": "compact"},
        }
        for topic in sources + outputs
    }
    with KafkaAdminClient(bootstrap_servers=bootstrap) as admin:
        admin.create_topics(topics)
        admin.wait_for_topics(list(topics))
    arguments = {
        "app_id": prefix + "app",
        "bootstrap": bootstrap,
        "source_topics": sources,
        "control_topic": sources[0],
        "changelog_topic": outputs[0],
        "timeline_topic": outputs[1],
        "alerts_topic": outputs[2],
        "dead_letter_topic": outputs[3],
        "partition_count": PARTITIONS,
        "settings": {**SETTINGS, **overrides.pop("settings", {})},
        **overrides,
    }
    return Stream(bootstrap, directory, arguments, topics)
