"""The error tree."""

from collections.abc import Iterator

from market_supervision.common.v1.error_reason_pb2 import ErrorReason

from services.runtime import errors
from services.runtime.errors import ServiceError


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
