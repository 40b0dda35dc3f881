"""Topic names of a measurement's own."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from services.contracts.topics import TOPIC_PREFIX_VARIABLE


@contextmanager
def prefixed(prefix: str) -> Iterator[None]:
    """Let topic names carry a prefix while the block runs."""
    before = os.environ.get(TOPIC_PREFIX_VARIABLE, "")
    os.environ[TOPIC_PREFIX_VARIABLE] = prefix
    try:
        yield
    finally:
        os.environ[TOPIC_PREFIX_VARIABLE] = before
