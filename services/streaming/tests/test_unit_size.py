"""Units grow while they are quick and small, and shrink at once when they are not."""

from services.streaming.settings import EngineSettings
from services.streaming.unit_size import FIRST_RECORDS, UnitSize

SETTINGS = EngineSettings(unit_records=4_000, unit_output_bytes=1_000_000, unit_step_s=0.2)


def test_unit_that_was_quick_lets_the_next_be_twice_as_large_up_to_the_bound() -> None:
    """Growth is bounded, and needs a unit that was about full."""
    size = UnitSize(SETTINGS)
    limits = []
    for _ in range(5):
        size.learn(size.records, 10_000, 0.01)
        limits.append(size.records)
    assert limits == [1_000, 2_000, 4_000, 4_000, 4_000]


def test_unit_far_from_full_teaches_nothing() -> None:
    """A hundred lone records must not open the door to one unit of thousands."""
    size = UnitSize(SETTINGS)
    for _ in range(100):
        size.learn(1, 100, 0.001)
    assert size.records == FIRST_RECORDS


def test_unit_that_took_too_long_shrinks_the_next_in_proportion() -> None:
    """A step of twice the time leaves half of the records."""
    size = UnitSize(SETTINGS)
    size.learn(500, 1_000, 0.4)
    assert size.records == 250


def test_unit_whose_output_was_too_large_shrinks_the_next_in_proportion() -> None:
    """The worse of time and size counts; one record is always allowed."""
    size = UnitSize(SETTINGS)
    size.learn(500, 5_000_000, 0.3)
    assert size.records == 100
    size.learn(1, 900_000_000, 0.0)
    assert size.records == 1


def test_unit_near_its_bounds_keeps_the_size() -> None:
    """Between half and the whole there is neither growth nor loss: no swinging."""
    size = UnitSize(SETTINGS)
    size.learn(500, 1_000, 0.15)
    assert size.records == 500
