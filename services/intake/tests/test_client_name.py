"""Who a client may say it is."""

from types import SimpleNamespace
from typing import Any

import pytest

from services.intake.servicer import client_of
from services.runtime.errors import ServiceError


def context(name: str | bytes | None) -> Any:
    """Return a call's context with a client name in its metadata."""
    metadata = [] if name is None else [("x-client-id", name)]
    return SimpleNamespace(
        invocation_metadata=lambda: metadata, peer=lambda: "ipv4:127.0.0.1:50000"
    )


@pytest.mark.parametrize("name", ["", "Zhang San", "张三", b"\xff", "x" * 65, "a\n"])
def test_client_name_that_is_no_code_is_refused(name: str | bytes) -> None:
    """The name is written into every event: it must not carry text."""
    with pytest.raises(ServiceError):
        client_of("complaints", context(name))


def test_client_name_is_taken_as_given_or_replaced_by_the_machine() -> None:
    """Without a name, it is said that nobody vouched for it."""
    assert client_of("complaints", context("bureau-7")) == "bureau-7"
    assert client_of("complaints", context(None)) == "unauthenticated:ipv4:127.0.0.1"
