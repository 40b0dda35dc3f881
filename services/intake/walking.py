"""Finds messages of one type anywhere in an event. Pure."""

from collections.abc import Iterator
from typing import TypeVar

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.unknown_fields import UnknownFieldSet

Wanted = TypeVar("Wanted", bound=Message)


def messages_of(message: Message, wanted: type[Wanted]) -> Iterator[tuple[str, Wanted]]:
    """Yield (field path, message) of every ``wanted`` message that is set below ``message``."""
    for path, each in _below(message, ""):
        if isinstance(each, wanted):
            yield path, each


def unknown_field_paths(message: Message) -> Iterator[str]:
    """Yield the path of every field that the contract does not know, ending in its number."""
    for path, each in [("", message), *_below(message, "")]:
        prefix = f"{path}." if path else ""
        for unknown in UnknownFieldSet(each):  # type: ignore[attr-defined]
            yield f"{prefix}{unknown.field_number}"


def _below(message: Message, path: str) -> Iterator[tuple[str, Message]]:
    prefix = f"{path}." if path else ""
    for field, value in message.ListFields():
        if field.type != FieldDescriptor.TYPE_MESSAGE:
            continue
        if field.is_repeated:
            named = [(f"{prefix}{field.name}[{index}]", each) for index, each in enumerate(value)]
        else:
            named = [(prefix + field.name, value)]
        for name, each in named:
            yield name, each
            yield from _below(each, name)
