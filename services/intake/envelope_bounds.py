"""What the envelope of a record on an event topic must satisfy to be remembered (信封界限). Pure.

Anybody with access to the broker can write on an event topic, past every intake. One such record
must never end the intakes that read it, now and at each of their starts: what is out of these
bounds is passed over. They are those of the contract and no narrower, so that whatever an intake
accepted is found again; the contract's rules themselves take ten times as long a record.
"""

import re
from typing import Final

from market_supervision.common.v1.envelope_pb2 import Disposition, EntityKey, EventEnvelope

SOURCE_SYSTEM: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
KEY_SCHEME: Final = re.compile(r"[a-z][a-z0-9-]{0,31}")
SOURCE_RECORD_ID_CHARACTERS_MAX: Final = 128
KEY_VALUE_CHARACTERS_MAX: Final = 128
MATTER_ID_CHARACTERS_MAX: Final = 200
UTC_OFFSET_MINUTES_MAX: Final = 840
EVENT_SECONDS_MIN: Final = -2_208_988_800
"""1900-01-01T00:00Z."""
EVENT_SECONDS_MAX: Final = 253_402_300_799
"""9999-12-31T23:59:59Z, the last second a timestamp can name."""
NANOS_MAX: Final = 999_999_999

_DISPOSITIONS: Final = frozenset(Disposition.values()) - {Disposition.DISPOSITION_UNSPECIFIED}


def is_within_bounds(envelope: EventEnvelope) -> bool:
    """Return whether an intake could have accepted, or written, an event with this envelope."""
    return (
        SOURCE_SYSTEM.fullmatch(envelope.source_system) is not None
        and 1 <= len(envelope.source_record_id) <= SOURCE_RECORD_ID_CHARACTERS_MAX
        and envelope.source_version >= 1
        and envelope.disposition in _DISPOSITIONS
        and _is_key(envelope.entity_key)
        and (
            not envelope.HasField("submitted_entity_key") or _is_key(envelope.submitted_entity_key)
        )
        and 1 <= len(envelope.matter_id) <= MATTER_ID_CHARACTERS_MAX
        and abs(envelope.utc_offset_minutes) <= UTC_OFFSET_MINUTES_MAX
        and EVENT_SECONDS_MIN <= envelope.event_time.seconds <= EVENT_SECONDS_MAX
        and 0 <= envelope.event_time.nanos <= NANOS_MAX
    )


def _is_key(key: EntityKey) -> bool:
    return (
        KEY_SCHEME.fullmatch(key.scheme) is not None
        and 1 <= len(key.value) <= KEY_VALUE_CHARACTERS_MAX
    )
