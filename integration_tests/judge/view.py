"""O3: the live view is what the log comes to, every entity, both ways; O3b: in whatever order."""

import hashlib
from collections.abc import Mapping
from itertools import zip_longest
from types import MappingProxyType
from typing import Any

from google.protobuf.message import DecodeError, Message
from market_supervision.lifecycle.v1 import state_pb2
from market_supervision.profiles.v1.entity_profile_pb2 import TimelineEntry

from integration_tests.judge.admission import Event
from integration_tests.judge.canonical import MESSAGES
from integration_tests.judge.placement import Homes
from integration_tests.judge.raw_log import LINKS, STATE, TIMELINE, RawLog
from integration_tests.judge.reference.entity import Picture
from integration_tests.judge.reference.records import records_of
from integration_tests.judge.reference.slots import Slots
from integration_tests.judge.verdict import Verdict

NOT_RECOMPUTED: Mapping[str, str] = MappingProxyType(
    {
        "EntityState.first_event_time_ms, where a matter overflowed": "after a removal it is the "
        "oldest fact that states something, which depends on what was pushed out when",
        "Alert texts, features, choice of evidence, due date of acknowledgement": "wording; "
        "identity, state, episode, severity, rule, transitions and that evidence is on the log "
        "are judged",
        "Alert.fact_date, AlertThread.held_days": "two records appended within a moment on two "
        "topics may be met the other way round; what stands open in the end is judged",
        "!due, !suppressed, !bundles": "how far the stream has looked, not what the facts are",
    }
)


Key = tuple[int, bytes]
"""Partition and record key."""


def check_view(
    log: RawLog, slots: Slots, pictures: Mapping[str, Picture], homes: Homes, verdict: Verdict
) -> None:
    """O3: compare every record of every entity with the reference, both ways."""
    live = _live(log, verdict)
    expected: dict[Key, Message] = {}
    for entity_key, drawn in pictures.items():
        home = min(homes[entity_key])
        of_entity = records_of(slots, entity_key, drawn)
        expected.update({(home, key): message for key, message in of_entity.items()})
    for key in sorted(expected.keys() | live.keys()):
        wanted, found = expected.get(key), live.get(key)
        if wanted is None:
            verdict.add("O3", "a record of nothing on the log", key=key, found=_short(found))
        elif found is None:
            verdict.add("O3", "a record is missing", key=key, wanted=_short(wanted))
        else:
            _compare(key, wanted, found, slots, verdict)
    _check_timeline(log, slots, verdict)
    _check_links(log, pictures, homes, verdict)
    verdict.count("entities", len(pictures))
    verdict.made("O3")


def _live(log: RawLog, verdict: Verdict) -> dict[Key, Message]:
    """Return the committed records but alert threads and what came to nothing."""
    found: dict[Key, Message] = {}
    for (partition, key), record in log.latest(STATE).items():
        letter = key.decode(errors="replace").split("|")[1:2]
        if not letter or letter[0] not in MESSAGES:
            verdict.add("O3", "not a key of the state", key=key)
        elif letter[0] != "a":
            try:
                message = MESSAGES[letter[0]].FromString(record.value)
            except (DecodeError, TypeError):
                verdict.add("O3", "not the message that the key names", key=key)
                continue
            if letter[0] not in "my" or message.ByteSize():
                found[partition, key] = message
    return found


def _compare(key: Key, wanted: Message, found: Message, slots: Slots, verdict: Verdict) -> None:
    if isinstance(wanted, state_pb2.EntityState) and isinstance(found, state_pb2.EntityState):
        del found.open_alerts[:]  # judged with the alerts
        others = [t for t in found.totals if t.counter != state_pb2.COUNTER_OPEN_ALERTS]
        del found.totals[:]
        found.totals.extend(others)
        matters = slots.matters_of(wanted.entity_key).values()
        if any(matter.summed for matter in matters):
            wanted.first_event_time_ms = found.first_event_time_ms
    if wanted == found:
        return
    names = [field.name for field in wanted.DESCRIPTOR.fields]
    pairs = {name: (getattr(found, name), getattr(wanted, name)) for name in names}
    differing = {name: _difference(*pair) for name, pair in pairs.items() if pair[0] != pair[1]}
    verdict.add("O3", "the view differs", key=key, **differing)


def _difference(found: Any, wanted: Any) -> str:
    """Return what differs; of lists the first entries that do."""
    if hasattr(wanted, "append"):
        for here, there in zip_longest(found, wanted):
            if here != there:
                found, wanted = here, there
                break
    return f"{_short(found)} instead of {_short(wanted)}"


def _short(value: object) -> str:
    return " ".join(str(value).split())[:300]


def _check_timeline(log: RawLog, slots: Slots, verdict: Verdict) -> None:
    wanted: dict[Key, Event] = {}
    for entity_key, matters in slots.entities.items():
        for matter_id, matter in matters.items():
            for event in (*matter.held.values(), *matter.summed.values()):
                text = "\0".join((*event.slot, matter_id))
                name = hashlib.sha256(text.encode()).hexdigest()[:32]
                wanted[event.record.partition, f"{entity_key}|{name}".encode()] = event
    live = log.latest(TIMELINE)
    for key in sorted(wanted.keys() | live.keys()):
        if key not in live or key not in wanted:
            text = "an entry is missing" if key in wanted else "an entry of nothing on the log"
            verdict.add("O3", f"timeline: {text}", key=key)
            continue
        entry, event = TimelineEntry.FromString(live[key].value or b""), wanted[key]
        ours = (event.envelope.event_id, event.version, event.envelope.disposition, event.time_ms)
        time_ms = entry.event_time.ToMilliseconds()
        theirs = (entry.event_id, entry.source_version, entry.disposition, time_ms)
        if ours != theirs:
            verdict.add("O3", "timeline: the entry differs", key=key, wanted=ours, found=theirs)


def _check_links(
    log: RawLog, pictures: Mapping[str, Picture], homes: Homes, verdict: Verdict
) -> None:
    found = {
        (partition, key.decode()): state_pb2.LinkRecord.FromString(record.value or b"").to_key
        for (partition, key), record in log.latest(LINKS).items()
    }
    wanted = {}
    for entity_key, drawn in pictures.items():
        for claim in drawn.lists["claims"]:
            if claim.attribute == state_pb2.ATTRIBUTE_KIND_LINKED_TO:
                wanted[min(homes[entity_key]), entity_key] = claim.value
    for key in sorted(wanted.keys() | found.keys()):
        if wanted.get(key, "") != found.get(key, ""):
            pair = {"wanted": wanted.get(key), "found": found.get(key)}
            verdict.add("O3", "the link differs", key=key, **pair)
