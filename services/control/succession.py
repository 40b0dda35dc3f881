"""What the next bundle owes to the one before: no rule may leave its open alerts behind. Pure."""

from collections.abc import Iterable, Mapping

from market_supervision.control.v1.control_pb2 import BundleFile

from services.lifecycle.rules.bundle import RULES_FOLDER
from services.lifecycle.rules.errors import BundleError, Problem
from services.lifecycle.rules.loading import read_rule

_CLEARS = ("active", "retired")
"""States in which a rule is judged, so that its open alerts can be closed."""


def check_succession(before: Iterable[BundleFile], after: Iterable[BundleFile]) -> None:
    """Refuse a bundle that drops a rule of the one before, or turns it into a draft or shadow.

    Alerts that such a rule raised could never be closed: no event would make anybody look at them.
    A rule that is no longer wanted is retired, and stays. ``after`` is a checked bundle; files of
    ``before`` that cannot be read any more count as rules that were judged.

    Raises:
        BundleError: with a problem for every such rule.
    """
    states = {file.path: _state(file) for file in after if _is_rule(file)}
    problems = [
        _problem(file.path, states)
        for file in before
        if _is_rule(file) and _state(file) in _CLEARS and states.get(file.path) not in _CLEARS
    ]
    if problems:
        raise BundleError(problems)


def _is_rule(file: BundleFile) -> bool:
    return file.path.startswith(RULES_FOLDER)


def _state(file: BundleFile) -> str:
    try:
        return read_rule(file.path, file.content).row.state
    except BundleError:
        return "active"


def _problem(path: str, states: Mapping[str, str]) -> Problem:
    state = states.get(path)
    if state is None:
        return Problem(
            path,
            "",
            "the bundle in force has this rule and its alerts may be open; keep the file and set "
            "state: retired",
            "现行规则包含有此规则，其预警可能尚未关闭；请保留该文件并设 state: retired（停用）",
        )
    return Problem(
        path,
        "state",
        f"{state!r}: a rule that was in force may have open alerts; set state: retired",
        f"{state!r}：曾经生效的规则可能有未关闭的预警；请设 state: retired（停用）",
    )
