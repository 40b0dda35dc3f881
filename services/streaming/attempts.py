"""Remember what was being tried when the process died, so that poison is found and put aside.

A record that kills the process (a crash in native code, memory, recursion, an endless loop that the
watchdog ends) or on which the step raises would be read again by the next process, and kill it too,
for ever. So before the step runs, a small file of the partition names the first record and how many
there are, and it is cleared as soon as the step returns: a death anywhere else, in a commit or in
the network, never counts. Only that of a record put aside stays until its unit is committed.
It is written without a sync: what the kernel took survives the process. A file that a power failure
tore is told by its checksum and counts as empty.

All steps of a process run in one thread, so at most one try is written down at any moment.
"""

import os
import struct
import threading
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from services.streaming.exits import EngineError, ExitCode
from services.streaming.interface import SourceRecord
from services.streaming.meta import Applied

DEATHS_MAX = 3
"""Deaths on one record run alone, none of its tries having succeeded, that put it aside."""

PART_RECORDS = 100
"""Of a larger unit that a process died in, so many are tried at once, and one by one only those of
the part in which it dies again. Most deaths are no record's fault: after a `kill -9` 8,000 units of
one record took more than a minute, 80 of 100 take a second or two. A poison costs one death more.
"""

BLAMED_EXITS = frozenset({ExitCode.STEP_FAILED, ExitCode.WATCHDOG, ExitCode.UNIT_TIMEOUT})
"""Exits that speak against the record being tried; any other one is no death of it."""

_HEAD = struct.Struct(">IHIqHH")
"""Checksum of the rest, deaths, span, offset, lengths of topic and owner."""
_NOTHING = bytes(_HEAD.size)
_ALONE = 0x8000
"""The highest bit of the deaths: the record was tried alone."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """A try of the step, of ``span`` records from one on.

    ``deaths`` counts those of the first record *alone* before this try. ``alone``: only the first
    record was given to the step; the other ``span - 1`` are still to be tried one by one.
    """

    topic: str
    offset: int
    span: int
    deaths: int
    alone: bool


class AttemptJournal:
    """The file of one partition. ``owner`` names the changelog topic by its id, and the partition.

    One process at a time may hold it: the one that has the partition's local store open.
    """

    def __init__(self, path: Path, owner: str, seal: "Seal") -> None:
        self._owner = owner.encode()
        self._seal = seal
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def left(self) -> Attempt | None:
        """Return the try that an earlier process did not survive, None if there is none."""
        data = os.pread(self._file, 4096, 0)
        if len(data) < _HEAD.size:
            return None
        checksum, deaths, span, offset, topic_size, owner_size = _HEAD.unpack_from(data)
        end = _HEAD.size + topic_size + owner_size
        if not span or len(data) < end or zlib.crc32(data[4:end]) != checksum:
            return None
        topic, owner = data[_HEAD.size : end - owner_size], data[end - owner_size : end]
        if owner != self._owner:
            return None
        return Attempt(topic.decode(), offset, span, deaths & ~_ALONE, bool(deaths & _ALONE))

    def begin(self, attempt: Attempt) -> None:
        """Write what is tried now. Returns when the kernel has it."""
        with self._seal.lock:
            if not self._seal.closed:
                self._write(attempt)

    def _write(self, attempt: Attempt) -> None:
        deaths = min(attempt.deaths, _ALONE - 1) | (_ALONE if attempt.alone else 0)
        topic = attempt.topic.encode()
        sizes = (len(topic), len(self._owner))
        rest = _HEAD.pack(0, deaths, attempt.span, attempt.offset, *sizes)[4:] + topic + self._owner
        self._put(zlib.crc32(rest).to_bytes(4, "big") + rest)

    def succeed(self) -> None:
        """Forget the try: the business did its part."""
        self._put(_NOTHING)

    def _put(self, data: bytes) -> None:
        try:
            os.pwrite(self._file, data, 0)
        except OSError as error:
            raise EngineError(ExitCode.LOCAL_DISK_FAILED, f"attempt journal: {error}") from error

    def absolve(self) -> None:
        """Let the try under way count for nothing; earlier deaths of its record stay known."""
        left = self.left()
        if left is None or not left.alone or left.deaths == 0:
            self._put(_NOTHING)
        else:
            self._write(replace(left, deaths=left.deaths - 1))

    def fail(self) -> None:
        """Keep the try, and let nobody begin another one: the process ends because of this one."""
        with self._seal.lock:
            self._seal.closed = True

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


class Seal:
    """Shared by the journals of a process: once closed, no further try is written."""

    def __init__(self) -> None:
        self.closed = False
        self.lock = threading.Lock()

    def absolve(self, code: ExitCode, journals: Iterable[AttemptJournal]) -> None:
        """Let what is being tried count for nothing, unless the exit's code speaks against it.

        A fenced worker, say, ends from the event loop, whatever its step is doing at that moment.
        """
        with self.lock:
            self.closed = True
            if code not in BLAMED_EXITS:
                for journal in journals:
                    journal.absolve()


class Suspicion:
    """What follows for the next units from what an earlier process left. Pure.

    After a death on several records they are tried in parts, those of a small part one by one. A
    record that was tried alone carries its deaths, until it succeeds or is put aside.
    """

    def __init__(self, left: Attempt | None, applied: Mapping[str, Applied]) -> None:
        """``applied`` is the position of the restored state: what is contained is cleared."""
        position = None if left is None else applied.get(left.topic)
        if left is None or (position is not None and position.next_offset > left.offset):
            self._suspects, self._deaths, self._part = 0, 0, 1
            self._first = ("", -1)
            return
        self._suspects = left.span
        self._part = PART_RECORDS if left.span > PART_RECORDS else 1
        self._first = (left.topic, left.offset)
        self._deaths = left.deaths + 1 if left.alone else 0

    @property
    def suspects(self) -> int:
        """How many of the next records may be the one."""
        return self._suspects

    def limit(self, most: int) -> int:
        """Return how many records may be given to the step at once, where else ``most`` may."""
        if not self._suspects:
            return most
        return 1 if self._deaths else min(most, self._suspects, self._part)

    def deaths(self, record: SourceRecord) -> int:
        """Return how often a process died of this record alone."""
        return self._deaths if (record.topic, record.offset) == self._first else 0

    def attempt(self, first: SourceRecord, count: int) -> Attempt:
        """Return what to write before the step is given ``count`` records from ``first`` on."""
        span = max(count, self._suspects) if count == 1 else count
        return Attempt(first.topic, first.offset, span, self.deaths(first), alone=count == 1)

    def passed(self, taken: Sequence[SourceRecord]) -> None:
        """Account for records that were taken."""
        self._suspects = max(0, self._suspects - len(taken))
        if any((record.topic, record.offset) == self._first for record in taken):
            self._deaths = 0
