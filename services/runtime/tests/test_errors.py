"""The error tree."""

from collections.abc import Iterator
from urllib.parse import quote

import pytest
from google.rpc.error_details_pb2 import BadRequest
from market_supervision.common.v1.error_reason_pb2 import ErrorReason

from services.runtime import errors
from services.runtime.errors import (
    STATUS_BYTES_MAX,
    VIOLATIONS_MAX,
    FieldInvalidError,
    FieldViolation,
    ServiceError,
    status_of,
)


def leaves(kind: type[ServiceError]) -> Iterator[type[ServiceError]]:
    """Yield every class below a class that has no class below it."""
    below = kind.__subclasses__()
    if not below:
        yield kind
    for child in below:
        yield from leaves(child)


def test_every_reason_of_the_contract_belongs_to_exactly_one_error() -> None:
    """A reason nobody can raise is a promise nobody keeps; one raised twice tells nothing."""
    raised = sorted(kind.reason for kind in leaves(ServiceError))
    promised = sorted(value for value in ErrorReason.values() if value != 0)
    assert raised == promised


def test_tree_drawn_at_the_top_names_every_class() -> None:
    """The drawing is what people read, so it is complete."""
    drawing = errors.__doc__ or ""
    missing = [kind.__name__ for kind in leaves(ServiceError) if kind.__name__ not in drawing]
    assert missing == []


@pytest.mark.parametrize("text", ["x" * 5_000, "粤" * 5_000])
@pytest.mark.parametrize("violations", [0, 1, 10, 500])
def test_status_of_long_texts_stays_within_what_clients_take(text: str, violations: int) -> None:
    """Details beyond a client's limit would hide the whole error from him."""
    broken = FieldViolation("event.envelope.source_record_id", text, text, "string.max_len")
    error = FieldInvalidError(text, text, violations=[broken] * violations)

    status = status_of(error)

    size = len(quote(status.message)) + status.ByteSize()
    assert size <= STATUS_BYTES_MAX
    kinds = [detail.TypeName() for detail in status.details]
    assert "google.rpc.LocalizedMessage" in kinds
    assert ("google.rpc.BadRequest" in kinds) == (violations > 0)


def test_status_of_short_violations_names_them_all() -> None:
    """Nothing is left out that fits."""
    broken = [FieldViolation(f"f{n}", "is empty", "为空") for n in range(VIOLATIONS_MAX)]
    status = status_of(FieldInvalidError("bad", "有误", violations=broken))

    told = BadRequest.FromString(status.details[1].value)
    assert [item.field for item in told.field_violations] == [item.field for item in broken]
