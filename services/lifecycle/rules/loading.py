"""From the bytes of a data file to a checked rule or calendar, or to a list of problems. Pure."""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, TypeVar

import yaml
from google.protobuf import json_format
from market_supervision.lifecycle.v1 import features_pb2
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from services.contracts.families import FAMILIES
from services.lifecycle.features.catalogue import FEATURES
from services.lifecycle.rules.conditions import Condition
from services.lifecycle.rules.errors import BundleError, ExpressionError, Problem
from services.lifecycle.rules.rows import RuleRow
from services.lifecycle.rules.rule import CompiledRule
from services.lifecycle.rules.texts import placeholders
from services.lifecycle.rules.working_days import CalendarFile, WorkingDays

FILE_BYTES_MAX = 256 * 1024

Model = TypeVar("Model", bound=BaseModel)

EVENT_NAMES = frozenset(f"{family.name}.{arm}" for family in FAMILIES for arm in family.arms)
"""Every `<family>.<arm>` a rule can name. A withdrawn record goes by the arm it concerns."""

_ZH = {
    "missing": "缺少此项",
    "extra_forbidden": "未知的项",
    "int_type": "须为整数",
    "string_type": "须为文字（加引号）",
    "bool_type": "须为 true 或 false",
    "date_type": "须为日期，如 2026-01-01",
    "list_type": "须为列表",
    "dict_type": "须为键值对",
    "model_type": "须为键值对",
    "literal_error": "取值不在允许范围内",
    "string_pattern_mismatch": "格式不符",
    "string_too_short": "不能为空",
    "string_too_long": "过长",
    "greater_than_equal": "过小",
    "less_than_equal": "过大",
    "too_short": "项数过少",
    "too_long": "项数过多",
}


def read_rule(path: str, content: bytes) -> CompiledRule:
    """Return the rule of a file; BundleError with everything that is wrong with it."""
    row = _read(path, content, RuleRow)
    problems = list(_row_problems(path, row))
    for field in ("condition", "resolved_when"):
        text = getattr(row, field)
        if text is not None:
            problems.extend(_expression_problems(path, field, text, row))
    if problems:
        raise BundleError(problems)
    rule = CompiledRule.of(row)
    problems.extend(_example_problems(path, rule))
    if problems:
        raise BundleError(problems)
    return rule


@lru_cache(maxsize=4)
def read_calendar(path: str, content: bytes) -> WorkingDays:
    """Return the calendar of a file; BundleError with everything that is wrong with it."""
    return WorkingDays(_read(path, content, CalendarFile).years)


def _read(path: str, content: bytes, model: type[Model]) -> Model:
    if len(content) > FILE_BYTES_MAX:
        en, zh = f"at most {FILE_BYTES_MAX} bytes", f"最多{FILE_BYTES_MAX}字节"
        raise BundleError([Problem(path, "", en, zh)])
    try:
        document: Any = yaml.load(content.decode("utf-8"), Loader=_StrictLoader)  # noqa: S506 - a SafeLoader
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise BundleError(
            [Problem(path, "", f"not YAML: {error}", f"不是有效的YAML：{error}")]
        ) from error
    try:
        return model.model_validate(document)
    except ValidationError as error:
        raise BundleError([_problem(path, detail) for detail in error.errors()]) from error


