"""Finds messages of given types anywhere in an event. Pure."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.unknown_fields import UnknownFieldSet


class _Step(NamedTuple):
    """A field on the way to a wanted message."""

    field: str
    is_repeated: bool
    is_wanted: bool
    below: "tuple[_Step, ...]"


class Finder:
    """Finds the messages of some types below a root type.

    The ways to them are worked out once from the contract, so that finding looks at no other
    field. Types that contain themselves are not followed more than once.
    """

    def __init__(self, root: Descriptor, wanted: Sequence[Descriptor]) -> None:
        names = frozenset(each.full_name for each in wanted)
        self._steps = _steps(root, names, (root.full_name,))

    def find(self, message: Message) -> list[tuple[str, Message]]:
        """Return (field path, message) of every wanted message that is set, in contract order."""
        found: list[tuple[str, Message]] = []
        _follow(self._steps, message, "", found)
        return found


def _steps(
    descriptor: Descriptor, wanted: frozenset[str], passed: tuple[str, ...]
) -> tuple[_Step, ...]:
    steps: list[_Step] = []
    for field in descriptor.fields:
        below_type = field.message_type
        if below_type is None or below_type.full_name in passed:
            continue
        name = below_type.full_name
        below = _steps(below_type, wanted, (*passed, name))
        if name in wanted or below:
            steps.append(_Step(field.name, field.is_repeated, name in wanted, below))
    return tuple(steps)


def _follow(
    steps: tuple[_Step, ...], message: Message, prefix: str, found: list[tuple[str, Message]]
) -> None:
    for step in steps:
        if step.is_repeated:
            for index, each in enumerate(getattr(message, step.field)):
                _arrive(step, each, f"{prefix}{step.field}[{index}]", found)
        elif message.HasField(step.field):
            _arrive(step, getattr(message, step.field), prefix + step.field, found)


def _arrive(step: _Step, message: Message, path: str, found: list[tuple[str, Message]]) -> None:
    if step.is_wanted:
        found.append((path, message))
    if step.below:
        _follow(step.below, message, f"{path}.", found)


def unknown_field_paths(message: Message) -> Iterator[str]:
    """Yield the path of every field that the contract does not know, ending in its number."""
    yield from _unknown(message, "")


def _unknown(message: Message, prefix: str) -> Iterator[str]:
    for unknown in UnknownFieldSet(message):  # type: ignore[attr-defined]
        yield f"{prefix}{unknown.field_number}"
    for field, value in message.ListFields():
        if field.type != FieldDescriptor.TYPE_MESSAGE:
            continue
        if not field.is_repeated:
            yield from _unknown(value, f"{prefix}{field.name}.")
            continue
        for index, each in enumerate(value):
            yield from _unknown(each, f"{prefix}{field.name}[{index}].")
