"""From a submitted event to the record that goes on the log (接收流水线). Pure: time is given.

Order: what the client must not set, the contract's own rules, the entity key by its scheme, code
tables, times; everything wrong with an event is reported together. A valid event gets its keys in
canonical form, the root of its entity's links, its id and what the intake knows about its coming;
nothing else of it is changed. The payload hash is taken before any of that, so that a newer
normaliser never turns a re-send into a conflict.
"""

from collections.abc import Callable
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Final, NamedTuple

from market_supervision.common.v1.envelope_pb2 import CodedValue, Disposition, EntityKey
from market_supervision.common.v1.error_reason_pb2 import ErrorReason

from services.contracts.cloudevents import cloud_event_headers
from services.contracts.code_tables import CodeTables
from services.contracts.families import EVENT_BYTES_MAX, Family, FamilyEvent
from services.contracts.identifiers import (
    MATTER_ID_BYTES_MAX,
    IdentifierError,
    canonical_key,
    check_size,
    event_id,
    kafka_key,
    parse_key,
)
from services.contracts.key_schemes import KeySchemes
from services.contracts.labels import Label
from services.intake import complaint_privacy
from services.intake.decoding import PAYLOAD_HASH_HEADER, payload_hash
from services.intake.placement import SourceKey
from services.intake.publisher import OutgoingRecord
from services.intake.violations import Violation, contract_violations, violation
from services.intake.walking import Finder, unknown_field_paths

FUTURE_TOLERANCE_S: Final = 24 * 3600
"""How far event_time may lie after the intake's clock: clocks differ, facts are entered ahead."""
CACHED_CHECKS: Final = 16_384
"""Keys, and codes, whose check is remembered (about 4 MiB each)."""

FileUnder = Callable[[FamilyEvent, str], str]
"""Returns the canonical entity key under which an event is filed, given the key that was sent."""

_NANOS_PER_SECOND: Final = 1_000_000_000

_FIELD = ErrorReason.ERROR_REASON_FIELD_INVALID


class Prepared(NamedTuple):
    """A valid event, ready to be published."""

    key: SourceKey
    event_id: str
    payload_hash: bytes
    record: OutgoingRecord


class Pipeline:
    """Checks and normalises the events of one family."""

    def __init__(
        self,
        family: Family,
        key_schemes: KeySchemes,
        code_tables: CodeTables,
        file_under: FileUnder,
    ) -> None:
        root = family.message_class.DESCRIPTOR
        self._keys = Finder(root, [EntityKey.DESCRIPTOR])
        self._codes = Finder(root, [CodedValue.DESCRIPTOR])
        self._key_schemes = key_schemes
        self._file_under = file_under
        self._is_private = family.name == complaint_privacy.FAMILY

        # The same entities and codes come again and again; both checks depend on these values only.
        @lru_cache(CACHED_CHECKS)
        def normalised_value(scheme: str, value: str) -> str:
            return key_schemes.normalise(EntityKey(scheme=scheme, value=value)).value

        @lru_cache(CACHED_CHECKS)
        def code_problem(code_system: str, code: str, day: date) -> Label | None:
            return code_tables.problem(CodedValue(code_system=code_system, code=code), day)

        self._normalised_value = normalised_value
        self._system_problem = code_tables.system_problem
        self._code_problem = code_problem

    def prepare(
        self, event: FamilyEvent, *, now_ns: int, client: str
    ) -> Prepared | list[Violation]:
        """Return the event as it goes on the log, or everything that is wrong with it.

        ``now_ns`` is the intake's clock in nanoseconds since 1970-01-01T00:00Z; ``client`` is who
        submits. ``event`` is not changed.
        """
        size = event.ByteSize()
        if size > EVENT_BYTES_MAX:
            return [_too_large(size)]
        normalised = type(event)()
        normalised.CopyFrom(event)  # type: ignore[arg-type]
        violations = [
            *_reserved_fields(event),
            *_unknown_fields(event, normalised, size),
            *contract_violations(event),
            *self._normalise_keys(normalised),
            *_bad_times(event, now_ns),
            *_long_matter(event),
        ]
        if self._is_private:
            violations += complaint_privacy.privacy_violations(normalised)
        if not violations:
            violations = [*self._bad_codes(normalised), *_bad_link(normalised)]
        if violations:
            return violations
        return self._prepared(event, normalised, now_ns, client)

    def _normalise_keys(self, event: FamilyEvent) -> list[Violation]:
        found: list[Violation] = []
        for path, key in self._keys.find(event):
            assert isinstance(key, EntityKey)
            if not key.scheme or not key.value:
                continue  # the contract's rules name the missing part
            try:
                key.value = self._normalised_value(key.scheme, key.value)
            except IdentifierError as error:
                part = "scheme" if error.value == key.scheme else "value"
                reason = ErrorReason.ERROR_REASON_ENTITY_KEY_INVALID
                found.append(violation(f"{path}.{part}", error.value, reason, error.reason))
        return found

    def _bad_codes(self, event: FamilyEvent) -> list[Violation]:
        zone = self._key_schemes.zone(event.envelope.entity_key.scheme)
        day: date = datetime.fromtimestamp(event.envelope.event_time.seconds, zone).date()
        found: list[Violation] = []
        for path, coded in self._codes.find(event):
            assert isinstance(coded, CodedValue)
            reason = ErrorReason.ERROR_REASON_CODE_UNKNOWN
            problem = self._system_problem(coded.code_system)
            if problem is not None:
                found.append(violation(f"{path}.code_system", coded.code_system, reason, problem))
                continue
            problem = self._code_problem(coded.code_system, coded.code, day)
            if problem is not None:
                found.append(violation(f"{path}.code", coded.code, reason, problem))
        return found

    def _prepared(
        self, event: FamilyEvent, normalised: FamilyEvent, now_ns: int, client: str
    ) -> Prepared:
        envelope = normalised.envelope
        sent_key = canonical_key(envelope.entity_key)
        root = self._file_under(normalised, sent_key)
        if root != sent_key:
            envelope.submitted_entity_key.CopyFrom(envelope.entity_key)
            envelope.entity_key.CopyFrom(parse_key(root))
        envelope.record_time.FromNanoseconds(now_ns)
        envelope.recorded_by = client
        key = SourceKey(envelope.source_system, envelope.source_record_id, envelope.source_version)
        envelope.event_id = event_id(*key)
        digest = payload_hash(event)
        return Prepared(key, envelope.event_id, digest, outgoing_record(normalised, digest))


