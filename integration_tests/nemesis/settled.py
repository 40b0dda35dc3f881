"""What a log comes to whatever happened on the way: the view, and the alerts that stay open.

Alert threads are left out of the digest: whether one was raised and cleared in between depends on
the order in which records of two topics arrived, what stays open does not.
"""

import hashlib
from collections.abc import Iterable, Mapping

from market_supervision.alerts.v1.alert_pb2 import ALERT_STATE_OPEN
from market_supervision.lifecycle.v1.state_pb2 import AlertThread

from integration_tests.system.support import latest, read_topic
from services.contracts import state_keys
from services.contracts.state_keys import StateKind
from services.lifecycle.digest import digest_records


def settled(state: Mapping[bytes, bytes]) -> tuple[str, tuple[str, ...]]:
    """Return the digest of a view without its alert threads, and the ids of the alerts open."""
    threads = {key for key in state if _is_thread(key)}
    alerts = [AlertThread.FromString(state[key]).alert for key in threads]
    still_open = sorted(a.alert_id for a in alerts if a.state == ALERT_STATE_OPEN)
    view = [(key, value) for key, value in state.items() if key not in threads]
    return digest_records(view).total, tuple(still_open)


def settled_digest(bootstrap: str) -> str:
    """Return one digest of both, of the committed view: equal events of a seed give equal ones."""
    digest, still_open = settled(latest(read_topic(bootstrap, "lifecycle.v1")))
    return digest_of(digest, still_open)


def digest_of(digest: str, still_open: Iterable[str]) -> str:
    """Return one digest of a view's and the alerts open."""
    return hashlib.sha256("|".join([digest, *still_open]).encode()).hexdigest()


def _is_thread(key: bytes) -> bool:
    parsed = state_keys.parse(key)
    return parsed is not None and parsed.kind is StateKind.ALERT
