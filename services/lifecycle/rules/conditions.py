"""Conditions: CEL expressions over one variable, `features` (预警条件). Pure.

What may fail at run time is refused when a rule is read: division, conversions from text,
patterns, indexing. A ratio is written as a product. What is left, such as a product beyond 64 bits,
raises ExpressionError, which the evaluation counts and takes as "does not hold".
"""

import re

from cel_expr_python import cel
from google.protobuf import descriptor_pool
from market_supervision.lifecycle.v1 import features_pb2

from services.lifecycle.features.catalogue import FEATURES, value_of
from services.lifecycle.rules.errors import ExpressionError

EXPRESSION_CHARACTERS_MAX = 2_000
VARIABLE = "features"

_EMPTY = features_pb2.Features()

# Comments and string literals, raw ones first because a backslash ends nothing in them.
_TEXT = re.compile(
    r"""//[^\n]*"""
    r"""|[rR][bB]?(?:"[^"\n]*"|'[^'\n]*')|[bB][rR](?:"[^"\n]*"|'[^'\n]*')"""
    r"""|[bB]?(?:"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')"""
)
# `features` followed by the path read from it; a leading dot would make it another name.
_READ = re.compile(r"(?<![\w.])features\b((?:\s*\.\s*[A-Za-z_]\w*)*)")
_ANY_READ = re.compile(r"\bfeatures\b")
# What may fail at run time: division, remainder, conversion from text, a pattern (which may be
# malformed), a map (which may lack a key) and an index, which is a bracket after a name, a bracket
# or a text; a bracket after an operator begins a list.
_PARTIAL = re.compile(
    r"[/%{]|\b(?:int|uint|bool|bytes|timestamp|duration|matches)\s*\(|[\w)\]\"]\s*\["
)
# A feature converted to a decimal, however many brackets stand between.
_TO_DOUBLE = re.compile(r"\bdouble\s*\([\s(]*features\b((?:\s*\.\s*[A-Za-z_]\w*)*)")
_MEMBERSHIP = re.compile(r"\bin\b")

_ENVIRONMENT = cel.NewEnv(
    descriptor_pool.Default(),
    variables={VARIABLE: cel.Type(features_pb2.Features.DESCRIPTOR.full_name)},
)


class Condition:
    """A compiled condition. Compiling raises ExpressionError with the reason in both languages."""

    __slots__ = ("_expression", "names", "text")

    def __init__(self, text: str) -> None:
        if len(text) > EXPRESSION_CHARACTERS_MAX:
            raise ExpressionError(
                f"at most {EXPRESSION_CHARACTERS_MAX} characters, not {len(text)}",
                f"最多{EXPRESSION_CHARACTERS_MAX}个字符，实为{len(text)}个",
            )
        self.text = text
        self.names = _names(text)
        """Features the condition reads, as named in the catalogue."""
        self._expression = _compiled(text)
        self.holds(features_pb2.Features())

    def holds(self, features: features_pb2.Features) -> bool:
        """Return whether the condition holds; ExpressionError when it cannot be evaluated."""
        try:
            result = self._expression.eval(data={VARIABLE: features}).value()
        except RuntimeError as error:
            raise ExpressionError(f"cannot be evaluated: {error}", f"无法计算：{error}") from error
        if result is True or result is False:
            return result
        raise ExpressionError(f"cannot be evaluated: {result}", f"无法计算：{result}")


def _compiled(text: str) -> cel.Expression:
    try:
        expression = _ENVIRONMENT.compile(text)
    except RuntimeError as error:
        reason = str(error)
        hint_en, hint_zh = "", ""
        if "double" in reason and "int" in reason:
            hint_en = "; compare a count with a decimal as double(features.x) >= 2.5"
            hint_zh = "；整数与小数比较请写 double(features.x) >= 2.5"
        raise ExpressionError(reason + hint_en, f"表达式有误：{reason}{hint_zh}") from error
    if expression.return_type() != cel.Type.BOOL:
        kind = expression.return_type().name()
        raise ExpressionError(f"must be true or false, not {kind}", f"结果须为真或假，不能是{kind}")
    return expression


def _names(text: str) -> frozenset[str]:
    bare = _TEXT.sub('""', text)
    partial = _PARTIAL.search(_MEMBERSHIP.sub("==", bare))
    if partial is not None:
        raise ExpressionError(
            f"{partial.group().strip()!r} may fail at run time; a ratio is written as a product, "
            "such as `double(features.a) >= 0.3 * double(features.b)`",
            f"“{partial.group().strip()}”运行时可能出错；比率请写成乘积，"
            "如 `double(features.a) >= 0.3 * double(features.b)`",
        )
    reads = list(_READ.finditer(bare))
    if len(reads) != len(_ANY_READ.findall(bare)) or not reads:
        raise ExpressionError(
            "must read at least one feature, as features.<name>",
            "至少读取一个指标，写作 features.<名称>",
        )
    for converted in _TO_DOUBLE.finditer(bare):
        name = _name(converted.group(1))
        if isinstance(value_of(_EMPTY, name), str):
            raise ExpressionError(
                f"{name} is a text, and a text may not be a number",
                f"{name} 是文字，文字不一定是数字，不能转换",
            )
    return frozenset(_name(read.group(1)) for read in reads)


def _name(path: str) -> str:
    parts = [part.strip() for part in path.split(".")[1:]]
    for length in (2, 1):
        name = ".".join(parts[:length])
        if len(parts) >= length and name in FEATURES:
            return name
    shown = "features" + "".join(f".{part}" for part in parts)
    raise ExpressionError(f"{shown} is not in the feature catalogue", f"指标目录中没有 {shown}")