def outgoing_record(event: FamilyEvent, digest: bytes) -> OutgoingRecord:
    """Return the record of a complete event: key, canonical bytes, CloudEvents headers, hash."""
    headers = (*cloud_event_headers(event), (PAYLOAD_HASH_HEADER, digest.hex().encode()))
    return OutgoingRecord(
        key=kafka_key(event.envelope.entity_key),
        value=event.SerializeToString(deterministic=True),
        headers=headers,
    )


def _too_large(size: int) -> Violation:
    return violation(
        "",
        size,
        ErrorReason.ERROR_REASON_MESSAGE_TOO_LARGE,
        Label(
            zh=f"事件大小为 {size} 字节，上限为 {EVENT_BYTES_MAX} 字节",
            en=f"the event has {size} bytes, at most {EVENT_BYTES_MAX} are taken",
        ),
    )


def _reserved_fields(event: FamilyEvent) -> list[Violation]:
    envelope = event.envelope
    text = Label(zh="由接收服务填写，报送时须留空", en="set by the intake, must be left out")
    present = {
        "record_time": envelope.HasField("record_time"),
        "recorded_by": envelope.recorded_by,
        "event_id": envelope.event_id,
        "submitted_entity_key": envelope.HasField("submitted_entity_key"),
    }
    found = [
        violation(f"envelope.{name}", value if isinstance(value, str) else "", _FIELD, text)
        for name, value in present.items()
        if value
    ]
    if envelope.disposition == Disposition.DISPOSITION_MOVED:
        moved = Label(zh="移出记录只能由接收服务写入", en="MOVED is written by intakes only")
        found.append(violation("envelope.disposition", "DISPOSITION_MOVED", _FIELD, moved))
    return found


def _unknown_fields(event: FamilyEvent, normalised: FamilyEvent, size: int) -> list[Violation]:
    # Passed on, an unknown field could carry anything (a person's identity, too); dropped, it
    # would be lost under a receipt. So it is refused. Comparing sizes is ten times cheaper than
    # walking the message.
    normalised.DiscardUnknownFields()
    if normalised.ByteSize() == size:
        return []
    text = Label(
        zh="本版本约定中没有此字段编号", en="this version of the contract has no such field number"
    )
    return [violation(path, "", _FIELD, text) for path in unknown_field_paths(event)]


def _bad_times(event: FamilyEvent, now_ns: int) -> list[Violation]:
    if not event.envelope.HasField("event_time"):
        return []  # the contract's rules name it
    time = event.envelope.event_time
    field = "envelope.event_time"
    if not 0 <= time.nanos < _NANOS_PER_SECOND:
        text = Label(zh="纳秒部分不在 0 至 999999999 之间", en="nanos must be from 0 to 999999999")
        return [violation(f"{field}.nanos", time.nanos, _FIELD, text)]
    if time.seconds > now_ns // _NANOS_PER_SECOND + FUTURE_TOLERANCE_S:
        reason = ErrorReason.ERROR_REASON_EVENT_TIME_IN_FUTURE
        now = datetime.fromtimestamp(now_ns // _NANOS_PER_SECOND, UTC).isoformat()
        text = Label(
            zh=f"发生时间晚于入库时间（{now}）24 小时以上",
            en=f"more than 24 hours after the intake's clock, {now}",
        )
        return [violation(field, _time_text(time.seconds), reason, text)]
    return []


def _long_matter(event: FamilyEvent) -> list[Violation]:
    try:
        check_size(event.envelope.matter_id, MATTER_ID_BYTES_MAX)
    except IdentifierError as error:
        return [violation("envelope.matter_id", error.value, _FIELD, error.reason)]
    return []


def _time_text(seconds: int) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat()
    except (OverflowError, ValueError, OSError):
        return f"{seconds} s"


def _bad_link(event: FamilyEvent) -> list[Violation]:
    if event.WhichOneof("body") != "entity_linked":
        return []
    target = event.entity_linked.to  # type: ignore[union-attr]
    if canonical_key(target) != canonical_key(event.envelope.entity_key):
        return []
    text = Label(zh="关联后标识须不同于原标识", en="must differ from the key in the envelope")
    return [violation("entity_linked.to", "", _FIELD, text)]
