"""O5: what Redis serves is the live view, record for record, and never ahead of the log."""

import struct
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import cramjam
import redis
from market_supervision.common.v1.envelope_pb2 import DISPOSITION_MOVED
from market_supervision.profiles.v1.entity_profile_pb2 import TimelineEntry

from integration_tests.judge.evidence import Evidence
from integration_tests.judge.raw_log import LINKS, STATE, TIMELINE, RawLog, committed_ends
from integration_tests.judge.verdict import Verdict

PRODUCTION_NAMESPACE = "ms"
FORM = 3
"""Form of the records that `served` takes apart."""
SETTLE_SECONDS = 60.0
"""How long the projection may take to reach the end of topics that no longer grow."""
_SCAN = 1000
_HEADER = struct.Struct(">QB")
_TIME_BIAS = 1 << 47


@dataclass(frozen=True, slots=True)
class Served:
    """One record of the read model."""

    offset: int
    message: bytes


def namespace_of(prefix: str) -> str:
    """Return what Redis keys of a system with a topic prefix begin with."""
    return prefix.strip(".").lower() or PRODUCTION_NAMESPACE


def served(value: bytes) -> Served:
    """Take a record apart: offset, index terms (skipped), message."""
    offset, terms = _HEADER.unpack_from(value)
    at = _HEADER.size
    for _text in range(2 * terms):
        at += 2 + int.from_bytes(value[at : at + 2], "big")
    return Served(offset, bytes(cramjam.lz4.decompress_block(value[at:])))


def check_read_model(log: RawLog, evidence: Evidence, url: str, verdict: Verdict) -> None:
    """O5: compare records, timelines and positions with the committed topics."""
    with redis.Redis.from_url(url) as client:
        namespace = namespace_of(evidence.topic_prefix)
        serving = _bytes(client.get(f"{namespace}:serving:{FORM}"))
        if serving is None:
            verdict.add("O5", "no read model serves", namespace=namespace)
            verdict.made("O5")
            return
        generation = serving.partition(b"@")[0].decode()
        name = f"{namespace}:{generation}:"
        _check_positions(client, name, log, evidence.bootstrap, verdict)
        _check_records(client, name, log, verdict)
        _check_timelines(client, name, log, verdict)
    verdict.made("O5")


def _bytes(value: Any) -> bytes | None:
    return None if value is None else bytes(value)


def _check_positions(
    client: redis.Redis, name: str, log: RawLog, bootstrap: str, verdict: Verdict
) -> None:
    wanted = {(p, t): log.ends[t, p] for t in (STATE, TIMELINE, LINKS) for p in _all(log)}
    deadline = time.monotonic() + SETTLE_SECONDS
    while True:
        held: Mapping[bytes, bytes] = client.hgetall(f"{name}pos")  # type: ignore[assignment]
        at = {place: int(held.get(f"{place[0]}|{place[1]}".encode(), b"0")) for place in wanted}
        behind = {place: end for place, end in wanted.items() if at[place] < end}
        if not behind or time.monotonic() > deadline:
            break
        time.sleep(0.2)
    for place, end in behind.items():
        verdict.add("O5", "the read model stands before the end", place=place, at=(at[place], end))
    ends = committed_ends(bootstrap, log.prefix, log.partitions, (STATE, TIMELINE, LINKS))
    for (partition, topic), position in at.items():
        if position > ends[topic, partition]:
            found = (topic, partition, position, ends[topic, partition])
            verdict.add("O5", "the read model stands beyond what is committed", place=found)


def _all(log: RawLog) -> range:
    return range(log.partitions)


def _check_records(client: redis.Redis, name: str, log: RawLog, verdict: Verdict) -> None:
    wanted: dict[str, list[Served]] = {}  # more than one where O3 finds a key in two partitions
    for (_partition, key), record in log.latest(STATE).items():
        parts = key.decode().split("|")
        suffix = {"e": f"e:{parts[0]}", "a": f"a:{parts[-1]}"}.get(parts[1])
        if suffix is not None:
            wanted.setdefault(suffix, []).append(Served(record.offset, record.value or b""))
    for (_partition, key), record in log.latest(LINKS).items():
        served_link = Served(record.offset, record.value or b"")
        wanted.setdefault(f"l:{key.decode()}", []).append(served_link)
    found = {suffix: served(value) for suffix, value in _values(client, name, ("e:", "a:", "l:"))}
    for suffix in sorted(wanted.keys() | found.keys()):
        if suffix not in found:
            verdict.count("lost")
            verdict.add("O5", "Redis lacks a record", key=suffix)
        elif suffix not in wanted:
            verdict.add("O5", "Redis has a record that was never committed", key=suffix)
        elif found[suffix] not in wanted[suffix]:
            newest = max(each.offset for each in wanted[suffix])
            pair = {"found": found[suffix].offset, "log": newest}
            is_ahead = found[suffix].offset > newest
            text = "is ahead of the log" if is_ahead else "has another record than the log"
            verdict.add("O5", f"Redis {text}", key=suffix, **pair)
    verdict.count("served", len(found))


def _values(client: redis.Redis, name: str, kinds: tuple[str, ...]) -> Iterator[tuple[str, bytes]]:
    for kind in kinds:
        keys = list(client.scan_iter(match=f"{_literal(name + kind)}*", count=_SCAN))
        for start in range(0, len(keys), _SCAN):
            some = keys[start : start + _SCAN]
            values: Any = client.mget(some)
            for key, value in zip(some, values, strict=True):
                if value is not None:
                    yield bytes(key).decode().removeprefix(name), bytes(value)


def _literal(text: str) -> str:
    return "".join(f"[{c}]" if c in "*?[" else c for c in text)


def _check_timelines(client: redis.Redis, name: str, log: RawLog, verdict: Verdict) -> None:
    wanted: dict[str, set[bytes]] = {}
    for (_partition, key), record in log.latest(TIMELINE).items():
        entity_key, _bar, entry_id = key.decode().rpartition("|")
        entry = TimelineEntry.FromString(record.value or b"")
        pointers = wanted.setdefault(entity_key, set())
        if entry.disposition != DISPOSITION_MOVED:
            time_ms = entry.event_time.seconds * 1000 + entry.event_time.nanos // 1_000_000
            biased = (time_ms + _TIME_BIAS).to_bytes(6, "big")
            place = record.offset.to_bytes(6, "big")
            pointers.add(biased + bytes.fromhex(entry_id)[:8] + place)
    entities = sorted(wanted)
    for start in range(0, len(entities), _SCAN):
        some = entities[start : start + _SCAN]
        pipeline = client.pipeline(transaction=False)
        for entity_key in some:
            pipeline.zrange(f"{name}t:{entity_key}", 0, -1)
        for entity_key, members in zip(some, pipeline.execute(), strict=True):
            if set(members) != wanted[entity_key]:
                sizes = {"found": len(members), "wanted": len(wanted[entity_key])}
                verdict.add("O5", "the timeline in Redis differs", entity=entity_key, **sizes)
