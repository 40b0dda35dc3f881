"""Under which key an event is filed once its entity's key was replaced."""

from pathlib import Path

import pytest
from market_supervision.common.v1.envelope_pb2 import Disposition
from market_supervision.inspections.v1.inspections_events_pb2 import InspectionEvent
from market_supervision.lifecycle.v1.state_pb2 import LinkRecord
from market_supervision.registration.v1.registration_events_pb2 import RegistrationEvent

from services.intake.filing import Filing
from services.intake.index import IndexIdentity, IntakeIndex
from services.intake.links import Links
from services.intake.placement import Entry, Place, SourceKey, TailRecord

OLD, ROOT = "regno:442000600000001", "uscc:91442000XX0000019R"


def filing(directory: Path, *filed: Place) -> Filing:
    """Return a filing that knows one link, and one slot at the given places."""
    links = Links()
    links.apply([(OLD.encode(), LinkRecord(from_key=OLD, to_key=ROOT).SerializeToString())])
    index = IntakeIndex(directory, IndexIdentity("topic", "id"))
    for offset, place in enumerate(filed):
        entry = Entry(0, offset, 0, bytes(32), place.entity_key)
        key = SourceKey("zs", "1", place.version)
        index.apply([TailRecord(key, entry, place, is_moved=False)], {})
    return Filing(links, index)


def withdrawal() -> InspectionEvent:
    """Return a withdrawal without a body."""
    event = InspectionEvent()
    event.envelope.disposition = Disposition.DISPOSITION_WITHDRAWN
    event.envelope.source_system, event.envelope.source_record_id = "zs", "1"
    event.envelope.matter_id = "zs/1"
    return event


def test_event_with_a_body_goes_to_the_root(tmp_path: Path) -> None:
    """New facts are filed under the key that stands for the entity now."""
    event = withdrawal()
    event.envelope.disposition = Disposition.DISPOSITION_ASSERTED
    event.inspection_planned.SetInParent()
    assert filing(tmp_path)(event, OLD) == ROOT


def test_link_stays_under_the_key_that_it_gives_up(tmp_path: Path) -> None:
    """A correction of a link must reach the partition that holds it."""
    event = RegistrationEvent()
    event.entity_linked.SetInParent()
    assert filing(tmp_path)(event, OLD) == OLD


@pytest.mark.parametrize("has_body", [False, True])
def test_withdrawal_goes_where_the_record_stands(tmp_path: Path, has_body: bool) -> None:  # noqa: FBT001
    """Under the old key when the record was filed there, under the root when it went there."""
    event = withdrawal()
    if has_body:
        event.inspection_planned.SetInParent()
    old, root = Place(OLD, "", "zs/1", 1, 0, 0, 0, 0), Place(ROOT, OLD, "zs/1", 2, 0, 0, 0, 0)
    before = filing(tmp_path / "before", old)
    after = filing(tmp_path / "after", root._replace(version=1))
    corrected = filing(tmp_path / "corrected", old, root)
    unknown = filing(tmp_path / "unknown")
    filed = [each(event, OLD) for each in (before, after, corrected, unknown)]
    assert filed == [OLD, ROOT, ROOT, ROOT]


def test_withdrawal_goes_to_the_newest_of_several_places(tmp_path: Path) -> None:
    """A slot that came back to its first key stands there, not where it went in between."""
    back = Place(OLD, "", "zs/1", 3, 0, 0, 0, 0)
    between = Place(ROOT, OLD, "zs/1", 2, 0, 0, 0, 0)
    assert filing(tmp_path, back._replace(version=1), between, back)(withdrawal(), OLD) == OLD
