"""Small limits: in a small world the code behind large bounds has to run as well."""

import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from unittest.mock import patch

from services.lifecycle import alert_threads, due_dates, working_set
from services.lifecycle.folding.lists import LISTS
from services.lifecycle.rules import evaluation


@dataclass(frozen=True, slots=True)
class Limits:
    """Lower limits of one world; None: as they are."""

    list_cap: int | None
    dates_fired: int | None
    cached_records: int | None
    open_alerts: int | None


def small_limits(dice: random.Random) -> Limits:
    """Choose limits: in half of all worlds each the real one."""
    return Limits(
        list_cap=dice.choice([None, 2]),
        dates_fired=dice.choice([None, None, 1, 2]),
        cached_records=dice.choice([None, 3]),
        open_alerts=dice.choice([None, 1]),
    )


@contextmanager
def applied(limits: Limits) -> Iterator[None]:
    """Let the limits hold."""
    with ExitStack() as stack:
        if limits.list_cap is not None:
            lists = {name: replace(spec, cap=limits.list_cap) for name, spec in LISTS.items()}
            stack.enter_context(patch.dict(LISTS, lists))
        for module, name, value in (
            (due_dates, "FIRED_MAX", limits.dates_fired),
            (working_set, "CACHE_RECORDS_MAX", limits.cached_records),
            (working_set, "CACHE_CONTRIBUTIONS_MAX", limits.cached_records),
            (alert_threads, "OPEN_ALERTS_MAX", limits.open_alerts),
            (evaluation, "OPEN_ALERTS_SHOWN", limits.open_alerts),
        ):
            if value is not None:
                stack.enter_context(patch.object(module, name, value))
        yield
