"""Event types: arm of the contract ↔ CloudEvents type ↔ label in Chinese and English (事件类型)."""

from dataclasses import dataclass
from types import MappingProxyType

from market_supervision.common.v1.envelope_pb2 import (
    DISPOSITION_MOVED,
    DISPOSITION_WITHDRAWN,
)

from services.contracts.families import FAMILIES, Family, FamilyEvent, arm_of, family_of
from services.contracts.labels import Label

RECORD_WITHDRAWN = "record_withdrawn"
"""Type name of a record that takes its fact back, whatever the fact was."""
RECORD_MOVED = "record_moved"
"""Type name of a record that says its fact now stands under another entity or matter."""

_ARMS_BY_DISPOSITION: dict[int, str] = {
    DISPOSITION_WITHDRAWN: RECORD_WITHDRAWN,
    DISPOSITION_MOVED: RECORD_MOVED,
}

_COMMON_LABELS = {
    RECORD_WITHDRAWN: Label("记录撤回", "record withdrawn"),
    RECORD_MOVED: Label("记录移出", "record moved"),
}

_REGISTRATION_LABELS = {
    "entity_linked": Label("主体标识关联", "entity key linked"),
    "entity_established": Label("设立登记", "entity established"),
    "entity_changed": Label("变更登记", "registration changed"),
    "licence_granted": Label("许可核发", "licence granted"),
    "licence_renewed": Label("许可延续", "licence renewed"),
    "licence_expired": Label("许可到期", "licence expired"),
    "licence_revoked": Label("许可吊销", "licence revoked"),
    "licence_cancelled": Label("许可注销", "licence cancelled"),
    "annual_report_filed": Label("年度报告报送", "annual report filed"),
    "abnormal_operations_listed": Label(
        "列入经营异常名录", "listed on the abnormal-operations list"
    ),
    "abnormal_operations_removed": Label(
        "移出经营异常名录", "removed from the abnormal-operations list"
    ),
    "simple_deregistration_notice_published": Label(
        "简易注销公告", "simple-deregistration notice published"
    ),
    "simple_deregistration_objected": Label("简易注销异议", "simple deregistration objected to"),
    "simple_deregistration_notice_withdrawn": Label(
        "撤销简易注销公告", "simple-deregistration notice withdrawn"
    ),
    "entity_deregistered": Label("注销登记", "entity deregistered"),
    "business_licence_revoked": Label("吊销营业执照", "business licence revoked"),
    "business_suspended": Label("歇业", "business suspended"),
    "business_resumed": Label("恢复营业", "business resumed"),
}

_INSPECTIONS_LABELS = {
    "inspection_planned": Label("检查计划", "inspection planned"),
    "inspection_completed": Label("检查完成", "inspection completed"),
    "sample_taken": Label("抽样", "sample taken"),
    "sample_tested": Label("检验结论", "sample tested"),
    "rectification_ordered": Label("责令改正", "rectification ordered"),
    "rectification_reported": Label("整改报告", "rectification reported"),
    "rectification_verified": Label("整改复查", "rectification verified"),
    "adverse_reaction_reported": Label("不良反应报告", "adverse reaction reported"),
}

_COMPLAINTS_LABELS = {
    "complaint_received": Label("收到投诉", "complaint received"),
    "complaint_accepted": Label("投诉受理", "complaint accepted"),
    "complaint_refused": Label("投诉不予受理", "complaint refused"),
    "mediation_agreed": Label("调解达成协议", "mediation agreed"),
    "mediation_terminated": Label("终止调解", "mediation terminated"),
    "parties_told": Label("告知当事人", "parties told"),
    "report_received": Label("收到举报", "report received"),
    "report_filing_decided": Label("举报立案决定", "filing on a report decided"),
    "informant_told": Label("告知举报人", "informant told"),
}

_PENALTIES_LABELS = {
    "clue_registered": Label("线索登记", "clue registered"),
    "case_filed": Label("立案", "case filed"),
    "case_not_filed": Label("不予立案", "case not filed"),
    "penalty_notice_served": Label("处罚告知", "penalty notice served"),
    "hearing_requested": Label("要求听证", "hearing requested"),
    "hearing_held": Label("举行听证", "hearing held"),
    "penalty_decided": Label("处罚决定", "penalty decided"),
    "penalty_exempted": Label("免予处罚", "exempted from penalty"),
    "fine_paid": Label("缴纳罚款", "fine paid"),
    "penalty_published": Label("处罚公示", "penalty published"),
    "penalty_publication_withdrawn": Label("撤回处罚公示", "penalty publication withdrawn"),
    "case_transferred_to_police": Label("移送公安机关", "case transferred to the police"),
    "credit_repair_applied": Label("信用修复申请", "credit repair applied for"),
    "credit_repair_granted": Label("准予信用修复", "credit repair granted"),
    "credit_repair_refused": Label("不予信用修复", "credit repair refused"),
}

LABELS_BY_FAMILY: MappingProxyType[str, dict[str, Label]] = MappingProxyType(
    {
        "registration": _REGISTRATION_LABELS,
        "inspections": _INSPECTIONS_LABELS,
        "complaints": _COMPLAINTS_LABELS,
        "penalties": _PENALTIES_LABELS,
    }
)
"""Label of every arm, by family and arm. A test names each arm that has none."""


@dataclass(frozen=True, slots=True)
class EventType:
    """One event type of one family."""

    family: str
    arm: str
    """Arm of the contract, or `record_withdrawn` or `record_moved`."""
    cloud_event_type: str
    """CloudEvents `type`, `market_supervision.<family>.v1.<arm>`."""
    label: Label


def _types_of(family: Family) -> tuple[EventType, ...]:
    package = family.message_class.DESCRIPTOR.file.package
    labels = {**LABELS_BY_FAMILY[family.name], **_COMMON_LABELS}
    arms = (*family.arms, RECORD_WITHDRAWN, RECORD_MOVED)
    return tuple(EventType(family.name, arm, f"{package}.{arm}", labels[arm]) for arm in arms)


EVENT_TYPES: tuple[EventType, ...] = tuple(
    event_type for family in FAMILIES for event_type in _types_of(family)
)

_BY_ARM = {(event_type.family, event_type.arm): event_type for event_type in EVENT_TYPES}

EVENT_TYPE_BY_NAME: MappingProxyType[str, EventType] = MappingProxyType(
    {event_type.cloud_event_type: event_type for event_type in EVENT_TYPES}
)
"""Event type by its CloudEvents type."""


def event_type(family: str, arm: str) -> EventType:
    """Return the event type of an arm; KeyError when the family has no such arm."""
    return _BY_ARM[family, arm]


def event_type_of(event: FamilyEvent) -> EventType:
    """Return the type under which an event is announced to outsiders.

    A withdrawn or moved record never goes by its arm, so that nobody who selects by type takes it
    for a new fact. Raises ValueError for an asserted event without a body.
    """
    return event_type_as(family_of(event), arm_of(event), event.envelope.disposition)


def event_type_as(family: Family, arm: str | None, disposition: int) -> EventType:
    """Return the same from what an event says of itself."""
    announced = _ARMS_BY_DISPOSITION.get(disposition, arm)
    if announced is None:
        message = f"an asserted {family.name} event has no body"
        raise ValueError(message)
    return _BY_ARM[family.name, announced]