class _StrictLoader(yaml.SafeLoader):
    """Refuses a key that stands twice, of which YAML would silently keep the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002 - the signature of the library
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=deep)
            if key in seen:
                message = f"key {key!r} stands twice"
                raise yaml.constructor.ConstructorError(None, None, message, key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


def _problem(path: str, detail: ErrorDetails) -> Problem:
    field = ".".join(str(part) for part in detail["loc"])
    given = detail["input"]
    shown = "" if isinstance(given, dict | list) or detail["type"] == "missing" else repr(given)
    reason = detail["msg"]
    zh = _ZH.get(detail["type"], f"取值无效（{reason}）")
    return Problem(
        path, field, f"{shown}: {reason}" if shown else reason, f"{shown}：{zh}" if shown else zh
    )


def _row_problems(path: str, row: RuleRow) -> Iterator[Problem]:
    if not path.endswith(f"/{row.id}.yaml"):
        en, zh = f"the file must be named {row.id}.yaml", f"文件名须为 {row.id}.yaml"
        yield Problem(path, "id", en, zh)
    if row.valid_to is not None and row.valid_to < row.valid_from:
        yield Problem(path, "valid_to", "lies before valid_from", "早于 valid_from")
    for index, name in enumerate(row.triggers):
        yield from _event_problems(path, f"triggers.{index}", name)
    yield from _scope_problems(path, row)
    yield from _evidence_problems(path, row)
    for name in row.labels:
        yield from _feature_problems(path, f"labels.{name}", name, row)
    for field in ("title.zh", "title.en", "reason.zh", "reason.en"):
        yield from _template_problems(path, field, row)
    if {example.expect for example in row.examples} != {True, False}:
        en = "one example at least must hold, and one must not"
        yield Problem(path, "examples", en, "至少一个示例成立、一个不成立")


def _evidence_problems(path: str, row: RuleRow) -> Iterator[Problem]:
    for index, item in enumerate(row.evidence):
        yield from _event_problems(path, f"evidence.{index}.event", item.event)
        if item.code is not None:
            yield from _feature_problems(path, f"evidence.{index}.code", item.code, row)
        if item.own_matter and row.scope == "ENTITY":
            en = "own_matter needs the scope MATTER or LICENCE"
            yield Problem(path, f"evidence.{index}.own_matter", en, "须为 MATTER 或 LICENCE 范围")


def _event_problems(path: str, field: str, name: str) -> Iterator[Problem]:
    if name not in EVENT_NAMES:
        yield Problem(path, field, f"no event type {name}", f"没有事件类型 {name}")


def _scope_problems(path: str, row: RuleRow) -> Iterator[Problem]:
    if row.scope == "ENTITY" and row.episode.startswith("matter"):
        en = "an episode of a matter needs the scope MATTER or LICENCE"
        yield Problem(path, "episode", en, "以事项为事件段须为 MATTER 或 LICENCE 范围")
    if row.episode.startswith("matter_and_date:") and row.scope != "LICENCE":
        en = "an episode with the licence's last day needs the scope LICENCE"
        yield Problem(path, "episode", en, "以许可到期日为事件段须为 LICENCE 范围")
    for index, due in enumerate(row.due):
        needed = "LICENCE" if due.anchor == "licence_to_day" else "MATTER"
        if row.scope != needed:
            en, zh = f"{due.anchor} needs the scope {needed}", f"{due.anchor} 须为 {needed} 范围"
            yield Problem(path, f"due.{index}.anchor", en, zh)


def _feature_problems(path: str, field: str, name: str, row: RuleRow) -> Iterator[Problem]:
    holder = name.rpartition(".")[0]
    if name not in FEATURES:
        yield Problem(path, field, f"no feature {name}", f"没有指标 {name}")
    elif holder and holder.upper() != row.scope:
        en, zh = f"{name} needs the scope {holder.upper()}", f"{name} 须为 {holder.upper()} 范围"
        yield Problem(path, field, en, zh)


def _template_problems(path: str, field: str, row: RuleRow) -> Iterator[Problem]:
    holder, _, language = field.partition(".")
    try:
        names = placeholders(getattr(getattr(row, holder), language))
    except ExpressionError as error:
        yield Problem(path, field, error.en, error.zh)
        return
    for name in sorted(names & FEATURES.keys()):
        yield from _feature_problems(path, field, name, row)
    if "licence_last_date" in names and row.scope != "LICENCE":
        en, zh = "licence_last_date needs the scope LICENCE", "licence_last_date 须为 LICENCE 范围"
        yield Problem(path, field, en, zh)


def _expression_problems(path: str, field: str, text: str, row: RuleRow) -> Iterator[Problem]:
    try:
        names = Condition(text).names
    except ExpressionError as error:
        yield Problem(path, field, error.en, error.zh)
        return
    for name in sorted(names):
        yield from _feature_problems(path, field, name, row)
        reach = FEATURES[name].reach_days
        if reach is not None and reach > row.window_days:
            yield Problem(
                path,
                "window_days",
                f"{row.window_days} is less than the {reach} days that {name} looks back",
                f"{row.window_days} 小于 {name} 回看的 {reach} 天",
            )


def _example_problems(path: str, rule: CompiledRule) -> Iterator[Problem]:
    for index, example in enumerate(rule.row.examples):
        field = f"examples.{index}"
        try:
            features = json_format.ParseDict(example.given, features_pb2.Features())
        except json_format.ParseError as error:
            yield Problem(path, f"{field}.given", str(error), f"无法读取：{error}")
            continue
        if rule.condition.holds(features) is not example.expect:
            yield Problem(
                path,
                field,
                f"{example.name!r}: the condition is {not example.expect}, not {example.expect}",
                f"“{example.name}”：条件结果与 expect 不符",
            )
