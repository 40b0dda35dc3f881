"""O9: every record that was read is applied, a duplicate, superseded or a dead letter."""

import json
from collections import Counter as Multiset
from collections.abc import Collection, Mapping
from types import MappingProxyType

from market_supervision.lifecycle.v1.state_pb2 import RecordCounts

from integration_tests.judge.admission import parsed
from integration_tests.judge.raw_log import (
    CONTROL,
    DEAD_LETTERS,
    EVENT_TOPICS,
    STATE,
    LogRecord,
    RawLog,
)
from integration_tests.judge.sequence import Fate, History, Place, place_of
from integration_tests.judge.verdict import Verdict

ORDINARY_BYTES = 8 * 1024
"""No entry of a list comes near its bound from a record below this size."""
LARGE_FEN = 10**12
META_KEY = b"\x00meta"
ON_ITS_WORD: Mapping[str, str] = MappingProxyType(
    {
        "CONTENT_INVALID": "bounds of the state's own records are not part of the contracts; taken "
        "of large records and large amounts only",
        "PROCESS_KILLED": "only whoever planted a record that kills its reader knows which; taken "
        "of the places that the evidence names only",
    }
)
"""Reasons for a dead letter that the judge does not find by itself, and why."""


def letter_places(log: RawLog) -> list[tuple[Place, LogRecord]]:
    """Return every dead letter with the place of the record it stands for."""
    letters = []
    for letter in log.records[DEAD_LETTERS]:
        topic = log.short((letter.header("dlq-topic") or b"").decode())
        partition = int(letter.header("dlq-partition") or b"-1")
        offset = int(letter.header("dlq-offset") or b"-1")
        letters.append(((topic, partition, offset), letter))
    return letters


def refused_on_its_word(log: RawLog, put_aside: Collection[Place] = ()) -> dict[Place, str]:
    """Return the records that were refused for reasons taken on the stream's word.

    ``put_aside``: the only ones that may have been put aside because processes died on them.
    """
    found: dict[Place, str] = {}
    for place, letter in letter_places(log):
        reason = (letter.header("dlq-reason") or b"").decode()
        believed = {
            "CONTENT_INVALID": _may_break_a_bound(letter, place[0]),
            "PROCESS_KILLED": place in put_aside,
        }
        if believed.get(reason, False):
            found[place] = reason
    return found


def _may_break_a_bound(letter: LogRecord, topic: str) -> bool:
    """Whether a refused record may really have gone beyond a bound that only the stream knows."""
    message = parsed(letter._replace(topic=topic)) if topic in EVENT_TOPICS else None
    arm = None if message is None else message.WhichOneof("body")
    stated = [] if arm is None else getattr(message, arm).ListFields()
    large = any(field.name.endswith("_fen") and value >= LARGE_FEN for field, value in stated)
    return large or len(letter.value or b"") > ORDINARY_BYTES


def applied_offsets(log: RawLog) -> dict[tuple[str, int], int]:
    """Return (short topic, partition) → next offset, of the newest META of each partition."""
    applied: dict[tuple[str, int], int] = {}
    for partition in range(log.partitions):
        value = log.latest_of(STATE, partition, META_KEY)
        if value is not None:
            for topic, (next_offset, *_rest) in json.loads(value)["applied"].items():
                applied[log.short(topic), partition] = int(next_offset)
    return applied


def check_accounting(
    log: RawLog, history: History, refused: Collection[Place], verdict: Verdict
) -> None:
    """O9: compare what became of the records with the letters, the positions, the counts.

    ``refused``: the records that are taken for refused on the stream's word.
    """
    applied = applied_offsets(log)
    for topic in EVENT_TOPICS:
        for partition in range(log.partitions):
            end, at = log.ends[topic, partition], applied.get((topic, partition), 0)
            if at != end:
                verdict.add(
                    "O9", "the state does not stand at the end", place=(topic, partition, at, end)
                )
    _check_letters(log, history, verdict)
    for place, letter in letter_places(log):
        if letter.partition != place[1]:
            verdict.add("O9", "a dead letter in another partition than its record", place=place)
    verdict.count("dead_letters_on_its_word", len(refused))
    _check_counts(log, history, verdict)
    verdict.made("O9")


def _check_letters(log: RawLog, history: History, verdict: Verdict) -> None:
    sources = {place_of(r): r for t in (*EVENT_TOPICS, CONTROL) for r in log.records[t]}
    letters: Multiset[Place] = Multiset()
    for place, letter in letter_places(log):
        letters[place] += 1
        source = sources.get(place)
        if source is None:
            if place[0] != CONTROL:  # a compacted topic may have dropped it since
                verdict.add("O9", "a dead letter of no record", place=place)
        elif letter.header("dlq-truncated") is None and letter.value != (source.value or b""):
            verdict.add("O9", "a dead letter with other bytes than its record", place=place)
        if place[0] in EVENT_TOPICS and history.fates.get(place) is not Fate.DEAD:
            told = letter.header("dlq-reason")
            verdict.add("O9", "a dead letter of a sound record", place=place, reason=told)
    for place, fate in history.fates.items():
        if fate is Fate.DEAD and not letters[place]:
            verdict.count("lost")
            reason = history.reasons[place]
            verdict.add("O9", "a refused record without a dead letter", place=place, reason=reason)
    for place, number in letters.items():
        if number > 1:
            verdict.count("doubled", number - 1)
            verdict.add("O9", "more than one dead letter of a record", place=place, letters=number)
    verdict.count("dead_letters", letters.total())


def _check_counts(log: RawLog, history: History, verdict: Verdict) -> None:
    expected: Multiset[tuple[str, int, Fate]] = Multiset()
    for (topic, partition, _offset), fate in history.fates.items():
        expected[topic, partition, fate] += 1
    for topic in EVENT_TOPICS:
        for partition in range(log.partitions):
            key = f"!counts|{log.prefix}{topic}".encode()
            told = RecordCounts.FromString(log.latest_of(STATE, partition, key) or b"")
            for fate in Fate:
                ours, theirs = expected[topic, partition, fate], getattr(told, fate.value)
                if ours == theirs:
                    continue
                if fate is Fate.APPLIED:
                    verdict.count("lost" if theirs < ours else "doubled", abs(ours - theirs))
                verdict.add(
                    "O9",
                    f"{theirs} records are counted as {fate.value}, it should be {ours}",
                    topic=topic,
                    partition=partition,
                )
