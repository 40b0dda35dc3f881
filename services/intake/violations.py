"""What is wrong with a submitted event, field by field, in both languages (校验结果). Pure."""

from collections.abc import Iterable
from types import MappingProxyType
from typing import Any, NamedTuple

import protovalidate
from google.protobuf.message import Message
from market_supervision.common.v1.error_reason_pb2 import ErrorReason

from services.contracts.labels import Label

VALUE_CHARACTERS_MAX = 128
"""Characters of an offending value that are repeated in the answer."""
VIOLATIONS_MAX = 100
"""Violations reported of one event."""


class Violation(NamedTuple):
    """One thing wrong with one field.

    ``field`` is the path in the event, such as `envelope.entity_key.value`; ``value`` what was
    sent, cut to VALUE_CHARACTERS_MAX; empty for whole messages.
    """

    field: str
    value: str
    reason: ErrorReason.ValueType
    text: Label


def violation(field: str, value: object, reason: ErrorReason.ValueType, text: Label) -> Violation:
    """Return a violation with its value made presentable."""
    return Violation(field, _presentable(value), reason, text)


def contract_violations(event: Message) -> list[Violation]:
    """Return what breaks the rules written in the contract (protovalidate)."""
    found = protovalidate.collect_violations(event)
    return [_from_contract(each) for each in found[:VIOLATIONS_MAX]]


def _from_contract(found: protovalidate.Violation) -> Violation:
    proto = found.proto
    rule_id = proto.rule_id
    return violation(
        _path(proto.field.elements if proto.field else ()),
        found.field_value,
        ErrorReason.ERROR_REASON_FIELD_INVALID,
        Label(zh=_chinese(rule_id, found.rule_value, proto.message), en=proto.message),
    )


def _path(elements: Iterable[Any]) -> str:
    parts: list[str] = []
    for element in elements:
        subscript = element.subscript
        index = f"[{subscript.value}]" if subscript is not None else ""
        parts.append(f"{element.field_name}{index}")
    return ".".join(parts)


def _presentable(value: object) -> str:
    if value is None or isinstance(value, str | int | float | bool):
        text = "" if value is None else str(value)
        if len(text) <= VALUE_CHARACTERS_MAX:
            return text
        return text[: VALUE_CHARACTERS_MAX - 1] + "…"
    return ""


def _chinese(rule_id: str, rule_value: object, message: str) -> str:
    template = CHINESE_BY_RULE.get(rule_id)
    if template is None:
        return f"不符合规则 {rule_id}（{message}）"
    return template.format(rule_value)


CHINESE_BY_RULE = MappingProxyType(
    {
        # Standard rules; {} is the rule's value.
        "required": "必填",
        "string.pattern": "格式不符，应匹配 {}",
        "string.min_len": "长度不得少于 {} 个字符",
        "string.max_len": "长度不得超过 {} 个字符",
        "string.len": "长度应为 {} 个字符",
        "string.in": "不在允许的取值之列",
        "enum.defined_only": "不是约定的枚举值",
        "enum.not_in": "必须明确取值，不得为未指明",
        "enum.in": "不在允许的枚举值之列",
        "int32.gte": "不得小于 {}",
        "int32.gt": "必须大于 {}",
        "int32.lte": "不得大于 {}",
        "int32.gte_lte": "超出允许范围",
        "int64.gte": "不得小于 {}",
        "int64.gt": "必须大于 {}",
        "int64.lte": "不得大于 {}",
        "int64.gte_lte": "超出允许范围",
        "timestamp.gte": "早于允许的最早时间",
        "repeated.min_items": "至少 {} 项",
        "repeated.max_items": "至多 {} 项",
        "repeated.unique": "各项不得重复",
        # Rules written out in the contract, by their id.
        "body.required": "处置方式为确认的事件须带且只带一个事件体",
        "envelope.utc_offset_minutes.quarter_hours": "时区偏移应为 15 分钟的整数倍",
        "date.real": "应为 1900-01-01 至 2299-12-31 之间真实存在的日期",
        "entity_changed.something": "至少须给出一项变更内容",
        "money.foreign": "应为非负金额，币种为人民币（CNY）以外的三位字母代码",
        "notice_from_date.not_after.notice_until_date": "公告起始日不得晚于公告截止日",
        "penalty_decided.fine_kind": "处罚种类含罚款时方可填报罚款金额",
        "penalty_decided.one_currency": "人民币罚款金额与外币罚款金额只能填报其一",
        "sample_tested.failed_items": "检验结论为不合格或无法判定时方可填报不合格项目",
        "suspended_from_date.not_after.planned_until_date": "歇业起始日不得晚于预计截止日",
        "term_from_date.not_after.term_until_date": "经营期限起始日不得晚于截止日",
        "valid_from_date.not_after.valid_until_date": "有效期起始日不得晚于截止日",
    }
)
