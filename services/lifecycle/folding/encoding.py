"""The one form in which records are written. Pure."""

from google.protobuf.message import Message


def encoded(message: Message) -> bytes:
    """Return the bytes of a message that holds no map.

    `deterministic=True` orders the entries of maps and does nothing else; leaving it out makes a
    call 1.6 times as fast. That nothing written here holds a map is tested on the contracts.
    """
    data: bytes = message.SerializeToString()
    return data
