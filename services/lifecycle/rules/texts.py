"""Texts of alerts: templates with placeholders, filled in Chinese and in English. Pure.

A placeholder is the name of a feature (`{complaints_7d}`, `{licence.licence_number}`) or one of
TEXT_VALUES. Amounts in fen are shown in yuan, codes without their code system, and codes that a
rule's `labels` name by those.
"""

import string
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from market_supervision.lifecycle.v1 import features_pb2

from services.contracts.licence_standing import WITHOUT_TERM_DAYS
from services.lifecycle.features.catalogue import FEATURES, Value, value_of
from services.lifecycle.features.days import date_of
from services.lifecycle.rules.errors import ExpressionError

Language = Literal["zh", "en"]
Labels = Mapping[str, Mapping[str, Mapping[str, str]]]
"""Feature → value → language → text."""

TEXT_VALUES = frozenset({"entity_name", "entity_key", "fact_date", "licence_last_date"})
"""Placeholders that are not features."""

_WITHOUT_TERM = {"zh": "长期", "en": "without end"}
_YES_NO = {"zh": ("否", "是"), "en": ("no", "yes")}


@dataclass(frozen=True, slots=True)
class TextFacts:
    """What a text is filled from."""

    entity_name: str
    entity_key: str
    fact_day: int
    features: features_pb2.Features
    labels: Labels


def placeholders(template: str) -> frozenset[str]:
    """Return the names a template asks for; ExpressionError for a template that is malformed."""
    try:
        parts = list(string.Formatter().parse(template))
    except ValueError as error:
        raise ExpressionError(f"not a template: {error}", f"模板有误：{error}") from error
    names = set()
    for _, name, format_spec, conversion in parts:
        if name is None:
            continue
        if format_spec or conversion or (name not in TEXT_VALUES and name not in FEATURES):
            others = ", ".join(sorted(TEXT_VALUES))
            raise ExpressionError(
                f"placeholder {{{name}}} is no feature and none of {others}",
                f"占位符 {{{name}}} 既非指标，也不在 {others} 之中",
            )
        names.add(name)
    return frozenset(names)


def features_of(names: frozenset[str]) -> frozenset[str]:
    """Return the features that must be computed to fill the placeholders ``names``."""
    needed = names - TEXT_VALUES
    return needed | {"licence.days_until_expiry"} if "licence_last_date" in names else needed


def fill(template: str, language: Language, facts: TextFacts) -> str:
    """Return the template with every placeholder filled."""
    shown = []
    for literal, name, _, _ in string.Formatter().parse(template):
        shown.append(literal)
        if name is not None:
            shown.append(_shown(name, language, facts))
    return "".join(shown)


def _shown(name: str, language: Language, facts: TextFacts) -> str:
    match name:
        case "entity_name":
            return facts.entity_name or facts.entity_key
        case "entity_key":
            return facts.entity_key
        case "fact_date":
            return shown_date(facts.fact_day, language)
        case "licence_last_date":
            remaining = facts.features.licence.days_until_expiry
            if remaining == WITHOUT_TERM_DAYS:
                return _WITHOUT_TERM[language]
            return shown_date(facts.fact_day + remaining, language)
    value = value_of(facts.features, name)
    label = facts.labels.get(name, {}).get(str(value))
    return label[language] if label is not None else _shown_value(name, value, language)


def _shown_value(name: str, value: Value, language: Language) -> str:
    if isinstance(value, bool):
        return _YES_NO[language][value]
    if isinstance(value, float):
        return f"{value:.1f}"
    if isinstance(value, str):
        return value.rpartition(" ")[2]
    if "_fen" in name:
        return f"{value / 100:,.2f}"
    return str(value)


def shown_date(day: int, language: Language) -> str:
    """Return a day as officers write it."""
    value = date_of(day)
    if language == "zh":
        return f"{value.year}年{value.month}月{value.day}日"
    return f"{value.day} {_MONTHS[value.month - 1]} {value.year}"


# Not from the machine's locale: the same facts give the same text everywhere.
_MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
