"""O7: each subscriber received the alerts matching its filter, in order, once, without a gap."""

from collections.abc import Callable, Sequence

from market_supervision.alerts.v1.alert_pb2 import Alert, AlertFilter, AlertRecord

from integration_tests.judge.raw_log import ALERTS, RawLog
from integration_tests.judge.recordings import EARLIEST, Recording
from integration_tests.judge.verdict import Verdict


def check_subscribers(recordings: Sequence[Recording], log: RawLog, verdict: Verdict) -> None:
    """O7: hold each message against the alerts between the cursor before it and its own."""
    for recording in recordings:
        _check_one(recording, log, verdict)
    verdict.count("subscribers", len(recordings))
    verdict.made("O7")


def _check_one(recording: Recording, log: RawLog, verdict: Verdict) -> None:
    passes = matcher(recording.wanted)
    matching: list[list[tuple[int, str]]] = [[] for _ in range(log.partitions)]
    for raw in log.records[ALERTS]:
        record = AlertRecord.FromString(raw.value or b"")
        if passes(record.alert):
            matching[raw.partition].append((raw.offset, record.alert_event_id))
    at: tuple[int, ...] | None = (0,) * log.partitions if recording.start == EARLIEST else None
    seen: set[str] = set()
    for number, delivery in enumerate(recording.deliveries):
        about = {"subscriber": recording.subscriber, "message": number}
        after = delivery.positions()
        before = after if at is None else at
        repeated = [name for name in delivery.alert_event_ids if name in seen]
        seen.update(delivery.alert_event_ids)
        verdict.count("delivered", len(delivery.alert_event_ids))
        if repeated:
            verdict.count("doubled", len(repeated))
            verdict.add("O7", "delivered again", ids=repeated, **about)
        if any(new < old for new, old in zip(after, before, strict=True)):
            verdict.add("O7", "a cursor that goes back", before=before, after=after, **about)
        wanted = [
            [name for offset, name in part if low <= offset < high]
            for part, low, high in zip(matching, before, after, strict=True)
        ]
        if at is not None:
            _compare(delivery.alert_event_ids, wanted, about, verdict)
        at = after
    if at is not None:
        beyond = [
            name for part, low in zip(matching, at, strict=True) for o, name in part if o >= low
        ]
        verdict.count("not_yet_delivered", len(beyond))


def _compare(
    delivered: Sequence[str],
    wanted: Sequence[Sequence[str]],
    about: dict[str, object],
    verdict: Verdict,
) -> None:
    expected = {name for part in wanted for name in part}
    missing, strange = expected - set(delivered), set(delivered) - expected
    if missing:
        verdict.count("lost", len(missing))
        verdict.add("O7", "not delivered although the cursor passed it", ids=missing, **about)
    if strange:
        verdict.add("O7", "delivered outside its cursor, or not matching", ids=strange, **about)
    for part in wanted:
        here = [name for name in delivered if name in set(part)]
        if not missing and here != list(part):
            verdict.add("O7", "not in the order of the topic", ids=here, **about)


def matcher(wanted: AlertFilter) -> Callable[[Alert], bool]:
    """Return whether an alert passes a filter: AND across fields, OR within, empty passes all."""

    def passes(alert: Alert) -> bool:
        exact = (
            (wanted.severities, alert.severity),
            (wanted.rule_ids, alert.rule.rule_id),
            (wanted.entity_keys, alert.entity_key),
            (wanted.phases, alert.phase),
            (wanted.states, alert.state),
        )
        prefixes = (
            (wanted.division_prefixes, alert.division.code),
            (wanted.industry_prefixes, alert.industry.code),
        )
        return all(not values or value in values for values, value in exact) and all(
            not values or code.startswith(tuple(values)) for values, code in prefixes
        )

    return passes
