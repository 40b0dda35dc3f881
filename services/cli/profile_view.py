"""A profile as people read it: sections of short lines, not a document (画像展示)."""

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

# Field of the profile → title and what a line shows of each element.
_LISTS = (
    ("openAlerts", "Open alerts 未关闭预警", ("severity", "ruleId", "alertId")),
    ("listings", "Abnormal operations 经营异常", ("reason", "listedTime", "removedTime")),
    (
        "licences",
        "Licences 许可",
        ("licenceType", "licenceNumber", "status", "validFromDate", "validToDate", "endedDate"),
    ),
    (
        "openMatters",
        "Open matters 未办结事项",
        ("kind", "stage", "openedTime", "dueDate", "matterId"),
    ),
    (
        "closedMatters",
        "Closed matters 已办结事项",
        ("kind", "outcome", "lastEventTime", "matterId"),
    ),
    (
        "inspections",
        "Inspections 检查抽检",
        ("eventTime", "kind", "result", "findings", "placeType"),
    ),
    (
        "penalties",
        "Penalties 行政处罚",
        ("decidedTime", "violationCode", "kinds", "fineAmountFen", "published"),
    ),
    ("totals", "Totals 累计", ("name", "value")),
)
_ATTRIBUTES = (
    ("name", "Name 名称"),
    ("address", "Address 住所"),
    ("entityType", "Type 类型"),
    ("industry", "Industry 行业"),
    ("division", "Division 行政区划"),
    ("businessScope", "Scope 经营范围"),
    ("registeredCapitalFen", "Capital (fen) 注册资本（分）"),
    ("latestAnnualReportYear", "Annual report 年度报告"),
)
_FRESHNESS = ("family", "currentAsOfTime", "lagRecords", "lastAppendTime")


def profile_view(answer: Mapping[str, Any]) -> Group:
    """Return the sections of a GetEntityProfile answer, given as JSON."""
    profile = answer.get("profile", {})
    sections = [_heading(profile), *_lists(profile)]
    freshness = _table(answer.get("freshness", ()), _FRESHNESS)
    sections.append(Panel(freshness, title="Freshness 数据新鲜度"))
    return Group(*sections)


def _heading(profile: Mapping[str, Any]) -> Panel:
    registration = profile.get("registration", {})
    status = _word(registration.get("status", "not registered 未见登记"))
    lines = [f"Status 状态: {status} {_short(registration.get('statusSinceTime', ''))}"]
    for field, label in _ATTRIBUTES:
        if field in registration:
            lines.append(f"{label}: {registration[field].get('value', '')}")
    if "linkedKeys" in profile:
        lines.append(f"Linked keys 关联标识: {', '.join(profile['linkedKeys'])}")
    for other in profile.get("unmergedProfiles", ()):
        name, alerts = other["name"], other.get("openAlertCount", 0)
        lines.append(f"Facts not merged 未合并: {name} ({alerts} open alerts 条未关闭预警)")
    first, last = profile.get("firstEventTime", ""), profile.get("lastEventTime", "")
    lines.append(f"Facts 事实: {_short(first)} - {_short(last)}")
    return Panel(Text("\n".join(lines)), title=profile.get("name", ""))


def _lists(profile: Mapping[str, Any]) -> Iterator[Panel]:
    for field, title, columns in _LISTS:
        if field in profile:
            yield Panel(_table(profile[field], columns), title=title)


def _table(elements: Any, columns: tuple[str, ...]) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for element in elements:
        table.add_row(*(shown(element.get(column, "")) for column in columns))
    return table


def shown(value: Any) -> str:
    """Return a JSON value in few characters: days as days, enums without their prefix."""
    if isinstance(value, Mapping) and "year" in value:
        return f"{value['year']}-{value.get('month', 0):02}-{value.get('day', 0):02}"
    if isinstance(value, list):
        return ", ".join(shown(one) for one in value)
    return _short(_word(str(value)))


def _word(text: str) -> str:
    for prefix in ("REGISTRATION_STATUS_", "LICENCE_STATUS_"):
        if text.startswith(prefix):
            return text.removeprefix(prefix).lower()
    return text


def _short(text: str) -> str:
    """Cut the fraction of a second off a time."""
    head, point, tail = text.partition(".")
    return f"{head}Z" if point and tail.endswith("Z") and "T" in head else text
