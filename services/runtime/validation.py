"""Hold a message against the rules in its .proto, and say in two languages what is wrong."""

from typing import Any

import protovalidate
from google.protobuf.message import Message

from services.runtime.errors import FieldInvalidError, FieldViolation

VALUE_CHARACTERS_MAX = 64
"""How much of a refused value is quoted back to its sender."""

RULES_ZH = {
    "required": "必填",
    "string.pattern": "不符合格式 {rule}",
    "string.min_len": "长度至少为 {rule} 个字符",
    "string.max_len": "长度不得超过 {rule} 个字符",
    "string.len": "长度必须为 {rule} 个字符",
    "string.prefix": "必须以 {rule} 开头",
    "enum.defined_only": "不是已定义的取值",
    "enum.not_in": "必须选择一个有效取值",
    "repeated.min_items": "至少需要 {rule} 项",
    "repeated.max_items": "不得超过 {rule} 项",
    "repeated.unique": "各项不得重复",
}
"""Rule id → Chinese sentence; `{rule}` stands for the rule's own value."""

COMPARISONS_ZH = {
    "gt": "必须大于 {rule}",
    "gte": "必须大于或等于 {rule}",
    "lt": "必须小于 {rule}",
    "lte": "必须小于或等于 {rule}",
    "const": "必须为 {rule}",
    "in": "必须为以下之一：{rule}",
    "not_in": "不得为以下之一：{rule}",
}
"""The same for the last part of a rule id, whatever the field's type."""

RANGE_WORDS_ZH = {
    "must be greater than or equal to ": "必须大于或等于 ",
    "must be greater than ": "必须大于 ",
    " and less than or equal to ": "，且小于或等于 ",
    " and less than ": "，且小于 ",
}
"""A range names two bounds, of which a violation carries one; its sentence carries both."""
RANGE_RULES = frozenset({"gt_lt", "gt_lte", "gte_lt", "gte_lte"})

CONTRACT_RULES_ZH = {
    "body.required": "有效事件必须且只能包含一项内容",
    "date.real": "必须是 1900-01-01 至 2299-12-31 之间真实存在的日期",
    "entity_changed.something": "至少应有一项变更内容",
    "envelope.utc_offset_minutes.quarter_hours": "utc_offset_minutes 必须是 15 的倍数",
    "money.foreign": "必须为非负金额，并带三位币种代码（不得为 CNY）",
    "notice_from_date.not_after.notice_until_date": "公告起始日不得晚于截止日",
    "penalty_decided.fine_kind": "只有处罚种类包含罚款时才可填写罚款金额",
    "penalty_decided.one_currency": "人民币罚款与外币罚款不得同时填写",
    "sample_tested.failed_items": "只有结论为不合格或无法判定时才可填写不合格项目",
    "suspended_from_date.not_after.planned_until_date": "歇业起始日不得晚于计划截止日",
    "term_from_date.not_after.term_until_date": "期限起始日不得晚于截止日",
    "valid_from_date.not_after.valid_until_date": "有效期起始日不得晚于截止日",
}
"""Ids of the rules the contracts write themselves, in CEL."""


def validate(message: Message, *, path_prefix: str = "") -> None:
    """Raise FieldInvalidError naming every field of ``message`` that breaks a rule.

    ``path_prefix`` stands before each field path (`events[3].`).
    """
    violations = violations_of(message, path_prefix=path_prefix)
    if not violations:
        return
    raise FieldInvalidError(
        "; ".join(f"{item.field}: {item.message_en}" for item in violations),
        "；".join(f"{item.field}：{item.message_zh}" for item in violations),
        violations=violations,
    )


def violations_of(message: Message, *, path_prefix: str = "") -> list[FieldViolation]:
    """Return every field of ``message`` that breaks a rule, in the order of the contract."""
    return [
        _field_violation(violation, path_prefix)
        for violation in protovalidate.collect_violations(message)
    ]


def _field_violation(violation: protovalidate.Violation, path_prefix: str) -> FieldViolation:
    rule_id = violation.proto.rule_id or ""
    text = violation.proto.message or rule_id
    chinese = _chinese(rule_id, violation.rule_value, text)
    given = _quoted(violation.field_value)
    return FieldViolation(
        field=path_prefix + _path(violation.proto.field),
        message_en=f"{text} (got {given})" if given else text,
        message_zh=f"{chinese}（实际为 {given}）" if given else chinese,
        rule=rule_id,
    )


def _chinese(rule_id: str, rule_value: Any, english: str) -> str:
    last = rule_id.rpartition(".")[2]
    if last in RANGE_RULES:
        for phrase, translated in RANGE_WORDS_ZH.items():
            english = english.replace(phrase, translated)
        return english
    template = CONTRACT_RULES_ZH.get(rule_id) or RULES_ZH.get(rule_id) or COMPARISONS_ZH.get(last)
    return template.format(rule=rule_value) if template else f"不符合规则 {rule_id}"


def _path(path: Any) -> str:
    if path is None:
        return ""
    parts = []
    for element in path.elements:
        index = element.subscript
        suffix = f"[{index.value}]" if index is not None and index.field == "index" else ""
        parts.append(f"{element.field_name}{suffix}")
    return ".".join(parts)


def _quoted(value: Any) -> str:
    if isinstance(value, str):
        shown = value[:VALUE_CHARACTERS_MAX]
        return f"{shown!r}" + ("…" if shown != value else "") if value else ""
    if isinstance(value, bool | int | float):
        return str(value)
    return ""
