"""Who publishes a MOVED record, and when; on the log in memory and a real index."""

import asyncio
from contextlib import suppress
from pathlib import Path

import pytest

from services.contracts.families import FAMILY_BY_NAME
from services.intake import mover as mover_module
from services.intake.index import IndexIdentity, IntakeIndex
from services.intake.mover import Mover
from services.intake.placement import Entry, Place, SourceKey, TailRecord, slot_bytes
from services.intake.publisher import Acknowledged, NotSent, OutgoingRecord
from services.intake.testing import MemoryLog

FAMILY = FAMILY_BY_NAME["inspections"]
OLD, NEW = SourceKey("zs", "JC-1", 1), SourceKey("zs", "JC-1", 2)
SLOT = slot_bytes("zs", "JC-1")
PLACE = {OLD: "uscc:91442000XX0000019R", NEW: "uscc:91442000XX0000027K"}
FOREVER_SECONDS = 3_600.0


def read(key: SourceKey) -> TailRecord:
    """Return the record of a version, each under an entity of its own."""
    place = Place(PLACE[key], "", "zs/1", key.source_version, 0, 1_700_000_000, 0, 480)
    entry = Entry(0, key.source_version, 1, b"\x01" * 32, PLACE[key])
    return TailRecord(key, entry, place, is_moved=False)


class TellingLog(MemoryLog):
    """Tells when something is appended."""

    def __init__(self) -> None:
        super().__init__(FAMILY)
        self.appended = asyncio.Event()

    def append(self, record: OutgoingRecord) -> Acknowledged:
        """Append and tell."""
        self.appended.set()
        return super().append(record)


class Moving:
    """A mover, the log it writes to, and what its instance is publishing meanwhile."""

    def __init__(self, directory: Path) -> None:
        self.index = IntakeIndex(directory, IndexIdentity("inspections.v1", "topic-1"))
        self.log = TellingLog()
        self.under_way: set[SourceKey] = set()
        self.mover = Mover(
            FAMILY, self.index, self.log, now_ns=lambda: 0, is_under_way=self.under_way.__contains__
        )

    def read_both(self, last: SourceKey) -> None:
        """Read both versions from the log, ``last`` being the second."""
        for key in sorted((OLD, NEW), key=lambda each: each == last):
            self.mover.notice(self.index.apply([read(key)], {}).slots_with_moves)

    async def published(self, seconds: float) -> int:
        """Run the mover until it publishes, so long at most; return how much is on the log."""
        self.log.appended.clear()
        running = asyncio.create_task(self.mover.run())
        with suppress(TimeoutError):
            await asyncio.wait_for(self.log.appended.wait(), seconds)
        running.cancel()
        return len(self.log.records)


@pytest.fixture
def moving(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Moving:
    """Return a mover whose grace never ends, and of which nothing is left over."""
    monkeypatch.setattr(mover_module, "GRACE_SECONDS", FOREVER_SECONDS)
    moving = Moving(tmp_path)
    monkeypatch.setattr(moving.index, "pending_slots", lambda **_: [])
    return moving


@pytest.mark.parametrize("late", [OLD, NEW], ids=["late-first-version", "correction"])
async def test_instance_that_took_the_later_of_the_two_in_moves_at_once(
    moving: Moving, late: SourceKey
) -> None:
    """Also when what comes late is the version that is moved out."""
    moving.under_way.add(late)
    moving.read_both(last=late)
    assert await moving.published(60) == 1


async def test_other_instance_leaves_it_to_that_one(moving: Moving) -> None:
    """Neither version is its own: it waits for the grace to end."""
    moving.read_both(last=NEW)
    assert await moving.published(0.2) == 0


async def test_slot_that_waits_is_hurried_when_its_own_version_comes(moving: Moving) -> None:
    """What was first left to another instance is done at once, and once."""
    moving.read_both(last=NEW)
    moving.under_way.add(OLD)
    moving.mover.notice([SLOT])
    assert await moving.published(60) == 1
    assert await moving.published(0.2) == 1


async def test_record_that_was_not_sent_is_tried_again(
    moving: Moving, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until the log holds it."""
    monkeypatch.setattr(mover_module, "RETRY_SECONDS", 0.0)
    moving.log.answers = [NotSent("full"), NotSent("full")]
    moving.under_way.add(NEW)
    moving.read_both(last=NEW)
    assert await moving.published(60) == 1
