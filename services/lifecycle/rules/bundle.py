"""A bundle of rules, checked and compiled once (规则包). Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from market_supervision.control.v1 import control_pb2

from services.lifecycle.rules.errors import BundleError, Problem
from services.lifecycle.rules.loading import read_calendar, read_rule
from services.lifecycle.rules.rule import CompiledRule
from services.lifecycle.rules.working_days import WorkingDays

RULES_FOLDER = "rules/"
CALENDARS_FOLDER = "calendars/"

_Files = tuple[tuple[str, bytes], ...]


@dataclass(frozen=True, slots=True)
class _Content:
    rules: tuple[CompiledRule, ...]
    calendar: WorkingDays
    by_trigger: Mapping[str, tuple[CompiledRule, ...]]
    due: tuple[tuple[str, int], ...]
    waits: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class CompiledBundle:
    """Everything a bundle says, ready to judge events with."""

    version: int
    content_hash: str
    content: _Content

    @classmethod
    def from_bundle(cls, bundle: control_pb2.RuleBundle) -> "CompiledBundle":
        """Check and compile a bundle; BundleError names every file and field that is wrong.

        Compiling is done once for a content, whatever its version.
        """
        files = tuple((file.path, file.content) for file in bundle.files)
        return cls(bundle.version, bundle.content_hash, _compiled(files))

    @property
    def rules(self) -> tuple[CompiledRule, ...]:
        """All rules, sorted by id, drafts and retired ones included."""
        return self.content.rules

    @property
    def calendar(self) -> WorkingDays:
        """Working days by which acknowledgement is due."""
        return self.content.calendar

    @property
    def due(self) -> tuple[tuple[str, int], ...]:
        """(anchor, offset in days) that some rule in force waits for, sorted, each once."""
        return self.content.due

    @property
    def waits(self) -> Mapping[str, int]:
        """`<rule id>|<anchor>|<offset in days>` of every active rule → how old its days may be."""
        return self.content.waits

    def triggered_by(self, event_type: str) -> tuple[CompiledRule, ...]:
        """Rules to evaluate for an event type `<family>.<arm>`, or for `due.<anchor>`."""
        return self.content.by_trigger.get(event_type, ())

    def triggered_by_any(self, event_type: str, other: str) -> tuple[CompiledRule, ...]:
        """Rules of the one event type or the other, sorted by id, each once."""
        rules = self.triggered_by(event_type)
        if not other or other == event_type:
            return rules
        found = {rule.row.id: rule for rule in (*rules, *self.triggered_by(other))}
        return tuple(found[rule_id] for rule_id in sorted(found))


@lru_cache(maxsize=4)
def _compiled(files: _Files) -> _Content:
    problems: list[Problem] = []
    rules: dict[str, CompiledRule] = {}
    calendars: list[WorkingDays] = []
    for path, content in files:
        try:
            _read(path, content, rules, calendars)
        except BundleError as error:
            problems.extend(error.problems)
    if len(calendars) != 1 and not problems:
        problems.append(
            Problem(
                CALENDARS_FOLDER,
                "",
                f"a bundle holds exactly one calendar, not {len(calendars)}",
                f"规则包须恰有一份工作日历，实有{len(calendars)}份",
            )
        )
    if problems:
        raise BundleError(problems)
    return _content([rules[rule_id] for rule_id in sorted(rules)], calendars[0])


def _content(rules: list[CompiledRule], calendar: WorkingDays) -> _Content:
    by_trigger: dict[str, list[CompiledRule]] = {}
    due: set[tuple[str, int]] = set()
    waits: dict[str, int] = {}
    for rule in rules:
        if rule.in_force:
            for event_type in rule.triggers:
                by_trigger.setdefault(event_type, []).append(rule)
            due.update((wait.anchor, wait.offset_days) for wait in rule.row.due)
        if rule.row.state == "active":
            for wait in rule.row.due:
                name = f"{rule.row.id}|{wait.anchor}|{wait.offset_days}"
                waits[name] = rule.row.max_age_days
    frozen = {event_type: tuple(found) for event_type, found in by_trigger.items()}
    return _Content(tuple(rules), calendar, frozen, tuple(sorted(due)), waits)


def _read(
    path: str, content: bytes, rules: dict[str, CompiledRule], calendars: list[WorkingDays]
) -> None:
    if path.startswith(RULES_FOLDER):
        _add(rules, path, read_rule(path, content))
    elif path.startswith(CALENDARS_FOLDER):
        calendars.append(read_calendar(path, content))
    else:
        raise BundleError([_unexpected(path)])


def _add(rules: dict[str, CompiledRule], path: str, rule: CompiledRule) -> None:
    if rule.row.id in rules:
        raise BundleError(
            [Problem(path, "id", f"{rule.row.id} stands twice", f"{rule.row.id} 重复")]
        )
    rules[rule.row.id] = rule


def _unexpected(path: str) -> Problem:
    return Problem(
        path,
        "",
        f"a bundle holds {RULES_FOLDER} and {CALENDARS_FOLDER} only",
        f"规则包只含 {RULES_FOLDER} 和 {CALENDARS_FOLDER}",
    )
