"""The reference page of the rules, written from the rules themselves."""

from collections.abc import Iterator, Sequence

from services.lifecycle.features.catalogue import FEATURES
from services.lifecycle.rules.rows import LegalBasis
from services.lifecycle.rules.rule import CompiledRule

_HEAD = """# Rules (预警规则)

Generated from `deploy/config/rules` by `python -m services.control reference`; do not edit.
Placeholders in braces are features. Articles marked * are cited from memory and have to be
confirmed before anybody relies on them.
"""


def reference_page(rules: Sequence[CompiledRule]) -> str:
    """Return docs/reference/rules.md for the rules of a bundle."""
    lines = [_HEAD]
    for rule in rules:
        lines.extend(_section(rule))
    lines.extend(_features(rules))
    return "\n".join(lines) + "\n"


def _section(rule: CompiledRule) -> Iterator[str]:
    row, axes = rule.row, rule.axes
    level = ("", "blue 蓝", "yellow 黄", "orange 橙", "red 红")[rule.level]
    yield f"## {row.id} (version {row.version}, {row.state})\n"
    yield f"- zh: {row.title.zh}"
    yield f"- en: {row.title.en}"
    yield (
        f"- Level: **{level}** (probability {axes.probability}, urgency {axes.urgency}, "
        f"harm {axes.harm}, social impact {axes.social_impact}); phase {row.phase.lower()}"
    )
    yield f"- Looks at: {row.scope.lower()}; one alert for each `{row.episode}`"
    yield f"- Looks when: {', '.join(f'`{name}`' for name in row.triggers)}"
    for due in row.due:
        yield f"- Looks without an event: {due.offset_days:+d} days from `{due.anchor}`"
    yield f"- A fact bears on it for {row.window_days} days"
    yield f"- Raises nothing for days more than {row.max_age_days} days past"
    yield (
        f"- Owner: {row.owner}; to be acknowledged within "
        f"{row.acknowledge_within_working_days} working days"
    )
    yield f"\nCondition:\n\n```cel\n{row.condition}\n```\n"
    if row.resolved_when:
        yield f"Closed as resolved when, as of now:\n\n```cel\n{row.resolved_when}\n```\n"
    yield "Legal basis:\n"
    yield from (_basis(basis) for basis in row.legal_basis)
    yield "\nReason given:\n"
    yield f"> {row.reason.zh}\n>\n> {row.reason.en}\n"
    yield "| Example | Holds |\n| --- | --- |"
    yield from (f"| {e.name} | {'yes' if e.expect else 'no'} |" for e in row.examples)
    yield ""


def _basis(basis: LegalBasis) -> str:
    mark = "*" if basis.source == "recalled" else ""
    return f"- {basis.zh} / {basis.en}{mark}"


def _features(rules: Sequence[CompiledRule]) -> Iterator[str]:
    users: dict[str, list[str]] = {}
    for rule in rules:
        for name in rule.condition.names:
            users.setdefault(name, []).append(rule.row.id)
    yield "## Features (指标)\n"
    yield "What each means stands in `protos/market_supervision/lifecycle/v1/features.proto`.\n"
    yield "| Feature | Looks back (days) | Read by |\n| --- | --- | --- |"
    for name, feature in FEATURES.items():
        reach = "" if feature.reach_days is None else str(feature.reach_days)
        yield f"| `{name}` | {reach} | {', '.join(sorted(users.get(name, [])))} |"
