"""Conditions of rules: the part of CEL that rows use, read by Python's own parser. Pure."""

import ast
import operator
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any

_STRING = re.compile(r'"[^"\n]*"' + r"|'[^'\n]*'")
_OPERATORS = ((r"&&", " and "), (r"\|\|", " or "), (r"!(?!=)", " not "))
_WORDS = ((r"\btrue\b", "True"), (r"\bfalse\b", "False"))
_COMPARE: Mapping[type[ast.cmpop], Callable[[Any, Any], bool]] = MappingProxyType(
    {
        ast.Eq: operator.eq,
        ast.NotEq: operator.ne,
        ast.Lt: operator.lt,
        ast.LtE: operator.le,
        ast.Gt: operator.gt,
        ast.GtE: operator.ge,
        ast.In: lambda item, items: item in items,
    }
)
_ARITHMETIC: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = MappingProxyType(
    {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul}
)
_UNARY: Mapping[type[ast.unaryop], Callable[[Any], Any]] = MappingProxyType(
    {ast.Not: operator.not_, ast.USub: operator.neg}
)

FeatureOf = Callable[[str], Any]
"""Name of a feature, such as `licence.status` → its value."""


class UnknownExpressionError(ValueError):
    """A condition in words that the judge does not know: it must be taught, not skipped."""


def holds(condition: str, feature_of: FeatureOf) -> bool:
    """Return whether a condition holds of features."""
    return bool(_value(_tree(condition), feature_of))


@lru_cache(maxsize=256)
def _tree(condition: str) -> ast.expr:
    texts: list[str] = []

    def set_aside(match: re.Match[str]) -> str:
        texts.append(match.group())
        return f"__text__[{len(texts) - 1}]"

    source = _STRING.sub(set_aside, condition)
    for pattern, python in (*_OPERATORS, *_WORDS):
        source = re.sub(pattern, python, source)
    for number, text in enumerate(texts):
        source = source.replace(f"__text__[{number}]", text)
    try:
        return ast.parse(" ".join(source.split()), mode="eval").body
    except SyntaxError as error:
        raise UnknownExpressionError(f"{condition!r}: {error}") from error


def _value(node: ast.expr, feature_of: FeatureOf) -> Any:
    """Return the value of an expression; parts that are not needed are not asked."""
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.Attribute):
        return feature_of(_path(node))
    if isinstance(node, ast.BoolOp):
        decide = all if isinstance(node.op, ast.And) else any
        return decide(_value(part, feature_of) for part in node.values)
    return _composed(node, feature_of)


def _composed(node: ast.expr, feature_of: FeatureOf) -> Any:
    match node:
        case ast.List(elts=items):
            return [_value(item, feature_of) for item in items]
        case ast.UnaryOp(op=sign, operand=operand) if type(sign) in _UNARY:
            return _UNARY[type(sign)](_value(operand, feature_of))
        case ast.BinOp(left=left, op=sign, right=right) if type(sign) in _ARITHMETIC:
            return _ARITHMETIC[type(sign)](_value(left, feature_of), _value(right, feature_of))
        case ast.Compare(left=left, ops=[sign], comparators=[right]) if type(sign) in _COMPARE:
            return _COMPARE[type(sign)](_value(left, feature_of), _value(right, feature_of))
        case ast.Call(func=ast.Name(id="double"), args=[argument]):
            return float(_value(argument, feature_of))
    raise UnknownExpressionError(f"not known: {ast.unparse(node)}")


def _path(node: ast.expr) -> str:
    match node:
        case ast.Attribute(value=ast.Name(id="features"), attr=name):
            return name
        case ast.Attribute(value=value, attr=name):
            return f"{_path(value)}.{name}"
    raise UnknownExpressionError(f"not a feature: {ast.unparse(node)}")
