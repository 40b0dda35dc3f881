"""One bundle after the other."""

import pytest

from services.control.succession import check_succession
from services.lifecycle.rules.errors import BundleError
from services.lifecycle.rules.testing import calendar, row, rule_file


def test_rule_that_disappears_is_refused() -> None:
    """A rule taken out of the folder would leave its alerts open for ever."""
    with pytest.raises(BundleError, match=r"rules/R90-made-up.yaml: .*retired.*停用"):
        check_succession([calendar(), rule_file(row())], [calendar()])


@pytest.mark.parametrize("state", ["draft", "shadow"])
def test_rule_that_was_in_force_cannot_become_a_draft(state: str) -> None:
    """What is not judged closes nothing."""
    with pytest.raises(BundleError, match=rf"state: '{state}'"):
        check_succession([rule_file(row(state="retired"))], [rule_file(row(state=state))])


@pytest.mark.parametrize("state", ["active", "retired"])
def test_rule_that_stays_or_is_retired_is_accepted(state: str) -> None:
    """A retired rule raises nothing but still clears; a new rule owes nothing."""
    new = rule_file(row(id="R91-made-up"))
    check_succession([rule_file(row())], [new, rule_file(row(state=state))])


def test_draft_that_never_was_in_force_may_go() -> None:
    """A draft has raised nothing."""
    check_succession([rule_file(row(state="draft"))], [])
