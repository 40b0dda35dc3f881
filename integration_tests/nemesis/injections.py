"""Faults that are records: put on the event topics past the intakes, or sent through them again."""

import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from kafka import KafkaProducer

from integration_tests.judge.history import HistoryWriter, Place
from integration_tests.nemesis.scene import Scene
from integration_tests.nemesis.schedule import Act
from integration_tests.system.support import Raw, read_topic
from services.contracts import topics
from services.contracts.families import FAMILIES
from services.runtime.clock import now_ms

DUPLICATES_SHARE = 0.2
POISON_OF_A_KIND = {"": 50, "a few": 5, "storm": 1_500}
"""Target of the act → how many records of each kind of poison."""
SEND_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Injected:
    """One record to be put on an event topic."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()


def put(scene: Scene, client: str, records: Iterable[Injected]) -> int:
    """Put records on their topics and note each in the history; return how many."""
    count = 0
    with (
        HistoryWriter(scene.stage.history, client) as history,
        KafkaProducer(bootstrap_servers=scene.stage.bootstrap, acks="all") as producer,
    ):
        sent = [
            producer.send(
                record.topic,
                partition=record.partition,
                key=record.key,
                value=record.value,
                headers=list(record.headers),
            )
            for record in records
        ]
        for future in sent:
            at = future.get(timeout=SEND_SECONDS)
            history.injected(Place(at.topic, at.partition, at.offset), now_ms())
            count += 1
    return count


def _records(scene: Scene) -> Iterator[tuple[str, Raw]]:
    for family in FAMILIES:
        name = topics.name(family.topic)
        for raw in read_topic(scene.stage.bootstrap, family.topic):
            yield name, raw


def _write_again(scene: Scene, act: Act) -> None:
    """A fifth of all records stand on their topics a second time, byte for byte."""
    rng = random.Random(f"again/{scene.seed}/{act.at_s}")
    chosen = [
        Injected(name, raw.partition, raw.key, raw.value, raw.headers)
        for name, raw in _records(scene)
        if rng.random() < DUPLICATES_SHARE
    ]
    put(scene, f"again-{act.at_s}", chosen)


def _send_again(scene: Scene, _act: Act) -> None:
    """Everything that was acknowledged is sent once more through the intakes."""
    scene.load.send_again()
    scene.load.wait_settled()


def _poison(scene: Scene, act: Act) -> None:
    """Bytes that are no event, of every kind, on every event topic."""
    rng = random.Random(f"poison/{scene.seed}/{act.at_s}")
    sound = [pair for pair in _records(scene) if pair[1].value]
    number = POISON_OF_A_KIND[act.target]
    spoilt = [
        _spoil(rng, kind, *rng.choice(sound)) for kind in _POISON.values() for _ in range(number)
    ]
    rng.shuffle(spoilt)
    put(scene, f"poison-{act.at_s}", spoilt)


def _spoil(
    rng: random.Random, kind: Callable[[random.Random, bytes], bytes | None], name: str, raw: Raw
) -> Injected:
    return Injected(name, raw.partition, raw.key, kind(rng, raw.value), raw.headers)


def _flipped(rng: random.Random, value: bytes) -> bytes:
    """Flip a bit of the envelope's tag, so that what is left is no envelope of this event."""
    spoilt = bytearray(value)
    spoilt[0] ^= 1 << rng.randrange(3, 8)
    return bytes(spoilt)


_POISON: dict[str, Callable[[random.Random, bytes], bytes | None]] = {
    "truncated": lambda rng, value: value[: rng.randrange(1, len(value))],
    "bit flipped": _flipped,
    "random": lambda rng, value: rng.randbytes(len(value)),
    "empty": lambda _rng, _value: b"",
    "nothing": lambda _rng, _value: None,
    "wrong magic": lambda _rng, value: b"\x00\x00\x00\x00\x2a" + value,
}

INJECTIONS: dict[str, Callable[[Scene, Act], None]] = {
    "write-again": _write_again,
    "send-again": _send_again,
    "poison": _poison,
}
