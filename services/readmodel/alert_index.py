"""Indexes over alert threads: which a thread is in, and which can answer a filter.

A member is 6 bytes of raising time and 16 bytes of alert id: byte order is time order, and every
index orders alike, so that several can be merged. Pure.
"""

from collections.abc import Sequence

from market_supervision.alerts.v1.alert_pb2 import Alert, AlertFilter

from services.readmodel.errors import RecordError
from services.readmodel.pointers import TIME_BYTES, encode_time, milliseconds
from services.readmodel.record import Term

ALL = "alerts"
MEMBER_BYTES = TIME_BYTES + 16

# Lengths at which prefixes of codes are indexed: province, city, county, town, village of
# GB/T 2260 and its extensions; section to class of GB/T 4754. A filter's prefix of another length
# is driven by the next shorter one and checked on the thread itself.
_DIVISION_LENGTHS = (2, 4, 6, 9, 12)
_INDUSTRY_LENGTHS = (1, 2, 3, 4, 5)


def member(alert: Alert) -> bytes:
    """Return the member that stands for an alert in every index; RecordError for a bad id."""
    try:
        alert_id = bytes.fromhex(alert.alert_id)
    except ValueError as error:
        raise RecordError(f"not an alert id: {alert.alert_id!r} (预警编号无效)") from error
    encoded = encode_time(milliseconds(alert.raised_time)) + alert_id
    if len(encoded) != MEMBER_BYTES:
        raise RecordError(f"not an alert id: {alert.alert_id!r} (预警编号无效)")
    return encoded


def alert_id_of(encoded: bytes) -> str:
    """Return the alert id of a member."""
    return encoded[TIME_BYTES:].hex()


def terms(alert: Alert) -> list[Term]:
    """Return the indexes a thread is in."""
    names = [
        ALL,
        f"alerts:severity:{alert.severity}",
        f"alerts:state:{alert.state}",
        f"alerts:rule:{alert.rule.rule_id}",
        f"alerts:entity:{alert.entity_key}",
        *(f"alerts:division:{p}" for p in _prefixes(alert.division.code, _DIVISION_LENGTHS)),
        *(f"alerts:industry:{p}" for p in _prefixes(alert.industry.code, _INDUSTRY_LENGTHS)),
    ]
    encoded = member(alert)
    return [Term(name, encoded) for name in names]


def drivers(alert_filter: AlertFilter) -> list[list[str]]:
    """Return the ways to find all candidates of a filter: each a list of indexes to merge.

    Every way yields a superset of what matches; the caller takes the smallest and checks the rest
    of the filter on the threads.
    """
    ways = [
        [f"alerts:severity:{value}" for value in alert_filter.severities],
        [f"alerts:state:{value}" for value in alert_filter.states],
        [f"alerts:rule:{value}" for value in alert_filter.rule_ids],
        [f"alerts:entity:{value}" for value in alert_filter.entity_keys],
        _prefix_way("division", alert_filter.division_prefixes, _DIVISION_LENGTHS),
        _prefix_way("industry", alert_filter.industry_prefixes, _INDUSTRY_LENGTHS),
    ]
    return [sorted(set(way)) for way in ways if way] or [[ALL]]


def _prefixes(code: str, lengths: Sequence[int]) -> list[str]:
    return [code[:length] for length in lengths if length <= len(code)]


def _prefix_way(field: str, wanted: Sequence[str], lengths: Sequence[int]) -> list[str]:
    indexed = [_prefixes(prefix, lengths) for prefix in wanted]
    # One prefix shorter than any indexed one makes the whole field unable to drive.
    if not all(indexed):
        return []
    return [f"alerts:{field}:{prefixes[-1]}" for prefixes in indexed]
