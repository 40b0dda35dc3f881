"""What a successor may take, and what of it it withholds."""

import pytest

from services.streaming.exits import EngineError, ExitCode
from services.streaming.interface import SourceRecord
from services.streaming.meta import Applied, Meta, MetaError, Rebuild, decode, encode
from services.streaming.succession import (
    Bound,
    Predecessor,
    check_followed,
    check_may_go_on,
    check_open,
    check_published,
    passed_by,
)

PASSED = {"red": 5, "blue": 2}


def records(*names: str) -> list[SourceRecord]:
    """Return records named by topic and offset."""
    return [
        SourceRecord(topic, 7, int(offset), 0, None, None, ())
        for topic, offset in (name.split("@") for name in names)
    ]


@pytest.mark.parametrize(
    ("given", "taken", "withheld"),
    [
        (["red@3", "blue@1", "red@4"], 3, True),
        (["red@4", "red@5", "blue@2"], 1, True),
        (["red@5", "blue@2", "green@0"], 3, False),
        (["red@5", "blue@1"], 1, False),
        ([], 0, False),
    ],
)
def test_unit_holds_only_what_was_published_or_only_what_was_not(
    given: list[str], taken: int, *, withheld: bool
) -> None:
    """The cut between them is where the predecessor stopped."""
    unit, is_withheld = Bound(PASSED).cut(records(*given))
    assert (len(unit), is_withheld) == (taken, withheld)


@pytest.mark.parametrize(
    ("given", "taken"), [(["red@4", "red@5"], 1), (["red@5", "blue@1"], 0), (["green@0"], 0)]
)
def test_shadow_takes_nothing_that_is_not_published(given: list[str], taken: int) -> None:
    """It waits at the first record that the running version has not committed."""
    unit, withheld = Bound(PASSED, shadow=True).cut(records(*given))
    assert (len(unit), withheld) == (taken, True)


def test_state_without_predecessor_takes_everything() -> None:
    """The ordinary case."""
    given = records("red@9", "blue@0")
    assert Bound().cut(given) == (given, False)


def test_predecessor_that_never_began_has_published_nothing() -> None:
    """Its successor begins at the beginning, and publishes."""
    assert passed_by(None) == {}
    assert Bound(passed_by(None)).cut(records("red@0")) == (records("red@0"), False)


def test_meta_of_a_shadow_says_that_it_is_one() -> None:
    """Whoever starts it must know the running version, or would publish everything again."""
    meta = Meta(8, 40, {"red": Applied(5, 40)}, shadow=True)
    assert decode(encode(meta)) == meta
    assert b'"v":2' in encode(meta)
    assert not decode(encode(Meta(8, 40))).shadow


def test_closed_meta_keeps_the_position_and_is_refused_by_older_software() -> None:
    """Who reads it knows where the state ended, and that nobody goes on from there."""
    meta = Meta(8, 40, {"red": Applied(5, 40)}, closed=True)
    assert decode(encode(meta)) == meta
    assert passed_by(decode(encode(meta))) == {"red": 5}
    assert b'"v":3' in encode(meta)
    with pytest.raises(MetaError):
        decode(encode(meta).replace(b'"v":3', b'"v":1'))


APPLIED = {"red": Applied(5, 40)}
BEFORE = Predecessor("app", "lifecycle", shadow=False)


@pytest.mark.parametrize(
    ("meta", "before"),
    [
        (Meta(8, 40, APPLIED, closed=True), None),
        (Meta(8, 40, APPLIED, closed=True), BEFORE),
        (Meta(8, 40, APPLIED, shadow=True), None),
    ],
)
def test_state_that_was_taken_over_or_follows_nobody_may_not_go_on(
    meta: Meta, before: Predecessor | None
) -> None:
    """Either would publish beside, or before, another version."""
    check_may_go_on({3: Meta(8, 40, APPLIED), 4: Meta(), 5: Meta(1, shadow=True)}, BEFORE)
    with pytest.raises(EngineError, match="partition 7") as refused:
        check_may_go_on({3: Meta(8, 40, APPLIED), 7: meta}, before)
    assert refused.value.code is ExitCode.STATE_VERSION


def test_shadow_of_a_closed_version_is_told_so() -> None:
    """It would wait for ever for somebody who cannot go on."""
    check_open({3: Meta(8, 40, APPLIED), 4: Meta(8, 40, APPLIED, shadow=True)})
    with pytest.raises(EngineError, match="start it as live"):
        check_open({3: Meta(8, 40, APPLIED, closed=True)})


def test_version_that_has_not_published_what_it_applied_is_not_taken_over_from() -> None:
    """Its position tells nothing of what stands on the alerts already."""
    progress_only = Rebuild({"red": 9}, {})
    check_published({3: Meta(8, 40, APPLIED), 4: Meta(8, 40, APPLIED, rebuild=progress_only)})
    withholding = Rebuild({"red": 9}, {"alerts": 4})
    for meta in (
        Meta(8, 40, APPLIED, rebuild=withholding),
        Meta(8, 40, APPLIED, shadow=True),
    ):
        with pytest.raises(EngineError, match="wait until it is whole") as refused:
            check_published({3: Meta(8, 40, APPLIED), 4: meta})
        assert refused.value.code is ExitCode.STATE_VERSION


def test_shadow_does_not_take_over_from_an_empty_topic() -> None:
    """What it followed was deleted: it would publish everything from where it stands again."""
    check_followed({3: Meta(8, 40, APPLIED, shadow=True)}, {3: {"red": 5}})
    check_followed({3: Meta(8, 40, APPLIED)}, {3: {}})
    with pytest.raises(EngineError, match="is gone"):
        check_followed({3: Meta(8, 40, APPLIED, shadow=True)}, {3: {}})
