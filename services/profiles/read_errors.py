"""What the read model's troubles are to a caller."""

from collections.abc import Iterator
from contextlib import contextmanager

from services.readmodel import errors as readmodel_errors
from services.runtime.errors import NotReadyError


@contextmanager
def reading_model() -> Iterator[None]:
    """Tell a caller UNAVAILABLE while the read model cannot answer; never that nothing is there."""
    try:
        yield
    except readmodel_errors.NotReadyError as error:
        raise NotReadyError(str(error), "读模型尚未就绪，请稍后重试") from error
