"""Bugs put in by hand: what a simulation that finds nothing has to find."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import Any
from unittest.mock import patch

from integration_tests.simulation import readers
from integration_tests.simulation.broker import Broker, Output
from integration_tests.simulation.store import LocalStore
from services.lifecycle import alerting, due_dates, fold
from services.lifecycle.folding import contribution, slots
from services.lifecycle.folding.lists import LISTS
from services.lifecycle.folding.slots import Verdict
from services.profiles import watch_hub
from services.streaming import partition as engine_partition
from services.streaming.merge import Merge
from services.streaming.meta import Applied, Meta
from services.streaming.meta import encode as encode_meta


@dataclass(frozen=True, slots=True)
class Bug:
    """One bug, and a word of the promise that it breaks."""

    plant: Callable[[], AbstractContextManager[Any]]
    breaks: str


def _merge_with_another_tie_break() -> AbstractContextManager[Any]:
    def merge(topics: Sequence[str], meta: Meta) -> Merge:
        return Merge(tuple(reversed(topics)), meta)

    return patch.object(engine_partition, "Merge", merge)


def _merge_that_does_not_wait() -> AbstractContextManager[Any]:
    return patch.object(Merge, "_horizon", lambda _merge, _answered_ns: None)


def _meta_one_record_behind() -> AbstractContextManager[Any]:
    right = encode_meta

    def encode(meta: Meta) -> bytes:
        applied = {
            topic: Applied(max(0, at.next_offset - 1), at.append_time_ms)
            for topic, at in meta.applied.items()
        }
        return right(replace(meta, applied=applied))

    return patch.object(engine_partition, "encode", encode)


def _commit_without_fence() -> AbstractContextManager[Any]:
    right = Broker.commit

    def commit(broker: Broker, number: int, _epoch: int, output: Output) -> dict[str, int]:
        return right(broker, number, broker.owner_epochs[number], output)

    return patch.object(Broker, "commit", commit)


def _judged(wrong: Verdict, instead_of: Verdict) -> AbstractContextManager[Any]:
    right = slots.judge

    def judge(*arguments: Any) -> Verdict:
        verdict = right(*arguments)
        return wrong if verdict is instead_of else verdict

    return patch.object(fold, "judge", judge)


def _alert_ids_by_counting() -> AbstractContextManager[Any]:
    numbers = itertools.count()
    return patch.object(alerting, "alert_event_id", lambda *_: f"{next(numbers):032x}")


def _list_order_without_ties() -> AbstractContextManager[Any]:
    spec = LISTS["recent_facts"]
    return patch.dict(LISTS, {"recent_facts": replace(spec, identity=lambda _entry: "")})


def _lists_that_mix_matters() -> AbstractContextManager[Any]:
    return patch.object(contribution, "_mark_of", lambda _matter_id: "")


def _dates_a_day_early() -> AbstractContextManager[Any]:
    """A date is done with before its day has come, so nobody is warned."""
    right = due_dates.fire

    def fire(working: Any, scheme: str, today: int, *rest: Any) -> Any:
        return right(working, scheme, today + 1, *rest)

    return patch.object(due_dates, "fire", fire)


@contextmanager
def _cursor_off_by_one() -> Iterator[None]:
    def select(batch: Any, matches: Any, positions: Sequence[int]) -> Any:
        return watch_hub.select(batch, matches, tuple(position + 1 for position in positions))

    with patch.object(readers, "select", select):
        yield


def _local_write_before_the_commit() -> AbstractContextManager[Any]:
    """The store takes a unit whose transaction may never be."""

    def early(right: Callable[..., Any]) -> Callable[..., Any]:
        def prepare(store: Any, *arguments: Any) -> Any:
            batch = right(store, *arguments)
            store.apply(batch, store.position)
            return batch

        return prepare

    return patch.multiple(
        LocalStore,
        prepare=early(LocalStore.prepare),
        prepare_known=early(LocalStore.prepare_known),
    )


BUGS: dict[str, Bug] = {
    "merge with another tie-break": Bug(_merge_with_another_tie_break, "a fold in one go"),
    "merge that does not wait for other topics": Bug(_merge_that_does_not_wait, "fold in one go"),
    "META one record behind": Bug(_meta_one_record_behind, "accounted for"),
    "commit of a fenced worker": Bug(_commit_without_fence, "accounted for"),
    "local write before the commit": Bug(_local_write_before_the_commit, "fold in one go"),
    "repeats taken for news": Bug(lambda: _judged(Verdict.APPLIED, Verdict.DUPLICATE), "expected"),
    "old versions taken for news": Bug(
        lambda: _judged(Verdict.APPLIED, Verdict.SUPERSEDED), "expected"
    ),
    "contradictions swallowed": Bug(
        lambda: _judged(Verdict.DUPLICATE, Verdict.CONFLICT), "expected"
    ),
    "alert ids by counting": Bug(_alert_ids_by_counting, "alerts"),
    "list order without ties": Bug(_list_order_without_ties, "recovered store"),
    "lists that mix matters": Bug(_lists_that_mix_matters, "recovered store"),
    "dates a day early": Bug(_dates_a_day_early, "open in one interleaving only"),
    "cursor off by one": Bug(_cursor_off_by_one, "subscriber"),
}
