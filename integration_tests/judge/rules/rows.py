"""The rules that were in force, as the control topic holds them. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache
from typing import Any

import yaml
from google.protobuf.message import DecodeError
from market_supervision.control.v1.control_pb2 import ControlRecord, RuleBundle

from integration_tests.judge.raw_log import CONTROL, LogRecord, RawLog
from integration_tests.judge.reference.facts import date_of

_RULES_FOLDER = "rules/"


@dataclass(frozen=True, slots=True)
class Rule:
    """One row, read as data."""

    row: Mapping[str, Any]

    @property
    def rule_id(self) -> str:
        """Id."""
        return str(self.row["id"])

    @property
    def scope(self) -> str:
        """`ENTITY`, `MATTER` or `LICENCE`."""
        return str(self.row["scope"])

    @property
    def episode(self) -> str:
        """What one thread of it is about."""
        return str(self.row["episode"])

    @property
    def window_days(self) -> int:
        """Days on whose end a fact can bear."""
        return int(self.row["window_days"])

    @property
    def max_age_days(self) -> int:
        """Days beyond which nothing is raised."""
        return int(self.row["max_age_days"])

    @property
    def resolved_when(self) -> str:
        """Condition that ends an alert; empty where there is none."""
        return str(self.row.get("resolved_when", ""))

    @property
    def due(self) -> list[tuple[str, int]]:
        """(anchor, offset in days) of the dates it waits for."""
        return [(due["anchor"], int(due["offset_days"])) for due in self.row.get("due", [])]

    @property
    def judges(self) -> bool:
        """Whether events are judged by it; a retired rule raises nothing but still clears."""
        return self.row["state"] in {"active", "retired"}

    def may_raise_on(self, day: int) -> bool:
        """Return whether it may raise an alert for what held at the end of a day."""
        on: date = date_of(day)
        until = self.row.get("valid_to")
        begun = self.row["state"] == "active" and self.row["valid_from"] <= on
        return bool(begun and (until is None or on <= until))


@dataclass(frozen=True, slots=True)
class Bundle:
    """The rules of one version, sorted by id."""

    version: int
    effective_ms: int
    rules: Sequence[Rule] = field(default_factory=tuple)

    def triggered_by(self, *event_types: str) -> list[Rule]:
        """Return the rules that look at any of these event types, `<family>.<arm>`."""
        wanted = set(event_types)
        return [r for r in self.rules if r.judges and wanted & set(r.row["triggers"])]

    def waiting_for(self, anchor: str) -> list[Rule]:
        """Return the rules that wait for a kind of date."""
        return [r for r in self.rules if r.judges and anchor in dict(r.due)]

    def waits(self) -> dict[tuple[str, str, int], int]:
        """Return (rule, anchor, offset) of the active rules → how old its days may be."""
        active = [rule for rule in self.rules if rule.row["state"] == "active"]
        return {(r.rule_id, *due): r.max_age_days for r in active for due in r.due}


def control_of(record: LogRecord) -> ControlRecord | None:
    """Return the message of a control record, None where it is none."""
    try:
        return ControlRecord.FromString(record.value or b"")
    except DecodeError:
        return None


def all_bundles(log: RawLog) -> dict[int, Bundle]:
    """Return version → bundle of everything that was ever published."""
    bundles = [
        bundle_of(control.rule_bundle)
        for record in log.records[CONTROL]
        if (control := control_of(record)) is not None
        and control.WhichOneof("kind") == "rule_bundle"
    ]
    return {bundle.version: bundle for bundle in bundles}


def first_bundle(log: RawLog) -> Bundle | None:
    """Return the first bundle of a log: until it came, nothing was judged."""
    bundles = all_bundles(log)
    return bundles[min(bundles)] if bundles else None


def bundle_of(message: RuleBundle) -> Bundle:
    """Return a bundle read as data; every partition has the same."""
    return _read(message.SerializeToString(deterministic=True))


@lru_cache(maxsize=16)
def _read(data: bytes) -> Bundle:
    message = RuleBundle.FromString(data)
    rows = [yaml.safe_load(f.content) for f in message.files if f.path.startswith(_RULES_FOLDER)]
    rules = sorted((Rule(row) for row in rows), key=lambda rule: rule.rule_id)
    return Bundle(message.version, message.effective_time.ToMilliseconds(), tuple(rules))


def in_force(known: Mapping[int, Bundle], append_ms: int) -> Bundle:
    """Return the bundle that holds at an append time; before the first one, the first."""
    versions = sorted(known)
    holding = [v for v in versions if known[v].effective_ms <= append_ms]
    return known[holding[-1] if holding else versions[0]]
