"""Build a state in a new format beside the running one, and take over from it (状态版本的接替).

The new version is an application of its own: another app id, another changelog, other directories.
As a *shadow* it folds the same sources from the beginning, publishes nothing at all, and never
passes what the running version has committed: so everything it withholds has been published. To
take over, it fences every transactional id of the predecessor, reads that one's last META, closes
its changelog, follows up to exactly there, and publishes from there on. What the predecessor had
applied is a prefix of the merge order, which is the same for both.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.streaming.exits import EngineError, ExitCode
from services.streaming.interface import SourceRecord
from services.streaming.meta import Meta


@dataclass(frozen=True, slots=True)
class Predecessor:
    """The running version. ``shadow``: stay behind it and publish nothing; else take over."""

    app_id: str
    changelog: str
    shadow: bool


class Bound:
    """What the predecessor has published, and whether to stay within it. Pure."""

    def __init__(self, passed: Mapping[str, int] | None = None, *, shadow: bool = False) -> None:
        """``passed``: topic → first offset the predecessor has not applied; None: there is none."""
        self.passed = passed
        self.shadow = shadow

    def cut(self, records: Sequence[SourceRecord]) -> tuple[Sequence[SourceRecord], bool]:
        """Return the first of ``records`` that may make one unit, and whether it is withheld.

        A unit holds only records that were published by the predecessor, or only others.
        """
        if self.passed is None or not records:
            return records, False
        published = self._is_published(records[0])
        if self.shadow and not published:
            return [], True
        count = next(
            (n for n, record in enumerate(records) if self._is_published(record) != published),
            len(records),
        )
        return records[:count], published

    def _is_published(self, record: SourceRecord) -> bool:
        return self.passed is not None and record.offset < self.passed.get(record.topic, 0)


def passed_by(meta: Meta | None) -> dict[str, int]:
    """Return the next offsets of a predecessor that stands at ``meta`` (None: it never began)."""
    return {} if meta is None else {t: a.next_offset for t, a in meta.applied.items()}


def check_may_go_on(metas: Mapping[int, Meta], predecessor: Predecessor | None) -> None:
    """Check that this version itself may go on from where it stands.

    Raises:
        EngineError: STATE_VERSION, naming the partition.
    """
    for number, meta in metas.items():
        if meta.closed:
            raise _refused(number, "another version took over from it (状态已由其他版本接替)")
        if meta.shadow and predecessor is None:
            raise _refused(
                number,
                "it follows a running version, of which nothing is said (须指明所跟随的版本)",
            )


def check_followed(metas: Mapping[int, Meta], passed: Mapping[int, Mapping[str, int]]) -> None:
    """Check that what a shadow followed is what is taken over from, and not an empty topic.

    Raises:
        EngineError: STATE_VERSION; it would publish again what was published.
    """
    for number, meta in metas.items():
        if meta.shadow and not passed[number]:
            raise _refused(number, "the version it followed is gone (所跟随的版本已不存在)")


def check_open(metas: Mapping[int, Meta]) -> None:
    """Check that the version a shadow follows can still go on.

    Raises:
        EngineError: STATE_VERSION; the shadow would wait for ever.
    """
    for number, meta in metas.items():
        if meta.closed:
            raise _refused(
                number, "the version it follows is closed: start it as live (应以接替方式启动)"
            )


def check_published(metas: Mapping[int, Meta]) -> None:
    """Check that positions tell what was published.

    Raises:
        EngineError: STATE_VERSION where they do not. A state that is being rebuilt has not come to
            where the one before it had published; a shadow has published nothing itself.
    """
    for number, meta in metas.items():
        rebuilding = meta.rebuild is not None and any(meta.rebuild.guarded.values())
        if rebuilding or meta.shadow:
            doing = "is being rebuilt" if rebuilding else "follows yet another version"
            raise _refused(
                number, f"the version before {doing}: wait until it is whole (前一版本尚未完整)"
            )


def _refused(number: int, reason: str) -> EngineError:
    return EngineError(ExitCode.STATE_VERSION, f"the state of partition {number}: {reason}")
