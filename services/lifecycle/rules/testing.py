"""Rules written inside tests, and bundles of them."""

from datetime import UTC, datetime
from typing import Any

import yaml
from market_supervision.control.v1.control_pb2 import BundleFile

from services.contracts.bundles import build_bundle, overridden, read_files
from services.lifecycle.rules.bundle import CompiledBundle

WRITTEN = datetime(2026, 1, 1, tzinfo=UTC)


def row(**fields: Any) -> dict[str, Any]:
    """Return a valid row, with fields replaced; a field of None is left out."""
    whole: dict[str, Any] = {
        "id": "R90-made-up",
        "version": 1,
        "title": {"zh": "测试规则", "en": "Made-up rule"},
        "state": "active",
        "valid_from": WRITTEN.date().replace(year=2000),
        "scope": "ENTITY",
        "triggers": ["complaints.complaint_received"],
        "condition": "features.complaints_7d >= 1",
        "window_days": 365,
        "max_age_days": 30,
        "episode": "month",
        "severity": {"probability": 1, "urgency": 1, "harm": 1, "social_impact": 1},
        "phase": "WARN",
        "legal_basis": [{"zh": "无", "en": "none", "source": "recalled"}],
        "reason": {"zh": "测试", "en": "Test"},
        "owner": "nobody",
        "acknowledge_within_working_days": 1,
        "evidence": [{"event": "complaints.complaint_received"}],
        "examples": [
            {
                "name": "holds",
                "given": {"complaints_1d": 1, "complaints_7d": 1, "complaints_30d": 1},
                "expect": True,
            },
            {"name": "does not", "given": {}, "expect": False},
        ],
    }
    whole |= fields
    return {name: value for name, value in whole.items() if value is not None}


def calendar() -> BundleFile:
    """Return the calendar of the configuration."""
    return next(file for file in read_files() if file.path.startswith("calendars/"))


def rule_file(made: dict[str, Any]) -> BundleFile:
    """Return a row as a file of a bundle."""
    text = yaml.safe_dump(made, allow_unicode=True)
    return BundleFile(path=f"rules/{made['id']}.yaml", content=text.encode())


def bundle_of(*rows: dict[str, Any], version: int = 1) -> CompiledBundle:
    """Compile a bundle of rows."""
    files = [calendar(), *(rule_file(made) for made in rows)]
    return CompiledBundle.from_bundle(build_bundle(files, version, WRITTEN))


def configured_bundle(**overrides: Any) -> CompiledBundle:
    """Compile the rules of the configuration, with fields replaced in every rule."""
    return CompiledBundle.from_bundle(build_bundle(overridden(read_files(), overrides), 7, WRITTEN))
