"""The one fold that every engine of the comparison does, its input and its expected outcome.

For each entity key: the number of distinct events, the time of the latest, the sum of a number.
Only the standard library is imported: engines with a virtual environment of their own use it too.

Event, little-endian, about 200 bytes: id (8 bytes), event time (int64, ms), amount (int32), filler.
State: count (uint32), latest event time (int64, ms), sum (int64), then the ids of the events in the
order of arrival. An event whose id is among them changes nothing.
"""

import hashlib
import random
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from struct import Struct

EVENT = Struct("<8sqi")
STATE = Struct("<Iqq")
ID_BYTES = 8
FILLER_BYTES = 180
BEGIN_MS = 1_900_000_000_000
LATE_MS_MAX = 30 * 86_400_000
RECENT_EVENTS = 2_000
EVENTS_PER_KEY = 80
SEED = 4
REPORTED_PART = 10
"""Rates leave out the first tenth of the events: start-up and warm-up belong to nobody's rate."""

KeyedEvent = tuple[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Load:
    """What is put on the log: shares of duplicates and late events are of all ``events``.

    ``keys`` entities are active at a time; when each has had some 80 events, as many others follow,
    so that a longer log is more of the same and no state grows for ever.
    """

    events: int = 1_600_000
    keys: int = 5_000
    duplicates: float = 0.0
    late: float = 0.0

    def records(self) -> Iterator[KeyedEvent]:
        """Yield (entity key, event), the same ones every time."""
        random_ = random.Random(SEED)
        fillers = [random_.randbytes(FILLER_BYTES // 2).hex().encode() for _ in range(64)]
        recent: deque[KeyedEvent] = deque(maxlen=RECENT_EVENTS)
        for number in range(self.events):
            if recent and random_.random() < self.duplicates:
                yield recent[int(random_.random() * len(recent))]
                continue
            time_ms = BEGIN_MS + number * 1_000
            if random_.random() < self.late:
                time_ms -= int(random_.random() * LATE_MS_MAX)
            generation = number // (EVENTS_PER_KEY * self.keys)
            key = b"uscc:9151%012d" % (int((generation + random_.random()) * self.keys))
            head = EVENT.pack(random_.randbytes(ID_BYTES), time_ms, number % 1_000 - 200)
            recent.append((key, head + fillers[number % len(fillers)]))
            yield recent[-1]


def fold(state: bytes | None, event: bytes) -> bytes | None:
    """Return the state after the event, None when it is a duplicate and nothing changes."""
    event_id, time_ms, amount = EVENT.unpack_from(event)
    if state is None:
        return STATE.pack(1, time_ms, amount) + bytes(event_id)
    at = state.find(event_id, STATE.size)
    while at >= 0 and (at - STATE.size) % ID_BYTES:
        at = state.find(event_id, at + 1)
    if at >= 0:
        return None
    count, latest_ms, total = STATE.unpack_from(state)
    head = STATE.pack(count + 1, max(latest_ms, time_ms), total + amount)
    return head + state[STATE.size :] + bytes(event_id)


def digest(states: Mapping[bytes, bytes]) -> str:
    """Return the SHA-256 over keys and states in key order, hexadecimal."""
    total = hashlib.sha256()
    for key in sorted(states):
        total.update(len(key).to_bytes(4, "little") + key)
        total.update(len(states[key]).to_bytes(4, "little") + states[key])
    return total.hexdigest()
